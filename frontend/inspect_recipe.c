/* frontend/inspect_recipe.c: what a recipe calls a declaration of the text: a recipe names models, their
 * hyper-parameters, entries and members, and the arguments of entries. */
#include "frontend/inspect_parts.h"

#include <string.h>

static const struct formal *find_formal(const struct formal *f, uint32_t begin) {
    while (f && f->name.span.begin != begin)
        f = f->next;
    return f;
}

static bool is_entry(const struct item *item) {
    return item->kind == ITEM_FN || item->kind == ITEM_TRAIN;
}

static bool in_model(const struct item *model, uint32_t begin, struct recipe_name *out) {
    out->role = model->name.span.begin == begin      ? RECIPE_MODEL
                : find_formal(model->formals, begin) ? RECIPE_SETTING
                                                     : RECIPE_NOTHING;
    for (const struct item *m = model->members; m && out->role == RECIPE_NOTHING; m = m->next) {
        if (is_entry(m) && find_formal(m->formals, begin)) {
            out->role = RECIPE_ARGUMENT;
            out->entry = m->name.text;
        } else if (m->name.text && m->name.span.begin == begin) {
            out->role = is_entry(m) ? RECIPE_ENTRY : RECIPE_MEMBER;
        }
    }
    out->model = model->name.text;
    return out->role != RECIPE_NOTHING;
}

bool inspection_recipe_name(struct inspection *in, uint32_t begin, struct recipe_name *out) {
    *out = (struct recipe_name){0};
    int models = 0;
    bool found = false;
    const struct item *item = in->file && in->file->ast ? in->file->ast->items : NULL;
    for (; item; item = item->next) {
        if (item->kind != ITEM_MODULE || item->module_kind != MODULE_MODEL)
            continue;
        models++;
        found = found || in_model(item, begin, out);
    }
    out->is_only_model = models == 1;
    return found;
}

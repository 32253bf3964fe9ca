/* frontend/inspect_lets.c: instances that a method makes without a name (N5), and the `let` that would give
 * each its name: the one that its weights have already, so that checkpoints still fit. */
#include "frontend/inspect_parts.h"

#include "frontend/visit.h"

#include <string.h>

struct finder {
    struct inspection *in;
    const struct item *module, *fn; /* where it looks */
    VEC(struct let_offer) offers;
    VEC(const struct instance *) instances; /* of the offers */
};

static bool is_within(struct span inner, struct span outer) {
    return inner.source == outer.source && inner.begin >= outer.begin && inner.end <= outer.end;
}

/* What the call names must be known in the module's body: nothing of the function, no turn of a loop. */
static bool can_move(const struct finder *f, const struct expr *call) {
    const struct name_scope *scope = names_scope_at(f->in->names, call->span.begin);
    if (scope->span.begin != f->fn->span.begin || scope->span.end != f->fn->span.end)
        return false;
    for (int i = 0; i < f->in->names->occurrences.count; i++) {
        const struct occurrence *o = &f->in->names->occurrences.at[i];
        if (is_within(o->span, call->span) && o->symbol->owner == f->fn && o->symbol->kind != SYMBOL_FIELD)
            return false;
    }
    return true;
}

static bool has_member(const struct item *module, const char *name) {
    for (const struct item *m = module->members; m; m = m->next)
        if (m->name.text && strcmp(m->name.text, name) == 0)
            return true;
    for (const struct formal *f = module->formals; f; f = f->next)
        if (strcmp(f->name.text, name) == 0)
            return true;
    return false;
}

/* Behind the members that stand before the first fn, else behind the module's brace. */
static uint32_t place_of_let(const struct item *module) {
    const struct source *source = module->span.source;
    const struct item *last = NULL;
    for (const struct item *m = module->members;
         m && m->kind != ITEM_FN && m->kind != ITEM_TRAIN && m->kind != ITEM_MODULE; m = m->next)
        last = m;
    uint32_t at = last ? last->span.end : module_body_begin(module);
    while (last && at < source->length && source->text[at] != '\n') /* behind a comment of that line */
        at++;
    return at;
}

static void offer(void *data, const struct expr *x) {
    struct finder *f = data;
    const struct fact *fact = x->kind == EXPR_CALL ? facts_of_expr(f->in->facts, x) : NULL;
    if (!fact || !fact->count || fact->values[0].kind != DATUM_INSTANCE)
        return;
    const struct instance *instance = fact->values[0].instance;
    const char *name = instance->path;
    bool is_anonymous =
        name && !strchr(name, '.') && instance->owner && instance->owner->module->item == f->module;
    if (!is_anonymous || has_member(f->module, name) || !can_move(f, x))
        return;
    for (int i = 0; i < f->offers.count; i++)
        if (strcmp(f->offers.at[i].name, name) == 0 && f->offers.at[i].module_begin == f->module->span.begin)
            return; /* two places share it */
    uint32_t at = place_of_let(f->module);
    const char *call =
        arena_strndup(f->in->arena, f->in->source->text + x->span.begin, x->span.end - x->span.begin);
    const char *text = arena_printf(f->in->arena, "\n  let %s = %s", name, call);
    VEC_PUSH(f->in->arena, &f->offers, ((struct let_offer){x->span, name, at, text, f->module->span.begin}));
    VEC_PUSH(f->in->arena, &f->instances, instance);
}

static void look_in_function(struct finder *f, const struct item *fn) {
    f->fn = fn;
    visit_item(fn, offer, f);
}

static void look_in_items(struct finder *f, const struct item *item, const struct item *module) {
    for (; item; item = item->next) {
        f->module = module;
        if (item->kind == ITEM_MODULE)
            look_in_items(f, item->members, item);
        else if (module && (item->kind == ITEM_FN || item->kind == ITEM_TRAIN))
            look_in_function(f, item);
    }
}

static bool is_like(const struct instance *a, const struct instance *b) {
    return a->owner == b->owner && a->module == b->module;
}

/* Those that stay without a name are counted anew: linear_1 alone would become linear_0, and the let that has
 * this name its rival. So all of a kind move, or none. */
static bool all_move(const struct finder *f, const struct instance *instance) {
    int moving = 0, all = 0;
    for (int i = 0; i < f->instances.count; i++)
        moving += is_like(f->instances.at[i], instance);
    for (int i = 0; i < instance->owner->anonymous.count; i++)
        all += is_like(instance->owner->anonymous.at[i].instance, instance);
    return moving == all;
}

int inspection_lets(struct inspection *in, struct let_offer **out) {
    struct finder f = {.in = in};
    VEC(struct let_offer) kept = {0};
    look_in_items(&f, in->file->ast->items, NULL);
    for (int i = 0; i < f.offers.count; i++)
        if (all_move(&f, f.instances.at[i]))
            VEC_PUSH(in->arena, &kept, f.offers.at[i]);
    *out = kept.at;
    return kept.count;
}

/* One edit: bytes [begin, end) become text. */
struct edit {
    uint32_t begin, end;
    const char *text;
};

const char *inspection_with_lets(struct inspection *in) {
    struct let_offer *offers;
    int count = inspection_lets(in, &offers);
    VEC(struct edit) edits = {0};
    for (int i = 0; i < count; i++) {
        VEC_PUSH(in->arena, &edits, ((struct edit){offers[i].at, offers[i].at, offers[i].text}));
        VEC_PUSH(in->arena, &edits,
                 ((struct edit){offers[i].call.begin, offers[i].call.end, offers[i].name}));
    }
    for (int i = 1; i < edits.count; i++) /* by their places; those of one place as they came */
        for (int k = i; k > 0 && edits.at[k].begin < edits.at[k - 1].begin; k--) {
            struct edit edit = edits.at[k];
            edits.at[k] = edits.at[k - 1];
            edits.at[k - 1] = edit;
        }
    struct strbuf text;
    strbuf_init(&text, in->arena);
    uint32_t at = 0;
    for (int i = 0; i < edits.count; i++) {
        if (edits.at[i].begin < at)
            continue; /* a call within another one that has moved */
        strbuf_write(&text, in->source->text + at, edits.at[i].begin - at);
        strbuf_puts(&text, edits.at[i].text);
        at = edits.at[i].end;
        bool is_let = edits.at[i].begin == at, is_last = i + 1 == edits.count || edits.at[i + 1].begin != at;
        if (is_let && is_last && in->source->text[at] != '\n') /* the fn begins in the brace's line */
            strbuf_putc(&text, '\n');
    }
    strbuf_write(&text, in->source->text + at, in->source->length - at);
    return text.text;
}

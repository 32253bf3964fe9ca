/* frontend/inspect_reach.c: functions and modules that no model of the text reaches. They are elaborated by a
 * model made up for them, for what it tells of their values; what it says of mistakes is dropped, since
 * nobody wrote it. */
#include "frontend/inspect_parts.h"

#include <string.h>

static bool is_tensor_type(const struct type_expr *type) {
    if (!type || type->kind != TYPE_TENSOR || type->optional)
        return false;
    for (const struct dim_expr *dim = type->dims; dim; dim = dim->next)
        if (!dim->expr) /* any number of axes */
            return false;
    return true;
}

/* An entry takes tensors; what else there is needs a default. */
static bool can_be_entry(const struct formal *f) {
    for (; f; f = f->next)
        if (!f->init && !is_tensor_type(f->type))
            return false;
    return true;
}

static bool has_defaults(const struct formal *f) {
    for (; f; f = f->next)
        if (!f->init)
            return false;
    return true;
}

/* A dtype variable becomes f32. */
static void write_type(struct strbuf *out, const struct type_expr *type) {
    const struct source *source = type->span.source;
    strbuf_puts(out, is_dtype_variable(type->name.text) ? "f32" : type->name.text);
    strbuf_write(out, source->text + type->name.span.end, type->span.end - type->name.span.end);
}

/* "fn weft_reaches(x: f32[B, D]) = callee(x: x)": parameters with a default keep it. */
static void write_entry(struct strbuf *out, const char *callee, const struct formal *formals) {
    strbuf_puts(out, "model WeftReaches() { fn weft_reaches(");
    for (const struct formal *f = formals; f; f = f->next)
        if (!f->init) {
            strbuf_printf(out, "%s: ", f->name.text);
            write_type(out, f->type);
            strbuf_puts(out, ", ");
        }
    strbuf_printf(out, ") = %s(", callee);
    for (const struct formal *f = formals; f; f = f->next)
        if (!f->init)
            strbuf_printf(out, "%s: %s, ", f->name.text, f->name.text);
    strbuf_puts(out, ") }\n");
}

static void elaborate_made_up(struct inspection *in, const char *text) {
    struct diags *unseen = diags_create(in->arena);
    const struct source *source = source_create(in->arena, "<reaches>", text, strlen(text));
    const struct file_ast *ast = parse_file(in->arena, in->interner, source, unseen);
    if (diags_error_count(unseen) > 0 || !ast->items)
        return;
    int messages = diags_count(in->diags);
    const struct module *module = module_create(in->arena, ast->items, in->file->scope);
    VEC_PUSH(in->frontend->arena, &in->file->models, module);
    struct instance *instance =
        frontend_instantiate(in->frontend, in->source->name, module->name, NULL, 0, in->arena);
    if (instance && instance_entry_count(instance) == 1)
        instance_elaborate(instance, "weft_reaches", NULL, 0, 1);
    in->file->models.count--;
    diags_truncate(in->diags, messages);
}

static bool is_reached(const struct inspection *in, const struct item *fn) {
    return !fn->formals || facts_of_name(in->facts, fn->formals->name.span);
}

void inspect_unreached(struct inspection *in) {
    for (const struct item *item = in->file->ast->items; item; item = item->next) {
        const struct item *fn;
        bool is_module =
            item->kind == ITEM_MODULE && item->module_kind == MODULE_MODULE && has_defaults(item->formals);
        for (fn = is_module ? item->members : item; is_module && fn; fn = fn->next)
            if (fn->kind == ITEM_FN && strcmp(fn->name.text, "call") == 0)
                break;
        if (!fn || fn->kind != ITEM_FN || is_reached(in, fn) || !can_be_entry(fn->formals))
            continue;
        struct strbuf text;
        strbuf_init(&text, in->arena);
        write_entry(&text, is_module ? arena_printf(in->arena, "%s()", item->name.text) : item->name.text,
                    fn->formals);
        elaborate_made_up(in, text.text);
    }
}

/* frontend/operands.c: two operands that must go together, and what is said where they do not. */
#include "frontend/elab.h"

#include <ctype.h>

/* Whether the value was made in the call that runs now: an input or a weight of it, or an expression. A value
 * that came out of another call is better known by the expression that stands here. */
static bool was_made_here(const struct elab *e, const struct value *x, struct span span) {
    const struct site *made = x->def ? x->def->site : NULL, *call = e->frame->site;
    if (!made || !span_is_known(made->span) || made->span.source != span.source)
        return false;
    if (x->def->code == OP_read)
        return true;
    return x->def->code == OP_input ? call && !call->caller : made->caller == call;
}

void label_operand(struct elab *e, struct diag *diag, const struct value *x, struct span span) {
    bool here = was_made_here(e, x, span);
    const char *type = type_text(e->types, x->type);
    if (here && x->name)
        diag_label(diag, x->def->site->span, "`%s` is %s", x->name, type);
    else
        diag_label(diag, here ? x->def->site->span : span, "this is %s", type);
}

void label_elsewhere(struct diag *diag, struct span place, struct span span, const char *text) {
    if (!span_is_known(place) || place.source != span.source)
        return;
    int line, other, column;
    source_locate(span.source, span.begin, &line, &column);
    source_locate(span.source, place.begin, &other, &column);
    if (line != other)
        diag_label(diag, place, "%s", text);
}

bool label_origin(struct elab *e, struct diag *diag, const struct value *x, struct span span) {
    int made, line, column;
    if (!was_made_here(e, x, span))
        return false;
    source_locate(span.source, x->def->site->span.begin, &made, &column);
    source_locate(span.source, span.begin, &line, &column);
    if (made != line)
        label_operand(e, diag, x, span);
    return made != line;
}

void label_binding(struct elab *e, struct diag *diag, const struct expr *x) {
    const struct binding *found = x->kind == EXPR_NAME ? scope_find(e->frame->scope, x->name.text) : NULL;
    if (found && span_is_known(found->span))
        diag_label(diag, found->span, "`%s` is bound here", x->name.text);
}

/* The scope of the call under way whose text a place stands in; NULL: none. */
static const struct scope *scope_at(const struct elab *e, struct span span) {
    for (const struct frame *f = e->frame; f; f = f->caller)
        if (f->item && f->item->span.source == span.source && f->item->span.begin <= span.begin &&
            span.end <= f->item->span.end)
            return f->scope;
    return NULL;
}

void label_name_at(struct elab *e, struct diag *diag, struct span span) {
    const char *text = span.source ? span.source->text + span.begin : "";
    uint32_t length = 0;
    while (span.begin + length < span.end && (isalnum((unsigned char)text[length]) || text[length] == '_'))
        length++;
    bool is_name = length > 0 && (span.begin + length == span.end || text[length] == '[');
    const struct scope *scope = is_name ? scope_at(e, span) : NULL;
    const char *name = scope ? intern(e->names, arena_strndup(e->arena, text, length)) : NULL;
    const struct binding *found = name ? scope_find(scope, name) : NULL;
    if (found)
        label_elsewhere(diag, found->span, span, arena_printf(e->arena, "`%s` is bound here", name));
}

static struct diag *refuse(struct elab *e, enum diag_code code, const char *message, const struct value *x,
                           const struct value *y, struct span span, struct span sx, struct span sy) {
    struct diag *diag = report_error(e, span, code, "%s", message);
    label_operand(e, diag, x, sx);
    label_operand(e, diag, y, sy);
    if (!was_made_here(e, x, sx) || sx.source->text[sx.end - 1] == ']')
        label_name_at(e, diag, sx);
    if (!was_made_here(e, y, sy) || sy.source->text[sy.end - 1] == ']')
        label_name_at(e, diag, sy);
    return diag;
}

/* The first axis from the end on which the types differ; 0: none, one of them is a prefix of the other. */
static int differing_axis(const struct elab *e, const struct type *a, const struct type *b) {
    for (int i = 1; i <= a->rank && i <= b->rank; i++) {
        const struct dim *m = a->dims[a->rank - i], *n = b->dims[b->rank - i], *one = dim_const(e->types, 1);
        if (m != n && m != one && n != one)
            return i;
    }
    return 0;
}

/* f32[B] beside f32[B,10]: the axes of the one are the first axes of the other. */
static bool is_prefix(const struct type *a, const struct type *b) {
    if (a->rank == 0 || a->rank >= b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dims[i] != b->dims[i])
            return false;
    return true;
}

bool operands_fit(struct elab *e, const char *word, struct value *x, struct value *y, struct span span,
                  struct span sx, struct span sy) {
    const struct type *a = x->type, *b = y->type;
    const char *ta = type_text(e->types, a), *tb = type_text(e->types, b);
    if (a->dtype != b->dtype) {
        const char *message =
            arena_printf(e->arena, "`%s` wants one dtype, these are %s and %s", word, ta, tb);
        struct diag *diag = refuse(e, E_DTYPE, message, x, y, span, sx, sy);
        enum dtype wanted = dtype_is_float(b->dtype) && !dtype_is_float(a->dtype) ? b->dtype : a->dtype;
        diag_hint(diag, "%s(x) casts a tensor", dtype_text(wanted));
        return false;
    }
    if (type_broadcast(e->types, a, b))
        return true;
    int axis = differing_axis(e, a, b);
    const char *axes = axis == 1 ? "their last axes are" : arena_printf(e->arena, "their axes -%d are", axis);
    const char *why = arena_printf(e->arena, "`%s` does not fit %s and %s: %s %s and %s", word, ta, tb, axes,
                                   dim_text(e->types, a->dims[a->rank - axis]),
                                   dim_text(e->types, b->dims[b->rank - axis]));
    struct diag *diag = refuse(e, E_SHAPE, why, x, y, span, sx, sy);
    if (is_prefix(a, b) || is_prefix(b, a))
        diag_hint(diag, "shapes are aligned at their last axes: v[..., none] puts an axis of size 1 behind");
    return false;
}

/* frontend/errors.c: reporting with the chain of calls, and error values. */
#include "frontend/elab.h"

const struct site *site_here(struct elab *e, struct span span) {
    struct site *site = ARENA_NEW(e->arena, struct site);
    site->span = span;
    site->caller = e->frame ? e->frame->site : NULL;
    return site;
}

struct site *site_of_call(struct elab *e, struct span span, const char *what) {
    struct site *site = ARENA_NEW(e->arena, struct site);
    *site = (struct site){span, e->frame ? e->frame->site : NULL, what};
    if (e->frame && e->frame->is_entry)
        site->span = (struct span){0};
    return site;
}

struct site *site_take(struct elab *e, struct span span) {
    struct site *site =
        e->spare_sites.count > 0 ? VEC_POP(&e->spare_sites) : ARENA_NEW(e->arena, struct site);
    *site = (struct site){.span = span, .caller = e->frame ? e->frame->site : NULL};
    return site;
}

void site_give_back(struct elab *e, struct site *site) {
    VEC_PUSH(e->arena, &e->spare_sites, site);
}

static struct diag *report(struct elab *e, struct span span, enum diag_code code, const char *format,
                           va_list args) {
    const char *message = arena_vprintf(e->arena, format, args);
    return diag_error_at(e->diags, site_here(e, span), code, "%s", message);
}

struct diag *report_error(struct elab *e, struct span span, enum diag_code code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    struct diag *diag = report(e, span, code, format, args);
    va_end(args);
    return diag;
}

struct datum fail(struct elab *e, struct span span, enum diag_code code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    report(e, span, code, format, args);
    va_end(args);
    return datum_error();
}

const char *describe(struct elab *e, struct datum d) {
    return datum_describe(e->arena, e->types, d);
}

void hint_nearest_in(struct arena *arena, struct diag *diag, const char *name, const struct scope *scope) {
    VEC(const char *) names = {0};
    for (int i = 0; i < scope->bindings.count; i++)
        if (scope->bindings.at[i].name)
            VEC_PUSH(arena, &names, scope->bindings.at[i].name);
    diag_nearest(diag, name, names.at, names.count);
}

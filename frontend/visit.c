/* frontend/visit.c: a walk over every expression of a tree (visit.h). */
#include "frontend/visit.h"

struct visit {
    expr_visitor *call;
    void *data;
};

static void visit_one(const struct visit *v, const struct expr *x);
static void visit_statements(const struct visit *v, const struct stmt *s);

static void visit_args(const struct visit *v, const struct arg *arg) {
    for (; arg; arg = arg->next)
        visit_one(v, arg->value);
}

static void visit_type(const struct visit *v, const struct type_expr *type) {
    for (; type; type = type->next) {
        for (const struct dim_expr *d = type->dims; d; d = d->next)
            visit_one(v, d->expr);
        visit_type(v, type->inner);
    }
}

static void visit_one(const struct visit *v, const struct expr *x) {
    if (!x)
        return;
    v->call(v->data, x);
    visit_one(v, x->a);
    visit_one(v, x->b);
    visit_one(v, x->c);
    visit_args(v, x->args);
    for (const struct sub *sub = x->subs; sub; sub = sub->next) {
        visit_one(v, sub->a);
        visit_one(v, sub->b);
        visit_one(v, sub->step);
    }
    for (const struct piece *piece = x->pieces; piece; piece = piece->next)
        visit_one(v, piece->expr);
    visit_statements(v, x->loop);
}

static void visit_statements(const struct visit *v, const struct stmt *s) {
    for (; s; s = s->next) {
        const struct expr *const parts[] = {s->place, s->cond, s->value, s->message, s->over, s->optimizer};
        visit_type(v, s->type);
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
            visit_one(v, parts[i]);
        visit_args(v, s->args);
        visit_statements(v, s->body.first);
        visit_statements(v, s->otherwise.first);
    }
}

static void visit_one_item(const struct visit *v, const struct item *item) {
    for (const struct formal *f = item->formals; f; f = f->next) {
        visit_type(v, f->type);
        visit_one(v, f->init);
    }
    visit_type(v, item->type);
    visit_one(v, item->value);
    visit_statements(v, item->body.first);
    if (item->kind == ITEM_STMT)
        visit_statements(v, item->stmt);
    for (const struct item *member = item->members; member; member = member->next)
        visit_one_item(v, member);
}

void visit_expr(const struct expr *x, expr_visitor *visit, void *data) {
    visit_one(&(struct visit){visit, data}, x);
}

void visit_item(const struct item *item, expr_visitor *visit, void *data) {
    visit_one_item(&(struct visit){visit, data}, item);
}

void visit_file(const struct file_ast *file, expr_visitor *visit, void *data) {
    for (const struct item *item = file->items; item; item = item->next)
        visit_item(item, visit, data);
}

struct expr_search {
    const struct source *source;
    uint32_t offset;
    const struct expr *found;
};

static void look(void *data, const struct expr *x) {
    struct expr_search *s = data;
    bool inside = x->span.source == s->source && x->span.begin <= s->offset && s->offset <= x->span.end;
    if (inside && (!s->found || x->span.end - x->span.begin <= s->found->span.end - s->found->span.begin))
        s->found = x;
}

const struct expr *expr_at(const struct file_ast *file, uint32_t offset) {
    struct expr_search s = {file->source, offset, NULL};
    visit_file(file, look, &s);
    return s.found;
}

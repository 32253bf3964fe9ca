/* passes/fuse_clusters.c: groups of ops, merging them, and the question whether that would close a cycle. */
#include "passes/fuse.h"

struct cluster *cluster_now(struct cluster *c) {
    while (c->merged)
        c = c->merged;
    return c;
}

bool cluster_has_sweep(const struct cluster *c, const struct sweep *s) {
    for (int i = 0; i < c->sweeps.count; i++)
        if (sweeps_equal(&c->sweeps.at[i], s))
            return true;
    return false;
}

bool cluster_holds(const struct fusion *f, const struct op *op, const struct cluster *c) {
    for (int i = 0; i < place_of(f, op)->homes.count; i++)
        if (cluster_now(place_of(f, op)->homes.at[i]) == c)
            return true;
    return false;
}

void cluster_join(struct fusion *f, struct op *op, struct cluster *c) {
    VEC_PUSH(f->arena, &c->ops, op);
    VEC_PUSH(f->arena, &place_of(f, op)->homes, c);
    if (!fuse_is_loop_reduction(op) || c->kind != CLUSTER_NEST)
        return;
    struct sweep s;
    sweep_of(op, &s);
    if (!cluster_has_sweep(c, &s))
        VEC_PUSH(f->arena, &c->sweeps, s);
}

struct cluster *cluster_begin(struct fusion *f, struct op *op, enum cluster_kind kind) {
    struct cluster *c = ARENA_NEW(f->arena, struct cluster);
    c->kind = kind;
    c->core = op;
    c->elements = op->out_count ? elements_of(op->out[0]) : 0;
    VEC_PUSH(f->arena, &f->clusters, c);
    cluster_join(f, op, c);
    place_of(f, op)->provider = c;
    return c;
}

static void add_cluster(struct fusion *f, cluster_list *list, struct cluster *c) {
    c = cluster_now(c);
    for (int i = 0; i < list->count; i++)
        if (list->at[i] == c)
            return;
    VEC_PUSH(f->arena, list, c);
}

void clusters_using(struct fusion *f, const struct op *op, cluster_list *out) {
    *out = (cluster_list){0};
    for (int i = 0; i < op->out_count; i++)
        FOR_EACH_USE (use, op->out[i])
            for (int k = 0; k < place_of(f, use->user)->homes.count; k++)
                add_cluster(f, out, place_of(f, use->user)->homes.at[k]);
}

/* ---- no cycles ---- */

/* The clusters that c hands op's value to: those with a copy of their own do not ask. */
static void fed_through(struct fusion *f, const struct op *op, const struct cluster *c, cluster_list *out) {
    cluster_list users;
    *out = (cluster_list){0};
    if (!place_of(f, op)->provider || cluster_now(place_of(f, op)->provider) != c)
        return;
    clusters_using(f, op, &users);
    for (int i = 0; i < users.count; i++)
        if (!cluster_holds(f, op, users.at[i]))
            VEC_PUSH(f->arena, out, users.at[i]);
}

/* Whether c feeds `target` through any chain of clusters. */
static bool reaches(struct fusion *f, struct cluster *c, const struct cluster *target) {
    if (c == target)
        return true;
    if (c->mark == f->next_mark)
        return false;
    c->mark = f->next_mark;
    for (int i = 0; i < c->ops.count; i++) {
        cluster_list fed;
        fed_through(f, c->ops.at[i], c, &fed);
        for (int k = 0; k < fed.count; k++)
            if (reaches(f, fed.at[k], target))
                return true;
    }
    return false;
}

/* If c gave op's value to its other users, would one of them feed c? */
bool cluster_closes_cycle(struct fusion *f, const struct op *op, struct cluster *c) {
    cluster_list users;
    clusters_using(f, op, &users);
    f->next_mark++;
    for (int i = 0; i < users.count; i++)
        if (users.at[i] != c && reaches(f, users.at[i], c))
            return true;
    return false;
}

/* Does a feed b other than directly? */
static bool feeds_around(struct fusion *f, struct cluster *a, struct cluster *b) {
    f->next_mark++;
    a->mark = f->next_mark;
    for (int i = 0; i < a->ops.count; i++) {
        cluster_list fed;
        fed_through(f, a->ops.at[i], a, &fed);
        for (int k = 0; k < fed.count; k++)
            if (fed.at[k] != b && reaches(f, fed.at[k], b))
                return true;
    }
    return false;
}

bool clusters_may_merge(struct fusion *f, struct cluster *a, struct cluster *b) {
    if (a->kind != CLUSTER_NEST || b->kind != CLUSTER_NEST || a->elements != b->elements)
        return false;
    for (int i = 0; i < a->sweeps.count; i++)
        if (b->sweeps.count && !cluster_has_sweep(b, &a->sweeps.at[i]))
            return false;
    for (int i = 0; i < b->sweeps.count; i++)
        if (a->sweeps.count && !cluster_has_sweep(a, &b->sweeps.at[i]))
            return false;
    return !feeds_around(f, a, b) && !feeds_around(f, b, a);
}

void clusters_merge(struct fusion *f, struct cluster *into, struct cluster *from) {
    for (int i = 0; i < from->ops.count; i++)
        if (!cluster_holds(f, from->ops.at[i], into))
            VEC_PUSH(f->arena, &into->ops, from->ops.at[i]);
    for (int i = 0; i < from->sweeps.count; i++)
        if (!cluster_has_sweep(into, &from->sweeps.at[i]))
            VEC_PUSH(f->arena, &into->sweeps, from->sweeps.at[i]);
    from->merged = into;
}

/* tests/support/random_program.h: random train functions in IR text, as they are after `fuse`: nests that are
 * elementwise, that read backwards or reduce; views; loops with tests and stacks, conds, both nested; three
 * states of which some are written, with anything. The values are exact in f32: sums of small multiples of
 * 1/1024. */
#ifndef TESTS_SUPPORT_RANDOM_PROGRAM_H
#define TESTS_SUPPORT_RANDOM_PROGRAM_H

#include "base/strbuf.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define NEST "{kind = \"nest\", name = \"k\"}"

enum program_kind { KIND_A, KIND_B, KIND_C }; /* f32[4,3], f32[12], bool[] */
static const char *const kinds[] = {"f32[4,3]", "f32[12]", "bool[]"};

struct program_scope {
    int count;
    struct {
        int id;
        enum program_kind kind;
    } at[64];
};

struct program_maker {
    struct strbuf *out;
    uint32_t seed;
    int next;
};

static int pick(struct program_maker *m, int n) {
    m->seed = m->seed * 1664525u + 1013904223u;
    return (int)((m->seed >> 8) % (uint32_t)n);
}

static void add(struct program_scope *s, int id, enum program_kind kind) {
    if (s->count < 64) {
        s->at[s->count].id = id;
        s->at[s->count++].kind = kind;
    }
}

/* A value of the kind; every scope has one of A and B. Late ones are likelier. */
static int any(struct program_maker *m, const struct program_scope *s, enum program_kind kind) {
    for (;;) {
        int i = pick(m, s->count);
        if (pick(m, 2))
            i = s->count - 1 - pick(m, s->count < 4 ? s->count : 4);
        if (s->at[i].kind == kind)
            return s->at[i].id;
    }
}

static bool has(const struct program_scope *s, enum program_kind kind) {
    for (int i = 0; i < s->count; i++)
        if (s->at[i].kind == kind)
            return true;
    return false;
}

/* y = a op b, or two results of both. */
static void make_elementwise(struct program_maker *m, struct program_scope *s) {
    enum program_kind k = pick(m, 2) ? KIND_A : KIND_B;
    const char *t = kinds[k], *op = pick(m, 2) ? "add" : "sub";
    int a = any(m, s, k), b = any(m, s, k), two = pick(m, 3) == 0, id = m->next;
    m->next += 6;
    strbuf_printf(m->out, "%%%d%s = kernel(%%%d, %%%d) " NEST " : %s%s%s region(%%%d: %s, %%%d: %s) {\n", id,
                  two ? arena_printf(m->out->arena, ", %%%d", id + 1) : "", a, b, t, two ? ", " : "",
                  two ? t : "", id + 2, t, id + 3, t);
    int left = two && pick(m, 2) ? id + 3 : id + 2; /* the first result may do without the first operand */
    strbuf_printf(m->out, "%%%d = %s(%%%d, %%%d) : %s\n", id + 4, op, left, id + 3, t);
    if (two)
        strbuf_printf(m->out, "%%%d = max(%%%d, %%%d) : %s\nyield(%%%d, %%%d)\n}\n", id + 5, id + 2, id + 3,
                      t, id + 4, id + 5);
    else
        strbuf_printf(m->out, "yield(%%%d)\n}\n", id + 4);
    add(s, id, k);
    if (two)
        add(s, id + 1, k);
}

/* Reads its operand from the other end. */
static void make_reversed(struct program_maker *m, struct program_scope *s) {
    int a = any(m, s, KIND_A), id = m->next;
    m->next += 3;
    strbuf_printf(m->out,
                  "%%%d = kernel(%%%d) " NEST " : f32[4,3] region(%%%d: f32[4,3]) {\n"
                  "%%%d = slice(%%%d) {start = [3, 2], step = [-1, -1]} : f32[4,3]\nyield(%%%d)\n}\n",
                  id, a, id + 1, id + 2, id + 1, id + 2);
    add(s, id, KIND_A);
}

static void make_reshape(struct program_maker *m, struct program_scope *s) {
    enum program_kind k = pick(m, 2) ? KIND_A : KIND_B;
    int id = m->next++;
    strbuf_printf(m->out, "%%%d = reshape(%%%d) : %s\n", id, any(m, s, k), kinds[1 - k]);
    add(s, id, 1 - k);
}

/* Whether the first element is positive. */
static void make_test(struct program_maker *m, struct program_scope *s) {
    int id = m->next;
    m->next += 6;
    strbuf_printf(
        m->out,
        "%%%d = kernel(%%%d) " NEST " : bool[] region(%%%d: f32[12]) {\n"
        "%%%d = reduce(%%%d) {axes = [0], kind = \"max\"} : f32[]\n%%%d = const {data = 0.5} : f32[]\n"
        "%%%d = lt(%%%d, %%%d) : bool[]\nyield(%%%d)\n}\n",
        id, any(m, s, KIND_B), id + 1, id + 2, id + 1, id + 3, id + 4, id + 3, id + 2, id + 4);
    add(s, id, KIND_C);
}

static void make_block(struct program_maker *m, struct program_scope *s, int ops, int depth);

/* Parameters of a region, in a scope of their own. */
static void make_params(struct program_maker *m, struct program_scope *inner, const enum program_kind *kind,
                        int count, bool has_index) {
    strbuf_puts(m->out, " region(");
    if (has_index)
        strbuf_printf(m->out, "%%%d: i32[]", m->next++);
    for (int i = 0; i < count; i++) {
        strbuf_printf(m->out, "%s%%%d: %s", i || has_index ? ", " : "", m->next, kinds[kind[i]]);
        add(inner, m->next++, kind[i]);
    }
    strbuf_puts(m->out, ") {\n");
}

static void make_yield(struct program_maker *m, const struct program_scope *s, const enum program_kind *kind,
                       int count) {
    strbuf_puts(m->out, "yield(");
    for (int i = 0; i < count; i++)
        strbuf_printf(m->out, "%s%%%d", i ? ", " : "", any(m, s, kind[i]));
    strbuf_puts(m->out, ")\n}");
}

static int choose_operands(struct program_maker *m, const struct program_scope *s, int *ids,
                           enum program_kind *kind, int count) {
    for (int i = 0; i < count; i++) {
        kind[i] = i < 2 ? (enum program_kind)i : pick(m, 2) ? KIND_A : KIND_B;
        ids[i] = any(m, s, kind[i]);
    }
    return count;
}

static void make_loop(struct program_maker *m, struct program_scope *s, int depth) {
    int ids[6], carried = 2 + pick(m, 2), first = m->next;
    enum program_kind kind[6];
    int count = choose_operands(m, s, ids, kind, carried + pick(m, 3));
    bool tested = pick(m, 3) == 0, stacks = !tested && pick(m, 2);
    int lo = first, hi = first + 1, out = first + 2;
    m->next += 2 + carried + 1;
    strbuf_printf(m->out, "%%%d = const {data = 1} : i32[]\n%%%d = const {data = %d} : i32[]\n", lo, hi,
                  stacks ? 4 : 1 + pick(m, 4));
    for (int i = 0; i < carried + stacks; i++)
        strbuf_printf(m->out, "%s%%%d", i ? ", " : "", out + i);
    strbuf_printf(m->out, " = loop(%%%d, %%%d", lo, hi);
    for (int i = 0; i < count; i++)
        strbuf_printf(m->out, ", %%%d", ids[i]);
    strbuf_printf(m->out, ") {carried = %d, reverse = %d} : ", carried, pick(m, 2));
    for (int i = 0; i < carried; i++)
        strbuf_printf(m->out, "%s%s", i ? ", " : "", kinds[kind[i]]);
    strbuf_puts(m->out, stacks ? ", f32[3,4,3]" : "");
    struct program_scope body = {0}, test = {0};
    make_params(m, &body, kind, count, true);
    make_block(m, &body, 2 + pick(m, 4), depth + 1);
    enum program_kind yields[4] = {kind[0], kind[1], kind[2]};
    yields[carried] = KIND_A; /* what is stacked */
    make_yield(m, &body, yields, carried + stacks);
    if (tested) {
        make_params(m, &test, kind, count, true);
        make_test(m, &test);
        strbuf_printf(m->out, "yield(%%%d)\n}", test.at[test.count - 1].id);
    }
    strbuf_puts(m->out, "\n");
    for (int i = 0; i < carried; i++)
        add(s, out + i, kind[i]);
}

static void make_cond(struct program_maker *m, struct program_scope *s, int depth) {
    int ids[6], results = 1 + pick(m, 3);
    enum program_kind kind[6], yields[3];
    if (!has(s, KIND_C))
        make_test(m, s);
    int condition = any(m, s, KIND_C), count = choose_operands(m, s, ids, kind, 2 + pick(m, 3)),
        out = m->next;
    m->next += results;
    for (int i = 0; i < results; i++) {
        yields[i] = pick(m, 2) ? KIND_A : KIND_B;
        strbuf_printf(m->out, "%s%%%d", i ? ", " : "", out + i);
    }
    strbuf_printf(m->out, " = cond(%%%d", condition);
    for (int i = 0; i < count; i++)
        strbuf_printf(m->out, ", %%%d", ids[i]);
    strbuf_puts(m->out, ") : ");
    for (int i = 0; i < results; i++)
        strbuf_printf(m->out, "%s%s", i ? ", " : "", kinds[yields[i]]);
    for (int side = 0; side < 2; side++) {
        struct program_scope inner = {0};
        make_params(m, &inner, kind, count, false);
        make_block(m, &inner, pick(m, 4), depth + 1);
        make_yield(m, &inner, yields, results);
    }
    strbuf_puts(m->out, "\n");
    for (int i = 0; i < results; i++)
        add(s, out + i, yields[i]);
}

static void make_block(struct program_maker *m, struct program_scope *s, int ops, int depth) {
    for (int i = 0; i < ops; i++) {
        int what = pick(m, depth < 2 ? 10 : 7);
        if (what < 4)
            make_elementwise(m, s);
        else if (what < 5)
            make_reversed(m, s);
        else if (what < 7)
            make_reshape(m, s);
        else if (what < 8)
            make_cond(m, s, depth);
        else
            make_loop(m, s, depth);
    }
}

/* Three states, all read; some are written, with anything. */
static const char *random_program(struct arena *arena, uint32_t seed) {
    struct strbuf out;
    strbuf_init(&out, arena);
    struct program_maker m = {&out, seed, 10};
    struct program_scope s = {0};
    strbuf_puts(&out,
                "graph g\nstate @p : f32[4,3] weight\nstate @q : f32[4,3] buffer\nstate @r : f32[12] weight\n"
                "train f() {\n%0 = input {name = \"x\"} : f32[4,3]\n%1 = input {name = \"y\"} : f32[12]\n"
                "%2 = input {name = \"c\"} : bool[]\n%3 = read {state = @p} : f32[4,3]\n"
                "%4 = read {state = @q} : f32[4,3]\n%5 = read {state = @r} : f32[12]\n");
    add(&s, 0, KIND_A), add(&s, 1, KIND_B), add(&s, 2, KIND_C), add(&s, 3, KIND_A), add(&s, 4, KIND_A),
        add(&s, 5, KIND_B);
    make_block(&m, &s, 3 + pick(&m, 12), 0);
    strbuf_printf(&out, "report(%%%d) {name = \"r\"}\n", any(&m, &s, KIND_B));
    if (pick(&m, 4))
        strbuf_printf(&out, "write(%%%d) {state = @p}\n", any(&m, &s, KIND_A));
    if (pick(&m, 4))
        strbuf_printf(&out, "write(%%%d) {state = @q}\n", any(&m, &s, KIND_A));
    if (pick(&m, 4))
        strbuf_printf(&out, "write(%%%d) {state = @r}\n", any(&m, &s, KIND_B));
    strbuf_printf(&out, "yield(%%%d, %%%d, %%%d)\n}\n", any(&m, &s, KIND_A), any(&m, &s, KIND_B),
                  any(&m, &s, KIND_A));
    return out.text;
}

#endif

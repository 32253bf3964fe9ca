/* passes/rewrite.c: compiling patterns, matching, building replacements, and the worklist. */
#include "passes/rewrite.h"

#include "base/map.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- terms: patterns and replacements, parsed once a run ---- */

enum term_kind { TERM_VALUE, TERM_CONSTANT, TERM_NUMBER, TERM_OP, TERM_ANY };

struct term {
    enum term_kind kind;
    int letter;
    double number;
    enum opcode code;
    int count; /* of operands; -1: whatever they are */
    struct term *in[3];
};

struct compiled {
    const struct rule *rule;
    struct term *pattern, *to;
    struct compiled *next; /* of the same root operator */
    int index;
};

struct rewriter {
    struct graph *graph;
    struct arena *scratch;
    struct eval *eval;
    struct compiled *by_code[OP_COUNT];
    VEC(struct op *) work;
    struct map queued; /* ops in work */
    struct rewrite_watch *watch;
};

/* Rules are ours: a text that does not parse is a mistake in the table, found by the first test that runs. */
static struct term *parse_term(struct arena *arena, const char **at) {
    struct term *term = ARENA_NEW(arena, struct term);
    const char *begin = *at;
    if (isdigit((unsigned char)*begin) || *begin == '-') {
        char *end;
        term->kind = TERM_NUMBER;
        term->number = strtod(begin, &end);
        *at = end;
        return term;
    }
    if (*begin == '*') {
        ++*at;
        term->kind = TERM_ANY;
        return term;
    }
    while (isalnum((unsigned char)**at) || **at == '_')
        ++*at;
    size_t length = (size_t)(*at - begin);
    if (length == 1) {
        term->kind = *begin < 'd' ? TERM_CONSTANT : TERM_VALUE;
        term->letter = *begin - 'a';
        return term;
    }
    term->kind = TERM_OP;
    bool known = opcode_find(begin, length, &term->code);
    assert(known && "an operator of a rule");
    (void)known;
    term->count = -1;
    if (**at != '(')
        return term;
    term->count = 0;
    do {
        ++*at;
        *at += strspn(*at, " ");
        assert(term->count < 3);
        term->in[term->count++] = parse_term(arena, at);
    } while (**at == ',');
    assert(**at == ')');
    ++*at;
    return term;
}

/* ---- matching ---- */

struct op *value_def(const struct value *value, enum opcode code) {
    return value->def && value->def->code == code ? value->def : NULL;
}

static bool number_of(const struct data *data, double *number) {
    int64_t count = type_elements(data->type);
    size_t size = (size_t)dtype_bytes(data->type->dtype);
    if (count < 1 || count > 4096)
        return false;
    for (int64_t i = 1; i < count; i++)
        if (memcmp(data->bytes, (const char *)data->bytes + (size_t)i * size, size) != 0)
            return false;
    double f = 0;
    int64_t i = 0;
    struct tensor element = {.type = &(struct type){.dtype = data->type->dtype, .elements = 1}};
    if (dtype_is_float(data->type->dtype))
        element.f = &f;
    else
        element.i = &i;
    tensor_set_bytes(&element, data->bytes);
    *number = dtype_is_float(data->type->dtype) ? f : (double)i;
    return i < (INT64_C(1) << 53) && i > -(INT64_C(1) << 53);
}

bool value_is_splat(const struct value *value, double *number) {
    for (const struct op *op = value->def; op; op = op->in[0]->def) {
        if (op->code == OP_const)
            return number_of(op_attr(op, ATTR_data)->data, number);
        if (op->code != OP_broadcast && op->code != OP_reshape && op->code != OP_transpose &&
            op->code != OP_slice)
            return false;
    }
    return false;
}

static bool match_term(struct match *m, const struct term *term, struct value *value);

static bool match_operands(struct match *m, const struct term *term, const struct op *op) {
    if (term->count < 0)
        return true;
    if (op->in_count != term->count)
        return false;
    struct match saved = *m;
    bool fits = true;
    for (int i = 0; i < term->count && fits; i++)
        fits = match_term(m, term->in[i], op->in[i]);
    if (fits || !op_commutes(term->code))
        return fits;
    *m = saved;
    return match_term(m, term->in[0], op->in[1]) && match_term(m, term->in[1], op->in[0]);
}

static bool match_term(struct match *m, const struct term *term, struct value *value) {
    double number;
    switch (term->kind) {
    case TERM_ANY:
        return true;
    case TERM_NUMBER:
        return value_is_splat(value, &number) && number == term->number;
    case TERM_OP:
        return value->def && value->def->code == term->code && match_operands(m, term, value->def);
    case TERM_CONSTANT:
        if (!value_is_splat(value, &number))
            return false;
        break;
    case TERM_VALUE:
        break;
    }
    struct value **bound = &m->values[term->letter];
    if (*bound && *bound != value)
        return false;
    *bound = value;
    return true;
}

struct value *match_value(const struct match *m, char letter) {
    return m->values[letter - 'a'];
}

struct eval *match_eval(const struct match *m) {
    return m->rewriter->eval;
}

struct arena *match_scratch(const struct match *m) {
    return m->rewriter->scratch;
}

/* ---- building ---- */

/* Operators whose result's type is declared get the type of the op that is replaced: they stand at the root
 * only. */
static struct value *build_term(struct match *m, const struct term *term, const struct type *declared) {
    enum dtype dtype = m->op->out[0]->type->dtype;
    double number;
    switch (term->kind) {
    case TERM_VALUE:
        return m->values[term->letter];
    case TERM_CONSTANT:
        value_is_splat(m->values[term->letter], &number);
        return build_number(m->b, m->values[term->letter]->type->dtype, number);
    case TERM_NUMBER:
        return build_number(m->b, dtype, term->number);
    default:
        break;
    }
    struct value *in[3];
    for (int i = 0; i < term->count; i++)
        in[i] = build_term(m, term->in[i], NULL);
    struct op *op = build_op(m->b, term->code, in, term->count, NULL, 0, &declared, 1);
    return op ? op->out[0] : NULL;
}

/* ---- the worklist ---- */

static void push(struct rewriter *r, struct op *op) {
    if (map_has(&r->queued, op))
        return;
    map_put(&r->queued, op, op);
    VEC_PUSH(r->scratch, &r->work, op);
}

static void push_block(struct rewriter *r, const struct block *block);

static void push_all(struct rewriter *r, struct op *op) {
    push(r, op);
    for (int i = 0; i < op->region_count; i++)
        push_block(r, op->regions[i]);
}

static void push_block(struct rewriter *r, const struct block *block) {
    FOR_EACH_OP (op, block)
        push_all(r, op);
}

/* What a region yields is of interest to its op. */
static void push_users(struct rewriter *r, const struct value *value) {
    FOR_EACH_USE (use, value) {
        struct op *owner = use->user->block ? use->user->block->owner : NULL;
        push(r, use->user->code == OP_yield && owner ? owner : use->user);
    }
}

void match_changed(const struct match *m, const struct value *value) {
    push_users(m->rewriter, value);
}

static bool is_dead(const struct op *op) {
    if (!op_is_pure(op->code) || op->code == OP_input || op->code == OP_call)
        return false;
    for (int i = 0; i < op->out_count; i++)
        if (value_has_uses(op->out[i]))
            return false;
    for (int r = 0; r < op->region_count; r++)
        if (block_has_effects(op->regions[r]))
            return false;
    return true;
}

/* What made its operands may be dead then, or used once only. */
static void erase(struct rewriter *r, struct op *op) {
    for (int i = 0; i < op->in_count; i++)
        if (op->in[i]->def)
            push(r, op->in[i]->def);
    op_erase(op);
}

/* The ops that were put in front of `behind`, and of `op` where that is still there, and are newer than the
 * id. */
static void push_new(struct rewriter *r, const struct op *op, const struct op *behind, int first_new) {
    struct op *made = op->block ? op->prev : behind->prev;
    for (; made && made->id >= first_new; made = made->prev)
        push_all(r, made);
}

/* Is it in a function still, not erased or in a region of what was erased? */
static bool is_linked(const struct op *op) {
    while (op->block && op->block->owner)
        op = op->block->owner;
    return op->block != NULL;
}

static bool replace_result(struct rewriter *r, struct op *op, struct value *with) {
    struct value *old = op->out[0];
    if (!with || with == old)
        return false;
    assert(with->type == old->type);
    if (!with->name)
        with->name = old->name;
    push_users(r, old);
    value_replace(old, with);
    return true;
}

/* Did the rule change anything? */
static bool apply_rule(struct rewriter *r, const struct compiled *c, struct match *m) {
    const struct rule *rule = c->rule;
    if (rule->guard && !rule->guard(m))
        return false;
    if (rule->apply) {
        int mark = r->work.count; /* who uses a result is known only beforehand */
        for (int i = 0; i < m->op->out_count; i++)
            push_users(r, m->op->out[i]);
        if (rule->apply(m))
            return true;
        while (r->work.count > mark)
            map_erase(&r->queued, VEC_POP(&r->work));
        return false;
    }
    struct value *with = rule->to ? build_term(m, c->to, m->op->out[0]->type) : rule->build(m);
    return replace_result(r, m->op, build_broadcast_to(m->b, with, m->op->out[0]->type));
}

/* The first rule that fits and applies. A yield, which has nothing behind it, fits none. */
static bool rewrite_op(struct rewriter *r, struct builder *b, struct op *op) {
    for (const struct compiled *c = op->next ? r->by_code[op->code] : NULL; c; c = c->next) {
        struct match m = {.rewriter = r, .b = b, .op = op};
        if (c->pattern->kind == TERM_OP && !match_operands(&m, c->pattern, op))
            continue;
        builder_before(b, op);
        b->site = op->site;
        int first_new = r->graph->next_op;
        const struct op *behind = op->next;
        bool done = apply_rule(r, c, &m);
        push_new(r, op, behind, first_new);
        if (!done)
            continue;
        push(r, op);
        if (r->watch) {
            r->watch->count++;
            r->watch->last = c->rule;
            r->watch->site = b->site;
            if (r->watch->fired)
                r->watch->fired[c->index]++;
        }
        return true;
    }
    return false;
}

static void compile_rule(struct rewriter *r, const struct rule *rule, int index) {
    const char *at = rule->pattern;
    struct compiled compiled = {.rule = rule, .index = index};
    compiled.pattern = parse_term(r->scratch, &at);
    if (rule->to) {
        at = rule->to;
        compiled.to = parse_term(r->scratch, &at);
    }
    for (int code = 0; code < OP_COUNT; code++) {
        if (compiled.pattern->kind == TERM_OP && compiled.pattern->code != (enum opcode)code)
            continue;
        struct compiled **last = &r->by_code[code];
        while (*last)
            last = &(*last)->next;
        *last = arena_memdup(r->scratch, &compiled, sizeof(compiled));
    }
}

int rewrite_graph(struct graph *graph, const struct rule_set *sets, int set_count, struct diags *diags,
                  struct arena *scratch, struct rewrite_watch *watch) {
    struct rewriter r = {.graph = graph, .scratch = scratch, .watch = watch};
    struct diags *quiet = diags_create(scratch); /* what folding refuses is the running program's matter */
    r.eval = eval_create(scratch, graph, EVAL_EXACT, quiet);
    map_init(&r.queued, scratch);
    int index = 0;
    for (int s = 0; s < set_count; s++)
        for (int i = 0; i < sets[s].count; i++)
            compile_rule(&r, &sets[s].rules[i], index++);
    for (int i = 0; i < graph->functions.count; i++)
        push_block(&r, graph->functions.at[i]->body);
    struct builder b;
    builder_init(&b, graph, NULL, quiet);
    /* Each op costs a few rewrites; rules that undo each other cost without end. */
    int64_t fuel = 50 * (int64_t)r.work.count + 1000;
    int rewrites = 0;
    const struct function *at = NULL; /* whose op was the last */
    for (int next = 0; next < r.work.count; next++) {
        struct op *op = r.work.at[next];
        map_erase(&r.queued, op);
        if (!is_linked(op)) /* erased meanwhile */
            continue;
        if (is_dead(op)) {
            erase(&r, op);
            continue;
        }
        if (op->block->function != at) {
            at = op->block->function;
            function_assume(at);
        }
        rewrites += rewrite_op(&r, &b, op);
        if (watch && watch->most && rewrites >= watch->most)
            break;
        if (rewrites > fuel) {
            diag_defect(diags, op->site->span, "the rewrite rules do not come to an end at %s",
                        opcode_text(op->code));
            return -1;
        }
    }
    return rewrites;
}

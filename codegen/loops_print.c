/* codegen/loops_print.c: the text of a loop function. It holds all that determines the code, in an order that
 * depends on nothing else: it is hashed for the cache. What is used more than once is named where it is used
 * first. */
#include "codegen/loops.h"

#include "base/map.h"

#include <string.h>

struct printer {
    struct strbuf *out;
    const struct loop_function *function;
    int *uses;  /* by expression id */
    int *names; /* by expression id; 0: not named yet */
    int *vars;  /* by variable id: the number that tells variables of one name apart */
    int next_name, next_var, depth;
};

static const char *const space_texts[] = {
    [SPACE_ARGUMENT] = "argument", [SPACE_SHARED] = "shared", [SPACE_WORKER] = "worker",
    [SPACE_PACKED] = "packed",     [SPACE_STACK] = "stack",   [SPACE_CONSTANT] = "constant",
};

/* ---- counting uses ---- */

static void count_expr(struct printer *p, const struct loop_expr *x) {
    if (!x || p->uses[x->id]++)
        return;
    count_expr(p, x->index);
    count_expr(p, x->mask);
    count_expr(p, x->otherwise);
    for (int i = 0; i < x->arg_count; i++)
        count_expr(p, x->args[i]);
}

static void count_block(struct printer *p, const struct loop_stmt *s) {
    for (; s; s = s->next) {
        count_expr(p, s->lo);
        count_expr(p, s->hi);
        count_expr(p, s->value);
        count_expr(p, s->index);
        count_expr(p, s->mask);
        for (int i = 0; i < 6; i++)
            count_expr(p, s->args[i]);
        if (s->tile) {
            const struct loop_expr *parts[TILE_EXPRESSIONS];
            for (int i = 0, n = tile_expressions(s->tile, parts); i < n; i++)
                count_expr(p, parts[i]);
            count_block(p, s->tile->epilogue);
        }
        count_block(p, s->body);
        count_block(p, s->otherwise);
    }
}

/* ---- expressions ---- */

static void indent(struct printer *p) {
    for (int i = 0; i < p->depth; i++)
        strbuf_puts(p->out, "  ");
}

static void print_var(struct printer *p, const struct loop_var *v) {
    if (!p->vars[v->id])
        p->vars[v->id] = ++p->next_var;
    strbuf_printf(p->out, "%s_%d", v->name, p->vars[v->id]);
}

static void print_number(struct printer *p, const struct loop_expr *x) {
    if (x->kind == LEXPR_INT && x->dtype == DTYPE_bool)
        strbuf_puts(p->out, x->i ? "true" : "false");
    else if (x->kind == LEXPR_INT)
        strbuf_printf(p->out, "%lld", (long long)x->i);
    else if (x->dtype == DTYPE_f64)
        strbuf_double(p->out, x->f);
    else
        strbuf_float(p->out, (float)x->f);
    if (x->dtype != DTYPE_i64 && x->dtype != DTYPE_f32 && x->dtype != DTYPE_bool)
        strbuf_printf(p->out, ":%s", dtype_text(x->dtype));
}

static void print_expr(struct printer *p, const struct loop_expr *x);

static void print_load(struct printer *p, const struct loop_expr *x) {
    strbuf_printf(p->out, "%s[", x->buffer->name);
    print_expr(p, x->index);
    strbuf_putc(p->out, ']');
    if (x->mask) {
        strbuf_puts(p->out, " if ");
        print_expr(p, x->mask);
        strbuf_puts(p->out, " else ");
        print_expr(p, x->otherwise);
    }
}

static void print_call(struct printer *p, const struct loop_expr *x) {
    if (x->dtype == DTYPE_i64 && (x->code == OP_add || x->code == OP_mul)) {
        strbuf_puts(p->out, x->code == OP_add ? "(" : "");
        print_expr(p, x->args[0]);
        strbuf_puts(p->out, x->code == OP_add ? " + " : "*");
        print_expr(p, x->args[1]);
        strbuf_puts(p->out, x->code == OP_add ? ")" : "");
        return;
    }
    strbuf_printf(p->out, "%s%s", opcode_text(x->code), x->i ? "_below" : "");
    if (x->code == OP_cast || x->code == OP_bitcast)
        strbuf_printf(p->out, "<%s>", dtype_text(x->dtype));
    strbuf_putc(p->out, '(');
    for (int i = 0; i < x->arg_count; i++) {
        strbuf_puts(p->out, i ? ", " : "");
        print_expr(p, x->args[i]);
    }
    strbuf_putc(p->out, ')');
}

static bool is_leaf(const struct loop_expr *x) {
    return x->kind == LEXPR_INT || x->kind == LEXPR_FLOAT || x->kind == LEXPR_VAR;
}

static void print_expr(struct printer *p, const struct loop_expr *x) {
    if (x->kind == LEXPR_VAR)
        print_var(p, x->var);
    else if (is_leaf(x))
        print_number(p, x);
    else if (p->names[x->id])
        strbuf_printf(p->out, "t%d", p->names[x->id]);
    else if (x->kind == LEXPR_LOAD)
        print_load(p, x);
    else
        print_call(p, x);
}

/* Writes a line for each shared part of x that has none yet, inner ones first. */
static void name_parts(struct printer *p, const struct loop_expr *x) {
    if (!x || is_leaf(x) || p->names[x->id])
        return;
    name_parts(p, x->index);
    name_parts(p, x->mask);
    name_parts(p, x->otherwise);
    for (int i = 0; i < x->arg_count; i++)
        name_parts(p, x->args[i]);
    if (p->uses[x->id] < 2)
        return;
    indent(p);
    int name = ++p->next_name;
    strbuf_printf(p->out, "t%d := ", name);
    print_expr(p, x);
    strbuf_putc(p->out, '\n');
    p->names[x->id] = name;
}

/* ---- statements ---- */

static void print_block(struct printer *p, const struct loop_stmt *s);

static void print_body(struct printer *p, const struct loop_stmt *body) {
    p->depth++;
    print_block(p, body);
    p->depth--;
}

static void print_for(struct printer *p, const struct loop_stmt *s) {
    static const char *const kinds[] = {
        [LOOP_SERIAL] = "", [LOOP_VECTOR] = " vector", [LOOP_UNROLL] = " unroll"};
    strbuf_puts(p->out, "for ");
    print_var(p, s->var);
    strbuf_puts(p->out, " in ");
    print_expr(p, s->lo);
    strbuf_puts(p->out, "..");
    print_expr(p, s->hi);
    if (s->step != 1)
        strbuf_printf(p->out, " step %lld", (long long)s->step);
    strbuf_printf(p->out, "%s\n", kinds[s->loop]);
    print_body(p, s->body);
}

static void print_assignment(struct printer *p, const struct loop_stmt *s, const char *word) {
    strbuf_puts(p->out, word);
    print_var(p, s->var);
    strbuf_printf(p->out, ": %s = ", dtype_text(s->var->dtype));
    print_expr(p, s->value);
    if (s->kind == LSTMT_SET && s->reduce)
        strbuf_printf(p->out, " lanes %s", opcode_text(s->reduce));
    strbuf_putc(p->out, '\n');
}

static void print_let(struct printer *p, const struct loop_stmt *s) {
    print_assignment(p, s, "let ");
}

static void print_acc(struct printer *p, const struct loop_stmt *s) {
    print_assignment(p, s, "acc ");
}

static void print_set(struct printer *p, const struct loop_stmt *s) {
    print_assignment(p, s, "");
}

static void print_store(struct printer *p, const struct loop_stmt *s) {
    strbuf_printf(p->out, "%s[", s->buffer->name);
    print_expr(p, s->index);
    strbuf_puts(p->out, "] = ");
    print_expr(p, s->value);
    if (s->mask) {
        strbuf_puts(p->out, " if ");
        print_expr(p, s->mask);
    }
    strbuf_putc(p->out, '\n');
}

static void print_if(struct printer *p, const struct loop_stmt *s) {
    strbuf_puts(p->out, "if ");
    print_expr(p, s->value);
    strbuf_putc(p->out, '\n');
    print_body(p, s->body);
    if (s->otherwise) {
        indent(p);
        strbuf_puts(p->out, "else\n");
        print_body(p, s->otherwise);
    }
}

static void print_expr_for_tile(void *data, const struct loop_expr *x) {
    print_expr(data, x);
}

static void print_tile(struct printer *p, const struct loop_stmt *s) {
    const struct tile *t = s->tile;
    tile_print(t, p->out, print_expr_for_tile, p);
    if (!t->epilogue) {
        strbuf_putc(p->out, '\n');
        return;
    }
    strbuf_puts(p->out, " then ");
    print_var(p, t->finished);
    strbuf_puts(p->out, " at ");
    print_var(p, t->row);
    strbuf_puts(p->out, ", ");
    print_var(p, t->column);
    strbuf_putc(p->out, '\n');
    print_body(p, t->epilogue);
}

static void print_philox(struct printer *p, const struct loop_stmt *s) {
    for (int i = 0; i < 4; i++) {
        strbuf_puts(p->out, i ? ", " : "let ");
        print_var(p, s->vars[i]);
    }
    strbuf_puts(p->out, " = philox(");
    for (int i = 0; i < 6; i++) {
        strbuf_puts(p->out, i ? ", " : "");
        print_expr(p, s->args[i]);
    }
    strbuf_puts(p->out, ")\n");
}

static void print_check(struct printer *p, const struct loop_stmt *s) {
    strbuf_printf(p->out, "check %d: ", s->code);
    print_expr(p, s->value);
    strbuf_putc(p->out, '\n');
}

static void print_matrix(struct printer *p, const char *name, const struct loop_expr *begin, bool turned,
                         int row) {
    strbuf_printf(p->out, "%s%s[", name, turned ? "^T" : "");
    print_expr(p, begin);
    strbuf_printf(p->out, " row %d]", row);
}

static void print_gemm(struct printer *p, const struct loop_stmt *s) {
    const struct gemm *g = s->gemm;
    strbuf_printf(p->out, "gemm %d x %d x %d: ", g->m, g->n, g->k);
    print_matrix(p, g->c->name, s->args[2], false, g->c_row);
    strbuf_puts(p->out, " = ");
    print_matrix(p, g->a->name, s->args[0], g->a_turned, g->a_row);
    strbuf_puts(p->out, " * ");
    print_matrix(p, g->b->name, s->args[1], g->b_turned, g->b_row);
    strbuf_putc(p->out, '\n');
}

static void (*const statement_printers[])(struct printer *, const struct loop_stmt *) = {
    [LSTMT_FOR] = print_for,   [LSTMT_LET] = print_let,       [LSTMT_ACC] = print_acc,
    [LSTMT_SET] = print_set,   [LSTMT_STORE] = print_store,   [LSTMT_IF] = print_if,
    [LSTMT_TILE] = print_tile, [LSTMT_PHILOX] = print_philox, [LSTMT_CHECK] = print_check,
    [LSTMT_GEMM] = print_gemm,
};

static void print_statement(struct printer *p, const struct loop_stmt *s) {
    name_parts(p, s->lo);
    name_parts(p, s->hi);
    name_parts(p, s->value);
    name_parts(p, s->index);
    name_parts(p, s->mask);
    for (int i = 0; i < 6; i++)
        name_parts(p, s->args[i]);
    if (s->tile) {
        const struct loop_expr *parts[TILE_EXPRESSIONS];
        for (int i = 0, n = tile_expressions(s->tile, parts); i < n; i++)
            name_parts(p, parts[i]);
    }
    indent(p);
    statement_printers[s->kind](p, s);
}

static void print_block(struct printer *p, const struct loop_stmt *s) {
    for (; s; s = s->next)
        print_statement(p, s);
}

static void print_buffer(struct printer *p, const struct buffer *b) {
    strbuf_printf(p->out, "  %s: %s[%lld] %s", b->name, dtype_text(b->dtype), (long long)b->elements,
                  space_texts[b->space]);
    if (b->space == SPACE_ARGUMENT)
        strbuf_printf(p->out, " %d", b->argument);
    else if (b->space == SPACE_SHARED || b->space == SPACE_WORKER || b->space == SPACE_PACKED)
        strbuf_printf(p->out, " at %lld", (long long)b->offset);
    else if (b->space == SPACE_CONSTANT)
        strbuf_printf(
            p->out, " hash %016llx",
            (unsigned long long)hash_bytes(0, b->bytes, (size_t)b->elements * (size_t)dtype_bytes(b->dtype)));
    strbuf_puts(p->out, b->is_written ? " written\n" : "\n");
}

void loops_print(const struct loop_function *function, struct strbuf *out) {
    struct printer p = {
        .out = out,
        .function = function,
        .uses = ARENA_ARRAY(function->arena, int, function->next_expr + 1),
        .names = ARENA_ARRAY(function->arena, int, function->next_expr + 1),
        .vars = ARENA_ARRAY(function->arena, int, function->next_var + 1),
        .depth = 1,
    };
    strbuf_printf(out, "loops tasks %lld\n", (long long)function->tasks);
    for (int i = 0; i < function->buffers.count; i++)
        print_buffer(&p, function->buffers.at[i]);
    count_block(&p, function->body);
    print_block(&p, function->body);
}

/* frontend/ast_print.c: a tree as S-expressions. */
#include "frontend/ast_print.h"

#include <inttypes.h>

static void print_block(const struct block_ast *block, struct strbuf *out, int indent);
static void print_stmt(const struct stmt *stmt, struct strbuf *out, int indent);

static void new_line(struct strbuf *out, int indent) {
    strbuf_putc(out, '\n');
    for (int i = 0; i < indent; i++)
        strbuf_puts(out, "  ");
}

static void print_quoted(const char *text, struct strbuf *out) {
    strbuf_putc(out, '"');
    for (; *text; text++) {
        if (*text == '\n')
            strbuf_puts(out, "\\n");
        else if (*text == '"' || *text == '\\')
            strbuf_printf(out, "\\%c", *text);
        else
            strbuf_putc(out, *text);
    }
    strbuf_putc(out, '"');
}

static void print_doc(const char *doc, struct strbuf *out) {
    if (!doc)
        return;
    strbuf_puts(out, " (doc ");
    print_quoted(doc, out);
    strbuf_putc(out, ')');
}

/* " label expr", nothing for NULL */
static void print_labelled(const char *label, const struct expr *expr, struct strbuf *out) {
    if (!expr)
        return;
    strbuf_printf(out, " %s ", label);
    ast_print_expr(expr, out);
}

/* ---- patterns and types ---- */

static void print_pattern(const struct pattern *pattern, struct strbuf *out) {
    if (pattern->name.text) {
        strbuf_puts(out, pattern->name.text);
        return;
    }
    strbuf_putc(out, '(');
    for (const struct pattern *part = pattern->parts; part; part = part->next) {
        print_pattern(part, out);
        if (part->next)
            strbuf_putc(out, ' ');
    }
    strbuf_putc(out, ')');
}

static void print_type(const struct type_expr *type, struct strbuf *out);

static void print_tensor_type(const struct type_expr *type, struct strbuf *out) {
    strbuf_printf(out, "%s[", type->name.text);
    for (const struct dim_expr *dim = type->dims; dim; dim = dim->next) {
        if (dim->expr)
            ast_print_expr(dim->expr, out);
        else
            strbuf_printf(out, "...%s", dim->rest.text ? dim->rest.text : "");
        if (dim->next)
            strbuf_putc(out, ' ');
    }
    strbuf_putc(out, ']');
}

static void print_tuple_type(const struct type_expr *type, struct strbuf *out) {
    strbuf_puts(out, "(tuple");
    for (const struct type_expr *field = type->inner; field; field = field->next) {
        strbuf_putc(out, ' ');
        if (field->field.text)
            strbuf_printf(out, "%s: ", field->field.text);
        print_type(field, out);
    }
    strbuf_putc(out, ')');
}

static void print_list_type(const struct type_expr *type, struct strbuf *out) {
    strbuf_puts(out, "(list ");
    if (type->inner)
        print_type(type->inner, out);
    strbuf_putc(out, ')');
}

static void print_type(const struct type_expr *type, struct strbuf *out) {
    switch (type->kind) {
    case TYPE_NAME:
        strbuf_puts(out, type->name.text);
        break;
    case TYPE_FN:
        strbuf_puts(out, "fn");
        break;
    case TYPE_TENSOR:
        print_tensor_type(type, out);
        break;
    case TYPE_LIST:
        print_list_type(type, out);
        break;
    case TYPE_TUPLE:
        print_tuple_type(type, out);
        break;
    }
    if (type->optional)
        strbuf_putc(out, '?');
}

static void print_formals(const struct formal *formals, struct strbuf *out) {
    strbuf_puts(out, " (");
    for (const struct formal *formal = formals; formal; formal = formal->next) {
        strbuf_puts(out, formal->name.text);
        if (formal->type) {
            strbuf_puts(out, ": ");
            print_type(formal->type, out);
        }
        print_labelled("=", formal->init, out);
        if (formal->next)
            strbuf_puts(out, ", ");
    }
    strbuf_putc(out, ')');
}

/* ---- expressions ---- */

static void print_args(const struct arg *args, struct strbuf *out) {
    for (const struct arg *arg = args; arg; arg = arg->next) {
        strbuf_putc(out, ' ');
        if (arg->name.text)
            strbuf_printf(out, "%s: ", arg->name.text);
        ast_print_expr(arg->value, out);
    }
}

static void print_optional(const struct expr *expr, struct strbuf *out) {
    if (expr)
        ast_print_expr(expr, out);
    else
        strbuf_putc(out, '_');
}

static void print_sub(const struct sub *sub, struct strbuf *out) {
    if (sub->kind == SUB_INDEX) {
        ast_print_expr(sub->a, out);
        return;
    }
    if (sub->kind == SUB_ELLIPSIS) {
        strbuf_puts(out, "...");
        return;
    }
    strbuf_puts(out, sub->kind == SUB_SLICE ? "(slice " : "(length ");
    print_optional(sub->a, out);
    strbuf_putc(out, ' ');
    print_optional(sub->b, out);
    if (sub->step) {
        strbuf_putc(out, ' ');
        ast_print_expr(sub->step, out);
    }
    strbuf_putc(out, ')');
}

static void print_number(const struct expr *e, struct strbuf *out) {
    if (e->is_int)
        strbuf_printf(out, "%" PRId64, e->integer);
    else
        strbuf_double(out, e->number);
}

static void print_string(const struct expr *e, struct strbuf *out) {
    if (e->pieces && !e->pieces->next && e->pieces->text) {
        print_quoted(e->pieces->text, out);
        return;
    }
    strbuf_puts(out, "(string");
    for (const struct piece *piece = e->pieces; piece; piece = piece->next) {
        strbuf_putc(out, ' ');
        if (piece->text)
            print_quoted(piece->text, out);
        else
            ast_print_expr(piece->expr, out);
    }
    strbuf_putc(out, ')');
}

static void print_operands(const char *head, const struct expr *e, struct strbuf *out) {
    strbuf_printf(out, "(%s", head);
    const struct expr *operands[] = {e->a, e->b, e->c};
    for (int i = 0; i < 3 && operands[i]; i++) {
        strbuf_putc(out, ' ');
        ast_print_expr(operands[i], out);
    }
    strbuf_putc(out, ')');
}

static void print_lambda(const struct expr *e, struct strbuf *out) {
    strbuf_puts(out, "(fn (");
    for (const struct param_name *param = e->params; param; param = param->next)
        strbuf_printf(out, "%s%s", param->name.text, param->next ? " " : "");
    strbuf_puts(out, ") ");
    ast_print_expr(e->a, out);
    strbuf_putc(out, ')');
}

static void print_comprehension(const struct expr *e, struct strbuf *out) {
    strbuf_puts(out, "(comprehension ");
    ast_print_expr(e->a, out);
    strbuf_puts(out, " for ");
    print_pattern(e->pattern, out);
    print_labelled("in", e->b, out);
    print_labelled("if", e->c, out);
    strbuf_putc(out, ')');
}

static void print_call(const struct expr *e, struct strbuf *out) {
    strbuf_puts(out, "(call ");
    ast_print_expr(e->a, out);
    print_args(e->args, out);
    strbuf_putc(out, ')');
}

static void print_index(const struct expr *e, struct strbuf *out) {
    strbuf_puts(out, "(index ");
    ast_print_expr(e->a, out);
    for (const struct sub *sub = e->subs; sub; sub = sub->next) {
        strbuf_putc(out, ' ');
        print_sub(sub, out);
    }
    strbuf_putc(out, ')');
}

static void print_elements(const char *head, const struct expr *e, struct strbuf *out) {
    strbuf_printf(out, "(%s", head);
    print_args(e->args, out);
    strbuf_putc(out, ')');
}

void ast_print_expr(const struct expr *e, struct strbuf *out) {
    switch (e->kind) {
    case EXPR_NAME:
    case EXPR_DTYPE:
        strbuf_puts(out, e->name.text);
        break;
    case EXPR_NUMBER:
        print_number(e, out);
        break;
    case EXPR_STRING:
        print_string(e, out);
        break;
    case EXPR_BOOL:
        strbuf_puts(out, e->is_true ? "true" : "false");
        break;
    case EXPR_NONE:
        strbuf_puts(out, "none");
        break;
    case EXPR_UNARY:
        print_operands(e->op == UNARY_NOT ? "not" : "-", e, out);
        break;
    case EXPR_BINARY:
        print_operands(binary_op_text((enum binary_op)e->op), e, out);
        break;
    case EXPR_PIPE:
        print_operands("|>", e, out);
        break;
    case EXPR_LAMBDA:
        print_lambda(e, out);
        break;
    case EXPR_IF:
        print_operands("if", e, out);
        break;
    case EXPR_WHEN:
        print_operands("when", e, out);
        break;
    case EXPR_FIELD:
        strbuf_printf(out, "(. ");
        ast_print_expr(e->a, out);
        strbuf_printf(out, " %s)", e->name.text);
        break;
    case EXPR_CALL:
        print_call(e, out);
        break;
    case EXPR_INDEX:
        print_index(e, out);
        break;
    case EXPR_TUPLE:
        print_elements("tuple", e, out);
        break;
    case EXPR_LIST:
        print_elements("list", e, out);
        break;
    case EXPR_COMPREHENSION:
        print_comprehension(e, out);
        break;
    case EXPR_LOOP:
        print_stmt(e->loop, out, 2);
        break;
    case EXPR_ERROR:
        strbuf_puts(out, "(error)");
        break;
    }
}

/* ---- statements ---- */

static const char *const assign_texts[] = {
    [ASSIGN_SET] = "=", [ASSIGN_ADD] = "+=", [ASSIGN_SUB] = "-=", [ASSIGN_MUL] = "*=", [ASSIGN_DIV] = "/=",
};
static const char *const stmt_texts[] = {
    [STMT_ERROR] = "error",   [STMT_CONST] = "const",   [STMT_ASSIGN] = "set",
    [STMT_CALL] = "do",       [STMT_TYPED] = "typed",   [STMT_UNPACK] = "unpack",
    [STMT_IF] = "if",         [STMT_WHEN] = "when",     [STMT_FOR] = "for",
    [STMT_LOOP] = "loop",     [STMT_WITH] = "with",     [STMT_RETURN] = "return",
    [STMT_YIELD] = "yield",   [STMT_UPDATE] = "update", [STMT_MINIMIZE] = "minimize",
    [STMT_REPORT] = "report", [STMT_ASSERT] = "assert",
};

static bool has_body(enum stmt_kind kind) {
    return kind == STMT_IF || kind == STMT_WHEN || kind == STMT_FOR || kind == STMT_LOOP || kind == STMT_WITH;
}

/* All parts in a fixed order: each kind has some of them. */
static void print_stmt(const struct stmt *s, struct strbuf *out, int indent) {
    strbuf_printf(out, "(%s", stmt_texts[s->kind]);
    print_doc(s->doc, out);
    if (s->name.text)
        strbuf_printf(out, " %s", s->name.text);
    if (s->type) {
        strbuf_puts(out, ": ");
        print_type(s->type, out);
    }
    if (s->pattern) {
        strbuf_putc(out, ' ');
        print_pattern(s->pattern, out);
    }
    if (s->place) {
        strbuf_putc(out, ' ');
        ast_print_expr(s->place, out);
        if (s->value)
            strbuf_printf(out, " %s", assign_texts[s->op]);
    }
    if (s->value) {
        strbuf_putc(out, ' ');
        ast_print_expr(s->value, out);
    }
    print_labelled("over", s->over, out);
    print_labelled("using", s->optimizer, out);
    print_labelled(s->kind == STMT_LOOP ? "while" : "that", s->cond, out);
    print_labelled("else", s->message, out);
    print_args(s->args, out);
    if (has_body(s->kind))
        print_block(&s->body, out, indent + 1);
    if (s->has_otherwise) {
        new_line(out, indent);
        strbuf_puts(out, "else");
        print_block(&s->otherwise, out, indent + 1);
    }
    strbuf_putc(out, ')');
}

static void print_block(const struct block_ast *block, struct strbuf *out, int indent) {
    for (const struct stmt *stmt = block->first; stmt; stmt = stmt->next) {
        new_line(out, indent);
        print_stmt(stmt, out, indent);
    }
}

/* ---- items ---- */

static void print_items(const struct item *items, struct strbuf *out, int indent);

static void print_use(const struct item *item, struct strbuf *out) {
    strbuf_puts(out, "(use");
    print_doc(item->doc, out);
    strbuf_putc(out, ' ');
    if (item->source_is_file)
        print_quoted(item->source, out);
    else
        strbuf_puts(out, item->source);
    if (item->name.text)
        strbuf_printf(out, " as %s", item->name.text);
    for (const struct param_name *name = item->names; name; name = name->next)
        strbuf_printf(out, " %s", name->name.text);
    strbuf_putc(out, ')');
}

static void print_module(const struct item *item, struct strbuf *out, int indent) {
    static const char *const words[] = {
        [MODULE_MODEL] = "model", [MODULE_MODULE] = "module", [MODULE_OPTIMIZER] = "optimizer"};
    strbuf_printf(out, "(%s", words[item->module_kind]);
    print_doc(item->doc, out);
    strbuf_printf(out, " %s", item->name.text);
    print_formals(item->formals, out);
    print_items(item->members, out, indent + 1);
    strbuf_putc(out, ')');
}

static void print_member(const struct item *item, struct strbuf *out, int indent) {
    static const char *const words[] = {[ITEM_LET] = "let",
                                        [ITEM_PARAM] = "param",
                                        [ITEM_BUFFER] = "buffer",
                                        [ITEM_FN] = "fn",
                                        [ITEM_TRAIN] = "train"};
    bool is_function = item->kind == ITEM_FN || item->kind == ITEM_TRAIN;
    strbuf_printf(out, "(%s", words[item->kind]);
    print_doc(item->doc, out);
    strbuf_printf(out, " %s", item->name.text);
    if (is_function)
        print_formals(item->formals, out);
    if (item->type) {
        strbuf_puts(out, is_function ? " -> " : ": ");
        print_type(item->type, out);
    }
    print_labelled("=", item->value, out);
    if (item->weight_path) {
        strbuf_puts(out, " as ");
        print_quoted(item->weight_path, out);
    }
    if (item->has_body)
        print_block(&item->body, out, indent + 1);
    strbuf_putc(out, ')');
}

static void print_items(const struct item *items, struct strbuf *out, int indent) {
    for (const struct item *item = items; item; item = item->next) {
        new_line(out, indent);
        if (item->kind == ITEM_USE)
            print_use(item, out);
        else if (item->kind == ITEM_MODULE)
            print_module(item, out, indent);
        else if (item->kind == ITEM_STMT)
            print_stmt(item->stmt, out, indent);
        else
            print_member(item, out, indent);
    }
}

void ast_print(const struct file_ast *file, struct strbuf *out) {
    strbuf_puts(out, "(file");
    print_doc(file->doc, out);
    print_items(file->items, out, 1);
    strbuf_puts(out, ")\n");
}

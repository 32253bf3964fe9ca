/* frontend/suggest.c: what a name that means nothing may have been meant to be: a variable of a block that
 * has ended, one that gets its value later, a name of a used file, a file that is not used, a slip of the
 * fingers. */
#include "frontend/elab.h"
#include "frontend/library.h"

#include <string.h>

/* ---- assignments in the function that runs ---- */

struct search {
    const char *name;
    struct span use;
    struct span before, behind; /* an assignment in front of the use, in a block; and one behind it */
};

static void note_binding(struct search *s, const struct ident *name) {
    if (name->text != s->name || name->span.source != s->use.source)
        return;
    if (name->span.begin < s->use.begin)
        s->before = name->span;
    else if (!span_is_known(s->behind) && name->span.begin > s->use.begin)
        s->behind = name->span;
}

static void note_pattern(struct search *s, const struct pattern *pattern) {
    for (; pattern; pattern = pattern->next) {
        note_binding(s, &pattern->name);
        note_pattern(s, pattern->parts);
    }
}

static void search_statements(struct search *s, const struct stmt *stmt) {
    for (; stmt; stmt = stmt->next) {
        if (stmt->kind == STMT_ASSIGN && stmt->place->kind == EXPR_NAME)
            note_binding(s, &(struct ident){stmt->place->name.text, stmt->place->span});
        if (stmt->kind == STMT_TYPED || stmt->kind == STMT_CONST)
            note_binding(s, &stmt->name);
        note_pattern(s, stmt->pattern);
        search_statements(s, stmt->body.first);
        search_statements(s, stmt->otherwise.first);
    }
}

static bool explain_by_assignment(struct elab *e, struct diag *diag, const char *name, struct span span) {
    struct search s = {.name = name, .use = span};
    if (e->frame->item)
        search_statements(&s, e->frame->item->body.first);
    if (span_is_known(s.before)) {
        diag_label(diag, s.before, "this `%s` belongs to its block", name);
        diag_hint(diag, "give `%s` a value in front of the block, and it stays alive behind it", name);
        return true;
    }
    if (span_is_known(s.behind))
        diag_label(diag, s.behind, "`%s` gets its value here, later", name);
    return span_is_known(s.behind);
}

/* ---- types ---- */

/* What PyTorch, NumPy and C call things that are here, too. */
struct foreign {
    const char *theirs, *ours;
};

static bool hint_foreign(struct diag *diag, const char *word, const struct foreign *table) {
    for (; table->theirs; table++)
        if (strcmp(table->theirs, word) == 0) {
            diag_hint(diag, "%s", table->ours);
            return true;
        }
    return false;
}

static const struct foreign foreign_types[] = {{"float16", "write `f16`"},
                                               {"half", "write `f16`"},
                                               {"bfloat16", "write `bf16`"},
                                               {"float32", "write `f32`"},
                                               {"single", "write `f32`"},
                                               {"float64", "write `f64`"},
                                               {"double", "write `f64`"},
                                               {"int8", "write `i8`"},
                                               {"int32", "write `i32`"},
                                               {"int64", "write `i64`"},
                                               {"long", "write `i64`"},
                                               {"uint8", "write `u8`"},
                                               {"byte", "write `u8`"},
                                               {"uint32", "write `u32`"},
                                               {"integer", "write `int`"},
                                               {"boolean", "write `bool`"},
                                               {"str", "write `string`"},
                                               {"String", "write `string`"},
                                               {"tensor", "write its dtype and shape: f32[B, 3]"},
                                               {"Tensor", "write its dtype and shape: f32[B, 3]"},
                                               {"array", "write its dtype and shape: f32[B, 3]"},
                                               {"callable", "write `fn`"},
                                               {"Module", "write `module`"},
                                               {NULL, NULL}};

static const struct foreign foreign_names[] = {
    {"self", "a member is named by its name alone"},
    {"torch", "functions are named by their name alone: exp(x)"},
    {"np", "functions are named by their name alone: exp(x)"},
    {"jnp", "functions are named by their name alone: exp(x)"},
    {"math", "functions are named by their name alone: exp(x)"},
    {"F", "functions are named by their name alone: relu(x)"},
    {"True", "write `true`"},
    {"False", "write `false`"},
    {"None", "write `none`"},
    {"null", "write `none`"},
    {"cat", "write concat(list, axis: a)"},
    {"permute", "write transpose(x, [0, 2, 1])"},
    {"view", "write reshape(x, shape)"},
    {"unsqueeze", "write x[:, none], or reshape(x, shape)"},
    {"squeeze", "write x[:, 0], or reshape(x, shape)"},
    {"pow", "write x^n"},
    {"matmul", "write x @ y"},
    {"bmm", "write x @ y"},
    {"linspace", "write a + (b - a) * f32(arange(n)) / (n - 1)"},
    {"ReLU", "write `relu`, a function"},
    {"Sequential", "a list of layers is called as one: [nn.Linear(3), relu]"},
    {NULL, NULL}};

static const struct foreign foreign_members[] = {
    {"size", "write x.shape[0]"},
    {"ndim", "write rank(x)"},
    {"dim", "write rank(x)"},
    {"T", "write transpose(x)"},
    {"view", "write reshape(x, shape)"},
    {"permute", "write transpose(x, [0, 2, 1])"},
    {"unsqueeze", "write x[:, none], or reshape(x, shape)"},
    {"squeeze", "write x[:, 0], or reshape(x, shape)"},
    {"numel", "write prod(x.shape)"},
    {"float", "write f32(x)"},
    {"long", "write i64(x)"},
    {"to", "write cast(x, f16)"},
    {"type", "write x.dtype"},
    {"detach", "write stop_gradient(x)"},
    {"backward", "`minimize loss using nn.Adam(lr: 1e-3)` takes the gradient and the step"},
    {"item", "a tensor of rank 0 is used as it is"},
    {NULL, NULL}};

static const struct foreign foreign_parameters[] = {{"dim", "here it is called `axis`"},
                                                    {"dims", "here it is called `axis`"},
                                                    {"keepdim", "here it is called `keep`"},
                                                    {"keepdims", "here it is called `keep`"},
                                                    {"kernel_size", "here it is called `k`"},
                                                    {"padding", "here it is called `pad`"},
                                                    {"out_features", "here it is called `out`"},
                                                    {"out_channels", "here it is called `out`"},
                                                    {"in_features", "it is found at the first call"},
                                                    {"in_channels", "it is found at the first call"},
                                                    {"num_groups", "here it is called `groups`"},
                                                    {"num_features", "it is found at the first call"},
                                                    {NULL, NULL}};

void hint_parameter(struct diag *diag, const char *name, const char *const *names, int count) {
    const char *near = nearest_name(name, names, count);
    if (near || !hint_foreign(diag, name, foreign_parameters))
        diag_nearest(diag, name, names, count);
}

void hint_tensor_member(struct elab *e, struct diag *diag, const char *name) {
    const struct binding *fn = scope_find(e->frame->scope, name);
    if (fn && (fn->datum.kind == DATUM_CLOSURE || fn->datum.kind == DATUM_BUILTIN))
        diag_hint(diag, "`%s` is a function: %s(x)", name, name);
    else
        hint_foreign(diag, name, foreign_members);
}

void unknown_type(struct diags *diags, const char *word, struct span span) {
    static const char *const words[] = {"int", "float", "bool", "string", "list", "module",
                                        "any", "num",   "fn",   "f16",    "bf16", "f32",
                                        "f64", "i8",    "u8",   "i32",    "u32",  "i64"};
    struct diag *diag = diag_error(diags, span, E_NAME, "unknown type `%s`", word);
    if (!hint_foreign(diag, word, foreign_types))
        diag_nearest(diag, word, words, (int)(sizeof words / sizeof *words));
}

void unknown_dtype(struct diags *diags, const char *word, struct span span) {
    const char *words[DTYPE_COUNT];
    for (int i = 0; i < DTYPE_COUNT; i++)
        words[i] = dtype_text((enum dtype)i);
    struct diag *diag = diag_error(diags, span, E_DTYPE, "`%s` is no dtype", word);
    if (!hint_foreign(diag, word, foreign_types))
        diag_nearest(diag, word, words, DTYPE_COUNT);
}

/* ---- other files ---- */

static bool explain_by_file(struct elab *e, struct diag *diag, const char *name) {
    for (const struct scope *s = e->frame->scope; s; s = s->parent)
        for (int i = 0; s->kind == SCOPE_FILE && i < s->bindings.count; i++) {
            const struct binding *b = &s->bindings.at[i];
            if (!b->name || b->datum.kind != DATUM_NAMESPACE || !scope_find_here(b->datum.scope, name))
                continue;
            diag_hint(diag, "did you mean `%s.%s`?", b->name, name);
            return true;
        }
    for (int i = 0; i < library_file_count; i++) {
        size_t length = strlen(name);
        if (strncmp(library_files[i].name, name, length) != 0 ||
            strcmp(library_files[i].name + length, ".weft") != 0)
            continue;
        diag_hint(diag, "`use %s` at the top of the file brings it", name);
        return true;
    }
    return false;
}

void explain_unknown_name(struct elab *e, struct diag *diag, const char *name, struct span span) {
    if (explain_by_assignment(e, diag, name, span) || explain_by_file(e, diag, name) ||
        hint_foreign(diag, name, foreign_names))
        return;
    const char *near = scope_nearest(e->frame->scope, name, e->arena);
    if (near)
        diag_hint(diag, "did you mean `%s`?", near);
}

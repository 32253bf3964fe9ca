/* codegen/header.c: the C header of an object. It stands alone: what it needs of runtime/weft.h is written
 * into it, under the same guard. */
#include "codegen/interface.h"

#include <ctype.h>
#include <string.h>

static const char *upper(struct arena *arena, const char *text) {
    char *copy = arena_strdup(arena, text);
    for (char *c = copy; *c; c++)
        *c = (char)toupper((unsigned char)*c);
    return copy;
}

static void print_param(struct strbuf *out, const struct c_param *p) {
    switch (p->kind) {
    case PARAM_WEIGHTS:
    case PARAM_STATE:
        strbuf_printf(out, "%svoid *%s", p->is_const ? "const " : "", p->name);
        break;
    case PARAM_TENSOR:
        strbuf_printf(out, "const %s *%s", c_type_of(p->type->dtype), p->name);
        break;
    case PARAM_SCALAR:
        strbuf_printf(out, "%s %s", c_type_of(p->type->dtype), p->name);
        break;
    case PARAM_OUTPUT:
        strbuf_printf(out, "%s *%s", c_type_of(p->type->dtype), p->name);
        break;
    case PARAM_SIZE:
        strbuf_printf(out, "int64_t %s", p->name);
        break;
    case PARAM_SEED:
        strbuf_printf(out, "uint64_t %s", p->name);
        break;
    case PARAM_WORKSPACE:
        strbuf_printf(out, "void *%s", p->name);
        break;
    case PARAM_EXEC:
        strbuf_printf(out, "const weft_exec *%s", p->name);
        break;
    }
}

/* "where B is 8": what tells a variant from the others. */
static void print_condition(struct strbuf *out, const struct c_function *f, const struct c_variant *variant) {
    const char *before = " where ";
    for (int i = 0; i < f->params.count; i++) {
        const struct c_param *p = &f->params.at[i];
        if (p->kind != PARAM_SIZE)
            continue;
        strbuf_printf(out, "%s%s is %lld", before, p->name, (long long)c_size(variant, p));
        before = " and ";
    }
}

/* "B: 1, 8 or 64 in this object": each value once. */
static void print_size_note(struct strbuf *out, const struct c_function *f, const struct c_param *p) {
    strbuf_printf(out, " *   %s:", p->name);
    for (int i = 0; i < f->variants.count; i++) {
        bool is_new = true;
        for (int k = 0; k < i; k++)
            is_new = is_new && c_size(&f->variants.at[k], p) != c_size(&f->variants.at[i], p);
        if (is_new)
            strbuf_printf(out, "%s %lld", i ? " or" : "", (long long)c_size(&f->variants.at[i], p));
    }
    strbuf_puts(out, " in this object\n");
}

/* The tensor's type, or where it depends on the sizes one for each variant. */
static void print_type_note(struct strbuf *out, const struct c_function *f, const struct c_param *p) {
    bool differs = false;
    for (int i = 1; i < f->variants.count; i++)
        differs |= f->variants.at[i].function->plan->arguments.at[p->argument].type != p->type;
    strbuf_printf(out, " *   %s: ", p->name);
    for (int i = 0; i < (differs ? f->variants.count : 1); i++) {
        strbuf_puts(out, i ? ",\n *     " : "");
        type_print(out, f->variants.at[i].function->plan->arguments.at[p->argument].type);
        if (differs)
            print_condition(out, f, &f->variants.at[i]);
    }
    strbuf_puts(out, "\n");
}

/* Shapes and sizes, a line each: what the prototype cannot say. */
static void print_param_note(struct strbuf *out, const struct c_function *f, const struct c_param *p) {
    if (p->kind == PARAM_SIZE)
        print_size_note(out, f, p);
    if (p->kind == PARAM_TENSOR || p->kind == PARAM_OUTPUT)
        print_type_note(out, f, p);
}

/* The model's words must not end the comment. */
static void print_doc(struct strbuf *out, const char *doc) {
    strbuf_puts(out, " * ");
    for (const char *c = doc; *c; c++) {
        if (*c == '*' && c[1] == '/')
            strbuf_puts(out, "* ");
        else if (*c == '\n')
            strbuf_puts(out, c[1] ? "\n * " : "");
        else
            strbuf_putc(out, *c);
    }
    strbuf_puts(out, "\n");
}

/* The form that all entries share, for each variant. */
static void print_calls(struct strbuf *out, const struct c_function *f) {
    for (int i = 0; i < f->variants.count; i++) {
        const struct c_variant *v = &f->variants.at[i];
        strbuf_printf(out, "int %s_call(void *const *args, void *workspace, const weft_exec *exec);\n",
                      v->name);
        strbuf_printf(out, "enum { %s_arg_count = %d };\n", v->name, v->function->plan->arguments.count);
        strbuf_printf(out, "extern const weft_arg_info %s_args[];\n", v->name);
    }
}

static void print_function(struct strbuf *out, const struct c_function *f) {
    strbuf_printf(out, "/* %s %s\n", f->entry->kind == FUNCTION_TRAIN ? "train" : "fn",
                  f->entry->entry ? f->entry->entry : f->entry->name);
    if (f->entry->doc)
        print_doc(out, f->entry->doc);
    for (int i = 0; i < f->params.count; i++)
        print_param_note(out, f, &f->params.at[i]);
    strbuf_printf(out, " */\nint %s(", f->name);
    for (int i = 0; i < f->params.count; i++) {
        strbuf_puts(out, i ? ", " : "");
        print_param(out, &f->params.at[i]);
    }
    strbuf_puts(out, ");\n");
    if (f->is_init) {
        strbuf_puts(out, "\n");
        return;
    }
    strbuf_printf(out, "size_t %s_workspace(", f->name);
    for (int i = 0; i < f->params.count; i++)
        if (f->params.at[i].kind == PARAM_SIZE) {
            print_param(out, &f->params.at[i]);
            strbuf_puts(out, ", ");
        }
    strbuf_puts(out, "const weft_exec *exec);\n");
    print_calls(out, f);
    strbuf_puts(out, "\n");
}

static void print_states(struct strbuf *out, const struct compiled *c, const char *prefix) {
    int weights = 0;
    for (int i = 0; i < c->graph->states.count; i++)
        weights += c->graph->states.at[i]->kind == STATE_WEIGHT;
    strbuf_printf(
        out,
        "/* The tensors of the two blocks, in the order of raw[]; a row without a name ends each list. */\n"
        "enum { %s_weights_count = %d, %s_state_count = %d };\n"
        "extern const weft_tensor_info %s_weights_info[], %s_state_info[];\n"
        "size_t %s_weights_size(void);\nsize_t %s_state_size(void);\n"
        "/* raw[i]: the bytes of tensor i, dense and row major. Both return 0. */\n"
        "int %s_pack_weights(const void *const raw[], void *weights);\n"
        "int %s_unpack_weights(const void *weights, void *const raw[]);\n"
        "/* What entries want behind the tensors, made of them: for whoever fills or changes tensors in the "
        "block "
        "itself. _pack_weights and _init have done it. */\n"
        "int %s_prepare_weights(void *weights);\n\n",
        prefix, weights, prefix, c->graph->states.count - weights, prefix, prefix, prefix, prefix, prefix,
        prefix, prefix);
}

static void print_held(struct strbuf *out, const struct compiled *c, const char *prefix,
                       struct held_blocks held) {
    if (held.weights)
        strbuf_printf(
            out,
            "/* The weights block that the object holds, %lld bytes, for entries that only read it. */\n"
            "extern const unsigned char %s_weights[];\n\n",
            (long long)c->weights_bytes, prefix);
    if (held.state)
        strbuf_printf(out,
                      "/* The state block to begin with, %lld bytes: entries that only read it take it as it "
                      "is, for\n * those that change it copy it to memory of yours, 64-byte aligned. */\n"
                      "extern const unsigned char %s_state[];\n\n",
                      (long long)c->plan->state_bytes, prefix);
}

const char *header_write(struct compiled *compiled, const char *prefix, struct held_blocks held,
                         struct diags *diags) {
    struct c_interface interface;
    if (!c_interface_of(compiled, prefix, &interface, diags))
        return NULL;
    struct strbuf out;
    strbuf_init(&out, compiled->arena);
    const char *guard = upper(compiled->arena, prefix);
    strbuf_printf(
        &out,
        "/* %s.h: a model compiled by weft %s for %s. Link %s.o%s, and libm where the linker asks for it.\n"
        " *\n"
        " * weights and state: blocks of the sizes told here; workspace: of the size that the entry's "
        "_workspace tells\n"
        " * for the same exec. All three 64-byte aligned, owned by the caller. exec: how to run in parallel, "
        "or NULL.\n"
        " * Every entry returns 0 or a code for %s_error. Nothing allocates, keeps state or opens files. */\n"
        "#ifndef %s_WEFT_H\n#define %s_WEFT_H\n\n",
        prefix, WEFT_VERSION, compiled->target->cpu, prefix,
        compiled->options.use_openblas ? " and libopenblas" : "", prefix, guard, guard);
    strbuf_puts(&out, weft_abi_text);
    strbuf_printf(&out,
                  "\n#if WEFT_ABI_MAJOR != %d\n#error \"this header is of another major version of weft's "
                  "ABI\"\n#endif\n\n"
                  "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n",
                  WEFT_ABI_MAJOR);
    print_states(&out, compiled, prefix);
    print_held(&out, compiled, prefix, held);
    for (int i = 0; i < interface.functions.count; i++)
        print_function(&out, &interface.functions.at[i]);
    strbuf_printf(&out,
                  "/* What an entry's code means, in the model text's words. Never NULL. */\n"
                  "const char *%s_error(int code);\n\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n",
                  prefix);
    return out.text;
}

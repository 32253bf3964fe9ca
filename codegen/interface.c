#include "codegen/interface.h"

#include <ctype.h>
#include <string.h>

/* Words of C and C++ that a model may use as names. */
static const char *const reserved[] = {
    "auto",    "bool",      "break",  "case",     "catch",    "char",      "class",    "const",    "continue",
    "default", "delete",    "do",     "double",   "else",     "enum",      "explicit", "export",   "extern",
    "false",   "float",     "for",    "friend",   "goto",     "if",        "inline",   "int",      "long",
    "mutable", "namespace", "new",    "operator", "private",  "protected", "public",   "register", "restrict",
    "return",  "short",     "signed", "sizeof",   "static",   "struct",    "switch",   "template", "this",
    "throw",   "true",      "try",    "typedef",  "typename", "union",     "unsigned", "using",    "virtual",
    "void",    "volatile",  "while",  "and",      "or",       "not",       "xor",
};

static bool is_reserved(const char *text) {
    for (size_t i = 0; i < sizeof(reserved) / sizeof(*reserved); i++)
        if (strcmp(reserved[i], text) == 0)
            return true;
    return false;
}

const char *c_identifier(struct arena *arena, const char *text) {
    char *name = arena_printf(arena, "%s%s%s", isdigit((unsigned char)*text) || !*text ? "_" : "", text,
                              is_reserved(text) ? "_" : "");
    for (char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c))
            *c = '_';
    return name;
}

const char *c_type_of(enum dtype dtype) {
    static const char *const types[DTYPE_COUNT] = {
#define DTYPE(name, ctype, bytes, class) #ctype,
#include "ir/dtype.def"
#undef DTYPE
    };
    return types[dtype];
}

static bool is_taken(const struct c_function *f, const char *name) {
    for (int i = 0; i < f->params.count; i++)
        if (strcmp(f->params.at[i].name, name) == 0)
            return true;
    return false;
}

static void add_param(struct arena *arena, struct c_function *f, struct c_param param) {
    param.name = c_identifier(arena, param.name);
    while (is_taken(f, param.name))
        param.name = arena_printf(arena, "%s_", param.name);
    VEC_PUSH(arena, &f->params, param);
}

static void add_blocks(struct arena *arena, struct c_function *f) {
    const struct function_plan *plan = f->function->plan;
    if (plan->reads_weights || plan->writes_weights || f->is_init)
        add_param(arena, f,
                  (struct c_param){.kind = PARAM_WEIGHTS,
                                   .name = "weights",
                                   .is_const = !plan->writes_weights && !f->is_init});
    if (plan->reads_state || plan->writes_state || f->is_init)
        add_param(arena, f,
                  (struct c_param){.kind = PARAM_STATE,
                                   .name = "state",
                                   .is_const = !plan->writes_state && !f->is_init,
                                   .argument = 1});
}

/* 16-bit floats have no C type to pass by value. */
static enum c_param_kind input_kind(const struct type *type) {
    return type->rank == 0 && type->dtype != DTYPE_bf16 && type->dtype != DTYPE_f16 ? PARAM_SCALAR
                                                                                    : PARAM_TENSOR;
}

static void add_arguments(struct arena *arena, struct c_function *f, int role) {
    const struct function_plan *plan = f->function->plan;
    for (int i = 0; i < plan->arguments.count; i++) {
        const struct plan_argument *arg = &plan->arguments.at[i];
        if (arg->role != role)
            continue;
        struct c_param param = {.kind = PARAM_OUTPUT, .name = arg->name, .type = arg->type, .argument = i};
        if (role == WEFT_INPUT)
            param.kind = input_kind(arg->type);
        else if (role == WEFT_SEED)
            param.kind = PARAM_SEED;
        else
            param.name = arena_printf(arena, "%s_out", arg->name);
        add_param(arena, f, param);
    }
}

static void add_sizes(struct arena *arena, struct c_function *f) {
    const struct function *function = f->function->function;
    for (int i = 0; i < function->sizes.count; i++)
        add_param(arena, f,
                  (struct c_param){.kind = PARAM_SIZE,
                                   .name = function->sizes.at[i].name,
                                   .argument = -1,
                                   .size = function->sizes.at[i].value});
}

struct c_function c_function_of(const struct compiled *compiled, const struct compiled_function *function,
                                const char *prefix) {
    struct arena *arena = compiled->arena;
    struct c_function f = {.function = function, .is_init = function->function->kind == FUNCTION_INIT};
    f.name = arena_printf(arena, "%s_%s", prefix, c_identifier(arena, function->function->name));
    add_blocks(arena, &f);
    add_arguments(arena, &f, WEFT_INPUT);
    add_sizes(arena, &f);
    add_arguments(arena, &f, WEFT_SEED);
    add_arguments(arena, &f, WEFT_RESULT);
    add_arguments(arena, &f, WEFT_REPORT);
    if (f.is_init && f.params.count == 2) /* an init that draws nothing has the same form */
        add_param(arena, &f, (struct c_param){.kind = PARAM_SEED, .name = "seed", .argument = -1});
    if (f.is_init)
        return f;
    add_param(arena, &f, (struct c_param){.kind = PARAM_WORKSPACE, .name = "workspace", .argument = -1});
    add_param(arena, &f, (struct c_param){.kind = PARAM_EXEC, .name = "exec", .argument = -1});
    return f;
}

const char *check_text(const struct compiled *compiled, int row) {
    const struct check_row *check = &compiled->checks.at[row];
    struct span span = check->site->span;
    if (!span_is_known(span))
        return check->message;
    int line, column;
    source_locate(span.source, span.begin, &line, &column);
    return arena_printf(compiled->arena, "%s:%d: %s", span.source->name, line, check->message);
}

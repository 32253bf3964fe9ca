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

static const struct function_plan *plan_of_first(const struct c_function *f) {
    return f->variants.at[0].function->plan;
}

static void add_blocks(struct arena *arena, struct c_function *f) {
    const struct function_plan *plan = plan_of_first(f);
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
    const struct function_plan *plan = plan_of_first(f);
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
    for (int i = 0; i < f->entry->sizes.count; i++)
        add_param(arena, f,
                  (struct c_param){
                      .kind = PARAM_SIZE, .name = f->entry->sizes.at[i].name, .argument = -1, .size = i});
}

static void add_params(struct arena *arena, struct c_function *f) {
    add_blocks(arena, f);
    add_arguments(arena, f, WEFT_INPUT);
    add_sizes(arena, f);
    add_arguments(arena, f, WEFT_SEED);
    add_arguments(arena, f, WEFT_RESULT);
    add_arguments(arena, f, WEFT_REPORT);
    if (f->is_init && f->params.count == 2) /* an init that draws nothing has the same form */
        add_param(arena, f, (struct c_param){.kind = PARAM_SEED, .name = "seed", .argument = -1});
    if (f->is_init)
        return;
    add_param(arena, f, (struct c_param){.kind = PARAM_WORKSPACE, .name = "workspace", .argument = -1});
    add_param(arena, f, (struct c_param){.kind = PARAM_EXEC, .name = "exec", .argument = -1});
}

int64_t c_size(const struct c_variant *variant, const struct c_param *param) {
    return variant->function->function->sizes.at[param->size].value;
}

/* ---- variants ---- */

static bool same_argument(const struct plan_argument *a, const struct plan_argument *b) {
    if (strcmp(a->name, b->name) != 0 || a->role != b->role || !a->type != !b->type)
        return false;
    return !a->type || (a->type->dtype == b->type->dtype && a->type->rank == b->type->rank);
}

/* One prototype is for both: they differ in sizes alone. */
static bool have_one_form(const struct c_variant *a, const struct c_variant *b) {
    const struct function_plan *p = a->function->plan, *q = b->function->plan;
    const struct function *f = a->function->function, *g = b->function->function;
    if (p->arguments.count != q->arguments.count || f->sizes.count != g->sizes.count ||
        p->reads_weights != q->reads_weights || p->writes_weights != q->writes_weights ||
        p->reads_state != q->reads_state || p->writes_state != q->writes_state)
        return false;
    for (int i = 0; i < p->arguments.count; i++)
        if (!same_argument(&p->arguments.at[i], &q->arguments.at[i]))
            return false;
    for (int i = 0; i < f->sizes.count; i++)
        if (strcmp(f->sizes.at[i].name, g->sizes.at[i].name) != 0)
            return false;
    return true;
}

static struct c_function *find_entry(struct c_interface *c, const char *entry) {
    for (int i = 0; entry && i < c->functions.count; i++)
        if (c->functions.at[i].entry->entry && strcmp(c->functions.at[i].entry->entry, entry) == 0)
            return &c->functions.at[i];
    return NULL;
}

/* ---- names ---- */

/* What stands behind PREFIX_ in every header. */
static const char *const fixed[] = {
    "weights",     "weights_info", "weights_size",    "weights_count",  "state", "state_info", "state_size",
    "state_count", "pack_weights", "prepare_weights", "unpack_weights", "init",  "error"};
/* And behind an entry's name. */
static const char *const endings[] = {"", "_workspace", "_call", "_args", "_arg_count"};

static bool extends(const char *longer, const char *name) {
    size_t length = strlen(name);
    bool found = false;
    for (size_t i = 0; strncmp(longer, name, length) == 0 && i < sizeof(endings) / sizeof(*endings); i++)
        found |= strcmp(longer + length, endings[i]) == 0;
    return found;
}

static bool names_clash(const char *a, const char *b) {
    return extends(a, b) || extends(b, a);
}

static bool is_free(const struct c_interface *c, const char *prefix, const char *name) {
    for (size_t i = 0; i < sizeof(fixed) / sizeof(*fixed); i++)
        if (strcmp(name + strlen(prefix) + 1, fixed[i]) == 0)
            return false;
    for (int i = 0; i < c->functions.count; i++) {
        const struct c_function *f = &c->functions.at[i];
        if (names_clash(name, f->name))
            return false;
        for (int k = 0; k < f->variants.count; k++)
            if (names_clash(name, f->variants.at[k].name))
                return false;
    }
    return true;
}

/* PREFIX_NAME, with a _ behind it where that is the name of something else: a fn may be called `error`. */
static const char *entry_name(struct arena *arena, const struct c_interface *c, const char *prefix,
                              const struct function *function, const char *name) {
    if (function->kind == FUNCTION_INIT)
        return arena_printf(arena, "%s_init", prefix);
    name = arena_printf(arena, "%s_%s", prefix, c_identifier(arena, name));
    while (!is_free(c, prefix, name))
        name = arena_printf(arena, "%s_", name);
    return name;
}

bool c_interface_of(const struct compiled *compiled, const char *prefix, struct c_interface *out,
                    struct diags *diags) {
    struct arena *arena = compiled->arena;
    *out = (struct c_interface){0};
    for (int i = 0; i < compiled->functions.count; i++) {
        const struct function *function = compiled->functions.at[i].function;
        const char *name = entry_name(arena, out, prefix, function, function->name);
        struct c_variant variant = {&compiled->functions.at[i], name};
        struct c_function *known = find_entry(out, function->entry);
        if (known && !have_one_form(&known->variants.at[0], &variant)) {
            diag_error_at(
                diags, function->site, E_ARGUMENT,
                "`%s` has other inputs or results at other sizes: no one C function is for all of them",
                function->entry);
            return false;
        }
        if (!known) {
            struct c_function f = {
                .entry = function, .name = name, .is_init = function->kind == FUNCTION_INIT};
            if (function->entry)
                f.name = entry_name(arena, out, prefix, function, function->entry);
            VEC_PUSH(arena, &out->functions, f);
            known = &out->functions.at[out->functions.count - 1];
        }
        VEC_PUSH(arena, &known->variants, variant);
    }
    for (int i = 0; i < out->functions.count; i++)
        add_params(arena, &out->functions.at[i]);
    return true;
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

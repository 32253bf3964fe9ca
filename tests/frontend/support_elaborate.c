#include "support_elaborate.h"

#include "ir/eval.h"
#include "ir/gradient.h"
#include "ir/text.h"

#include <string.h>

struct session session_start(struct arena *arena, const char *name, const char *text, size_t length) {
    struct session s = {.arena = arena, .path = name};
    s.types = types_create(arena);
    s.names = interner_create(arena);
    s.diags = diags_create(arena);
    s.fe = frontend_create(arena, s.types, s.names, s.diags);
    frontend_load_source(s.fe, source_create(arena, name, text, length));
    return s;
}

struct request {
    VEC(const char *) entries;
    VEC(struct setting) settings;
};

/* The words behind "// run:" */
static bool parse_request(struct arena *arena, const char *text, struct request *r) {
    static const char mark[] = "// run:";
    if (strncmp(text, mark, sizeof mark - 1) != 0)
        return false;
    const char *p = text + sizeof mark - 1;
    while (*p && *p != '\n') {
        size_t length = strcspn(p, " \n");
        char *word = arena_strndup(arena, p, length), *equals = strchr(word, '=');
        if (equals) {
            const struct source *source = source_create(arena, "--set", word, length);
            *equals = 0;
            struct setting setting = {
                word, equals + 1, {source, (uint32_t)(equals + 1 - word), (uint32_t)length}};
            VEC_PUSH(arena, &r->settings, setting);
        } else if (length > 0) {
            VEC_PUSH(arena, &r->entries, word);
        }
        p += length + (p[length] == ' ');
    }
    return true;
}

static void print_function(struct function *function, struct strbuf *out) {
    if (function)
        function_print(function, out);
}

static void elaborate_request(struct session *s, const struct request *r, struct strbuf *out) {
    struct instance *model =
        frontend_instantiate(s->fe, s->path, NULL, r->settings.at, r->settings.count, s->arena);
    for (int i = 0; model && i < r->entries.count; i++)
        print_function(strcmp(r->entries.at[i], "init") == 0
                           ? instance_elaborate_init(model)
                           : instance_elaborate(model, r->entries.at[i], NULL, 0, 1),
                       out);
    if (model && diags_error_count(s->diags) == 0)
        graph_verify(instance_graph(model), s->diags, "elaboration");
}

bool elaborate_everything(struct session *s, bool with_init) {
    for (int m = 0; m < frontend_model_count(s->fe, s->path); m++) {
        struct instance *model =
            frontend_instantiate(s->fe, s->path, frontend_model_name(s->fe, s->path, m), NULL, 0, s->arena);
        for (int i = 0; model && i < instance_entry_count(model); i++)
            instance_elaborate(model, instance_entry(model, i)->name, NULL, 0, 1);
        if (model && with_init && diags_error_count(s->diags) == 0)
            instance_elaborate_init(model);
        if (model && diags_error_count(s->diags) == 0)
            graph_verify(instance_graph(model), s->diags, "elaboration");
    }
    return diags_error_count(s->diags) == 0;
}

void elaborate_asked(struct session *s, const char *text, struct strbuf *printed) {
    struct request request = {0};
    if (diags_error_count(s->diags) == 0 && parse_request(s->arena, text, &request))
        elaborate_request(s, &request, printed);
    else if (diags_error_count(s->diags) == 0)
        elaborate_everything(s, true);
}

void elaborate_text(struct arena *arena, const char *name, const char *text, size_t length,
                    struct strbuf *out) {
    struct session s = session_start(arena, name, text, length);
    struct strbuf printed;
    strbuf_init(&printed, arena);
    elaborate_asked(&s, text, &printed);
    if (diags_count(s.diags) > 0)
        diags_render(s.diags, out, false);
    if (diags_error_count(s.diags) == 0)
        strbuf_puts(out, printed.text ? printed.text : "");
}

/* ---- running ---- */

static bool open_gradient(struct session *s, struct graph *graph, struct op *op) {
    struct builder b;
    builder_init(&b, graph, op->block, s->diags);
    builder_before(&b, op);
    struct value *one = build_like(&b, op->in[0], 1.0),
                 **dxs = ARENA_ARRAY(s->arena, struct value *, op->out_count);
    struct reverse reverse = {
        .ys = &op->in[0], .dys = &one, .y_count = 1, .xs = op->in + 1, .x_count = op->out_count};
    if (!gradient_reverse(&b, &reverse, dxs, s->arena))
        return false;
    for (int i = 0; i < op->out_count; i++)
        value_replace(op->out[i], dxs[i] ? dxs[i] : build_full(&b, op->out[i]->type, 0.0));
    op_erase(op);
    return true;
}

bool open_gradients(struct session *s, struct graph *graph, struct block *block) {
    FOR_EACH_OP (op, block) {
        for (int r = 0; r < op->region_count; r++)
            if (!open_gradients(s, graph, op->regions[r]))
                return false;
        if (op->code == OP_grad && !open_gradient(s, graph, op))
            return false;
    }
    return true;
}

static void print_number(struct strbuf *out, const struct tensor *t, int64_t i) {
    if (!dtype_is_float(t->type->dtype))
        strbuf_printf(out, "%lld", (long long)t->i[i]);
    else
        strbuf_printf(out, "%.6g", t->f[i] == 0.0 ? 0.0 : t->f[i]);
}

/* name = f32[2,2] 1 2, 3 4: rows of the last axis. */
static void print_tensor(struct session *s, struct strbuf *out, const char *name, const struct tensor *t) {
    int64_t row = t->type->rank > 0 ? type_size(t->type, -1) : 1;
    strbuf_printf(out, "  %s = %s", *name ? name : "_", type_text(s->types, t->type));
    for (int64_t i = 0; i < type_elements(t->type); i++) {
        strbuf_puts(out, i > 0 && i % row == 0 ? ", " : " ");
        print_number(out, t, i);
    }
    strbuf_putc(out, '\n');
}

static int count_ops(const struct block *block, enum opcode code) {
    int count = 0;
    FOR_EACH_OP (op, block) {
        count += op->code == code;
        for (int r = 0; r < op->region_count; r++)
            count += count_ops(op->regions[r], code);
    }
    return count;
}

static void print_reports(struct session *s, struct strbuf *out, const struct block *block,
                          struct tensor **reports, int *next) {
    FOR_EACH_OP (op, block) {
        for (int r = 0; r < op->region_count; r++)
            print_reports(s, out, op->regions[r], reports, next);
        if (op->code == OP_report && reports[(*next)++])
            print_tensor(s, out, op_string(op, ATTR_name), reports[*next - 1]);
    }
}

struct prints {
    struct session *session;
    struct strbuf text;
};

static bool see_print(void *context, const struct op *op, struct tensor *const *in,
                      struct tensor *const *out) {
    struct prints *prints = context;
    (void)out;
    if (op->code == OP_print)
        print_tensor(prints->session, &prints->text,
                     arena_printf(prints->session->arena, "print %s", op_string(op, ATTR_name)), in[0]);
    return true;
}

static bool run_function(struct session *s, struct eval *eval, const struct function *function,
                         struct strbuf *out) {
    const int64_t two = 2;
    struct tensor *seed = tensor_create(s->arena, type_of_sizes(s->types, DTYPE_u32, 1, &two));
    seed->i[0] = 7;
    int results = block_yield(function->body)->in_count, inputs = count_ops(function->body, OP_input),
        next = 0;
    struct tensor **values = ARENA_ARRAY(s->arena, struct tensor *, results),
                  **reports = ARENA_ARRAY(s->arena, struct tensor *, count_ops(function->body, OP_report));
    struct prints prints = {.session = s};
    strbuf_init(&prints.text, s->arena);
    eval_set_observer(eval, see_print, &prints);
    bool ran = eval_function(eval, function, &seed, inputs, values, reports);
    if (out && (ran || prints.text.length > 0))
        strbuf_printf(out, "%s\n%s", function->name, prints.text.length > 0 ? prints.text.text : "");
    if (!ran || !out)
        return ran;
    for (int i = 0; i < results; i++)
        print_tensor(s, out, function->result_names[i], values[i]);
    print_reports(s, out, function->body, reports, &next);
    return true;
}

static void run_model(struct session *s, struct instance *model, struct strbuf *out) {
    struct graph *graph = instance_graph(model);
    VEC(struct function *) functions = {0};
    for (int i = 0; i < instance_entry_count(model); i++) {
        const struct entry *entry = instance_entry(model, i);
        struct function *function =
            entry->param_count == 0 ? instance_elaborate(model, entry->name, NULL, 0, 1) : NULL;
        if (function)
            VEC_PUSH(s->arena, &functions, function);
    }
    struct function *init = instance_elaborate_init(model);
    if (!init || diags_error_count(s->diags) > 0)
        return;
    struct eval *eval = eval_create(s->arena, graph, EVAL_EXACT, s->diags);
    if (!graph_verify(graph, s->diags, "elaboration") || !run_function(s, eval, init, NULL))
        return;
    for (int i = 0; i < functions.count; i++) {
        struct function *function = functions.at[i];
        if (!open_gradients(s, graph, function->body))
            return;
        for (int turn = 0; turn < (function->kind == FUNCTION_TRAIN ? 2 : 1); turn++)
            if (!run_function(s, eval, function, out))
                return;
    }
    if (graph->states.count > 0)
        strbuf_puts(out, "afterwards\n");
    for (int i = 0; i < graph->states.count; i++)
        if (graph->states.at[i]->kind != STATE_RUN && strncmp(graph->states.at[i]->name, "opt.", 4) != 0)
            print_tensor(s, out, graph->states.at[i]->name, eval_state(eval, graph->states.at[i]));
}

void run_model_text(struct arena *arena, const char *name, const char *text, size_t length,
                    struct strbuf *out) {
    struct session s = session_start(arena, name, text, length);
    struct instance *model =
        diags_error_count(s.diags) == 0 ? frontend_instantiate(s.fe, name, NULL, NULL, 0, arena) : NULL;
    if (model)
        run_model(&s, model, out);
    if (diags_count(s.diags) > 0)
        diags_render(s.diags, out, false);
}

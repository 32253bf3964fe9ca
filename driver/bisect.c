#include "driver/bisect.h"

#include "driver/bisect_gradients.h"
#include "ir/build.h"
#include "ir/eval.h"
#include "passes/plan_run.h"
#include "passes/rewrite.h"

#include <math.h>
#include <string.h>

/* Of max|a - b| / max|b|: constants are folded in f32, and chains of powers may be products. */
static const double graph_tolerance = 1e-5;

/* ---- graphs: the entries after some passes ---- */

struct stage {
    struct graph *graph;
    struct function **functions; /* by request */
    struct pass_context context;
};

static struct stage *stage_begin(const struct bisect *b) {
    struct arena *arena = b->session->arena;
    struct stage *s = ARENA_NEW(arena, struct stage);
    s->functions = ARENA_ARRAY(arena, struct function *, b->count);
    s->graph = session_bind(b->session, b->graph, b->requests, b->count, s->functions, arena);
    s->context = (struct pass_context){.arena = arena,
                                       .diags = b->session->diags,
                                       .functions = s->functions,
                                       .function_count = b->count,
                                       .verify = true,
                                       .more_rules = b->more_rules,
                                       .after_pass = b->after_pass};
    return s->graph ? s : NULL;
}

/* NULL: reported. */
static struct stage *stage_after(const struct bisect *b, const char *pass) {
    struct stage *s = stage_begin(b);
    return s && pipeline_run(s->graph, &s->context, pass) ? s : NULL;
}

/* ---- runs ---- */

/* What a run gives: results, reports and states, each under a name. */
struct outputs {
    VEC(struct output {
        const char *name;
        struct tensor *value; /* NULL: a report that did not run */
    })
    list;
};

struct given {
    struct tensor **inputs; /* of the entry */
    int input_count;
    struct tensor **states; /* by index */
};

static const char *result_name(struct arena *arena, const struct function *f, int i) {
    const char *name = f->result_names ? f->result_names[i] : NULL;
    return name && *name ? name : arena_printf(arena, "result %d", i + 1);
}

static void add_output(struct arena *arena, struct outputs *o, const char *name, struct tensor *value) {
    struct output output = {name, value};
    VEC_PUSH(arena, &o->list, output);
}

static void name_reports(struct arena *arena, struct outputs *o, const struct block *block,
                         struct tensor *const *reports, int *next) {
    FOR_EACH_OP (op, block) {
        if (op->code == OP_report)
            add_output(arena, o, op_string(op, ATTR_name), reports[(*next)++]);
        for (int r = 0; r < op->region_count; r++)
            name_reports(arena, o, op->regions[r], reports, next);
    }
}

static int count_reports(const struct block *block) {
    int count = 0;
    FOR_EACH_OP (op, block) {
        count += op->code == OP_report;
        for (int r = 0; r < op->region_count; r++)
            count += count_reports(op->regions[r]);
    }
    return count;
}

static void set_states(struct arena *arena, struct eval *eval, const struct graph *graph,
                       struct tensor *const *states) {
    for (int i = 0; states && i < graph->states.count; i++)
        if (states[i])
            eval_set_state(eval, graph->states.at[i], tensor_clone(arena, states[i]));
}

static bool run_graph(const struct bisect *b, const struct stage *s, int entry, enum eval_mode mode,
                      const struct given *given, eval_observer *observer, void *context,
                      struct outputs *out) {
    struct arena *arena = b->session->arena;
    const struct function *f = s->functions[entry];
    struct eval *eval = eval_create(arena, s->graph, mode, b->session->diags);
    int count = block_yield(f->body)->in_count, next = 0;
    struct tensor **results = ARENA_ARRAY(arena, struct tensor *, count + 1);
    struct tensor **reports = ARENA_ARRAY(arena, struct tensor *, count_reports(f->body) + 1);
    set_states(arena, eval, s->graph, given->states);
    eval_set_observer(eval, observer, context);
    if (!eval_function(eval, f, given->inputs, given->input_count, results, reports))
        return false;
    for (int i = 0; i < count; i++)
        add_output(arena, out, result_name(arena, f, i), results[i]);
    name_reports(arena, out, f->body, reports, &next);
    for (int i = 0; i < s->graph->states.count; i++)
        add_output(arena, out, s->graph->states.at[i]->name, eval_state(eval, s->graph->states.at[i]));
    return true;
}

static const struct output *find_output(const struct outputs *o, int index, const char *name) {
    if (index < o->list.count && strcmp(o->list.at[index].name, name) == 0)
        return &o->list.at[index];
    for (int i = 0; i < o->list.count; i++)
        if (strcmp(o->list.at[i].name, name) == 0)
            return &o->list.at[i];
    return NULL;
}

/* The first of `wanted` that `have` gives otherwise, as a line; NULL: they are near. */
static const char *difference(const struct bisect *b, const struct outputs *have,
                              const struct outputs *wanted, double tolerance) {
    for (int i = 0; i < wanted->list.count; i++) {
        const struct output *w = &wanted->list.at[i], *h = find_output(have, i, w->name);
        struct strbuf why;
        strbuf_init(&why, b->session->arena);
        strbuf_printf(&why, "%s: ", w->name);
        if (!w->value) /* code leaves the memory of such a report as it is */
            continue;
        if (!h || !h->value)
            return arena_printf(b->session->arena, "%s is not there", w->name);
        if (!compare_tensors(h->value, w->value, tolerance, &why))
            return why.text;
    }
    return NULL;
}

/* ---- inputs and states ---- */

static double next_number(uint32_t *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return (double)(*seed >> 8) * 0x1p-24;
}

/* Floats in [0, 1), integers 0 and 1; a single one, which may be a time or a place, is 1. */
static void make_inputs(const struct bisect *b, const struct function *f, struct given *given) {
    struct arena *arena = b->session->arena;
    uint32_t seed = (uint32_t)b->session->seed;
    VEC(struct tensor *) inputs = {0};
    FOR_EACH_OP (op, f->body) {
        if (op->code != OP_input)
            continue;
        struct tensor *t = tensor_create(arena, op->out[0]->type);
        for (int64_t i = 0; i < type_elements(t->type); i++)
            if (dtype_is_float(t->type->dtype))
                t->f[i] = float_round(t->type->dtype, next_number(&seed));
            else
                t->i[i] = t->type->rank == 0 || next_number(&seed) < 0.5;
        VEC_PUSH(arena, &inputs, t);
    }
    given->inputs = inputs.at;
    given->input_count = inputs.count;
}

static bool is_zero(const struct tensor *t) {
    for (int64_t i = 0; i < type_elements(t->type); i++)
        if (t->f[i] != 0)
            return false;
    return true;
}

/* As "init" says; but weights of zeros (biases, last layers) would hide half of a network. */
static bool make_states(const struct bisect *b, const struct stage *s, struct tensor ***states) {
    struct arena *arena = b->session->arena;
    uint32_t seed = 17;
    struct given given = {0};
    struct eval *eval = eval_create(arena, s->graph, EVAL_EXACT, b->session->diags);
    const struct function *init = s->functions[b->count - 1];
    struct tensor **results = ARENA_ARRAY(arena, struct tensor *, block_yield(init->body)->in_count + 1);
    make_inputs(b, init, &given);
    if (!eval_function(eval, init, given.inputs, given.input_count, results, NULL))
        return false;
    *states = ARENA_ARRAY(arena, struct tensor *, s->graph->states.count + 1);
    for (int i = 0; i < s->graph->states.count; i++) {
        const struct state *state = s->graph->states.at[i];
        struct tensor *t = eval_state(eval, state);
        t = t ? tensor_clone(arena, t) : tensor_create(arena, state->type);
        if (state->kind == STATE_WEIGHT && dtype_is_float(t->type->dtype) && is_zero(t))
            for (int64_t k = 0; k < type_elements(t->type); k++)
                t->f[k] = float_round(t->type->dtype, 0.2 * next_number(&seed) - 0.1);
        (*states)[i] = t;
    }
    return true;
}

/* ---- one entry ---- */

struct search {
    const struct bisect *b;
    int entry;
    struct given given;
    struct outputs wanted, exact; /* in f64; rounded as compiled code does, after all passes */
    struct bisect_finding *found;
};

static void tell(const struct search *s, const char *step, const char *why) {
    strbuf_printf(s->b->out, "  %-14s %s\n", step, why ? why : "same");
}

static void found(struct search *s, const char *step, const char *why) {
    tell(s, step, why);
    *s->found = (struct bisect_finding){.entry = s->b->requests[s->entry].entry
                                                     ? s->b->requests[s->entry].entry
                                                     : s->b->requests[s->entry].function->name,
                                        .step = step,
                                        .why = why};
}

/* Does what the passes leave give other results? *why NULL: no. false: reported. */
static bool look(const struct search *s, const struct stage *stage, const char **why) {
    struct outputs have = {0};
    if (!run_graph(s->b, stage, s->entry, EVAL_F64, &s->given, NULL, NULL, &have))
        return false;
    *why = difference(s->b, &have, &s->wanted, graph_tolerance);
    return true;
}

/* ---- simplify: the first wrong rewrite ---- */

static bool simplified_to(const struct search *s, int most, struct rewrite_watch *watch, const char **why) {
    struct stage *stage = stage_begin(s->b);
    *watch = (struct rewrite_watch){.most = most};
    if (!stage)
        return false;
    stage->context.rewrites = watch;
    return pipeline_run(stage->graph, &stage->context, "simplify") && look(s, stage, why);
}

static bool find_rule(struct search *s) {
    struct rewrite_watch watch;
    const char *why;
    if (!simplified_to(s, 0, &watch, &why))
        return false;
    int good = 0, bad = watch.count, all = watch.count;
    while (bad - good > 1) {
        int middle = good + (bad - good) / 2;
        if (!simplified_to(s, middle, &watch, &why))
            return false;
        *(why ? &bad : &good) = middle;
    }
    if (bad == 0)
        return true;
    if (!simplified_to(s, bad, &watch, &why))
        return false;
    s->found->detail = arena_printf(s->b->session->arena, "rewrite %d of %d, by the rule %s", bad, all,
                                    watch.last ? watch.last->pattern : "?");
    s->found->site = watch.site;
    return true;
}

/* ---- fuse: the first kernel that gives a value which was not there before ---- */

/* Of a value, whatever its shape: fuse may keep a reshaped one. */
struct print {
    int64_t count;
    double sum, size; /* with weights of the elements' places; of their sizes */
};

struct prints {
    struct arena *arena;
    VEC(struct print) list;
    const struct op *odd; /* the first kernel without a like */
};

static struct print print_of(const struct tensor *t) {
    struct print p = {type_elements(t->type), 0, 0};
    uint32_t seed = 1;
    for (int64_t i = 0; i < p.count; i++) {
        double x = dtype_is_float(t->type->dtype) ? t->f[i] : (double)t->i[i];
        if (!isfinite(x))
            x = x > 0 ? 1e6 : -1e6;
        p.sum += x * (next_number(&seed) - 0.5);
        p.size += fabs(x);
    }
    return p;
}

static bool collect_prints(void *context, const struct op *op, struct tensor *const *in,
                           struct tensor *const *out) {
    struct prints *p = context;
    (void)in;
    for (int i = 0; i < op->out_count; i++)
        VEC_PUSH(p->arena, &p->list, print_of(out[i]));
    return true;
}

static bool has_like(const struct prints *p, const struct print *x) {
    for (int i = 0; i < p->list.count; i++) {
        const struct print *y = &p->list.at[i];
        if (x->count == y->count && fabs(x->sum - y->sum) <= 1e-6 * (y->size + 1e-300) &&
            fabs(x->size - y->size) <= 1e-6 * y->size)
            return true;
    }
    return false;
}

static bool find_odd(void *context, const struct op *op, struct tensor *const *in,
                     struct tensor *const *out) {
    struct prints *p = context;
    (void)in;
    for (int i = 0; op->code == OP_kernel && !p->odd && i < op->out_count; i++) {
        struct print x = print_of(out[i]);
        if (!has_like(p, &x))
            p->odd = op;
    }
    return true;
}

static const char *kernel_text(const struct search *s, const struct op *kernel) {
    return arena_printf(s->b->session->arena, "the kernel %s %s", op_string(kernel, ATTR_kind),
                        op_string(kernel, ATTR_name));
}

static bool find_fused_kernel(struct search *s, const char *before) {
    struct prints p = {.arena = s->b->session->arena};
    struct outputs ignored = {0};
    struct stage *plain = stage_after(s->b, before), *fused = stage_after(s->b, "fuse");
    if (!plain || !fused ||
        !run_graph(s->b, plain, s->entry, EVAL_F64, &s->given, collect_prints, &p, &ignored) ||
        !run_graph(s->b, fused, s->entry, EVAL_F64, &s->given, find_odd, &p, &ignored))
        return false;
    if (p.odd) {
        s->found->detail = kernel_text(s, p.odd);
        s->found->site = p.odd->site;
    }
    return true;
}

/* ---- memory: the graph run by its plan ---- */

/* A place of its own for every buffer: what alias says, without plan_memory. */
static void spread(struct function_plan *f) {
    f->arena_bytes = 0;
    for (int i = 0; i < f->buffers.count; i++) {
        f->buffers.at[i].place->offset = f->arena_bytes;
        f->arena_bytes += (f->buffers.at[i].bytes + PLAN_ALIGNMENT - 1) / PLAN_ALIGNMENT * PLAN_ALIGNMENT;
    }
}

/* The outputs of a plan's run or a call, from their bytes. */
static void take_outputs(const struct search *s, const struct stage *stage, const struct function_plan *f,
                         unsigned char *const *args, struct outputs *out) {
    struct arena *arena = s->b->session->arena;
    const struct plan *plan = stage->context.plan;
    int result = 0;
    for (int role = WEFT_RESULT; role <= WEFT_REPORT; role++)
        for (int i = 2; i < f->arguments.count; i++) {
            const struct plan_argument *a = &f->arguments.at[i];
            if (a->role == role)
                add_output(arena, out,
                           a->report ? op_string(a->report, ATTR_name)
                                     : result_name(arena, f->function, result++),
                           tensor_from_bytes(arena, a->type, args[i]));
        }
    for (int i = 0; i < stage->graph->states.count; i++) {
        const struct state *state = stage->graph->states.at[i];
        unsigned char *block = args[state->kind != STATE_WEIGHT];
        add_output(arena, out, state->name,
                   tensor_from_bytes(arena, state->type, block + plan->state_offset[i]));
    }
}

static void give_inputs(const struct search *s, const struct stage *stage, const struct function_plan *f,
                        unsigned char *const *args) {
    int next = 0;
    for (int i = 2; i < f->arguments.count; i++)
        if (f->arguments.at[i].role == WEFT_INPUT || f->arguments.at[i].role == WEFT_SEED)
            tensor_to_bytes(s->given.inputs[next++], args[i]);
    for (int i = 0; i < stage->graph->states.count; i++)
        tensor_to_bytes(s->given.states[i], args[stage->graph->states.at[i]->kind != STATE_WEIGHT] +
                                                stage->context.plan->state_offset[i]);
}

static bool run_plan(const struct search *s, struct stage *stage, struct outputs *out) {
    struct plan_run run;
    plan_run_init(&run, s->b->session->arena, stage->graph, stage->context.plan, stage->functions[s->entry],
                  s->b->session->diags);
    run.args[0] = run.weights;
    run.args[1] = run.state;
    give_inputs(s, stage, run.function, run.args);
    if (!plan_run(&run))
        return false;
    take_outputs(s, stage, run.function, run.args, out);
    return true;
}

/* The evaluator's bits, from the bytes that the plan gives each value. */
static bool look_at_plan(struct search *s, struct stage *stage, bool spreads, const char **why) {
    struct outputs have = {0};
    struct function_plan *f = plan_of(stage->context.plan, stage->functions[s->entry]);
    if (spreads)
        spread(f);
    s->exact = (struct outputs){0};
    if (!run_graph(s->b, stage, s->entry, EVAL_EXACT, &s->given, NULL, NULL, &s->exact) ||
        !run_plan(s, stage, &have))
        return false;
    *why = difference(s->b, &have, &s->exact, 0);
    return true;
}

/* ---- compiled code ---- */

static bool call_code(const struct search *s, struct stage *stage, struct outputs *out) {
    struct session *session = s->b->session;
    struct arena *arena = session->arena;
    const struct codegen_options options = {.cpu = session->cpu, .use_openblas = session->use_openblas};
    const struct codegen_api *codegen = session->codegen;
    const struct function_plan *f = plan_of(stage->context.plan, stage->functions[s->entry]);
    struct compiled *compiled = codegen->compile(stage->graph, stage->functions, s->b->count,
                                                 stage->context.plan, &options, arena, session->diags);
    struct loaded *loaded = compiled ? codegen->load(compiled, session->diags) : NULL;
    if (!loaded)
        return false;
    unsigned char **args = ARENA_ARRAY(arena, unsigned char *, f->arguments.count);
    for (int i = 0; i < f->arguments.count; i++) {
        int64_t bytes = i == 0   ? stage->context.plan->weights_bytes
                        : i == 1 ? stage->context.plan->state_bytes
                                 : type_bytes(f->arguments.at[i].type);
        unsigned char *at = arena_alloc(arena, (size_t)bytes + 128);
        args[i] = at + (64 - (uintptr_t)at % 64) % 64;
    }
    give_inputs(s, stage, f, args);
    const char *name = stage->functions[s->entry]->name;
    unsigned char *space = arena_alloc(arena, codegen->workspace(compiled, name, 1) + 64);
    int code =
        codegen->entry(loaded, name)((void *const *)args, space + (64 - (uintptr_t)space % 64) % 64, NULL);
    take_outputs(s, stage, f, args, out);
    codegen->unload(loaded);
    return code == WEFT_OK ||
           session_fail(session, E_COMPILE, "`%s` gives the error code %d for the inputs of --bisect", name,
                        code);
}

/* Every kernel's results outside of loops and conds become results of the entry. */
static void watch_kernels(const struct stage *stage, int entry) {
    struct function *f = stage->functions[entry];
    struct op *yield = block_yield(f->body);
    struct arena *arena = stage->graph->arena;
    VEC(struct value *) values = {0};
    VEC(const char *) names = {0};
    struct builder b;
    for (int i = 0; i < yield->in_count; i++) {
        VEC_PUSH(arena, &values, yield->in[i]);
        VEC_PUSH(arena, &names, f->result_names ? f->result_names[i] : NULL);
    }
    FOR_EACH_OP (op, f->body)
        for (int i = 0; op->code == OP_kernel && i < op->out_count; i++) {
            VEC_PUSH(arena, &values, op->out[i]);
            VEC_PUSH(arena, &names, arena_printf(arena, "kernel %d of %%%d", i, op->id));
        }
    builder_init(&b, stage->graph, f->body, stage->context.diags);
    op_erase(yield);
    builder_at_end(&b, f->body);
    build_yield(&b, values.at, values.count);
    f->result_names = names.at;
}

/* What rounding does to the evaluator, times some: compiled code adds up in another order, and Winograd's
 * convolutions may be off by 2e-4. */
static double code_tolerance(const struct search *s, const struct outputs *exact) {
    double tolerance = 5e-4;
    while (tolerance < 1 && difference(s->b, exact, &s->wanted, tolerance / 32))
        tolerance *= 2;
    return tolerance;
}

static bool find_compiled_kernel(struct search *s, double tolerance) {
    struct stage *stage = stage_after(s->b, "fuse");
    struct outputs wanted = {0}, have = {0};
    if (!stage)
        return false;
    watch_kernels(stage, s->entry);
    if (!pipeline_run_from(stage->graph, &stage->context, "schedule", NULL) ||
        !run_graph(s->b, stage, s->entry, EVAL_F64, &s->given, NULL, NULL, &wanted) ||
        !call_code(s, stage, &have))
        return false;
    FOR_EACH_OP (op, stage->functions[s->entry]->body)
        for (int i = 0; op->code == OP_kernel && i < op->out_count; i++) {
            const char *name = arena_printf(s->b->session->arena, "kernel %d of %%%d", i, op->id);
            const struct output *w = find_output(&wanted, 0, name), *h = find_output(&have, 0, name);
            if (!w || !h || compare_tensors(h->value, w->value, tolerance, NULL))
                continue;
            s->found->detail = kernel_text(s, op);
            s->found->site = op->site;
            return true;
        }
    return true;
}

/* ---- the steps ---- */

static const char *pass_before(const char *name) {
    const struct pass *pass = pipeline_find(name);
    return pass > pipeline ? pass[-1].name : NULL;
}

static bool look_at_graphs(struct search *s) {
    for (const struct pass *pass = pipeline; strcmp(pass->name, "plan_memory") != 0; pass++) {
        const char *why = NULL;
        /* gradients stand in the way of an earlier look */
        if (pass < pipeline_find("differentiate"))
            continue;
        struct stage *stage = stage_after(s->b, pass->name);
        if (!stage || !look(s, stage, &why))
            return false;
        if (!why && strcmp(pass->name, "alias") == 0 && !look_at_plan(s, stage, true, &why))
            return false;
        if (!why) {
            tell(s, pass->name, NULL);
            continue;
        }
        const char *name = pass == pipeline_find("differentiate") ? pipeline[0].name : pass->name;
        found(s, name, why);
        return strcmp(name, "simplify") == 0 ? find_rule(s)
               : strcmp(name, "fuse") == 0   ? find_fused_kernel(s, pass_before("fuse"))
                                             : true;
    }
    return true;
}

static bool look_at_code(struct search *s) {
    const char *why = NULL;
    struct stage *stage = stage_after(s->b, NULL);
    struct outputs have = {0};
    if (!stage || !look_at_plan(s, stage, false, &why))
        return false;
    if (why) {
        found(s, "plan_memory", why);
        return true;
    }
    tell(s, "plan_memory", NULL);
    double tolerance = code_tolerance(s, &s->exact);
    if (!call_code(s, stage, &have))
        return false;
    if (!(why = difference(s->b, &have, &s->wanted, tolerance))) {
        tell(s, "codegen", NULL);
        return true;
    }
    found(s, "codegen", why);
    return find_compiled_kernel(s, tolerance);
}

/* The reference is what differentiate alone makes of the elaborated graph; its gradients are compared with
 * slopes. */
static bool search_entry(struct search *s, const struct stage *plain, bool *is_over) {
    const char *why = NULL;
    make_inputs(s->b, plain->functions[s->entry], &s->given);
    strbuf_printf(s->b->out, "%s\n", plain->functions[s->entry]->name);
    if (!run_graph(s->b, plain, s->entry, EVAL_F64, &s->given, NULL, NULL, &s->wanted))
        return false;
    struct stage *watched = stage_begin(s->b);
    if (!watched)
        return false;
    watched->context.skipped = 1;
    if (gradients_watch(watched->functions[s->entry], s->b->session->diags) > 0) {
        const struct gradient_run run = {watched->graph,  watched->functions[s->entry],
                                         s->given.inputs, s->given.input_count,
                                         s->given.states, s->b->session->diags};
        if (!pipeline_run(watched->graph, &watched->context, "differentiate") ||
            !gradients_are_slopes(&run, s->b->session->arena, &why))
            return false;
        if (why)
            found(s, "differentiate", why);
        else
            tell(s, "gradients", "are slopes");
    }
    if (!s->found->step && (!look_at_graphs(s) || (!s->found->step && !look_at_code(s))))
        return false;
    *is_over = s->found->step != NULL;
    return true;
}

bool bisect_run(const struct bisect *b, struct bisect_finding *finding) {
    struct tensor **states;
    bool is_over = false;
    *finding = (struct bisect_finding){0};
    struct stage *plain = stage_begin(b);
    if (!plain)
        return false;
    plain->context.skipped = 1; /* attend */
    if (!pipeline_run(plain->graph, &plain->context, "differentiate") || !make_states(b, plain, &states))
        return false;
    for (int entry = 0; entry < b->count - 1 && !is_over; entry++) {
        struct search s = {.b = b, .entry = entry, .given.states = states, .found = finding};
        if (!search_entry(&s, plain, &is_over))
            return false;
    }
    return true;
}

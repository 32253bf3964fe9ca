/* driver/cmd_dump.c: weft dump and weft plan: what the compiler makes of a model on its way. */
#include "driver/bisect.h"
#include "driver/entries.h"
#include "ir/text.h"
#include "runtime/file.h"

#include <string.h>

/* Loads, instantiates and elaborates what the command names. */
struct work {
    struct session session;
    struct instance *instance;
    struct sizes sizes;
    struct requests requests;
    struct function **functions; /* of the graph that was taken last: by request */
};

static bool prepare(struct work *w, struct invocation *invocation) {
    struct model_name name;
    if (!session_load(&w->session, invocation->words.at[0], &name))
        return false;
    w->instance = session_instantiate(&w->session, &name, NULL, 0);
    const char *list = name.fn ? name.fn : option_text(invocation, OPT_entry, NULL);
    return w->instance && entries_elaborate(&w->session, w->instance, list, &w->sizes, &w->requests);
}

static enum exit_status open_work(struct work *w, struct invocation *invocation) {
    if (invocation->words.count != 1)
        return usage_error(invocation, "one model is wanted");
    return session_open(&w->session, invocation) && sizes_from_options(&w->session, invocation, &w->sizes)
               ? EXIT_OK
               : EXIT_USAGE;
}

/* The graph with the functions alone; bound where every size that they need is known. */
static struct graph *take_graph(struct work *w, bool bind) {
    const struct request *requests = w->requests.list.at;
    int count = w->requests.list.count;
    w->functions = ARENA_ARRAY(w->session.arena, struct function *, count + 1);
    if (bind)
        return session_bind(&w->session, instance_graph(w->instance), requests, count, w->functions,
                            w->session.arena);
    struct graph *graph = graph_copy(instance_graph(w->instance), w->session.arena);
    for (int i = 0; i < count; i++)
        w->functions[i] = graph_find_function(graph, requests[i].function->name);
    return graph;
}

static bool run_passes(struct work *w, struct graph *graph, const char *until, struct plan **plan) {
    struct pass_context context = {.functions = w->functions, .function_count = w->requests.list.count};
    bool ok = session_run_passes(&w->session, graph, &context, until);
    *plan = context.plan;
    return ok;
}

static bool is_codegen_stage(const char *after) {
    return strcmp(after, "loops") == 0 || strcmp(after, "asm") == 0;
}

static void list_stages(FILE *out) {
    fprintf(out, "  %-14s %s\n", "elaborate", "the graph as the front end makes it");
    for (int i = 0; i < pipeline_count; i++)
        fprintf(out, "  %-14s %s\n", pipeline[i].name, pipeline[i].summary);
    fprintf(out, "  %-14s %s\n  %-14s %s\n", "loops", "the loops of every kernel", "asm",
            "the machine code of every kernel");
}

static const char *dump_code(struct work *w, const char *after, bool explain) {
    struct program *p = program_create(&w->session, instance_graph(w->instance), w->requests.list.at,
                                       w->requests.list.count, false);
    if (!p)
        return NULL;
    if (explain)
        return arena_printf(w->session.arena, "%s%s", p->passes_why.text ? p->passes_why.text : "",
                            w->session.codegen->explain(p->compiled));
    return strcmp(after, "loops") == 0 ? w->session.codegen->loops(p->compiled)
                                       : w->session.codegen->assembly(p->compiled, w->session.diags);
}

static bool has_sizes(const struct work *w) {
    return w->sizes.bindings.count + w->sizes.listed.count > 0;
}

static const char *dump_graph(struct work *w, const char *after) {
    const struct pass *pass = pipeline_find(after);
    struct graph *graph = take_graph(w, has_sizes(w) || (pass && pass->needs_sizes));
    struct plan *plan;
    struct strbuf text;
    strbuf_init(&text, w->session.arena);
    if (!graph || (pass && !run_passes(w, graph, after, &plan)))
        return NULL;
    graph_print(graph, &text);
    return text.text;
}

static bool put_text(struct work *w, const char *text, const char *path) {
    struct weft_error error;
    if (!text)
        return false;
    if (!path) {
        fputs(text, stdout);
        return true;
    }
    return weft_file_write_whole(path, text, strlen(text), &error) ||
           session_fail(&w->session, E_FILE, "%s", error.message);
}

/* ---- --bisect ---- */

static void print_finding(const struct bisect_finding *f) {
    printf("%s: %s changes what is computed\n  %s\n", f->entry, f->step, f->why);
    if (f->detail)
        printf("  %s\n", f->detail);
    if (f->site && span_is_known(f->site->span)) {
        int line, column;
        source_locate(f->site->span.source, f->site->span.begin, &line, &column);
        printf("  %s:%d:%d\n", f->site->span.source->name, line, column);
    }
    printf("This is a mistake of the compiler; please report it with the model and this command.\n");
}

/* Three: a mistake of ours. */
static enum exit_status bisect(struct invocation *invocation) {
    struct work w = {0};
    struct bisect_finding finding = {0};
    enum exit_status status = open_work(&w, invocation);
    if (status != EXIT_OK)
        return status;
    struct function *init = NULL;
    bool ok = prepare(&w, invocation) && (init = instance_elaborate_init(w.instance)) &&
              session_open_codegen(&w.session);
    if (ok) {
        struct request last = {.function = init};
        struct strbuf out;
        VEC_PUSH(w.session.arena, &w.requests.list, last);
        strbuf_init(&out, w.session.arena);
        const struct bisect b = {.session = &w.session,
                                 .graph = instance_graph(w.instance),
                                 .requests = w.requests.list.at,
                                 .count = w.requests.list.count,
                                 .out = &out};
        ok = bisect_run(&b, &finding);
        fputs(out.text ? out.text : "", stdout);
        if (ok && finding.step)
            print_finding(&finding);
        else if (ok)
            printf("the evaluator and compiled code agree after every pass\n");
    }
    status = session_finish(&w.session, ok);
    return finding.step ? EXIT_DEFECT : status;
}

enum exit_status command_dump(struct invocation *invocation) {
    struct work w = {0};
    if (option_given(invocation, OPT_bisect))
        return bisect(invocation);
    const char *after =
        option_text(invocation, OPT_after, option_given(invocation, OPT_explain) ? "loops" : NULL);
    if (after && strcmp(after, "list") == 0) {
        list_stages(stdout);
        return EXIT_OK;
    }
    if (!after)
        return usage_error(invocation, "--after PASS is wanted; `--after list` names the passes");
    if (!is_codegen_stage(after) && strcmp(after, "elaborate") != 0 && !pipeline_find(after))
        return usage_error(invocation, "there is no pass `%s`; `--after list` names them", after);
    enum exit_status status = open_work(&w, invocation);
    if (status != EXIT_OK)
        return status;
    bool ok = prepare(&w, invocation);
    if (ok) {
        const char *text = is_codegen_stage(after)
                               ? dump_code(&w, after, option_given(invocation, OPT_explain))
                               : dump_graph(&w, after);
        ok = put_text(&w, text, option_text(invocation, OPT_output, NULL));
    }
    return session_finish(&w.session, ok);
}

/* The picture of the one entry that was asked for. */
static bool draw_plan(struct work *w, const struct plan *plan, const char *path) {
    struct weft_error error;
    struct strbuf text;
    if (plan->functions.count != 1)
        return session_fail(&w->session, E_ARGUMENT, "--svg draws one entry: name it behind the model");
    strbuf_init(&text, w->session.arena);
    plan_draw(plan->functions.at[0], w->session.arena, &text);
    return weft_file_write_whole(path, text.text, text.length, &error) ||
           session_fail(&w->session, E_FILE, "%s", error.message);
}

enum exit_status command_plan(struct invocation *invocation) {
    struct work w = {0};
    enum exit_status status = open_work(&w, invocation);
    if (status != EXIT_OK)
        return status;
    bool ok = prepare(&w, invocation);
    struct graph *graph = ok ? take_graph(&w, true) : NULL;
    struct plan *plan = NULL;
    ok = graph && run_passes(&w, graph, NULL, &plan);
    if (ok) {
        struct strbuf text;
        strbuf_init(&text, w.session.arena);
        plan_print(plan, &text);
        fputs(text.text, stdout);
        const char *picture = option_text(invocation, OPT_svg, NULL);
        ok = !picture || draw_plan(&w, plan, picture);
    }
    return session_finish(&w.session, ok);
}

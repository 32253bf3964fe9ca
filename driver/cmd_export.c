/* driver/cmd_export.c: weft export: an entry as an ONNX model. */
#include "driver/checkpoint.h"
#include "driver/entries.h"
#include "driver/progress.h"
#include "onnx/export.h"
#include "runtime/file.h"
#include "runtime/listing.h"

#include <string.h>

struct exporting {
    struct session session;
    struct invocation *invocation;
    struct instance *instance;
    struct sizes sizes;
    const struct request *request;
    struct program *program; /* init alone: the values of weights and buffers */
    struct memory memory;
};

static bool elaborate(struct exporting *x) {
    struct model_name name;
    struct requests requests = {0};
    if (!session_load(&x->session, x->invocation->words.at[0], &name))
        return false;
    x->instance = session_instantiate(&x->session, &name, NULL, 0);
    const struct entry *entry = x->instance ? entries_find(&x->session, x->instance, name.fn) : NULL;
    if (!entry || !entries_elaborate(&x->session, x->instance, entry->name, &x->sizes, &requests))
        return false;
    x->request = requests.list.at;
    return requests.list.count == 1 ||
           session_fail(&x->session, E_ARGUMENT, "a model has one size: --shape lists several");
}

/* Fresh weights from the seed, then those of the file over them. */
static bool fill_weights(struct exporting *x) {
    struct function *init = instance_elaborate_init(x->instance);
    const struct request request = {.function = init};
    const char *weights = option_text(x->invocation, OPT_weights, NULL);
    const struct fitting touched = {.into = ".", .prefix = "", .allow_unused = true};
    void *values[16] = {0};
    if (!init)
        return false;
    x->program = program_create(&x->session, instance_graph(x->instance), &request, 1, true);
    return x->program && memory_create(&x->session, x->program->plan, &x->memory) &&
           program_call(&x->session, x->program, 0, &x->memory, values, x->session.seed) &&
           (!weights || weights_load(&x->session, x->program->graph, x->program->plan, &x->memory, weights,
                                     &touched, false));
}

/* The state of another copy of the graph, by name. */
static const void *state_bytes(void *context, const struct state *state) {
    struct exporting *x = context;
    const struct state *own = graph_find_state(x->program->graph, state->name);
    return memory_of_state(&x->memory, x->program->plan, own);
}

/* Bound, its gradients and calls opened, simplified; not yet in kernels. ONNX has operators for what the pass
 * `attend` puts together. */
static struct graph *prepare_graph(struct exporting *x, struct function **function) {
    struct graph *graph =
        session_bind(&x->session, instance_graph(x->instance), x->request, 1, function, x->session.arena);
    struct pass_context context = {.functions = function, .function_count = 1};
    context.skipped = 1u << (pipeline_find("attend") - pipeline);
    return graph && session_run_passes(&x->session, graph, &context, "open_remat") ? graph : NULL;
}

static void write_bytes(void *file, const void *bytes, size_t size) {
    weft_file_write(file, bytes, size);
}

static bool write_file(struct exporting *x, const char *path, struct onnx_model *model, bool data) {
    struct weft_error error;
    struct weft_file *file = weft_file_create(path, &error);
    if (!file)
        return session_fail(&x->session, E_FILE, "%s", error.message);
    if (data)
        onnx_write_data(model, write_bytes, file);
    else
        onnx_write_model(model, write_bytes, file);
    return weft_file_take_commit(file, &error) || session_fail(&x->session, E_FILE, "%s", error.message);
}

static bool export(struct exporting *x, const char *output) {
    struct function *function;
    struct graph *graph = elaborate(x) ? prepare_graph(x, &function) : NULL;
    if (!graph || !fill_weights(x))
        return false;
    double begun = clock_seconds();
    const struct onnx_states states = {state_bytes, x};
    struct onnx_model *model = onnx_export(graph, function, &states, x->session.arena, x->session.diags);
    if (!model)
        return false;
    const char *data = arena_printf(x->session.arena, "%s.data", output), *slash = strrchr(data, '/');
    bool beside = onnx_needs_data_file(model);
    if (beside)
        onnx_set_data_file(model, slash ? slash + 1 : data);
    bool ok = (!beside || write_file(x, data, model, true)) && write_file(x, output, model, false);
    session_add_time(&x->session, "export", clock_seconds() - begun);
    if (ok && !x->session.quiet)
        printf(beside ? "%s  %s\n" : "%s\n", output, data);
    return ok;
}

enum exit_status command_export(struct invocation *invocation) {
    struct exporting x = {.invocation = invocation};
    const char *output = option_text(invocation, OPT_output, NULL);
    if (invocation->words.count != 1)
        return usage_error(invocation, "one model is wanted");
    if (!output || !weft_path_ends(output, ".onnx"))
        return usage_error(invocation, "-o FILE.onnx is wanted");
    if (!session_open(&x.session, invocation) || !sizes_from_options(&x.session, invocation, &x.sizes))
        return EXIT_USAGE;
    bool ok = export(&x, output);
    memory_destroy(&x.memory);
    program_destroy(&x.session, x.program);
    return session_finish(&x.session, ok);
}

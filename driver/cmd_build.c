/* driver/cmd_build.c: weft build: an object file and a C header, and the weights as the object wants them in
 * memory. */
#include "driver/checkpoint.h"
#include "driver/entries.h"
#include "driver/linker.h"
#include "driver/prints.h"
#include "driver/progress.h"
#include "runtime/file.h"
#include "runtime/listing.h"

#include <ctype.h>
#include <string.h>

struct build {
    struct session session;
    struct invocation *invocation;
    struct instance *instance;
    struct sizes sizes;
    struct requests requests;
    struct program *program;
    struct memory memory;
    const char *prefix;
};

/* "models/vae.weft:VAE" has the prefix the user gave, or the graph's name: C identifiers both. */
static bool choose_prefix(struct build *b) {
    b->prefix = option_text(b->invocation, OPT_prefix, instance_graph(b->instance)->name);
    bool fine = isalpha((unsigned char)b->prefix[0]) || b->prefix[0] == '_';
    for (const char *c = b->prefix; *c; c++)
        fine = fine && (isalnum((unsigned char)*c) || *c == '_');
    return fine || session_fail(&b->session, E_ARGUMENT, "--prefix `%s` is no C name", b->prefix);
}

/* What is shipped does not talk, unless that is wanted (S25). */
static bool refuse_prints(struct build *b) {
    for (int i = 0; i < b->requests.list.count && !option_given(b->invocation, OPT_keep_prints); i++) {
        const struct function *function = b->requests.list.at[i].function;
        const struct op *print = prints_find(function->body);
        if (!print)
            continue;
        diag_hint(
            diag_error_at(b->session.diags, print->site, E_ARGUMENT, "`%s` prints, an object does not",
                          function->name),
            "take the print out, or build with --keep-prints: it calls the hook of the caller's weft_exec");
        return false;
    }
    return true;
}

static bool compile(struct build *b, bool link) {
    struct function *init = instance_elaborate_init(b->instance);
    if (!init)
        return false;
    struct request last = {.function = init};
    VEC_PUSH(b->session.arena, &b->requests.list, last);
    b->program = program_create(&b->session, instance_graph(b->instance), b->requests.list.at,
                                b->requests.list.count, link);
    return b->program != NULL;
}

static bool write_file(struct build *b, const char *path, const void *bytes, size_t size) {
    struct weft_error error;
    return weft_file_write_whole(path, bytes, size, &error) ||
           session_fail(&b->session, E_FILE, "%s", error.message);
}

/* FILE.o or FILE.so with its ending replaced. */
static const char *beside(struct build *b, const char *output, const char *ending) {
    const char *dot = strrchr(output, '.');
    return arena_printf(b->session.arena, "%.*s%s", (int)(dot - output), output, ending);
}

/* Buffers of the model itself, such as the statistics of a batch norm; an optimizer's are named opt. */
static bool has_buffers(const struct graph *graph) {
    bool found = false;
    for (int i = 0; i < graph->states.count && !found; i++)
        found =
            graph->states.at[i]->kind == STATE_BUFFER && strncmp(graph->states.at[i]->name, "opt.", 4) != 0;
    return found;
}

/* The state block as the model's init begins it, computed here and now. */
static bool start_state(struct build *b) {
    struct session *session = &b->session;
    const char *target = session->cpu;
    session->cpu = NULL;
    struct program *p =
        program_create(session, instance_graph(b->instance), &VEC_LAST(&b->requests.list), 1, true);
    session->cpu = target;
    struct memory memory = {0};
    void *values[8] = {0};
    bool ok = p && memory_create(session, p->plan, &memory) &&
              program_call(session, p, 0, &memory, values, session->seed);
    for (int i = 0; ok && i < p->graph->states.count; i++) {
        const struct state *state = p->graph->states.at[i];
        if (state->kind != STATE_WEIGHT)
            memcpy(memory_of_state(&b->memory, b->program->plan, state),
                   memory_of_state(&memory, p->plan, state), (size_t)type_bytes(state->type));
    }
    memory_destroy(&memory);
    program_destroy(session, p);
    return ok;
}

/* What the object's entries want behind the tensors. */
static bool pack_weights(struct build *b) {
    bool packs = b->memory.weights_bytes > (size_t)b->program->plan->weights_bytes;
    return !packs || b->session.codegen->pack_now(b->program->compiled, b->memory.weights, b->session.diags);
}

/* The weights file, in memory as the entries want it; without one b->memory stays empty. */
static bool load_weights(struct build *b) {
    const char *weights = option_text(b->invocation, OPT_weights, NULL);
    const struct fitting touched = {.into = ".", .prefix = "", .allow_unused = true};
    if (!weights)
        return !option_given(b->invocation, OPT_embed_weights) ||
               session_fail(&b->session, E_ARGUMENT, "--embed-weights wants --weights FILE");
    return program_memory(&b->session, b->program, &b->memory) &&
           (!has_buffers(b->program->graph) || start_state(b)) &&
           weights_load(&b->session, b->program->graph, b->program->plan, &b->memory, weights, &touched,
                        false) &&
           pack_weights(b);
}

static bool write_object(struct build *b, const char *output) {
    if (!load_weights(b))
        return false;
    size_t size;
    bool embeds = option_given(b->invocation, OPT_embed_weights);
    const struct codegen_api *codegen = b->session.codegen;
    struct compiled *compiled = b->program->compiled;
    struct held_blocks blocks = {b->memory.weights, has_buffers(b->program->graph) ? b->memory.state : NULL};
    struct held_blocks held = embeds ? blocks : (struct held_blocks){0};
    const void *object = codegen->object(compiled, b->prefix, held, &size, b->session.diags);
    const char *header = object ? codegen->header(compiled, b->prefix, held, b->session.diags) : NULL;
    return object && header &&
           (embeds || !blocks.weights ||
            write_file(b, beside(b, output, ".weights"), blocks.weights, b->memory.weights_bytes)) &&
           (embeds || !blocks.state ||
            write_file(b, beside(b, output, ".state"), blocks.state, b->memory.state_bytes)) &&
           write_file(b, beside(b, output, ".h"), header, strlen(header)) &&
           (option_given(b->invocation, OPT_shared) ? linker_make_shared(&b->session, output, object, size)
                                                    : write_file(b, output, object, size));
}

static bool build(struct build *b, const char *output) {
    struct model_name name;
    if (!session_load(&b->session, b->invocation->words.at[0], &name))
        return false;
    b->instance = session_instantiate(&b->session, &name, NULL, 0);
    const char *list = option_text(b->invocation, OPT_entry, name.fn);
    if (!b->session.cpu)
        b->session.cpu = "x86-64-v3";
    return b->instance && choose_prefix(b) &&
           entries_elaborate(&b->session, b->instance, list, &b->sizes, &b->requests) && refuse_prints(b) &&
           compile(b, false) && write_object(b, output);
}

enum exit_status command_build(struct invocation *invocation) {
    struct build b = {.invocation = invocation};
    const char *output = option_text(invocation, OPT_output, NULL);
    if (invocation->words.count != 1)
        return usage_error(invocation, "one model is wanted");
    bool shared = option_given(invocation, OPT_shared);
    if (!output || !weft_path_ends(output, shared ? ".so" : ".o"))
        return usage_error(invocation, shared ? "--shared wants -o FILE.so"
                                              : "-o FILE.o is wanted, or --shared -o FILE.so");
    if (!session_open(&b.session, invocation) || !sizes_from_options(&b.session, invocation, &b.sizes))
        return EXIT_USAGE;
    bool ok = build(&b, output);
    if (ok && !b.session.quiet)
        printf("%s  %s\n", output, beside(&b, output, ".h"));
    memory_destroy(&b.memory);
    program_destroy(&b.session, b.program);
    return session_finish(&b.session, ok);
}

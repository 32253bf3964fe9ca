#include "driver/session.h"

#include "base/map.h"
#include "driver/codegen_module.h"
#include "driver/prints.h"
#include "driver/progress.h"
#include "driver/recipe.h"
#include "runtime/philox.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- opening and closing ---- */

/* $XDG_CACHE_HOME/weft, ~/.cache/weft, or none where there is no home. */
static const char *default_cache(struct arena *arena) {
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (xdg && *xdg == '/')
        return arena_printf(arena, "%s/weft", xdg);
    return home && *home == '/' ? arena_printf(arena, "%s/.cache/weft", home) : NULL;
}

/* NAME=VALUE options as settings; their places are in a source of their own, so that messages can show them.
 */
static bool take_settings(struct session *session, struct invocation *invocation, enum option_id id,
                          const char *option, setting_list *out) {
    for (int i = 0; i < invocation->values[id].count; i++) {
        const char *word = invocation->values[id].at[i], *equals = strchr(word, '=');
        if (!equals || equals == word) {
            usage_error(invocation, "%s wants NAME=VALUE, not `%s`", option, word);
            return false;
        }
        const struct source *source = source_create(session->arena, option, word, strlen(word));
        struct setting setting = {.name = arena_strndup(session->arena, word, (size_t)(equals - word)),
                                  .value = equals + 1,
                                  .span = {source, (uint32_t)(equals + 1 - word), source->length}};
        VEC_PUSH(session->arena, out, setting);
    }
    return true;
}

bool session_open(struct session *session, struct invocation *invocation) {
    struct arena *arena = invocation->arena;
    *session = (struct session){.arena = arena,
                                .types = types_create(arena),
                                .names = interner_create(arena),
                                .diags = diags_create(arena)};
    int64_t seed, threads;
    if (!option_integer(invocation, OPT_seed, 0, INT64_MAX, 0, &seed) ||
        !option_integer(invocation, OPT_threads, 1, 1024, 0, &threads))
        return false;
    session->seed = (uint64_t)seed;
    session->threads = (int)threads;
    session->cpu = option_text(invocation, OPT_cpu, NULL);
    session->cache = option_text(invocation, OPT_cache, NULL);
    if (!session->cache)
        session->cache = default_cache(arena);
    else if (strcmp(session->cache, "off") == 0)
        session->cache = NULL;
    const char *gemm = option_text(invocation, OPT_gemm, "own");
    session->use_openblas = strcmp(gemm, "openblas") == 0;
    if (!session->use_openblas && strcmp(gemm, "own") != 0) {
        usage_error(invocation, "--gemm is own or openblas");
        return false;
    }
    const char *winograd = option_text(invocation, OPT_winograd, "auto");
    session->no_winograd = strcmp(winograd, "off") == 0;
    if (!session->no_winograd && strcmp(winograd, "auto") != 0) {
        usage_error(invocation, "--winograd is auto or off");
        return false;
    }
    const char *packing = option_text(invocation, OPT_packing, "auto");
    session->packs_weights = command_takes(invocation, OPT_packing) && strcmp(packing, "off") != 0;
    if (strcmp(packing, "off") != 0 && strcmp(packing, "auto") != 0) {
        usage_error(invocation, "--packing is auto or off");
        return false;
    }
    const char *memory = option_text(invocation, OPT_memory, NULL);
    if (memory && !size_parse(memory, &session->memory)) {
        usage_error(invocation, "--memory wants a size such as 512M or 2G, not `%s`", memory);
        return false;
    }
    session->explain = option_given(invocation, OPT_explain);
    session->debug_info = option_given(invocation, OPT_debug);
    session->quiet = option_given(invocation, OPT_quiet);
    session->json = option_given(invocation, OPT_json);
    session->show_times = option_given(invocation, OPT_time);
    session->frontend = frontend_create(arena, session->types, session->names, session->diags);
    const char *precision = option_text(invocation, OPT_precision, "f32");
    bool is_bf16 = strcmp(precision, "bf16") == 0;
    if (!is_bf16 && strcmp(precision, "f32") != 0) {
        usage_error(invocation, "--precision is f32 or bf16");
        return false;
    }
    frontend_set_precision(session->frontend, is_bf16 ? DTYPE_bf16 : DTYPE_f32);
    frontend_set_library(session->frontend, option_text(invocation, OPT_lib, NULL));
    return take_settings(session, invocation, OPT_set, "--set", &session->settings) &&
           take_settings(session, invocation, OPT_arg, "--arg", &session->arguments);
}

void session_add_time(struct session *session, const char *what, double seconds) {
    for (int i = 0; i < session->times.count; i++)
        if (strcmp(session->times.at[i].what, what) == 0) {
            session->times.at[i].seconds += seconds;
            return;
        }
    struct timing timing = {what, seconds};
    VEC_PUSH(session->arena, &session->times, timing);
}

static void print_times(const struct session *session) {
    double total = 0;
    for (int i = 0; i < session->times.count; i++) {
        total += session->times.at[i].seconds;
        fprintf(stderr, "  %-16s %9.2f ms\n", session->times.at[i].what, 1e3 * session->times.at[i].seconds);
    }
    fprintf(stderr, "  %-16s %9.2f ms\n", "total", 1e3 * total);
}

enum exit_status session_finish(struct session *session, bool ok) {
    struct strbuf text;
    strbuf_init(&text, session->arena);
    diags_render(session->diags, &text, isatty(STDERR_FILENO));
    fputs(text.text, stderr);
    if (session->show_times)
        print_times(session);
    bool defect = diags_has_defect(session->diags);
    if (defect)
        fprintf(stderr,
                "\nThis is a defect of weft %s, not of your model. Please report it with the lines above, "
                "the command\n"
                "and the model text.\n",
                WEFT_VERSION);
    weft_pool_destroy(session->pool);
    session->pool = NULL;
    if (defect)
        return EXIT_DEFECT;
    return ok && diags_error_count(session->diags) == 0 ? EXIT_OK : EXIT_USER;
}

bool session_fail(struct session *session, enum diag_code code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    diag_error(session->diags, (struct span){0}, code, "%s", arena_vprintf(session->arena, format, args));
    va_end(args);
    return false;
}

bool session_fail_read(struct session *session, const char *path, const char *message) {
    struct stat info;
    bool opens = access(path, R_OK) == 0 && stat(path, &info) == 0 && !S_ISDIR(info.st_mode);
    return session_fail(session, opens ? E_DATA : E_FILE, "%s", message);
}

bool session_make_folder(struct session *session, const char *path, bool of_file) {
    char *folder = arena_strdup(session->arena, path), *slash = strrchr(folder, '/');
    if (of_file && !slash)
        return true;
    if (of_file)
        *slash = 0;
    for (char *c = folder + (*folder != 0); *c; c++)
        if (*c == '/') {
            *c = 0;
            mkdir(folder, 0777);
            *c = '/';
        }
    struct stat status;
    if (!*folder || mkdir(folder, 0777) == 0 ||
        (errno == EEXIST && stat(folder, &status) == 0 && S_ISDIR(status.st_mode)))
        return true;
    return session_fail(session, E_FILE, "the folder %s cannot be made: %s", folder, strerror(errno));
}

/* ---- models ---- */

static bool has_model(const struct session *session, const char *path, const char *name) {
    for (int i = 0; i < frontend_model_count(session->frontend, path); i++)
        if (strcmp(frontend_model_name(session->frontend, path, i), name) == 0)
            return true;
    return false;
}

/* Cuts the last ":word" off; NULL where there is none. */
static const char *cut_name(char *path) {
    char *colon = strrchr(path, ':');
    if (!colon || strchr(colon, '/'))
        return NULL;
    *colon = 0;
    return colon + 1;
}

bool session_load(struct session *session, const char *word, struct model_name *name) {
    char *path = arena_strdup(session->arena, word);
    const char *last = cut_name(path), *first = last ? cut_name(path) : NULL;
    *name = (struct model_name){.path = path, .model = first ? first : last, .fn = first ? last : NULL};
    double begun = clock_seconds();
    bool ok = frontend_load(session->frontend, path);
    session_add_time(session, "parse", clock_seconds() - begun);
    if (!ok)
        return false;
    bool is_model_name = name->model && name->model[0] >= 'A' && name->model[0] <= 'Z';
    if (name->model && !name->fn && !is_model_name && !has_model(session, path, name->model)) {
        name->fn = name->model;
        name->model = NULL;
    }
    return true;
}

struct instance *session_instantiate(struct session *session, const struct model_name *name,
                                     const struct setting *settings, int setting_count) {
    VEC(struct setting) all = {0};
    for (int i = 0; i < setting_count; i++) {
        bool overridden = false;
        for (int k = 0; k < session->settings.count; k++)
            overridden |= strcmp(session->settings.at[k].name, settings[i].name) == 0;
        if (!overridden)
            VEC_PUSH(session->arena, &all, settings[i]);
    }
    for (int k = 0; k < session->settings.count; k++)
        VEC_PUSH(session->arena, &all, session->settings.at[k]);
    return frontend_instantiate(session->frontend, name->path, name->model, all.at, all.count,
                                session->arena);
}

/* ---- programs ---- */

/* The copy's function of one of the graph: by its place, for one fn may be there with several settings. */
static struct function *copied_function(const struct graph *graph, const struct graph *copy,
                                        const struct function *function) {
    for (int i = 0; i < graph->functions.count; i++)
        if (graph->functions.at[i] == function)
            return copy->functions.at[i];
    return NULL;
}

static bool has_name(const struct request *requests, int count, const char *name) {
    for (int i = 0; i < count; i++)
        if (strcmp(requests[i].function->name, name) == 0)
            return true;
    return false;
}

/* sample_B8: the entry and the sizes that it is chosen by; no other entry's name. */
static const char *variant_name(struct graph *graph, const struct request *requests, int count, int at) {
    const char *name = requests[at].entry;
    for (int i = 0; i < requests[at].chosen_count; i++)
        name = arena_printf(graph->arena, "%s_%s%lld", name, requests[at].chosen[i].name,
                            (long long)requests[at].chosen[i].value);
    while (has_name(requests, count, name))
        name = arena_printf(graph->arena, "%s_", name);
    return intern(graph->names, name);
}

static bool has_size(const struct function *function, const char *name) {
    for (int i = 0; i < function->sizes.count; i++)
        if (strcmp(function->sizes.at[i].name, name) == 0)
            return true;
    return false;
}

static bool bind_request(struct session *session, struct graph *graph, const struct request *request,
                         struct function *function) {
    if (!graph_bind(graph, function, request->bindings, request->binding_count, session->diags)) {
        if (strstr(diag_message(session->diags, diags_count(session->diags) - 1), "has no value yet"))
            diag_hint(diags_last(session->diags), "--shape NAME=SIZE gives a size its value");
        return false;
    }
    for (int i = 0; i < request->chosen_count; i++) /* int parameters are no variables of the graph */
        if (!has_size(function, request->chosen[i].name))
            VEC_PUSH(graph->arena, &function->sizes, request->chosen[i]);
    return true;
}

/* The requests' functions in the copy, each its own: one that is wanted for several sizes is copied again. */
static void take_functions(struct graph *copy, const struct graph *graph, const struct request *requests,
                           int count, struct function **functions) {
    for (int i = 0; i < count; i++)
        functions[i] = copied_function(graph, copy, requests[i].function);
    for (int i = 0; i < count; i++) {
        if (!requests[i].chosen_count)
            continue;
        functions[i] = graph_add_copy(copy, functions[i], variant_name(copy, requests, count, i));
        functions[i]->entry = intern(copy->names, requests[i].entry);
    }
    int kept = 0; /* composites stay: calls refer to them */
    for (int i = 0; i < copy->functions.count; i++)
        if (copy->functions.at[i]->kind == FUNCTION_COMPOSITE)
            copy->functions.at[kept++] = copy->functions.at[i];
    copy->functions.count = kept;
    for (int i = 0; i < count; i++)
        VEC_PUSH(copy->arena, &copy->functions, functions[i]);
}

struct graph *session_bind(struct session *session, const struct graph *graph, const struct request *requests,
                           int count, struct function **functions, struct arena *arena) {
    struct graph *copy = graph_copy(graph, arena);
    take_functions(copy, graph, requests, count, functions);
    for (int i = 0; i < count; i++)
        if (!bind_request(session, copy, &requests[i], functions[i]))
            return NULL;
    return copy;
}

bool session_run_passes(struct session *session, struct graph *graph, struct pass_context *context,
                        const char *until) {
    context->arena = graph->arena;
    context->diags = session->diags;
    context->memory = session->memory;
    context->memory_span = session->memory_span;
    bool ok = pipeline_run(graph, context, until);
    for (int i = 0; i < pipeline_count; i++)
        if (context->seconds[i] > 0)
            session_add_time(session, pipeline[i].name, context->seconds[i]);
    return ok;
}

bool session_open_codegen(struct session *session) {
    double begun = clock_seconds();
    if (!session->codegen)
        session->codegen = codegen_module_open(session->arena, session->diags);
    session_add_time(session, "load LLVM", clock_seconds() - begun);
    return session->codegen != NULL;
}

static bool need_pool(struct session *session) {
    struct weft_error error;
    if (!session->pool)
        session->pool = weft_pool_create(session->threads, &error);
    return session->pool || session_fail(session, E_COMPILE, "%s", error.message);
}

static void add_codegen_times(struct session *session, const struct codegen_times *times) {
    session_add_time(session, "lower", times->lower);
    session_add_time(session, "emit", times->emit);
    session_add_time(session, "llvm", times->llvm);
    session_add_time(session, "link", times->link);
}

static bool compile_program(struct session *session, struct program *p, struct function **functions,
                            bool link) {
    struct pass_context context = {.functions = functions,
                                   .function_count = p->entry_count,
                                   .why = session->explain ? &p->passes_why : NULL};
    strbuf_init(&p->passes_why, p->arena);
    if (!session_run_passes(session, p->graph, &context, NULL) || !session_open_codegen(session) ||
        !need_pool(session))
        return false;
    p->plan = context.plan;
    const struct codegen_options options = {.cpu = session->cpu,
                                            .cache = session->cache,
                                            .use_openblas = session->use_openblas,
                                            .no_winograd = session->no_winograd,
                                            .pack_weights = session->packs_weights,
                                            .debug_info = session->debug_info,
                                            .explain = session->explain,
                                            .profile = session->profile,
                                            .no_jit = !link};
    p->compiled = session->codegen->compile(p->graph, functions, p->entry_count, p->plan, &options, p->arena,
                                            session->diags);
    if (!p->compiled)
        return false;
    if (link && !(p->loaded = session->codegen->load(p->compiled, session->diags)))
        return false;
    struct codegen_times times = session->codegen->times(p->compiled);
    add_codegen_times(session, &times);
    return true;
}

struct program *program_create(struct session *session, const struct graph *graph,
                               const struct request *requests, int count, bool link) {
    struct arena *arena = arena_create();
    if (!arena) {
        session_fail(session, E_COMPILE, "no memory to compile with");
        return NULL;
    }
    struct program *p = ARENA_NEW(session->arena, struct program);
    p->arena = arena;
    p->entry_count = count;
    p->entries = ARENA_ARRAY(arena, struct program_entry, count);
    struct function **functions = ARENA_ARRAY(arena, struct function *, count);
    p->graph = session_bind(session, graph, requests, count, functions, arena);
    if (!p->graph || !compile_program(session, p, functions, link)) {
        program_destroy(session, p);
        return NULL;
    }
    int width = weft_pool_exec(session->pool)->width;
    for (int i = 0; i < count; i++) {
        struct program_entry *entry = &p->entries[i];
        entry->name = functions[i]->name;
        entry->function = functions[i];
        entry->plan = plan_of(p->plan, entry->function);
        entry->workspace_bytes = session->codegen->workspace(p->compiled, entry->name, width);
        entry->call = link ? session->codegen->entry(p->loaded, entry->name) : NULL;
    }
    return p;
}

void program_destroy(struct session *session, struct program *program) {
    if (!program)
        return;
    if (program->loaded)
        session->codegen->unload(program->loaded);
    arena_destroy(program->arena);
}

/* ---- memory ---- */

static void *aligned_block(size_t bytes) {
    size_t rounded = (bytes + 63) / 64 * 64 + 64;
    void *block = aligned_alloc(64, rounded);
    if (block)
        memset(block, 0, rounded);
    return block;
}

static bool create_blocks(struct session *session, size_t weights, size_t state, struct memory *memory) {
    *memory = (struct memory){.weights_bytes = weights, .state_bytes = state};
    memory->weights = aligned_block(memory->weights_bytes);
    memory->state = aligned_block(memory->state_bytes);
    if (memory->weights && memory->state)
        return true;
    memory_destroy(memory);
    return session_fail(session, E_COMPILE, "no memory for %zu bytes of weights and state",
                        memory->weights_bytes + memory->state_bytes);
}

bool memory_create(struct session *session, const struct plan *plan, struct memory *memory) {
    return create_blocks(session, (size_t)plan->weights_bytes, (size_t)plan->state_bytes, memory);
}

bool program_memory(struct session *session, const struct program *program, struct memory *memory) {
    return create_blocks(session, session->codegen->weights_bytes(program->compiled),
                         (size_t)program->plan->state_bytes, memory);
}

void memory_destroy(struct memory *memory) {
    free(memory->weights);
    free(memory->state);
    free(memory->workspace);
    memory->weights = memory->state = memory->workspace = NULL;
}

void *memory_of_state(const struct memory *memory, const struct plan *plan, const struct state *state) {
    char *block = state->kind == STATE_WEIGHT ? memory->weights : memory->state;
    return block + plan->state_offset[state->index];
}

static bool grow_workspace(struct session *session, struct memory *memory, size_t bytes) {
    if (memory->workspace && memory->workspace_bytes >= bytes)
        return true;
    free(memory->workspace);
    memory->workspace = aligned_block(bytes);
    memory->workspace_bytes = memory->workspace ? bytes : 0;
    return memory->workspace ||
           session_fail(session, E_COMPILE, "no memory for a workspace of %zu bytes", bytes);
}

/* ---- calls ---- */

uint64_t session_seed(const struct session *session, uint32_t purpose) {
    struct philox_key key = philox_fold(philox_seed(session->seed), purpose);
    return key.word[0] | (uint64_t)key.word[1] << 32;
}

static bool report_check(struct session *session, const struct program *program, const char *entry,
                         int code) {
    if (code == WEFT_BAD_CPU)
        return session_fail(session, E_TARGET, "this machine lacks an instruction set that --cpu names");
    const struct site *site = session->codegen->error_site(program->compiled, code);
    if (!site)
        return session_fail(session, E_ASSERT, "a check of `%s` failed (code %d)", entry, code);
    diag_error_at(session->diags, site, E_ASSERT, "%s",
                  session->codegen->error_text(program->compiled, code));
    return false;
}

/* Note [Interrupting a call]: compiled code has no way out but its end. A session that may be interrupted
 * hands it an exec that, once the flag is set, leaves every parallel phase undone and stops its loops: what
 * remains is little, and its results are thrown away. */
struct interruptible {
    const weft_exec *inner;
    int32_t *stop; /* the first word of the workspace */
    const volatile sig_atomic_t *interrupted;
};

static void interruptible_for(void *context, weft_body *body, void *data, int64_t tasks) {
    const struct interruptible *i = context;
    if (*i->interrupted)
        *(volatile int32_t *)i->stop = WEFT_STOP;
    else
        i->inner->parallel_for(i->inner->context, body, data, tasks);
}

static int call_entry(struct session *session, const struct program_entry *entry, void **values,
                      void *workspace) {
    const weft_exec *pool = weft_pool_exec(session->pool);
    struct interruptible context = {pool, workspace, session->interrupted};
    weft_exec exec = *pool;
    exec.print = session->quiet ? NULL : prints_show;
    exec.print_context = session;
    if (session->interrupted) {
        exec.context = &context;
        exec.parallel_for = interruptible_for;
    }
    return entry->call(values, workspace, &exec);
}

/* Once for the weights as they are, before an entry reads them; an init writes them. */
static void prepare_weights(struct session *session, struct program *program,
                            const struct program_entry *entry, struct memory *memory) {
    if (entry->function->kind == FUNCTION_INIT) {
        memory->is_packed = false;
    } else if (!memory->is_packed) {
        if (memory->weights_bytes > (size_t)program->plan->weights_bytes)
            session->codegen->pack(program->loaded, memory->weights);
        memory->is_packed = true;
    }
}

bool program_call(struct session *session, struct program *program, int index, struct memory *memory,
                  void **values, uint64_t seed) {
    struct program_entry *entry = &program->entries[index];
    prepare_weights(session, program, entry, memory);
    if (!grow_workspace(session, memory, entry->workspace_bytes))
        return false;
    for (int i = 0; i < entry->plan->arguments.count; i++) {
        switch ((enum weft_role)entry->plan->arguments.at[i].role) {
        case WEFT_WEIGHTS:
            values[i] = memory->weights;
            break;
        case WEFT_STATE:
            values[i] = memory->state;
            break;
        case WEFT_SEED:
            values[i] = &seed;
            break;
        default:
            break;
        }
    }
    int code = call_entry(session, entry, values, memory->workspace);
    if (session->interrupted && *session->interrupted)
        return false;
    return code == WEFT_OK || report_check(session, program, entry->name, code);
}

int entry_argument(const struct program_entry *entry, const char *name, bool is_input) {
    for (int i = 0; i < entry->plan->arguments.count; i++) {
        const struct plan_argument *a = &entry->plan->arguments.at[i];
        if ((a->role == WEFT_INPUT) == is_input &&
            (is_input || a->role == WEFT_RESULT || a->role == WEFT_REPORT) && strcmp(a->name, name) == 0)
            return i;
    }
    return -1;
}

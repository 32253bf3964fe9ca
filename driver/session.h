/* driver/session.h: one model through all layers, for every command: text, instance, functions, passes,
 * native code, memory, calls. A session owns its arenas and its diagnostics; nothing here prints but
 * session_finish. */
#ifndef DRIVER_SESSION_H
#define DRIVER_SESSION_H

#include "codegen/codegen.h"
#include "driver/command.h"
#include "frontend/frontend.h"
#include "passes/pipeline.h"
#include "runtime/pool.h"

#include <signal.h>

typedef VEC(struct setting) setting_list;

struct session {
    struct arena *arena;
    struct types *types;
    struct interner *names;
    struct diags *diags;
    struct frontend *frontend;
    const struct codegen_api *codegen;        /* NULL until something compiles */
    struct weft_pool *pool;                   /* NULL until something runs */
    const volatile sig_atomic_t *interrupted; /* set: calls give up early and report nothing; NULL: never */
    uint64_t seed;
    int threads; /* 0: as many as cores */
    const char *cpu, *cache;
    int64_t memory;          /* bytes that an entry's arena may take; 0: as many as it takes */
    struct span memory_span; /* of a recipe that says so */
    bool quiet, json, show_times, explain, use_openblas, no_winograd, packs_weights, debug_info, profile;
    setting_list settings;  /* --set */
    setting_list arguments; /* --arg: of entries, perhaps with the name of one: "sample.scale" */
    VEC(struct timing {
        const char *what;
        double seconds;
    })
    times;
};

/* false: a wrong use, printed. */
bool session_open(struct session *session, struct invocation *invocation);
/* Prints what was reported and gives the exit status: EXIT_OK, EXIT_USER, or EXIT_DEFECT with what to report.
 * Closes. */
enum exit_status session_finish(struct session *session, bool ok);
void session_add_time(struct session *session, const char *what, double seconds); /* adds up under one name */
/* An error without a place. */
bool session_fail(struct session *session, enum diag_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Of a file that could not be read: E_FILE where it does not open, E_DATA where what it holds is wrong. */
bool session_fail_read(struct session *session, const char *path, const char *message);

/* Makes a folder with those above it, or, of_file, those that a file of this path needs. false: reported. */
bool session_make_folder(struct session *session, const char *path, bool of_file);

/* MODEL.weft[:NAME][:FN], taken apart and read. In a file with one model the one name may be the fn's. */
struct model_name {
    const char *path;
    const char *model; /* NULL: the file's only one */
    const char *fn;    /* NULL: not said */
};
bool session_load(struct session *session, const char *word, struct model_name *name);
/* An instance of it under the session's --set, and `settings` (a recipe's) below them. NULL: reported. */
struct instance *session_instantiate(struct session *session, const struct model_name *name,
                                     const struct setting *settings, int setting_count);

/* ---- programs: compiled functions of one graph ---- */

/* A function with the sizes of its dimension variables. `chosen` are those by which callers choose between
 * several requests of one `entry`: sizes of variables, or values of its int parameters; NULL where it is
 * there once. */
struct request {
    const struct function *function;
    const struct dim_binding *bindings;
    int binding_count;
    const char *entry;
    const struct dim_binding *chosen;
    int chosen_count;
};
struct program_entry {
    const char *name;
    const struct function *function; /* in the program's own graph */
    const struct function_plan *plan;
    weft_call *call;
    size_t workspace_bytes;
};
struct program {
    struct arena *arena; /* of its graph, its plan and its code */
    struct graph *graph;
    struct plan *plan;
    struct compiled *compiled;
    struct loaded *loaded;
    struct strbuf passes_why;      /* --explain: what the passes left as it was */
    struct program_entry *entries; /* in the order of the requests */
    int entry_count;
};
/* A copy of the graph with the requests' functions alone, bound; functions[i] is that of requests[i], named
 * as the entry, or where sizes are chosen by, with them behind it: sample_B8. NULL: reported. */
struct graph *session_bind(struct session *session, const struct graph *graph, const struct request *requests,
                           int count, struct function **functions, struct arena *arena);
/* The code generator, where something is going to compile. false: reported. */
bool session_open_codegen(struct session *session);
/* Through the passes up to `until` (NULL: all). */
bool session_run_passes(struct session *session, struct graph *graph, struct pass_context *context,
                        const char *until);
/* Compiles and, where `link` is set, makes it callable. NULL: reported. */
struct program *program_create(struct session *session, const struct graph *graph,
                               const struct request *requests, int count, bool link);
void program_destroy(struct session *session, struct program *program); /* NULL is fine */

/* The memory of one model instance. Blocks are 64-byte aligned; a workspace grows to the largest call. */
struct memory {
    void *weights, *state, *workspace;
    size_t weights_bytes, state_bytes, workspace_bytes;
    bool is_packed; /* what lies behind the weights is made of them as they are now */
};
bool memory_create(struct session *session, const struct plan *plan, struct memory *memory);
/* The same for one program alone, with room for what it packs behind its weights. */
bool program_memory(struct session *session, const struct program *program, struct memory *memory);
void memory_destroy(struct memory *memory);
/* The bytes of one weight, buffer or counter. */
void *memory_of_state(const struct memory *memory, const struct plan *plan, const struct state *state);

/* The seed of a call: the run's seed with the purpose of the call folded in, so that training, sampling and
 * evaluation draw from streams of their own. */
uint64_t session_seed(const struct session *session, uint32_t purpose);

/* Calls an entry. values[i] belongs to the plan's i-th argument; those of weights, state and the seed are
 * filled in. A failed check of the model is reported with its message and line. */
bool program_call(struct session *session, struct program *program, int entry, struct memory *memory,
                  void **values, uint64_t seed);
/* Index of the argument of this name among inputs (is_input) or results and reports; -1: none. */
int entry_argument(const struct program_entry *entry, const char *name, bool is_input);

#endif

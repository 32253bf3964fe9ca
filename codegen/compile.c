/* codegen/compile.c: the compiling threads. Units are dealt into a few groups of about equal cost: a group is
 * a module, because a module costs a millisecond of its own (KERNELS.md 4), and there are more groups than
 * threads, because costs are guessed from the length of the text. The entries are one more module. Each
 * thread has a context, a target machine and an arena; what it makes is taken over when it has ended. The
 * object of a module is kept under a hash of all that determines it: loop text or LLVM IR, target, LLVM's
 * version and our own build. */
#include "codegen/compile.h"

#include "base/store.h"
#include "codegen/debug.h"

#include <dlfcn.h>
#include <llvm-c/blake3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { GROUPS_PER_WORKER = 3, MOST_WORKERS = 64 };
enum { COST_OF_CALL = 60 }; /* of a kernel call in an entry, in characters of loop text */

/* One module to be made. */
struct job {
    VEC(const struct unit *) units; /* empty: the entries */
    size_t cost;
    LLVMMemoryBufferRef object; /* made by LLVM */
    struct bytes cached;        /* or found, in the worker's arena */
    char *why;                  /* neither: the reason, LLVM's or of strdup */
};

struct shop {
    const struct compiled *compiled;
    const struct store *store; /* NULL: no cache */
    const char *build;         /* what else determines the code: target, LLVM, ourselves */
    struct job *jobs;
    int job_count;
    atomic_int next, from_cache;
};

struct worker {
    struct shop *shop;
    struct arena *arena;
    double emit, llvm; /* seconds */
    struct emitter e;  /* its context is NULL between jobs */
    pthread_t thread;
    bool is_started;
};

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---- keys ---- */

struct hash_text hash_texts(const char *const *texts, int count) {
    llvm_blake3_hasher hasher;
    uint8_t digest[16];
    struct hash_text hash;
    llvm_blake3_hasher_init(&hasher);
    for (int i = 0; i < count; i++)
        llvm_blake3_hasher_update(&hasher, texts[i], strlen(texts[i]) + 1);
    llvm_blake3_hasher_finalize(&hasher, digest, sizeof(digest));
    for (int i = 0; i < 16; i++)
        snprintf(hash.text + 2 * i, 3, "%02x", digest[i]);
    return hash;
}

/* The file that this code is in, as it was last built or installed. */
static const char *build_text(const struct compiled *c) {
    static const char here = 0;
    Dl_info info;
    struct stat file = {0};
    if (dladdr(&here, &info) && info.dli_fname)
        stat(info.dli_fname, &file);
    unsigned major, minor, patch;
    LLVMGetVersion(&major, &minor, &patch);
    const struct target *t = c->target;
    char folder[4096]; /* DWARF names it */
    bool is_named = c->options.debug_info && getcwd(folder, sizeof(folder));
    return arena_printf(c->arena, "%s %lld.%09ld %lld | llvm %u.%u.%u | %s %s %s%s%s", WEFT_VERSION,
                        (long long)file.st_mtim.tv_sec, file.st_mtim.tv_nsec, (long long)file.st_size, major,
                        minor, patch, t->triple, t->cpu, t->features, c->options.debug_info ? " -g " : "",
                        is_named ? folder : "");
}

/* ---- one module ---- */

bool verify_module(struct emitter *e, struct arena *arena, const char **why) {
    char *message = NULL;
    bool ok = !LLVMVerifyModule(e->module, LLVMReturnStatusAction, &message);
    if (!ok)
        *why = arena_strdup(arena, message);
    LLVMDisposeMessage(message);
    return ok;
}

static void emit_unit(struct emitter *e, const struct unit *unit) {
    emit_loop_function(e, unit->function, unit->argument_count, unit->worker_bytes, unit->site);
}

void emit_units(struct emitter *e, const struct compiled *compiled, bool is_internal) {
    for (int i = 0; i < compiled->units.count; i++) {
        emit_unit(e, compiled->units.at[i]);
        LLVMValueRef fn = LLVMGetNamedFunction(e->module, compiled->units.at[i]->function->symbol);
        if (is_internal)
            LLVMSetLinkage(fn, LLVMInternalLinkage);
    }
}

void emit_packing_units(struct emitter *e, const struct compiled *compiled) {
    for (int i = 0; i < compiled->units.count; i++)
        if (compiled->units.at[i]->packs)
            emit_unit(e, compiled->units.at[i]);
}

void emit_entries(struct emitter *e, const struct compiled *compiled) {
    struct entry_module m;
    entry_module_init(&m, e, compiled, false);
    for (int i = 0; i < compiled->functions.count; i++) {
        const struct compiled_function *f = &compiled->functions.at[i];
        emit_entry(&m, f, jit_entry_symbol(e->arena, f->function->name));
    }
    if (compiled->packings.count)
        emit_pack_function(&m, PACKING_SYMBOL);
}

/* Of units the text that they come from is enough, so nothing is emitted where the object is found. */
static struct hash_text key_of_units(const struct worker *w, const struct job *job) {
    int count = job->units.count;
    const char **texts = ARENA_ARRAY(w->arena, const char *, count + 1);
    texts[0] = w->shop->build;
    for (int i = 0; i < count; i++) /* the symbol is a hash of the text and of how it is called */
        texts[i + 1] = job->units.at[i]->function->symbol;
    return hash_texts(texts, count + 1);
}

static struct hash_text key_of_module(const struct worker *w, LLVMModuleRef module) {
    char *text = LLVMPrintModuleToString(module);
    struct hash_text key = hash_texts((const char *[]){w->shop->build, text}, 2);
    LLVMDisposeMessage(text);
    return key;
}

static bool find_in_store(struct worker *w, struct job *job, const struct hash_text *key) {
    size_t size;
    void *bytes = w->shop->store ? store_get(w->shop->store, key->text, w->arena, &size) : NULL;
    if (!bytes)
        return false;
    job->cached = (struct bytes){bytes, size};
    atomic_fetch_add(&w->shop->from_cache, 1);
    return true;
}

static void emit_job_object(struct worker *w, struct job *job, LLVMTargetMachineRef machine,
                            const struct hash_text *key) {
    const char *why = NULL;
    double begin = seconds_now();
    if (!machine)
        job->why = strdup("no target machine");
    else if (!verify_module(&w->e, w->arena, &why))
        job->why = strdup(why);
    else if ((job->object = emit_object(machine, w->e.module, &job->why)) && w->shop->store)
        store_put(w->shop->store, key->text, LLVMGetBufferStart(job->object), LLVMGetBufferSize(job->object));
    if (machine)
        LLVMDisposeTargetMachine(machine);
    w->llvm += seconds_now() - begin;
}

static bool begin_module(struct worker *w, struct job *job, const char *name) {
    if (emitter_init(&w->e, w->shop->compiled->target, w->arena, name)) {
        if (w->shop->compiled->options.debug_info)
            debug_open(&w->e);
        return true;
    }
    job->why = strdup("no target machine");
    return false;
}

static void run_units(struct worker *w, struct job *job) {
    struct hash_text key = key_of_units(w, job);
    if (find_in_store(w, job, &key))
        return;
    double begin = seconds_now();
    if (!begin_module(w, job, "units"))
        return;
    for (int i = 0; i < job->units.count; i++)
        emit_unit(&w->e, job->units.at[i]);
    debug_finish(&w->e);
    w->emit += seconds_now() - begin;
    emit_job_object(w, job, target_machine_create(w->shop->compiled->target), &key);
}

static void run_entries(struct worker *w, struct job *job) {
    double begin = seconds_now();
    if (!begin_module(w, job, "entries"))
        return;
    emit_entries(&w->e, w->shop->compiled);
    debug_finish(&w->e);
    struct hash_text key = w->shop->store ? key_of_module(w, w->e.module) : (struct hash_text){{0}};
    w->emit += seconds_now() - begin;
    if (!find_in_store(w, job, &key))
        emit_job_object(w, job, quick_machine_create(w->shop->compiled->target), &key);
}

/* The landing of the arena's exhaustion is here: the module under way is given up. */
static void run_job(struct worker *w, struct job *job) {
    jmp_buf landing;
    arena_set_landing(w->arena, &landing);
    if (setjmp(landing))
        job->why = strdup("out of memory");
    else if (job->units.count)
        run_units(w, job);
    else
        run_entries(w, job);
    arena_set_landing(w->arena, NULL);
    if (w->e.context)
        emitter_finish(&w->e);
}

static void *run_worker(void *data) {
    struct worker *w = data;
    for (int i; (i = atomic_fetch_add(&w->shop->next, 1)) < w->shop->job_count;)
        run_job(w, &w->shop->jobs[i]);
    return NULL;
}

/* ---- all of them ---- */

static int jobs_by_cost(const void *a, const void *b) {
    const struct job *x = a, *y = b;
    return (x->cost < y->cost) - (x->cost > y->cost);
}

static int units_by_cost(const void *a, const void *b) {
    const struct unit *x = *(const struct unit *const *)a, *y = *(const struct unit *const *)b;
    if (x->cost != y->cost)
        return x->cost < y->cost ? 1 : -1;
    return strcmp(x->function->symbol, y->function->symbol);
}

/* The costliest unit left goes to the group with the least cost so far. */
static void deal_units(struct shop *shop, int groups) {
    const struct compiled *c = shop->compiled;
    size_t size = sizeof(*c->units.at) * (size_t)c->units.count;
    struct unit **sorted = arena_memdup(c->arena, c->units.at, size);
    qsort(sorted, (size_t)c->units.count, sizeof(*sorted), units_by_cost);
    for (int i = 0; i < c->units.count; i++) {
        struct job *least = &shop->jobs[0];
        for (int g = 1; g < groups; g++)
            if (shop->jobs[g].cost < least->cost)
                least = &shop->jobs[g];
        VEC_PUSH(c->arena, &least->units, sorted[i]);
        least->cost += sorted[i]->cost;
    }
}

static void plan_jobs(struct shop *shop, int workers) {
    const struct compiled *c = shop->compiled;
    int groups = GROUPS_PER_WORKER * workers;
    groups = c->units.count < groups ? c->units.count : groups;
    shop->job_count = groups + 1;
    shop->jobs = ARENA_ARRAY(c->arena, struct job, shop->job_count);
    if (groups)
        deal_units(shop, groups);
    for (int i = 0; i < c->kernels.count; i++) /* the entries: a call for each kernel */
        shop->jobs[groups].cost += COST_OF_CALL;
    qsort(shop->jobs, (size_t)shop->job_count, sizeof(struct job), jobs_by_cost);
}

static int worker_count(const struct codegen_options *options) {
    long cores = options->workers > 0 ? options->workers : sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : cores > MOST_WORKERS ? MOST_WORKERS : (int)cores;
}

/* This thread is the first worker; a thread that does not start leaves its work to the others. */
static void run_shop(struct shop *shop, struct worker *workers, int count) {
    for (int i = 0; i < count; i++)
        workers[i].shop = shop;
    for (int i = 1; i < count; i++)
        if ((workers[i].arena = arena_create()))
            workers[i].is_started = pthread_create(&workers[i].thread, NULL, run_worker, &workers[i]) == 0;
    if ((workers[0].arena = arena_create()))
        run_worker(&workers[0]);
    for (int i = 1; i < count; i++)
        if (workers[i].is_started)
            pthread_join(workers[i].thread, NULL);
}

/* Takes the objects over and lets the jobs go. */
static bool collect_objects(struct shop *shop, struct compiled *c, struct diags *diags) {
    bool ok = true;
    for (int i = 0; i < shop->job_count; i++) {
        struct job *job = &shop->jobs[i];
        struct bytes object = job->cached;
        if (job->object)
            object = (struct bytes){LLVMGetBufferStart(job->object), LLVMGetBufferSize(job->object)};
        if (!object.at) {
            diag_defect(diags, (struct span){0}, "LLVM does not compile this: %s",
                        job->why ? job->why : "no memory");
            ok = false;
        } else {
            object.at = arena_memdup(c->arena, object.at, object.size);
            VEC_PUSH(c->arena, &c->objects, object);
        }
        if (job->object)
            LLVMDisposeMemoryBuffer(job->object);
        free(job->why);
    }
    return ok;
}

/* What the threads spent, as parts of the time that passed. */
static void note_times(struct compiled *c, const struct shop *shop, const struct worker *workers, int count,
                       double passed) {
    double emit = 0, llvm = 0;
    for (int i = 0; i < count; i++) {
        emit += workers[i].emit;
        llvm += workers[i].llvm;
    }
    double spent = emit + llvm;
    c->times.emit = spent > 0 ? passed * emit / spent : passed;
    c->times.llvm = spent > 0 ? passed * llvm / spent : 0;
    c->times.modules = shop->job_count;
    c->times.from_cache = shop->from_cache;
}

bool compile_objects(struct compiled *c, struct diags *diags) {
    struct store store;
    const char *why;
    bool has_store = c->options.cache && store_open(&store, c->arena, c->options.cache, &why);
    if (c->options.cache && !has_store)
        diag_warning(diags, (struct span){0}, E_FILE, "nothing is cached: %s", why);
    struct shop shop = {.compiled = c, .store = has_store ? &store : NULL, .build = build_text(c)};
    int count = worker_count(&c->options);
    plan_jobs(&shop, count);
    struct worker *workers = ARENA_ARRAY(c->arena, struct worker, count);
    double begin = seconds_now();
    run_shop(&shop, workers, count);
    double passed = seconds_now() - begin;
    bool ok = collect_objects(&shop, c, diags);
    note_times(c, &shop, workers, count, passed);
    for (int i = 0; i < count; i++)
        if (workers[i].arena)
            arena_destroy(workers[i].arena);
    if (has_store && shop.from_cache < shop.job_count)
        store_trim(&store, c->arena);
    return ok;
}

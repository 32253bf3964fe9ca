#include "driver/measure.h"

#include "driver/checkpoint.h"
#include "driver/progress.h"
#include "ir/tensor.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A sampler of a thousand steps with hundreds of kernels each stays within it. */
enum { LOG_CAPACITY = 1 << 20 };

enum exit_status measured_open(struct measured *m, struct invocation *invocation, bool profile) {
    *m = (struct measured){.invocation = invocation};
    if (invocation->words.count != 1)
        return usage_error(invocation, "one model is wanted");
    int64_t runs;
    if (!session_open(&m->session, invocation) || !sizes_from_options(&m->session, invocation, &m->sizes) ||
        !option_integer(invocation, OPT_runs, 1, MOST_RUNS, 0, &runs))
        return EXIT_USAGE;
    m->session.profile = profile;
    return EXIT_OK;
}

const struct function *measured_function(const struct measured *m) {
    return m->program->entries[0].function;
}

const char *measured_name(const struct measured *m) {
    const char *word = m->invocation->words.at[0], *entry = m->program->entries[0].name;
    size_t n = strlen(word), k = strlen(entry);
    bool is_said = n > k && word[n - k - 1] == ':' && strcmp(word + n - k, entry) == 0;
    return is_said ? word : arena_printf(m->session.arena, "%s:%s", word, entry);
}

static bool elaborate(struct measured *m) {
    struct model_name name;
    if (!session_load(&m->session, m->invocation->words.at[0], &name))
        return false;
    m->instance = session_instantiate(&m->session, &name, NULL, 0);
    const struct entry *entry = m->instance ? entries_find(&m->session, m->instance, name.fn) : NULL;
    if (!entry || !entries_elaborate(&m->session, m->instance, entry->name, &m->sizes, &m->requests))
        return false;
    return m->requests.list.count == 1 ||
           session_fail(&m->session, E_ARGUMENT, "one size at a time: --shape lists several");
}

static bool compile(struct measured *m) {
    struct function *init = instance_elaborate_init(m->instance);
    if (!init)
        return false;
    const struct request requests[] = {m->requests.list.at[0], {.function = init}};
    m->program = program_create(&m->session, instance_graph(m->instance), requests, 2, true);
    return m->program && program_memory(&m->session, m->program, &m->memory);
}

/* ---- what a call takes ---- */

static int64_t now_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool make_log(struct measured *m) {
    if (!m->session.profile)
        return true;
    m->log = calloc(1, sizeof *m->log + LOG_CAPACITY * sizeof *m->log->events);
    if (!m->log)
        return session_fail(&m->session, E_COMPILE, "no memory for a profile");
    m->log->capacity = LOG_CAPACITY;
    m->log->now = now_nanoseconds;
    return true;
}

/* Fractions that are the same in every run. Integers are 0: an index that is always there. */
static void fill_input(const struct type *type, void *bytes, uint32_t *state) {
    for (int64_t i = 0; i < type_elements(type); i++) {
        *state = *state * 1664525u + 1013904223u;
        double x = (double)(*state >> 8) * 0x1p-24;
        if (type->dtype == DTYPE_f32)
            ((float *)bytes)[i] = (float)x;
        else if (type->dtype == DTYPE_f64)
            ((double *)bytes)[i] = x;
        else if (dtype_is_float(type->dtype))
            ((uint16_t *)bytes)[i] = half_bits(type->dtype, x);
    }
}

static bool make_values(struct measured *m) {
    const struct function_plan *plan = m->program->entries[0].plan;
    int count = plan->arguments.count;
    uint32_t state = 1;
    m->values = ARENA_ARRAY(m->session.arena, void *, count + 1);
    m->values[count] = m->log;
    for (int i = 0; i < count; i++) {
        const struct plan_argument *a = &plan->arguments.at[i];
        if (a->role != WEFT_INPUT && a->role != WEFT_RESULT && a->role != WEFT_REPORT)
            continue;
        size_t bytes = ((size_t)type_bytes(a->type) + 127) / 64 * 64;
        m->values[i] = aligned_alloc(64, bytes);
        if (!m->values[i])
            return session_fail(&m->session, E_COMPILE, "no memory for `%s`", a->name);
        memset(m->values[i], 0, bytes);
        if (a->role == WEFT_INPUT)
            fill_input(a->type, m->values[i], &state);
    }
    return true;
}

static bool fill_memory(struct measured *m) {
    void *values[16] = {0};
    const char *weights = option_text(m->invocation, OPT_weights, NULL);
    const struct fitting touched = {.into = ".", .prefix = "", .allow_unused = true};
    values[m->program->entries[1].plan->arguments.count] = m->log;
    return program_call(&m->session, m->program, 1, &m->memory, values, m->session.seed) &&
           (!weights || weights_load(&m->session, m->program->graph, m->program->plan, &m->memory, weights,
                                     &touched, false));
}

bool measured_prepare(struct measured *m) {
    return elaborate(m) && compile(m) && make_log(m) && make_values(m) && fill_memory(m);
}

/* ---- calls ---- */

bool measured_call(struct measured *m, double *seconds) {
    if (m->log)
        m->log->count = 0;
    double begun = clock_seconds();
    bool ok = program_call(&m->session, m->program, 0, &m->memory, m->values, m->session.seed);
    *seconds = clock_seconds() - begun;
    return ok;
}

double *measured_calls(struct measured *m, struct run_count wanted, void (*between)(void *context),
                       void *context, int *count) {
    int64_t runs;
    double warm, *times = ARENA_ARRAY(m->session.arena, double, MOST_RUNS);
    option_integer(m->invocation, OPT_runs, 1, MOST_RUNS, 0, &runs); /* looked at by measured_open */
    if (!measured_call(m, &warm))
        return NULL;
    int least = runs ? (int)runs : wanted.least, most = runs ? (int)runs : MOST_RUNS;
    double begun = clock_seconds();
    for (*count = 0; *count < most; ++*count) {
        if (*count >= least && clock_seconds() - begun >= wanted.seconds)
            break;
        if (!measured_call(m, &times[*count]))
            return NULL;
        if (between)
            between(context);
    }
    return times;
}

void measured_close(struct measured *m) {
    const struct function_plan *plan = m->program ? m->program->entries[0].plan : NULL;
    for (int i = 0; m->values && i < plan->arguments.count; i++) {
        int role = plan->arguments.at[i].role;
        if (role == WEFT_INPUT || role == WEFT_RESULT || role == WEFT_REPORT)
            free(m->values[i]);
    }
    free(m->log);
    memory_destroy(&m->memory);
    program_destroy(&m->session, m->program);
}

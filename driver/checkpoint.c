#include "driver/checkpoint.h"

#include <dirent.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool matches_any(const char *name, const char *const *globs, int count) {
    for (int i = 0; i < count; i++)
        if (fnmatch(globs[i], name, 0) == 0)
            return true;
    return false;
}

/* The state's name in the file, or NULL where the file is not for it. */
static const char *name_in_file(struct session *session, const struct state *state, const struct fitting *fitting) {
    const char *name = state->name;
    if (strcmp(fitting->into, ".") != 0) {
        size_t length = strlen(fitting->into);
        if (strncmp(name, fitting->into, length) != 0 || name[length] != '.')
            return NULL;
        name += length + 1;
    }
    return arena_printf(session->arena, "%s%s", fitting->prefix, name);
}

static const char *shape_text(struct session *session, const struct weft_weight *weight) {
    return type_text(session->types, type_of_sizes(session->types, (enum dtype)weight->dtype, weight->rank, weight->shape));
}

static bool has_type(const struct weft_weight *weight, const struct type *type) {
    bool same = (enum dtype)weight->dtype == type->dtype && weight->rank == type->rank;
    for (int i = 0; same && i < type->rank; i++)
        same = weight->shape[i] == type_size(type, i);
    return same;
}

/* What does not fit: one message, with a line for each name. */
struct differences {
    VEC(const char *) lines;
};
enum { DIFFERENCES_SHOWN = 20 };

static void compare_states(struct session *session, const struct graph *graph, const struct weft_weights *file,
                           const struct fitting *fitting, bool with_state, const struct weft_weight **found, bool *wanted,
                           struct differences *d) {
    for (int i = 0; i < graph->states.count; i++) {
        const struct state *state = graph->states.at[i];
        const char *name = state->kind == STATE_WEIGHT || with_state ? name_in_file(session, state, fitting) : NULL;
        if (!name)
            continue;
        const struct weft_weight *weight = weft_weights_find(file, name);
        if (weight)
            wanted[weight - weft_weights_at(file, 0)] = true;
        if (!weight) {
            if (!matches_any(state->name, fitting->missing, fitting->missing_count))
                VEC_PUSH(session->arena, &d->lines, arena_printf(session->arena, "missing: %s", name));
        } else if (!has_type(weight, state->type)) {
            VEC_PUSH(session->arena, &d->lines,
                     arena_printf(session->arena, "differs: %s is %s in the file, %s in the model", name,
                                  shape_text(session, weight), type_text(session->types, state->type)));
        } else {
            found[i] = weight;
        }
    }
}

/* wanted[k]: the model has a weight of the name of the file's k-th. */
static void find_unused(struct session *session, const struct weft_weights *file, const struct fitting *fitting, const bool *wanted,
                        struct differences *d) {
    for (int k = 0; k < weft_weights_count(file); k++) {
        const struct weft_weight *weight = weft_weights_at(file, k);
        bool used = wanted[k] || matches_any(weight->name, fitting->ignore, fitting->ignore_count) ||
                    strncmp(weight->name, fitting->prefix, strlen(fitting->prefix)) != 0;
        if (!used)
            VEC_PUSH(session->arena, &d->lines, arena_printf(session->arena, "unused: %s", weight->name));
    }
}

static bool report_differences(struct session *session, const char *path, const struct differences *d) {
    if (d->lines.count == 0)
        return true;
    struct diag *diag = diag_error(session->diags, (struct span){0}, E_WEIGHTS, "%s does not fit the model", path);
    for (int i = 0; i < d->lines.count && i < DIFFERENCES_SHOWN; i++)
        diag_note(diag, "%s", d->lines.at[i]);
    if (d->lines.count > DIFFERENCES_SHOWN)
        diag_note(diag, "and %d more", d->lines.count - DIFFERENCES_SHOWN);
    return false;
}

bool weights_load(struct session *session, const struct graph *graph, const struct plan *plan, const struct memory *memory,
                  const char *path, const struct fitting *fitting, bool with_state) {
    struct weft_error error;
    struct weft_weights *file = weft_weights_open(path, &error);
    if (!file)
        return session_fail_read(session, path, error.message);
    const struct weft_weight **found = ARENA_ARRAY(session->arena, const struct weft_weight *, graph->states.count + 1);
    bool *wanted = ARENA_ARRAY(session->arena, bool, weft_weights_count(file) + 1);
    struct differences d = {0};
    compare_states(session, graph, file, fitting, with_state, found, wanted, &d);
    find_unused(session, file, fitting, wanted, &d);
    bool ok = report_differences(session, path, &d);
    for (int i = 0; ok && i < graph->states.count; i++)
        if (found[i])
            memcpy(memory_of_state(memory, plan, graph->states.at[i]), found[i]->data, found[i]->bytes);
    weft_weights_close(file);
    return ok;
}

bool weights_save(struct session *session, const struct graph *graph, const struct plan *plan, const struct memory *memory,
                  const char *path, bool with_state, const struct weft_metadata *metadata, int metadata_count) {
    struct weft_weight *weights = ARENA_ARRAY(session->arena, struct weft_weight, graph->states.count + 1);
    int count = 0;
    for (int i = 0; i < graph->states.count; i++) {
        const struct state *state = graph->states.at[i];
        if (state->kind != STATE_WEIGHT && !with_state)
            continue;
        struct weft_weight *w = &weights[count++];
        *w = (struct weft_weight){.name = state->name, .dtype = (weft_dtype)state->type->dtype, .rank = state->type->rank,
                                  .data = memory_of_state(memory, plan, state), .bytes = (size_t)type_bytes(state->type)};
        for (int k = 0; k < w->rank; k++)
            w->shape[k] = type_size(state->type, k);
    }
    struct weft_error error;
    return weft_weights_write(path, weights, count, metadata, metadata_count, &error) || session_fail(session, E_FILE, "%s", error.message);
}

/* ---- checkpoints: checkpoint-00001234.safetensors, named by the step ---- */

static bool is_checkpoint(const char *name, long long *step) {
    int used = 0;
    return sscanf(name, "checkpoint-%lld.safetensors%n", step, &used) == 1 && used > 0 && !name[used];
}

/* The least and the greatest step of the folder's checkpoints, and how many there are. */
struct found {
    long long least, greatest;
    int count;
};

static struct found find_checkpoints(const char *folder) {
    struct found found = {0};
    DIR *dir = opendir(folder);
    if (!dir)
        return found;
    for (struct dirent *entry; (entry = readdir(dir));) {
        long long step;
        if (!is_checkpoint(entry->d_name, &step))
            continue;
        found.least = found.count == 0 || step < found.least ? step : found.least;
        found.greatest = found.count == 0 || step > found.greatest ? step : found.greatest;
        found.count++;
    }
    closedir(dir);
    return found;
}

static const char *checkpoint_path(struct arena *arena, const char *folder, long long step) {
    return arena_printf(arena, "%s/checkpoint-%08lld.safetensors", folder, step);
}

bool checkpoint_save(struct session *session, const struct graph *graph, const struct plan *plan, const struct memory *memory,
                     const char *folder, const struct position *position, int64_t keep) {
    const struct weft_metadata metadata[] = {
        {"format", "weft checkpoint 1"},
        {"step", arena_printf(session->arena, "%lld", (long long)position->step)},
        {"epoch", arena_printf(session->arena, "%lld", (long long)position->epoch)},
        {"batch", arena_printf(session->arena, "%lld", (long long)position->batch)},
        {"seconds", arena_printf(session->arena, "%.3f", position->seconds)},
        {"seed", arena_printf(session->arena, "%llu", (unsigned long long)session->seed)},
    };
    const char *path = checkpoint_path(session->arena, folder, position->step);
    if (!weights_save(session, graph, plan, memory, path, true, metadata, sizeof metadata / sizeof metadata[0]))
        return false;
    for (struct found found = find_checkpoints(folder); found.count > keep; found = find_checkpoints(folder))
        if (unlink(checkpoint_path(session->arena, folder, found.least)) != 0)
            break;
    return true;
}

void checkpoint_clear(struct session *session, const char *folder) {
    static const char *const others[] = {"best.safetensors", "last.safetensors"};
    for (struct found found = find_checkpoints(folder); found.count > 0; found = find_checkpoints(folder))
        if (unlink(checkpoint_path(session->arena, folder, found.least)) != 0)
            break;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        unlink(arena_printf(session->arena, "%s/%s", folder, others[i]));
}

const char *checkpoint_find(struct session *session, const char *folder) {
    struct found found = find_checkpoints(folder);
    return found.count ? checkpoint_path(session->arena, folder, found.greatest) : NULL;
}

static bool read_position(struct session *session, const struct weft_weights *file, const char *path, struct position *position) {
    const char *format = weft_weights_metadata(file, "format"), *seed = weft_weights_metadata(file, "seed");
    const char *step = weft_weights_metadata(file, "step"), *epoch = weft_weights_metadata(file, "epoch");
    const char *batch = weft_weights_metadata(file, "batch"), *seconds = weft_weights_metadata(file, "seconds");
    if (!format || strcmp(format, "weft checkpoint 1") != 0 || !step || !epoch || !batch || !seconds || !seed)
        return session_fail(session, E_WEIGHTS, "%s is not a checkpoint of this version of weft", path);
    if (strtoull(seed, NULL, 10) != session->seed)
        return session_fail(session, E_WEIGHTS, "%s was made with seed %s, this run has seed %llu", path, seed,
                            (unsigned long long)session->seed);
    *position = (struct position){strtoll(step, NULL, 10), strtoll(epoch, NULL, 10), strtoll(batch, NULL, 10), strtod(seconds, NULL)};
    return true;
}

bool checkpoint_load(struct session *session, const struct graph *graph, const struct plan *plan, const struct memory *memory,
                     const char *path, struct position *position) {
    struct weft_error error;
    struct weft_weights *file = weft_weights_open(path, &error);
    if (!file)
        return session_fail_read(session, path, error.message);
    bool ok = read_position(session, file, path, position);
    weft_weights_close(file);
    const struct fitting everything = {.into = ".", .prefix = ""};
    return ok && weights_load(session, graph, plan, memory, path, &everything, true);
}

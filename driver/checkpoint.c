#include "driver/checkpoint.h"

#include "runtime/listing.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool matches_any(const char *name, const char *const *globs, int count) {
    for (int i = 0; i < count; i++)
        if (fnmatch(globs[i], name, 0) == 0)
            return true;
    return false;
}

static const char *shape_text(struct session *session, const struct weft_weight *weight) {
    return type_text(session->types,
                     type_of_sizes(session->types, (enum dtype)weight->dtype, weight->rank, weight->shape));
}

/* Optimiser state has a name of its own (semantics N6); other buffers belong to the model. */
static bool is_of_model(const struct state *state) {
    return state->kind == STATE_WEIGHT ||
           (state->kind == STATE_BUFFER && strncmp(state->name, "opt.", 4) != 0);
}

/* Loading under way. */
struct loading {
    struct session *session;
    const struct graph *graph;
    const struct named_tensor **found; /* by state */
    bool with_state;
    VEC(const char *) lines;  /* what does not fit, in the model's order */
    VEC(const char *) others; /* what of the files nobody wants */
};
enum { DIFFERENCES_SHOWN = 20 };

static bool fits(const struct loading *l, const struct weft_weight *weight, const struct type *type) {
    bool is_same = (enum dtype)weight->dtype == type->dtype;
    bool converts = !l->with_state && dtype_is_float((enum dtype)weight->dtype) &&
                    (type->dtype == DTYPE_f32 || type->dtype == DTYPE_f64);
    bool same = (is_same || converts) && weight->rank == type->rank;
    for (int i = 0; same && i < type->rank; i++)
        same = weight->shape[i] == type_size(type, i);
    return same;
}

static void say(struct loading *l, const char *line) {
    VEC_PUSH(l->session->arena, &l->lines, line);
}

/* One tensor of a file: to the state of its name, or why not. */
static void take_tensor(struct loading *l, const struct named_tensor *tensor, const struct fitting *fitting,
                        int file, int *from) {
    if (!tensor->model_name)
        return;
    const struct state *state = graph_find_state(l->graph, tensor->model_name);
    bool is_wanted = state && (l->with_state || is_of_model(state));
    bool is_ignored = matches_any(tensor->file_name, fitting->ignore, fitting->ignore_count);
    bool is_renamed = strcmp(tensor->file_name, tensor->model_name) != 0;
    struct arena *arena = l->session->arena;
    if (!is_wanted) {
        if (!is_ignored && !fitting->allow_unused)
            VEC_PUSH(arena, &l->others,
                     arena_printf(arena, "unused: %s%s%s", tensor->file_name, is_renamed ? ", as " : "",
                                  is_renamed ? tensor->model_name : ""));
        return;
    }
    if (is_ignored)
        return;
    if (l->found[state->index] && from[state->index] == file)
        say(l, arena_printf(arena, "twice: %s and %s are both %s", l->found[state->index]->file_name,
                            tensor->file_name, state->name));
    l->found[state->index] = tensor;
    from[state->index] = file;
}

static bool is_below(const char *name, const char *into) {
    size_t length = strlen(into);
    return strcmp(into, ".") == 0 || (strncmp(name, into, length) == 0 && name[length] == '.');
}

/* A state whose tensor does not fit, or that no file gave: told by the name that the file has, or would have.
 */
static void check_state(struct loading *l, const struct state *state, const struct fitting *fittings,
                        int count) {
    const struct named_tensor *tensor = l->found[state->index];
    const struct fitting *wanted = NULL;
    if (tensor && !fits(l, &tensor->weight, state->type))
        say(l, arena_printf(l->session->arena, "differs: %s is %s in the file, %s in the model",
                            tensor->file_name, shape_text(l->session, &tensor->weight),
                            type_text(l->session->types, state->type)));
    if (l->found[state->index] || !(l->with_state || state->kind == STATE_WEIGHT))
        return;
    for (int i = 0; i < count; i++) {
        if (!is_below(state->name, fittings[i].into))
            continue;
        size_t skip = strcmp(fittings[i].into, ".") == 0 ? 0 : strlen(fittings[i].into) + 1;
        if (matches_any(state->name, fittings[i].missing, fittings[i].missing_count) ||
            matches_any(state->name + skip, fittings[i].missing, fittings[i].missing_count))
            return;
        wanted = &fittings[i];
    }
    if (!wanted)
        return;
    size_t skip = strcmp(wanted->into, ".") == 0 ? 0 : strlen(wanted->into) + 1;
    say(l, arena_printf(l->session->arena, "missing: %s%s", wanted->map_count ? "" : wanted->prefix,
                        state->name + skip));
}

static bool report_differences(struct loading *l, const char *path) {
    for (int i = 0; i < l->others.count; i++)
        say(l, l->others.at[i]);
    if (l->lines.count == 0)
        return true;
    struct diag *diag =
        diag_error(l->session->diags, (struct span){0}, E_WEIGHTS, "%s does not fit the model", path);
    for (int i = 0; i < l->lines.count && i < DIFFERENCES_SHOWN; i++)
        diag_note(diag, "%s", l->lines.at[i]);
    if (l->lines.count > DIFFERENCES_SHOWN)
        diag_note(diag, "and %d more", l->lines.count - DIFFERENCES_SHOWN);
    return false;
}

static bool load(struct session *session, const struct graph *graph, const struct plan *plan,
                 const struct memory *memory, const struct fitting *fittings, int count, bool with_state) {
    struct loading l = {
        .session = session,
        .graph = graph,
        .with_state = with_state,
        .found = ARENA_ARRAY(session->arena, const struct named_tensor *, graph->states.count + 1)};
    struct weight_file *files = ARENA_ARRAY(session->arena, struct weight_file, count + 1);
    int *from = ARENA_ARRAY(session->arena, int, graph->states.count + 1), opened = 0;
    const char *paths = "";
    bool ok = true;
    for (; ok && opened < count; opened += ok) {
        const struct fitting *f = &fittings[opened];
        ok = weight_file_open(session, f->path, &files[opened]);
        if (!ok)
            break;
        weight_file_rename(session, &files[opened], f->into, f->prefix, f->map, f->map_count);
        for (int k = 0; k < files[opened].count; k++)
            take_tensor(&l, &files[opened].all[k], f, opened, from);
        paths = arena_printf(session->arena, "%s%s%s", paths, *paths ? " with " : "", f->path);
    }
    for (int i = 0; ok && i < graph->states.count; i++)
        check_state(&l, graph->states.at[i], fittings, count);
    ok = ok && report_differences(&l, paths);
    for (int i = 0; ok && i < graph->states.count; i++)
        if (l.found[i])
            named_tensor_copy(&l.found[i]->weight, graph->states.at[i]->type->dtype,
                              memory_of_state(memory, plan, graph->states.at[i]));
    for (int i = 0; i < opened; i++)
        weight_file_close(&files[i]);
    return ok;
}

bool weights_load_all(struct session *session, const struct graph *graph, const struct plan *plan,
                      const struct memory *memory, const struct fitting *fittings, int count) {
    return count == 0 || load(session, graph, plan, memory, fittings, count, false);
}

bool weights_load(struct session *session, const struct graph *graph, const struct plan *plan,
                  const struct memory *memory, const char *path, const struct fitting *fitting,
                  bool with_state) {
    struct fitting one = *fitting;
    one.path = path;
    return load(session, graph, plan, memory, &one, 1, with_state);
}

bool weights_save(struct session *session, const struct graph *graph, const struct plan *plan,
                  const struct memory *memory, const char *path, bool with_state,
                  const struct weft_metadata *metadata, int metadata_count) {
    struct arena *scratch = arena_create(); /* a long run has many checkpoints */
    if (!scratch)
        return session_fail(session, E_FILE, "%s: no memory to write it", path);
    struct weft_weight *weights = ARENA_ARRAY(scratch, struct weft_weight, graph->states.count + 1);
    int count = 0;
    for (int i = 0; i < graph->states.count; i++) {
        const struct state *state = graph->states.at[i];
        if (!is_of_model(state) && !with_state)
            continue;
        struct weft_weight *w = &weights[count++];
        *w = (struct weft_weight){.name = state->name,
                                  .dtype = (weft_dtype)state->type->dtype,
                                  .rank = state->type->rank,
                                  .data = memory_of_state(memory, plan, state),
                                  .bytes = (size_t)type_bytes(state->type)};
        for (int k = 0; k < w->rank; k++)
            w->shape[k] = type_size(state->type, k);
    }
    struct weft_error error;
    bool ok = weft_weights_write(path, weights, count, metadata, metadata_count, &error);
    arena_destroy(scratch);
    return ok || session_fail(session, E_FILE, "%s", error.message);
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

/* A number of a position, by its key in the file. */
struct position_field {
    const char *key;
    size_t offset;
};
static const struct position_field position_fields[] = {
    {"step", offsetof(struct position, step)},
    {"phase", offsetof(struct position, phase)},
    {"phase_step", offsetof(struct position, phase_step)},
    {"epoch", offsetof(struct position, epoch)},
    {"batch", offsetof(struct position, batch)},
};
enum { POSITION_FIELDS = sizeof position_fields / sizeof *position_fields, METADATA_OTHERS = 5 };

/* "best stale best stale ...": the watches in a line. */
static const char *watches_text(struct arena *arena, const struct position *position) {
    struct strbuf text;
    strbuf_init(&text, arena);
    for (int i = 0; i < position->watch_count; i++)
        strbuf_printf(&text, "%.17g %lld ", position->watches[i].best, (long long)position->watches[i].stale);
    return text.text ? text.text : "";
}

bool checkpoint_save(struct session *session, const struct graph *graph, const struct plan *plan,
                     const struct memory *memory, const char *folder, const struct position *position,
                     int64_t keep) {
    struct weft_metadata metadata[METADATA_OTHERS + POSITION_FIELDS] = {
        {"format", "weft checkpoint 2"},
        {"seconds", arena_printf(session->arena, "%.3f", position->seconds)},
        {"seed", arena_printf(session->arena, "%llu", (unsigned long long)session->seed)},
        {"is_over", position->is_over ? "1" : "0"},
        {"watches", watches_text(session->arena, position)},
    };
    for (int i = 0; i < POSITION_FIELDS; i++) {
        int64_t value = *(const int64_t *)((const char *)position + position_fields[i].offset);
        metadata[METADATA_OTHERS + i] = (struct weft_metadata){
            position_fields[i].key, arena_printf(session->arena, "%lld", (long long)value)};
    }
    const char *path = checkpoint_path(session->arena, folder, position->step);
    if (!weights_save(session, graph, plan, memory, path, true, metadata, METADATA_OTHERS + POSITION_FIELDS))
        return false;
    for (struct found found = find_checkpoints(folder); found.count > keep; found = find_checkpoints(folder))
        if (unlink(checkpoint_path(session->arena, folder, found.least)) != 0)
            break;
    return true;
}

/* fn-00000469.png or .npy */
static bool is_picture(const char *name) {
    const char *dot = strrchr(name, '.');
    if (!dot || dot - name < 9 || (strcmp(dot, ".png") != 0 && strcmp(dot, ".npy") != 0) || dot[-9] != '-')
        return false;
    for (const char *c = dot - 8; c < dot; c++)
        if (*c < '0' || *c > '9')
            return false;
    return true;
}

static bool is_of_run(const char *name, const char *const *others, int count) {
    long long step;
    bool found = is_checkpoint(name, &step) || is_picture(name);
    for (int i = 0; i < count; i++)
        found |= strcmp(name, others[i]) == 0;
    return found;
}

/* DIR/earlier-1, or the first number that is free. NULL: none can be made; reported. */
static const char *make_free_folder(struct session *session, const char *folder) {
    for (int n = 1;; n++) {
        const char *path = arena_printf(session->arena, "%s/earlier-%d", folder, n);
        if (mkdir(path, 0777) == 0)
            return path;
        if (errno != EEXIST) {
            session_fail(session, E_FILE, "the folder %s cannot be made: %s", path, strerror(errno));
            return NULL;
        }
    }
}

bool checkpoint_set_aside(struct session *session, const char *folder, const char *const *others, int count,
                          const char **where) {
    VEC(const char *) names = {0};
    bool has_weights = false;
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (is_of_run(entry->d_name, others, count)) {
            VEC_PUSH(session->arena, &names, arena_strdup(session->arena, entry->d_name));
            has_weights |= weft_path_ends(entry->d_name, ".safetensors");
        }
    if (dir)
        closedir(dir);
    *where = NULL;
    if (!has_weights)
        return true;
    if (!(*where = make_free_folder(session, folder)))
        return false;
    for (int i = 0; i < names.count; i++) {
        const char *from = arena_printf(session->arena, "%s/%s", folder, names.at[i]);
        if (rename(from, arena_printf(session->arena, "%s/%s", *where, names.at[i])) != 0)
            return session_fail(session, E_FILE, "%s cannot be moved to %s: %s", from, *where,
                                strerror(errno));
    }
    return true;
}

const char *checkpoint_find(struct session *session, const char *folder) {
    struct found found = find_checkpoints(folder);
    return found.count ? checkpoint_path(session->arena, folder, found.greatest) : NULL;
}

static bool read_position(struct session *session, const struct weft_weights *file, const char *path,
                          struct position *position) {
    const char *format = weft_weights_metadata(file, "format"), *seed = weft_weights_metadata(file, "seed");
    const char *seconds = weft_weights_metadata(file, "seconds"),
               *is_over = weft_weights_metadata(file, "is_over");
    const char *watches = weft_weights_metadata(file, "watches");
    bool ok = format && strcmp(format, "weft checkpoint 2") == 0 && seed && seconds && is_over && watches;
    for (int i = 0; ok && i < POSITION_FIELDS; i++) {
        const char *value = weft_weights_metadata(file, position_fields[i].key);
        ok = value != NULL;
        *(int64_t *)((char *)position + position_fields[i].offset) = ok ? strtoll(value, NULL, 10) : 0;
    }
    if (!ok)
        return session_fail(session, E_WEIGHTS, "%s is not a checkpoint of this version of weft", path);
    if (strtoull(seed, NULL, 10) != session->seed)
        return session_fail(session, E_WEIGHTS, "%s was made with seed %s, this run has seed %llu", path,
                            seed, (unsigned long long)session->seed);
    position->seconds = strtod(seconds, NULL);
    position->is_over = strcmp(is_over, "1") == 0;
    for (int i = 0; i < position->watch_count && *watches; i++) {
        char *end;
        position->watches[i].best = strtod(watches, &end);
        position->watches[i].stale = strtoll(end, &end, 10);
        watches = end + (*end == ' ');
    }
    return true;
}

bool checkpoint_read_position(struct session *session, const char *path, struct position *position) {
    struct weft_error error;
    struct weft_weights *file = weft_weights_open(path, &error);
    if (!file)
        return session_fail_read(session, path, error.message);
    bool ok = read_position(session, file, path, position);
    weft_weights_close(file);
    return ok;
}

bool checkpoint_load(struct session *session, const struct graph *graph, const struct plan *plan,
                     const struct memory *memory, const char *path) {
    const struct fitting everything = {.into = ".", .prefix = ""};
    return weights_load(session, graph, plan, memory, path, &everything, true);
}

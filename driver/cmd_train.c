/* driver/cmd_train.c: weft train: a run from its recipe to its last checkpoint.
 *
 * Note [The same bits after a resume]: everything that a step depends on is in the checkpoint or a pure function of the
 * seed and the position: weights, optimiser state and run.step are restored, the order of an epoch's items is
 * weft_shuffle(seed, epoch), and draws are keyed by (seed, step). The items behind an epoch's last full batch are left
 * out of that epoch. */
#include "driver/train.h"
#include "driver/values.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STEP_ENTRY, INIT_ENTRY, FIRST_OTHER_ENTRY };

static volatile sig_atomic_t stop_wanted;

static void on_interrupt(int signal) {
    (void)signal;
    stop_wanted = 1;
}

const struct feed *training_feed(const struct training *t, const struct recipe_data *data) {
    for (int i = 0; i < t->recipe->data.count; i++)
        if (t->recipe->data.at[i] == data)
            return &t->feeds[i];
    return NULL;
}

/* ---- before the first step ---- */

static bool read_recipe(struct training *t, struct invocation *invocation) {
    const char *why, *path = invocation->words.at[0];
    const struct source *source = source_read(t->session->arena, path, &why);
    if (!source)
        return session_fail(t->session, E_FILE, "%s cannot be read: %s", path, why);
    t->recipe = recipe_parse(t->session->arena, source, t->session->diags);
    if (!t->recipe)
        return false;
    if (!option_given(invocation, OPT_seed))
        t->session->seed = (uint64_t)t->recipe->seed;
    if (!option_given(invocation, OPT_threads))
        t->session->threads = (int)t->recipe->threads;
    t->folder = option_text(invocation, OPT_out, t->recipe->dir);
    return true;
}

static bool open_feeds(struct training *t) {
    t->feeds = ARENA_ARRAY(t->session->arena, struct feed, t->recipe->data.count);
    for (int i = 0; i < t->recipe->data.count; i++)
        if (!feed_open(t->session, t->recipe->data.at[i], &t->feeds[i]))
            return false;
    return true;
}

/* The train block that the recipe names, or the only one. */
static const struct entry *find_train(struct training *t) {
    const struct entry *found = NULL;
    int trains = 0;
    for (int i = 0; i < instance_entry_count(t->instance); i++) {
        const struct entry *entry = instance_entry(t->instance, i);
        if (!entry->is_train || (t->recipe->train && strcmp(entry->name, t->recipe->train) != 0))
            continue;
        found = entry;
        trains++;
    }
    if (trains == 1)
        return found;
    if (t->recipe->train)
        session_fail(t->session, E_NAME, "the model has no train block named `%s`", t->recipe->train);
    else
        session_fail(t->session, E_NAME, "the model has %s train block; `train: NAME` in the recipe chooses", trains ? "more than one" : "no");
    return NULL;
}

static bool elaborate(struct training *t) {
    const struct model_name name = {.path = t->recipe->model_path, .model = t->recipe->model_name};
    double begun = clock_seconds();
    if (!frontend_load(t->session->frontend, name.path))
        return false;
    t->instance = session_instantiate(t->session, &name, t->recipe->settings.at, t->recipe->settings.count);
    const struct entry *train = t->instance ? find_train(t) : NULL;
    if (!train)
        return false;
    t->step = instance_elaborate(t->instance, train->name, NULL, 0, (int)t->recipe->accumulate);
    bool ok = t->step != NULL;
    for (int i = 0; i < t->recipe->evaluate.count; i++)
        ok = evaluation_prepare(t, &t->evaluations[i]) && ok;
    for (int i = 0; i < t->recipe->samples.count; i++)
        ok = sampling_prepare(t, &t->samplings[i]) && ok;
    t->init = ok ? instance_elaborate_init(t->instance) : NULL;
    session_add_time(t->session, "front end", clock_seconds() - begun);
    return t->init != NULL;
}

/* A request whose sizes come from a feed (NULL: none are needed). */
static bool make_request(struct training *t, struct request *request, const struct function *function, const struct feed *feed, int64_t batch) {
    struct sizes sizes = {0};
    if (feed && !feed_sizes(t->session, feed, function, batch, &sizes))
        return false;
    *request = (struct request){function, sizes.bindings.at, sizes.bindings.count};
    return true;
}

static bool compile(struct training *t) {
    const struct recipe *r = t->recipe;
    int count = FIRST_OTHER_ENTRY + r->evaluate.count + r->samples.count, at = FIRST_OTHER_ENTRY;
    struct request *requests = ARENA_ARRAY(t->session->arena, struct request, count);
    const struct feed *feed = training_feed(t, r->train_data);
    if (feed->count < r->batch)
        return session_fail(t->session, E_DATA, "the training set has %lld items, less than one batch of %lld", (long long)feed->count, (long long)r->batch);
    bool ok = make_request(t, &requests[STEP_ENTRY], t->step, feed, r->batch) && make_request(t, &requests[INIT_ENTRY], t->init, NULL, 0);
    for (int i = 0; ok && i < r->evaluate.count; i++)
        ok = make_request(t, &requests[at++], t->evaluations[i].function, t->evaluations[i].feed, t->evaluations[i].batch);
    for (int i = 0; ok && i < r->samples.count; i++)
        ok = make_request(t, &requests[at++], t->samplings[i].function, t->samplings[i].feed, t->samplings[i].batch);
    t->program = ok ? program_create(t->session, instance_graph(t->instance), requests, count, true) : NULL;
    ok = t->program && memory_create(t->session, t->program->plan, &t->memory) &&
         fed_call_create(t->session, t->program, STEP_ENTRY, feed, r->batch, &t->step_call);
    at = FIRST_OTHER_ENTRY;
    for (int i = 0; ok && i < r->evaluate.count; i++)
        ok = evaluation_compile(t, &t->evaluations[i], at++);
    for (int i = 0; ok && i < r->samples.count; i++)
        ok = sampling_compile(t, &t->samplings[i], at++);
    return ok;
}

static bool make_folder(struct training *t) {
    char *path = arena_strdup(t->session->arena, t->folder);
    for (char *c = path + 1; *c; c++)
        if (*c == '/') {
            *c = 0;
            mkdir(path, 0777);
            *c = '/';
        }
    struct stat status;
    if (mkdir(path, 0777) == 0 || (errno == EEXIST && stat(path, &status) == 0 && S_ISDIR(status.st_mode)))
        return true;
    return session_fail(t->session, E_FILE, "the folder %s cannot be made: %s", t->folder, strerror(errno));
}

/* Fresh states from the seed and the weights that the recipe loads, or the last checkpoint. */
bool training_fill_memory(struct training *t, bool resume) {
    const char *checkpoint = resume ? checkpoint_find(t->session, t->folder) : NULL;
    if (resume && !checkpoint)
        return session_fail(t->session, E_FILE, "there is no checkpoint in %s to resume from", t->folder);
    if (checkpoint)
        return checkpoint_load(t->session, t->program->graph, t->program->plan, &t->memory, checkpoint, &t->position);
    void *values[8] = {0};
    if (!program_call(t->session, t->program, INIT_ENTRY, &t->memory, values, t->session->seed))
        return false;
    for (int i = 0; i < t->recipe->load.count; i++) {
        const struct recipe_load *load = &t->recipe->load.at[i];
        const struct fitting fitting = {load->into, load->prefix, load->missing.at, load->missing.count, load->ignore.at, load->ignore.count};
        if (!weights_load(t->session, t->program->graph, t->program->plan, &t->memory, load->file, &fitting, false))
            return false;
    }
    return true;
}

/* The score of best.safetensors, so that a resumed run keeps only what is better. */
static void read_best(struct training *t, bool resume) {
    struct weft_error error;
    t->best = -HUGE_VAL;
    struct weft_weights *file = resume ? weft_weights_open(arena_printf(t->session->arena, "%s/best.safetensors", t->folder), &error) : NULL;
    const char *score = file ? weft_weights_metadata(file, "score") : NULL;
    if (score)
        t->best = strtod(score, NULL);
    weft_weights_close(file);
}

/* Opens log.jsonl: a fresh run begins it anew, a resumed one keeps the lines up to its step. */
static bool open_log(struct training *t, bool resume) {
    const char *path = arena_printf(t->session->arena, "%s/log.jsonl", t->folder), *why;
    const struct source *old = resume ? source_read(t->session->arena, path, &why) : NULL;
    t->log = fopen(path, "w");
    if (!t->log)
        return session_fail(t->session, E_FILE, "%s cannot be written: %s", path, strerror(errno));
    for (const char *line = old ? old->text : ""; *line;) {
        size_t length = strcspn(line, "\n");
        const char *step = strstr(line, "\"step\":");
        if (line[length] && step && strtoll(step + 7, NULL, 10) <= t->position.step)
            fprintf(t->log, "%.*s\n", (int)length, line);
        line += length + (line[length] == '\n');
    }
    return true;
}

/* ---- steps ---- */

/* The reports' means since the last line: "elbo -120.3  kl 24.1". */
static const char *reports_text(const struct training *t, char *out, size_t size) {
    const struct function_plan *plan = t->program->entries[STEP_ENTRY].plan;
    size_t n = 0;
    out[0] = 0;
    for (int i = 0; i < plan->arguments.count && n < size; i++)
        if (plan->arguments.at[i].role == WEFT_REPORT && plan->arguments.at[i].type->rank == 0)
            n += (size_t)snprintf(out + n, size - n, "%s %.5g  ", plan->arguments.at[i].name, t->sums[i] / (double)(t->summed ? t->summed : 1));
    return out;
}

static bool log_reports(struct training *t) {
    const struct function_plan *plan = t->program->entries[STEP_ENTRY].plan;
    const char **names = ARENA_ARRAY(t->session->arena, const char *, plan->arguments.count);
    double *values = ARENA_ARRAY(t->session->arena, double, plan->arguments.count);
    int count = 0;
    for (int i = 0; i < plan->arguments.count; i++) {
        if (plan->arguments.at[i].role != WEFT_REPORT || plan->arguments.at[i].type->rank != 0)
            continue;
        names[count] = plan->arguments.at[i].name;
        values[count++] = t->sums[i] / (double)t->summed;
    }
    memset(t->sums, 0, sizeof(double) * (size_t)plan->arguments.count);
    t->summed = 0;
    return count == 0 || log_values(t, "train", names, values, count);
}

/* Adds the step's reports to the sums; a NaN stops the run, or is left out where the recipe says so. */
static bool take_reports(struct training *t) {
    const struct program_entry *entry = &t->program->entries[STEP_ENTRY];
    for (int i = 0; i < entry->plan->arguments.count; i++) {
        const struct plan_argument *a = &entry->plan->arguments.at[i];
        if (a->role != WEFT_REPORT || a->type->rank != 0)
            continue;
        double value = value_element(a->type, t->step_call.values[i], 0);
        if (isnan(value) && !t->recipe->skip_nan) {
            nan_trace(t, a->name);
            return false;
        }
        t->sums[i] += isnan(value) ? 0.0 : value;
    }
    t->summed++;
    return true;
}

static void set_epoch(struct training *t) {
    const struct state *epoch = graph_find_state(t->program->graph, "run.epoch");
    int32_t value = (int32_t)t->position.epoch;
    if (epoch)
        memcpy(memory_of_state(&t->memory, t->program->plan, epoch), &value, sizeof value);
}

static bool run_batch(struct training *t) {
    const int64_t *items = t->order + t->position.batch * t->recipe->batch;
    return fed_call_fill(t->session, &t->step_call, items) &&
           program_call(t->session, t->program, STEP_ENTRY, &t->memory, t->step_call.values, t->session->seed);
}

bool training_take_batch(struct training *t) {
    if (!run_batch(t))
        return false;
    t->position.batch++;
    return true;
}

/* One optimiser step: `accumulate` batches. */
static bool take_step(struct training *t) {
    for (int64_t k = 0; k < t->recipe->accumulate; k++) {
        if (!run_batch(t) || !take_reports(t))
            return false;
        t->position.batch++;
    }
    t->position.step++;
    return true;
}

void training_begin_epoch(struct training *t) {
    weft_shuffle(t->session->seed, (uint32_t)t->position.epoch, t->step_call.feed->count, t->order);
    if (t->recipe->train_data->shuffle == 0)
        for (int64_t i = 0; i < t->step_call.feed->count; i++)
            t->order[i] = i;
    set_epoch(t);
}

/* The steps of the epoch under way, from where the position stands. *over: the run has reached its end, or is to stop. */
static bool run_epoch(struct training *t, bool *over) {
    int64_t steps = t->batches / t->recipe->accumulate;
    training_begin_epoch(t);
    const char *what = arena_printf(t->session->arena, "epoch %lld/%lld", (long long)t->position.epoch + 1, (long long)((t->total_steps + steps - 1) / steps));
    int64_t first = t->position.step - t->position.batch / t->recipe->accumulate;
    progress_begin(&t->progress, t->style, what, t->position.step - first, steps);
    while (t->position.step - first < steps && !*over) {
        char text[256];
        if (!take_step(t))
            return false;
        bool ended = t->position.step - first == steps, last = t->position.step == t->total_steps;
        progress_update(&t->progress, t->position.step - first, reports_text(t, text, sizeof text));
        if (ended) {
            progress_end(&t->progress, text);
            t->position.epoch++;
            t->position.batch = 0;
        }
        bool due = t->recipe->log.in_epochs ? ended : t->position.step % t->recipe->log.count == 0;
        if ((due || last) && t->summed > 0 && !log_reports(t))
            return false;
        *over = last || stop_wanted;
        if (!turns_take(t, ended, *over))
            return false;
    }
    return true;
}

static bool run_steps(struct training *t) {
    int64_t steps = t->batches / t->recipe->accumulate;
    if (steps == 0)
        return session_fail(t->session, E_DATA, "an epoch has %lld batches, fewer than `accumulate`", (long long)t->batches);
    t->total_steps = t->recipe->steps ? t->recipe->steps : t->recipe->epochs * steps;
    t->sums = ARENA_ARRAY(t->session->arena, double, t->program->entries[STEP_ENTRY].plan->arguments.count);
    t->order = malloc(sizeof(int64_t) * (size_t)t->step_call.feed->count);
    if (!t->order)
        return session_fail(t->session, E_DATA, "no memory for the order of %lld items", (long long)t->step_call.feed->count);
    bool over = t->position.step >= t->total_steps, ok = true;
    if (over)
        progress_say(&t->progress, "the run is at its end already: step %lld", (long long)t->position.step);
    while (ok && !over)
        ok = run_epoch(t, &over);
    if (ok && stop_wanted && t->position.step < t->total_steps)
        progress_say(&t->progress, "stopped at step %lld; `--resume` goes on from there", (long long)t->position.step);
    return ok;
}

static bool train(struct training *t, struct invocation *invocation) {
    bool resume = option_given(invocation, OPT_resume);
    if (!read_recipe(t, invocation) || !open_feeds(t))
        return false;
    t->evaluations = ARENA_ARRAY(t->session->arena, struct evaluation, t->recipe->evaluate.count + 1);
    t->samplings = ARENA_ARRAY(t->session->arena, struct sampling, t->recipe->samples.count + 1);
    for (int i = 0; i < t->recipe->evaluate.count; i++)
        t->evaluations[i].recipe = &t->recipe->evaluate.at[i];
    for (int i = 0; i < t->recipe->samples.count; i++)
        t->samplings[i].recipe = &t->recipe->samples.at[i];
    t->batches = training_feed(t, t->recipe->train_data)->count / t->recipe->batch;
    if (!elaborate(t) || !compile(t) || !make_folder(t) || !training_fill_memory(t, resume) || !open_log(t, resume))
        return false;
    if (!resume)
        checkpoint_clear(t->session, t->folder);
    read_best(t, resume);
    t->begun = clock_seconds() - t->position.seconds;
    progress_begin(&t->progress, t->style, "", 0, 1);
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    return run_steps(t);
}

static void clean_up(struct training *t) {
    fed_call_destroy(&t->step_call);
    for (int i = 0; t->evaluations && i < t->recipe->evaluate.count; i++) {
        fed_call_destroy(&t->evaluations[i].full);
        fed_call_destroy(&t->evaluations[i].remainder);
        program_destroy(t->session, t->evaluations[i].rest);
    }
    for (int i = 0; t->samplings && i < t->recipe->samples.count; i++)
        fed_call_destroy(&t->samplings[i].call);
    for (int i = 0; t->feeds && i < t->recipe->data.count; i++)
        feed_close(&t->feeds[i]);
    if (t->log)
        fclose(t->log);
    free(t->order);
    memory_destroy(&t->memory);
    program_destroy(t->session, t->program);
}

/* The report's path without the detours of the recipe's (models/../runs), from where the user stands. */
static void print_report_path(const struct training *t) {
    char *whole = realpath(t->folder, NULL), *here = getcwd(NULL, 0);
    const char *path = whole ? whole : t->folder;
    size_t length = here ? strlen(here) : 0;
    if (whole && here && strncmp(whole, here, length) == 0 && whole[length] == '/')
        path = whole + length + 1;
    printf("%s/report.html\n", path);
    free(whole);
    free(here);
}

enum exit_status command_train(struct invocation *invocation) {
    struct session session;
    struct training t = {.session = &session};
    if (invocation->words.count != 1)
        return usage_error(invocation, "one recipe is wanted");
    if (!session_open(&session, invocation))
        return EXIT_USAGE;
    t.style = progress_style_of(session.json, session.quiet);
    bool ok = train(&t, invocation);
    if (ok && !session.quiet && !session.json)
        print_report_path(&t);
    clean_up(&t);
    return session_finish(&session, ok);
}

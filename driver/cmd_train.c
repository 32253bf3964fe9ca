/* driver/cmd_train.c: weft train: a run from its recipe to its last checkpoint. */
#include "driver/recipe_example.h"
#include "driver/train.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t stop_wanted;

static void on_interrupt(int signal) {
    (void)signal;
    stop_wanted = 1;
}

/* The first Ctrl-C asks for an end behind the step under way, the second one does not ask. */
static void catch_interrupts(void) {
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESETHAND | SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* ---- before the first step ---- */

static bool ends_in(const char *text, const char *ending) {
    size_t n = strlen(text), m = strlen(ending);
    return n > m && strcmp(text + n - m, ending) == 0;
}

/* A model in the place of a recipe is a newcomer's first try. */
static bool is_model(const char *word) {
    const char *colon = strrchr(word, ':');
    return ends_in(word, ".weft") || (colon && !strchr(colon, '/') && strstr(word, ".weft:"));
}

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
    if (!option_given(invocation, OPT_precision))
        frontend_set_precision(t->session->frontend, t->recipe->precision);
    if (!option_given(invocation, OPT_memory)) {
        t->session->memory = t->recipe->memory;
        t->session->memory_span = t->recipe->memory_span;
    }
    t->folder = option_text(invocation, OPT_out, t->recipe->dir);
    bool is_path = strchr(t->recipe->log_json, '/'), html_is_path = strchr(t->recipe->log_html, '/');
    t->json_path = is_path ? t->recipe->log_json
                           : arena_printf(t->session->arena, "%s/%s", t->folder, t->recipe->log_json);
    t->html_path = html_is_path ? t->recipe->log_html
                                : arena_printf(t->session->arena, "%s/%s", t->folder, t->recipe->log_html);
    t->position.watch_count = t->recipe->evaluate.count;
    t->position.watches = ARENA_ARRAY(t->session->arena, struct watch, t->recipe->evaluate.count + 1);
    for (int i = 0; i < t->position.watch_count; i++)
        t->position.watches[i].best = -HUGE_VAL;
    return true;
}

static bool open_feeds(struct training *t) {
    t->feeds = ARENA_ARRAY(t->session->arena, struct feed, t->recipe->data.count + 1);
    for (int i = 0; i < t->recipe->data.count; i++)
        if (!feed_open(t->session, t->recipe->data.at[i], &t->feeds[i]))
            return false;
    return true;
}

/* Stages behind the first are compiled once before anything is trained: their mistakes should not wait for
 * hours. */
static bool check_later_stages(struct training *t) {
    bool ok = true;
    for (int at = stage_count_phases(t->recipe, 0); ok && at < t->recipe->phases.count;
         at += stage_count_phases(t->recipe, at)) {
        ok = stage_open(t, at);
        stage_close(t);
    }
    return ok;
}

/* The score of best.safetensors, so that a resumed run keeps only what is better. */
static void read_best(struct training *t, bool resume) {
    struct weft_error error;
    t->best = -HUGE_VAL;
    struct weft_weights *file =
        resume ? weft_weights_open(arena_printf(t->session->arena, "%s/best.safetensors", t->folder), &error)
               : NULL;
    const char *score = file ? weft_weights_metadata(file, "score") : NULL;
    if (score)
        t->best = strtod(score, NULL);
    weft_weights_close(file);
}

/* A fresh run begins in a folder without weights of another: those of an earlier one are kept apart. */
static bool set_earlier_aside(struct training *t, const char **where) {
    VEC(const char *) names = {0};
    static const char *const always[] = {"last.safetensors", "best.safetensors"};
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        VEC_PUSH(t->session->arena, &names, always[i]);
    const char *const logs[] = {t->recipe->log_json, t->recipe->log_html};
    for (size_t i = 0; i < sizeof logs / sizeof *logs; i++)
        if (!strchr(logs[i], '/'))
            VEC_PUSH(t->session->arena, &names, logs[i]);
    for (int i = 0; i < t->recipe->phases.count; i++)
        if (t->recipe->phases.at[i].model)
            VEC_PUSH(t->session->arena, &names,
                     arena_printf(t->session->arena, "%s.safetensors", t->recipe->phases.at[i].model));
    return checkpoint_set_aside(t->session, t->folder, names.at, names.count, where);
}

/* Opens the log: a fresh run begins it anew, a resumed one keeps the lines up to its step. */
static bool open_log(struct training *t, bool resume) {
    const char *why;
    const struct source *old = resume ? source_read(t->session->arena, t->json_path, &why) : NULL;
    if (!session_make_folder(t->session, t->json_path, true) ||
        !session_make_folder(t->session, t->html_path, true))
        return false;
    t->log = fopen(t->json_path, "w");
    if (!t->log)
        return session_fail(t->session, E_FILE, "%s cannot be written: %s", t->json_path, strerror(errno));
    for (const char *line = old ? old->text : ""; *line;) {
        size_t length = strcspn(line, "\n");
        const char *step = strstr(line, "\"step\":");
        if (line[length] && step && strtoll(step + 7, NULL, 10) <= t->position.step)
            fprintf(t->log, "%.*s\n", (int)length, line);
        line += length + (line[length] == '\n');
    }
    return true;
}

/* ---- the run ---- */

/* The first phase of the stage that a phase belongs to. */
static int stage_of(const struct recipe *recipe, int64_t phase) {
    int first = 0;
    while (first < recipe->phases.count && first + stage_count_phases(recipe, first) <= phase)
        first += stage_count_phases(recipe, first);
    return first;
}

/* Runs the stage that is open; the next one is opened, if there is one, in its place. */
static bool run_stages(struct training *t) {
    for (;;) {
        if (t->recipe->phases.count == 0)
            return turns_take(t, false, false, false);
        if (!steps_run(t, &stop_wanted))
            return false;
        if (stop_wanted || t->position.phase >= t->recipe->phases.count)
            return true;
        stage_close(t);
        if (!stage_open(t, (int)t->position.phase) || !stage_fill_memory(t, NULL))
            return false;
    }
}

static bool is_at_end(const struct training *t) {
    const struct recipe *r = t->recipe;
    return r->phases.count > 0 && t->position.phase + 1 == r->phases.count &&
           (t->position.is_over || t->position.phase_step >= training_phase(t)->steps);
}

static bool begin(struct training *t, bool resume) {
    const char *checkpoint = resume ? checkpoint_find(t->session, t->folder) : NULL;
    if (resume && !checkpoint)
        return session_fail(t->session, E_FILE, "there is no checkpoint in %s to resume from", t->folder);
    if (checkpoint && !checkpoint_read_position(t->session, checkpoint, &t->position))
        return false;
    if (t->position.phase >= t->recipe->phases.count && checkpoint)
        return session_fail(t->session, E_WEIGHTS, "%s is of phase %lld; the recipe has fewer", checkpoint,
                            (long long)t->position.phase + 1);
    int first = stage_of(t->recipe, t->position.phase);
    if (first > 0 && (stage_close(t), !stage_open(t, first)))
        return false;
    return stage_fill_memory(t, checkpoint);
}

static bool train(struct training *t, struct invocation *invocation) {
    bool resume = option_given(invocation, OPT_resume), checks = option_given(invocation, OPT_check);
    if (!read_recipe(t, invocation) || !open_feeds(t) || !check_later_stages(t) || !stage_open(t, 0))
        return false;
    if (checks)
        return true;
    /* Weights that do not fit are told before the folder is made. */
    const char *earlier = NULL;
    if (!begin(t, resume) || !session_make_folder(t->session, t->folder, false) ||
        (!resume && !set_earlier_aside(t, &earlier)) || !open_log(t, resume))
        return false;
    read_best(t, resume);
    t->begun = clock_seconds() - t->position.seconds;
    progress_begin(&t->progress, t->style, "", 0, 1);
    if (earlier)
        progress_say(&t->progress,
                     "%s has an earlier run: it is now in %s (`--resume` would have gone on with it)",
                     t->folder, earlier);
    catch_interrupts();
    if (is_at_end(t)) {
        progress_say(&t->progress, "the run is at its end already: step %lld", (long long)t->position.step);
        return true;
    }
    bool ok = run_stages(t);
    if (ok && stop_wanted && !is_at_end(t))
        progress_say(&t->progress, "stopped at step %lld; `--resume` goes on from there",
                     (long long)t->position.step);
    return ok;
}

static void clean_up(struct training *t) {
    stage_close(t);
    for (int i = 0; t->feeds && i < t->recipe->data.count; i++)
        feed_close(&t->feeds[i]);
    if (t->log)
        fclose(t->log);
    free(t->order);
    recipe_finish(t->recipe);
}

/* The report's path without the detours of the recipe's (models/../runs), from where the user stands. */
static void print_report_path(const struct training *t) {
    char *whole = realpath(t->html_path, NULL), *here = getcwd(NULL, 0);
    const char *path = whole ? whole : t->html_path;
    size_t length = here ? strlen(here) : 0;
    if (whole && here && strncmp(whole, here, length) == 0 && whole[length] == '/')
        path = whole + length + 1;
    printf("%s\n", path);
    free(whole);
    free(here);
}

enum exit_status command_train(struct invocation *invocation) {
    struct session session;
    struct training t = {.session = &session};
    if (invocation->words.count != 1)
        return usage_error(invocation, "one recipe is wanted (`weft help recipe` tells what stands in it)");
    bool from_model = is_model(invocation->words.at[0]),
         wants_example = option_given(invocation, OPT_example);
    if (from_model && !wants_example)
        return usage_error(
            invocation, "a recipe is wanted, not a model; `weft train %s --example` prints one to begin with",
            invocation->words.at[0]);
    if (wants_example && !from_model)
        return usage_error(invocation, "--example wants a model: MODEL.weft[:NAME]");
    if (!session_open(&session, invocation))
        return EXIT_USAGE;
    t.style = progress_style_of(session.json, session.quiet);
    bool ok = wants_example ? recipe_example(&session, invocation->words.at[0]) : train(&t, invocation);
    if (ok && !wants_example && !session.quiet && !session.json) {
        if (option_given(invocation, OPT_check))
            printf("%s: ok\n", invocation->words.at[0]);
        else
            print_report_path(&t);
    }
    clean_up(&t);
    return session_finish(&session, ok);
}

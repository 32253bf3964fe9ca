/* driver/train.h: a training run.
 *
 * A run is a row of phases, each of one train block on one set. Phases that go on with the same model share a
 * *stage*: an instance, its compiled entries, its memory. Most runs have one phase in one stage; a run that
 * trains nothing has one stage and no phase. */
#ifndef DRIVER_TRAIN_H
#define DRIVER_TRAIN_H

#include "driver/checkpoint.h"
#include "driver/feed.h"
#include "driver/inputs.h"
#include "driver/programs.h"
#include "driver/progress.h"
#include "driver/recipe.h"

/* A fn over a set: full batches, and the items behind the last of them. */
struct pass_over {
    struct function *function;
    struct supply supply, rest_supply;
    struct inputs inputs;
    struct slot *full_slot, *rest_slot; /* NULL: there are no full batches, no rest */
    struct fed_call full, rest;
    int64_t rows;     /* items; 1 where there is no set */
    struct span span; /* of the recipe's map */
};

struct evaluation {
    const struct recipe_evaluate *recipe;
    struct pass_over pass;
    struct watch *watch;
};

struct fitting_pass {
    const struct recipe_fit *recipe;
    struct pass_over pass;
};

struct sampling {
    const struct recipe_samples *recipe;
    const char *name; /* of its files: the fn's, and a number where it stands in the recipe again */
    struct function *function, *from; /* from NULL: none */
    struct supply supply, from_supply;
    struct inputs inputs, from_inputs;
    struct sizes sizes, from_sizes;
    struct slot *slot, *from_slot;
    struct fed_call call, from_call;
    int64_t count; /* calls: 1, or the items where an fn takes them one by one */
};

/* A phase of the stage under way. */
struct phase {
    const struct recipe_phase *recipe;
    struct function *step;
    struct inputs inputs; /* the defaults of its scalars */
    struct supply supply;
    struct slot *slot;
    struct fed_call call;
    int64_t epoch_steps; /* optimiser steps of an epoch */
    int64_t steps;       /* of the phase */
    uint64_t seed;
};

struct training {
    struct session *session;
    struct recipe *recipe;
    struct feed *feeds; /* by recipe->data */
    /* the stage */
    int first_phase, phase_count; /* of the recipe's */
    struct instance *instance;
    struct function *init;
    struct slot *init_slot;
    struct programs programs;
    struct memory memory;
    struct phase *phases;
    struct evaluation *evaluations; /* evaluation_count of those that the stage's model has */
    struct sampling *samplings;
    struct fitting_pass *fits;
    int evaluation_count, sampling_count, fit_count;
    /* the run */
    struct position position;
    int64_t *order;                    /* of the epoch's items */
    void *saved_weights, *saved_state; /* on_nan: skip: as they were before the step */
    int64_t skipped, skipped_in_a_row;
    const char *folder;
    const char *json_path, *html_path;
    enum progress_style style;
    struct progress progress;
    double begun;        /* clock at the start, less the seconds of earlier sessions */
    double *sums;        /* of the reports since the last line of the log, by argument */
    int64_t *sum_counts; /* how many times each ran: one under a `when` does not in every call */
    int64_t summed;
    double best; /* the value that best.safetensors has; -inf: there is none */
    FILE *log;
};

struct feed *training_feed(const struct training *t, const struct recipe_data *data); /* NULL for NULL */
/* The layout of the stage's weights and state. */
const struct plan *training_plan(const struct training *t);
const struct graph *training_graph(const struct training *t);
struct phase *training_phase(const struct training *t); /* that is under way */
/* The range of pictures: of the set, or of the first phase's. */
void training_range(const struct training *t, const struct recipe_data *data, double *lo, double *hi);

/* stage.c. Everything of a stage up to its memory; close gives it back. */
bool stage_open(struct training *t, int first_phase);
void stage_close(struct training *t);
int stage_count_phases(const struct recipe *recipe, int first_phase);
/* The memory as a fresh run has it (init, weights that are loaded, statistics that are fitted), or as a
 * checkpoint does. */
bool stage_fill_memory(struct training *t, const char *checkpoint);

/* steps.c. From where the position stands to the end of the stage, or to where the run is to stop. */
bool steps_run(struct training *t, const volatile sig_atomic_t *stop_wanted);
/* Sets run.epoch and the order of the items for the epoch of the position. */
void steps_begin_epoch(struct training *t);
/* One call of the step on the next batch of the epoch; reports are not looked at. */
bool steps_take_batch(struct training *t);
/* Reads the next batch without a call. */
bool steps_fill_batch(struct training *t);

/* nan.c. Finds where the first NaN of the step that follows `position` comes from: goes back to the last
 * checkpoint, takes the steps from there again, and runs the failing one in the evaluator. Reports the
 * operator and its line. */
void nan_trace(struct training *t, const char *report);

/* pass_over.c. The fn that a recipe names at `span`; NULL: reported. */
const struct entry *training_find_fn(struct training *t, const char *fn, struct span span);
bool pass_over_prepare(struct training *t, struct pass_over *p, const char *fn,
                       const struct recipe_input *inputs, int input_count, struct recipe_source source,
                       int64_t batch, int64_t rows, struct span span);
bool pass_over_connect(struct training *t, struct pass_over *p); /* before programs_compile */
bool pass_over_create(struct training *t, struct pass_over *p);  /* behind it */
void pass_over_destroy(struct pass_over *p);
/* Runs every batch; after each, `take` sees its results. */
typedef bool pass_take(void *context, const struct fed_call *call);
bool pass_over_run(struct training *t, struct pass_over *p, pass_take *take, void *context);
/* The results of the fn among the plan's arguments. */
int plan_result_count(const struct function_plan *plan);
const struct plan_argument *plan_result(const struct function_plan *plan, int index, int *argument);

/* evaluate.c */
bool evaluation_run(struct training *t, struct evaluation *e);
bool evaluation_check_names(struct training *t, struct evaluation *e, bool *has_best);
bool fit_check(struct training *t, struct fitting_pass *f);
bool fit_run(struct training *t, struct fitting_pass *f);

/* samples.c */
bool sampling_prepare(struct training *t, struct sampling *s);
bool sampling_connect(struct training *t, struct sampling *s);
bool sampling_create(struct training *t, struct sampling *s);
void sampling_destroy(struct sampling *s);
bool sampling_run(struct training *t, struct sampling *s);

/* turns.c. What falls due after a step: the epoch has ended, it was the phase's last, the run is to stop.
 * Evaluations may end the phase (position.is_over). Where the stage ends, what is due at the end is done too;
 * where the run ends or stops, all is saved. A run that trains nothing takes its one turn with all three
 * false. */
bool turns_take(struct training *t, bool epoch_ended, bool phase_ended, bool stops);
bool log_values(struct training *t, const char *kind, const char *const *names, const double *values,
                int count);
bool log_list(struct training *t, const char *name, const double *values, int64_t count);
bool log_picture(struct training *t, const char *name, const char *file);

#endif

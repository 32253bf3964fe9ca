/* driver/train.h: a training run: what train.c drives and turns.c does at its turns. */
#ifndef DRIVER_TRAIN_H
#define DRIVER_TRAIN_H

#include "driver/checkpoint.h"
#include "driver/feed.h"
#include "driver/progress.h"
#include "driver/recipe.h"

/* An evaluation: the fn at the full batch, and for the items behind the last full batch. */
struct evaluation {
    const struct recipe_evaluate *recipe;
    struct function *function;
    const struct feed *feed;
    int64_t batch, rows;
    int entry;               /* of the run's program */
    struct program *rest;    /* NULL: the batch divides the rows */
    struct fed_call full, remainder;
};
struct sampling {
    const struct recipe_samples *recipe;
    struct function *function;
    const struct feed *feed; /* NULL: no data */
    int64_t batch;
    int entry;
    struct fed_call call;
};

struct training {
    struct session *session;
    const struct recipe *recipe;
    struct instance *instance;
    struct feed *feeds; /* by recipe->data */
    struct function *step, *init;
    struct program *program; /* entry 0 is the step, 1 is init, then evaluations and samplings */
    struct memory memory;
    struct fed_call step_call;
    struct evaluation *evaluations;
    struct sampling *samplings;
    struct position position;
    int64_t batches;      /* of an epoch */
    int64_t total_steps;
    int64_t *order;       /* of the epoch's items */
    const char *folder;
    enum progress_style style;
    struct progress progress;
    double begun; /* clock at the start, less the seconds of earlier sessions */
    double first_epoch_seconds;
    double *sums; /* of the reports since the last line of the log, by argument */
    int64_t summed;
    double best; /* the value that best.safetensors has; -inf: there is none */
    FILE *log;
};

const struct feed *training_feed(const struct training *t, const struct recipe_data *data);

/* nan.c. Finds where the first NaN of the step that follows `position` comes from: goes back to the last checkpoint,
 * takes the steps from there again, and runs the failing one in the evaluator. Reports the operator and its line. */
void nan_trace(struct training *t, const char *report);
/* cmd_train.c. The memory as a fresh run has it, or as the newest checkpoint does. */
bool training_fill_memory(struct training *t, bool resume);
/* Sets run.epoch and the order of the items for the epoch of the position. */
void training_begin_epoch(struct training *t);
/* One call of the step on the next batch of the epoch; reports are not looked at. */
bool training_take_batch(struct training *t);

/* turns.c. What falls due after a step (the epoch has ended or not); `last` also runs what is due at the end. */
bool turns_take(struct training *t, bool epoch_ended, bool last);
bool evaluation_prepare(struct training *t, struct evaluation *e);
bool evaluation_compile(struct training *t, struct evaluation *e, int entry);
bool sampling_prepare(struct training *t, struct sampling *s);
bool sampling_compile(struct training *t, struct sampling *s, int entry);
bool log_values(struct training *t, const char *kind, const char *const *names, const double *values, int count);
bool log_picture(struct training *t, const char *name, const char *file);
bool report_draw(struct training *t);

#endif

/* Programs that nobody optimised for: those of tests/frontend/programs that say their sizes. Every fn, and
 * three steps of every train, in compiled code and in the evaluator: the same finite numbers. A line
 *     // try NAME: hidden=8 | B=2 n=2 | label=0..10
 * of a file asks for a run of its model NAME with these hyper-parameters, sizes and ranges of inputs, as
 * struct model_size has them. PROGRAMS=FOLDER takes the programs from there. And the golden tests of
 * tests/frontend/values, whose numbers come from the evaluator. And models with --precision bf16. */
#include "support_models.h"

#include "driver/entries.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRAIN_STEPS = 3, MOST_PROGRAMS = 128 };
/* Of max|a - b| / max|b|: a bound for mistakes. Rounding that a sampler or an optimiser's first step
 * amplifies is what tests/models/models_test.c is strict about. */
static const double tolerance = 2e-3;
static const double half_tolerance = 3e-2; /* of bf16 and f16: programs/precision.weft */

/* ---- what the files ask for ---- */

/* The text in front of the next `|` or line end, and what follows it. */
static const char *next_part(struct arena *arena, const char **at) {
    size_t length = strcspn(*at, "|\n");
    const char *part = arena_strndup(arena, *at, length);
    *at += length + ((*at)[length] == '|');
    return part;
}

static int read_sizes(struct arena *arena, const char *folder, const char *file, struct model_size *out,
                      int room) {
    const char *why, *path = arena_printf(arena, "%s/%s/%s", getenv("SOURCE_DIR"), folder, file);
    const struct source *source = source_read(arena, path, &why);
    int count = 0;
    static const char mark[] = "// try ";
    for (const char *p = source ? source->text : ""; count < room && (p = strstr(p, mark));) {
        p += sizeof mark - 1;
        int name = (int)strcspn(p, ":");
        struct model_size *size = &out[count++];
        size->name = arena_printf(arena, "%s/%s:%.*s", folder, file, name, p);
        p += name + 1;
        size->settings = next_part(arena, &p);
        size->sizes = next_part(arena, &p);
        size->inputs = next_part(arena, &p);
    }
    return count;
}

/* The text of a golden test as a file of its own. */
static const char *extract_text(struct arena *arena, const char *folder, const char *file) {
    const char *why, *path = arena_printf(arena, "%s/%s/%s", getenv("SOURCE_DIR"), folder, file);
    const struct source *source = source_read(arena, path, &why);
    const char *cut = source ? strstr(source->text, "\n---- expected ----\n") : NULL;
    if (!cut || strstr(cut, "error["))
        return NULL;
    path = arena_printf(arena, "%s/tests/%.*sweft", getenv("BUILD_DIR"), (int)strlen(file) - 4, file);
    FILE *out = fopen(path, "w");
    if (!out)
        return NULL;
    fwrite(source->text, 1, (size_t)(cut - source->text) + 1, out);
    return fclose(out) == 0 ? path : NULL;
}

static int read_values(struct arena *arena, const char *folder, const char *file, struct model_size *out) {
    const char *path = extract_text(arena, folder, file);
    *out = (struct model_size){.name = path, .settings = "", .sizes = "", .inputs = ""};
    return path != NULL;
}

/* ---- running ---- */

static bool is_finite(const struct tensor *t) {
    for (int64_t i = 0; dtype_is_float(t->type->dtype) && i < type_elements(t->type); i++)
        if (!isfinite(t->f[i]))
            return false;
    return true;
}

static void expect(struct model_call *call, const char *name, const struct tensor *got,
                   const struct tensor *wanted) {
    bool is_half = call->run->size->is_bf16 || strstr(call->run->size->name, "precision");
    double most = is_half ? half_tolerance : tolerance;
    struct strbuf why;
    strbuf_init(&why, call->run->session.arena);
    if (!is_finite(wanted))
        fail_msg("%s:%s: %s is not finite", call->run->size->name, call->entry->name, name);
    if (!compare_tensors(got, wanted, most, &why))
        fail_msg("%s:%s: %s: %s", call->run->size->name, call->entry->name, name, why.text);
}

static struct tensor **inputs_of(const struct model_call *call, const struct function *function, int *count) {
    VEC(struct tensor *) inputs = {0};
    const struct function_plan *plan = call->entry->plan;
    FOR_EACH_OP (op, function->body)
        for (int i = 2; op->code == OP_input && i < plan->arguments.count; i++) {
            const struct plan_argument *a = &plan->arguments.at[i];
            if (a->role == (op_is_seed(op) ? WEFT_SEED : WEFT_INPUT) &&
                strcmp(a->name, op_string(op, ATTR_name)) == 0)
                VEC_PUSH(call->run->session.arena, &inputs,
                         tensor_from_bytes(call->run->session.arena, a->type, call->args[i]));
        }
    *count = inputs.count;
    return inputs.at;
}

static void check_call(struct model_run *run, int entry, uint32_t seed) {
    struct model_call *call = model_call_create(run, entry, seed);
    const struct function_plan *plan = call->entry->plan;
    struct function *function = graph_find_function(run->plain, call->entry->name);
    struct eval *eval = model_eval(run, run->plain, EVAL_EXACT);
    model_call_run(call, weft_pool_exec(run->session.pool));
    struct tensor *outputs[2][64] = {0}; /* results, reports */
    int count, done[2] = {0};
    struct tensor **inputs = inputs_of(call, function, &count);
    if (!eval_function(eval, function, inputs, count, outputs[0], outputs[1]))
        model_fail(run, "the evaluator refuses");
    for (int i = 2; i < plan->arguments.count; i++) {
        const struct plan_argument *a = &plan->arguments.at[i];
        if (a->role != WEFT_RESULT && a->role != WEFT_REPORT)
            continue;
        int kind = a->role == WEFT_REPORT;
        assert_true(done[kind] < 64);
        struct tensor *wanted = outputs[kind][done[kind]++];
        if (wanted) /* a report that ran */
            expect(call, a->name, tensor_from_bytes(run->session.arena, a->type, call->args[i]), wanted);
    }
    for (int i = 0; i < run->plain->states.count; i++)
        assert_true(is_finite(state_tensor(run, run->plain->states.at[i])));
}

static void program_runs(void **state) {
    struct model_run *run = model_open(*state);
    model_compile(run, NULL);
    model_start(run);
    for (int entry = 0; entry < run->entry_count; entry++) {
        bool trains = run->program->entries[entry].function->kind == FUNCTION_TRAIN;
        for (uint32_t step = 0; step < (trains ? TRAIN_STEPS : 1); step++)
            check_call(run, entry, 100 + (uint32_t)entry + step);
    }
    model_close(run);
}

struct programs {
    struct model_size sizes[MOST_PROGRAMS];
    struct CMUnitTest tests[MOST_PROGRAMS];
    int count;
};

static void add_folder(struct arena *arena, struct programs *p, const char *folder) {
    DIR *dir = opendir(arena_printf(arena, "%s/%s", getenv("SOURCE_DIR"), folder));
    for (struct dirent *entry; dir && (entry = readdir(dir)) && p->count < MOST_PROGRAMS;) {
        struct model_size *next = p->sizes + p->count;
        if (strstr(entry->d_name, ".weft"))
            p->count += read_sizes(arena, folder, entry->d_name, next, MOST_PROGRAMS - p->count);
        else if (strstr(entry->d_name, ".test"))
            p->count += read_values(arena, folder, entry->d_name, next);
    }
    if (dir)
        closedir(dir);
}

/* All programs take half a minute: without --long, a few that have something of everything. */
static void keep_quick(struct programs *p) {
    static const char *const quick[] = {"/realnvp.", "/flow.", "/energy.", "/window."};
    int kept = 0;
    for (int i = 0; i < p->count; i++) {
        bool keeps = *p->sizes[i].name == '/';
        for (size_t k = 0; k < sizeof quick / sizeof *quick; k++)
            keeps |= strstr(p->sizes[i].name, quick[k]) != NULL;
        if (keeps)
            p->sizes[kept++] = p->sizes[i];
    }
    p->count = kept;
}

static const struct model_size in_bf16[] = {
    {"lenet.weft", "", "B=3", "label=0..10", SHORT, true},
    {"vae.weft", "hidden=40 latent=5", "B=5 n=3", "", SHORT, true},
    {"flow_matching.weft", "ch=8 mult=[1,1,1]", "B=1 n=1 steps=2", "", LONG, true},
    {"vit.weft", "size=8 patch=4 channels=1 dim=16 depth=2 heads=2 classes=10", "B=3", "", LONG, true},
    {"wgan_gp.weft", "size=8 ch=4 latent=5 critic=2", "B=2 n=2", "image=-1..1", LONG, true},
};

static void add_in_bf16(struct programs *p, const struct choice *choice) {
    for (size_t i = 0; i < sizeof in_bf16 / sizeof *in_bf16 && p->count < MOST_PROGRAMS; i++)
        if (choice_takes(choice, &in_bf16[i]))
            p->sizes[p->count++] = in_bf16[i];
}

int main(int argc, char **argv) {
    static struct programs p;
    struct choice choice = choice_read(argc, argv);
    struct arena *arena = arena_create();
    add_folder(arena, &p, getenv("PROGRAMS") ? getenv("PROGRAMS") : "tests/frontend/programs");
    if (!getenv("PROGRAMS"))
        add_folder(arena, &p, "tests/frontend/values");
    if (!getenv("PROGRAMS") && !choice.is_long && !choice.word)
        keep_quick(&p);
    if (!getenv("PROGRAMS"))
        add_in_bf16(&p, &choice);
    size_t count = 0;
    for (int i = 0; i < p.count; i++)
        if (!choice.word || strstr(p.sizes[i].name, choice.word))
            p.tests[count++] = (struct CMUnitTest){p.sizes[i].name, program_runs, NULL, NULL, &p.sizes[i]};
    int failed = choice_run(&choice, "programs", p.tests, count);
    arena_destroy(arena);
    return failed;
}

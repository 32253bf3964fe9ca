#include "driver/recipe_example.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What is printed is a guess from types: a train block's first picture says which data fit it, an fn that
 * makes pictures of whole numbers is a sampler, one that makes numbers of the same pictures is an evaluation.
 */
struct example {
    struct session *session;
    struct instance *instance;
    const struct entry *train;
    const struct type *picture; /* of the train block; NULL: it takes none */
    bool has_test;
};

static const struct type *picture_of(const struct entry *entry) {
    for (int i = 0; i < entry->param_count; i++)
        if (entry->params[i].kind == PARAM_TENSOR && entry->params[i].type->dtype == DTYPE_f32 &&
            entry->params[i].type->rank == 4)
            return entry->params[i].type;
    return NULL;
}

static int64_t side(const struct type *type, int axis) {
    return type && dim_is_const(type->dims[axis]) ? dim_value(type->dims[axis]) : 0;
}

/* "step(image: f32[B,1,28,28], label: i32[B])" */
static void print_signature(const struct example *e, const struct entry *entry) {
    printf("%s(", entry->name);
    for (int i = 0; i < entry->param_count; i++)
        printf("%s%s%s%s", i ? ", " : "", entry->params[i].name, entry->params[i].type ? ": " : "",
               entry->params[i].type ? type_text(e->session->types, entry->params[i].type) : "");
    printf(")");
}

static int count_pictures(const struct entry *entry) {
    int count = 0;
    for (int i = 0; i < entry->param_count; i++)
        count += entry->params[i].kind == PARAM_TENSOR && entry->params[i].type->dtype == DTYPE_f32 &&
                 entry->params[i].type->rank == 4;
    return count;
}

/* The last size of a parameter i32 of this rank, at least 1 (classes [B], texts [B, N]); 0: there is none. */
static int64_t integers_of(const struct entry *entry, int rank) {
    for (int i = 0; i < entry->param_count; i++) {
        const struct entry_param *p = &entry->params[i];
        if (p->kind == PARAM_TENSOR && p->type->dtype == DTYPE_i32 && p->type->rank == rank)
            return rank == 1 ? 1 : side(p->type, rank - 1);
    }
    return 0;
}

static void print_data(struct example *e) {
    static const char fashion[] = "/usr/share/datasets/fashion-mnist";
    int64_t channels = side(e->picture, 1), height = side(e->picture, 2), width = side(e->picture, 3);
    printf("data:  # for ");
    print_signature(e, e->train);
    printf("\n");
    e->has_test = true;
    if (channels == 1 && height == 28) {
        const char *dir = access(fashion, R_OK) == 0 ? fashion : "MNIST";
        printf("  train: {kind: idx, dir: %s}\n  test: {kind: idx, dir: %s, split: test}\n", dir, dir);
        return;
    }
    if (channels == 3 && height == 32) {
        printf("  train: {kind: cifar10, dir: CIFAR, flip: true}\n  test: {kind: cifar10, dir: CIFAR, split: "
               "test}\n");
        return;
    }
    e->has_test = false;
    if (!e->picture) {
        printf("  train: {kind: npz, file: DATA.npz}\n");
        return;
    }
    int64_t tokens = integers_of(e->train, 2);
    printf("  train: {%s", count_pictures(e->train) > 1 ? "kind: unpaired, a: PICTURES_A, b: PICTURES_B"
                           : tokens                     ? "kind: pairs, table: CAPTIONS.tsv"
                           : integers_of(e->train, 1)   ? "kind: folders, dir: FOLDER_OF_CLASSES"
                                                        : "kind: images, dir: PICTURES");
    if (height && width)
        printf(", resize: %lld, center_crop: [%lld, %lld]", (long long)(height > width ? height : width),
               (long long)height, (long long)width);
    printf("%s, flip: true", channels == 1 ? ", gray: true" : "");
    if (tokens)
        printf(", text: {bpe: clip, merges: MERGES.txt, length: %lld}", (long long)tokens);
    printf("}\n");
}

/* Whether an fn takes nothing but whole numbers. */
static bool takes_numbers(const struct entry *entry) {
    int needed = 0;
    for (int i = 0; i < entry->param_count; i++) {
        const struct entry_param *p = &entry->params[i];
        needed += p->kind == PARAM_INT && !p->has_default;
        if (p->kind != PARAM_INT && !p->has_default)
            return false;
    }
    return needed == 1;
}

/* Whether an fn takes what the train block takes, or less. */
static bool takes_data(const struct example *e, const struct entry *entry) {
    const struct type *picture = picture_of(entry);
    bool ok = picture && entry->param_count <= e->train->param_count;
    for (int i = 0; ok && i < entry->param_count; i++)
        ok = entry->params[i].kind == PARAM_TENSOR;
    return ok;
}

static bool makes(const struct function *f, int least_rank, int most_rank) {
    const struct op *yield = block_yield(f->body);
    for (int i = 0; i < yield->in_count; i++)
        if (yield->in[i]->type->dtype != DTYPE_f32 || yield->in[i]->type->rank < least_rank ||
            yield->in[i]->type->rank > most_rank)
            return false;
    return yield->in_count > 0;
}

static void print_evaluation(const struct entry *entry) {
    printf("  - {fn: %s, data: test, every: 1 epoch}\n", entry->name);
}

static void print_sampler(const struct entry *entry) {
    const char *number = "";
    for (int k = 0; k < entry->param_count; k++)
        if (entry->params[k].kind == PARAM_INT && !entry->params[k].has_default)
            number = entry->params[k].name;
    printf("  - {fn: %s, in: {%s: 64}, grid: [8, 8], every: 1 epoch}\n", entry->name, number);
}

static void print_reconstruction(const struct entry *entry) {
    printf("  - {fn: %s, data: test, beside: input, grid: [4, 8], every: 1 epoch}\n", entry->name);
}

/* The fns of one kind. The heading is printed with the first line, if it was not yet. */
static void print_entries(struct example *e, const char *heading, bool *is_headed,
                          bool (*is_wanted)(struct example *, const struct entry *, const struct function *),
                          void (*print)(const struct entry *)) {
    for (int i = 0; i < instance_entry_count(e->instance); i++) {
        const struct entry *entry = instance_entry(e->instance, i);
        bool may = !entry->is_train && (takes_numbers(entry) || takes_data(e, entry));
        const struct function *f = may ? instance_elaborate(e->instance, entry->name, NULL, 0, 1) : NULL;
        if (!f || !is_wanted(e, entry, f))
            continue;
        printf("%s", *is_headed ? "" : heading);
        *is_headed = true;
        print(entry);
    }
}

static bool is_evaluation(struct example *e, const struct entry *entry, const struct function *f) {
    return e->has_test && takes_data(e, entry) && makes(f, 0, 1);
}

static bool is_sampler(struct example *e, const struct entry *entry, const struct function *f) {
    (void)e;
    return takes_numbers(entry) && makes(f, 4, 4);
}

static bool is_reconstruction(struct example *e, const struct entry *entry, const struct function *f) {
    return e->has_test && takes_data(e, entry) && makes(f, 4, 4);
}

static bool find_train(struct example *e, const char *path) {
    for (int i = 0; i < instance_entry_count(e->instance) && !e->train; i++)
        if (instance_entry(e->instance, i)->is_train)
            e->train = instance_entry(e->instance, i);
    return e->train ||
           session_fail(e->session, E_NAME, "%s has no train block: there is nothing to train", path);
}

static int count_trains(const struct instance *instance) {
    int count = 0;
    for (int i = 0; i < instance_entry_count(instance); i++)
        count += instance_entry(instance, i)->is_train;
    return count;
}

/* One train block is a length; several are phases. */
static void print_length(const struct example *e) {
    printf("batch: 64\n");
    if (count_trains(e->instance) == 1) {
        printf("epochs: 10\n");
        return;
    }
    printf("phases:\n");
    for (int i = 0; i < instance_entry_count(e->instance); i++)
        if (instance_entry(e->instance, i)->is_train)
            printf("  - {train: %s, epochs: 10}\n", instance_entry(e->instance, i)->name);
}

bool recipe_example(struct session *session, const char *word) {
    struct model_name name;
    if (!session_load(session, word, &name))
        return false;
    struct example e = {.session = session, .instance = session_instantiate(session, &name, NULL, 0)};
    if (!e.instance || !find_train(&e, name.path))
        return false;
    e.picture = picture_of(e.train);
    const char *model = name.model ? name.model : frontend_model_name(session->frontend, name.path, 0);
    printf("# `weft train` with this file trains %s. `weft help recipe` lists every key.\n", model);
    printf("model: %s:%s\n", name.path, model);
    printf("# set: {NAME: VALUE}  # hyper-parameters other than their defaults\n");
    print_data(&e);
    print_length(&e);
    bool evaluates = false, samples = false;
    print_entries(&e, "evaluate:\n", &evaluates, is_evaluation, print_evaluation);
    print_entries(&e, "samples:\n", &samples, is_sampler, print_sampler);
    print_entries(&e, "samples:\n", &samples, is_reconstruction, print_reconstruction);
    printf("checkpoint: {dir: runs/%s, every: 1 epoch, keep: 2}\n", model);
    return true;
}

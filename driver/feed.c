#include "driver/feed.h"

#include <stdlib.h>
#include <string.h>

bool feed_open(struct session *session, const struct recipe_data *data, struct feed *feed) {
    const struct weft_dataset_options options = {.kind = data->kind, .path = data->path, .split = data->split,
                                                 .hold_out = data->hold_out, .limit = data->limit, .lo = (float)data->lo,
                                                 .hi = (float)data->hi, .channels = data->gray ? 1 : 0};
    struct weft_error error;
    *feed = (struct feed){.data = data, .set = weft_dataset_open(&options, &error)};
    if (!feed->set) {
        diag_error(session->diags, data->span, E_DATA, "%s", error.message);
        return false;
    }
    feed->count = weft_dataset_count(feed->set);
    return true;
}

void feed_close(struct feed *feed) {
    weft_dataset_close(feed->set);
    feed->set = NULL;
}

static bool is_fed(const struct op *op) {
    return op->code == OP_input && !op_is_seed(op);
}

/* The field of the input of this name, which is the order-th; -1: none is left. Names win over order: where any input
 * has the name of a field, order does not count. */
static int field_of(const struct feed *feed, const char *name, int order) {
    int count = weft_dataset_field_count(feed->set);
    for (int i = 0; i < count; i++)
        if (strcmp(weft_dataset_field(feed->set, i)->name, name) == 0)
            return i;
    return order < count ? order : -1;
}

/* The shape of a batch of a field as an input of this rank wants it. */
static int batch_shape(const struct weft_field *field, int64_t batch, int wanted_rank, int64_t *shape) {
    shape[0] = batch;
    if (wanted_rank == 2 && field->rank > 1) {
        shape[1] = 1;
        for (int i = 0; i < field->rank; i++)
            shape[1] *= field->shape[i];
        return 2;
    }
    for (int i = 0; i < field->rank; i++)
        shape[i + 1] = field->shape[i];
    return field->rank + 1;
}

bool feed_sizes(struct session *session, const struct feed *feed, const struct function *function, int64_t batch, struct sizes *sizes) {
    int order = 0;
    FOR_EACH_OP(op, function->body) {
        if (!is_fed(op))
            continue;
        const char *name = op_string(op, ATTR_name);
        int index = field_of(feed, name, order++);
        if (index < 0) {
            diag_error_at(session->diags, op->site, E_DATA, "the data set `%s` has nothing for the input `%s` of `%s`", feed->data->name, name,
                          function->name);
            return false;
        }
        const struct weft_field *field = weft_dataset_field(feed->set, index);
        const struct type *type = op->out[0]->type;
        int64_t shape[WEFT_MAX_RANK + 1];
        int rank = batch_shape(field, batch, type->rank, shape);
        if ((enum dtype)field->dtype != type->dtype) {
            diag_error_at(session->diags, op->site, E_DTYPE, "`%s` of the data set `%s` is %s, the input `%s` wants %s", field->name,
                          feed->data->name, dtype_text((enum dtype)field->dtype), name, dtype_text(type->dtype));
            return false;
        }
        const char *origin = arena_printf(session->arena, "`%s` of the data set `%s`", field->name, feed->data->name);
        if (!sizes_match(session, sizes, type, rank, shape, origin))
            return false;
    }
    return true;
}

static void *block_of(const struct type *type) {
    size_t bytes = ((size_t)type_bytes(type) + 127) / 64 * 64;
    void *block = aligned_alloc(64, bytes);
    if (block)
        memset(block, 0, bytes);
    return block;
}

bool fed_call_create(struct session *session, struct program *program, int entry, const struct feed *feed, int64_t batch,
                     struct fed_call *call) {
    const struct function_plan *plan = program->entries[entry].plan;
    *call = (struct fed_call){.program = program, .entry = entry, .feed = feed, .batch = batch};
    call->values = ARENA_ARRAY(session->arena, void *, plan->arguments.count + 1);
    call->fields = ARENA_ARRAY(session->arena, void *, feed ? weft_dataset_field_count(feed->set) + 1 : 1);
    int order = 0;
    for (int i = 0; i < plan->arguments.count; i++) {
        const struct plan_argument *a = &plan->arguments.at[i];
        if (a->role == WEFT_WEIGHTS || a->role == WEFT_STATE || a->role == WEFT_SEED)
            continue;
        if (!(call->values[i] = block_of(a->type)))
            return session_fail(session, E_COMPILE, "no memory for `%s`", a->name);
        if (a->role == WEFT_INPUT && feed)
            call->fields[field_of(feed, a->name, order++)] = call->values[i];
    }
    return true;
}

void fed_call_destroy(struct fed_call *call) {
    if (!call->values)
        return;
    const struct function_plan *plan = call->program->entries[call->entry].plan;
    for (int i = 0; i < plan->arguments.count; i++) {
        int role = plan->arguments.at[i].role;
        if (role == WEFT_INPUT || role == WEFT_RESULT || role == WEFT_REPORT)
            free(call->values[i]);
    }
    call->values = NULL;
}

bool fed_call_fill(struct session *session, struct fed_call *call, const int64_t *items) {
    struct weft_error error;
    return weft_dataset_read(call->feed->set, items, call->batch, NULL, call->fields, &error) || session_fail(session, E_DATA, "%s", error.message);
}

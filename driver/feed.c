#include "driver/feed.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

bool feed_open(struct session *session, const struct recipe_data *data, struct feed *feed) {
    struct weft_error error;
    *feed = (struct feed){.data = data, .set = weft_dataset_open(&data->options, &error)};
    if (!feed->set) {
        diag_error(session->diags, data->span, E_DATA, "%s", error.message);
        return false;
    }
    feed->count = weft_dataset_count(feed->set);
    return true;
}

void feed_close(struct feed *feed) {
    weft_prefetch_destroy(feed->prefetch);
    weft_dataset_close(feed->set);
    *feed = (struct feed){0};
}

/* ---- which input gets what ---- */

static bool is_fed(const struct op *op) {
    return op->code == OP_input && !op_is_seed(op);
}

/* What results and fields have in common here: a list of names, each of which goes to one input. */
struct names {
    int kind; /* of the route */
    int count;
    const char **at;
    bool *used;
};

static struct names field_names(struct session *session, const struct supply *s) {
    int count = s->feed ? weft_dataset_field_count(s->feed->set) : 0;
    struct names names = {ROUTE_FIELD, count, ARENA_ARRAY(session->arena, const char *, count + 1),
                          ARENA_ARRAY(session->arena, bool, count + 1)};
    for (int i = 0; i < count; i++) {
        names.at[i] = weft_dataset_field(s->feed->set, i)->name;
        names.used[i] = s->field && strcmp(s->field, names.at[i]) != 0;
    }
    return names;
}

static struct names result_names(struct session *session, const struct supply *s) {
    int count = block_yield(s->from->body)->in_count;
    struct names names = {ROUTE_RESULT, count, ARENA_ARRAY(session->arena, const char *, count + 1),
                          ARENA_ARRAY(session->arena, bool, count + 1)};
    for (int i = 0; i < count; i++)
        names.at[i] = s->from->result_names[i] ? s->from->result_names[i] : "";
    return names;
}

static void take_route(struct session *session, struct supply *s, const char *input, int kind, int index) {
    const struct route route = {input, kind, index};
    VEC_PUSH(session->arena, &s->routes, route);
}

static const struct route *find_route(const struct supply *s, const char *input) {
    for (int i = 0; i < s->routes.count; i++)
        if (strcmp(s->routes.at[i].input, input) == 0)
            return &s->routes.at[i];
    return NULL;
}

static bool route_given(struct session *session, struct supply *s, const char *input) {
    for (int i = 0; i < s->given_count; i++)
        if (strcmp(s->given[i].name, input) == 0) {
            take_route(session, s, input, ROUTE_GIVEN, i);
            return true;
        }
    return false;
}

static void route_named(struct session *session, struct supply *s, const char *input, struct names *names) {
    for (int i = 0; i < names->count; i++)
        if (!names->used[i] && strcmp(names->at[i], input) == 0) {
            names->used[i] = true;
            take_route(session, s, input, names->kind, i);
            return;
        }
}

/* The first that nobody has by name. */
static bool route_next(struct session *session, struct supply *s, const char *input, struct names *names) {
    for (int i = 0; i < names->count; i++)
        if (!names->used[i]) {
            names->used[i] = true;
            take_route(session, s, input, names->kind, i);
            return true;
        }
    return false;
}

static bool nothing_for(struct session *session, const struct supply *s, const struct op *op,
                        const struct function *function) {
    const char *input = op_string(op, ATTR_name), *type = type_text(session->types, op->out[0]->type);
    if (s->from)
        diag_error_at(session->diags, op->site, E_DATA, "`%s` has nothing for the input `%s` of `%s`",
                      s->from->name, input, function->name);
    else if (s->feed && s->field)
        diag_error_at(session->diags, op->site, E_DATA, "`%s.%s` has nothing for the input `%s` of `%s`",
                      s->feed->data->name, s->field, input, function->name);
    else if (s->feed)
        diag_error_at(session->diags, op->site, E_DATA,
                      "the data set `%s` has nothing for the input `%s` of `%s`", s->feed->data->name, input,
                      function->name);
    else
        diag_hint(diag_error_at(session->diags, op->site, E_DATA,
                                "`%s` wants %s, a %s, and the recipe gives it nothing", function->name, input,
                                type),
                  "`data: SET` in the recipe, or `in: {%s: VALUE}`", input);
    return false;
}

static bool check_field(struct session *session, const struct supply *s) {
    if (!s->field || !s->feed)
        return true;
    int count = weft_dataset_field_count(s->feed->set);
    const char **names = ARENA_ARRAY(session->arena, const char *, count + 1);
    for (int i = 0; i < count; i++) {
        names[i] = weft_dataset_field(s->feed->set, i)->name;
        if (strcmp(names[i], s->field) == 0)
            return true;
    }
    diag_nearest(diag_error(session->diags, s->feed->data->span, E_DATA,
                            "the data set `%s` has no field `%s`; it has %s", s->feed->data->name, s->field,
                            names_text(session->arena, names, count)),
                 s->field, names, count);
    return false;
}

static bool find_routes(struct session *session, struct supply *s, const struct function *function) {
    if (!check_field(session, s))
        return false;
    struct names names = s->from ? result_names(session, s) : field_names(session, s);
    FOR_EACH_OP (op, function->body) {
        if (is_fed(op) && !route_given(session, s, op_string(op, ATTR_name)))
            route_named(session, s, op_string(op, ATTR_name), &names);
    }
    FOR_EACH_OP (op, function->body) {
        if (is_fed(op) && !find_route(s, op_string(op, ATTR_name)) &&
            !route_next(session, s, op_string(op, ATTR_name), &names))
            return nothing_for(session, s, op, function);
    }
    return true;
}

/* ---- sizes ---- */

/* Whether the sizes that the type knows are those of the shape. */
static bool agrees(const struct type *type, int rank, const int64_t *shape) {
    bool same = type->rank == rank;
    for (int i = 0; same && i < rank; i++)
        same = !dim_is_const(type->dims[i]) || dim_value(type->dims[i]) == shape[i];
    return same;
}

static int64_t elements_of(const struct weft_field *field) {
    int64_t count = 1;
    for (int i = 0; i < field->rank; i++)
        count *= field->shape[i];
    return count;
}

/* The shape of a batch of a field as an input of this type takes it: [batch, item...], [batch, elements], or
 * an item alone, a grey picture's also as [H, W]. */
static int shape_of_field(const struct weft_field *field, int64_t batch, const struct type *type, bool single,
                          int64_t *shape) {
    if (single) {
        int skip = type->rank == 2 && field->rank == 3 && field->shape[0] == 1 ? 1 : 0;
        memcpy(shape, field->shape + skip, sizeof *shape * (size_t)(field->rank - skip));
        return field->rank - skip;
    }
    shape[0] = batch;
    if (type->rank == 2 && field->rank > 1) {
        shape[1] = elements_of(field);
        return 2;
    }
    memcpy(shape + 1, field->shape, sizeof *shape * (size_t)field->rank);
    return field->rank + 1;
}

/* An input takes an item alone if it cannot take a batch and fits the item. */
static bool wants_single(const struct weft_field *field, int64_t batch, const struct type *type) {
    int64_t shape[WEFT_MAX_RANK + 1];
    if (agrees(type, shape_of_field(field, batch, type, false, shape), shape))
        return false;
    return agrees(type, shape_of_field(field, 1, type, true, shape), shape);
}

static bool size_given(struct session *session, struct supply *s, const struct route *route,
                       const struct type *type, struct sizes *sizes) {
    struct given given = s->given[route->index]; /* converted copies are the call's affair */
    return sizes_match(session, sizes, type, given.array.rank, given.array.shape, given.text);
}

static bool size_result(struct session *session, struct supply *s, const struct route *route,
                        const struct op *op, struct sizes *sizes) {
    const struct type *type = op->out[0]->type, *result = block_yield(s->from->body)->in[route->index]->type;
    int64_t shape[WEFT_MAX_RANK];
    const char *origin = arena_printf(session->arena, "the result of `%s`", s->from->name);
    if (!sizes_of_type(session, s->from_sizes, result, shape))
        return session_fail(session, E_SHAPE, "the size of %s is not known: %s", origin,
                            type_text(session->types, result));
    if (result->dtype != type->dtype) {
        diag_error_at(session->diags, op->site, E_DTYPE, "%s is %s, the input `%s` wants %s", origin,
                      dtype_text(result->dtype), route->input, dtype_text(type->dtype));
        return false;
    }
    return sizes_match(session, sizes, type, result->rank, shape, origin);
}

static bool size_field(struct session *session, struct supply *s, const struct route *route,
                       const struct op *op, struct sizes *sizes) {
    const struct weft_field *field = weft_dataset_field(s->feed->set, route->index);
    const struct type *type = op->out[0]->type;
    int64_t shape[WEFT_MAX_RANK + 1];
    int rank = shape_of_field(field, s->batch, type, s->is_single, shape);
    if ((enum dtype)field->dtype != type->dtype) {
        diag_error_at(session->diags, op->site, E_DTYPE,
                      "`%s` of the data set `%s` is %s, the input `%s` wants %s", field->name,
                      s->feed->data->name, dtype_text((enum dtype)field->dtype), route->input,
                      dtype_text(type->dtype));
        return false;
    }
    return sizes_match(
        session, sizes, type, rank, shape,
        arena_printf(session->arena, "`%s` of the data set `%s`", field->name, s->feed->data->name));
}

static void find_single(struct supply *s, const struct function *function) {
    FOR_EACH_OP (op, function->body) {
        const struct route *route = is_fed(op) ? find_route(s, op_string(op, ATTR_name)) : NULL;
        if (route && route->kind == ROUTE_FIELD &&
            wants_single(weft_dataset_field(s->feed->set, route->index), s->batch, op->out[0]->type))
            s->is_single = true;
    }
    if (s->is_single)
        s->batch = 1;
}

bool supply_connect(struct session *session, struct supply *s, const struct function *function,
                    struct sizes *sizes) {
    if (!find_routes(session, s, function))
        return false;
    find_single(s, function);
    FOR_EACH_OP (op, function->body) {
        if (!is_fed(op))
            continue;
        const struct route *route = find_route(s, op_string(op, ATTR_name));
        bool ok = route->kind == ROUTE_GIVEN    ? size_given(session, s, route, op->out[0]->type, sizes)
                  : route->kind == ROUTE_RESULT ? size_result(session, s, route, op, sizes)
                                                : size_field(session, s, route, op, sizes);
        if (!ok)
            return false;
    }
    return true;
}

/* ---- calls ---- */

static void *block_of(const struct type *type) {
    size_t bytes = ((size_t)type_bytes(type) + 127) / 64 * 64;
    void *block = aligned_alloc(64, bytes);
    if (block)
        memset(block, 0, bytes);
    return block;
}

const struct function_plan *fed_call_plan(const struct fed_call *call) {
    return call->slot->program->entries[call->slot->entry].plan;
}

static bool fill_given(struct session *session, const struct given *given, const struct plan_argument *a,
                       void *block) {
    struct given copy = *given;
    struct weft_error error;
    if (!weft_array_create(&copy.array, given->array.dtype, given->array.rank, given->array.shape, &error))
        return session_fail(session, E_DATA, "%s", error.message);
    memcpy(copy.array.data, given->array.data, weft_array_bytes(&given->array));
    bool ok = given_convert(session, &copy, a->type->dtype);
    if (ok)
        memcpy(block, copy.array.data, (size_t)type_bytes(a->type));
    weft_array_destroy(&copy.array);
    return ok;
}

bool fed_call_create(struct session *session, const struct slot *slot, const struct supply *supply,
                     struct fed_call *call) {
    *call = (struct fed_call){.slot = slot,
                              .feed = (struct feed *)supply->feed,
                              .batch = supply->batch,
                              .routes = supply->routes.at,
                              .route_count = supply->routes.count};
    const struct function_plan *plan = fed_call_plan(call);
    call->values = ARENA_ARRAY(session->arena, void *, plan->arguments.count + 1);
    call->fields = ARENA_ARRAY(session->arena, void *,
                               supply->feed ? weft_dataset_field_count(supply->feed->set) + 1 : 1);
    for (int i = 0; i < plan->arguments.count; i++) {
        const struct plan_argument *a = &plan->arguments.at[i];
        if (a->role == WEFT_WEIGHTS || a->role == WEFT_STATE || a->role == WEFT_SEED)
            continue;
        if (!(call->values[i] = block_of(a->type)))
            return session_fail(session, E_COMPILE, "no memory for `%s`", a->name);
        const struct route *route = a->role == WEFT_INPUT ? find_route(supply, a->name) : NULL;
        if (route && route->kind == ROUTE_FIELD)
            call->fields[route->index] = call->values[i];
        if (route && route->kind == ROUTE_GIVEN &&
            !fill_given(session, &supply->given[route->index], a, call->values[i]))
            return false;
    }
    return true;
}

void fed_call_stop_ahead(struct fed_call *call) {
    if (!call->reads_ahead)
        return;
    weft_prefetch_destroy(call->feed->prefetch);
    call->feed->prefetch = NULL;
    call->reads_ahead = false;
}

void fed_call_destroy(struct fed_call *call) {
    if (!call->values)
        return;
    const struct function_plan *plan = fed_call_plan(call);
    for (int i = 0; i < plan->arguments.count; i++) {
        int role = plan->arguments.at[i].role;
        if (role == WEFT_INPUT || role == WEFT_RESULT || role == WEFT_REPORT)
            free(call->values[i]);
    }
    fed_call_stop_ahead(call);
    *call = (struct fed_call){0};
}

bool fed_call_read_ahead(struct session *session, struct fed_call *call) {
    struct weft_error error;
    if (!call->feed || !weft_dataset_is_costly(call->feed->set) || call->feed->prefetch)
        return true;
    int count = weft_dataset_field_count(call->feed->set);
    bool *wanted = ARENA_ARRAY(session->arena, bool, count + 1);
    for (int i = 0; i < count; i++)
        wanted[i] = call->fields[i] != NULL;
    call->feed->prefetch = weft_prefetch_create(call->feed->set, wanted, call->batch, &error);
    call->reads_ahead = call->feed->prefetch != NULL;
    return call->reads_ahead || session_fail(session, E_DATA, "%s", error.message);
}

/* Broken files that were skipped since: told once each time there are more. */
static void tell_skipped(struct session *session, struct feed *feed) {
    const char *why;
    int64_t skipped = weft_dataset_skipped(feed->set, &why);
    if (skipped == feed->skipped)
        return;
    feed->skipped = skipped;
    if (session->json) {
        json_t *line = json_pack("{s:I, s:s}", "skipped", (json_int_t)skipped, "why", why);
        json_dumpf(line, stderr, JSON_COMPACT);
        fputc('\n', stderr);
        json_decref(line);
    } else if (!session->quiet) {
        fprintf(stderr, "skipped, %lld so far: %s\n", (long long)skipped, why);
    }
}

bool fed_call_fill(struct session *session, struct fed_call *call, const int64_t *items, const int64_t *next,
                   const struct weft_draws *draws) {
    struct weft_error error;
    struct weft_prefetch *ahead = call->feed->prefetch;
    const struct weft_draws none = {0, WEFT_NO_EPOCH};
    draws = draws ? draws : &none;
    bool ok;
    if (call->reads_ahead) {
        ok = weft_prefetch_read(ahead, items, draws, call->fields, &error);
        tell_skipped(session, call->feed);
        if (ok && next)
            weft_prefetch_begin(ahead, next, draws);
    } else {
        if (ahead)
            weft_prefetch_wait(ahead);
        ok = weft_dataset_read(call->feed->set, items, call->batch, draws, call->fields, &error);
        tell_skipped(session, call->feed);
    }
    return ok || session_fail(session, E_DATA, "%s", error.message);
}

/* The place of the index-th result among the arguments. */
static int result_argument(const struct function_plan *plan, int index) {
    for (int i = 0; i < plan->arguments.count; i++)
        if (plan->arguments.at[i].role == WEFT_RESULT && index-- == 0)
            return i;
    return -1;
}

void fed_call_take(struct fed_call *call, const struct fed_call *from) {
    const struct function_plan *plan = fed_call_plan(call), *from_plan = fed_call_plan(from);
    for (int i = 0; i < plan->arguments.count; i++)
        for (int k = 0; k < call->route_count; k++) {
            const struct plan_argument *a = &plan->arguments.at[i];
            if (a->role != WEFT_INPUT || call->routes[k].kind != ROUTE_RESULT ||
                strcmp(call->routes[k].input, a->name) != 0)
                continue;
            memcpy(call->values[i], from->values[result_argument(from_plan, call->routes[k].index)],
                   (size_t)type_bytes(a->type));
        }
}

bool fed_call_run(struct session *session, struct fed_call *call, struct memory *memory, uint64_t seed) {
    return slot_call(session, call->slot, memory, call->values, seed);
}

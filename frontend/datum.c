/* frontend/datum.c: making, comparing and describing elaboration values (datum.h). */
#include "frontend/datum.h"

#include "frontend/builtin.h"
#include "frontend/instance.h"

#include <string.h>

struct datum datum_int(struct types *types, int64_t value) {
    return datum_size(dim_const(types, value));
}

static struct datum sequence(struct arena *arena, enum datum_kind kind, const struct datum *at,
                             const char *const *names, int count) {
    struct list *list = ARENA_NEW(arena, struct list);
    list->count = count;
    list->at = arena_memdup(arena, at, sizeof(*at) * (size_t)count);
    list->names = names ? arena_memdup(arena, names, sizeof(*names) * (size_t)count) : NULL;
    return (struct datum){.kind = kind, .list = list};
}

struct datum datum_list_take(struct arena *arena, struct datum *at, int count) {
    struct list *list = ARENA_NEW(arena, struct list);
    *list = (struct list){.count = count, .at = at};
    return (struct datum){.kind = DATUM_LIST, .list = list};
}

struct datum datum_list(struct arena *arena, const struct datum *at, int count) {
    return sequence(arena, DATUM_LIST, at, NULL, count);
}

struct datum datum_tuple(struct arena *arena, const struct datum *at, const char *const *names, int count) {
    return sequence(arena, DATUM_TUPLE, at, names, count);
}

struct datum datum_made_at(struct arena *arena, struct datum tuple, struct span made) {
    struct list *list = arena_memdup(arena, tuple.list, sizeof *tuple.list);
    list->made = made;
    tuple.list = list;
    return tuple;
}

struct datum datum_list_join(struct arena *arena, const struct list *a, const struct list *b) {
    struct list_buffer *buffer = a->buffer;
    int count = a->count + b->count;
    if (!buffer || buffer->at != a->at || buffer->used != a->count || buffer->capacity < count) {
        buffer = ARENA_NEW(arena, struct list_buffer);
        buffer->capacity = 2 * count;
        buffer->at = ARENA_ARRAY(arena, struct datum, buffer->capacity);
        if (a->count > 0)
            memcpy(buffer->at, a->at, sizeof *a->at * (size_t)a->count);
    }
    if (b->count > 0)
        memcpy(buffer->at + a->count, b->at, sizeof *b->at * (size_t)b->count);
    buffer->used = count;
    struct list *list = ARENA_NEW(arena, struct list);
    *list = (struct list){.count = count, .at = buffer->at, .buffer = buffer};
    return (struct datum){.kind = DATUM_LIST, .list = list};
}

struct datum datum_copy(struct arena *arena, struct datum sequence) {
    struct list *list = ARENA_NEW(arena, struct list);
    *list = (struct list){
        .count = sequence.list->count, .names = sequence.list->names, .made = sequence.list->made};
    list->at = arena_memdup(arena, sequence.list->at, sizeof *list->at * (size_t)list->count);
    sequence.list = list;
    return sequence;
}

int tuple_find(const struct list *tuple, const char *name) {
    for (int i = 0; tuple->names && i < tuple->count; i++)
        if (tuple->names[i] == name)
            return i;
    return -1;
}

static bool sequence_equal(struct types *types, const struct list *a, const struct list *b) {
    if (a->count != b->count)
        return false;
    for (int i = 0; i < a->count; i++)
        if (!datum_equal(types, a->at[i], b->at[i]))
            return false;
    return true;
}

bool datum_equal(struct types *types, struct datum a, struct datum b) {
    if (datum_is_number(a) && datum_is_number(b) && a.kind != b.kind) {
        struct datum whole = a.kind == DATUM_INT ? a : b, real = a.kind == DATUM_INT ? b : a;
        return dim_is_const(whole.size) && (double)dim_value(whole.size) == real.number;
    }
    if (a.kind != b.kind)
        return false;
    switch (a.kind) {
    case DATUM_NONE:
        return true;
    case DATUM_BOOL:
        return a.truth == b.truth;
    case DATUM_INT:
        return a.size == b.size;
    case DATUM_FLOAT:
        return a.number == b.number;
    case DATUM_DTYPE:
        return a.dtype == b.dtype;
    case DATUM_LIST:
    case DATUM_TUPLE:
        return sequence_equal(types, a.list, b.list);
    case DATUM_RANGE:
        return datum_equal(types, a.range->lo, b.range->lo) && datum_equal(types, a.range->hi, b.range->hi) &&
               a.range->reversed == b.range->reversed;
    case DATUM_INSTANCE:
        return a.instance == b.instance && a.view == b.view;
    case DATUM_WEIGHT:
        return a.weight == b.weight;
    case DATUM_ERROR:
        return false;
    default: /* by identity: the union holds one pointer */
        return a.text == b.text;
    }
}

static const char *describe_tuple(struct arena *arena, struct types *types, const struct list *tuple) {
    struct strbuf out;
    strbuf_init(&out, arena);
    strbuf_putc(&out, '(');
    for (int i = 0; i < tuple->count; i++) {
        if (i > 0)
            strbuf_puts(&out, ", ");
        if (tuple->names && tuple->names[i])
            strbuf_printf(&out, "%s: ", tuple->names[i]);
        strbuf_puts(&out, datum_describe(arena, types, tuple->at[i]));
    }
    strbuf_putc(&out, ')');
    return out.text;
}

static void print_float(struct strbuf *out, double number) {
    size_t from = out->length;
    strbuf_double(out, number);
    if (!strpbrk(out->text + from, ".eni")) /* 2 reads back as an int: nan and inf have an n */
        strbuf_puts(out, ".0");
}

static const char *describe_float(struct arena *arena, double number) {
    struct strbuf out;
    strbuf_init(&out, arena);
    strbuf_puts(&out, "the float ");
    print_float(&out, number);
    return out.text;
}

const char *datum_describe(struct arena *arena, struct types *types, struct datum d) {
    switch (d.kind) {
    case DATUM_ERROR:
        return "a mistake";
    case DATUM_NONE:
        return "none";
    case DATUM_BOOL:
        return d.truth ? "true" : "false";
    case DATUM_UNDECIDED:
        return "a comparison of sizes that are not known here";
    case DATUM_INT:
        return arena_printf(arena, "the int %s", dim_text(types, d.size));
    case DATUM_FLOAT:
        return describe_float(arena, d.number);
    case DATUM_STRING:
        return arena_printf(arena, "the string \"%s\"", d.text);
    case DATUM_DTYPE:
        return arena_printf(arena, "the dtype %s", dtype_text(d.dtype));
    case DATUM_LIST:
        return arena_printf(arena, "a list of %d", d.list->count);
    case DATUM_TUPLE:
        return d.list->count > 6 ? "a tuple" : describe_tuple(arena, types, d.list);
    case DATUM_RANGE:
        return "a range";
    case DATUM_TENSOR:
        return type_text(types, d.tensor->type);
    case DATUM_CONSTANT:
        return arena_printf(arena, "a constant %s", type_text(types, d.constant->type));
    case DATUM_WEIGHT:
        return "a weight";
    case DATUM_CLOSURE:
        return d.closure->item ? arena_printf(arena, "the function %s", d.closure->item->name.text)
                               : "a function";
    case DATUM_BUILTIN:
        return arena_printf(arena, "the function %s", d.builtin->name);
    case DATUM_MODULE:
        return arena_printf(arena, "the module %s", d.module->name);
    case DATUM_INSTANCE:
        return arena_printf(arena, "an instance of %s", d.instance->module->name);
    case DATUM_NAMESPACE:
        return "a file that is used";
    }
    return "a value";
}

static void print_sequence(struct strbuf *out, struct types *types, struct datum d) {
    bool tuple = d.kind == DATUM_TUPLE;
    strbuf_putc(out, tuple ? '(' : '[');
    for (int i = 0; i < d.list->count; i++) {
        if (i > 0)
            strbuf_puts(out, ", ");
        if (d.list->names && d.list->names[i])
            strbuf_printf(out, "%s: ", d.list->names[i]);
        datum_print(out, types, d.list->at[i]);
    }
    if (tuple && d.list->count == 1 && !d.list->names)
        strbuf_putc(out, ',');
    strbuf_putc(out, tuple ? ')' : ']');
}

void datum_print(struct strbuf *out, struct types *types, struct datum d) {
    switch (d.kind) {
    case DATUM_BOOL:
        strbuf_puts(out, d.truth ? "true" : "false");
        break;
    case DATUM_INT:
        dim_print(out, d.size);
        break;
    case DATUM_FLOAT:
        print_float(out, d.number);
        break;
    case DATUM_STRING:
        strbuf_puts(out, d.text);
        break;
    case DATUM_DTYPE:
        strbuf_puts(out, dtype_text(d.dtype));
        break;
    case DATUM_LIST:
    case DATUM_TUPLE:
        print_sequence(out, types, d);
        break;
    case DATUM_RANGE:
        datum_print(out, types, d.range->lo);
        strbuf_puts(out, "..");
        datum_print(out, types, d.range->hi);
        break;
    default:
        strbuf_puts(out, datum_describe(out->arena, types, d));
    }
}

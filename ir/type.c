/* ir/type.c: dtypes and interned tensor types. */
#include "base/map.h"
#include "ir/types.h"

#include <assert.h>
#include <string.h>

static const struct {
    const char *text;
    int bytes;
    enum dtype_class class;
} dtypes[DTYPE_COUNT] = {
#define DTYPE(name, ctype, bytes, class) {#name, bytes, CLASS_##class},
#include "ir/dtype.def"
#undef DTYPE
};

const char *dtype_text(enum dtype dtype) {
    return dtypes[dtype].text;
}

int dtype_bytes(enum dtype dtype) {
    return dtypes[dtype].bytes;
}

enum dtype_class dtype_class(enum dtype dtype) {
    return dtypes[dtype].class;
}

bool dtype_find(const char *text, size_t length, enum dtype *out) {
    for (int i = 0; i < DTYPE_COUNT; i++)
        if (strlen(dtypes[i].text) == length && memcmp(dtypes[i].text, text, length) == 0) {
            *out = (enum dtype)i;
            return true;
        }
    return false;
}

/* ---- interning ---- */

struct types *types_create(struct arena *arena) {
    struct types *types = ARENA_NEW(arena, struct types);
    types->arena = arena;
    return types;
}

struct arena *types_arena(struct types *types) {
    return types->arena;
}

static void table_widen(struct types *types, struct table *table, uint64_t (*rehash)(const void *)) {
    struct table wider = {.capacity = table->capacity ? 2 * table->capacity : 64, .count = table->count};
    wider.slots = ARENA_ARRAY(types->arena, void *, wider.capacity);
    for (size_t i = 0; i < table->capacity; i++) {
        if (!table->slots[i])
            continue;
        size_t at = rehash(table->slots[i]) & (wider.capacity - 1);
        while (wider.slots[at])
            at = (at + 1) & (wider.capacity - 1);
        wider.slots[at] = table->slots[i];
    }
    *table = wider;
}

void **table_slot(struct types *types, struct table *table, uint64_t hash, const void *key,
                  bool (*same)(const void *, const void *), uint64_t (*rehash)(const void *)) {
    if (2 * table->count >= table->capacity)
        table_widen(types, table, rehash);
    size_t at = hash & (table->capacity - 1);
    while (table->slots[at] && !same(table->slots[at], key))
        at = (at + 1) & (table->capacity - 1);
    table->count += !table->slots[at];
    return &table->slots[at];
}

static uint64_t type_hash(const void *key) {
    const struct type *type = key;
    uint64_t hash = hash_bytes((uint64_t)type->dtype, &type->rank, sizeof(type->rank));
    return type->rank ? hash_bytes(hash, type->dims, sizeof(*type->dims) * (size_t)type->rank) : hash;
}

static bool type_same(const void *a, const void *b) {
    const struct type *x = a, *y = b;
    return x->dtype == y->dtype && x->rank == y->rank &&
           (x->rank == 0 || memcmp(x->dims, y->dims, sizeof(*x->dims) * (size_t)x->rank) == 0);
}

static int64_t multiply_saturating(int64_t a, int64_t b) {
    int64_t product;
    return __builtin_mul_overflow(a, b, &product) ? INT64_MAX : product;
}

static int64_t count_elements(const struct type *type) {
    int64_t count = 1;
    for (int i = 0; i < type->rank; i++) {
        if (!dim_is_const(type->dims[i]))
            return OPEN_ELEMENTS;
        if (dim_value(type->dims[i]) == 0)
            count = 0;
    }
    for (int i = 0; i < type->rank; i++)
        count = multiply_saturating(count, dim_value(type->dims[i]));
    return count;
}

const struct type *type_get(struct types *types, enum dtype dtype, int rank, const struct dim *const *dims) {
    struct type key = {.dtype = dtype, .rank = rank, .dims = dims};
    void **slot = table_slot(types, &types->types, type_hash(&key), &key, type_same, type_hash);
    if (!*slot) {
        key.dims = arena_memdup(types->arena, dims, sizeof(*dims) * (size_t)rank);
        key.elements = count_elements(&key);
        *slot = arena_memdup(types->arena, &key, sizeof(key));
    }
    return *slot;
}

const struct type *type_scalar(struct types *types, enum dtype dtype) {
    return type_get(types, dtype, 0, NULL);
}

const struct type *type_of_sizes(struct types *types, enum dtype dtype, int rank, const int64_t *sizes) {
    const struct dim **dims = ARENA_ARRAY(types->arena, const struct dim *, rank);
    for (int i = 0; i < rank; i++)
        dims[i] = dim_const(types, sizes[i]);
    return type_get(types, dtype, rank, dims);
}

const struct type *type_with_dtype(struct types *types, const struct type *type, enum dtype dtype) {
    return type_get(types, dtype, type->rank, type->dims);
}

const struct type *type_with_dims(struct types *types, const struct type *type, int rank,
                                  const struct dim *const *dims) {
    return type_get(types, type->dtype, rank, dims);
}

/* ---- asking ---- */

bool type_is_static(const struct type *type) {
    return type->elements != OPEN_ELEMENTS;
}

const struct dim *type_count(struct types *types, const struct type *type) {
    const struct dim *count = dim_const(types, 1);
    for (int i = 0; i < type->rank; i++)
        count = dim_mul(types, count, type->dims[i]);
    return count;
}

int64_t type_size(const struct type *type, int axis) {
    assert(axis >= -type->rank && axis < type->rank);
    return dim_value(type->dims[axis < 0 ? axis + type->rank : axis]);
}

int64_t type_elements(const struct type *type) {
    assert(type_is_static(type));
    return type->elements;
}

int64_t type_bytes(const struct type *type) {
    return multiply_saturating(type_elements(type), dtype_bytes(type->dtype));
}

const struct type *type_broadcast(struct types *types, const struct type *a, const struct type *b) {
    if (a->rank == b->rank &&
        (a->rank == 0 || memcmp(a->dims, b->dims, sizeof(*a->dims) * (size_t)a->rank) == 0))
        return a;
    int rank = a->rank > b->rank ? a->rank : b->rank;
    const struct dim *unit = dim_const(types, 1),
                     **dims = ARENA_ARRAY(types->arena, const struct dim *, rank);
    for (int i = 1; i <= rank; i++) {
        const struct dim *x = i <= a->rank ? a->dims[a->rank - i] : unit;
        const struct dim *y = i <= b->rank ? b->dims[b->rank - i] : unit;
        if (x != y && x != unit && y != unit)
            return NULL;
        dims[rank - i] = x == unit ? y : x;
    }
    return type_get(types, a->dtype, rank, dims);
}

/* ---- text ---- */

void type_print(struct strbuf *out, const struct type *type) {
    strbuf_puts(out, dtype_text(type->dtype));
    strbuf_putc(out, '[');
    for (int i = 0; i < type->rank; i++) {
        if (i > 0)
            strbuf_putc(out, ',');
        dim_print(out, type->dims[i]);
    }
    strbuf_putc(out, ']');
}

const char *type_text(struct types *types, const struct type *type) {
    struct strbuf buf;
    strbuf_init(&buf, types->arena);
    type_print(&buf, type);
    return buf.text;
}

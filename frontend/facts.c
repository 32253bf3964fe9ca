/* frontend/facts.c: what an elaboration saw (facts.h). */
#include "frontend/facts.h"

#include "frontend/instance.h"

#include <string.h>

struct facts *facts_create(struct arena *arena, const struct source *source) {
    struct facts *facts = ARENA_NEW(arena, struct facts);
    facts->arena = arena;
    facts->source = source;
    map_init(&facts->of_expr, arena);
    map_init(&facts->of_name, arena);
    return facts;
}

/* Whether an editor would show the two the same way: tensors by their type, anything else by its kind and
 * value. */
static bool looks_equal(struct datum a, struct datum b) {
    if (a.kind != b.kind)
        return false;
    switch (a.kind) {
    case DATUM_TENSOR:
        return a.tensor->type == b.tensor->type;
    case DATUM_CONSTANT:
        return a.constant->type == b.constant->type;
    case DATUM_INSTANCE:
        return a.instance->module == b.instance->module;
    case DATUM_CLOSURE:
        return a.closure->item == b.closure->item;
    case DATUM_BOOL:
        return a.truth == b.truth;
    case DATUM_FLOAT:
        return memcmp(&a.number, &b.number, sizeof a.number) == 0;
    case DATUM_DTYPE:
        return a.dtype == b.dtype;
    case DATUM_LIST:
    case DATUM_TUPLE:
        if (a.list->count != b.list->count)
            return false;
        for (int i = 0; i < a.list->count && i < 8; i++)
            if (!looks_equal(a.list->at[i], b.list->at[i]))
                return false;
        return true;
    case DATUM_NONE:
    case DATUM_RANGE:
        return true;
    default: /* by identity: dims are interned, the union holds one pointer */
        return a.text == b.text;
    }
}

static void note(struct facts *facts, struct map *map, const void *key, struct datum d) {
    struct fact *fact = map_find(map, key);
    if (!fact) {
        fact = ARENA_NEW(facts->arena, struct fact);
        map_put(map, key, fact);
    }
    for (int i = 0; i < fact->count; i++)
        if (looks_equal(fact->values[i], d))
            return;
    if (fact->count < FACT_VALUES)
        fact->values[fact->count++] = d;
    else
        fact->has_more = true;
}

void facts_note_expr(struct facts *facts, const struct expr *x, struct datum d) {
    if (d.kind != DATUM_ERROR && x->span.source == facts->source)
        note(facts, &facts->of_expr, x, d);
}

static const void *place_of(struct span span) {
    return (const void *)((uintptr_t)span.begin << 32 | span.end);
}

static bool stands_at(const char *name, struct span span) {
    size_t length = span.end - span.begin;
    return strlen(name) == length && memcmp(span.source->text + span.begin, name, length) == 0;
}

void facts_note_binding(struct facts *facts, const char *name, struct span span, struct datum d) {
    if (d.kind != DATUM_ERROR && span.source == facts->source && stands_at(name, span))
        note(facts, &facts->of_name, place_of(span), d);
}

const struct fact *facts_of_expr(const struct facts *facts, const struct expr *x) {
    return facts && x ? map_find(&facts->of_expr, x) : NULL;
}

const struct fact *facts_of_name(const struct facts *facts, struct span span) {
    return facts && span.source == facts->source ? map_find(&facts->of_name, place_of(span)) : NULL;
}

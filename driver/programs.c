#include "driver/programs.h"

#include <string.h>

static bool same_request(const struct request *a, const struct request *b) {
    if (a->function != b->function || a->binding_count != b->binding_count)
        return false;
    for (int i = 0; i < a->binding_count; i++) {
        bool found = false; /* in any order */
        for (int k = 0; k < b->binding_count; k++)
            found |= strcmp(a->bindings[i].name, b->bindings[k].name) == 0 &&
                     a->bindings[i].value == b->bindings[k].value;
        if (!found)
            return false;
    }
    return true;
}

struct slot *programs_add(struct programs *p, const struct function *function, const struct sizes *sizes) {
    const struct request request = {.function = function,
                                    .bindings = sizes ? sizes->bindings.at : NULL,
                                    .binding_count = sizes ? sizes->bindings.count : 0};
    for (int i = 0; i < p->slots.count; i++)
        if (same_request(&p->slots.at[i]->request, &request))
            return p->slots.at[i];
    struct slot *slot = ARENA_NEW(p->session->arena, struct slot);
    *slot = (struct slot){.request = request};
    VEC_PUSH(p->session->arena, &p->slots, slot);
    return slot;
}

/* One program of the slots that have none yet, each function once. */
static bool compile_one(struct programs *p) {
    struct arena *arena = p->session->arena;
    struct request *requests = ARENA_ARRAY(arena, struct request, p->slots.count);
    struct slot **taken = ARENA_ARRAY(arena, struct slot *, p->slots.count);
    int count = 0;
    for (int i = 0; i < p->slots.count; i++) {
        struct slot *slot = p->slots.at[i];
        bool is_taken = slot->program != NULL;
        for (int k = 0; k < count; k++)
            is_taken |= strcmp(requests[k].function->name, slot->request.function->name) == 0;
        if (is_taken)
            continue;
        requests[count] = slot->request;
        taken[count++] = slot;
    }
    struct program *program = program_create(p->session, p->graph, requests, count, true);
    if (!program)
        return false;
    VEC_PUSH(arena, &p->all, program);
    for (int k = 0; k < count; k++) {
        taken[k]->program = program;
        taken[k]->entry = k;
    }
    return true;
}

bool programs_compile(struct programs *p) {
    for (int i = 0; i < p->slots.count; i++)
        if (!p->slots.at[i]->program && !compile_one(p))
            return false;
    return true;
}

void programs_destroy(struct programs *p) {
    for (int i = 0; i < p->all.count; i++)
        program_destroy(p->session, p->all.at[i]);
    p->all.count = p->slots.count = 0;
}

bool slot_call(struct session *session, const struct slot *slot, struct memory *memory, void **values,
               uint64_t seed) {
    return program_call(session, slot->program, slot->entry, memory, values, seed);
}

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

/* ---- the contract about memory ---- */

/* "812.4 MB", "3.1 kB" */
static const char *size_text(struct arena *arena, int64_t bytes) {
    return bytes < 1000000 ? arena_printf(arena, "%.1f kB", 1e-3 * (double)bytes)
                           : arena_printf(arena, "%.1f MB", 1e-6 * (double)bytes);
}

/* The position of the schedule at which most bytes are alive. */
static int peak_of(const struct function_plan *plan) {
    int64_t most = -1;
    int peak = 0;
    for (int at = 0; at <= plan->length; at++) {
        int64_t bytes = 0;
        for (int i = 0; i < plan->buffers.count; i++)
            if (plan->buffers.at[i].begin <= at && at <= plan->buffers.at[i].end)
                bytes += plan->buffers.at[i].bytes;
        if (bytes > most) {
            most = bytes;
            peak = at;
        }
    }
    return peak;
}

enum { BUFFERS_NAMED = 5 };

/* The largest buffers at the peak, largest first; returns how many. */
static int largest_at(const struct function_plan *plan, int peak,
                      const struct plan_buffer *out[BUFFERS_NAMED]) {
    int count = 0;
    for (int i = 0; i < plan->buffers.count; i++) {
        const struct plan_buffer *b = &plan->buffers.at[i];
        if (b->begin > peak || peak > b->end)
            continue;
        int at = count < BUFFERS_NAMED ? count++ : BUFFERS_NAMED;
        for (; at > 0 && out[at - 1]->bytes < b->bytes; at--)
            if (at < BUFFERS_NAMED)
                out[at] = out[at - 1];
        if (at < BUFFERS_NAMED)
            out[at] = b;
    }
    return count;
}

static void name_buffers(struct session *session, struct diag *d, const struct function_plan *plan) {
    const struct plan_buffer *largest[BUFFERS_NAMED];
    int count = largest_at(plan, peak_of(plan), largest);
    for (int i = 0; i < count; i++) {
        const struct value *value = largest[i]->value;
        const char *type = type_text(session->types, value->type);
        const struct site *site = value->def ? value->def->site : NULL;
        int line = 0, column;
        if (site && span_is_known(site->span))
            source_locate(site->span.source, site->span.begin, &line, &column);
        if (line)
            diag_note(d, "%s at the peak: %s of %s:%d", size_text(session->arena, largest[i]->bytes), type,
                      site->span.source->name, line);
        else
            diag_note(d, "%s at the peak: %s", size_text(session->arena, largest[i]->bytes), type);
    }
}

bool programs_check_memory(struct programs *p, int64_t allowed, struct span span) {
    for (int i = 0; i < p->slots.count; i++) {
        const struct program_entry *entry = &p->slots.at[i]->program->entries[p->slots.at[i]->entry];
        if (entry->plan->arena_bytes <= allowed)
            continue;
        struct diag *d = diag_error(p->session->diags, span, E_RECIPE,
                                    "`%s` takes %s for its intermediate values, `memory` allows %s",
                                    entry->name, size_text(p->session->arena, entry->plan->arena_bytes),
                                    size_text(p->session->arena, allowed));
        name_buffers(p->session, d, entry->plan);
        diag_hint(d, "a smaller `batch` takes less; `accumulate` makes up for it");
        return false;
    }
    return true;
}

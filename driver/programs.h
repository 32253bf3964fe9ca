/* driver/programs.h: the compiled entries of a run. One program holds an entry once; the same entry with
 * other sizes or settings (the rest of a set, another batch) goes to the next program. All of them share one
 * layout of weights and state. */
#ifndef DRIVER_PROGRAMS_H
#define DRIVER_PROGRAMS_H

#include "driver/session.h"
#include "driver/shapes.h"

struct slot {
    struct request request;
    struct program *program; /* NULL until programs_compile */
    int entry;
};

struct programs {
    struct session *session;
    const struct graph *graph; /* the instance's */
    VEC(struct slot *) slots;
    VEC(struct program *) all; /* all.at[0]->plan is the layout */
};

/* A slot for a function with sizes (NULL: it needs none); the same one for the same request. */
struct slot *programs_add(struct programs *programs, const struct function *function,
                          const struct sizes *sizes);
/* Compiles what was added, in as few programs as possible. false: reported. */
bool programs_compile(struct programs *programs);
void programs_destroy(struct programs *programs);
bool slot_call(struct session *session, const struct slot *slot, struct memory *memory, void **values,
               uint64_t seed);

#endif

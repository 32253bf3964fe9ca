/* base/vec.h: growing arrays in an arena. VEC(T) declares one; it starts all zero. */
#ifndef BASE_VEC_H
#define BASE_VEC_H

#include "base/arena.h"

#define VEC(T)                                                                                               \
    struct {                                                                                                 \
        T *at;                                                                                               \
        int count, capacity;                                                                                 \
    }

#define VEC_PUSH(arena, vec, value)                                                                          \
    do {                                                                                                     \
        if ((vec)->count == (vec)->capacity) {                                                               \
            int vec_grown = (vec)->capacity ? 2 * (vec)->capacity : 8;                                       \
            (vec)->at = arena_grow((arena), (vec)->at, sizeof(*(vec)->at) * (size_t)(vec)->capacity,         \
                                   sizeof(*(vec)->at) * (size_t)vec_grown);                                  \
            (vec)->capacity = vec_grown;                                                                     \
        }                                                                                                    \
        (vec)->at[(vec)->count++] = (value);                                                                 \
    } while (0)

#define VEC_POP(vec)  ((vec)->at[--(vec)->count])
#define VEC_LAST(vec) ((vec)->at[(vec)->count - 1])

#endif

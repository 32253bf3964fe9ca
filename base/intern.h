/* base/intern.h: names as pointers. Two interned names are equal exactly when their pointers are. */
#ifndef BASE_INTERN_H
#define BASE_INTERN_H

#include "base/arena.h"

struct interner;

struct interner *interner_create(struct arena *arena); /* lives in the arena */
const char *intern(struct interner *names, const char *text);
const char *intern_n(struct interner *names, const char *text, size_t length);

#endif

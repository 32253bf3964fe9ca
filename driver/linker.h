/* driver/linker.h: shared libraries. Weft writes object files itself; for a library it asks the system's C
 * compiler, which knows where the linker and its files are. */
#ifndef DRIVER_LINKER_H
#define DRIVER_LINKER_H

#include "driver/session.h"

/* Links an object of `size` bytes into the shared library `path`, against libm (and libopenblas where the
 * object calls it), under a temporary name that is renamed in the end. false: reported. */
bool linker_make_shared(struct session *session, const char *path, const void *object, size_t size);

#endif

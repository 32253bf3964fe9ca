/* codegen/lower_routine.c: kernels of kind routine: one operator whose elements depend on run-time indices or on the
 * element before: dynamic_update, scatter, scan, sort, fold of a key. */
#include "codegen/lower.h"

bool lower_routine(struct lowering *l, const struct op *kernel, struct loop_kernel *out) {
    (void)out;
    diag_error_at(l->diags, kernel->site, E_COMPILE, "no routine for %s", opcode_text(kernel->regions[0]->first->code));
    return false;
}

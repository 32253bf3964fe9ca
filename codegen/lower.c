/* codegen/lower.c: the one door to the lowerings. */
#include "codegen/lower.h"

#include <string.h>

static const struct {
    const char *kind;
    bool (*lower)(struct lowering *l, const struct op *kernel, struct loop_kernel *out);
} lowerings[] = {
    {"nest", lower_nest},
    {"contract", lower_contract},
    {"attend", lower_attend},
    {"routine", lower_routine},
};

bool lower_kernel(struct lowering *l, const struct op *kernel, struct loop_kernel *out) {
    const char *kind = op_string(kernel, ATTR_kind);
    for (size_t i = 0; i < sizeof(lowerings) / sizeof(*lowerings); i++)
        if (!strcmp(kind, lowerings[i].kind))
            return lowerings[i].lower(l, kernel, out);
    diag_error_at(l->diags, kernel->site, E_COMPILE, "no lowering for kernels of kind %s", kind);
    return false;
}

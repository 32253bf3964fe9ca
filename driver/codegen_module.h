/* driver/codegen_module.h: the code generator, opened when a command first compiles. */
#ifndef DRIVER_CODEGEN_MODULE_H
#define DRIVER_CODEGEN_MODULE_H

#include "base/diag.h"
#include "codegen/codegen.h"

/* Where the running program lies. */
const char *program_folder(struct arena *arena);

/* The table of libweft_codegen.so, looked for beside the program, then in ../lib/weft. NULL: reported. */
const struct codegen_api *codegen_module_open(struct arena *arena, struct diags *diags);

#endif

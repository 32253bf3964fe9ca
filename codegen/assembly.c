/* codegen/assembly.c: the code of a compilation as text, for `:asm` and `weft dump`. */
#include "codegen/compile.h"
#include "codegen/debug.h"
#include "codegen/interface.h"

static const char *print_module(struct compiled *compiled, struct emitter *e, char **why) {
    LLVMTargetMachineRef machine = target_machine_create(compiled->target);
    LLVMMemoryBufferRef text = NULL;
    if (!machine)
        return NULL;
    const char *copy = NULL;
    LLVMSetTargetMachineAsmVerbosity(machine, true);
    if (!LLVMTargetMachineEmitToMemoryBuffer(machine, e->module, LLVMAssemblyFile, why, &text)) {
        copy = arena_strndup(compiled->arena, LLVMGetBufferStart(text), LLVMGetBufferSize(text));
        LLVMDisposeMemoryBuffer(text);
    }
    LLVMDisposeTargetMachine(machine);
    return copy;
}

const char *assembly_print(struct compiled *compiled, struct diags *diags) {
    struct emitter e;
    char *why = NULL;
    const char *text = NULL;
    if (emitter_init(&e, compiled->target, compiled->arena, compiled->graph->name)) {
        if (compiled->options.debug_info)
            debug_open(&e);
        emit_units(&e, compiled, false);
        emit_entries(&e, compiled);
        debug_finish(&e);
        text = print_module(compiled, &e, &why);
        emitter_finish(&e);
    }
    if (!text)
        diag_defect(diags, (struct span){0}, "LLVM does not print this: %s", why ? why : "no target machine");
    LLVMDisposeMessage(why);
    return text;
}

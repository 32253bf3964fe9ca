#include "codegen/jit.h"

#include "codegen/llvm.h"

#include <llvm-c/ExecutionEngine.h>
#include <llvm-c/OrcEE.h>
#include <stdlib.h>

struct jit {
    LLVMOrcLLJITRef lljit;
};

/* True where there is no error; else its text goes to *why. */
static bool succeeded(LLVMErrorRef error, struct arena *arena, const char **why) {
    if (!error)
        return true;
    char *message = LLVMGetErrorMessage(error);
    *why = arena_strdup(arena, message);
    LLVMDisposeErrorMessage(message);
    return false;
}

/* The linker that LLVM's listeners know. */
static LLVMOrcObjectLayerRef create_told_layer(void *context, LLVMOrcExecutionSessionRef session,
                                               const char *triple) {
    (void)context, (void)triple;
    LLVMOrcObjectLayerRef layer = LLVMOrcCreateRTDyldObjectLinkingLayerWithSectionMemoryManager(session);
    LLVMJITEventListenerRef perf = getenv("JITDUMPDIR") ? LLVMCreatePerfJITEventListener() : NULL;
    LLVMOrcRTDyldObjectLinkingLayerRegisterJITEventListener(layer, LLVMCreateGDBRegistrationListener());
    if (perf) /* NULL where this LLVM was built without it */
        LLVMOrcRTDyldObjectLinkingLayerRegisterJITEventListener(layer, perf);
    return layer;
}

/* Compiled code may call the process's C library for memcpy and memset, into which LLVM turns loops, and
 * libm. */
static bool jit_init(struct jit *jit, struct arena *arena, bool tells_debuggers, const char **why) {
    LLVMInitializeNativeTarget();
    LLVMInitializeNativeAsmPrinter();
    LLVMOrcLLJITBuilderRef builder = NULL; /* taken by what it builds */
    if (tells_debuggers) {
        builder = LLVMOrcCreateLLJITBuilder();
        LLVMOrcLLJITBuilderSetObjectLinkingLayerCreator(builder, create_told_layer, NULL);
    }
    if (!succeeded(LLVMOrcCreateLLJIT(&jit->lljit, builder), arena, why))
        return false;
    LLVMOrcDefinitionGeneratorRef process;
    char prefix = LLVMOrcLLJITGetGlobalPrefix(jit->lljit);
    if (!succeeded(LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(&process, prefix, NULL, NULL), arena,
                   why))
        return false;
    LLVMOrcJITDylibAddGenerator(LLVMOrcLLJITGetMainJITDylib(jit->lljit), process);
    return true;
}

struct jit *jit_create(struct arena *arena, bool tells_debuggers, const char **why) {
    struct jit *jit = calloc(1, sizeof(*jit));
    if (!jit) {
        *why = "out of memory";
        return NULL;
    }
    if (jit_init(jit, arena, tells_debuggers, why))
        return jit;
    jit_destroy(jit);
    return NULL;
}

void jit_destroy(struct jit *jit) {
    if (!jit)
        return;
    if (jit->lljit) {
        /* An error here is one of the linker's background work, which has been reported by the lookup before.
         */
        LLVMErrorRef error = LLVMOrcDisposeLLJIT(jit->lljit);
        if (error)
            LLVMConsumeError(error);
    }
    free(jit);
}

bool jit_add_object(struct jit *jit, const void *bytes, size_t size, struct arena *arena, const char **why) {
    LLVMOrcJITDylibRef library = LLVMOrcLLJITGetMainJITDylib(jit->lljit);
    LLVMMemoryBufferRef object = LLVMCreateMemoryBufferWithMemoryRangeCopy(bytes, size, "weft");
    return succeeded(LLVMOrcLLJITAddObjectFile(jit->lljit, library, object), arena,
                     why); /* takes the buffer */
}

void *jit_symbol(struct jit *jit, const char *name, struct arena *arena, const char **why) {
    LLVMOrcExecutorAddress address = 0;
    if (!succeeded(LLVMOrcLLJITLookup(jit->lljit, &address, name), arena, why))
        return NULL;
    return (void *)(uintptr_t)address;
}

#include "codegen/target.h"

#include "codegen/llvm.h"

#include <string.h>

/* What a family of instruction sets gives the code generator. */
enum isa { ISA_SSE2, ISA_AVX, ISA_AVX2, ISA_AVX512, ISA_NEON, ISA_COUNT };

struct isa_facts {
    int vector_bits, vector_registers;
    bool has_fma, has_masked_memory;
    int tile_rows, tile_vectors;
};

/* Tiles: tile_rows * tile_vectors accumulators, tile_vectors of B and one of A fit the registers (KERNELS.md
 * 1). AVX without FMA counts as 128 bits: its integer vectors are no wider. */
static const struct isa_facts isa_facts[ISA_COUNT] = {
    [ISA_SSE2] = {128, 16, false, false, 4, 2}, [ISA_AVX] = {128, 16, false, false, 4, 2},
    [ISA_AVX2] = {256, 16, true, true, 6, 2},   [ISA_AVX512] = {512, 32, true, true, 6, 4},
    [ISA_NEON] = {128, 32, true, false, 8, 2},
};

/* The CPUs that a user may name: LLVM has no list in its C API, and answers an unknown name with a line on
 * stderr and code for the baseline. Caches of a core in KB, from the makers' manuals. */
struct cpu {
    const char *name, *llvm;
    enum isa isa;
    int l1_kb, l2_kb;
    const char *more; /* features beyond the level's that LLVM may use for it */
};

/* The features of the levels, in LLVM's words: what an object asks of the machine that it runs on. */
#define V2      "+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16"
#define V3      V2 ",+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe"
#define V4      V3 ",+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl"
#define ICELAKE "+avx512ifma,+avx512vbmi,+avx512vbmi2,+avx512vnni,+avx512bitalg,+avx512vpopcntdq,+gfni,+vaes"
static const char *const isa_features[ISA_COUNT] = {
    [ISA_SSE2] = "", [ISA_AVX] = V2 ",+avx", [ISA_AVX2] = V3, [ISA_AVX512] = V4, [ISA_NEON] = "",
};

static const struct cpu cpus[] = {
    {"x86-64", "x86-64", ISA_SSE2, 32, 256, ""},
    {"x86-64-v2", "x86-64-v2", ISA_SSE2, 32, 256, V2},
    {"x86-64-v3", "x86-64-v3", ISA_AVX2, 32, 256, ""},
    {"x86-64-v4", "x86-64-v4", ISA_AVX512, 32, 1024, ""},
    {"nehalem", "nehalem", ISA_SSE2, 32, 256, V2},
    {"westmere", "westmere", ISA_SSE2, 32, 256, V2},
    {"sandybridge", "sandybridge", ISA_AVX, 32, 256, ""},
    {"ivybridge", "ivybridge", ISA_AVX, 32, 256, ""},
    {"haswell", "haswell", ISA_AVX2, 32, 256, ""},
    {"broadwell", "broadwell", ISA_AVX2, 32, 256, ""},
    {"skylake", "skylake", ISA_AVX2, 32, 256, ""},
    {"skylake-avx512", "skylake-avx512", ISA_AVX512, 32, 1024, ""},
    {"cascadelake", "cascadelake", ISA_AVX512, 32, 1024, "+avx512vnni"},
    {"cooperlake", "cooperlake", ISA_AVX512, 32, 1024, "+avx512vnni,+avx512bf16"},
    {"icelake-client", "icelake-client", ISA_AVX512, 48, 512, ICELAKE},
    {"icelake-server", "icelake-server", ISA_AVX512, 48, 1280, ICELAKE},
    {"tigerlake", "tigerlake", ISA_AVX512, 48, 1280, ICELAKE ",+avx512vp2intersect"},
    {"rocketlake", "rocketlake", ISA_AVX512, 48, 512, ICELAKE},
    {"alderlake", "alderlake", ISA_AVX2, 48, 1280, "+gfni,+vaes,+avxvnni"},
    {"raptorlake", "raptorlake", ISA_AVX2, 48, 2048, "+gfni,+vaes,+avxvnni"},
    {"sapphirerapids", "sapphirerapids", ISA_AVX512, 48, 2048, ICELAKE ",+avx512bf16,+avx512fp16,+avxvnni"},
    {"emeraldrapids", "emeraldrapids", ISA_AVX512, 48, 2048, ICELAKE ",+avx512bf16,+avx512fp16,+avxvnni"},
    {"graniterapids", "graniterapids", ISA_AVX512, 48, 2048, ICELAKE ",+avx512bf16,+avx512fp16,+avxvnni"},
    {"znver1", "znver1", ISA_AVX2, 32, 512, ""},
    {"znver2", "znver2", ISA_AVX2, 32, 512, ""},
    {"znver3", "znver3", ISA_AVX2, 32, 512, "+vaes"},
    {"znver4", "znver4", ISA_AVX512, 32, 1024, ICELAKE ",+avx512bf16"},
    {"znver5", "znver5", ISA_AVX512, 48, 1024, ICELAKE ",+avx512bf16,+avxvnni,+avx512vp2intersect"},
    {"aarch64", "generic", ISA_NEON, 32, 512, ""},
    {"cortex-a72", "cortex-a72", ISA_NEON, 32, 512, ""},
    {"cortex-a76", "cortex-a76", ISA_NEON, 64, 512, ""},
    {"neoverse-n1", "neoverse-n1", ISA_NEON, 64, 1024, ""},
    {"neoverse-v1", "neoverse-v1", ISA_NEON, 64, 1024, ""},
    {"neoverse-v2", "neoverse-v2", ISA_NEON, 64, 2048, ""},
    {"apple-m1", "apple-m1", ISA_NEON, 64, 4096, ""},
};
enum { CPU_COUNT = sizeof(cpus) / sizeof(*cpus) };

static const struct cpu *cpu_find(const char *name) {
    for (int i = 0; i < CPU_COUNT; i++)
        if (strcmp(cpus[i].name, name) == 0)
            return &cpus[i];
    return NULL;
}

static const char *isa_triple(enum isa isa) {
    return isa == ISA_NEON ? "aarch64-unknown-linux-gnu" : "x86_64-unknown-linux-gnu";
}

/* libLLVM's registry of targets takes a target once, however often it is offered. */
static void targets_register(void) {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeX86AsmParser();
    LLVMInitializeAArch64TargetInfo();
    LLVMInitializeAArch64Target();
    LLVMInitializeAArch64TargetMC();
    LLVMInitializeAArch64AsmPrinter();
    LLVMInitializeAArch64AsmParser();
}

static struct target *target_create(struct arena *arena, enum isa isa, const char *llvm_cpu,
                                    const char *features, const char *needs, int l1_kb, int l2_kb) {
    const struct isa_facts *facts = &isa_facts[isa];
    struct target *target = ARENA_NEW(arena, struct target);
    *target = (struct target){
        .triple = isa_triple(isa),
        .cpu = llvm_cpu,
        .features = features,
        .needs = needs,
        .vector_bits = facts->vector_bits,
        .vector_registers = facts->vector_registers,
        .has_fma = facts->has_fma,
        .has_masked_memory = facts->has_masked_memory,
        .has_half = isa == ISA_NEON || feature_is_listed(needs, "+f16c"),
        .has_bf16_dot = isa == ISA_AVX512 && feature_is_listed(needs, "+avx512bf16"),
        .l1_bytes = l1_kb * 1024,
        .l2_bytes = l2_kb * 1024,
        .tile_rows = facts->tile_rows,
        .tile_vectors = facts->tile_vectors,
    };
    return target;
}

bool feature_is_listed(const char *features, const char *feature) {
    size_t length = strlen(feature);
    for (const char *at = features; (at = strstr(at, feature)); at += length)
        if ((at == features || at[-1] == ',') && (at[length] == 0 || at[length] == ','))
            return true;
    return false;
}

/* AVX-512 counts where all four parts are there that the emitted code uses: F, DQ, BW and VL, as in
 * x86-64-v4. */
static enum isa isa_of_features(const char *triple, const char *features) {
    if (strncmp(triple, "aarch64", 7) == 0)
        return ISA_NEON;
    if (feature_is_listed(features, "+avx512f") && feature_is_listed(features, "+avx512dq") &&
        feature_is_listed(features, "+avx512bw") && feature_is_listed(features, "+avx512vl"))
        return ISA_AVX512;
    if (feature_is_listed(features, "+avx2") && feature_is_listed(features, "+fma"))
        return ISA_AVX2;
    return feature_is_listed(features, "+avx") ? ISA_AVX : ISA_SSE2;
}

/* The machine's own name and features: a virtual machine may hide some that its CPU's name implies. */
static struct target *target_native(struct arena *arena) {
    char *triple = LLVMGetDefaultTargetTriple();
    char *cpu = LLVMGetHostCPUName();
    char *features = LLVMGetHostCPUFeatures();
    const struct cpu *known = cpu_find(cpu);
    const char *listed = arena_strdup(arena, features);
    struct target *target =
        target_create(arena, isa_of_features(triple, features), arena_strdup(arena, cpu), listed, listed,
                      known ? known->l1_kb : 32, known ? known->l2_kb : 512);
    LLVMDisposeMessage(triple);
    LLVMDisposeMessage(cpu);
    LLVMDisposeMessage(features);
    return target;
}

const struct target *target_get(struct arena *arena, const char *cpu, struct diags *diags) {
    targets_register();
    if (!cpu || strcmp(cpu, "native") == 0)
        return target_native(arena);
    const struct cpu *known = cpu_find(cpu);
    if (known) {
        const char *needs = arena_printf(arena, "%s,%s", isa_features[known->isa], known->more);
        return target_create(arena, known->isa, known->llvm, "", needs, known->l1_kb, known->l2_kb);
    }
    struct diag *d = diag_error(diags, (struct span){0}, E_TARGET, "unknown CPU %s", cpu);
    const char *names[CPU_COUNT + 1] = {"native"};
    for (int i = 0; i < CPU_COUNT; i++)
        names[i + 1] = cpus[i].name;
    const char *near = nearest_name(cpu, names, CPU_COUNT + 1);
    if (near)
        diag_hint(d, "did you mean `%s`?", near);
    else
        diag_hint(
            d,
            "native, a level (x86-64, x86-64-v3, x86-64-v4, aarch64), or a name such as haswell or znver4");
    return NULL;
}

int target_lanes(const struct target *target, int element_bytes) {
    return target->vector_bits / (8 * element_bytes);
}

static LLVMTargetMachineRef machine_create(const struct target *target, LLVMCodeGenOptLevel level) {
    LLVMTargetRef backend;
    char *why = NULL;
    if (LLVMGetTargetFromTriple(target->triple, &backend, &why)) {
        LLVMDisposeMessage(why);
        return NULL;
    }
    LLVMTargetMachineOptionsRef options = LLVMCreateTargetMachineOptions();
    LLVMTargetMachineOptionsSetCPU(options, target->cpu);
    LLVMTargetMachineOptionsSetFeatures(options, target->features);
    LLVMTargetMachineOptionsSetCodeGenOptLevel(options, level);
    LLVMTargetMachineOptionsSetRelocMode(options, LLVMRelocPIC);
    LLVMTargetMachineRef machine = LLVMCreateTargetMachineWithOptions(backend, target->triple, options);
    LLVMDisposeTargetMachineOptions(options);
    return machine;
}

LLVMTargetMachineRef target_machine_create(const struct target *target) {
    return machine_create(target, LLVMCodeGenLevelDefault);
}

LLVMTargetMachineRef quick_machine_create(const struct target *target) {
    return machine_create(target, LLVMCodeGenLevelNone);
}

LLVMMemoryBufferRef emit_object(LLVMTargetMachineRef machine, LLVMModuleRef module, char **why) {
    LLVMMemoryBufferRef object = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(machine, module, LLVMObjectFile, why, &object))
        return NULL;
    return object;
}

/* docs/operators.md is what the operator table says. Where they differ, `make golden` writes the page anew.
 */
#include "base/arena.h"
#include "base/strbuf.h"
#include "ir/op.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The words of the table's columns that op_infos does not keep. */
static const struct words {
    const char *infer, *grad, *fuse, *lower;
} words[OP_COUNT] = {
#define OP(name, operands, results, attributes, infer, grad, eval, fuse, flops, lower, ...)                  \
    [OP_##name] = {#infer, #grad, #fuse, #lower},
#include "ir/ops.def"
#undef OP
};

struct meaning {
    const char *word, *text;
};

/* infer_<word>: f is f16 bf16 f32 f64, i is i8 u8 i32 u32 i64. */
static const struct meaning types[] = {
    {"arg_reduce", "T[S] → i32[S without the axis]"},
    {"arith", "x, y: the same f or i; broadcast"},
    {"arith_float", "x, y: the same f; broadcast"},
    {"bitcast", "T[S] → U[S] of the same width"},
    {"bits", "x, y: the same i; broadcast"},
    {"broadcast", "T[S] → T[declared]"},
    {"call", "the function's"},
    {"cast", "T[S] → U[S]"},
    {"check", "bool[] → ()"},
    {"compare", "x, y: the same dtype; broadcast → bool"},
    {"concat", "the same but for the axis"},
    {"cond", "bool[], captures → what both regions yield"},
    {"conv", "f[B,C,..], f[O,C/g,k..] → f[B,O,..], 1 to 3 axes"},
    {"conv_wgrad", "f[B,C,..], f[B,O,..] → f[O,C/g,k..]"},
    {"data", "→ the data's"},
    {"declared", "→ declared"},
    {"dim", "→ i64[]"},
    {"dot", "the same f → f; i8 → i32"},
    {"dynamic_slice", "T[S], i32[] for each axis → T[declared]"},
    {"dynamic_update", "T[S], T[U], i32[] for each axis → T[S]"},
    {"effect", "T → ()"},
    {"float", "f → the same"},
    {"fold", "T[.., o.., k..] → T[declared]"},
    {"gather", "T[S], i[I] → T, I in place of the axis"},
    {"grad", "f[], xs → the types of xs"},
    {"logic", "x, y: bool or the same i; broadcast"},
    {"loop", "bounds, carried, captures → carried, stacks"},
    {"number", "f or i → the same"},
    {"pad", "T[S] → T[S + lo + hi + interior]"},
    {"random_bits", "u32[2] or u32[n,2] → u32[declared]"},
    {"random_fold", "u32[2] or u32[n,2], i32 or u32 → u32[..,2]"},
    {"reduce", "T[S] → T[S without the axes]"},
    {"remat", "captures → what the region yields"},
    {"reshape", "T[S] → T[declared], as many elements"},
    {"same", "T → T"},
    {"scan", "T[S] → T[S], f or i"},
    {"scatter", "T[S], i[I], T[U] → T[S]"},
    {"select", "bool, x, y: the same dtype; broadcast"},
    {"slice", "T[S] → T[declared]"},
    {"sort", "T[S] → T[S], i32[S]"},
    {"state", "→ the state's"},
    {"transpose", "T[S] → T[S permuted]"},
    {"windows", "T[.., H..] → T[.., o.., k..]"},
    {"write", "the state's → ()"},
};

/* grad_<word>; any other word is a rule. */
static const struct meaning gradients[] = {{"leaf", "leaf"}, {"zero", "zero"}, {"none", "–"}};

static const struct meaning lowerings[] = {
    {"none", "–"},
    {"const", "nest: data"},
    {"map", "nest: elementwise"},
    {"view", "nest: index arithmetic"},
    {"gather", "nest: index arithmetic"},
    {"iota", "nest: index arithmetic"},
    {"reduce", "nest: reduction"},
    {"random_bits", "nest: Philox"},
    {"random_fold", "nest: Philox"},
    {"fold", "nest where few windows overlap, else routine"},
    {"contract", "contract"},
    {"kernel", "a kernel"},
    {"scan", "routine"},
    {"sort", "routine"},
    {"scatter", "routine"},
    {"dynamic_update", "routine"},
};

static const char *find(const struct meaning *meanings, size_t count, const char *word,
                        const char *otherwise) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(meanings[i].word, word) == 0)
            return meanings[i].text;
    if (!otherwise)
        fail_msg("tests/ir/operators_test.c has no words for the rule `%s`", word);
    return otherwise;
}
#define FIND(meanings, word, otherwise)                                                                      \
    find(meanings, sizeof(meanings) / sizeof(*(meanings)), word, otherwise)

static const char head[] =
    "# Operators\n\n"
    "Made from `ir/ops.def` by `tests/ir/operators_test.c`; `make golden` writes it. Operators that a "
    "model's text can "
    "reach have these names there, or are what its functions stand on ([library](language.md)).\n\n"
    "f is f16, bf16, f32 or f64; i is i8, u8, i32, u32 or i64; T is any dtype. No dtype changes silently. "
    "Elementwise "
    "operators broadcast as NumPy does. *Lowering* is the kind of kernel ([codegen](codegen.md), "
    "[contract](contract.md)). *ulp* is how far an element of compiled code in f32 may be from the exact "
    "result, in "
    "units of its last place, as the tests hold it to ([numerics](numerics.md) has what was measured): 0 is "
    "exact, and "
    "a sum's error depends on its terms.\n";

static const struct {
    const char *title;
    unsigned classes; /* bits of enum fuse_class */
} sections[] = {
    {"Sources, state, effects, regions", 1u << FUSE_SOURCE | 1u << FUSE_EFFECT | 1u << FUSE_REGION},
    {"Elementwise", 1u << FUSE_MAP},
    {"Structure", 1u << FUSE_VIEW},
    {"Reductions, contractions, routines", 1u << FUSE_REDUCE | 1u << FUSE_CONTRACT | 1u << FUSE_OPAQUE},
};

/* A cell may not hold the bar that ends it. */
static void put_cell(struct strbuf *out, const char *text) {
    for (; *text; text++)
        strbuf_printf(out, *text == '|' ? "\\%c" : "%c", *text);
    strbuf_puts(out, " | ");
}

static void put_attributes(struct strbuf *out, const struct op_info *info) {
    const char *between = "";
    for (int a = 0; a < ATTR_COUNT; a++)
        if (info->attributes >> a & 1) {
            strbuf_printf(out, "%s%s", between, attr_text((enum attr_name)a));
            between = " ";
        }
    strbuf_puts(out, " | ");
}

static void put_row(struct strbuf *out, enum opcode code) {
    const struct op_info *info = &op_infos[code];
    const struct words *w = &words[code];
    char ulp[16] = "";
    if (info->fuse == FUSE_MAP)
        snprintf(ulp, sizeof(ulp), "%g", info->ulp);
    strbuf_printf(out, "| `%s` | ", info->name);
    put_cell(out, info->equation);
    put_attributes(out, info);
    put_cell(out, FIND(types, w->infer, NULL));
    put_cell(out, FIND(gradients, w->grad, "rule"));
    put_cell(out, FIND(lowerings, w->lower, NULL));
    strbuf_printf(out, "%s |\n", ulp);
}

static const char *page(struct arena *arena) {
    struct strbuf out;
    strbuf_init(&out, arena);
    strbuf_puts(&out, head);
    for (size_t s = 0; s < sizeof(sections) / sizeof(*sections); s++) {
        strbuf_printf(&out, "\n## %s\n\n", sections[s].title);
        strbuf_puts(&out, "| operator | what it computes | attributes | types | gradient | lowering | ulp |\n"
                          "| --- | --- | --- | --- | --- | --- | --- |\n");
        for (int code = 0; code < OP_COUNT; code++)
            if (sections[s].classes >> op_infos[code].fuse & 1)
                put_row(&out, (enum opcode)code);
    }
    return out.text;
}

static void the_page_is_the_table(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    const char *path = arena_printf(arena, "%s/docs/operators.md", getenv("SOURCE_DIR")),
               *wanted = page(arena);
    size_t size = strlen(wanted);
    if (getenv("WEFT_GOLDEN")) {
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(wanted, 1, size, file), size);
        fclose(file);
    }
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *have = arena_alloc(arena, size + 2);
    size_t count = fread(have, 1, size + 1, file);
    fclose(file);
    have[count] = 0;
    if (strcmp(have, wanted) != 0)
        fail_msg("docs/operators.md is not what ir/ops.def says: make golden");
    arena_destroy(arena);
}

static void every_row_says_what_it_computes(void **state) {
    (void)state;
    for (int code = 0; code < OP_COUNT; code++)
        assert_true(*op_infos[code].equation);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_says_what_it_computes),
        cmocka_unit_test(the_page_is_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

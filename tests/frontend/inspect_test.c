/* What an editor asks of a text (frontend/inspect.h): at whole programs, and at programs that are cut off
 * anywhere, as they are while somebody types. tests/driver/lsp_test.py looks at the answers themselves. */
#include "support_golden.h"

#include "frontend/builtin.h"
#include "frontend/inspect.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct inspection *inspect_text(struct arena *arena, const char *name, const char *text,
                                       size_t length) {
    const struct inspection_options options = {.evaluation_limit = 10000};
    return inspection_create(arena, source_create(arena, name, arena_strndup(arena, text, length), length),
                             &options);
}

/* Every question at one place; each answer lies within the text. */
static void ask_everything(struct arena *arena, struct inspection *in, uint32_t at) {
    struct strbuf text;
    struct span span;
    struct name_place *places;
    struct candidate *candidates;
    struct signature_help help;
    const char *why = NULL;
    uint32_t begin, length = inspection_source(in)->length;
    strbuf_init(&text, arena);
    if (inspection_hover(in, at, &text, &span)) {
        assert_true(text.length > 0);
        assert_true(span.begin <= span.end && span.end <= length);
    }
    if (inspection_definition(in, at, &span))
        assert_true(span.end <= span.source->length);
    int count = inspection_references(in, at, &places);
    for (int i = 0; i < count; i++)
        assert_true(places[i].span.source == inspection_source(in) && places[i].span.end <= length);
    if (!inspection_can_rename(in, at, &span, &why))
        assert_non_null(why);
    inspection_complete(in, at, &begin, &candidates);
    assert_true(begin <= at);
    if (inspection_signature(in, at, &help))
        assert_true(help.active < help.parameter_count);
}

static void ask_of_whole(struct inspection *in) {
    struct word *words;
    struct hint *hints;
    int count = inspection_words(in, &words);
    for (int i = 1; i < count; i++)
        assert_true(words[i].span.begin >= words[i - 1].span.end);
    inspection_hints(in, 0, inspection_source(in)->length, &hints);
    inspection_outline(in);
}

static int for_each_text(const char *folder, void (*run)(const char *name, const char *text, size_t length)) {
    struct arena *arena = arena_create();
    int count = 0;
    const char *path = source_folder(arena, folder), *why;
    DIR *dir = path ? opendir(path) : NULL;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (!strstr(entry->d_name, ".weft"))
            continue;
        const struct source *source =
            source_read(arena, arena_printf(arena, "%s/%s", path, entry->d_name), &why);
        assert_non_null(source);
        run(source->name, source->text, source->length);
        count++;
    }
    if (dir)
        closedir(dir);
    arena_destroy(arena);
    return count;
}

/* At some 50 places of a whole model; large ones take their time. */
static void ask_along(const char *name, const char *text, size_t length) {
    if (length > 3000)
        return;
    struct arena *arena = arena_create();
    struct inspection *in = inspect_text(arena, name, text, length);
    ask_of_whole(in);
    for (uint32_t at = 0; at <= length; at += 1 + (uint32_t)length / 50)
        ask_everything(arena, in, at);
    arena_destroy(arena);
}

static void whole_texts_answer(void **state) {
    (void)state;
    if (for_each_text("models", ask_along) == 0)
        skip();
}

/* Cut off at two places, with the cursor at the cut, and a point behind it. */
static void ask_at_cuts(const char *name, const char *text, size_t length) {
    size_t most = length < 4000 ? length : 4000;
    for (size_t cut = most / 3; cut < most; cut += most / 2) {
        struct arena *arena = arena_create();
        struct inspection *in = inspect_text(arena, name, text, cut);
        ask_of_whole(in);
        ask_everything(arena, in, (uint32_t)cut);
        const char *pointed = arena_printf(arena, "%.*s.", (int)cut, text);
        ask_everything(arena, inspect_text(arena, name, pointed, cut + 1), (uint32_t)cut + 1);
        arena_destroy(arena);
    }
}

static void broken_texts_answer(void **state) {
    (void)state;
    if (for_each_text("tests/frontend/programs", ask_at_cuts) + for_each_text("models/lib", ask_at_cuts) == 0)
        skip();
}

/* What the parser leaves of a type that it could not read is elaborated like the rest. */
static void broken_types_answer(void **state) {
    (void)state;
    static const char *const texts[] = {
        "model M { let a: [+] = [1]\n fn f(x: f32[B]) -> f32[B] = x }",
        "model M(n: [)] = [3]) { fn f(x: f32[B]) -> (+) = (x, x) }",
        "model M { fn f(x: f32[B]) -> f32 = x\n fn g(x: f32[+]) = x }",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct arena *arena = arena_create();
        struct inspection *in = inspect_text(arena, "broken.weft", texts[i], strlen(texts[i]));
        assert_true(diags_error_count(inspection_diags(in)) > 0);
        for (uint32_t at = 0; at <= strlen(texts[i]); at++)
            ask_everything(arena, in, at);
        arena_destroy(arena);
    }
}

static const char *const builtin_names[] = {
#define DOC(name, text) name,
#include "frontend/builtin_docs.def"
#undef DOC
};

static const char *const word_names[] = {
#define DOC(name, text) name,
#include "frontend/word_docs.def"
#undef DOC
};
static const struct {
    const char *text;
    bool is_dtype;
} reserved[] = {
#define WORD(text, token) {text, #token[0] == 'D' && #token[1] == 'T'},
#include "frontend/words.def"
#undef WORD
    {"model", false},
    {"module", false},
    {"optimizer", false},
    {"train", false},
};

static void every_word_has_a_sentence(void **state) {
    (void)state;
    int words = 0;
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++) {
        int found = 0;
        for (size_t k = 0; k < sizeof word_names / sizeof *word_names; k++)
            found += strcmp(word_names[k], reserved[i].text) == 0;
        if (found != !reserved[i].is_dtype)
            fail_msg("frontend/word_docs.def has `%s` %d times", reserved[i].text, found);
        words += !reserved[i].is_dtype;
    }
    assert_int_equal(words, sizeof word_names / sizeof *word_names);
}

static bool is_documented(const char *name) {
    for (size_t i = 0; i < sizeof builtin_names / sizeof *builtin_names; i++)
        if (strcmp(builtin_names[i], name) == 0)
            return true;
    return false;
}

static void every_builtin_has_a_sentence(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    struct types *types = types_create(arena);
    const struct scope *scope = builtins_scope(arena, interner_create(arena), types);
    for (int i = 0; i < scope->bindings.count; i++)
        if (!is_documented(scope->bindings.at[i].name))
            fail_msg("frontend/builtin_docs.def says nothing of `%s`", scope->bindings.at[i].name);
    arena_destroy(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_texts_answer), cmocka_unit_test(broken_texts_answer),
        cmocka_unit_test(broken_types_answer), cmocka_unit_test(every_builtin_has_a_sentence),
        cmocka_unit_test(every_word_has_a_sentence)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

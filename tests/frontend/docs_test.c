/* The texts of the documentation: a block ```weft elaborates without a message, a block ```weft fails CODE
 * has an error with that code. Free functions are elaborated through a model that the test adds. */
#include "support_elaborate.h"
#include "support_golden.h"

#include "frontend/ast.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* An entry takes tensors; what else it takes needs a default. */
static bool can_be_entry(const struct item *item) {
    if (item->kind != ITEM_FN)
        return false;
    for (const struct formal *f = item->formals; f; f = f->next)
        if (!f->init && (!f->type || f->type->kind != TYPE_TENSOR))
            return false;
    return true;
}

static void add_entry(struct strbuf *out, const struct item *item, int number) {
    strbuf_printf(out, "  fn f%d(", number);
    for (const struct formal *f = item->formals; f; f = f->next) {
        strbuf_write(out, f->span.source->text + f->span.begin, f->span.end - f->span.begin);
        strbuf_puts(out, f->next ? ", " : "");
    }
    strbuf_printf(out, ") = %s(", item->name.text);
    for (const struct formal *f = item->formals; f; f = f->next)
        strbuf_printf(out, "%s%s", f->name.text, f->next ? ", " : "");
    strbuf_puts(out, ")\n");
}

/* The block, and a model with an entry for each of its free functions. */
static const char *with_entries(struct arena *arena, const char *page, const char *text, size_t length) {
    const struct source *source = source_create(arena, page, text, length);
    struct file_ast *file = parse_file(arena, interner_create(arena), source, diags_create(arena));
    struct strbuf out;
    strbuf_init(&out, arena);
    strbuf_write(&out, text, length);
    strbuf_puts(&out, "\nmodel EntriesOfTheTest() {\n");
    int count = 0;
    for (const struct item *item = file->items; item; item = item->next)
        if (can_be_entry(item))
            add_entry(&out, item, count++);
    strbuf_puts(&out, "}\n");
    return count ? out.text : arena_strndup(arena, text, length);
}

static bool has_code(const struct diags *diags, const char *code) {
    for (int i = 0; i < diags_count(diags); i++)
        if (strncmp(diag_code_text(diag_code_of(diags, i)), code, 5) == 0)
            return true;
    return false;
}

static int check_block(struct arena *arena, const char *page, const char *info, const char *text,
                       size_t length) {
    const char *whole = with_entries(arena, page, text, length);
    struct session s = session_start(arena, page, whole, strlen(whole));
    if (diags_error_count(s.diags) == 0)
        elaborate_everything(&s, true);
    struct strbuf messages;
    strbuf_init(&messages, arena);
    diags_render(s.diags, &messages, false);
    bool should_fail = strncmp(info, " fails ", 7) == 0;
    bool good = should_fail ? has_code(s.diags, info + 7) : diags_count(s.diags) == 0;
    if (!good)
        fprintf(stderr, "%s, the block\n%swants%.*s, has\n%s\n", page, whole, should_fail ? 12 : 11,
                should_fail ? info : " no message", messages.text);
    return !good;
}

static int check_page(const char *path, int *blocks) {
    static const char fence[] = "\n```weft";
    struct arena *arena = arena_create();
    const char *why = NULL;
    const struct source *page = source_read(arena, path, &why);
    assert_non_null(page);
    int failures = 0;
    for (const char *at = page->text; (at = strstr(at, fence)); ++*blocks) {
        const char *info = at + strlen(fence), *text = strchr(info, '\n') + 1, *end = strstr(text, "```\n");
        assert_non_null(end);
        failures += check_block(arena, path, info, text, (size_t)(end - text));
        at = end;
    }
    arena_destroy(arena);
    return failures;
}

static void pages_hold(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    static const char *const folders[] = {"docs", "docs/errors"};
    if (!source_folder(arena, "docs"))
        skip();
    int blocks = 0, failures = 0;
    for (int i = 0; i < 2; i++) {
        const char *folder = source_folder(arena, folders[i]);
        DIR *dir = opendir(folder);
        assert_non_null(dir);
        for (struct dirent *entry; (entry = readdir(dir));)
            if (strstr(entry->d_name, ".md"))
                failures += check_page(arena_printf(arena, "%s/%s", folder, entry->d_name), &blocks);
        closedir(dir);
    }
    arena_destroy(arena);
    assert_true(blocks >= 14);
    assert_int_equal(failures, 0);
}

/* Each code of base/errors.def has its page, and that page begins with the code and its title. */
static void every_code_has_a_page(void **state) {
    (void)state;
    static const char *const codes[] = {
#define ERROR_CODE(name, number, title) "# " number ": " title "\n",
#include "base/errors.def"
#undef ERROR_CODE
    };
    struct arena *arena = arena_create();
    if (!source_folder(arena, "docs"))
        skip();
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        const char *why = NULL, *path = arena_printf(arena, "docs/errors/%.5s.md", codes[i] + 2);
        const struct source *page = source_read(arena, source_folder(arena, path), &why);
        if (!page || strncmp(page->text, codes[i], strlen(codes[i])) != 0)
            fail_msg("%s should begin with %s", path, codes[i]);
    }
    arena_destroy(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(pages_hold), cmocka_unit_test(every_code_has_a_page)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

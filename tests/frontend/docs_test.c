/* The texts of the documentation. A block ```weft elaborates without a message, a block ```ir is read without
 * one. A block ```weft fails CODE (or ```ir fails CODE) has that code and no other, and where a block without
 * a word stands right behind it, exactly the messages in that. WEFT_GOLDEN=1 writes the messages anew. Free
 * functions are elaborated through a model that the test adds. Each code has a page with such a block, or one
 * that tests/driver/errors_test.sh runs. */
#include "support_elaborate.h"
#include "support_golden.h"

#include "frontend/ast.h"
#include "ir/text.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- free functions ---- */

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

/* The block, and a model with an entry for each of its free functions where it has no model of its own. */
static const char *with_entries(struct arena *arena, const char *name, const char *text) {
    const struct source *source = source_create(arena, name, text, strlen(text));
    struct file_ast *file = parse_file(arena, interner_create(arena), source, diags_create(arena));
    struct strbuf out;
    strbuf_init(&out, arena);
    strbuf_puts(&out, text);
    strbuf_puts(&out, "\nmodel EntriesOfTheTest() {\n");
    int count = 0;
    for (const struct item *item = file->items; item; item = item->next) {
        if (item->kind == ITEM_MODULE && item->module_kind == MODULE_MODEL)
            return text;
        if (can_be_entry(item))
            add_entry(&out, item, count++);
    }
    strbuf_puts(&out, "}\n");
    return count ? out.text : text;
}

/* ---- blocks ---- */

/* ```LANGUAGE fails CODE */
struct example {
    const char *info, *text, *end; /* the words behind the fence; the text; the closing fence */
};

/* The next block from `at` on; false: none. A fence stands at the begin of a line. */
static bool next_block(struct arena *arena, const char *at, struct example *block) {
    while (at && strncmp(at, "```", 3) != 0)
        at = (at = strchr(at, '\n')) ? at + 1 : NULL;
    if (!at)
        return false;
    const char *line_end = strchr(at, '\n');
    assert_non_null(line_end);
    block->info = arena_strndup(arena, at + 3, (size_t)(line_end - at - 3));
    block->text = line_end + 1;
    block->end = strncmp(block->text, "```", 3) == 0 ? block->text : strstr(block->text, "\n```") + 1;
    return true;
}

/* The block of messages right behind another one; false: there is none. */
static bool messages_behind(struct arena *arena, const struct example *block, struct example *messages) {
    const char *behind = block->end + 4;
    return strncmp(behind, "```\n", 4) == 0 && next_block(arena, behind, messages);
}

static struct diags *run_block(struct arena *arena, const char *name, const struct example *block) {
    const char *text = arena_strndup(arena, block->text, (size_t)(block->end - block->text));
    if (strncmp(block->info, "ir", 2) == 0) {
        struct diags *diags = diags_create(arena);
        graph_parse(arena, types_create(arena), interner_create(arena),
                    source_create(arena, name, text, strlen(text)), diags);
        return diags;
    }
    const char *whole = with_entries(arena, name, text);
    struct session s = session_start(arena, name, whole, strlen(whole));
    if (diags_error_count(s.diags) == 0)
        elaborate_everything(&s, true);
    return s.diags;
}

/* Of what is drawn: warnings wait where there are errors. */
static bool all_have_code(const struct diags *diags, const char *code) {
    for (int i = 0; i < diags_count(diags); i++)
        if ((diags_error_count(diags) == 0 || diag_severity(diags, i) != SEVERITY_WARNING) &&
            strcmp(diag_code_text(diag_code_of(diags, i)), code) != 0)
            return false;
    return diags_count(diags) > 0;
}

static bool is_text(const struct example *block) {
    return strncmp(block->info, "weft", 4) == 0 || strcmp(block->info, "ir") == 0 ||
           strncmp(block->info, "ir ", 3) == 0;
}

/* ---- pages ---- */

struct page {
    struct arena *arena;
    const char *name; /* "E0301" */
    const char *text;
    struct strbuf fresh; /* the page as it should be */
    const char *copied;  /* up to here */
    int blocks, fails, runs, failures;
};

static void complain(struct page *page, const struct example *block, const char *wanted, const char *found) {
    fprintf(stderr, "%s.md, the block\n%.*swants %s, has\n%s\n", page->name, (int)(block->end - block->text),
            block->text, wanted, found);
    page->failures++;
}

static void check_block(struct page *page, const struct example *block) {
    struct arena *arena = page->arena;
    const char *fails = strstr(block->info, " fails ");
    struct diags *diags = run_block(
        arena, arena_printf(arena, "%s.%s", page->name, *block->info == 'i' ? "ir" : "weft"), block);
    struct strbuf drawn;
    strbuf_init(&drawn, arena);
    diags_render(diags, &drawn, false);
    page->blocks++;
    page->fails += fails != NULL;
    if (!fails && diags_count(diags) > 0)
        complain(page, block, "no message", drawn.text);
    if (fails && !all_have_code(diags, fails + 7))
        complain(page, block, fails + 7, drawn.text ? drawn.text : "no message");
    struct example messages;
    if (!fails || !messages_behind(arena, block, &messages))
        return;
    strbuf_write(&page->fresh, page->copied, (size_t)(messages.text - page->copied));
    strbuf_puts(&page->fresh, drawn.text ? drawn.text : "");
    page->copied = messages.end;
    const char *shown = arena_strndup(arena, messages.text, (size_t)(messages.end - messages.text));
    if (!getenv("WEFT_GOLDEN") && strcmp(shown, drawn.text ? drawn.text : "") != 0)
        complain(page, block, shown, drawn.text ? drawn.text : "no message");
}

static void write_page(const char *path, const struct page *page) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(page->fresh.text, file);
    assert_int_equal(fclose(file), 0);
}

static struct page check_page(struct arena *arena, const char *folder, const char *file) {
    const char *path = arena_printf(arena, "%s/%s", folder, file), *why = NULL;
    const struct source *source = source_read(arena, path, &why);
    assert_non_null(source);
    struct page page = {.arena = arena, .text = source->text, .copied = source->text};
    page.name = arena_strndup(arena, file, strlen(file) - strlen(".md"));
    strbuf_init(&page.fresh, arena);
    struct example block;
    for (const char *at = page.text; next_block(arena, at, &block); at = block.end + 4) {
        if (is_text(&block))
            check_block(&page, &block);
        page.runs += strcmp(block.info, "console") == 0;
    }
    strbuf_puts(&page.fresh, page.copied);
    if (getenv("WEFT_GOLDEN"))
        write_page(path, &page);
    return page;
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
        for (struct dirent *entry; (entry = readdir(dir));) {
            if (!strstr(entry->d_name, ".md"))
                continue;
            struct page page = check_page(arena, folder, entry->d_name);
            blocks += page.blocks;
            failures += page.failures;
        }
        closedir(dir);
    }
    arena_destroy(arena);
    assert_true(blocks >= 50);
    assert_int_equal(failures, 0);
}

/* ---- codes ---- */

/* What cannot be shown by an example: Weft would have to be wrong. */
static bool is_defect(const char *code) {
    return strcmp(code, "E9999") == 0;
}

/* Each code of base/errors.def has its page, which begins with the code and its title and has an example that
 * a test runs. */
static void every_code_has_a_page(void **state) {
    (void)state;
    static const char *const titles[] = {
#define ERROR_CODE(name, number, title) "# " number ": " title "\n",
#include "base/errors.def"
#undef ERROR_CODE
    };
    struct arena *arena = arena_create();
    if (!source_folder(arena, "docs"))
        skip();
    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++) {
        const char *code = arena_strndup(arena, titles[i] + 2, 5);
        struct page page =
            check_page(arena, source_folder(arena, "docs/errors"), arena_printf(arena, "%s.md", code));
        if (strncmp(page.text, titles[i], strlen(titles[i])) != 0)
            fail_msg("docs/errors/%s.md should begin with %s", code, titles[i]);
        if (!is_defect(code) && page.fails + page.runs == 0)
            fail_msg("docs/errors/%s.md has no example that is run", code);
    }
    arena_destroy(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(pages_hold), cmocka_unit_test(every_code_has_a_page)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

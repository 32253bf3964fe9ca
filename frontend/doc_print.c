/* frontend/doc_print.c: documentation as a page, and as entries for a terminal. */
#include "frontend/doc.h"

#include <string.h>

/* ---- the page ---- */

/* Behind "nn.weft: ", with which a file's text begins. */
static const char *without_name(const char *text) {
    const char *mark = strstr(text, ".weft: ");
    return mark && (size_t)(mark - text) == strcspn(text, " .") ? mark + strlen(".weft: ") : text;
}

/* Whether a sentence ends with the point at `at`, which "et al. " and "... " do not. */
static bool is_sentence_end(const char *begin, const char *at) {
    bool is_abbreviation = at - begin >= 2 && (strncmp(at - 2, "al", 2) == 0 || at[-1] == '.');
    return *at == '.' && (at[1] == ' ' || at[1] == '\n' || !at[1]) && !is_abbreviation;
}

/* The first sentence of a text, on one line. */
static const char *first_sentence(struct arena *arena, const char *text) {
    const char *begin = without_name(text), *end = begin;
    while (*end && !is_sentence_end(begin, end))
        end++;
    char *one = arena_strndup(arena, begin, (size_t)(end - begin) + (*end != 0));
    for (char *at = one; *at; at++)
        if (*at == '\n' || *at == '|')
            *at = *at == '|' ? '/' : ' ';
    return one;
}

/* What a heading is called in a link: small letters, no points, hyphens for blanks. */
static const char *anchor(struct arena *arena, const char *heading) {
    struct strbuf out;
    strbuf_init(&out, arena);
    for (; *heading; heading++)
        if (*heading != '.')
            strbuf_putc(&out, *heading == ' '
                                  ? '-'
                                  : (char)(*heading | (*heading >= 'A' && *heading <= 'Z' ? 32 : 0)));
    return out.text;
}

static bool is_everywhere(const struct doc_file *file) {
    return !file->file || strcmp(file->name, "prelude") == 0 || strcmp(file->name, "special") == 0;
}

static void print_contents(const struct docs *docs, struct arena *arena, struct strbuf *out) {
    strbuf_puts(out, "| file | holds |\n| --- | --- |\n");
    for (int i = 0; i < docs->files.count; i++) {
        const struct doc_file *file = &docs->files.at[i];
        strbuf_printf(out, "| [%s](#%s) | %s |\n", file->name, anchor(arena, file->name),
                      file->text ? first_sentence(arena, file->text) : "");
    }
}

static void print_source(const struct doc_entry *entry, const char *link, struct strbuf *out) {
    if (entry->file)
        strbuf_printf(out, " [source](%s%s#L%d)", link, entry->file, entry->line);
}

/* The signatures of an entry and its members; then what is said of it, and of each member. */
static void print_entry(const struct doc_file *file, int index, const char *link, struct strbuf *out) {
    const struct doc_entry *entry = &file->entries.at[index];
    int end = index + 1;
    while (end < file->entries.count && file->entries.at[end].is_member)
        end++;
    strbuf_printf(out, "\n#### %s\n\n```\n%s\n", entry->name, entry->signature);
    for (int i = index + 1; i < end; i++) {
        strbuf_puts(out, "  ");
        for (const char *at = file->entries.at[i].signature; *at; at++) {
            strbuf_putc(out, *at);
            if (*at == '\n')
                strbuf_puts(out, "  ");
        }
        strbuf_putc(out, '\n');
    }
    strbuf_puts(out, "```\n");
    if (entry->text)
        strbuf_printf(out, "\n%s", entry->text);
    print_source(entry, link, out);
    strbuf_putc(out, '\n');
    for (int i = index + 1, any = 0; i < end; i++) {
        const struct doc_entry *member = &file->entries.at[i];
        if (!member->text)
            continue;
        strbuf_printf(out, "%s- `%s`: ", any++ ? "" : "\n", strrchr(member->name, '.') + 1);
        for (const char *at = member->text; *at; at++)
            strbuf_putc(out, *at == '\n' ? ' ' : *at);
        strbuf_putc(out, '\n');
    }
}

static void print_file(const struct doc_file *file, const char *link, struct strbuf *out) {
    const char *section = NULL;
    strbuf_printf(out, "\n## %s\n", file->name);
    if (file->text)
        strbuf_printf(out, "\n%s\n", without_name(file->text));
    if (!is_everywhere(file) && strncmp(file->name, "nn.", 3) != 0 && !strchr(file->name, '/'))
        strbuf_printf(out, "\n`use %s`\n", file->name);
    for (int i = 0; i < file->entries.count; i++) {
        const struct doc_entry *entry = &file->entries.at[i];
        if (entry->is_member)
            continue;
        if (entry->section && (!section || strcmp(section, entry->section) != 0))
            strbuf_printf(out, "\n### %s\n", section = entry->section);
        print_entry(file, i, link, out);
    }
}

void docs_print_page(const struct docs *docs, const char *link, struct strbuf *out) {
    struct arena *scratch = arena_create();
    if (docs->files.count > 1)
        print_contents(docs, scratch, out);
    for (int i = 0; i < docs->files.count; i++)
        print_file(&docs->files.at[i], link, out);
    arena_destroy(scratch);
}

/* ---- one entry ---- */

/* Whether `name` is the whole of a dotted name, or the end of it. */
static bool is_end_of(const char *name, const char *whole) {
    size_t length = strlen(name), all = strlen(whole);
    if (length > all || strcmp(whole + all - length, name) != 0)
        return false;
    return length == all || whole[all - length - 1] == '.';
}

static void show_indented(const char *text, struct strbuf *out) {
    strbuf_puts(out, "    ");
    for (const char *at = text; *at; at++) {
        strbuf_putc(out, *at);
        if (*at == '\n')
            strbuf_puts(out, "    ");
    }
    strbuf_putc(out, '\n');
}

static void show_entry(const struct doc_file *file, int index, struct strbuf *out) {
    const struct doc_entry *entry = &file->entries.at[index];
    if (out->length > 0)
        strbuf_putc(out, '\n');
    strbuf_printf(out, "%s", entry->name);
    if (entry->file)
        strbuf_printf(out, "   (%s:%d)", entry->file, entry->line);
    strbuf_putc(out, '\n');
    show_indented(entry->signature, out);
    for (int i = index + 1; !entry->is_member && i < file->entries.count && file->entries.at[i].is_member;
         i++) {
        strbuf_puts(out, "  ");
        show_indented(file->entries.at[i].signature, out);
    }
    if (entry->text)
        strbuf_printf(out, "%s\n", entry->text);
}

/* The entries' names in lines. */
static void show_names(const struct doc_file *file, struct strbuf *out) {
    size_t column = 0;
    for (int i = 0; i < file->entries.count; i++) {
        const struct doc_entry *entry = &file->entries.at[i];
        if (entry->is_member)
            continue;
        column = column == 0 || column + strlen(entry->name) + 2 > 100 ? 0 : column;
        strbuf_printf(out, "%s%s", column ? "  " : "\n    ", entry->name);
        column += strlen(entry->name) + 2;
    }
    strbuf_putc(out, '\n');
}

/* A file with the names in it; nn also with those that it brings from its parts. */
static void show_file(const struct docs *docs, const struct doc_file *file, struct arena *arena,
                      struct strbuf *out) {
    if (out->length > 0)
        strbuf_putc(out, '\n');
    strbuf_printf(out, "%s\n", file->text ? file->text : file->name);
    show_names(file, out);
    const char *prefix = arena_printf(arena, "%s.", file->name);
    for (int f = 0; f < docs->files.count; f++) {
        const struct doc_file *part = &docs->files.at[f];
        if (strncmp(part->name, prefix, strlen(prefix)) != 0)
            continue;
        strbuf_printf(out, "\n%s: %s\n", part->name, part->text ? first_sentence(arena, part->text) : "");
        show_names(part, out);
    }
}

/* Entries whose whole name it is, or, where there is none, those whose end it is. */
static int show_entries(const struct docs *docs, const char *name, bool whole, struct strbuf *out) {
    int count = 0;
    for (int f = 0; f < docs->files.count; f++)
        for (int i = 0; i < docs->files.at[f].entries.count; i++) {
            const char *known = docs->files.at[f].entries.at[i].name;
            if (whole ? strcmp(known, name) != 0 : !is_end_of(name, known))
                continue;
            show_entry(&docs->files.at[f], i, out);
            count++;
        }
    return count;
}

static const char *nearest_of(const struct docs *docs, struct arena *arena, const char *name) {
    VEC(const char *) known = {0};
    VEC(const char *) whole = {0}; /* a name without its file's counts, too */
    for (int f = 0; f < docs->files.count; f++) {
        VEC_PUSH(arena, &known, docs->files.at[f].name);
        VEC_PUSH(arena, &whole, docs->files.at[f].name);
        for (int i = 0; i < docs->files.at[f].entries.count; i++) {
            const char *entry = docs->files.at[f].entries.at[i].name, *dot = strrchr(entry, '.');
            VEC_PUSH(arena, &known, entry);
            VEC_PUSH(arena, &whole, entry);
            if (dot && !docs->files.at[f].entries.at[i].is_member) {
                VEC_PUSH(arena, &known, dot + 1);
                VEC_PUSH(arena, &whole, entry);
            }
        }
    }
    const char *nearest = nearest_name(name, known.at, known.count);
    for (int i = 0; nearest && i < known.count; i++)
        if (known.at[i] == nearest)
            return whole.at[i];
    return NULL;
}

bool docs_print_entry(const struct docs *docs, struct arena *arena, const char *name, struct strbuf *out,
                      const char **nearest) {
    int count = 0;
    *nearest = NULL;
    for (int f = 0; f < docs->files.count; f++)
        if (strcmp(docs->files.at[f].name, name) == 0) {
            show_file(docs, &docs->files.at[f], arena, out);
            count++;
        }
    count += show_entries(docs, name, true, out);
    if (count == 0)
        count = show_entries(docs, name, false, out);
    if (count == 0)
        *nearest = nearest_of(docs, arena, name);
    return count > 0;
}

/* frontend/inspect_text.c: declarations and values in words, as an editor shows them. */
#include "frontend/inspect_parts.h"

#include "frontend/builtin.h"

#include <string.h>

enum { MOST_TEXT = 400, MOST_ELEMENTS = 6, MOST_DEPTH = 3 };

/* Blanks and line ends become one blank; what is longer than `most` bytes ends with three points. */
const char *text_of_span(struct arena *arena, struct span span, size_t most) {
    struct strbuf out;
    strbuf_init(&out, arena);
    bool blank = false;
    for (uint32_t i = span.begin; i < span.end; i++) {
        char c = span.source->text[i];
        if (c == '/' && i + 1 < span.end && span.source->text[i + 1] == '/')
            while (i < span.end && span.source->text[i] != '\n') /* a comment within the declaration */
                i++;
        if (i >= span.end || strchr(" \t\r\n", span.source->text[i])) {
            blank = true;
            continue;
        }
        if (out.length >= most && ((unsigned char)c & 0xc0) != 0x80) {
            strbuf_puts(&out, " ...");
            break;
        }
        if (blank && out.length > 0)
            strbuf_putc(&out, ' ');
        blank = false;
        strbuf_putc(&out, span.source->text[i]);
    }
    return out.text ? out.text : "";
}

/* A module's head ends before the brace that opens its body: the first one outside of its formals. */
static uint32_t head_end(const struct item *item) {
    const char *text = item->span.source->text;
    int depth = 0;
    for (uint32_t i = item->name.span.end; i < item->span.end; i++) {
        depth += (text[i] == '(' || text[i] == '[') - (text[i] == ')' || text[i] == ']');
        if (text[i] == '{' && depth <= 0)
            return i;
    }
    return item->span.end;
}

uint32_t module_body_begin(const struct item *item) {
    uint32_t brace = head_end(item);
    return brace < item->span.end ? brace + 1 : brace;
}

const char *text_of_item(struct arena *arena, const struct item *item) {
    struct span span = item->span;
    if (item->kind == ITEM_MODULE)
        span.end = head_end(item);
    else if (item->has_body)
        span.end = item->body.span.begin;
    else if (item->kind == ITEM_FN && item->value)
        span.end = item->value->span.begin;
    while (span.end > span.begin && strchr(" \t\r\n", span.source->text[span.end - 1]))
        span.end--;
    if (item->kind == ITEM_FN && !item->has_body && span.end > span.begin &&
        span.source->text[span.end - 1] == '=')
        span.end--;
    return text_of_span(arena, span, MOST_TEXT);
}

void write_call_form(struct strbuf *out, const struct item *item) {
    strbuf_printf(out, "%s(", item->name.text ? item->name.text : "train");
    for (const struct formal *f = item->formals; f; f = f->next)
        strbuf_printf(out, "%s%s", text_of_span(out->arena, f->span, MOST_TEXT), f->next ? ", " : "");
    strbuf_putc(out, ')');
    if (item->kind == ITEM_FN && item->type)
        strbuf_printf(out, " -> %s", text_of_span(out->arena, item->type->span, MOST_TEXT));
}

void write_builtin_form(struct strbuf *out, const struct builtin *builtin) {
    strbuf_printf(out, "%s(", builtin->name);
    for (const char *p = builtin->params; *p;) {
        size_t length = strcspn(p, " "), name = strcspn(p, "?* ");
        bool is_rest = p[name] == '*';
        strbuf_printf(out, "%.*s%s", (int)name, p, p[name] == '?' ? "?" : is_rest ? "..." : "");
        p += length + (p[length] == ' ');
        strbuf_puts(out, *p ? ", " : "");
    }
    strbuf_putc(out, ')');
}

/* ---- values ---- */

static void write_at_depth(struct strbuf *out, struct types *types, struct datum d, int depth) {
    if (datum_is_sequence(d)) {
        bool is_tuple = d.kind == DATUM_TUPLE;
        strbuf_putc(out, is_tuple ? '(' : '[');
        for (int i = 0; i < d.list->count; i++) {
            strbuf_puts(out, i ? ", " : "");
            if (i == MOST_ELEMENTS || depth == MOST_DEPTH) {
                strbuf_puts(out, "...");
                break;
            }
            if (d.list->names && d.list->names[i])
                strbuf_printf(out, "%s: ", d.list->names[i]);
            write_at_depth(out, types, d.list->at[i], depth + 1);
        }
        strbuf_putc(out, is_tuple ? ')' : ']');
        return;
    }
    switch (d.kind) {
    case DATUM_TENSOR:
        type_print(out, d.tensor->type);
        break;
    case DATUM_CONSTANT:
        type_print(out, d.constant->type);
        break;
    case DATUM_STRING:
        strbuf_printf(out, "\"%s\"", d.text);
        break;
    case DATUM_NONE:
        strbuf_puts(out, "none");
        break;
    case DATUM_INSTANCE:
        strbuf_puts(out, d.instance->module->name);
        break;
    case DATUM_MODULE:
        strbuf_puts(out, d.module->name);
        break;
    case DATUM_BUILTIN:
        strbuf_puts(out, d.builtin->name);
        break;
    case DATUM_CLOSURE:
        strbuf_puts(out, d.closure->item && d.closure->item->name.text ? d.closure->item->name.text : "fn");
        break;
    default:
        datum_print(out, types, d);
    }
}

void write_value(struct strbuf *out, struct types *types, struct datum d) {
    write_at_depth(out, types, d, 0);
}

bool value_has_tensor(struct datum d) {
    if (d.kind == DATUM_TENSOR)
        return true;
    for (int i = 0; datum_is_sequence(d) && i < d.list->count; i++)
        if (value_has_tensor(d.list->at[i]))
            return true;
    return false;
}

void write_fact(struct strbuf *out, struct types *types, const struct fact *fact) {
    for (int i = 0; i < fact->count; i++) {
        strbuf_puts(out, i ? " or " : "");
        write_value(out, types, fact->values[i]);
    }
    if (fact->has_more)
        strbuf_puts(out, " or others");
}

/* ---- builtins ---- */

bool builtin_print_help(const char *name, struct strbuf *out) {
    const char *doc = builtin_doc(name);
    const struct builtin *builtin = doc ? builtin_find(name) : NULL;
    const char *word = doc ? NULL : word_doc(name);
    if (builtin)
        write_builtin_form(out, builtin);
    else
        strbuf_puts(out, doc || word ? name : "");
    if (doc)
        strbuf_printf(out, "   (builtin)\n%s\n", doc);
    else if (word)
        strbuf_printf(out, "   (a word of the language)\n%s\n", word);
    return doc || word;
}

struct doc {
    const char *name, *text;
};

static const char *doc_in(const struct doc *docs, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(docs[i].name, name) == 0)
            return docs[i].text;
    return NULL;
}

const char *builtin_doc(const char *name) {
    static const struct doc docs[] = {
#define DOC(name, text) {name, text},
#include "frontend/builtin_docs.def"
#undef DOC
    };
    return doc_in(docs, sizeof docs / sizeof *docs, name);
}

const char *word_doc(const char *word) {
    static const struct doc docs[] = {
#define DOC(name, text) {name, text},
#include "frontend/word_docs.def"
#undef DOC
    };
    return doc_in(docs, sizeof docs / sizeof *docs, word);
}

/* driver/lsp_publish.c: what is wrong with a text, pushed to the editor. */
#include "driver/lsp.h"

#include <string.h>

/* A mistake in another file (the library, say, called with shapes that do not fit) is shown where this text
 * leads to it: at the call that a label names, else at its `use`, else at the head of the text. */
static struct span place_in_text(const struct inspection *in, const struct diags *diags, int i) {
    const struct source *source = inspection_source(in);
    struct span span = diag_span(diags, i);
    if (span.source == source)
        return span;
    for (int k = 0; k < diag_label_count(diags, i); k++)
        if (diag_label_span(diags, i, k).source == source)
            return diag_label_span(diags, i, k);
    span = inspection_use_of(in, span.source);
    return span_is_known(span) ? span : (struct span){source, 0, 0};
}

/* An empty place cannot be seen: the character behind it stands for it. */
static struct span visible(struct span span) {
    const struct source *source = span.source;
    if (span.begin == span.end && span.end < source->length && source->text[span.end] != '\n')
        span.end++;
    return span;
}

static void add_related(struct lsp *lsp, json_t *related, struct span span, const char *text) {
    json_t *location = lsp_location(lsp, span);
    if (location)
        json_array_append_new(related,
                              json_pack("{s:o, s:s}", "location", location, "message", text ? text : "here"));
}

static json_t *related_places(struct lsp *lsp, const struct inspection *in, const struct diags *diags,
                              int i) {
    json_t *related = json_array();
    if (span_is_known(diag_span(diags, i)) && diag_span(diags, i).source != inspection_source(in))
        add_related(lsp, related, diag_span(diags, i), diag_message(diags, i));
    for (int k = 0; k < diag_label_count(diags, i); k++)
        add_related(lsp, related, diag_label_span(diags, i, k), diag_label_text(diags, i, k));
    return related;
}

static const char *whole_message(struct arena *arena, const struct diags *diags, int i) {
    struct strbuf text;
    strbuf_init(&text, arena);
    strbuf_puts(&text, diag_message(diags, i));
    for (int k = 0; k < diag_remark_count(diags, i); k++)
        strbuf_printf(&text, "\n%s: %s", diag_remark_kind(diags, i, k), diag_remark_text(diags, i, k));
    return text.text;
}

enum { LSP_ERROR = 1, LSP_WARNING = 2, LSP_UNNECESSARY = 1 };

static json_t *diagnostic(struct lsp *lsp, const struct inspection *in, struct arena *arena, int i) {
    const struct diags *diags = inspection_diags(in);
    enum diag_code code = diag_code_of(diags, i);
    bool is_warning = diag_severity(diags, i) == SEVERITY_WARNING;
    json_t *out = json_pack(
        "{s:o, s:i, s:s, s:s, s:s, s:o}", "range", lsp_range(visible(place_in_text(in, diags, i))),
        "severity", is_warning ? LSP_WARNING : LSP_ERROR, "code", diag_code_text(code), "source", "weft",
        "message", whole_message(arena, diags, i), "relatedInformation", related_places(lsp, in, diags, i));
    if (lsp->manual) {
        const char *page = arena_printf(arena, "%s/%s.md", lsp->manual, diag_code_text(code));
        json_object_set_new(out, "codeDescription", json_pack("{s:s}", "href", lsp_uri_of_path(arena, page)));
    }
    if (code == W_UNUSED)
        json_object_set_new(out, "tags", json_pack("[i]", LSP_UNNECESSARY));
    return out;
}

static void send_diagnostics(const char *uri, const int64_t *version, json_t *diagnostics) {
    json_t *params = json_pack("{s:s, s:o}", "uri", uri, "diagnostics", diagnostics);
    if (version)
        json_object_set_new(params, "version", json_integer(*version));
    lsp_notify("textDocument/publishDiagnostics", params);
}

void lsp_publish(struct lsp *lsp, const struct lsp_document *document) {
    json_t *out = json_array();
    const struct inspection *in = document->inspection;
    if (in) {
        int *order, count = diags_in_order(inspection_diags(in), document->arena, &order);
        bool is_library =
            inspection_is_library(in); /* it may hide builtins, and does not use all that it has */
        for (int i = 0; i < count; i++)
            if (!is_library || diag_severity(inspection_diags(in), order[i]) != SEVERITY_WARNING)
                json_array_append_new(out, diagnostic(lsp, in, document->arena, order[i]));
    } else {
        struct span head = {document->source, 0, 0};
        json_array_append_new(out, json_pack("{s:o, s:i, s:s, s:s}", "range", lsp_range(head), "severity",
                                             LSP_ERROR, "source", "weft", "message",
                                             "there is not enough memory to elaborate this text"));
    }
    send_diagnostics(document->uri, &document->version, out);
}

void lsp_publish_nothing(const char *uri) {
    send_diagnostics(uri, NULL, json_array());
}

/* ---- fixes ---- */

/* The name between the ticks of "did you mean `x`?"; NULL: the remark is another one. */
static const char *meant(struct arena *arena, const char *remark) {
    static const char head[] = "did you mean `";
    const char *from = strncmp(remark, head, sizeof head - 1) == 0 ? remark + sizeof head - 1 : NULL;
    const char *to = from ? strchr(from, '`') : NULL;
    return to ? arena_strndup(arena, from, (size_t)(to - from)) : NULL;
}

static json_t *replacement(struct lsp_document *document, struct span span, const char *text) {
    json_t *edits = json_pack("[{s:o, s:s}]", "range", lsp_range(span), "newText", text);
    return json_pack("{s:s, s:s, s:{s:{s:o}}}", "title",
                     arena_printf(document->arena, "Replace with `%s`", text), "kind", "quickfix", "edit",
                     "changes", document->uri, edits);
}

json_t *lsp_fixes(struct lsp *lsp, struct lsp_document *document, uint32_t begin, uint32_t end) {
    (void)lsp;
    json_t *out = json_array();
    const struct inspection *in = document->inspection;
    const struct diags *diags = inspection_diags(in);
    for (int i = 0; i < diags_count(diags); i++) {
        struct span span = diag_span(diags, i);
        if (span.source != inspection_source(in) || span.end < begin || span.begin > end)
            continue;
        for (int k = 0; k < diag_remark_count(diags, i); k++) {
            const char *name = meant(document->arena, diag_remark_text(diags, i, k));
            if (name)
                json_array_append_new(out, replacement(document, span, name));
        }
    }
    return out;
}

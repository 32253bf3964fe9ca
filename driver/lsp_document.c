/* driver/lsp_document.c: the texts that are open in the editor, and places in them. The editor counts columns
 * in UTF-16 units, Weft in bytes. */
#include "driver/lsp.h"

#include "base/map.h"
#include "runtime/file.h"

#include <string.h>
#include <sys/stat.h>

/* ---- uris ---- */

static int hex_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

char *lsp_path_of_uri(struct arena *arena, const char *uri) {
    static const char scheme[] = "file://";
    if (strncmp(uri, scheme, sizeof scheme - 1) != 0)
        return arena_strdup(arena, uri);
    const char *from = strchr(uri + sizeof scheme - 1, '/');
    char *path = arena_strdup(arena, from ? from : ""), *out = path;
    for (const char *c = path; *c; c++) {
        int high = *c == '%' ? hex_digit(c[1]) : -1, low = high >= 0 ? hex_digit(c[2]) : -1;
        *out++ = low >= 0 && (high || low) ? (char)(16 * high + low) : *c;
        c += low >= 0 && (high || low) ? 2 : 0;
    }
    *out = 0;
    path_normalise(path);
    return path;
}

char *lsp_uri_of_path(struct arena *arena, const char *path) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/";
    struct strbuf out;
    strbuf_init(&out, arena);
    strbuf_puts(&out, "file://");
    for (const char *c = path; *c; c++)
        if (strchr(plain, *c))
            strbuf_putc(&out, *c);
        else
            strbuf_printf(&out, "%%%02X", (unsigned char)*c);
    return out.text;
}

/* ---- positions ---- */

static int sequence_length(unsigned char first) {
    return first < 0x80 ? 1 : first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

uint32_t lsp_offset(const struct source *source, int64_t line, int64_t character) {
    if (line < 0 || source->line_count == 0)
        return 0;
    if (line >= source->line_count)
        return source->length;
    uint32_t at = source->line_start[line];
    while (character > 0 && at < source->length && source->text[at] != '\n') {
        int length = sequence_length((unsigned char)source->text[at]);
        character -= length == 4 ? 2 : 1;
        at = at + (uint32_t)length < source->length ? at + (uint32_t)length : source->length;
    }
    return at;
}

json_t *lsp_position(const struct source *source, uint32_t offset) {
    int line, column;
    int units = 0;
    if (offset > source->length)
        offset = source->length;
    source_locate(source, offset, &line, &column);
    for (uint32_t at = source->line_start[line - 1]; at < offset;) {
        int length = sequence_length((unsigned char)source->text[at]);
        units += length == 4 ? 2 : 1;
        at += (uint32_t)length;
    }
    return json_pack("{s:i, s:i}", "line", line - 1, "character", units);
}

json_t *lsp_range(struct span span) {
    return json_pack("{s:o, s:o}", "start", lsp_position(span.source, span.begin), "end",
                     lsp_position(span.source, span.end));
}

/* A file of the embedded library is none that an editor could open: it is put into the cache, under the hash
 * of its text. */
static const char *library_copy(struct lsp *lsp, const struct source *source) {
    struct weft_error error;
    const char *name = strchr(source->name, '/'), *cache = lsp->session->cache;
    if (!cache || !name)
        return NULL;
    char *path = arena_printf(lsp->session->arena, "%s/library-%016llx%s", cache,
                              (unsigned long long)hash_bytes(0, source->text, source->length), name);
    struct stat info;
    if (stat(path, &info) == 0 && (uint64_t)info.st_size == source->length)
        return path;
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
    return weft_file_write_whole(path, source->text, source->length, &error) ? path : NULL;
}

json_t *lsp_location(struct lsp *lsp, struct span span) {
    if (!span_is_known(span))
        return NULL;
    const char *name = span.source->name;
    if (strncmp(name, "<lib>/", 6) == 0)
        name = library_copy(lsp, span.source);
    if (!name || *name == '<')
        return NULL;
    char *path = arena_strdup(lsp->session->arena, name);
    path_normalise(path);
    const char *uri = *name == '/' ? lsp_uri_of_path(lsp->session->arena, path) : name;
    return json_pack("{s:s, s:o}", "uri", uri, "range", lsp_range(span));
}

/* ---- documents ---- */

struct lsp_document *lsp_find(struct lsp *lsp, const char *uri) {
    for (int i = 0; uri && i < lsp->documents.count; i++)
        if (strcmp(lsp->documents.at[i]->uri, uri) == 0)
            return lsp->documents.at[i];
    return NULL;
}

/* The text in an arena of its own, so that a session of many changes does not grow. */
static void set_text(struct lsp_document *document, const char *uri, const char *text, size_t length) {
    struct arena *arena = arena_create();
    if (!arena)
        return;
    document->uri = arena_strdup(arena, uri);
    document->path = lsp_path_of_uri(arena, uri);
    document->source = source_create(arena, document->path, arena_strndup(arena, text, length), length);
    if (document->text_arena)
        arena_destroy(document->text_arena);
    document->text_arena = arena;
    document->is_stale = true;
}

void lsp_open(struct lsp *lsp, const char *uri, const char *text, int64_t version) {
    struct lsp_document *document = lsp_find(lsp, uri);
    if (!document) {
        document = ARENA_NEW(lsp->session->arena, struct lsp_document);
        VEC_PUSH(lsp->session->arena, &lsp->documents, document);
    }
    set_text(document, uri, text, strlen(text));
    document->version = version;
    document->is_deep = true;
    lsp_touch(lsp, document->path);
}

void lsp_close(struct lsp *lsp, struct lsp_document *document) {
    const char *path = arena_strdup(lsp->session->arena, document->path);
    for (int i = 0; i < lsp->documents.count; i++)
        if (lsp->documents.at[i] == document)
            lsp->documents.at[i] = VEC_POP(&lsp->documents);
    if (document->arena)
        arena_destroy(document->arena);
    arena_destroy(document->text_arena);
    lsp_touch(lsp, path);
}

static int64_t integer_of(const json_t *object, const char *name) {
    return json_integer_value(json_object_get(object, name));
}

static uint32_t offset_of(const struct source *source, const json_t *position) {
    return lsp_offset(source, integer_of(position, "line"), integer_of(position, "character"));
}

bool lsp_change(struct lsp_document *document, const json_t *range, const char *text) {
    const struct source *source = document->source;
    uint32_t begin = 0, end = source->length;
    if (range) {
        begin = offset_of(source, json_object_get(range, "start"));
        end = offset_of(source, json_object_get(range, "end"));
        if (end < begin)
            return false;
    }
    size_t inserted = strlen(text), length = begin + inserted + (source->length - end);
    if (length >= (size_t)INT32_MAX)
        return false;
    struct strbuf whole;
    strbuf_init(&whole, document->text_arena);
    strbuf_write(&whole, source->text, begin);
    strbuf_write(&whole, text, inserted);
    strbuf_write(&whole, source->text + end, source->length - end);
    set_text(document, document->uri, whole.text, whole.length);
    return true;
}

static bool uses(const struct lsp_document *document, const char *path) {
    for (int i = 0; document->inspection && i < inspection_file_count(document->inspection); i++) {
        char *used = arena_strdup(document->arena, inspection_file(document->inspection, i));
        path_normalise(used);
        if (strcmp(used, path) == 0)
            return true;
    }
    return false;
}

void lsp_touch(struct lsp *lsp, const char *path) {
    for (int i = 0; i < lsp->documents.count; i++) {
        struct lsp_document *document = lsp->documents.at[i];
        document->is_stale |=
            !document->inspection || strcmp(document->path, path) == 0 || uses(document, path);
    }
}

/* ---- inspections ---- */

/* A used file: as it stands in the editor, else as it is on the disk. */
static const struct source *read_used(void *context, struct arena *arena, const char *path,
                                      const char **why) {
    struct lsp *lsp = context;
    char *normal = arena_strdup(arena, path);
    path_normalise(normal);
    for (int i = 0; i < lsp->documents.count; i++) {
        const struct lsp_document *document = lsp->documents.at[i];
        if (strcmp(document->path, normal) == 0)
            return source_create(arena, path,
                                 arena_strndup(arena, document->source->text, document->source->length),
                                 document->source->length);
    }
    return source_read(arena, path, why);
}

/* An entry of more expressions than that is no model that anybody would wait for at every key. */
enum { EVALUATIONS_MOST = 30000000 };

/* Whether the gradients exist is known behind the first pass. */
static void look_deeper(struct inspection *in, struct arena *arena) {
    struct diags *diags = (struct diags *)inspection_diags(in);
    for (int i = 0; i < inspection_graph_count(in) && diags_error_count(diags) == 0; i++) {
        struct graph *copy = graph_copy(inspection_graph(in, i), arena);
        struct pass_context context = {.arena = arena,
                                       .diags = diags,
                                       .functions = copy->functions.at,
                                       .function_count = copy->functions.count};
        pipeline_run(copy, &context, "differentiate");
    }
}

static struct inspection *inspect(struct lsp *lsp, struct lsp_document *document) {
    struct arena *arena = document->arena;
    const struct source *text = document->source;
    const struct source *source = source_create(arena, arena_strdup(arena, text->name),
                                                arena_strndup(arena, text->text, text->length), text->length);
    const struct inspection_options options = {{read_used, lsp}, lsp->library, EVALUATIONS_MOST};
    struct inspection *in = inspection_create(arena, source, &options);
    if (document->is_deep)
        look_deeper(in, arena);
    return in;
}

struct inspection *lsp_inspect(struct lsp *lsp, struct lsp_document *document) {
    if (!document->is_stale)
        return document->inspection;
    if (document->arena)
        arena_destroy(document->arena);
    document->inspection = NULL;
    document->arena = arena_create();
    jmp_buf landing;
    if (!document->arena)
        return NULL;
    if (setjmp(landing) == 0) {
        arena_set_landing(document->arena, &landing);
        document->inspection = inspect(lsp, document);
    } else {
        arena_destroy(document->arena);
        document->arena = NULL;
        document->inspection = NULL;
    }
    if (document->arena)
        arena_set_landing(document->arena, NULL);
    document->is_stale = document->is_deep = false;
    lsp_publish(lsp, document);
    return document->inspection;
}

struct inspection *lsp_inspect_file(struct lsp *lsp, struct arena *arena, const char *path) {
    const char *why;
    struct inspection *volatile in = NULL;
    jmp_buf landing;
    if (setjmp(landing) != 0)
        return NULL;
    arena_set_landing(arena, &landing);
    const struct source *source = read_used(lsp, arena, path, &why);
    const struct inspection_options options = {{read_used, lsp}, lsp->library, EVALUATIONS_MOST};
    if (source)
        in = inspection_create(arena, source, &options);
    arena_set_landing(arena, NULL);
    return in;
}

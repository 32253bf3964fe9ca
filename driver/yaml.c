#include "driver/yaml.h"

#include "base/vec.h"

#include <string.h>
#include <yaml.h>

struct reader {
    struct arena *arena;
    const struct source *source;
    struct diags *diags;
    VEC(struct yaml *) open;  /* the lists and maps that are open, innermost last */
    VEC(struct yaml **) tail; /* where the next child of each goes */
    struct yaml *key;         /* in a map: the key that waits for its value */
    struct yaml *root;
};

/* libyaml counts characters: the byte of a mark is found from its line. */
static uint32_t mark_offset(const struct source *source, yaml_mark_t mark) {
    if (mark.line >= source->line_count)
        return source->length;
    uint32_t at = source->line_start[mark.line];
    for (size_t column = 0; column < mark.column && at < source->length && source->text[at] != '\n';
         column++) {
        at++;
        while (at < source->length && ((unsigned char)source->text[at] & 0xC0) == 0x80)
            at++;
    }
    return at;
}

static struct span event_span(const struct reader *r, const yaml_event_t *event) {
    uint32_t begin = mark_offset(r->source, event->start_mark), end = mark_offset(r->source, event->end_mark);
    return (struct span){r->source, begin, end > begin ? end : begin + (begin < r->source->length)};
}

static bool refuse(struct reader *r, struct span span, const char *what) {
    diag_error(r->diags, span, E_RECIPE, "%s", what);
    return false;
}

/* Hangs a node into the innermost open list or map. */
static bool place_node(struct reader *r, struct yaml *node) {
    if (r->open.count == 0) {
        if (r->root)
            return refuse(r, node->span, "a recipe is one YAML document");
        r->root = node;
        return true;
    }
    struct yaml *parent = VEC_LAST(&r->open);
    if (parent->kind == YAML_MAP && !r->key) {
        if (node->kind != YAML_SCALAR)
            return refuse(r, node->span, "a key must be a plain text");
        for (const struct yaml *c = parent->children; c; c = c->next)
            if (strcmp(c->key->text, node->text) == 0) {
                diag_label(
                    diag_error(r->diags, node->span, E_RECIPE, "the key `%s` is given twice", node->text),
                    c->key->span, "it is here already");
                return false;
            }
        r->key = node;
        return true;
    }
    node->key = r->key;
    r->key = NULL;
    *VEC_LAST(&r->tail) = node;
    VEC_LAST(&r->tail) = &node->next;
    return true;
}

/* A recipe has three levels. The bounds keep libyaml's time, which grows with the square of the depth, in
 * hand. */
enum { DEPTH_MOST = 64, BYTES_MOST = 1 << 20 };

static bool open_node(struct reader *r, enum yaml_kind kind, struct span span) {
    if (r->open.count == DEPTH_MOST)
        return refuse(r, span, "lists and maps are nested too deep");
    struct yaml *node = ARENA_NEW(r->arena, struct yaml);
    node->kind = kind;
    node->span = span;
    if (!place_node(r, node))
        return false;
    VEC_PUSH(r->arena, &r->open, node);
    VEC_PUSH(r->arena, &r->tail, &node->children);
    return true;
}

static bool scalar_node(struct reader *r, const yaml_event_t *event) {
    struct yaml *node = ARENA_NEW(r->arena, struct yaml);
    node->kind = YAML_SCALAR;
    node->span = event_span(r, event);
    node->text = arena_strndup(r->arena, (const char *)event->data.scalar.value, event->data.scalar.length);
    node->is_quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    if (strlen(node->text) != event->data.scalar.length)
        return refuse(r, node->span, "a text with a zero byte in it");
    return place_node(r, node);
}

static bool close_node(struct reader *r, struct span span) {
    VEC_LAST(&r->open)->span = span_join(VEC_LAST(&r->open)->span, span);
    (void)VEC_POP(&r->open);
    (void)VEC_POP(&r->tail);
    return true;
}

static bool take_event(struct reader *r, const yaml_event_t *event) {
    struct span span = event_span(r, event);
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return scalar_node(r, event);
    case YAML_SEQUENCE_START_EVENT:
        return open_node(r, YAML_LIST, span);
    case YAML_MAPPING_START_EVENT:
        return open_node(r, YAML_MAP, span);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return close_node(r, span);
    case YAML_ALIAS_EVENT:
        return refuse(r, span, "aliases are not used in recipes: write the value out");
    default:
        return true; /* starts and ends of the stream and of documents */
    }
}

static void report_syntax(struct reader *r, const yaml_parser_t *parser) {
    uint32_t at = mark_offset(r->source, parser->problem_mark);
    if (parser->error == YAML_READER_ERROR) /* bytes that are no text: these are counted */
        at =
            parser->problem_offset < r->source->length ? (uint32_t)parser->problem_offset : r->source->length;
    struct span span = {r->source, at, at + (at < r->source->length)};
    struct diag *d = diag_error(r->diags, span, E_RECIPE, "not YAML: %s",
                                parser->problem ? parser->problem : "unreadable");
    if (parser->context)
        diag_note(d, "%s", parser->context);
}

struct yaml *yaml_parse(struct arena *arena, const struct source *source, struct diags *diags) {
    struct reader r = {.arena = arena, .source = source, .diags = diags};
    yaml_parser_t parser;
    if (source->length > BYTES_MOST) {
        refuse(&r, (struct span){source, 0, 0}, "a recipe of more than a megabyte");
        return NULL;
    }
    if (!yaml_parser_initialize(&parser)) {
        refuse(&r, (struct span){source, 0, 0}, "no memory to read the recipe");
        return NULL;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)source->text, source->length);
    bool ok = true, done = false;
    while (ok && !done) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            report_syntax(&r, &parser);
            ok = false;
            break;
        }
        done = event.type == YAML_STREAM_END_EVENT;
        ok = take_event(&r, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    if (ok && !r.root) {
        r.root = ARENA_NEW(arena, struct yaml);
        r.root->kind = YAML_MAP;
        r.root->span = (struct span){source, 0, 0};
    }
    return ok ? r.root : NULL;
}

const struct yaml *yaml_find(const struct yaml *map, const char *key) {
    for (const struct yaml *c = map->children; c; c = c->next)
        if (c->key && strcmp(c->key->text, key) == 0)
            return c;
    return NULL;
}

const char *yaml_kind_text(const struct yaml *node) {
    return node->kind == YAML_LIST ? "a list" : node->kind == YAML_MAP ? "a map" : "a text";
}

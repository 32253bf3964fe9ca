#include "support_elaborate.h"

#include "ir/text.h"

#include <string.h>

struct session session_start(struct arena *arena, const char *name, const char *text, size_t length) {
    struct session s = {.arena = arena, .path = name};
    s.types = types_create(arena);
    s.names = interner_create(arena);
    s.diags = diags_create(arena);
    s.fe = frontend_create(arena, s.types, s.names, s.diags);
    frontend_load_source(s.fe, source_create(arena, name, text, length));
    return s;
}

struct request {
    VEC(const char *) entries;
    VEC(struct setting) settings;
};

/* The words behind "// run:" */
static bool parse_request(struct arena *arena, const char *text, struct request *r) {
    static const char mark[] = "// run:";
    if (strncmp(text, mark, sizeof mark - 1) != 0)
        return false;
    const char *p = text + sizeof mark - 1;
    while (*p && *p != '\n') {
        size_t length = strcspn(p, " \n");
        char *word = arena_strndup(arena, p, length), *equals = strchr(word, '=');
        if (equals) {
            *equals = 0;
            struct setting setting = {.name = word, .value = equals + 1};
            VEC_PUSH(arena, &r->settings, setting);
        } else if (length > 0) {
            VEC_PUSH(arena, &r->entries, word);
        }
        p += length + (p[length] == ' ');
    }
    return true;
}

static void print_function(struct function *function, struct strbuf *out) {
    if (function)
        function_print(function, out);
}

static void elaborate_request(struct session *s, const struct request *r, struct strbuf *out) {
    struct instance *model =
        frontend_instantiate(s->fe, s->path, NULL, r->settings.at, r->settings.count, s->arena);
    for (int i = 0; model && i < r->entries.count; i++)
        print_function(strcmp(r->entries.at[i], "init") == 0
                           ? instance_elaborate_init(model)
                           : instance_elaborate(model, r->entries.at[i], NULL, 0, 1),
                       out);
    if (model && diags_error_count(s->diags) == 0)
        graph_verify(instance_graph(model), s->diags, "elaboration");
}

bool elaborate_everything(struct session *s, bool with_init) {
    for (int m = 0; m < frontend_model_count(s->fe, s->path); m++) {
        struct instance *model =
            frontend_instantiate(s->fe, s->path, frontend_model_name(s->fe, s->path, m), NULL, 0, s->arena);
        for (int i = 0; model && i < instance_entry_count(model); i++)
            instance_elaborate(model, instance_entry(model, i)->name, NULL, 0, 1);
        if (model && with_init && diags_error_count(s->diags) == 0)
            instance_elaborate_init(model);
        if (model && diags_error_count(s->diags) == 0)
            graph_verify(instance_graph(model), s->diags, "elaboration");
    }
    return diags_error_count(s->diags) == 0;
}

void elaborate_text(struct arena *arena, const char *name, const char *text, size_t length,
                    struct strbuf *out) {
    struct session s = session_start(arena, name, text, length);
    struct strbuf printed;
    strbuf_init(&printed, arena);
    struct request request = {0};
    if (diags_error_count(s.diags) == 0 && parse_request(arena, text, &request))
        elaborate_request(&s, &request, &printed);
    else if (diags_error_count(s.diags) == 0)
        elaborate_everything(&s, true);
    if (diags_count(s.diags) > 0)
        diags_render(s.diags, out, false);
    if (diags_error_count(s.diags) == 0)
        strbuf_puts(out, printed.text ? printed.text : "");
}

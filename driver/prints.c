#include "driver/prints.h"

#include "driver/values.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void show_json(const char *label, const char *type, const char *text) {
    json_t *object = json_pack("{s:s, s:s, s:s}", "print", label, "type", type, "value", text);
    if (object)
        json_dumpf(object, stderr, JSON_COMPACT);
    fputc('\n', stderr);
    json_decref(object);
}

void prints_show(void *context, const weft_arg_info *what, const void *data) {
    struct session *session = context;
    struct arena *arena = arena_create(); /* a loop may print for hours */
    const struct type *type = type_of_sizes(session->types, (enum dtype)what->dtype, what->rank, what->shape);
    struct strbuf text;
    strbuf_init(&text, arena);
    value_print(&text, session->json ? "" : what->name, type, data);
    fflush(stdout);
    if (session->json) {
        text.text[text.length - 1] = 0;
        show_json(what->name, type_text(session->types, type), strchr(text.text, '=') + 2);
    } else {
        fprintf(stderr, "%s%s", isatty(STDERR_FILENO) ? "\r\033[K" : "",
                text.text); /* a progress bar comes again */
    }
    arena_destroy(arena);
}

const struct op *prints_find(const struct block *block) {
    FOR_EACH_OP (op, block) {
        if (op->code == OP_print)
            return op;
        for (int r = 0; r < op->region_count; r++) {
            const struct op *found = prints_find(op->regions[r]);
            if (found)
                return found;
        }
    }
    return NULL;
}

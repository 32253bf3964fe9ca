#include "support_eval.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

int fixture_create(void **state) {
    struct arena *arena = arena_create();
    struct fixture *f = ARENA_NEW(arena, struct fixture);
    *f = (struct fixture){arena, types_create(arena), interner_create(arena), diags_create(arena), 1};
    *state = f;
    return 0;
}

int fixture_destroy(void **state) {
    arena_destroy(((struct fixture *)*state)->arena);
    return 0;
}

const char *rendered(struct fixture *f) {
    struct strbuf out;
    strbuf_init(&out, f->arena);
    diags_render(f->diags, &out, false);
    return out.text ? out.text : "";
}

struct graph *parsed(struct fixture *f, const char *text) {
    const struct source *source = source_create(f->arena, "test.ir", text, strlen(text));
    struct graph *graph = graph_parse(f->arena, f->types, f->names, source, f->diags);
    if (!graph)
        fail_msg("%s\n%s", text, rendered(f));
    return graph;
}

const char *text_around(struct fixture *f, const char *op, const char *use) {
    const char *rest = strpbrk(use, "{:");
    const char *at = use, *end = rest ? rest : use + strlen(use);
    enum opcode code;
    struct strbuf text;
    int count = 0;
    assert_true(opcode_find(op, strlen(op), &code));
    strbuf_init(&text, f->arena);
    strbuf_puts(&text, "graph example\nfn f() {\n");
    while (at < end && *at != ' ') {
        const char *close = strchr(at, ']') + 1;
        strbuf_printf(&text, "  %%x%d = input {name = \"x%d\"} : %.*s\n", count, count, (int)(close - at),
                      at);
        count++;
        for (at = close; at < end && (*at == ',' || *at == ' '); at++) {
        }
    }
    for (int i = 0; i < op_infos[code].results; i++)
        strbuf_printf(&text, "%s%%y%d", i ? ", " : "  ", i);
    strbuf_printf(&text, " = %s", op);
    for (int i = 0; i < count; i++)
        strbuf_printf(&text, "%s%%x%d%s", i ? ", " : "(", i, i == count - 1 ? ")" : "");
    strbuf_printf(&text, " %s\n  yield(%%y0%s)\n}\n", rest ? rest : "",
                  op_infos[code].results > 1 ? ", %y1" : "");
    return text.text;
}

struct tensor *numbers(struct fixture *f, const struct type *type, const char *text) {
    struct tensor *tensor = tensor_create(f->arena, type);
    const char *at = text;
    for (int64_t k = 0; k < type_elements(type); k++) {
        char *end;
        if (dtype_is_float(type->dtype))
            tensor->f[k] = strtod(at, &end);
        else
            tensor->i[k] = strtoll(at, &end, 0);
        if (end == at)
            fail_msg("\"%s\" has %lld numbers, not %lld", text, (long long)k, (long long)type_elements(type));
        at = end;
    }
    if (strspn(at, " ") != strlen(at))
        fail_msg("\"%s\" has more than %lld numbers", text, (long long)type_elements(type));
    return tensor;
}

const char *next_part(struct fixture *f, const char **text) {
    size_t length = strcspn(*text, ";");
    const char *part = arena_strndup(f->arena, *text, length);
    *text += length + ((*text)[length] == ';');
    return part;
}

/* Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014: SplitMix64. */
double random_number(struct fixture *f, double least, double greatest) {
    uint64_t z = f->random += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return least + (greatest - least) * (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

int input_types(struct fixture *f, const struct function *function, const struct type ***types) {
    int count = 0;
    FOR_EACH_OP (op, function->body)
        count += op->code == OP_input;
    *types = ARENA_ARRAY(f->arena, const struct type *, count);
    count = 0;
    FOR_EACH_OP (op, function->body)
        if (op->code == OP_input)
            (*types)[count++] = op->out[0]->type;
    return count;
}

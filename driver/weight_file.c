#include "driver/weight_file.h"

#include "driver/values.h"

#include <stdlib.h>
#include <string.h>

static bool ends_in(const char *text, const char *ending) {
    size_t n = strlen(text), m = strlen(ending);
    return n > m && strcmp(text + n - m, ending) == 0;
}

/* ---- opening ---- */

static bool open_safetensors(struct session *session, struct weight_file *file) {
    struct weft_error error;
    file->safetensors = weft_weights_open(file->path, &error);
    if (!file->safetensors)
        return session_fail_read(session, file->path, error.message);
    file->count = weft_weights_count(file->safetensors);
    file->all = ARENA_ARRAY(session->arena, struct named_tensor, file->count + 1);
    for (int i = 0; i < file->count; i++) {
        file->all[i].weight = *weft_weights_at(file->safetensors, i);
        file->all[i].file_name = file->all[i].weight.name;
    }
    return true;
}

static struct weft_weight weight_of(const char *name, const struct weft_array *array) {
    struct weft_weight weight = {.name = name,
                                 .dtype = array->dtype,
                                 .rank = array->rank,
                                 .data = array->data,
                                 .bytes = weft_array_bytes(array)};
    memcpy(weight.shape, array->shape, sizeof weight.shape);
    return weight;
}

static bool open_npz(struct session *session, struct weight_file *file) {
    struct weft_error error;
    if (!weft_zip_open(&file->zip, file->path, &error))
        return session_fail_read(session, file->path, error.message);
    file->arrays = calloc((size_t)file->zip.count + 1, sizeof *file->arrays);
    file->all = ARENA_ARRAY(session->arena, struct named_tensor, file->zip.count + 1);
    if (!file->arrays)
        return session_fail(session, E_DATA, "%s: no memory to read it", file->path);
    for (; file->count < file->zip.count; file->count++) {
        const char *member = file->zip.members[file->count].name;
        if (!weft_npz_read(&file->zip, file->count, &file->arrays[file->count], &error))
            return session_fail(session, E_DATA, "%s", error.message);
        const char *name =
            arena_strndup(session->arena, member, strlen(member) - (ends_in(member, ".npy") ? 4 : 0));
        file->all[file->count] =
            (struct named_tensor){.file_name = name, .weight = weight_of(name, &file->arrays[file->count])};
    }
    return true;
}

bool weight_file_open(struct session *session, const char *path, struct weight_file *file) {
    *file = (struct weight_file){.path = path};
    if (!(ends_in(path, ".npz") ? open_npz(session, file) : open_safetensors(session, file))) {
        weight_file_close(file);
        return false;
    }
    for (int i = 0; i < file->count; i++)
        file->all[i].model_name = file->all[i].file_name;
    return true;
}

void weight_file_close(struct weight_file *file) {
    weft_weights_close(file->safetensors);
    for (int i = 0; file->arrays && i < file->count; i++)
        weft_array_destroy(&file->arrays[i]);
    free(file->arrays);
    weft_zip_close(&file->zip);
    *file = (struct weight_file){0};
}

/* ---- names ---- */

/* `to` with \1 ... \9 replaced by the groups of a match in `text`. */
static void put_replacement(struct strbuf *out, const char *to, const char *text, const regmatch_t *groups) {
    for (const char *at = to; *at; at++) {
        bool is_group = at[0] == '\\' && at[1] >= '0' && at[1] <= '9';
        if (!is_group) {
            strbuf_putc(out, *at);
            continue;
        }
        const regmatch_t *g = &groups[*++at - '0'];
        if (g->rm_so >= 0)
            strbuf_printf(out, "%.*s", (int)(g->rm_eo - g->rm_so), text + g->rm_so);
    }
}

/* Replaces every match, from left to right. */
static const char *rename_text(struct arena *arena, const struct recipe_rename *rule, const char *text) {
    regmatch_t groups[10];
    struct strbuf out;
    strbuf_init(&out, arena);
    int flags = 0;
    while (regexec(&rule->match, text, 10, groups, flags) == 0) {
        strbuf_printf(&out, "%.*s", (int)groups[0].rm_so, text);
        put_replacement(&out, rule->to, text, groups);
        bool is_empty = groups[0].rm_eo == groups[0].rm_so;
        text += groups[0].rm_eo;
        if (is_empty && *text)
            strbuf_putc(&out, *text++);
        if (!*text)
            break;
        flags = REG_NOTBOL;
    }
    strbuf_puts(&out, text);
    return out.text;
}

void weight_file_rename(struct session *session, struct weight_file *file, const char *into,
                        const char *prefix, struct recipe_rename *const *map, int map_count) {
    for (int i = 0; i < file->count; i++) {
        struct named_tensor *t = &file->all[i];
        t->model_name = NULL;
        if (strncmp(t->file_name, prefix, strlen(prefix)) != 0)
            continue;
        const char *name = t->file_name + strlen(prefix);
        for (int k = 0; k < map_count; k++)
            name = rename_text(session->arena, map[k], name);
        t->model_name = strcmp(into, ".") == 0 ? name : arena_printf(session->arena, "%s.%s", into, name);
    }
}

/* ---- numbers ---- */

bool named_tensor_copy(const struct weft_weight *from, enum dtype dtype, void *to) {
    const struct type type = {.dtype = (enum dtype)from->dtype};
    if ((enum dtype)from->dtype == dtype) {
        memcpy(to, from->data, from->bytes);
        return true;
    }
    if (!dtype_is_float(type.dtype) || (dtype != DTYPE_f32 && dtype != DTYPE_f64))
        return false;
    int64_t count = 1;
    for (int i = 0; i < from->rank; i++)
        count *= from->shape[i];
    size_t size = weft_dtype_size(from->dtype);
    for (int64_t i = 0; i < count; i++) {
        char element[8]; /* the file's data may stand at any address */
        memcpy(element, (const char *)from->data + (size_t)i * size, size);
        double value = value_element(&type, element, 0);
        if (dtype == DTYPE_f32)
            ((float *)to)[i] = (float)value;
        else
            ((double *)to)[i] = value;
    }
    return true;
}

#include "driver/inputs.h"

#include "runtime/bpe.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* One value that becomes an array. */
struct reading {
    struct session *session;
    const struct input_sources *sources;
    const struct entry_param *param;
    const struct recipe_input *value;
};

static bool fails(const struct reading *r, const char *what) {
    diag_error(r->session->diags, r->value->setting.span, E_RECIPE, "`%s`: %s", r->value->raw, what);
    return false;
}

static bool starts(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

/* ---- ranges ---- */

/* "a..b": a, a + 1, ... b - 1 */
static bool is_range(const char *text, long long *from, long long *to) {
    int used = 0;
    return sscanf(text, " %18lld..%18lld %n", from, to, &used) == 2 && used > 0 && !text[used];
}

enum { RANGE_MOST = 1 << 24 };

static bool read_range(const struct reading *r, long long from, long long to, struct weft_array *out) {
    struct weft_error error;
    int64_t count = to - from;
    if (count < 0 || count > RANGE_MOST)
        return fails(r, "a range such as 0..10 begins with its lower end");
    if (!weft_array_create(out, WEFT_F64, 1, &count, &error))
        return session_fail(r->session, E_DATA, "%s", error.message);
    for (int64_t i = 0; i < count; i++)
        ((double *)out->data)[i] = (double)(from + i);
    return true;
}

/* A literal by the reader of the command line, whose message it is where that fails. */
static bool read_literal(const struct reading *r, const char *text, struct given *out) {
    return given_read(r->session, arena_printf(r->session->arena, "%s=%s", r->param->name, text), out);
}

/* "repeat(LIST, n)": each element n times in a row */
static bool read_repeat(const struct reading *r, const char *text, struct given *out) {
    const char *comma = strrchr(text, ',');
    char *end = NULL;
    long long from, to, times = comma ? strtoll(comma + 1, &end, 10) : 0;
    if (!comma || end == comma + 1 || strspn(end, " ") + 1 != strlen(end) || end[strlen(end) - 1] != ')' ||
        times < 1 || times > RANGE_MOST)
        return fails(r, "repeat(LIST, n) is wanted, as in repeat(0..10, 8)");
    const char *list = arena_strndup(r->session->arena, text + strlen("repeat("),
                                     (size_t)(comma - text) - strlen("repeat("));
    struct weft_error error;
    bool ok = is_range(list, &from, &to) ? read_range(r, from, to, &out->array) : read_literal(r, list, out);
    if (!ok)
        return false;
    struct weft_array once = out->array;
    int64_t shape[WEFT_MAX_RANK];
    memcpy(shape, once.shape, sizeof shape);
    shape[0] *= times;
    ok = once.rank > 0 ? weft_array_create(&out->array, once.dtype, once.rank, shape, &error)
                       : fails(r, "a list or a range is repeated");
    size_t bytes = ok && once.shape[0] > 0 ? weft_array_bytes(&once) / (size_t)once.shape[0] : 0;
    for (int64_t i = 0; ok && i < shape[0]; i++)
        memcpy((char *)out->array.data + (size_t)i * bytes,
               (const char *)once.data + (size_t)(i / times) * bytes, bytes);
    if (!ok)
        out->array = (struct weft_array){0};
    weft_array_destroy(&once);
    out->is_literal = true;
    return ok;
}

/* ---- from a set: data(SET.FIELD)[:n] ---- */

static struct feed *find_feed(const struct reading *r, const char *name) {
    const struct recipe *recipe = r->sources->recipe;
    for (int i = 0; i < recipe->data.count; i++)
        if (strcmp(recipe->data.at[i]->name, name) == 0)
            return &r->sources->feeds[i];
    return NULL;
}

static int find_field(const struct feed *feed, const char *name) {
    for (int i = 0; i < weft_dataset_field_count(feed->set); i++)
        if (strcmp(weft_dataset_field(feed->set, i)->name, name) == 0)
            return i;
    return -1;
}

static const char *field_names(const struct reading *r, const struct feed *feed) {
    int count = weft_dataset_field_count(feed->set);
    const char **names = ARENA_ARRAY(r->session->arena, const char *, count + 1);
    for (int i = 0; i < count; i++)
        names[i] = weft_dataset_field(feed->set, i)->name;
    return names_text(r->session->arena, names, count);
}

static bool read_items(const struct reading *r, struct feed *feed, int field, int64_t count,
                       struct weft_array *out) {
    const struct weft_field *f = weft_dataset_field(feed->set, field);
    int64_t shape[WEFT_MAX_RANK + 1] = {count};
    struct weft_error error;
    memcpy(shape + 1, f->shape, sizeof *shape * (size_t)f->rank);
    int64_t *items = ARENA_ARRAY(r->session->arena, int64_t, count);
    void **fields = ARENA_ARRAY(r->session->arena, void *, weft_dataset_field_count(feed->set));
    for (int64_t i = 0; i < count; i++)
        items[i] = i;
    bool ok = weft_array_create(out, f->dtype, f->rank + 1, shape, &error);
    fields[field] = out->data;
    return (ok && weft_dataset_read(feed->set, items, count, NULL, fields, &error)) ||
           session_fail(r->session, E_DATA, "%s", error.message);
}

static bool read_data(const struct reading *r, const char *text, struct given *out) {
    char set[64], field[64];
    long long count = 0;
    int used = 0;
    bool is_right = sscanf(text, "data(%63[^.)].%63[^)])[:%18lld]%n", set, field, &count, &used) == 3 &&
                    used > 0 && !text[used];
    if (!is_right || count < 1)
        return fails(r, "data(SET.FIELD)[:n] is wanted: the first n items of a field");
    struct feed *feed = find_feed(r, set);
    if (!feed)
        return fails(r, "there is no such set in `data`");
    int index = find_field(feed, field);
    if (index < 0)
        return fails(r, arena_printf(r->session->arena, "the set has %s", field_names(r, feed)));
    return read_items(r, feed, index, count < feed->count ? count : feed->count, &out->array);
}

/* ---- texts: bpe:a bicycle ---- */

static const struct weft_dataset_options *find_encoding(const struct reading *r) {
    for (int i = 0; i < r->sources->recipe->data.count; i++)
        if (r->sources->recipe->data.at[i]->options.merges)
            return &r->sources->recipe->data.at[i]->options;
    return NULL;
}

static bool encode_texts(const struct reading *r, const char *const *texts, int64_t count,
                         struct weft_array *out) {
    const struct weft_dataset_options *o = find_encoding(r);
    struct weft_error error;
    if (!o)
        return fails(r, "no set of the recipe says how texts become numbers (`text: {bpe: clip, length: 77}` "
                        "of data of the kind pairs)");
    struct weft_bpe *bpe = weft_bpe_open(o->merges, &error);
    const int64_t shape[] = {count, o->text_length};
    if (!bpe || !weft_array_create(out, WEFT_I32, 2, shape, &error)) {
        weft_bpe_close(bpe);
        return session_fail(r->session, E_DATA, "%s", error.message);
    }
    for (int64_t i = 0; i < count; i++)
        weft_bpe_encode(bpe, texts[i] + strlen("bpe:"), o->text_length,
                        (int32_t *)out->data + i * o->text_length);
    weft_bpe_close(bpe);
    return true;
}

/* A text, or a list of texts: ["bpe:a", "bpe:b"]. */
static bool read_texts(const struct reading *r, const char *text, struct given *out) {
    if (*text != '[')
        return encode_texts(r, &text, 1, &out->array);
    json_t *list = json_loads(text, 0, NULL);
    size_t count = json_array_size(list);
    const char **texts = ARENA_ARRAY(r->session->arena, const char *, count + 1);
    bool ok = count > 0;
    for (size_t i = 0; ok && i < count; i++) {
        texts[i] = json_string_value(json_array_get(list, i));
        ok = texts[i] && starts(texts[i], "bpe:");
    }
    ok = ok ? encode_texts(r, texts, (int64_t)count, &out->array)
            : fails(r, "a list of texts, each with bpe: before it, is wanted");
    json_decref(list);
    return ok;
}

/* ---- all forms ---- */

static bool ends(const char *text, const char *ending) {
    size_t n = strlen(text), m = strlen(ending);
    return n > m && strcmp(text + n - m, ending) == 0;
}

static bool read_array(const struct reading *r, struct given *out) {
    const char *text = r->value->raw;
    long long from, to;
    *out = (struct given){.name = r->param->name,
                          .text = arena_printf(r->session->arena, "%s=%s", r->param->name, text)};
    struct given kept = *out;
    bool ok;
    if (is_range(text, &from, &to)) {
        ok = read_range(r, from, to, &out->array);
        out->is_literal = true;
    } else if (starts(text, "repeat(")) {
        ok = read_repeat(r, text, out);
    } else if (starts(text, "data(")) {
        ok = read_data(r, text, out);
    } else if (starts(text, "bpe:") || starts(text, "[\"bpe:")) {
        ok = read_texts(r, text, out);
    } else {
        bool is_file = ends(text, ".npy") || ends(text, ".png") || ends(text, ".jpg") || ends(text, ".jpeg");
        ok = read_literal(r,
                          is_file && text[0] != '/'
                              ? arena_printf(r->session->arena, "%s%s", r->sources->recipe->folder, text)
                              : text,
                          out);
    }
    out->name = kept.name;
    out->text = kept.text;
    ok = ok && given_convert(r->session, out, r->param->type->dtype);
    if (!ok) {
        diag_label(diags_last(r->session->diags), r->value->setting.span, "this is the value of `%s`",
                   r->param->name);
        weft_array_destroy(&out->array);
    }
    return ok;
}

static const struct entry_param *find_param(const struct entry *entry, const char *name) {
    for (int i = 0; i < entry->param_count; i++)
        if (strcmp(entry->params[i].name, name) == 0)
            return &entry->params[i];
    return NULL;
}

static bool is_given(const struct inputs *inputs, const char *name) {
    for (int i = 0; i < inputs->given.count; i++)
        if (strcmp(inputs->given.at[i].name, name) == 0)
            return true;
    return false;
}

bool inputs_read(struct session *session, const struct input_sources *sources, const struct entry *entry,
                 const struct recipe_input *values, int count, bool *used, struct inputs *inputs) {
    for (int i = 0; i < count; i++) {
        const struct entry_param *param = find_param(entry, values[i].setting.name);
        if (!param)
            continue;
        used[i] = true;
        if (param->kind != PARAM_TENSOR) {
            VEC_PUSH(session->arena, &inputs->settings, values[i].setting);
            continue;
        }
        struct given given;
        const struct reading reading = {session, sources, param, &values[i]};
        if (!read_array(&reading, &given))
            return false;
        VEC_PUSH(session->arena, &inputs->given, given);
    }
    for (int i = 0; i < entry->param_count; i++) {
        struct given given;
        if (!is_given(inputs, entry->params[i].name) && given_default(session, &entry->params[i], &given))
            VEC_PUSH(session->arena, &inputs->given, given);
    }
    return true;
}

bool inputs_check_used(struct session *session, const struct entry *entry, const struct recipe_input *values,
                       int count, const bool *used) {
    bool ok = true;
    for (int i = 0; i < count; i++) {
        if (used[i])
            continue;
        const char **names = ARENA_ARRAY(session->arena, const char *, entry->param_count + 1);
        for (int k = 0; k < entry->param_count; k++)
            names[k] = entry->params[k].name;
        diag_nearest(diag_error(session->diags, values[i].setting.span, E_RECIPE,
                                "`%s` has no parameter `%s`; it has %s", entry->name, values[i].setting.name,
                                names_text(session->arena, names, entry->param_count)),
                     values[i].setting.name, names, entry->param_count);
        ok = false;
    }
    return ok;
}

bool inputs_check_sizes(struct session *session, const struct entry *entry, const struct inputs *inputs,
                        const struct sizes *sizes, struct span span) {
    for (int i = 0; i < entry->param_count; i++) {
        const struct entry_param *param = &entry->params[i];
        bool known = param->kind != PARAM_INT || param->has_default;
        for (int k = 0; k < inputs->settings.count; k++)
            known |= strcmp(inputs->settings.at[k].name, param->name) == 0;
        for (int k = 0; k < sizes->bindings.count; k++)
            known |= strcmp(sizes->bindings.at[k].name, param->name) == 0;
        if (known)
            continue;
        diag_hint(diag_error(session->diags, span, E_RECIPE, "`%s` wants a whole number `%s`", entry->name,
                             param->name),
                  "`in: {%s: 64}`", param->name);
        return false;
    }
    return true;
}

void inputs_destroy(struct inputs *inputs) {
    for (int i = 0; i < inputs->given.count; i++)
        weft_array_destroy(&inputs->given.at[i].array);
    inputs->given.count = 0;
}

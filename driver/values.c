#include "driver/values.h"

#include "ir/tensor.h"
#include "runtime/image.h"
#include "runtime/npy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool ends_in(const char *text, const char *ending) {
    size_t n = strlen(text), m = strlen(ending);
    return n >= m && strcmp(text + n - m, ending) == 0;
}

/* ---- literals ---- */

/* A list such as [[1, 2], [3, 4]]: the numbers in order, the shape by the first of each depth, and every
 * other list checked against it. */
struct literal {
    struct session *session;
    const char *text, *at;
    VEC(double) numbers;
    int64_t shape[WEFT_MAX_RANK];
    int rank;
};

static bool literal_fails(struct literal *l, const char *what) {
    return session_fail(l->session, E_DATA, "`%s`: %s at `%.20s`", l->text, what, *l->at ? l->at : "its end");
}

static void skip_blanks(struct literal *l) {
    l->at += strspn(l->at, " \t\n");
}

static bool literal_number(struct literal *l) {
    char *end;
    double value = strncmp(l->at, "true", 4) == 0 ? 1 : strtod(l->at, &end);
    if (strncmp(l->at, "true", 4) == 0)
        end = (char *)l->at + 4;
    else if (strncmp(l->at, "false", 5) == 0)
        end = (char *)l->at + 5, value = 0;
    if (end == l->at)
        return literal_fails(l, "a number or a list is wanted");
    l->at = end;
    VEC_PUSH(l->session->arena, &l->numbers, value);
    return true;
}

/* A value at `depth`; the first that closes at a depth fixes its length there. */
static bool literal_value(struct literal *l, int depth) {
    skip_blanks(l);
    if (*l->at != '[') {
        if (l->rank >= 0 && depth != l->rank)
            return literal_fails(l, "lists of one depth are wanted");
        l->rank = depth;
        return literal_number(l);
    }
    if (depth == WEFT_MAX_RANK)
        return literal_fails(l, "lists are nested too deep");
    l->at++;
    int64_t length = 0;
    for (skip_blanks(l); *l->at != ']'; length++, skip_blanks(l)) {
        if (length > 0 && *l->at++ != ',')
            return l->at--, literal_fails(l, "`,` or `]` is wanted");
        if (!literal_value(l, depth + 1))
            return false;
    }
    l->at++;
    if (l->shape[depth] >= 0 && l->shape[depth] != length)
        return literal_fails(l, "the lists differ in length");
    l->shape[depth] = length;
    return true;
}

static bool read_literal(struct session *session, const char *text, struct weft_array *array) {
    struct literal l = {.session = session, .text = text, .at = text, .rank = -1};
    for (int i = 0; i < WEFT_MAX_RANK; i++)
        l.shape[i] = -1;
    if (!literal_value(&l, 0))
        return false;
    skip_blanks(&l);
    if (*l.at)
        return literal_fails(&l, "nothing more is wanted");
    struct weft_error error;
    int rank = l.rank >= 0 ? l.rank : 1; /* []: an empty list */
    if (!weft_array_create(array, WEFT_F64, rank, l.shape, &error))
        return session_fail(session, E_DATA, "`%s`: %s", text, error.message);
    if (l.numbers.count)
        memcpy(array->data, l.numbers.at, sizeof(double) * (size_t)l.numbers.count);
    return true;
}

/* ---- what is given ---- */

static bool read_picture(struct session *session, const char *path, struct weft_array *array) {
    struct weft_image image;
    struct weft_error error;
    if (!weft_image_read(path, 0, &image, &error))
        return session_fail_read(session, path, error.message);
    struct weft_image plain = image;
    if (image.channels == 2 || image.channels == 4) { /* alpha is dropped */
        weft_image_destroy(&image);
        if (!weft_image_read(path, plain.channels - 1, &image, &error))
            return session_fail(session, E_DATA, "%s", error.message);
    }
    const int64_t shape[] = {1, image.channels, image.height, image.width};
    bool ok = weft_array_create(array, WEFT_F32, 4, shape, &error) ||
              session_fail(session, E_DATA, "%s", error.message);
    if (ok)
        weft_image_to_chw(&image, 0.0f, 1.0f, array->data);
    weft_image_destroy(&image);
    return ok;
}

bool given_name(struct session *session, const char *word, struct given *given) {
    const char *equals = strchr(word, '=');
    *given = (struct given){.text = word};
    if (!equals || equals == word)
        return session_fail(session, E_ARGUMENT, "an input is given as NAME=VALUE, not `%s`", word);
    given->name = arena_strndup(session->arena, word, (size_t)(equals - word));
    return true;
}

bool given_read(struct session *session, const char *word, struct given *given) {
    if (!given_name(session, word, given))
        return false;
    const char *value = word + strlen(given->name) + 1;
    struct weft_error error;
    if (ends_in(value, ".npy"))
        return weft_npy_read(value, &given->array, &error) ||
               session_fail_read(session, value, error.message);
    if (ends_in(value, ".png") || ends_in(value, ".jpg") || ends_in(value, ".jpeg"))
        return read_picture(session, value, &given->array);
    given->is_literal = true;
    return read_literal(session, value, &given->array);
}

bool given_default(struct session *session, const struct entry_param *param, struct given *given) {
    bool has_value = param->kind == PARAM_TENSOR && param->has_default && param->type->rank == 0 &&
                     !isnan(param->default_value);
    *given = (struct given){.name = param->name, .is_literal = true};
    if (!has_value || !weft_array_create(&given->array, WEFT_F64, 0, NULL, NULL))
        return false;
    given->text = arena_printf(session->arena, "%s=%.17g", param->name, param->default_value);
    *(double *)given->array.data = param->default_value;
    return true;
}

static bool store_number(void *bytes, int64_t i, enum dtype dtype, double x) {
    switch (dtype) {
    case DTYPE_f64:
        ((double *)bytes)[i] = x;
        return true;
    case DTYPE_f32:
        ((float *)bytes)[i] = (float)x;
        return true;
    case DTYPE_f16:
    case DTYPE_bf16:
        ((uint16_t *)bytes)[i] = half_bits(dtype, x);
        return true;
    case DTYPE_i64:
        ((int64_t *)bytes)[i] = (int64_t)x;
        return x == floor(x) && fabs(x) < 0x1p53;
    case DTYPE_i32:
        ((int32_t *)bytes)[i] = (int32_t)x;
        return x == floor(x) && x >= INT32_MIN && x <= INT32_MAX;
    case DTYPE_u32:
        ((uint32_t *)bytes)[i] = (uint32_t)x;
        return x == floor(x) && x >= 0 && x <= UINT32_MAX;
    case DTYPE_i8:
        ((int8_t *)bytes)[i] = (int8_t)x;
        return x == floor(x) && x >= INT8_MIN && x <= INT8_MAX;
    case DTYPE_u8:
        ((uint8_t *)bytes)[i] = (uint8_t)x;
        return x == floor(x) && x >= 0 && x <= UINT8_MAX;
    case DTYPE_bool:
        ((uint8_t *)bytes)[i] = x != 0;
        return x == 0 || x == 1;
    default:
        return false;
    }
}

bool given_convert(struct session *session, struct given *given, enum dtype dtype) {
    struct weft_array *a = &given->array;
    if (a->dtype == (weft_dtype)dtype)
        return true;
    if (!given->is_literal)
        return session_fail(session, E_DTYPE, "%s is %s; the model wants %s", given->text,
                            weft_dtype_name(a->dtype), dtype_text(dtype));
    struct weft_array converted;
    struct weft_error error;
    if (!weft_array_create(&converted, (weft_dtype)dtype, a->rank, a->shape, &error))
        return session_fail(session, E_DATA, "%s", error.message);
    for (int64_t i = 0; i < weft_array_count(a); i++)
        if (!store_number(converted.data, i, dtype, ((double *)a->data)[i])) {
            weft_array_destroy(&converted);
            return session_fail(session, E_DTYPE, "%s: %.9g is no %s", given->text, ((double *)a->data)[i],
                                dtype_text(dtype));
        }
    weft_array_destroy(a);
    *a = converted;
    return true;
}

/* ---- results ---- */

double value_element(const struct type *type, const void *bytes, int64_t i) {
    switch (type->dtype) {
    case DTYPE_f64:
        return ((const double *)bytes)[i];
    case DTYPE_f32:
        return ((const float *)bytes)[i];
    case DTYPE_f16:
    case DTYPE_bf16:
        return half_value(type->dtype, ((const uint16_t *)bytes)[i]);
    case DTYPE_i64:
        return (double)((const int64_t *)bytes)[i];
    case DTYPE_i32:
        return ((const int32_t *)bytes)[i];
    case DTYPE_u32:
        return ((const uint32_t *)bytes)[i];
    case DTYPE_i8:
        return ((const int8_t *)bytes)[i];
    default:
        return ((const uint8_t *)bytes)[i];
    }
}

static void print_element(struct strbuf *out, const struct type *type, const void *bytes, int64_t i) {
    double x = value_element(type, bytes, i);
    if (type->dtype == DTYPE_bool)
        strbuf_puts(out, x != 0 ? "true" : "false");
    else if (dtype_is_float(type->dtype))
        strbuf_printf(out, "%.6g", x);
    else
        strbuf_printf(out, "%.0f", x);
}

static void print_nested(struct strbuf *out, const struct type *type, const void *bytes, int axis,
                         int64_t *at) {
    if (axis == type->rank) {
        print_element(out, type, bytes, (*at)++);
        return;
    }
    strbuf_putc(out, '[');
    for (int64_t i = 0; i < type_size(type, axis); i++) {
        strbuf_puts(out, i ? ", " : "");
        print_nested(out, type, bytes, axis + 1, at);
    }
    strbuf_putc(out, ']');
}

enum { PRINTED_WHOLE = 64 };

static void print_summary(struct strbuf *out, const struct type *type, const void *bytes, int64_t count) {
    double least = INFINITY, greatest = -INFINITY, sum = 0;
    int64_t nans = 0;
    for (int64_t i = 0; i < count; i++) {
        double x = value_element(type, bytes, i);
        if (isnan(x)) {
            nans++;
            continue;
        }
        least = fmin(least, x);
        greatest = fmax(greatest, x);
        sum += x;
    }
    strbuf_printf(out, "min %.6g, mean %.6g, max %.6g", least, sum / (double)(count - nans), greatest);
    if (nans)
        strbuf_printf(out, ", %lld NaN", (long long)nans);
}

void value_print(struct strbuf *out, const char *name, const struct type *type, const void *bytes) {
    int64_t count = type_elements(type), at = 0;
    if (*name && strcmp(name, "result") != 0) /* what the plan calls a result without a name */
        strbuf_printf(out, "%s: ", name);
    type_print(out, type);
    strbuf_puts(out, " = ");
    if (count <= PRINTED_WHOLE)
        print_nested(out, type, bytes, 0, &at);
    else
        print_summary(out, type, bytes, count);
    strbuf_putc(out, '\n');
}

/* ---- writing ---- */

static bool write_npy(struct session *session, const char *path, const struct type *type, const void *bytes) {
    struct weft_array array = {.dtype = (weft_dtype)type->dtype, .rank = type->rank, .data = (void *)bytes};
    struct weft_error error;
    for (int i = 0; i < type->rank; i++)
        array.shape[i] = type_size(type, i);
    return weft_npy_write(path, &array, &error) || session_fail(session, E_FILE, "%s", error.message);
}

/* Images of rank 2 to 4 as a grid; false where the type is no image. */
static bool image_grid_of(const struct type *type, struct weft_grid *grid) {
    int r = type->rank;
    if (type->dtype != DTYPE_f32 || r < 2 || r > 4)
        return false;
    grid->count = r == 4 ? type_size(type, 0) : 1;
    grid->channels = r > 2 ? (int)type_size(type, r - 3) : 1;
    grid->height = (int)type_size(type, r - 2);
    grid->width = (int)type_size(type, r - 1);
    return grid->count > 0 && grid->height > 0 && grid->width > 0 &&
           (grid->channels == 1 || grid->channels == 3);
}

bool value_write(struct session *session, const char *path, const struct type *type, const void *bytes,
                 int64_t rows, int64_t columns, double lo, double hi) {
    if (ends_in(path, ".npy"))
        return write_npy(session, path, type, bytes);
    struct weft_grid grid = {.lo = (float)lo, .hi = (float)hi};
    if (!ends_in(path, ".png"))
        return session_fail(session, E_FILE, "%s: the name must end in .npy or .png", path);
    if (!image_grid_of(type, &grid))
        return session_fail(session, E_FILE, "%s: %s is no image; f32[B,C,H,W] with 1 or 3 channels is one",
                            path, type_text(session->types, type));
    grid.columns = columns ? (int)columns : (int)ceil(sqrt((double)grid.count));
    grid.rows = rows ? (int)rows : (int)((grid.count + grid.columns - 1) / grid.columns);
    grid.border = grid.count > 1 ? 2 : 0;
    struct weft_image image;
    struct weft_error error;
    bool ok = weft_image_grid(bytes, &grid, &image, &error);
    if (ok) {
        ok = weft_image_write(path, &image, &error);
        weft_image_destroy(&image);
    }
    return ok || session_fail(session, E_FILE, "%s", error.message);
}

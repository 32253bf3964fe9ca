#include "ir/tensor.h"

#include <assert.h>
#include <math.h>
#include <string.h>

struct tensor *tensor_create(struct arena *arena, const struct type *type) {
    struct tensor *tensor = ARENA_NEW(arena, struct tensor);
    tensor->type = type;
    tensor->i = ARENA_ARRAY(arena, int64_t, type_elements(type)); /* a zero has the same bits as both */
    return tensor;
}

struct tensor *tensor_clone(struct arena *arena, const struct tensor *t) {
    struct tensor *copy = tensor_create(arena, t->type);
    size_t size = sizeof(double) * (size_t)type_elements(t->type);
    if (dtype_is_float(t->type->dtype))
        memcpy(copy->f, t->f, size);
    else
        memcpy(copy->i, t->i, size);
    return copy;
}

/* The two formats of 16 bits: IEEE 754 binary16, and the upper half of binary32. */
struct half {
    int mantissa; /* stored bits */
    int bias;
    double greatest;
};
static const struct half f16 = {10, 15, 65504.0};
static const struct half bf16 = {7, 127, 0x1.FEp127};

static double half_round(struct half h, double x) {
    if (x == 0 || !isfinite(x))
        return x;
    int exponent = ilogb(x);
    if (exponent < 1 - h.bias) /* subnormal: the spacing stays that of the least normal number */
        exponent = 1 - h.bias;
    double y = scalbn(rint(scalbn(x, h.mantissa - exponent)), exponent - h.mantissa);
    return fabs(y) > h.greatest ? copysign(INFINITY, x) : y;
}

static uint16_t half_encode(struct half h, double x) {
    x = half_round(h, x);
    int sign = signbit(x) ? 0x8000 : 0, special = 2 * h.bias + 1;
    if (isnan(x))
        return (uint16_t)(sign | special << h.mantissa | 1 << (h.mantissa - 1));
    if (isinf(x))
        return (uint16_t)(sign | special << h.mantissa);
    x = fabs(x);
    int exponent = x == 0 ? 1 - h.bias : ilogb(x);
    if (exponent < 1 - h.bias)
        exponent = 1 - h.bias;
    int digits = (int)scalbn(x, h.mantissa - exponent); /* with the leading one, but for subnormals */
    return (uint16_t)(sign | ((exponent + h.bias - 1) * (1 << h.mantissa) + digits));
}

static double half_decode(struct half h, uint16_t bits) {
    int exponent = bits >> h.mantissa & (2 * h.bias + 1), digits = bits & ((1 << h.mantissa) - 1);
    double x;
    if (exponent == 2 * h.bias + 1)
        x = digits ? NAN : INFINITY;
    else if (exponent == 0)
        x = scalbn(digits, 1 - h.bias - h.mantissa);
    else
        x = scalbn(digits + (1 << h.mantissa), exponent - h.bias - h.mantissa);
    return bits & 0x8000 ? -x : x;
}

double float_round(enum dtype dtype, double x) {
    switch (dtype) {
    case DTYPE_f32:
        return (float)x;
    case DTYPE_f16:
        return half_round(f16, x);
    case DTYPE_bf16:
        return half_round(bf16, x);
    default:
        return x;
    }
}

double half_value(enum dtype dtype, uint16_t bits) {
    return half_decode(dtype == DTYPE_f16 ? f16 : bf16, bits);
}

uint16_t half_bits(enum dtype dtype, double x) {
    return half_encode(dtype == DTYPE_f16 ? f16 : bf16, x);
}

int64_t int_least(enum dtype dtype) {
    return dtype_class(dtype) != CLASS_SIGNED ? 0 : dtype == DTYPE_i64 ? INT64_MIN : -int_greatest(dtype) - 1;
}

int64_t int_greatest(enum dtype dtype) {
    if (dtype == DTYPE_bool)
        return 1;
    int bits = 8 * dtype_bytes(dtype) - (dtype_class(dtype) == CLASS_SIGNED);
    return bits == 63 ? INT64_MAX : ((int64_t)1 << bits) - 1;
}

int64_t int_wrap(enum dtype dtype, int64_t x) {
    switch (dtype) {
    case DTYPE_bool:
        return x != 0;
    case DTYPE_i32:
        return (int32_t)(uint32_t)(uint64_t)x;
    case DTYPE_u32:
        return (uint32_t)(uint64_t)x;
    case DTYPE_i8:
        return (int8_t)(uint8_t)(uint64_t)x;
    case DTYPE_u8:
        return (uint8_t)(uint64_t)x;
    default:
        return x;
    }
}

void tensor_round(struct tensor *tensor) {
    enum dtype dtype = tensor->type->dtype;
    int64_t n = type_elements(tensor->type);
    if (dtype_is_float(dtype))
        for (int64_t k = 0; k < n; k++)
            tensor->f[k] = float_round(dtype, tensor->f[k]);
    else
        for (int64_t k = 0; k < n; k++)
            tensor->i[k] = int_wrap(dtype, tensor->i[k]);
}

/* One case a dtype: the element at index k of an array in memory, and the field of the tensor that keeps it.
 */
#define AS_IS(x)    (x)
#define F16_GET(x)  half_decode(f16, (x))
#define F16_PUT(x)  half_encode(f16, (x))
#define BF16_GET(x) half_decode(bf16, (x))
#define BF16_PUT(x) half_encode(bf16, (x))
#define MEMORY_FORMATS(ROW)                                                                                  \
    ROW(f64, double, f, AS_IS, AS_IS)                                                                        \
    ROW(f32, float, f, AS_IS, AS_IS)                                                                         \
    ROW(f16, uint16_t, f, F16_GET, F16_PUT)                                                                  \
    ROW(bf16, uint16_t, f, BF16_GET, BF16_PUT)                                                               \
    ROW(i64, int64_t, i, AS_IS, AS_IS)                                                                       \
    ROW(i32, int32_t, i, AS_IS, AS_IS)                                                                       \
    ROW(u32, uint32_t, i, AS_IS, AS_IS)                                                                      \
    ROW(i8, int8_t, i, AS_IS, AS_IS)                                                                         \
    ROW(u8, uint8_t, i, AS_IS, AS_IS)                                                                        \
    ROW(bool, uint8_t, i, AS_IS, 0 !=)

void tensor_set_bytes(struct tensor *tensor, const void *bytes) {
    int64_t n = type_elements(tensor->type);
    switch (tensor->type->dtype) {
#define ROW(name, ctype, field, get, put)                                                                    \
    case DTYPE_##name:                                                                                       \
        for (int64_t k = 0; k < n; k++) {                                                                    \
            ctype element; /* bytes need not be aligned */                                                   \
            memcpy(&element, (const char *)bytes + (size_t)k * sizeof element, sizeof element);              \
            tensor->field[k] = get(element);                                                                 \
        }                                                                                                    \
        break;
        MEMORY_FORMATS(ROW)
#undef ROW
    case DTYPE_COUNT:
        break;
    }
}

struct tensor *tensor_from_bytes(struct arena *arena, const struct type *type, const void *bytes) {
    struct tensor *tensor = tensor_create(arena, type);
    tensor_set_bytes(tensor, bytes);
    return tensor;
}

void tensor_to_bytes(const struct tensor *tensor, void *bytes) {
    int64_t n = type_elements(tensor->type);
    switch (tensor->type->dtype) {
#define ROW(name, ctype, field, get, put)                                                                    \
    case DTYPE_##name:                                                                                       \
        for (int64_t k = 0; k < n; k++) {                                                                    \
            ctype element = (ctype)(put(tensor->field[k]));                                                  \
            memcpy((char *)bytes + (size_t)k * sizeof element, &element, sizeof element);                    \
        }                                                                                                    \
        break;
        MEMORY_FORMATS(ROW)
#undef ROW
    case DTYPE_COUNT:
        break;
    }
}

static double element(const struct tensor *t, int64_t k) {
    return dtype_is_float(t->type->dtype) ? t->f[k] : (double)t->i[k];
}

static bool same_shape(const struct type *a, const struct type *b) {
    if (a->rank != b->rank)
        return false;
    for (int axis = 0; axis < a->rank; axis++)
        if (type_size(a, axis) != type_size(b, axis))
            return false;
    return true;
}

static void print_place(struct strbuf *out, const struct type *type, int64_t k) {
    int64_t below = type_elements(type);
    for (int axis = 0; axis < type->rank; axis++) {
        below /= type_size(type, axis);
        strbuf_printf(out, "%s%lld", axis ? "," : "[", (long long)(k / below));
        k %= below;
    }
    if (type->rank)
        strbuf_putc(out, ']');
}

bool compare_tensors(const struct tensor *a, const struct tensor *b, double tolerance, struct strbuf *why) {
    if (!same_shape(a->type, b->type)) {
        if (why) {
            strbuf_puts(why, "shapes differ: ");
            type_print(why, a->type);
            strbuf_puts(why, " for ");
            type_print(why, b->type);
        }
        return false;
    }
    double greatest = 0, scale = 0;
    int64_t worst = -1, n = type_elements(a->type);
    for (int64_t k = 0; k < n; k++) {
        double x = element(a, k), y = element(b, k), distance = fabs(x - y);
        if (x == y || (isnan(x) && isnan(y)))
            distance = 0;
        if (isfinite(y) && fabs(y) > scale)
            scale = fabs(y);
        if (isnan(distance)) /* one of them, or infinities of both signs */
            distance = INFINITY;
        if (distance > greatest) {
            greatest = distance;
            worst = k;
        }
    }
    double ratio = scale > 0 ? greatest / scale : greatest;
    if (ratio <= tolerance)
        return true;
    if (why) {
        strbuf_printf(why, "max|a-b| / max|b| = %.3g > %g, a", ratio, tolerance);
        print_place(why, a->type, worst);
        strbuf_printf(why, " = %.9g for %.9g", element(a, worst), element(b, worst));
    }
    return false;
}

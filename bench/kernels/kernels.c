/* bench/kernels: the contraction engine's speed as a part of the FMA peak measured beside it. See README.md.
 */
#include "driver/peak.h"
#include "support_attend.h"
#include "support_kernel.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 11 };

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values, int count) {
    qsort(values, (size_t)count, sizeof(*values), compare);
    return values[count / 2];
}

/* Runs `call` as often as takes some milliseconds, ROUNDS times, each between two measurements of the peak.
 * The result is the median part of the peak in percent; a round whose two peaks differ by more than 5 % is
 * repeated. */
struct measured {
    double percent, gflops, peak;
    double compile; /* seconds, where it was compiled for this */
};
static struct measured measure(void (*call)(void *), void *data, double flops) {
    double percent[ROUNDS], gflops[ROUNDS], peaks[ROUNDS];
    call(data);
    double start = seconds_now();
    call(data);
    double once = seconds_now() - start;
    int calls = (int)(4e-3 / (once + 1e-9)) + 1;
    int round = 0;
    for (int tries = 0; round < ROUNDS && tries < 8 * ROUNDS; tries++) {
        double before = peak_gflops();
        start = seconds_now();
        for (int i = 0; i < calls; i++)
            call(data);
        double seconds = (seconds_now() - start) / calls;
        double after = peak_gflops(), peak = before > after ? before : after;
        if (before < 0.95 * after || after < 0.95 * before)
            continue;
        gflops[round] = flops / seconds * 1e-9;
        percent[round] = 100 * gflops[round] / peak;
        peaks[round++] = peak;
    }
    if (!round)
        return (struct measured){0};
    return (struct measured){median(percent, round), median(gflops, round), median(peaks, round), 0};
}

struct timed {
    struct kernel_run *run;
    int first_phase;
};

static void call_kernel(void *data) {
    struct timed *t = data;
    kernel_call(t->run, t->first_phase);
}

/* ---- OpenBLAS ---- */

typedef void sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda,
                   const float *b, int ldb, float beta, float *c, int ldc);

struct blas {
    sgemm *multiply;
    const char *core;
};

/* The library picks its kernels when it is loaded; on what it does not know it falls back far (KERNELS.md 5).
 */
static struct blas load_blas(void) {
    struct blas blas = {0};
    void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return blas;
    void (*set_threads)(int);
    char *(*core)(void);
    *(void **)&blas.multiply = dlsym(library, "cblas_sgemm");
    *(void **)&set_threads = dlsym(library, "openblas_set_num_threads");
    *(void **)&core = dlsym(library, "openblas_get_corename");
    if (set_threads)
        set_threads(1);
    blas.core = core ? core() : "?";
    return blas;
}

struct product {
    int m, n, k, fixed; /* fixed: KERNELS.md's column "fixed 6x64", 0: none */
    bool linear;        /* B is [n, k], as the weights of a linear layer are */
};

struct blas_call {
    const struct blas *blas;
    const struct product *p;
    void **data;
};

static void call_blas(void *data) {
    struct blas_call *c = data;
    const struct product *p = c->p;
    c->blas->multiply(101, 111, p->linear ? 112 : 111, p->m, p->n, p->k, 1, c->data[0], p->k, c->data[1],
                      p->linear ? p->k : p->n, 0, c->data[2], p->n);
}

/* ---- tables ---- */

static const struct product products[] = {
    {64, 64, 64, 91, false},     {256, 256, 256, 89, false},   {1024, 1024, 1024, 84, false},
    {197, 3072, 768, 79, false}, {320, 4096, 2880, 75, false}, {64, 3136, 576, 80, false},
    {512, 49, 4608, 63, false},  {4096, 40, 4096, 56, false},  {1, 400, 784, 0, false},
    {16, 400, 784, 84, false},   {1, 400, 784, 0, true},       {5, 1000, 512, 0, true},
    {16, 400, 784, 0, true},     {16, 784, 400, 0, true},      {197, 3072, 768, 0, true},
};
enum { PRODUCTS = sizeof(products) / sizeof(*products) };

/* How a kernel is lowered; and whether its first phase, which is about the weights alone, is timed. */
enum mode { PLAIN, PACKED, WINOGRAD, WINOGRAD_PACKED, MODES };

static bool lower_winograd(struct lowering *l, const struct op *kernel, struct loop_kernel *out) {
    l->winograd = true;
    return lower_contract(l, kernel, out);
}

static struct kernel_run *compile_with(const char *text, bool (*lower)(struct lowering *, const struct op *,
                                                                       struct loop_kernel *)) {
    const char *why = "";
    struct kernel_run *run = kernel_compile(text, "native", lower, &why);
    if (!run) {
        fprintf(stderr, "%s\n%s\n", text, why);
        exit(1);
    }
    kernel_allocate(run, 1);
    kernel_random(run, 1);
    kernel_call(run, 0);
    return run;
}

static struct kernel_run *compile(const char *text, enum mode mode) {
    bool (*const lower[MODES])(struct lowering *, const struct op *, struct loop_kernel *) = {
        lower_contract, lower_contract_packed, lower_winograd, lower_winograd};
    return compile_with(text, lower[mode]);
}

/* What operands are in memory, and what they are cast to as they are read. */
struct storage {
    const char *name, *memory, *read;
};
static const struct storage storages[] = {
    {"f32", "f32", "f32"}, {"bf16", "bf16", "bf16"}, {"f16", "f16", "f16"}, {"cast", "f32", "bf16"}};

static void product_text(char *text, const struct product *p, const struct storage *s) {
    char a[64], b[64], read_a[64], read_b[64], c[64];
    sprintf(a, "%s[%d,%d]", s->memory, p->m, p->k);
    int rows = p->linear ? p->n : p->k, columns = p->linear ? p->k : p->n;
    sprintf(b, "%s[%d,%d]", s->memory, rows, columns);
    sprintf(read_a, "%s[%d,%d]", s->read, p->m, p->k);
    sprintf(read_b, "%s[%d,%d]", s->read, rows, columns);
    sprintf(c, "%s[%d,%d]", s->read, p->m, p->n);
    sprintf(text,
            "graph t\nfn f() {\n  %%0 = input {name = \"a\"} : %s\n  %%1 = input {name = \"b\"} : %s\n"
            "  %%2 = kernel(%%0, %%1) {kind = \"contract\", name = \"k\"} : %s region(%%3: %s, %%4: %s) {\n"
            "    %%5 = cast(%%3) : %s\n    %%6 = cast(%%4) : %s\n"
            "    %%7 = dot(%%5, %%6) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = "
            "[%d]} : %s\n"
            "    yield(%%7)\n  }\n  yield(%%2)\n}\n",
            a, b, c, a, b, read_a, read_b, p->linear, c);
}

static struct measured time_kernel(const char *text, enum mode mode, double flops, char *why) {
    struct timed t = {compile(text, mode), mode == PACKED || mode == WINOGRAD_PACKED};
    struct measured m = measure(call_kernel, &t, flops);
    m.compile = t.run->lower_seconds + t.run->emit_seconds;
    strcpy(why, t.run->why);
    why[strcspn(why, "\n")] = 0;
    kernel_free(t.run);
    return m;
}

/* `only`: rows whose name begins so. */
static void run_products(const struct blas *blas, const struct storage *storage, const char *only) {
    double sum = 0, worst = 0;
    int rows = 0;
    printf("%-18s %7s %7s %6s %9s   peak\n", "M x N x K", "packed", "plain", "fixed", "OpenBLAS");
    for (int i = 0; i < PRODUCTS; i++) {
        const struct product *p = &products[i];
        char text[2048], why[256], packed_why[256], name[64];
        sprintf(name, "%dx%dx%d%s", p->m, p->n, p->k, p->linear ? " T" : "");
        if (strncmp(name, only, strlen(only)) != 0)
            continue;
        double flops = 2.0 * p->m * p->n * p->k;
        product_text(text, p, storage);
        struct measured packed = time_kernel(text, PACKED, flops, packed_why),
                        plain = time_kernel(text, PLAIN, flops, why), other = {0};
        if (blas->multiply && strcmp(storage->name, "f32") == 0) {
            struct timed t = {compile(text, PLAIN), 0};
            struct blas_call call = {blas, p, t.run->data};
            other = measure(call_blas, &call, flops);
            kernel_free(t.run);
        }
        printf("%-18s %6.1f%% %6.1f%% %5d%% %8.1f%%   %.0f   %s\n", name, packed.percent, plain.percent,
               p->fixed, other.percent, packed.peak, why);
        fflush(stdout);
        if (!p->fixed)
            continue;
        sum += packed.percent - p->fixed;
        worst = packed.percent - p->fixed < worst ? packed.percent - p->fixed : worst;
        rows++;
    }
    if (rows)
        printf("against the column \"fixed\": mean %+.1f points, worst %+.1f\n", sum / rows, worst);
}

/* ---- convolutions ---- */

struct layer {
    const char *name;
    int batch, in, out, image, window, stride, pad;
};

static const struct layer layers[] = {
    {"LeNet conv1", 64, 1, 6, 28, 5, 1, 2},  {"LeNet conv2", 64, 6, 16, 14, 5, 1, 0},
    {"U-Net first", 64, 1, 32, 28, 3, 1, 1}, {"U-Net 28", 64, 32, 32, 28, 3, 1, 1},
    {"U-Net down", 64, 32, 32, 28, 3, 2, 1}, {"U-Net 14", 64, 64, 64, 14, 3, 1, 1},
    {"U-Net 7", 64, 128, 128, 7, 3, 1, 1},   {"U-Net 1x1", 64, 64, 64, 14, 1, 1, 0},
    {"U-Net last", 64, 32, 1, 28, 3, 1, 1},  {"CIFAR 32", 16, 128, 128, 32, 3, 1, 1},
    {"CIFAR 16", 16, 256, 256, 16, 3, 1, 1}, {"CIFAR 16 up", 16, 512, 256, 16, 3, 1, 1},
    {"CIFAR 8", 16, 256, 256, 8, 3, 1, 1},   {"CIFAR 4", 16, 256, 256, 4, 3, 1, 1},
    {"DCGAN 32", 128, 3, 64, 32, 4, 2, 1},   {"DCGAN 16", 128, 64, 128, 16, 4, 2, 1},
    {"DCGAN 8", 128, 128, 256, 8, 4, 2, 1},
};

enum direction { FORWARD, BY_INPUT, BY_WEIGHTS, DIRECTIONS };

static int out_size(const struct layer *l) {
    return (l->image + 2 * l->pad - l->window) / l->stride + 1;
}

static void attributes(char *text, int stride, int low, int high, int spread) {
    sprintf(text,
            "{stride = [%d, %d], pad_lo = [%d, %d], pad_hi = [%d, %d], dilation = [1, 1], lhs_dilation = "
            "[%d, %d], groups = 1}",
            stride, stride, low, low, high, high, spread, spread);
}

/* By the input: the gradient is a convolution with the weights flipped and their channels exchanged, the
 * stride between the elements of dy. */
static void layer_text(char *text, const struct layer *l, enum direction direction) {
    int out = out_size(l), low = l->window - 1 - l->pad;
    int high = l->image - ((out - 1) * l->stride + 1 + low - l->window + 1);
    char x[64], y[64], w[64], first[64], second[64], result[64], attr[256], body[1024];
    sprintf(x, "f32[%d,%d,%d,%d]", l->batch, l->in, l->image, l->image);
    sprintf(y, "f32[%d,%d,%d,%d]", l->batch, l->out, out, out);
    sprintf(w, "f32[%d,%d,%d,%d]", l->out, l->in, l->window, l->window);
    strcpy(first, direction == BY_INPUT ? y : x);
    strcpy(second, direction == BY_WEIGHTS ? y : w);
    strcpy(result, direction == FORWARD ? y : direction == BY_INPUT ? x : w);
    if (direction == BY_INPUT) {
        attributes(attr, 1, low, high, l->stride);
        sprintf(body,
                "    %%5 = transpose(%%4) {perm = [1, 0, 2, 3]} : f32[%d,%d,%d,%d]\n"
                "    %%6 = slice(%%5) {start = [0, 0, %d, %d], step = [1, 1, -1, -1]} : f32[%d,%d,%d,%d]\n"
                "    %%7 = conv(%%3, %%6) %s : %s\n",
                l->in, l->out, l->window, l->window, l->window - 1, l->window - 1, l->in, l->out, l->window,
                l->window, attr, result);
    } else {
        attributes(attr, l->stride, l->pad, l->pad, 1);
        sprintf(body, "    %%7 = %s(%%3, %%4) %s : %s\n", direction == FORWARD ? "conv" : "conv_wgrad", attr,
                result);
    }
    sprintf(text,
            "graph t\nfn f() {\n  %%0 = input {name = \"a\"} : %s\n  %%1 = input {name = \"b\"} : %s\n"
            "  %%2 = kernel(%%0, %%1) {kind = \"contract\", name = \"k\"} : %s region(%%3: %s, %%4: %s) "
            "{\n%s    yield(%%7)\n  }\n"
            "  yield(%%2)\n}\n",
            first, second, result, first, second, body);
}

/* Those whose names begin so. */
static void run_layers(const char *name) {
    printf("\n%-14s %-26s %8s %8s %8s   peak\n", "convolution", "", "forward", "by input", "by weights");
    for (size_t i = 0; i < sizeof(layers) / sizeof(*layers); i++) {
        const struct layer *l = &layers[i];
        if (strncmp(l->name, name, strlen(name)) != 0)
            continue;
        int out = out_size(l);
        double flops = 2.0 * l->batch * l->in * l->out * l->window * l->window * out * out, peak = 0,
               compile = 0;
        char size[64];
        sprintf(size, "%d x %d->%d, %d^2, %dx%d/%d", l->batch, l->in, l->out, l->image, l->window, l->window,
                l->stride);
        printf("%-14s %-26s", l->name, size);
        for (enum direction d = FORWARD; d < DIRECTIONS; d++) {
            char text[4096], why[512];
            layer_text(text, l, d);
            struct measured m = time_kernel(text, PLAIN, flops, why);
            printf(" %7.1f%%", m.percent);
            peak = m.peak;
            compile += m.compile;
            fflush(stdout);
        }
        printf("   %.0f  compiled in %.0f ms\n", peak, 1e3 * compile);
    }
}

/* Convolutions whose stride lies between the elements of the image, as generators have them; the weights lie
 * [output channel][input channel][tap]. The layer is the convolution that they are the transpose of: image,
 * stride and pad are the result's. */
static const struct layer transposed[] = {
    {"DCGAN 1 to 4", 1, 512, 100, 4, 4, 1, 0},   {"DCGAN 4 to 8", 1, 256, 512, 8, 4, 2, 1},
    {"DCGAN 8 to 16", 1, 128, 256, 16, 4, 2, 1}, {"DCGAN 16 to 32", 1, 64, 128, 32, 4, 2, 1},
    {"DCGAN 32 to 64", 1, 3, 64, 64, 4, 2, 1},   {"CycleGAN 64 to 128", 1, 128, 256, 128, 3, 2, 1},
    {"3x3, 7 to 14", 1, 64, 128, 14, 3, 2, 1},
};

static void transposed_text(char *text, const struct layer *l, int batch) {
    int out = out_size(l), low = l->window - 1 - l->pad;
    int high = l->image - ((out - 1) * l->stride + 1 + low - l->window + 1);
    char x[64], w[64], y[64], attr[256];
    sprintf(x, "f32[%d,%d,%d,%d]", batch, l->out, out, out);
    sprintf(w, "f32[%d,%d,%d,%d]", l->in, l->out, l->window, l->window);
    sprintf(y, "f32[%d,%d,%d,%d]", batch, l->in, l->image, l->image);
    attributes(attr, 1, low, high, l->stride);
    sprintf(text,
            "graph t\nfn f() {\n  %%0 = input {name = \"a\"} : %s\n  %%1 = input {name = \"b\"} : %s\n"
            "  %%2 = kernel(%%0, %%1) {kind = \"contract\", name = \"k\"} : %s region(%%3: %s, %%4: %s) {\n"
            "    %%7 = conv(%%3, %%4) %s : %s\n    yield(%%7)\n  }\n  yield(%%2)\n}\n",
            x, w, y, x, w, attr, y);
}

static void run_transposed(void) {
    static const int batches[] = {1, 4, 16};
    printf("\n%-20s %-22s %8s %8s %8s   peak\n", "transposed", "", "1 image", "4", "16");
    for (size_t i = 0; i < sizeof(transposed) / sizeof(*transposed); i++) {
        const struct layer *l = &transposed[i];
        int out = out_size(l);
        char size[64], text[4096], why[512];
        sprintf(size, "%d->%d, %d^2, %dx%d/%d", l->out, l->in, out, l->window, l->window, l->stride);
        printf("%-20s %-22s", l->name, size);
        double peak = 0;
        for (int b = 0; b < 3; b++) {
            double flops = 2.0 * batches[b] * l->in * l->out * l->window * l->window * out * out;
            transposed_text(text, l, batches[b]);
            struct measured m = time_kernel(text, PLAIN, flops, why);
            printf(" %7.1f%%", m.percent);
            peak = m.peak;
            fflush(stdout);
        }
        printf("   %.0f\n", peak);
    }
}

/* ---- attention ---- */

static const struct {
    const char *name;
    struct attention_case c;
} attentions[] = {
    {"U-Net, 64^2 pixels", {1, 8, 4096, 4096, 40, 40, TOKENS, NO_MASK, NO_BIAS, NULL, NULL}},
    {"U-Net, 64^2, text", {1, 8, 4096, 77, 40, 40, TOKENS, NO_MASK, NO_BIAS, NULL, NULL}},
    {"U-Net, 32^2 pixels", {1, 8, 1024, 1024, 80, 80, TOKENS, NO_MASK, NO_BIAS, NULL, NULL}},
    {"U-Net, 16^2 pixels", {1, 8, 256, 256, 160, 160, TOKENS, NO_MASK, NO_BIAS, NULL, NULL}},
    {"one head of 512", {1, 1, 1024, 1024, 512, 512, CHANNELS, NO_MASK, NO_BIAS, NULL, NULL}},
    {"ViT-B/16", {1, 12, 197, 197, 64, 64, TOKENS, NO_MASK, NO_BIAS, NULL, NULL}},
    {"causal", {1, 8, 1024, 1024, 64, 64, TOKENS, CAUSAL, NO_BIAS, NULL, NULL}},
    {"with a bias", {4, 4, 256, 256, 64, 64, TOKENS, NO_MASK, BIAS_OF_HEADS, NULL, NULL}},
};

enum { MOST_KERNELS = 12 };

struct together {
    struct kernel_run *runs[MOST_KERNELS];
    int count;
};

static void call_together(void *data) {
    struct together *t = data;
    for (int i = 0; i < t->count; i++)
        kernel_call(t->runs[i], 0);
}

/* Kernels from number `first` on, one after the other: `count` of attention, or without the pass `attend` all
 * that there are. */
static struct measured time_together(const char *text, bool with_attend, int first, int count, double flops) {
    struct arena *arena = arena_create();
    struct together t = {.count = 0};
    struct measured m = {0};
    const char *kernel;
    while (t.count < count && (kernel = attention_kernel(arena, text, first + t.count, with_attend)))
        t.runs[t.count++] = compile_with(kernel, lower_kernel);
    if (t.count)
        m = measure(call_together, &t, flops);
    for (int i = 0; i < t.count; i++) {
        m.compile += t.runs[i]->lower_seconds + t.runs[i]->emit_seconds;
        kernel_free(t.runs[i]);
    }
    arena_destroy(arena);
    return m;
}

/* Forward: 4 N M d operations a head; backward, where scores are computed again, 10. `apart`: the forward
 * pass without the pass `attend`, as contractions with a softmax between them. */
static void run_attention(void) {
    printf("\n%-20s %-28s %8s %8s %8s   peak\n", "attention", "heads x queries x keys, d", "apart", "forward",
           "backward");
    for (size_t i = 0; i < sizeof(attentions) / sizeof(*attentions); i++) {
        const struct attention_case *c = &attentions[i].c;
        struct arena *arena = arena_create();
        const char *text = attention_text(arena, c, FORWARD_PASS), *both = attention_text(arena, c, GRADIENT);
        double products = (double)c->batch * c->heads * c->queries * c->keys * (c->depth + c->width);
        char size[64];
        sprintf(size, "%d x %d x %d, %d", c->batch * c->heads, c->queries, c->keys, c->depth);
        printf("%-20s %-28s", attentions[i].name, size);
        struct measured apart = time_together(text, false, 0, MOST_KERNELS, products * 2),
                        forward = time_together(text, true, 0, 1, products * 2),
                        backward = time_together(both, true, 1, 1, products * 5);
        printf(" %7.1f%% %7.1f%% %7.1f%%   %.0f  compiled in %.0f, %.0f and %.0f ms\n", apart.percent,
               forward.percent, backward.percent, forward.peak, 1e3 * apart.compile, 1e3 * forward.compile,
               1e3 * backward.compile);
        fflush(stdout);
        arena_destroy(arena);
    }
}

/* ---- what memory alone limits ---- */

/* A chain of operators or a norm: $ is the shape of what it reads and writes, @ that shape without its last
 * axis. `arrays` of that size pass (a row that is read twice is in cache). */
struct stream {
    const char *name, *shape, *rows;
    double elements, arrays;
    const char *inputs, *body;
};

#define NUMBER(v, x)     "  %" #v " = const {data = " x "} : f32[]\n"
#define OP1(v, op, a)    "  %" #v " = " op "(%" #a ") : f32[$]\n"
#define OP2(v, op, a, b) "  %" #v " = " op "(%" #a ", %" #b ") : f32[$]\n"
#define X                "  %0 = input {name = \"x\"} : f32[$]\n"
/* The library's silu of %70 to %89. */
#define SIGMOID_PARTS                                                                                        \
    NUMBER(71, "-40")                                                                                        \
    "  %72 = lt(%70, %71) : bool[$]\n" NUMBER(73, "1")
#define SILU                                                                                                 \
    SIGMOID_PARTS NUMBER(74, "37") NUMBER(75, "8.5330476e-17") NUMBER(76, "-87") NUMBER(77, "-0") OP2(       \
        78, "add", 70, 74) OP1(79, "neg", 70) "  %80 = select(%72, %78, %79) : f32[$]\n" OP1(81, "exp", 80)  \
        OP2(82, "mul", 75, 81) OP2(83, "add", 73, 81)                                                        \
            OP2(84, "div", 73, 83) "  %85 = select(%72, %82, %84) : f32[$]\n" OP2(                           \
                86, "mul", 70, 85) "  %87 = lt(%70, %76) : bool[$]\n" OP2(88, "mul", 70, 75)                 \
                OP2(90, "mul", 88, 81) OP2(91, "sub", 86, 90)                                                \
                    OP1(92, "neg", 91) "  %93 = select(%87, %92, %77) : f32[$]\n" OP2(89, "add", 86, 93)
/* x less its mean over its rows: %9; over its deviation: %19. */
#define NORM(count)                                                                                          \
    "  %3 = reduce(%0) {axes = [1], kind = \"sum\"} : f32[@]\n" NUMBER(                                      \
        4, count) "  %5 = mul(%3, %4) : f32[@]\n  %6 = reshape(%5) : f32[@,1]\n" OP2(9, "sub", 0, 6)         \
        OP2(10, "mul", 9,                                                                                    \
            9) "  %11 = reduce(%10) {axes = [1], kind = \"sum\"} : f32[@]\n  %12 = mul(%11, %4) : "          \
               "f32[@]\n" NUMBER(13, "0.00001") "  %14 = add(%12, %13) : f32[@]\n  %15 = sqrt(%14) : "       \
                                                "f32[@]\n" NUMBER(                                           \
                                                    16, "1") "  %17 = div(%16, %15) : f32[@]\n  %18 "        \
                                                             "= reshape(%17) : f32[@,1]\n" OP2(19, "mul", 9, \
                                                                                               18)
#define YIELD(v) "  yield(%" #v ")\n"

static const struct stream streams[] = {
    {"residual add, relu", "4096,3072", "", 4096 * 3072, 3, X "  %1 = input {name = \"y\"} : f32[$]\n",
     OP2(2, "add", 0, 1)
         NUMBER(3, "0") "  %4 = le(%2, %3) : bool[$]\n  %5 = select(%4, %3, %2) : f32[$]\n" YIELD(5)},
    {"scale, shift, clamp", "4096,3072", "", 4096 * 3072, 2, X,
     NUMBER(1, "0.5") NUMBER(2, "-1") NUMBER(3, "1") OP2(4, "mul", 0, 1) OP2(5, "add", 4, 1)
         OP2(6, "max", 5, 2) OP2(7, "min", 6, 3) YIELD(7)},
    {"batch norm, relu", "32,256,32768", "32,256", 256.0 * 32768, 2,
     "  %0 = input {name = \"x\"} : f32[256,32768]\n  %1 = input {name = \"m\"} : f32[256,1]\n  %2 = input "
     "{name = \"s\"} : "
     "f32[256,1]\n  %3 = input {name = \"b\"} : f32[256,1]\n",
     "  %4 = sub(%0, %1) : f32[256,32768]\n  %5 = mul(%4, %2) : f32[256,32768]\n  %6 = add(%5, %3) : "
     "f32[256,32768]\n" NUMBER(
         7,
         "0") "  %8 = le(%6, %7) : bool[256,32768]\n  %9 = select(%8, %7, %6) : f32[256,32768]\n" YIELD(9)},
    {"gelu", "4096,3072", "", 4096 * 3072, 2, X, OP1(1, "gelu", 0) YIELD(1)},
    {"silu", "4096,3072", "", 4096 * 3072, 2, "  %70 = input {name = \"x\"} : f32[$]\n", SILU YIELD(89)},
    {"tanh", "4096,3072", "", 4096 * 3072, 2, X, OP1(1, "tanh", 0) YIELD(1)},
    {"softmax", "16384,768", "16384", 16384 * 768, 2, X,
     "  %1 = reduce(%0) {axes = [1], kind = \"max\"} : f32[@]\n  %2 = reshape(%1) : f32[@,1]\n" OP2(
         3, "sub", 0, 2) OP1(4, "exp", 3) "  %5 = reduce(%4) {axes = [1], kind = \"sum\"} : f32[@]\n  %6 = "
                                          "reshape(%5) : f32[@,1]\n" OP2(7, "div", 4, 6) YIELD(7)},
    {"layer norm", "16384,768", "16384", 16384 * 768, 2,
     X "  %1 = input {name = \"w\"} : f32[768]\n  %2 = input {name = \"b\"} : f32[768]\n",
     NORM("0.0013020834") OP2(20, "mul", 19, 1) OP2(21, "add", 20, 2) YIELD(21)},
    {"group norm, silu", "128,65536", "128", 128 * 65536, 2, X,
     NORM("0.0000152587890625") NUMBER(69, "1") OP2(70, "mul", 19, 69) SILU YIELD(89)},
    {"max pool 3x3/2", "64,512,512", "", 64.0 * 512 * 512, 1.25,
     "  %0 = input {name = \"x\"} : f32[1,64,512,512]\n",
     "  %1 = pad(%0) {lo = [0, 0, 1, 1], hi = [0, 0, 1, 1], interior = [0, 0, 0, 0], value = -inf} : "
     "f32[1,64,514,514]\n"
     "  %2 = windows(%1) {step = [2, 2], window = [3, 3], dilation = [1, 1]} : f32[1,64,256,256,3,3]\n"
     "  %3 = reduce(%2) {axes = [4, 5], kind = \"max\"} : f32[1,64,256,256]\n" YIELD(3)},
    {"average pool 2x2/2", "64,512,512", "", 64.0 * 512 * 512, 1.25,
     "  %0 = input {name = \"x\"} : f32[1,64,512,512]\n",
     "  %2 = windows(%0) {step = [2, 2], window = [2, 2], dilation = [1, 1]} : f32[1,64,256,256,2,2]\n"
     "  %3 = reduce(%2) {axes = [4, 5], kind = \"sum\"} : f32[1,64,256,256]\n" NUMBER(
         4, "0.25") "  %5 = mul(%3, %4) : f32[1,64,256,256]\n" YIELD(5)},
    {"mean of pixels", "64,262144", "64", 64.0 * 262144, 1, X,
     "  %1 = reduce(%0) {axes = [1], kind = \"sum\"} : f32[@]\n" YIELD(1)},
};

static void put_shapes(char *to, const char *text, const struct stream *s) {
    for (; *text; text++)
        if (*text == '$' || *text == '@')
            to += sprintf(to, "%s", *text == '$' ? s->shape : s->rows);
        else
            *to++ = *text;
    *to = 0;
}

enum { TRIAD = 1 << 24 };
typedef float vector8 __attribute__((vector_size(32)));

/* STREAM's triad (McCalpin 1995), with stores that go through the caches: bytes a second. */
static double triad(float *a, const float *b, const float *c) {
    double start = seconds_now();
    for (size_t i = 0; i < TRIAD; i += 8)
        *(vector8 *)(a + i) = *(const vector8 *)(b + i) + 3.0f * *(const vector8 *)(c + i);
    return 3.0 * TRIAD * sizeof(float) / (seconds_now() - start);
}

/* Median of ROUNDS, each between two triads. */
static void run_stream(const struct stream *s, float *const arrays[3]) {
    struct arena *arena = arena_create();
    char text[16384], body[12288], inputs[1024];
    put_shapes(inputs, s->inputs, s);
    put_shapes(body, s->body, s);
    sprintf(text, "graph t\nfn f() {\n%s%s}\n", inputs, body);
    struct together t = {.count = 0};
    const char *kernel;
    while (t.count < MOST_KERNELS && (kernel = attention_kernel(arena, text, t.count, false)))
        t.runs[t.count++] = compile_with(kernel, lower_kernel);
    double percent[ROUNDS], rates[ROUNDS], bytes = s->arrays * s->elements * sizeof(float);
    call_together(&t);
    for (int i = 0; i < ROUNDS; i++) {
        double before = triad(arrays[0], arrays[1], arrays[2]), start = seconds_now();
        call_together(&t);
        rates[i] = bytes / (seconds_now() - start);
        double after = triad(arrays[0], arrays[1], arrays[2]);
        percent[i] = 200 * rates[i] / (before + after);
    }
    printf("%-20s %2d %7.1f%% %7.1f\n", s->name, t.count, median(percent, ROUNDS),
           1e-9 * median(rates, ROUNDS));
    fflush(stdout);
    for (int i = 0; i < t.count; i++)
        kernel_free(t.runs[i]);
    arena_destroy(arena);
}

static void run_streams(const char *only) {
    float *arrays[3];
    for (int i = 0; i < 3; i++) {
        arrays[i] = aligned_alloc(64, TRIAD * sizeof(float));
        for (size_t k = 0; arrays[i] && k < TRIAD; k++)
            arrays[i][k] = (float)(k % 7);
    }
    printf("\n%-20s %2s %8s %7s\n", "out of cache", "kernels", "of triad", "GB/s");
    for (size_t i = 0; i < sizeof(streams) / sizeof(*streams); i++)
        if (strncmp(streams[i].name, only, strlen(only)) == 0)
            run_stream(&streams[i], arrays);
    for (int i = 0; i < 3; i++)
        free(arrays[i]);
}

/* 3x3 windows by their definition and by minimal filtering, in percent of the definition's operations. */
static const struct layer squares[] = {
    {"ResNet 56", 1, 64, 64, 56, 3, 1, 1},     {"ResNet 28", 1, 128, 128, 28, 3, 1, 1},
    {"ResNet 14", 1, 256, 256, 14, 3, 1, 1},   {"ResNet 7", 1, 512, 512, 7, 3, 1, 1},
    {"UNet 64", 1, 320, 320, 64, 3, 1, 1},     {"UNet 32", 1, 640, 640, 32, 3, 1, 1},
    {"decoder 64", 1, 512, 512, 64, 3, 1, 1},  {"decoder 256", 1, 128, 128, 256, 3, 1, 1},
    {"CycleGAN 64", 1, 256, 256, 64, 3, 1, 1}, {"DDPM 32", 16, 128, 128, 32, 3, 1, 1},
    {"U-Net 7", 64, 128, 128, 7, 3, 1, 1},     {"U-Net 28", 64, 32, 32, 28, 3, 1, 1},
};

static void run_winograd(void) {
    printf("\n%-14s %-28s %8s %9s %12s   peak\n", "3x3", "", "direct", "winograd", "weights done");
    for (size_t i = 0; i < sizeof(squares) / sizeof(*squares); i++) {
        const struct layer *l = &squares[i];
        char size[64], text[4096], why[512];
        sprintf(size, "%d x %d->%d, %d^2", l->batch, l->in, l->out, l->image);
        printf("%-14s %-28s", l->name, size);
        layer_text(text, l, FORWARD);
        double flops = 2.0 * l->batch * l->in * l->out * 9 * l->image * l->image, peak = 0;
        static const enum mode modes[] = {PLAIN, WINOGRAD, WINOGRAD_PACKED};
        for (int m = 0; m < 3; m++) {
            struct measured r = time_kernel(text, modes[m], flops, why);
            printf(" %8.1f%%", r.percent);
            peak = r.peak;
            fflush(stdout);
        }
        printf("   %.0f  %s\n", peak, why);
    }
}

int main(int count, char **arguments) {
    struct blas blas = load_blas();
    printf("OpenBLAS kernels: %s\n", blas.multiply ? blas.core : "not found");
    const struct storage *storage = &storages[0];
    for (size_t i = 0; count > 2 && i < sizeof(storages) / sizeof(*storages); i++)
        if (strcmp(arguments[2], storages[i].name) == 0)
            storage = &storages[i];
    const char *only = count < 2 ? NULL : arguments[1];
    if (!only || strcmp(only, "dot") == 0)
        run_products(&blas, storage, count > 3 ? arguments[3] : "");
    if (!only || strcmp(only, "conv") == 0)
        run_layers(only && count > 2 ? arguments[2] : "");
    if (!only || strcmp(only, "transposed") == 0)
        run_transposed();
    if (!only || strcmp(only, "winograd") == 0)
        run_winograd();
    if (!only || strcmp(only, "attention") == 0)
        run_attention();
    if (!only || strcmp(only, "stream") == 0)
        run_streams(count > 2 ? arguments[2] : "");
    return 0;
}

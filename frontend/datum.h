/* frontend/datum.h: what an expression may be while a model is elaborated. A datum is small and passed by
 * value; what it points to lives in the elaborator's arena and is never changed once it is shared (lists are
 * copied, not grown). */
#ifndef FRONTEND_DATUM_H
#define FRONTEND_DATUM_H

#include "base/strbuf.h"
#include "frontend/ast.h"
#include "ir/graph.h"

struct builtin;
struct closure;
struct instance;
struct list;
struct module;
struct range;
struct scope;
struct view;
struct weight;

enum datum_kind {
    DATUM_ERROR, /* a mistake that was reported: everything made from it is one again, silently */
    DATUM_NONE,
    DATUM_BOOL,      /* truth */
    DATUM_UNDECIDED, /* a comparison of sizes that holds for some entries' inputs and not for others: text */
    DATUM_INT,       /* size: a number, or a polynomial in dimension variables */
    DATUM_FLOAT,     /* number */
    DATUM_STRING,    /* text, interned */
    DATUM_DTYPE,     /* dtype */
    DATUM_LIST,      /* list */
    DATUM_TUPLE,     /* list, whose fields may have names */
    DATUM_RANGE,     /* range: a..b, whose ends may be values of run time */
    DATUM_TENSOR,    /* tensor, and the weight whose value it is, if it is one just read */
    DATUM_CONSTANT, /* constant: a tensor known at elaboration, in f64 or integers; takes the dtype of what it
                       meets */
    DATUM_WEIGHT,   /* weight: how a param or buffer stands in its instance's scope; reading the name gives a
                       tensor */
    DATUM_CLOSURE,  /* closure: fn, lambda, or a call with a hole `_` */
    DATUM_BUILTIN,  /* builtin */
    DATUM_MODULE,   /* module: called, it makes an instance */
    DATUM_INSTANCE, /* instance, seen through view (frozen, shadow) or NULL */
    DATUM_NAMESPACE /* scope: a used file */
};

struct datum {
    enum datum_kind kind;
    union {
        bool truth;
        const struct dim *size;
        double number;
        const char *text;
        enum dtype dtype;
        const struct list *list;
        const struct range *range;
        struct value *tensor;
        const struct data *constant;
        const struct closure *closure;
        const struct builtin *builtin;
        const struct module *module;
        struct instance *instance;
        struct scope *scope;
    };
    union {
        struct weight *weight;   /* TENSOR, WEIGHT */
        const struct view *view; /* INSTANCE */
    };
};

struct list {
    int count;
    struct datum *at;
    const char **names;         /* of a tuple: NULL, or a name or NULL for each field */
    struct list_buffer *buffer; /* where `at` points into, with room behind; or NULL */
    struct span made;           /* of a tuple that the text writes: where; else unknown */
};
/* `out += [x]` in a loop must not copy the whole list each time: lists that grew from one another share a
 * buffer, of which each sees its first elements. */
struct list_buffer {
    struct datum *at;
    int used, capacity;
};

struct range {
    struct datum lo, hi; /* INT or a scalar TENSOR; hi is not in it */
    bool reversed;
};

enum closure_kind { CLOSURE_FN, CLOSURE_LAMBDA, CLOSURE_HOLE };
struct closure {
    enum closure_kind kind;
    const struct item *item; /* FN */
    const struct expr *expr; /* LAMBDA; HOLE: the call */
    struct scope *scope;     /* where its free names are looked up */
    struct instance *self;   /* FN, or NULL */
    const struct view *view; /* through which self was seen */
};

static inline struct datum datum_error(void) {
    return (struct datum){.kind = DATUM_ERROR};
}
static inline struct datum datum_none(void) {
    return (struct datum){.kind = DATUM_NONE};
}
static inline struct datum datum_bool(bool truth) {
    return (struct datum){.kind = DATUM_BOOL, .truth = truth};
}
static inline struct datum datum_size(const struct dim *size) {
    return (struct datum){.kind = DATUM_INT, .size = size};
}
static inline struct datum datum_float(double number) {
    return (struct datum){.kind = DATUM_FLOAT, .number = number};
}
static inline struct datum datum_string(const char *interned) {
    return (struct datum){.kind = DATUM_STRING, .text = interned};
}
static inline struct datum datum_dtype(enum dtype dtype) {
    return (struct datum){.kind = DATUM_DTYPE, .dtype = dtype};
}
/* NULL, the builders' "reported", becomes the error. */
static inline struct datum datum_tensor(struct value *value) {
    return value ? (struct datum){.kind = DATUM_TENSOR, .tensor = value} : datum_error();
}
static inline bool datum_is_error(struct datum d) {
    return d.kind == DATUM_ERROR;
}
static inline bool datum_is_none(struct datum d) {
    return d.kind == DATUM_NONE;
}
static inline bool datum_is_number(struct datum d) {
    return d.kind == DATUM_INT || d.kind == DATUM_FLOAT;
}
static inline bool datum_is_sequence(struct datum d) {
    return d.kind == DATUM_LIST || d.kind == DATUM_TUPLE;
}
static inline bool datum_is_run_time(struct datum d) { /* a tensor, though it may be known */
    return d.kind == DATUM_TENSOR || d.kind == DATUM_CONSTANT;
}
static inline bool datum_is_known_int(struct datum d) {
    return d.kind == DATUM_INT && dim_is_const(d.size);
}

struct datum datum_int(struct types *types, int64_t value);
struct datum datum_list(struct arena *arena, const struct datum *at, int count);
struct datum datum_list_take(struct arena *arena, struct datum *at, int count); /* keeps `at` */
/* names may be NULL */
struct datum datum_tuple(struct arena *arena, const struct datum *at, const char *const *names, int count);
/* The same tuple, which the text makes at that place. */
struct datum datum_made_at(struct arena *arena, struct datum tuple, struct span made);
struct datum datum_list_join(struct arena *arena, const struct list *a, const struct list *b);
/* A list or tuple of its own, to be changed element by element. */
struct datum datum_copy(struct arena *arena, struct datum sequence);
static inline struct datum *datum_at(struct datum copy, int i) { /* of a copy */
    return &copy.list->at[i];
}
/* The field's index or -1; name is interned. */
int tuple_find(const struct list *tuple, const char *name);

/* The same value: numbers by value, lists element by element, everything else by identity. */
bool datum_equal(struct types *types, struct datum a, struct datum b);
/* What it is, for messages: "an int", "f32[B,784]", "a list of 3", "nn.Linear". */
const char *datum_describe(struct arena *arena, struct types *types, struct datum d);
/* Its value as the language writes it, for {interpolation} and the REPL. */
void datum_print(struct strbuf *out, struct types *types, struct datum d);

#endif

/* frontend/elab.h: the elaborator's own header: its state, and what its files offer each other. */
#ifndef FRONTEND_ELAB_H
#define FRONTEND_ELAB_H

#include "base/map.h"
#include "base/vec.h"
#include "frontend/ast.h"
#include "frontend/datum.h"
#include "frontend/frontend.h"
#include "frontend/instance.h"
#include "frontend/scope.h"
#include "ir/build.h"

#define MAX_MEMORY ((size_t)3 << 30) /* bytes, for one model */
enum { MAX_CALL_DEPTH = 256, MAX_LIST = 1 << 22, MAX_TEXT = 1 << 20, MAX_CONSTANT = 1 << 26, DTYPE_ANY = -1 };

/* ---- library.c ---- */
enum file_status { FILE_LOADING, FILE_LOADED, FILE_BROKEN };
struct model_file {
    const char *path; /* as it was asked for, resolved */
    struct span used; /* the `use` that it is being read for; unknown: nobody's */
    enum file_status status;
    const struct file_ast *ast;
    struct scope *scope;
    VEC(const struct module *) models; /* in order */
};
struct frontend {
    struct arena *arena;
    struct types *types;
    struct interner *names;
    struct diags *diags;
    const char *library_folder; /* NULL: embedded */
    int64_t evaluation_limit;
    enum dtype products; /* f32, or what frontend_set_precision said */
    struct scope *builtins, *prelude;
    struct file_resolver resolver;
    struct facts *facts;   /* what is noted for an editor; NULL: nobody asks */
    struct map signatures; /* of builtins: struct builtin to what call.c made of its row */
    VEC(struct model_file *) files;
};
/* From now on, of files that are read behind this. */
void frontend_set_facts(struct frontend *fe, struct facts *facts);
/* "nn" of the library's, else the path. */
const char *file_title(struct frontend *fe, const struct model_file *file);
/* "nn.layers" of the library, read now if it was not; NULL: there is none. */
struct model_file *frontend_library_file(struct frontend *fe, const char *name);
struct model_file *frontend_find_file(const struct frontend *fe, const char *path); /* NULL: not loaded */
/* A file without text, for the REPL; what it does not define is looked up in `outer` (NULL: the prelude). */
struct model_file *frontend_empty_file(struct frontend *fe, const char *path, struct scope *outer);
/* Defines an item (use, module, fn) anew, in place of an older definition of its name. */
void frontend_redefine(struct frontend *fe, struct model_file *file, const struct item *item);

/* ---- the state of an elaboration ---- */
/* The turns of the loops of run time around a place, innermost first. */
struct loop_index {
    struct value *index;
    const struct loop_index *outer;
};
/* The turns of the unrolled `for`s around a place within its function. */
struct turn {
    int index;
    const struct turn *outer;
};

/* Where draws take their keys from (S8): one for each call, and for each `with rng`. */
struct stream {
    struct stream *parent;
    int ordinal;                   /* among the draws of parent; -1: nothing was drawn yet */
    const struct loop_index *base; /* the loops around the call: already in the key */
    struct value *key;             /* made where it was last needed */
    struct value *pinned;          /* with rng: k */
    int draws;
};

/* A call under way. */
struct frame {
    struct frame *caller;
    struct scope *scope;      /* the innermost */
    struct instance *self;    /* NULL: a free function */
    const struct item *item;  /* the fn whose body runs; NULL: none */
    const struct expr *place; /* the call, for keys of anonymous instances */
    const struct site *site;  /* where it was called from, and what; NULL: the entry */
    const struct turn *turns;
    bool is_entry;       /* calls from here are entries: nothing in the text makes them */
    bool is_body;        /* a module's body, not a function's */
    bool is_transparent; /* a lambda: what it makes belongs to its caller */
    bool returned;
    struct datum result;
    struct span result_span; /* of what was returned */
    int barrier;             /* regions entered in this call: `return` cannot leave one */
    int depth;
    struct dtype_binding { /* dtype variables of the signature: float, num, any */
        const char *word;
        enum dtype dtype;
    } dtypes[4];
    int dtype_count;
};

/* Ambients (S7). */
struct ambient {
    bool training;
    bool has_precision;
    enum dtype precision;
    enum dtype products; /* Note [The precision of products]: what products of f32 tensors are computed in */
    const struct view *views;
};

/* An entry that has been elaborated for certain elaboration arguments. */
struct elaborated {
    const char *key;
    struct function *function;
};

/* The current value of a state while a function is built. */
struct current {
    struct weight *weight;
    struct value *value;
    bool written;
    struct value *stand_in; /* in a loop: what reads see; becomes a carried value if the body writes */
};
/* A block under construction: the function's body, or a region of a loop or cond. */
struct region {
    struct region *outer;
    struct block *block;
    bool is_loop;
    VEC(struct current) states;
    struct map places; /* of a state: its place in `states`, counted from 1 */
    bool yields;       /* a loop as a value */
    VEC(struct datum) yielded;
    struct span yield_span;
};

/* A named argument of a list call, and whether any list at that place took it. */
struct claim {
    const char *name;
    struct span span;
    bool taken;
};

/* A report of the function, by its name. */
struct reported {
    const char *name;
    struct span span;
};

/* An index of run time that a `check` holds inside of an axis from its place on, in its block and those
 * within. */
struct checked {
    const struct value *index;
    const struct dim *size;
    const struct block *block;
};

/* Every version of a weight that was read or written in the function: for grad and minimize (S26). */
struct version {
    struct value *value;
    struct span span;
};
struct versions {
    VEC(struct version) at;
};

struct elab {
    struct frontend *frontend;
    struct arena *arena;
    struct types *types;
    struct interner *names;
    struct diags *diags;
    struct graph *graph;
    struct builder b;
    struct instance *root;

    struct frame *frame;
    struct ambient ambient;
    struct region *region;
    const struct loop_index *loops;
    struct stream *stream;
    VEC(struct site *) spare_sites;
    int64_t evaluations; /* of expressions, in this function */
    bool gave_up;        /* it goes on without end: reported, and everything is a mistake from now on */
    bool names_places;   /* the REPL: an instance without a place gets one where its weights are read, and a
                            `train` can be   called */
    bool in_constant;    /* tensors are made in f64, to be evaluated */
    bool in_init;        /* the init function: reading a weight gives its first value */

    /* of the function being built */
    struct function *function;
    struct value *seed;
    struct op *last_input; /* inputs stand first, then the seed, then reads */
    struct op *last_read;
    bool is_train;
    int minimize_count, accumulate;
    int fresh_dims;
    struct map versions; /* of a state: its struct versions */
    VEC(struct checked) checked;
    VEC(struct reported) reported;
    VEC(struct claim) claims;

    /* of the model */
    struct map draws; /* value of a randint to its bounds (bounds.c) */
    struct weight *step, *epoch;
    VEC(struct weight *) made;         /* by weight_make */
    VEC(struct weight *) weights;      /* those with a state, in order of making */
    struct map weight_of;              /* of a state: its weight */
    VEC(struct instance *) optimizers; /* one for each weight and minimize, in order of making */
    VEC(struct weight *) first_values; /* those that have one in the init function */
    VEC(struct elaborated) entries;
    VEC(struct entry) descriptions; /* for the public interface */
};

/* ---- errors.c ---- */
/* The site of a span in the current call. */
const struct site *site_here(struct elab *e, struct span span);
/* The site of a call from the current frame. */
struct site *site_of_call(struct elab *e, struct span span, const char *what);
/* The same, to be given back where nothing came to point to it. */
struct site *site_take(struct elab *e, struct span span);
void site_give_back(struct elab *e, struct site *site);
/* Reports at a span, with the calls that led there. fail gives the error value. */
struct diag *report_error(struct elab *e, struct span span, enum diag_code code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
struct datum fail(struct elab *e, struct span span, enum diag_code code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
const char *describe(struct elab *e, struct datum d);
/* "did you mean": a name of this scope alone. */
void hint_nearest_in(struct arena *arena, struct diag *diag, const char *name, const struct scope *scope);
/* What a name that means nothing here may have been meant to be (suggest.c). */
void explain_unknown_name(struct elab *e, struct diag *diag, const char *name, struct span span);
/* The same for a parameter of a call that does not exist, and a member of a tensor. */
void hint_parameter(struct diag *diag, const char *name, const char *const *names, int count);
void hint_tensor_member(struct elab *e, struct diag *diag, const char *name);
/* zeros(2, 3): `first` is what stands in the place of the shape. */
void hint_shape(struct diag *diag, const char *name, struct datum first);
void hint_call(struct diag *diag, const char *name);     /* of a call with too many arguments */
void hint_argument(struct diag *diag, const char *name); /* of a call with an argument of another kind */
void hint_instance_member(struct arena *arena, struct diag *diag, const char *name,
                          const struct scope *scope);
void hint_library_name(struct arena *arena, struct diag *diag, const char *name, const struct scope *scope);
/* A word in the place of a type or dtype that is none; and whether it is one. */
void unknown_type(struct diags *diags, const char *word, struct span span);
void unknown_dtype(struct diags *diags, const char *word, struct span span);
bool is_type_word(const char *word);
bool is_dtype_variable(const char *word); /* any, num, float */

/* ---- evaluate.c ---- */
struct datum evaluate(struct elab *e, const struct expr *x);
struct datum evaluate_name(struct elab *e, const char *name, struct span span);
/* Interpolated text, interned; NULL: reported. */
const char *evaluate_text(struct elab *e, const struct expr *x);
/* A condition that must be known now. false: reported, or an error value came in. */
bool evaluate_condition(struct elab *e, const struct expr *x, const char *word, bool *truth);
/* Reads what stands for itself in a scope: a weight. */
struct datum datum_read(struct elab *e, struct datum d, struct span span);
/* The elements of a list, tuple or known range; false: reported. */
bool datum_items(struct elab *e, struct datum d, struct span span, const struct list **out);
struct datum field_of(struct elab *e, struct datum d, const char *name, struct span span);
/* Binds the names of a pattern: `assign` rebinds older ones (S3), else all are new. */
bool bind_pattern(struct elab *e, const struct pattern *pattern, struct datum d, struct span span,
                  bool assign);

/* ---- convert.c: elaboration values to tensors ---- */
/* dtype: what a number becomes, or DTYPE_ANY for its own default. NULL: reported. */
struct value *to_tensor(struct elab *e, struct datum d, int dtype, struct span span);
/* Two operands: numbers and constants take the dtype of the other. false: reported. */
bool to_tensors(struct elab *e, struct datum a, struct datum b, struct span sa, struct span sb,
                struct value **x, struct value **y);
/* A nested list of numbers, or of tensors that are stacked (builtins_source.c). NULL: reported. */
struct value *tensor_of_list(struct elab *e, struct datum d, int dtype, struct span span);
/* Whether two operands of `word` have one dtype and shapes that broadcast; else reported, with both places.
 */
bool operands_fit(struct elab *e, const char *word, struct value *x, struct value *y, struct span span,
                  struct span sx, struct span sy);
/* Says what an operand is: where it was made if that is in the same function, else where it stands. */
void label_operand(struct elab *e, struct diag *diag, const struct value *x, struct span span);
/* Says where a value that stands at `span` was made, if that is another line of the same function; else
 * false. */
bool label_origin(struct elab *e, struct diag *diag, const struct value *x, struct span span);
/* Says where the name that an expression is was bound; nothing where it is no name. */
void label_binding(struct elab *e, struct diag *diag, const struct expr *x);
/* The same where a place alone is known, of a name or x[i], and the name is bound on another line. */
void label_name_at(struct elab *e, struct diag *diag, struct span span);
/* A label at a place of the same text as `span`, if it is on another line. */
void label_elsewhere(struct diag *diag, struct span place, struct span span, const char *text);
enum dtype default_float(const struct elab *e);
/* A size as a tensor. */
struct value *size_tensor(struct elab *e, const struct dim *size, enum dtype dtype);

/* ---- products.c ---- */
/* build_dot and build_conv at the precision in force. */
struct value *dot_product(struct elab *e, struct value *x, struct value *y, const int64_t *x_batch,
                          const int64_t *y_batch, int batch_count, const int64_t *x_inner,
                          const int64_t *y_inner, int inner_count);
struct value *conv_product(struct elab *e, struct value *x, struct value *w, const struct conv_attrs *attrs);

/* ---- operators.c ---- */
struct datum apply_unary(struct elab *e, enum unary_op op, struct datum a, struct span span,
                         struct span operand);
struct datum apply_binary(struct elab *e, enum binary_op op, struct datum a, struct datum b, struct span span,
                          struct span sa, struct span sb);
/* a / b on sizes: exact, with the precondition that it asks for (S11). */
struct datum divide_sizes(struct elab *e, const struct dim *a, const struct dim *b, struct span span);
/* Records that dim is a multiple of n for every caller of the entry. */
void require_multiple(struct elab *e, const struct dim *dim, int64_t n, const char *message,
                      struct span span);
/* Records that every caller of the entry has a dim of 0 or more: of H >= 8 the difference. */
void require_not_negative(struct elab *e, const struct dim *dim, const char *message, struct span span);
/* What an instance's body has asked of sizes, asked of the callers of the entry that uses it now. */
void require_again(struct elab *e, const struct instance *instance);
struct value *build_matmul(struct elab *e, struct value *x, struct value *y, struct span span);

/* ---- index.c ---- */
struct datum apply_index(struct elab *e, struct datum a, const struct expr *x);
/* a with v at subs: for x[i] = v and update b[i] = v. */
struct datum apply_index_set(struct elab *e, struct datum a, const struct expr *x, struct datum v,
                             struct span span);

/* ---- bounds.c ---- */
/* A `check` that the index is inside of x's axis, unless that is known. */
void check_index(struct elab *e, struct value *index, const struct value *x, int axis);
void note_draw_bounds(struct elab *e, const struct value *v, const struct dim *lo, const struct dim *end);

/* ---- call.c ---- */
/* The arguments of a call, evaluated. */
struct argument {
    const char *name; /* NULL: by position */
    struct datum datum;
    struct span span;      /* of its value */
    struct span name_span; /* unknown: by position */
};
struct arguments {
    VEC(struct argument) at;
};
struct datum call_datum(struct elab *e, struct datum callee, const struct arguments *args,
                        const struct expr *place, struct span span);
struct datum call_with(struct elab *e, struct datum callee, const struct datum *positional, int count,
                       struct span span);
struct datum evaluate_call(struct elab *e, const struct expr *x);
struct datum evaluate_pipe(struct elab *e, const struct expr *x);
bool has_hole(const struct expr *x);
/* Makes an instance of a module; `fresh` where its place does not name it (optimisers). */
struct datum make_instance(struct elab *e, const struct module *module, const struct arguments *args,
                           const struct expr *place, struct span span);
/* Runs an fn of an instance (or a free one) whose arguments are bound by signature. */
struct datum call_fn(struct elab *e, const struct closure *closure, const struct arguments *args,
                     const struct expr *place, struct span span);

/* ---- frame.c ---- */
void frame_push(struct elab *e, struct frame *frame, struct scope *scope, struct instance *self,
                const struct site *site);
void frame_pop(struct elab *e, struct frame *frame);
/* Which instance's anonymous members a place makes now, with the place's key; NULL: none, it is new. */
struct instance *frame_holder(struct elab *e, const struct expr *place, const char **key);

/* ---- dims.c ---- */
struct binder {
    struct scope *scope;     /* where dimension variables of the call are bound */
    struct instance *self;   /* whose body may own some of them, or NULL */
    bool quiet;              /* a first look, before the body has run: binds what it can, reports nothing */
    const char *what;        /* "the argument x of nn.Linear.call" */
    const struct site *site; /* of the call: a dim that is wrong in itself is wrong in the callee; or NULL */
    bool keeps_numbers;      /* of a module's parameters */
    bool is_entry;           /* unbound names become dimension variables of the entry */
};
/* Whether d fits the type; binds dimension variables; may convert d (a number for an f32 parameter). */
bool bind_type(struct elab *e, const struct binder *binder, const struct type_expr *type, struct datum *d,
               struct span span);
/* Evaluates the dims of a result that are known before the body runs: H / 2 there says that 2 divides H,
 * which lets the sizes that the body makes come out exact. false: reported. */
bool foresee_dims(struct elab *e, const struct binder *binder, const struct type_expr *type);
bool type_is_tensor(const struct type_expr *type); /* a value of run time */
/* A type all of whose dims are known: of a param, or an entry's input (is_entry). NULL: reported. */
const struct type *resolve_type(struct elab *e, const struct binder *binder, const struct type_expr *type);

/* ---- statement.c ---- */
enum flow { FLOW_NEXT, FLOW_RETURN };
enum flow run_block(struct elab *e, const struct block_ast *block); /* in a scope of its own */
enum flow run_statements(struct elab *e, const struct stmt *first); /* in the current scope */
enum flow run_statement(struct elab *e, const struct stmt *s);
void assign_place(struct elab *e, const struct stmt *s, struct datum value);

/* ---- loop.c, when.c, remat.c ---- */
struct datum run_loop(struct elab *e, const struct stmt *s, bool as_value);
void run_when(struct elab *e, const struct stmt *s);
struct datum evaluate_when(struct elab *e, const struct expr *x);
void run_yield(struct elab *e, const struct stmt *s);
struct datum run_remat(struct elab *e, struct datum f, const struct list *args, struct span span);
/* body(e, data) where the condition holds: a `when` of the elaborator's own. */
void run_under(struct elab *e, struct value *condition, void (*body)(struct elab *e, void *data), void *data,
               struct span span);

/* ---- state.c ---- */
void region_push(struct elab *e, struct region *region, struct block *block, bool is_loop);
void region_pop(struct elab *e, struct region *region);
struct value *state_read(struct elab *e, struct weight *w, struct span span); /* NULL: reported */
bool state_write(struct elab *e, struct weight *w, struct value *value,
                 struct span span); /* checks the type */
struct current *region_find(struct region *region, const struct state *state);
/* The value outside a region that is being closed, without making a stand-in there. */
struct value *updated_value(struct elab *e, const struct weight *w, struct value *value);
void region_set(struct elab *e, struct region *region, struct weight *w, struct value *value);
struct value *state_current(struct elab *e, struct weight *w); /* its value in the innermost region */
void note_version(struct elab *e, struct weight *w, struct value *value, struct span span);
bool block_sees(const struct elab *e,
                const struct value *value); /* whether it may be used at the builder's place */

/* ---- random.c ---- */
void stream_push(struct elab *e, struct stream *stream);
void stream_pop(struct elab *e, struct stream *stream);
struct value *draw_key(struct elab *e); /* of a new draw at the current place */
/* The key of a draw of this shape; of one with a key a row, checked that the rows are as many. */
struct value *draw_key_for(struct elab *e, const struct type *shape);
/* Whether d is a key, u32[2], or a key for each row, u32[n,2]. */
bool is_key(struct elab *e, struct datum d);
struct datum split_key(struct elab *e, struct value *key, int64_t n); /* a list of n keys */
struct value *seed_input(struct elab *e);
struct value *draw_uniform(struct elab *e, const struct type *shape, struct value *key);
struct value *draw_normal(struct elab *e, const struct type *shape, struct value *key);

/* ---- optimise.c ---- */
void run_minimize(struct elab *e, const struct stmt *s);
/* With `accumulate: k`: the counter of calls since the last update, 0 to k - 1, and whether this call
 * updates. */
struct weight *accumulated_calls(struct elab *e);
struct value *is_last_call(struct elab *e, struct span span);
/* The structure of x with gradients in place of its tensors. */
struct datum gradient_datum(struct elab *e, struct value *y, struct datum x, struct span span);

/* Inside a region the gradient is built from the region's own ops: those outside that lie between an x and y
 * are copied into it (S26). */
void rebase_region(struct elab *e, struct value **y, struct value *const *xs, int count);

/* ---- constant.c ---- */
/* Evaluates in f64 and gives a number, a list, or a DATUM_CONSTANT. */
struct datum evaluate_constant(struct elab *e, const struct expr *x, const struct type_expr *type);
struct value *constant_tensor(struct elab *e, const struct data *data, int dtype);

/* ---- init.c ---- */
struct value *initial_value(struct elab *e, struct weight *w, struct span span); /* while in_init */

#endif

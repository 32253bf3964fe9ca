/* ir/graph.h: the typed dataflow graph. It owns its functions, blocks, ops and values through one arena: a
 * pointer to any of them is valid until the arena is destroyed, whatever the passes do in between (an erased
 * op is unlinked, never freed). SSA: a value is made once, by an op or as the parameter of a block.
 *
 * Regions are closed: a block uses only its own parameters and the results of its own ops. What it takes from
 * outside is a capture, an operand of the op that owns the region, handed to the parameter in its place.
 * Every block ends in one `yield`, whose operands are the block's results, so that results are uses like any
 * other. */
#ifndef IR_GRAPH_H
#define IR_GRAPH_H

#include "base/diag.h"
#include "base/intern.h"
#include "base/map.h"
#include "base/source.h"
#include "base/vec.h"
#include "ir/op.h"
#include "ir/type.h"

struct use {
    struct op *user;
    int index; /* user->in[index] */
    struct use *prev, *next;
};

struct value {
    const struct type *type;
    struct op *def;      /* the op that makes it, or NULL: a parameter */
    struct block *block; /* of a parameter: whose */
    int index;           /* def->out[index] or block->params[index] */
    const char *name;    /* from the model text, for listings; may be NULL */
    struct use *uses;    /* in no particular order of meaning, but reproducible */
    int id;              /* unique in the graph, in order of creation; for tables of passes */
};

struct op {
    enum opcode code;
    int in_count, out_count, attr_count, region_count;
    struct value **in;
    struct use *in_uses; /* in_uses[i] is linked in in[i]->uses */
    struct value **out;
    struct attr *attrs;
    struct block **regions;
    const struct site *site; /* the model text it came from; site_unknown, never NULL */
    struct block *block;
    struct op *prev, *next; /* a legal order of execution */
    int id;                 /* unique in the graph, in order of creation */
};

struct block {
    struct value **params;
    int param_count;
    struct op *first, *last; /* last is the yield once the block is complete */
    struct op *owner;        /* the op whose region it is; NULL: a function's body */
    struct function *function;
};

enum state_kind { STATE_WEIGHT, STATE_BUFFER, STATE_RUN }; /* run: run.step and run.epoch, i32[] */

/* A weight or buffer of the model instance: the graph's functions read and write it. */
struct state {
    const char *name; /* N1: "encoder.0.weight" */
    enum state_kind kind;
    const struct type *type;
    bool trainable; /* an unfrozen weight */
    const struct site *site;
    int index; /* in graph->states */
};

enum function_kind { FUNCTION_FN, FUNCTION_TRAIN, FUNCTION_INIT, FUNCTION_COMPOSITE, FUNCTION_EXPRESSION };

/* What a function demands of its sizes: `dim` must be a multiple of n (H % 8 == 0), or, where that is 0, not
 * be negative (H - 8 for H >= 8); with the model's message or NULL. */
struct precondition {
    const struct dim *dim;
    int64_t multiple;
    const char *message;
    const struct site *site;
};
typedef VEC(struct precondition) precondition_list;

/* An entry (or composite). Its inputs are `input` ops, its states `read` ops, at the head of the body; the
 * body's yield gives the results, named by result_names ("" where it has no name). The hidden seed is an
 * input named "seed" of type u32[2]. `report`, `check` and `write` are effects in the body. A composite has
 * block parameters instead. */
struct function {
    const char *name;
    enum function_kind kind;
    struct block *body;
    const char **result_names;
    const struct site *site;
    const char *doc; /* the doc comment, or NULL */
    precondition_list preconditions;
    VEC(struct dim_binding) sizes; /* the dimension variables that graph_bind gave values, in its order */
    const char *entry; /* where one entry is there for several sizes: its name; callers choose by `sizes` */
    struct graph *graph;
};

struct graph {
    struct arena *arena;
    struct types *types;
    struct interner *names;
    const char *name; /* the model's name in snake case: the prefix of C names */
    VEC(struct function *) functions;
    VEC(struct state *) states; /* in order of declaration (N3) */
    struct map state_names;     /* of an interned name: the state */
    int next_value, next_op;
};

extern const struct site site_unknown;

struct graph *graph_create(struct arena *arena, struct types *types, struct interner *names,
                           const char *name);
struct function *graph_add_function(struct graph *graph, const char *name, enum function_kind kind,
                                    const struct site *site);
struct function *graph_find_function(const struct graph *graph, const char *name); /* NULL: none */
/* From here on the types know of sizes what this function demands of its own, and nothing else: for whoever
 * infers types in it while its sizes are open. */
void function_assume(const struct function *function);
/* One more demand, unless it is there. */
void function_require(struct function *function, const struct precondition *precondition);
struct state *graph_add_state(struct graph *graph, const char *name, enum state_kind kind,
                              const struct type *type, const struct site *site);
struct state *graph_find_state(const struct graph *graph, const char *name); /* NULL: none */

struct block *block_create(struct graph *graph, struct function *function, struct op *owner);
struct value *block_add_param(struct graph *graph, struct block *block, const struct type *type,
                              const char *name);
struct op *
block_yield(const struct block *block); /* the terminator, or NULL while the block is being built */

/* Makes an op, unlinked. `types` (out_count of them) are the declared types of the results; NULL, or a NULL
 * entry, leaves them to infer. Attributes are copied. */
struct op *op_create(struct graph *graph, enum opcode code, struct value *const *in, int in_count,
                     const struct attr *attrs, int attr_count, const struct type *const *types, int out_count,
                     const struct site *site);
struct block *op_add_region(struct graph *graph, struct op *op);
void op_insert_before(struct op *op, struct op *before);
void op_append(struct op *op, struct block *block);
void op_move_before(struct op *op, struct op *before); /* within or between blocks */
void op_erase(struct op *op); /* its results must have no uses; unlinks it and its regions' uses */
void op_set_in(struct op *op, int index, struct value *value);
void op_add_in(struct graph *graph, struct op *op, struct value *value); /* at the end */
struct value *op_add_out(struct graph *graph, struct op *op, const struct type *type);
/* Taking away one of several; the index of each later one falls by 1. What is removed must have no uses. */
void op_remove_in(struct op *op, int index);
void op_remove_out(struct op *op, int index);
void block_remove_param(struct block *block, int index);
bool block_has_effects(
    const struct block *block); /* an op that is not pure, but for yields; also in regions, callees */
void value_replace(struct value *old, struct value *with); /* in every use */
bool value_has_uses(const struct value *value);
int value_use_count(const struct value *value);

/* Attributes. The getters want that the attribute is there (the verifier has seen to it). */
const struct attr *op_attr(const struct op *op, enum attr_name name); /* NULL: not there */
int64_t op_int(const struct op *op, enum attr_name name);
const int64_t *op_ints(const struct op *op, enum attr_name name, int *count); /* count may be NULL */
double op_float(const struct op *op, enum attr_name name);
const char *op_string(const struct op *op, enum attr_name name);
const struct dim *const *op_dims(const struct op *op, enum attr_name name, int *count);
void op_set_attr(struct graph *graph, struct op *op, struct attr attr); /* replaces or adds; copies lists */
bool attr_equal(const struct attr *a, const struct attr *b);

/* Types an op from its row: first the counts of operands, results and attributes, then the row's infer. For
 * whoever makes ops by hand or changes one; the constructors of ir/build.h have done it. false: reported. */
bool op_infer(struct graph *graph, struct op *op, struct diags *diags);
bool op_check_form(struct graph *graph, const struct op *op, struct diags *diags); /* the counts alone */
/* The operand that parameter 0 of op's regions stands for (cond: 1, after the condition), as params[i] is for
 * operand i + op_region_shift(op); a loop's parameter 0 is the turn's index and has none. */
int op_region_shift(const struct op *op);
/* Whether it is the hidden seed's `input`. A model may have an input of that name, but of no such type. */
bool op_is_seed(const struct op *op);
int op_first_capture(const struct op *op); /* index of the first operand that is a mere capture */

/* The only loops over ops. The body may erase `it` (only it) and insert around it (not visited). */
#define FOR_EACH_OP(it, block)                                                                               \
    for (struct op *it = (block)->first, *it##_next; it && (it##_next = it->next, true); it = it##_next)
#define FOR_EACH_USE(it, value)                                                                              \
    for (struct use *it = (value)->uses, *it##_next; it && (it##_next = it->next, true); it = it##_next)

/* The op with its regions, unlinked: operands that the map knows through it, its results put there (struct
 * map from base/map.h: struct value * to struct value *). */
struct op *op_clone(struct graph *graph, const struct op *op, struct map *map);
/* Copies the ops of `from` (but for its yield) before `before` (or to the end of `into`), in order; `map`
 * takes old values to new ones and holds the parameters' on entry. */
void block_clone_into(struct graph *graph, const struct block *from, struct block *into, struct op *before,
                      struct map *map);
/* Turns uses of outside values in the region of `op` (and in regions within) into captures: an operand
 * appended to op, a parameter to each of its regions; a value that is captured already is not captured twice.
 * For regions that were built with open captures. */
void region_close(struct graph *graph, struct op *op, struct block *region);

/* The graph without what was erased, in a new arena: garbage goes by copying. Types and names stay shared. */
struct graph *graph_copy(const struct graph *graph, struct arena *arena);
/* A second function of the graph with the same body. */
struct function *graph_add_copy(struct graph *graph, const struct function *function, const char *name);
/* Whether a size in the function, or in what it calls, depends on the dimension variable. */
bool function_uses_dim(const struct graph *graph, const struct function *function, const char *name);
/* Substitutes sizes for dimension variables, in every type and attribute of the function and of what it
 * calls, in place, and types it again. false: reported (a precondition that fails, a variable that stays,
 * shapes that do not fit at these sizes). */
bool graph_bind(struct graph *graph, struct function *function, const struct dim_binding *bindings, int count,
                struct diags *diags);

/* What holds of every graph: types as infer gives them, operands defined before use in the same block, uses
 * linked both ways, regions closed, one yield a block, no function that calls itself, inputs and states only
 * in function bodies. A failure is a defect that names after_pass; where that is NULL, the graph was read
 * from text and a failure is the text's error. */
bool graph_verify(struct graph *graph, struct diags *diags, const char *after_pass);

#endif

/* frontend/instance.h: modules, their instances, and the member tree whose places name the weights (N1 to
 * N6). */
#ifndef FRONTEND_INSTANCE_H
#define FRONTEND_INSTANCE_H

#include "frontend/datum.h"
#include "frontend/scope.h"

struct elab;

/* A set of interned names; small, so a list. */
struct name_set {
    VEC(const char *) names;
};
bool name_set_has(const struct name_set *set, const char *name);

/* A definition: what `module NAME(...) { ... }` says. */
struct module {
    const char *name;
    const struct item *item;
    struct scope *scope; /* where it is defined: its file, or the instance that holds it */
    struct name_set
        declared; /* what the body binds: formals, let, param, buffer, fn, const and assigned names */
    struct name_set body_uses; /* free names of the body's declarations: a dim of these names belongs to the
                                  instance (S10) */
    struct name_set
        signatures; /* names in the parameter types of its fns: dims, if nothing else has the name */
};
const struct module *module_create(struct arena *arena, const struct item *item, struct scope *scope);
const struct item *module_find_fn(const struct module *module, const char *name); /* NULL: none */

enum body_state { BODY_WAITING, BODY_RUNNING, BODY_DONE, BODY_BROKEN };

/* What `params` and the order of weights (N3) walk through, in order of declaration. */
struct member {
    const char *name;
    struct weight *weight; /* NULL: a let, whose value stands in the scope */
    const char *path;      /* below its instance: the let-name or its `as`; "" splices */
    struct span span;
};

/* An instance made in a method (S14): found again by its place. */
struct anonymous {
    const char *key;
    struct instance *instance;
};

struct instance {
    const struct module *module;
    struct scope *scope;     /* formals, instance dims, then members */
    struct instance *owner;  /* whose member it is; NULL: the root, or not named yet */
    const char *path;        /* below owner: "encoder.0", ""; NULL: not named yet */
    enum body_state body;    /* run at the first call or member access (S12) */
    const struct site *site; /* of its making */
    VEC(struct member) members;
    VEC(struct anonymous) anonymous;
    precondition_list preconditions; /* what its body asks of the sizes of whoever uses it */
    struct datum
        *arguments;    /* the formals' values, to tell whether a place asks for the same instance again */
    struct elab *elab; /* of the root alone */
};

/* A param or buffer of an instance. It becomes a state of the graph when it is first read. */
struct weight {
    const char *name;        /* its last name: "weight"; of one that has no owner: the whole name */
    const char *path;        /* `as`, or the name */
    const struct item *item; /* the declaration; NULL: one of the elaborator's own, like run.step */
    const struct type *type; /* of one without item */
    struct instance *owner;  /* NULL: none */
    enum state_kind kind;
    struct state *state;   /* NULL: not read yet */
    struct weight *source; /* of a shadow: what it follows */
    const struct shadow *shadow;
    struct value *first; /* while the init function is built: its first value */
    bool in_init;        /* its first value is being computed: a cycle if it is asked for */
    bool is_touched;     /* it was read, itself or through a shadow: it exists */
};

/* A copy of all weights below `root` under another place. */
struct shadow {
    struct instance *root;
    struct instance *owner; /* where the let stands; NULL: not named yet */
    const char *path;
    struct span span; /* of the call that made it */
    VEC(struct weight *) weights;
};

/* How an instance is seen: through stop_gradient, or with a shadow's weights in place of its own. */
struct view {
    struct instance *root; /* weights below it are concerned */
    bool frozen;
    struct shadow *shadow; /* NULL: frozen */
    const struct view *next;
};

/* ---- instances ---- */
/* Makes one; the arguments have been bound in `scope`. */
struct instance *instance_create(struct elab *e, const struct module *module, struct scope *scope,
                                 struct span span);
/* Runs the body if it waits. false: reported, now or earlier. */
bool instance_run_body(struct elab *e, struct instance *instance, struct span span);
bool instance_is_below(const struct instance *instance, const struct instance *root);
/* "encoder.0" or "" for the root. */
const char *instance_path(struct elab *e, const struct instance *instance);

const char *snake_case(struct arena *arena, const char *name); /* GroupNorm: group_norm */
/* A place for an instance that has none: group_norm_0 of `holder` (N5). */
void name_anonymous(struct elab *e, struct instance *holder, struct instance *instance, const char *key);
/* Gives the unnamed instances in a let's value their place: path, path.0, path.field. */
void name_members(struct elab *e, struct instance *owner, struct datum d, const char *path);
/* inner in front of outer. */
const struct view *views_join(struct elab *e, const struct view *inner, const struct view *outer);
const char *path_join(struct elab *e, const char *a, const char *b); /* a.b, where neither is "" */
/* The same value, seen through one view more. */
struct datum datum_through(struct elab *e, struct datum d, const struct view *view);
/* A member of an instance: let, weight (read), fn, const, formal. Reported where there is none. */
struct datum instance_member(struct elab *e, struct datum d, const char *name, struct span span);
/* The existing weights of a model, instance, list or tuple in order of declaration, each seen through its
 * view. */
struct weight_list {
    bool skip_frozen;
    VEC(struct weight *) at;
};
void collect_weights(struct elab *e, struct datum d, struct weight_list *out, bool buffers_too);
/* The states of the graph in the order of declaration (N3). */
void order_states(struct elab *e);

struct weight *weight_declare(struct elab *e, struct instance *owner, const struct item *item);
/* A state of the elaborator's own, by its interned name; the same one for the same name. It starts as zeros.
 */
struct weight *weight_make(struct elab *e, const char *name, enum state_kind kind, const struct type *type);
const char *weight_name(struct elab *e, const struct weight *weight);
/* What is read in place of w under the views in force: w, or its shadow; *frozen where through stop_gradient.
 */
struct weight *weight_seen(struct elab *e, struct weight *w, bool *frozen);
struct weight *shadow_weight(struct elab *e, struct shadow *shadow, struct weight *w);
const struct type *weight_type(struct elab *e, struct weight *w, struct span span); /* NULL: reported */
/* The weight's state in the graph, made if it does not exist yet. NULL: reported. */
struct state *weight_state(struct elab *e, struct weight *w, struct span span);
struct weight *weight_of_state(const struct elab *e, const struct state *state); /* NULL: none */

#endif

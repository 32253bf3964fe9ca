/* driver/bisect.h: which part of the compiler changes what a program computes. Entries go through the passes
 * one after the other, and the evaluator runs what each leaves on the same random inputs; then the memory
 * plan is run, then the compiled code. The first to give other results is named: of simplify the rule, of
 * fuse and of code generation the kernel. Gradients are compared with slopes, as nothing in front of them can
 * be run. */
#ifndef DRIVER_BISECT_H
#define DRIVER_BISECT_H

#include "driver/session.h"

struct bisect {
    struct session *session;
    const struct graph *graph;      /* an instance's, elaborated */
    const struct request *requests; /* of it; the last is "init", which gives the weights */
    int count;
    struct strbuf *out; /* a line for each step */
    /* for tests, which plant errors: see struct pass_context */
    const struct rule_set *more_rules;
    void (*after_pass)(const struct pass *pass, struct graph *graph, struct pass_context *context);
};

/* What was found first; NULLs: all agree. */
struct bisect_finding {
    const char *entry;
    const char *step;        /* a pass's name, or "codegen" */
    const char *detail;      /* the rule or the kernel; NULL: not known */
    const char *why;         /* the result, and how far it is off */
    const struct site *site; /* where the rule's or kernel's op came from; NULL: not known */
};
/* false: reported; also by the verifier, which names the pass itself. */
bool bisect_run(const struct bisect *bisect, struct bisect_finding *finding);

#endif

/* frontend/frame.c: calls under way. */
#include "frontend/elab.h"

#include <string.h>

void frame_push(struct elab *e, struct frame *frame, struct scope *scope, struct instance *self,
                const struct site *site) {
    memset(frame, 0, sizeof *frame);
    frame->caller = e->frame;
    frame->scope = scope;
    frame->self = self;
    frame->site = site;
    frame->depth = e->frame ? e->frame->depth + 1 : 0;
    e->frame = frame;
}

void frame_pop(struct elab *e, struct frame *frame) {
    e->frame = frame->caller;
}

static void key_turns(struct strbuf *key, const struct turn *turn) {
    for (; turn; turn = turn->outer)
        strbuf_printf(key, ".%d", turn->index);
}

/* An instance that a method makes is known by its place: the call, the calls of free functions and lambdas
 * between the method and it, and the turns of the unrolled loops around them (S14). The addresses of the
 * tree's nodes are names here, nothing is ordered by them. */
struct instance *frame_holder(struct elab *e, const struct expr *place, const char **key) {
    struct strbuf text;
    strbuf_init(&text, e->arena);
    for (const struct frame *frame = e->frame; frame; frame = frame->caller) {
        strbuf_printf(&text, "/%p", (const void *)place);
        key_turns(&text, frame->turns);
        if (frame->is_body)
            return NULL;
        if (frame->self && !frame->is_transparent) {
            *key = intern(e->names, text.text);
            return frame->self;
        }
        place = frame->place;
    }
    return NULL;
}

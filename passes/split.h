/* passes/split.h: the rewrites that `split` chooses from. They change a function in place, in front of fuse,
 * and its results by rounding alone. */
#ifndef PASSES_SPLIT_H
#define PASSES_SPLIT_H

#include "base/diag.h"
#include "ir/graph.h"

/* The value that the conv's image repeats by a whole number along its two axes, or NULL. */
struct value *split_upsampled(const struct op *conv);
/* conv(upsample(x)) as a conv of x that is spread by zeros: the larger image is never there. `conv` must have
 * split_upsampled. false: reported. */
bool split_upsample(struct graph *graph, struct op *conv, struct diags *diags);

/* What the conv makes, and all that follows from it channel by channel, is computed in `parts` of the
 * channels, one behind the other, up to the convs that sum over channels: these add up part by part. false:
 * that cannot be, and nothing is changed, or (with `*failed`) a mistake was reported. */
bool split_channels(struct graph *graph, struct op *conv, int parts, struct arena *scratch,
                    struct diags *diags, bool *failed);

#endif

/* runtime/bpe.h: texts to numbers by byte-pair encoding (Sennrich, Haddow, Birch 2016) as CLIP does it
 * (Radford et al. 2021): lower case, words and signs apart, the bytes of each joined pair by pair in the
 * order of a list of merges.
 *
 * The numbers: 0 to 255 are bytes, 256 to 511 bytes at a word's end, then a number for each merge, then the
 * start of a text and its end. With CLIP's own 48894 merges these are CLIP's: 49406 and 49407. */
#ifndef WEFT_BPE_H
#define WEFT_BPE_H

#include "runtime/weft.h"

#include <stdbool.h>

struct weft_bpe;

/* Reads a list of merges: a line "left right" each, behind a line with "#version"; plain or in gzip. It is
 * CLIP's bpe_simple_vocab_16e6.txt.gz, or the merges.txt of its descendants. NULL: refused. */
struct weft_bpe *weft_bpe_open(const char *path, struct weft_error *error);
/* The same of bytes. */
struct weft_bpe *weft_bpe_parse(const char *name, const void *bytes, size_t size, struct weft_error *error);
void weft_bpe_close(struct weft_bpe *bpe);          /* NULL is fine */
int32_t weft_bpe_count(const struct weft_bpe *bpe); /* of numbers: one more than the end's */

/* out[length]: start, the text, end, and ends up to the length; a text that is too long loses its last words.
 * Returns how many numbers the whole text has, start and end among them; -1: no memory. */
int64_t weft_bpe_encode(const struct weft_bpe *bpe, const char *text, int64_t length, int32_t *out);

#endif

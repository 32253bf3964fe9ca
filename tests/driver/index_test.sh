#!/usr/bin/env bash
# An index that lies outside of its axis, in every way to write one: the error code of the entry, with the model's line, from code in memory and from an object, with one thread and with several.
set -u
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export XDG_CACHE_HOME=$work/cache
failures=0
fail() { echo "FAILED: $*"; failures=$((failures + 1)); }

# Of 1000 indices the one at the place `bad` points behind the end, or in front of the beginning; kernels of 64000
# elements have several tasks.
cat >index.weft <<'END'
model Index {
  fn at(bad: i32) = where(arange(1000) == bad, 1000, arange(1000))
  fn table(bad: i32) = broadcast(f32(at(bad))[:, none], [1000, 64]) * 0.0
  fn gather(bad: i32) -> f32[1000, 64] = table(-1)[at(bad)]
  fn below(bad: i32) -> f32[1000, 64] = table(-1)[at(bad) - where(arange(1000) == bad, 1001, 0)]
  fn set(bad: i32) -> f32[1000, 64] {
    x = table(-1)
    x[at(bad)] = table(-1) + 1.0
    return x
  }
  fn add(bad: i32) -> f32[1000, 64] = scatter_add(table(-1), at(bad), table(-1))
  fn choose(bad: i32) -> f32[64] = pick(rearrange(table(-1), "a b -> b a"), at(bad)[936:], axis: 1)
  fn along(bad: i32) -> f32[64, 1000] =
    take_along(rearrange(table(-1), "a b -> b a"), broadcast(at(bad)[none, :], [64, 1000]), axis: 1)
  fn turns(bad: i32) -> f32[] {
    y = 0.0
    loop k in 0..3 { y = y + sum(table(-1)[min(at(bad), 1000) + where(at(bad) == 1000, k, 0)]) }
    return y
  }
}
END
entries="gather below set add choose along turns"
for entry in $entries; do
    line=$(grep -n "^  fn $entry(" index.weft | cut -d: -f1)
    for threads in 1 2; do
        "$WEFT" run index.weft:$entry bad=-1 --threads $threads --quiet >out 2>&1 || fail "$entry, $threads threads: $(head -c 400 out)"
        for bad in 999 941; do
            "$WEFT" run index.weft:$entry bad=$bad --threads $threads --quiet >out 2>&1
            [ $? = 1 ] || fail "$entry, $threads threads, index $bad: status $?"
            grep -q "an index is not in axis" out || fail "$entry, $threads threads, index $bad: $(head -c 400 out)"
            at=$(sed -n 's/^ *--> index.weft:\([0-9]*\):.*/\1/p' out)
            [ "${at:-0}" -ge "$line" ] && [ "$at" -le $((line + 2)) ] || fail "$entry: line $at, not $line"
        done
    done
done

# In an object the code is one of the model's checks, and its text names the same line.
cat >user.c <<'END'
#include "index.h"
#include "runtime/pool.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static float y[64000];
static char workspace[1 << 22];
int main(int count, char **arguments) {
    struct weft_error error;
    struct weft_pool *pool = weft_pool_create(2, &error);
    if (!pool || count != 1) return 1;
    (void)arguments;
#define CASE(name)                                                                                              \
    for (int turn = 0; turn < 4; turn++) {                                                                      \
        const weft_exec *exec = turn % 2 ? weft_pool_exec(pool) : NULL;                                         \
        int32_t bad = turn / 2 ? 977 : -1;                                                                      \
        if (index_##name##_workspace(exec) > sizeof workspace) return 2;                                        \
        int code = index_##name(bad, y, workspace, exec);                                                      \
        if (bad < 0 ? code : code < WEFT_FIRST_CHECK || !strstr(index_error(code), "an index is not in axis")) \
            return printf(#name ": code %d\n", code), 3;                                                        \
        if (bad >= 0) printf(#name " %s\n", index_error(code));                                                 \
    }
    CASE(gather) CASE(below) CASE(set) CASE(add) CASE(choose) CASE(along) CASE(turns)
    weft_pool_destroy(pool);
    return 0;
}
END
"$WEFT" build index.weft -o index.o --cpu native --quiet --entry "${entries// /,}" >out 2>&1 || fail "build: $(cat out)"
mkdir runtime && cp "$SOURCE_DIR"/runtime/*.h runtime/
# The runtime of a build with sanitizers wants them in the program, too.
sanitizers=$(sed -n 's/^WEFT_SANITIZE:[A-Z]*=\(..*\)/-fsanitize=\1/p' "$BUILD_DIR/CMakeCache.txt")
# shellcheck disable=SC2086 # none or one word
cc -std=c17 $sanitizers -I. -o user user.c index.o "$BUILD_DIR/libweft_rt.a" -lpthread -lm >out 2>&1 || fail "the object's user: $(head -c 2000 out)"
./user >out 2>&1 || fail "the object's user gives $?: $(cat out)"
for entry in $entries; do
    line=$(grep -n "^  fn $entry(" index.weft | cut -d: -f1)
    [ "$(grep -c "^$entry " out)" = 2 ] || fail "$entry in the object: $(grep "^$entry " out)"
    at=$(sed -n "s/^$entry .*index.weft:\([0-9]*\).*/\1/p" out | sort -u)
    [ "${at:-0}" -ge "$line" ] 2>/dev/null && [ "$at" -le $((line + 2)) ] || fail "$entry in the object: line $at, not $line"
done
[ $failures = 0 ]

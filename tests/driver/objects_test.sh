#!/usr/bin/env bash
# weft build: one C function for several sizes, shared libraries, what is refused.
set -u
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export XDG_CACHE_HOME=$work/cache
failures=0
fail() { echo "FAILED: $*"; failures=$((failures + 1)); }
# expect STATUS TEXT ARGUMENTS...: weft ends with the status, and says the text
expect() {
    local status=$1 text=$2 out
    shift 2
    out=$("$WEFT" "$@" 2>&1)
    local got=$?
    [ $got = "$status" ] || fail "weft $*: status $got, wanted $status: $out"
    [[ $out == *"$text"* ]] || fail "weft $*: no '$text' in: $out"
}

cat >two.weft <<'END'
use nn
model Two {
  let w = nn.Linear(3)
  fn f(x: f32[B, 4], steps: int = 2) -> f32[B, 3] {
    y = w(x)
    for k in 0..steps { y = y * 0.5 }
    return y
  }
  /// n rows of noise.
  fn g(n: int) -> f32[n, 2] = randn([n, 2])
  fn f_n3(x: f32[2]) = x
  fn rows(v: f32[N]) -> f32[N / 4, 4] = reshape(v, [N / 4, 4])
  train step(x: f32[B, 4]) { minimize mean(w(x)^2) using nn.SGD(lr: 0.1) }
}
END
cat >user.c <<'END'
#include "two.h"
#include <stdio.h>
#include <string.h>
static _Alignas(64) char weights[4096], state[4096], workspace[1 << 16];
int main(void) {
    float x[32], y[24], one[3], noise[8];
    for (int i = 0; i < 32; i++)
        x[i] = i % 4 + 1;
    if (two_weights_size() > sizeof(weights) || two_state_size() > sizeof(state)) return 1;
    if (two_init(weights, state, 1)) return 2;
    if (two_f(weights, x, 8, 2, y, workspace, NULL)) return 3;
    if (two_f(weights, x, 1, 2, one, workspace, NULL)) return 4;
    if (memcmp(y, one, sizeof one) || memcmp(y + 21, one, sizeof one)) return 5;
    if (two_f(weights, x, 1, 3, one, workspace, NULL) || one[0] * 2 != y[0]) return 6;
    if (two_f(weights, x, 2, 2, y, workspace, NULL) != WEFT_BAD_SHAPE) return 7;
    if (two_f(weights, x, 8, 4, y, workspace, NULL) != WEFT_BAD_SHAPE) return 8;
    if (two_f_workspace(8, 4, NULL) || !two_f_workspace(8, 3, NULL)) return 9;
    if (two_f_B8_steps3_args[2].shape[0] != 8 || two_g_n4_arg_count != 4) return 10;
    if (two_g(4, 7, noise, workspace, NULL) || two_g(5, 7, noise, workspace, NULL) != WEFT_BAD_SHAPE) return 11;
    if (two_step(weights, state, x, 8, workspace, NULL) || two_step(weights, state, x, 1, workspace, NULL)) return 12;
    if (two_f_n3(x, y, workspace, NULL) || y[1] != 2) return 13;
    if (two_rows(x, 12, y, workspace, NULL) || y[11] != 4) return 14;
    return 0;
}
END
sizes=(--shape N=8,12 --shape B=1,8 --shape n=3,4 --shape steps=2,3)
expect 0 "two.o" build two.weft -o two.o --cpu native "${sizes[@]}"
cc -std=c17 -Wall -Wextra -Wpedantic -Werror -o user user.c two.o -lm || fail "the object does not link"
./user || fail "the object's user: $?"

# A library: the same program, and nothing left beside it.
mkdir library
expect 0 "two.so" build two.weft --shared -o library/two.so --cpu native "${sizes[@]}"
[ "$(ls library)" = $'two.h\ntwo.so' ] || fail "beside the library: $(ls library)"
cc -std=c17 -Wall -Wextra -Werror -Ilibrary -o shared user.c -Llibrary -l:two.so -Wl,-rpath,"$work/library" || fail "the library does not link"
./shared || fail "the library's user: $?"
out=$(PATH=$work "$WEFT" build two.weft --shared -o library/none.so "${sizes[@]}" 2>&1)
[ $? = 1 ] && [[ $out == *"there is no \`cc\` here"* ]] && [ ! -e library/none.so ] || fail "no compiler: $out"
[ -z "$(find library -name 'none.so*')" ] || fail "left over: $(ls library)"

expect 2 "-o FILE.o is wanted" build two.weft -o two.so "${sizes[@]}"
expect 2 "--shared wants -o FILE.so" build two.weft --shared -o two.o "${sizes[@]}"
expect 2 "different sizes" build two.weft -o two.o --shape B=1,1
expect 2 "different sizes" build two.weft -o two.o --shape B=1,
expect 2 "names \`B\` twice" build two.weft -o two.o --shape B=1 --shape B=8
expect 1 "the size n has no value yet" build two.weft -o two.o --entry g
expect 1 "N must be a multiple of 4, but is 6" build two.weft -o two.o --entry rows --shape N=8,6
expect 0 "no size of \`f\`, \`g\`, \`f_n3\`, \`rows\` and \`step\` depends on \`stesp\`" build two.weft -o two.o --shape B=1 --shape n=3 --shape N=4 --shape stesp=3

# Passes and plans show each size.
expect 0 "f_B8: peak" plan two.weft:f --shape B=1,8
expect 0 "fn f_B1(" dump two.weft:f --shape B=1,8 --after simplify

# Where an int parameter changes what comes out, no prototype is for both.
cat >other.weft <<'END'
model Other {
  fn f(x: f32[2], k: int = 1) = [x * i for i in 0..k]
}
END
expect 1 "other inputs or results at other sizes" build other.weft -o other.o --shape k=1,2

# Functions may be called as what every header has.
cat >named.weft <<'END'
use nn
model Named {
  let w = nn.Linear(2)
  fn init(x: f32[B, 3]) -> f32[B, 2] = w(x)
  fn error(x: f32[2]) -> f32[2] = x + 1.0
  fn weights(x: f32[2]) -> f32[2] = x + 2.0
  fn init__call(x: f32[2]) -> f32[2] = x + 3.0
  train init_(x: f32[B, 3]) { minimize mean(init(x)^2) using nn.SGD(lr: 0.1) }
}
END
expect 0 "f32[2] = [2, 2]" run named.weft:error "x=[1,1]"
expect 0 "f32[1,2] = [[" run named.weft:init "x=[[0,0,0]]"
expect 0 "named.h" build named.weft -o named.o --shape B=1 --prefix n
cat >names.c <<'END'
#include "named.h"
static _Alignas(64) char weights[4096], state[4096], workspace[1 << 16];
int main(void) {
    float x[3] = {1, 1, 1}, y[2];
    int bad = n_init(weights, state, 1) || n_init_(weights, x, 1, y, workspace, 0) || n_init__(weights, state, x, 1, workspace, 0);
    bad = bad || n_error_(x, y, workspace, 0) || y[0] != 2;
    bad = bad || n_weights_(x, y, workspace, 0) || y[0] != 3;
    bad = bad || n_init__call_(x, y, workspace, 0) || y[0] != 4;
    return bad || n_init__call__workspace(0) == 0 || !*n_error(WEFT_BAD_SHAPE);
}
END
cc -std=c17 -Wall -Wextra -Werror -o names names.c named.o -lm && ./names || fail "functions called as what every header has: $?"
[ $failures = 0 ] || exit 1

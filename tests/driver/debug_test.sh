#!/usr/bin/env bash
# -g: the same instructions, with the lines of the model's text; breakpoints there, where gdb is installed.
set -u
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export XDG_CACHE_HOME=$work/cache
failures=0
fail() { echo "FAILED: $*"; failures=$((failures + 1)); }

cat >model.weft <<'END'
use nn
model M {
  let w = nn.Linear(3)
  fn double(x: f32[B, 3]) -> f32[B, 3] {
    return exp(x * 2.0)
  }
  fn f(x: f32[B, 4]) -> f32[B, 3] {
    y = double(w(x))
    return tanh(y)
  }
}
END
code() { objdump -d --no-show-raw-insn "$1" | sed -E '/file format/d; s/weft_[0-9a-f]{32}//g'; }
"$WEFT" build model.weft --entry f --shape B=5 -o plain.o --prefix m --quiet || fail "no object"
"$WEFT" build model.weft --entry f --shape B=5 -o lines.o --prefix m --quiet -g || fail "no object with -g"
diff <(code plain.o) <(code lines.o) >difference || fail "-g changes the code: $(head -20 difference)"
[ "$(code plain.o | wc -l)" -gt 100 ] || fail "objdump shows no code"
objdump --dwarf=decodedline lines.o >lines
for line in 5 9; do
    grep -qE "model.weft +$line " lines || fail "no code of line $line: $(cat lines)"
done
grep -qE "layers.weft +10 " lines || fail "no code of the library: $(cat lines)"
! objdump --dwarf=decodedline plain.o | grep -q "model.weft" || fail "lines without -g"

# Lines are part of the cache's key: the same code from other lines is not taken for it.
sed -i '1i // a line' model.weft
"$WEFT" build model.weft --entry f --shape B=5 -o moved.o --prefix m --quiet -g
objdump --dwarf=decodedline moved.o | grep -qE "model.weft +6 " || fail "the object keeps old lines"

# The JIT, with the debugger told and not.
"$WEFT" run model.weft:f 'x=[[1,2,3,4]]' --quiet >without || fail "the JIT"
"$WEFT" run model.weft:f 'x=[[1,2,3,4]]' --quiet -g >with || fail "the JIT with -g"
cmp -s without with || fail "the JIT gives other bits with -g"
if command -v gdb >/dev/null && ! ldd "$WEFT" | grep -q asan; then
    gdb -q -batch -ex "set debuginfod enabled off" -ex "set breakpoint pending on" -ex "break model.weft:6" -ex run -ex bt \
        --args "$WEFT" run model.weft:f 'x=[[1,2,3,4]]' --quiet -g >session 2>&1 </dev/null
    if grep -q "ptrace" session; then
        echo "gdb may not trace here: left out"
    else
        grep -q "#0 .*M.double () at .*model.weft:6" session && grep -q "() at .*model.weft:9" session || fail "gdb: $(tail -20 session)"
    fi
fi
[ $failures = 0 ] || exit 1

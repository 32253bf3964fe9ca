#!/usr/bin/env bash
# Every dtype through the program: numbers on the command line, results, .npy files, C types of the header.
set -u
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export XDG_CACHE_HOME=$work/cache
failures=0
# gives TEXT COMMAND...: the output is TEXT, line by line
gives() {
    local wanted=$1 out
    shift
    out=$("$@" 2>&1) || out="status $?: $out"
    [ "$out" = "$wanted" ] || { echo "FAILED: $*: wanted"; echo "$wanted"; echo "got"; echo "$out"; failures=$((failures + 1)); }
}

cat >m.weft <<'END'
model D {
  param w: f16[4, 3] = 0.5
  param v: bf16[3] = 0.25
  fn a(x: f16[2, 4]) = x @ w
  fn b(x: bf16[2, 3]) = x + v
  fn c(x: i8[2, 4], y: i8[4, 3]) = x @ y
  fn d(x: f32[5]) =
    (cast(x, f64), cast(x, bf16), cast(x, f16), cast(x, i64), cast(x, i32), cast(x, u32), cast(x, i8), cast(x, u8), x > 0.0)
  fn e(x: u8[5]) = sum(cast(x, i32))
  fn g(x: f16[6]) = (sum(x), max(x), argmax(x), cumsum(x, 0))
  fn h(i: i32[2], x: bf16[4, 2]) = x[i]
}
END
weft() { "$WEFT" "$@"; }
gives 'f16[2,3] = [[5, 5, 5], [13.125, 13.125, 13.125]]' weft run m.weft:a 'x=[[1,2,3,4],[5,6,7,8.25]]'
gives 'bf16[2,3] = [[1.25, 2.25, 3.25], [4.25, 5.25, 6.25]]' weft run m.weft:b 'x=[[1,2,3],[4,5,6]]'
gives 'i32[2,3] = [[430, 436, 442], [-722, -704, -686]]' \
    weft run m.weft:c 'x=[[1,2,3,4],[5,6,7,-8]]' 'y=[[1,2,3],[4,5,6],[7,8,9],[100,100,100]]'
gives '0: f64[5] = [-1.5, 2.5, 300, 0.1, -0]
1: bf16[5] = [-1.5, 2.5, 300, 0.100098, -0]
2: f16[5] = [-1.5, 2.5, 300, 0.0999756, -0]
3: i64[5] = [-1, 2, 300, 0, 0]
4: i32[5] = [-1, 2, 300, 0, 0]
5: u32[5] = [0, 2, 300, 0, 0]
6: i8[5] = [-1, 2, 127, 0, 0]
7: u8[5] = [0, 2, 255, 0, 0]
8: bool[5] = [false, true, true, true, false]' weft run m.weft:d 'x=[-1.5,2.5,300,0.1,-0.0]'
gives 'i32[] = 265' weft run m.weft:e 'x=[1,2,3,4,255]'
gives '0: f16[] = 20.5
1: f16[] = 9
2: i32[] = 4
3: f16[6] = [1, 3, 6.5, 2.5, 11.5, 20.5]' weft run m.weft:g 'x=[1,2,3.5,-4,9,9]'
gives 'bf16[2,2] = [[7, 8], [1, 2]]' weft run m.weft:h 'i=[3,0]' 'x=[[1,2],[3,4],[5,6],[7,8]]'

# f16 goes through .npy; NumPy has no bf16
weft run m.weft:a 'x=[[1,2,3,4],[5,6,7,8]]' --quiet -o a.npy >/dev/null
cat >n.weft <<'END'
model N { fn f(x: f16[2, 3]) = x * 2.0 }
END
gives 'f16[2,3] = [[10, 10, 10], [26, 26, 26]]' weft run n.weft:f x=a.npy
gives 'status 1: error[E0801]: b.npy: .npy has no dtype bf16: convert it to f32' \
    weft run m.weft:b 'x=[[1,2,3],[4,5,6]]' -o b.npy

# of a train, which has no results, -o writes the reports
cat >t.weft <<'END'
use nn
model T {
  param w: f32[2] = 1.0
  train t(x: f32[2]) {
    minimize sum(w * x) using nn.SGD(lr: 0.5)
    report w = w, loss = sum(w * x)
  }
  fn f(w: f32[2], loss: f32[]) = w * loss
}
END
gives '' weft run t.weft:t 'x=[2,4]' --quiet -o report.npy
gives 'f32[2] = [-0, 4]' weft run t.weft:f w=report-w.npy loss=report-loss.npy

weft build m.weft --entry a,c,d --quiet -o m.o >/dev/null
for type in 'const uint16_t \*x, uint16_t \*' 'const int8_t \*x, const int8_t \*y, int32_t \*' 'uint8_t \*'; do
    grep -q "$type" m.h || { echo "FAILED: m.h has no $type"; failures=$((failures + 1)); }
done
exit $((failures > 0))

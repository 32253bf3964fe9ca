#!/usr/bin/env bash
# --memory as a contract: a decoder's last block in less memory than its upsampled image takes, and a deep gradient by computing its
# forward pass again, compiled and run, give what they give without a limit: to rounding where sums run in parts, else the same bits.
set -u
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export XDG_CACHE_HOME=$work/cache
failures=0

fail() {
    echo "FAILED: $*"
    failures=1
}

cat >decoder.weft <<'END'
use nn
module Block(ch: int) {
  let n1 = nn.GroupNorm(8)
  let c1 = nn.Conv2d(ch, 3, pad: 1)
  let n2 = nn.GroupNorm(8)
  let c2 = nn.Conv2d(ch, 3, pad: 1)
  let skip = nn.Conv2d(ch, 1)
  fn call(x: f32[B, C, H, W]) -> f32[B, ch, H, W] = (x |> n1 |> silu |> c1 |> n2 |> silu |> c2) + skip(x)
}
model Decoder() {
  let up = nn.Conv2d(32, 3, pad: 1)
  let block = Block(16)
  let out = nn.Conv2d(3, 3, pad: 1)
  fn f(x: f32[B, 32, H, W]) -> f32[B, 3, 2 * H, 2 * W] = x |> exp |> upsample(2) |> up |> block |> out
  fn image() -> f32[1, 3, 64, 64] = f(randn([1, 32, 32, 32]))
  fn far(a: f32[1, 3, 64, 64], b: f32[1, 3, 64, 64]) -> bool[] = max(abs(a - b)) > 1e-4 * max(abs(a))
}
END
cat >deep.weft <<'END'
use nn
model Deep() {
  let layers = [nn.Linear(64) for i in 0..12]
  fn slope() -> f32[64, 64] {
    x = randn([64, 64])
    h = x
    for l in layers { h = sin(l(h)) }
    return grad(sum(h^2), x)
  }
}
END

# The peak of an entry, in bytes.
peak() { "$WEFT" plan "$@" | sed -nE 's/.*: peak .*\(([0-9]+) bytes\).*/\1/p'; }

before=$(peak decoder.weft:image)
limit=$((before * 80 / 100))
after=$(peak decoder.weft:image --memory "$limit")
[ "${after:-$before}" -le "$limit" ] || fail "the decoder takes $after of $limit bytes"
"$WEFT" run decoder.weft:image -q -o a.npy || fail "the decoder does not run"
"$WEFT" run decoder.weft:image -q -o b.npy --memory "$limit" || fail "the decoder does not run in $limit bytes"
"$WEFT" run decoder.weft:far -q a=a.npy b=b.npy | grep -q false || fail "the decoder in less memory gives another image"

before=$(peak deep.weft:slope)
limit=$((before * 60 / 100))
"$WEFT" plan deep.weft:slope --memory "$limit" | grep -q "computed again for --memory: [0-9]* kernels" ||
    fail "the plan does not tell what is computed again"
"$WEFT" run deep.weft:slope -q -o a.npy && "$WEFT" run deep.weft:slope -q -o b.npy --memory "$limit" && cmp a.npy b.npy ||
    fail "a gradient in less memory has other bits"
"$WEFT" plan deep.weft:slope --memory 16K 2>&1 | grep -q "E0704.*at least" || fail "16K cannot do"
exit $failures

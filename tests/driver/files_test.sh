#!/usr/bin/env bash
# Files that are broken, hostile or do not fit, and places that cannot be written, through the program: always a
# message and status 1, never a crash, a hang or a part of a file.
set -u
data=${WEFT_DATA:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export XDG_CACHE_HOME=$work/cache
export ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=0
ulimit -c 0
failures=0
fail() { echo "FAILED: $*"; failures=$((failures + 1)); }

# refused TEXT COMMAND...: status 1 with an error that holds the text, in less than 20 s.
refused() {
    local text=$1 out status
    shift
    out=$(timeout 20 "$@" 2>&1 </dev/null)
    status=$?
    if [ $status != 1 ] || ! grep -q '^error\[E[0-9]*\]: ' <<<"$out" || ! grep -qF -- "$text" <<<"$out"; then
        fail "$*: status $status, wanted 1 and \`$text\`, output: ${out:0:600}"
    fi
}
# taken COMMAND...: status 0.
taken() {
    local out
    out=$(timeout 60 "$@" 2>&1 </dev/null) || fail "$*: status $?, output: ${out:0:600}"
}
no_parts() { # of files, anywhere
    local left
    left=$(find "$work" -name '*.tmp' -not -path "$work/cache/*")
    [ -z "$left" ] || fail "$1 left $left"
}

# little BYTES NUMBER, big BYTES NUMBER: a number's bytes
little() { local i; for ((i = 0; i < $1; i++)); do printf "\\x$(printf %02x $((($2 >> (8 * i)) & 255)))"; done; }
big() { local i; for ((i = $1 - 1; i >= 0; i--)); do printf "\\x$(printf %02x $((($2 >> (8 * i)) & 255)))"; done; }

cat >m.weft <<'END'
use nn
model M(hidden: int = 3) {
  let a = nn.Linear(hidden)
  let b = nn.Linear(2, bias: false)
  fn picture(x: f32[B, C, H, W]) -> f32[B, C] = mean(x, axis: [2, 3])
  fn gray(n: int) -> f32[n, 1, 8, 8] = uniform([n, 1, 8, 8])
  fn f(x: f32[B, 4]) -> f32[B, 2] = b(relu(a(x)))
  fn make(n: int) -> f32[n, 4] = ones([n, 4])
  train step(x: f32[B, 4]) { minimize mean(f(x)^2) using nn.SGD(lr: 0.1) }
  train look(image: f32[B, 1, H, W], label: i32[B]) {
    minimize mean(f(reshape(image, [B, H * W])[:, :4])^2) using nn.SGD(lr: 0.1)
  }
}
END
# recipe NAME TRAIN DATA: a run of one step
recipe() {
    cat >"$1.yaml" <<END
model: m.weft:M
train: $2
data: {train: $3}
batch: 2
steps: 1
checkpoint: {dir: $1}
END
}

# ---- PNG ----
taken "$WEFT" run m.weft:gray n=1 -o good.png
if [ -d "$data/images/pngsuite" ]; then
    broken=0 whole=0
    for picture in "$data"/images/pngsuite/x*.png; do
        refused "$(basename "$picture")" "$WEFT" inspect "$picture"
        refused "$(basename "$picture")" "$WEFT" run m.weft:picture x="$picture"
        broken=$((broken + 1))
    done
    for picture in "$data"/images/pngsuite/[a-wyz]*.png; do
        taken "$WEFT" inspect "$picture"
        whole=$((whole + 1))
    done
    [ $broken -ge 14 ] && [ $whole -ge 150 ] || fail "PngSuite has $broken broken and $whole whole pictures"
fi
size=$(stat -c %s good.png)
for length in 0 1 8 20 33 40 $((size / 2)) $((size - 13)); do
    head -c "$length" good.png >short.png
    refused short.png "$WEFT" inspect short.png
    refused short.png "$WEFT" run m.weft:picture x=short.png
done
{ # 2^31 - 1 pixels wide and high: nothing of that size is asked for
    printf '\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x7f\xff\xff\xff\x7f\xff\xff\xff\x08\x06\x00\x00\x00\x50\xa1\x09\x8e'
    tail -c +34 good.png
} >huge.png
refused huge.png "$WEFT" inspect huge.png
refused huge.png "$WEFT" run m.weft:picture x=huge.png
refused missing.png "$WEFT" inspect missing.png
mkdir folder.png
refused folder.png "$WEFT" inspect folder.png
refused "the model wants f32[B,C,H,W]" "$WEFT" run m.weft:picture x=[1,2]

# ---- npy ----
taken "$WEFT" run m.weft:make n=4 -o good.npy
size=$(stat -c %s good.npy)
for length in 0 1 6 8 9 10 60 127 128 $((size - 1)); do
    head -c "$length" good.npy >short.npy
    refused short.npy "$WEFT" inspect short.npy
    refused short.npy "$WEFT" run m.weft:f x=short.npy
done
# npy HEADER: a file with this header and 64 bytes behind it
npy() {
    local header=$1
    printf '\x93NUMPY\x01\x00'
    little 2 ${#header}
    printf '%s' "$header"
    head -c 64 /dev/zero
}
n=0
while IFS= read -r header; do
    n=$((n + 1))
    npy "$header" >bad$n.npy
    refused bad$n.npy "$WEFT" inspect bad$n.npy
    refused bad$n.npy "$WEFT" run m.weft:f x=bad$n.npy
done <<'END'

not a header
{'descr': '<f4', 'fortran_order': False, 'shape': (4, 4)
{'descr': '<f4', 'fortran_order': False}
{'descr': '<f4', 'fortran_order': True, 'shape': (4, 4), }
{'descr': '|O', 'fortran_order': False, 'shape': (4, 4), }
{'descr': '>f4', 'fortran_order': False, 'shape': (4, 4), }
{'descr': '<f3', 'fortran_order': False, 'shape': (4, 4), }
{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (4, 4), }
{'descr': '<f4', 'fortran_order': False, 'shape': (4, -4), }
{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }
{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 4), }
{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 4), }
{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 4), }
{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1), }
END
printf '\x93NUMPY\x03\x00\xff\xff\xff\x7f' >long.npy
refused long.npy "$WEFT" inspect long.npy
npy "{'descr': '<i4', 'fortran_order': False, 'shape': (4, 4), }" >ints.npy
refused "the model wants f32" "$WEFT" run m.weft:f x=ints.npy
npy "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 8), }" >wide.npy
refused "is 8; the model wants 4" "$WEFT" run m.weft:f x=wide.npy
npy "{'descr': '<f4', 'fortran_order': False, 'shape': (16,), }" >flat.npy
refused "the model wants f32[B,4]" "$WEFT" run m.weft:f x=flat.npy

# ---- IDX ----
mkdir idx
# idx FILE TYPE DIM... : a header of these dims and 200 bytes
idx() {
    local file=$1 type=$2 dim
    shift 2
    {
        printf "\\x00\\x00\\x$type\\x$(printf %02x $#)"
        for dim in "$@"; do big 4 "$dim"; done
        head -c 200 /dev/zero
    } >"$file"
}
labels() { idx idx/train-labels-idx1-ubyte 08 3; head -c 11 idx/train-labels-idx1-ubyte >l && mv l idx/train-labels-idx1-ubyte; }
recipe i look "{kind: idx, dir: idx}"
images=idx/train-images-idx3-ubyte
idx $images 08 3 4 4; head -c 64 $images >x && mv x $images; labels
taken "$WEFT" train i.yaml --quiet
rm -r i
idx $images 08 4294967295 4294967295 4294967295;     refused $images "$WEFT" train i.yaml
idx $images 08 2147483647 65536 65536;               refused $images "$WEFT" train i.yaml
idx $images 08 30 4 4;                               refused $images "$WEFT" train i.yaml # 200 of 480 bytes
idx $images 08 0 4 4;                                refused "idx" "$WEFT" train i.yaml
idx $images 77 3 4 4;                                refused $images "$WEFT" train i.yaml
idx $images 08 3 4 4 1 1 1 1 1 1 1 1 1 1;            refused "idx" "$WEFT" train i.yaml
printf 'not an IDX file' >$images;                   refused $images "$WEFT" train i.yaml
: >$images;                                          refused $images "$WEFT" train i.yaml
idx $images 08 3 4 4; head -c 64 $images >x && mv x $images
idx idx/train-labels-idx1-ubyte 08 2 ;               refused "idx" "$WEFT" train i.yaml # two labels for three pictures
rm idx/train-labels-idx1-ubyte;                      refused "train-labels-idx1-ubyte" "$WEFT" train i.yaml
labels
gzip -k $images && rm $images
head -c 30 $images.gz >x && mv x $images.gz;         refused $images.gz "$WEFT" train i.yaml
printf '\x1f\x8b\x08\x00garbage that is no deflate' >$images.gz; refused $images.gz "$WEFT" train i.yaml
[ -e i ] && fail "a run that cannot begin leaves a folder"
recipe e look "{kind: idx, dir: nowhere}";           refused nowhere "$WEFT" train e.yaml

# ---- safetensors ----
recipe s step "{kind: npy, file: good.npy}"
taken "$WEFT" train s.yaml --quiet
taken "$WEFT" run m.weft:f x=good.npy --weights s/last.safetensors -o y.npy
good=s/last.safetensors
size=$(stat -c %s $good)
for length in 0 1 7 8 9 50 $((size - 1)); do
    head -c "$length" $good >short.safetensors
    refused short.safetensors "$WEFT" inspect short.safetensors
    refused short.safetensors "$WEFT" run m.weft:f x=good.npy --weights short.safetensors
done
# weights FILE HEADER: a file with this header and 128 bytes behind it
weights() {
    {
        little 8 ${#2}
        printf '%s' "$2"
        head -c 128 /dev/zero
    } >"$1"
}
n=0
while IFS= read -r header; do
    n=$((n + 1))
    weights bad$n.safetensors "$header"
    refused bad$n.safetensors "$WEFT" inspect bad$n.safetensors
    refused bad$n.safetensors "$WEFT" run m.weft:f x=good.npy --weights bad$n.safetensors
done <<'END'
no JSON
[]
{"a.weight": 3}
{"a.weight": {"dtype": "F32", "shape": [3, 4]}}
{"a.weight": {"dtype": "F32", "shape": [3, 4], "data_offsets": [0]}}
{"a.weight": {"dtype": "F32", "shape": [3, 4], "data_offsets": [0, 40]}}
{"a.weight": {"dtype": "F32", "shape": [3, 4], "data_offsets": [48, 0]}}
{"a.weight": {"dtype": "F32", "shape": [3, 4], "data_offsets": [-48, 0]}}
{"a.weight": {"dtype": "F32", "shape": [3, 4], "data_offsets": [1000, 1048]}}
{"a.weight": {"dtype": "F32", "shape": [3, 4], "data_offsets": [9223372036854775800, 9223372036854775848]}}
{"a.weight": {"dtype": "F32", "shape": [3, -4], "data_offsets": [0, 48]}}
{"a.weight": {"dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 48]}}
{"a.weight": {"dtype": "F33", "shape": [3, 4], "data_offsets": [0, 48]}}
{"a.weight": {"dtype": "F32", "shape": "3, 4", "data_offsets": [0, 48]}}
{"a.weight": {"dtype": "F32", "shape": [3, 4.5], "data_offsets": [0, 48]}}
{"a.weight": {"dtype": "F32", "shape": [3, 4], "data_offsets": [0, 48]}, "b.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [24, 48]}}
{"a.weight": {"dtype": "F32", "shape": [3, 4], "data_offsets": [0, 48]}, "a.weight": {"dtype": "F32", "shape": [3, 4], "data_offsets": [48, 96]}}
{"__metadata__": {"step": 3}}
{"a.weight": {"dtype": "F32", "shape": [3, 4], "data_offsets": [0, 48]}
END
{ little 8 9223372036854775807; head -c 64 /dev/zero; } >far.safetensors
refused far.safetensors "$WEFT" inspect far.safetensors
{ little 8 60000; printf '{'; head -c 59999 /dev/zero | tr '\0' '['; } >deep.safetensors
refused deep.safetensors "$WEFT" inspect deep.safetensors

# ---- weights that do not fit: all in one message ----
header='{"a.weight":{"dtype":"F32","shape":[3,4],"data_offsets":[0,48]},"a.bias":{"dtype":"F32","shape":[4],"data_offsets":[48,64]},'
header+='"c.weight":{"dtype":"F32","shape":[4],"data_offsets":[64,80]}}'
{ little 8 ${#header}; printf '%s' "$header"; head -c 80 /dev/zero; } >other.safetensors
recipe w step "{kind: npy, file: good.npy}"
echo 'load: [{into: ., file: other.safetensors}]' >>w.yaml
for text in "other.safetensors does not fit the model" "missing: b.weight" "unused: c.weight" "differs: a.bias is f32[4] in the file, f32[3] in the model"; do
    refused "$text" "$WEFT" train w.yaml
done
[ "$("$WEFT" train w.yaml 2>&1 | grep -c 'a.bias')" = 1 ] || fail "a weight that differs is also unused"
[ "$("$WEFT" train w.yaml 2>&1 | grep -c '^error')" = 1 ] || fail "the differences are not one message"
refused "missing: b.weight" "$WEFT" run m.weft:f x=good.npy --weights other.safetensors

# ---- YAML ----
n=0
while IFS= read -r text; do
    n=$((n + 1))
    printf -- "$text" >bad$n.yaml
    refused bad$n.yaml "$WEFT" train bad$n.yaml
done <<'END'

# nothing but a comment
just a text
- a\n- list\n
model: [1, 2\n
model: {a: 1\n
model: "m.weft\n
model: m.weft\nmodel: m.weft\n
model: *nothing\n
\tmodel: m.weft\n
model: m.weft:M\n  data: 3\n
model: !!python/object:os.system m.weft\n
model: m.weft\ndata: 3\nbatch: [2]\n
\xff\xfe\x00m\x00o
model: \xff\xfe\n
model: m.weft\0hidden\n
%%YAML 9.9\n---\nmodel: m.weft\n
model: m.weft\n---\nmodel: m.weft\n
model: m.weft\nbatch: 99999999999999999999\n
model: m.weft\nbatch: -3\nsteps: 1e3\n
END
{ # a small text that would be 10^9 nodes
    echo 'a: &a [x,x,x,x,x,x,x,x,x,x]'
    previous=a
    for next in b c d e f g h i; do
        echo "$next: &$next [*$previous,*$previous,*$previous,*$previous,*$previous,*$previous,*$previous,*$previous,*$previous,*$previous]"
        previous=$next
    done
} >laughs.yaml
refused laughs.yaml "$WEFT" train laughs.yaml
{ printf 'model: '; head -c 200000 /dev/zero | tr '\0' '['; } >deep.yaml
refused deep.yaml "$WEFT" train deep.yaml
mkdir folder.yaml
refused folder.yaml "$WEFT" train folder.yaml

# ---- models ----
mkdir folder.weft
refused folder.weft "$WEFT" check folder.weft
head -c 4096 /dev/urandom >noise.weft
timeout 20 "$WEFT" check noise.weft >/dev/null 2>&1
[ $? = 1 ] || fail "weft check of noise ends with status $?"

# ---- places that cannot be written ----
refused nowhere/y.npy "$WEFT" run m.weft:make n=2 -o nowhere/y.npy
refused nowhere/y.png "$WEFT" run m.weft:gray n=2 -o nowhere/y.png
refused nowhere/m. "$WEFT" build m.weft --entry make --shape n=2 -o nowhere/m.o
refused "/proc/y.npy" "$WEFT" run m.weft:make n=2 -o /proc/y.npy
refused "good.npy/y.npy" "$WEFT" run m.weft:make n=2 -o good.npy/y.npy
mkdir fixed
echo precious >fixed/y.npy
chmod 555 fixed
[ "$(id -u)" = 0 ] || refused fixed/z.npy "$WEFT" run m.weft:make n=2 -o fixed/z.npy
chmod 755 fixed
ln -s /dev/full full.npy
refused "No space left on device" "$WEFT" run m.weft:make n=2 -o full.npy
recipe file step "{kind: npy, file: good.npy}"
: >file
refused file "$WEFT" train file.yaml

# A full disk, that is, a limit of 1 KB a file: the old file stays, nothing new is there.
limited=(bash -c 'ulimit -f 1 && exec "$@"' limited)
cp good.npy before.npy
refused "cannot be written" "${limited[@]}" "$WEFT" run m.weft:make n=4000 -o fixed/y.npy --cache off
[ "$(cat fixed/y.npy)" = precious ] || fail "a full disk destroyed the file that was there"
refused "cannot be written" "${limited[@]}" "$WEFT" run m.weft:gray n=400 -o new.png --cache off
[ -e new.png ] && fail "a full disk left a part of a picture"
recipe disk step "{kind: npy, file: good.npy}"
refused "cannot be written" "${limited[@]}" "$WEFT" train disk.yaml --set hidden=4000 --cache off
[ -e disk/last.safetensors ] && fail "a full disk left a part of the weights"
refused "cannot be written" "${limited[@]}" "$WEFT" build m.weft --entry f --shape B=2 -o disk.o --cache off
[ -e disk.o ] && fail "a full disk left a part of an object"
no_parts "a full disk"

# Standard output may be full, too.
"$WEFT" inspect good.npy >/dev/full 2>/dev/null
[ $? = 1 ] || fail "a full standard output is not noticed"
exit $((failures != 0))

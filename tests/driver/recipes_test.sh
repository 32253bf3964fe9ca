#!/usr/bin/env bash
# Recipes from end to end, on a toy model and small data: every kind of data, phases and their resumption, statistics,
# weights of others, evaluations, pictures, contracts; and that a mistake leaves nothing behind.
set -u
here=$SOURCE_DIR/tests/driver/recipes
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_CACHE_HOME=$work/cache
failures=0
fail() { echo "FAILED: $*"; failures=$((failures + 1)); }
cd "$work" || exit 1
cp "$here/toy.weft" .
python3 "$here/make_data.py" d || exit 1

# recipe NAME: standard input behind `model: toy.weft:Toy`
recipe() { { echo "model: toy.weft:Toy"; cat; } >"$1.yaml"; }
train() { "$WEFT" train --quiet "$@" || fail "weft train $*"; }
there() { for f in "$@"; do [ -s "$f" ] || fail "$f is missing"; done; }
same() { cmp -s "$1" "$2" || fail "$1 and $2 differ: $3"; }
# refused RECIPE MESSAGE: status 1, the message, and no folder of a run
refused() {
    local out
    out=$("$WEFT" train --quiet "$1.yaml" 2>&1)
    [ $? = 1 ] || fail "$1 ends with status 1: $out"
    grep -qF -- "$2" <<<"$out" || fail "$1 says \"$2\": $out"
    [ -e "runs/$1" ] && fail "$1 has left runs/$1 behind"
}

# --- phases, statistics, pictures; checkpoints at every step
recipe phases <<'END'
data:
  train: {kind: images, dir: d/pics, resize: 9, rotate: 10, random_crop: 8, flip: true}
  classes: {kind: folders, dir: d/classes}
batch: 8
phases:
  - {train: first, data: train, epochs: 3}
  - {train: second, data: classes, batch: 4, accumulate: 2, steps: 7}
fit:
  - {fn: average, data: classes, into: centre, batch: 5}
  - {fn: variance, data: classes, into: spread}
evaluate:
  - {fn: both, data: classes, every: 1 epoch}
  - {fn: error, data: classes.image, at: end, reduce: list, rows: 10, batch: 4}
  - {fn: brightness, data: train, at: end, reduce: list}
samples:
  - {fn: sample, in: {n: 4}, set: {steps: 3}, grid: [2, 2], every: 4 steps}
  - {fn: sample, in: {n: 2}, grid: [1, 2]}
  - {fn: of_class, in: {label: "repeat(0..4, 2)"}, grid: [4, 2]}
  - {fn: decode, from: encode, data: classes, beside: input, grid: [2, 4], in: {scale: 0.5}}
  - {fn: one, data: train, beside: image, grid: [2, 4], save: "out/x-{i}.png"}
  - {fn: encode, data: train, save: npy, grid: [2, 2]}
checkpoint: {every: 1 steps, keep: 100, best: -loss}
log: {every: 1 steps, json: l.jsonl, html: r/page.html}
END
"$WEFT" train --quiet --check phases.yaml >/dev/null || fail "--check"
[ -e runs ] && fail "--check writes"
train phases.yaml
run=runs/phases
there $run/{l.jsonl,last.safetensors,best.safetensors,sample-00000004.png,sample-2-00000016.png,of_class-00000016.png} \
    $run/{decode-00000016.png,one-00000016.png,encode-00000016.npy,checkpoint-00000016.safetensors} r/page.html out/x-0.png out/x-3.png
[ -e out/x-4.png ] && fail "save: one file for each result, not for what stands beside"
grep '"phase":2' $run/l.jsonl | head -1 | grep -q '"at":0.0' || fail "a phase counts from zero"
turns=$(grep '"phase":1' $run/l.jsonl | grep -o '"turn":[0-9.]*' | cut -d: -f2 | tr '\n' ' ')
[ "$turns" = "0.0 0.0 0.0 1.0 1.0 1.0 2.0 2.0 2.0 " ] || fail "epochs: $turns"
[ "$(grep '"error (classes)","list"' $run/l.jsonl | grep -o '\[.*\]' | tr ',' '\n' | wc -l)" = 10 ] || fail "reduce: list gives each item's value"

# The statistics are those of the set: colour 0 of picture n at x is (37 n + 9 x) mod 256.
python3 - <<'END' || fail "fit"
import json, struct
data = open("runs/phases/last.safetensors", "rb").read()
length = struct.unpack("<Q", data[:8])[0]
begin = 8 + length + json.loads(data[8:8 + length])["centre"]["data_offsets"][0]
fitted = struct.unpack("<f", data[begin:begin + 4])[0]
mean = sum((37 * n + 9 * x) % 256 for n in range(24) for x in range(8)) / 192 / 255
exit(abs(fitted - mean) > 1e-5)
END

# --- resumed in either phase and at their border: the same bits, the same log
without_time() { sed 's/"seconds":[0-9.e-]*//' "$1/l.jsonl"; }
for step in 5 8 9 10 13; do
    rm -rf again
    cp -r $run again
    rm again/last.safetensors again/best.safetensors
    for f in again/checkpoint-*; do
        n=${f##*-} n=$((10#${n%.safetensors}))
        [ $n -le $step ] || rm "$f"
    done
    train phases.yaml --resume --out again
    same again/last.safetensors $run/last.safetensors "resumed at step $step"
    [ "$(without_time again)" = "$(without_time $run)" ] || fail "the log of the run resumed at step $step"
done
train phases.yaml --threads 1 --out single
same single/last.safetensors $run/last.safetensors "one thread"

# --- other kinds of data; broken files; texts
recipe unpaired <<'END'
data: {train: {kind: unpaired, a: d/classes/ant, b: d/classes/bee, range: [-1, 1]}}
train: unpaired
batch: 4
epochs: 2
END
train unpaired.yaml
recipe broken <<'END'
data: {train: {kind: images, dir: d/broken}}
train: first
batch: 8
epochs: 1
END
out=$("$WEFT" train --quiet broken.yaml 2>&1) && fail "a broken file ends the run"
grep -q "d/broken/05.png: neither a PNG nor a JPEG" <<<"$out" || fail "the broken file is named: $out"
sed -i 's/d.broken/&, on_error: skip/' broken.yaml
out=$("$WEFT" train broken.yaml 2>&1) || fail "on_error: skip"
grep -q "skipped, 1 so far: .*05.png" <<<"$out" || fail "a skipped file is told: $out"
recipe pairs <<'END'
data:
  train: {kind: pairs, table: d/captions.tsv, image: {resize: 12, center_crop: 8}, text: {bpe: clip, merges: d/merges.txt, length: 4}}
  set: {kind: npz, file: d/set.npz}
train: first
batch: 8
steps: 2
samples:
  - {fn: of_text, data: train.text, grid: [1, 2]}
  - {fn: of_text, in: {text: "bpe:low lower"}, save: one.npy}
  - {fn: of_text, in: {text: ["bpe:low", "bpe:lower"]}, save: two.npy}
  - {fn: one, data: set.image, grid: [2, 2]}
  - {fn: error, in: {image: "data(set.image)[:3]"}}
END
train pairs.yaml
there runs/pairs/{of_text-00000002.npy,one.npy,two.npy,one-00000002.png,error-00000002.npy}
out=$("$WEFT" inspect runs/pairs/two.npy)
grep -qF "runs/pairs/two.npy f32 [2, 8]" <<<"$out" || fail "a list of texts: $out"

# --- a scalar that nobody gives is what the model's text says
"$WEFT" run toy.weft:Toy:decode "z=[[0, 0, 0, 0, 0, 0, 0, 0]]" -o z.png || fail "run with a default"
there z.png

# --- weights of others: a prefix, a map, halves, what is missing and unused in one message
python3 - <<'END'
import struct, zipfile
def npy(descr, shape, data):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data
with zipfile.ZipFile("foreign.npz", "w") as z:
    z.writestr("m.enc_weight.npy", npy("<f2", (8, 192), struct.pack("<1536e", *([0.25] * 1536))))
    z.writestr("m.enc_bias.npy", npy("<f8", (8,), struct.pack("<8d", *([0.5] * 8))))
    z.writestr("m.extra.npy", npy("<f4", (1,), struct.pack("<f", 0)))
END
cat >map.yaml <<'END'
- {match: "^enc_", to: "encoder."}
- {match: "^(dec)_(.*)", to: "\\1oder.\\2"}
END
recipe load <<'END'
data: {train: {kind: npz, file: d/set.npz, fields: {image: u8}}}
load: [{file: foreign.npz, prefix: m., map: map.yaml, missing: ["decoder.*"], ignore: ["*.extra"]}]
samples: {fn: encode, data: train, grid: [1, 1], save: e.npy}
evaluate: {fn: error, data: train}
END
train load.yaml
there runs/load/e.npy runs/load/report.html
[ -e runs/load/last.safetensors ] && fail "a run that trains nothing saves no weights"
# Every encoder weight is 1/4 and every bias 1/2: all features are equal.
python3 - <<'END' || fail "loaded weights"
import struct
data = open("runs/load/e.npy", "rb").read()[-32:]
features = struct.unpack("<8f", data)
exit(max(features) - min(features) > 1e-5 or features[0] == 0)
END
sed -i 's/, missing:.*\]}\]/}]/' load.yaml
rm -r runs/load
for line in "foreign.npz does not fit the model" "missing: decoder.weight" "missing: decoder.bias" "unused: m.extra, as extra"; do
    refused load "$line"
done

# --- another model in a later phase takes what the first has learnt
cat >reader.yaml <<'END'
model: toy.weft
data: {train: {kind: npz, file: d/set.npz}}
batch: 8
phases:
  - {model: Toy, train: first, steps: 3}
  - {model: Reader, train: fit, steps: 4, load: [{into: inner, from: Toy, prefix: encoder.}]}
evaluate: [{fn: hits, data: train, at: end, reduce: sum}]
checkpoint: {every: 1 steps, keep: 9}
END
train reader.yaml
there runs/reader/{Toy.safetensors,Reader.safetensors,last.safetensors}
"$WEFT" inspect runs/reader/last.safetensors | grep -q inner.weight || fail "the last model's weights"
cp -r runs/reader again2
rm again2/last.safetensors again2/checkpoint-0000000[4567]*
train reader.yaml --resume --out again2
same again2/last.safetensors runs/reader/last.safetensors "resumed before another model"

# --- the end of a phase, NaN, memory
recipe stop <<'END'
data: {train: {kind: folders, dir: d/classes}}
train: first
set: {lr: 0.0}
batch: 8
epochs: 50
evaluate: [{fn: error, data: train.image, every: 1 epoch, stop: {watch: -error, patience: 2}}]
log: {every: 2 epochs}
END
train stop.yaml
[ "$(grep -c '"train"' runs/stop/log.jsonl)" = 2 ] || fail "a line behind two epochs, and one at the end"
[ "$(grep -c evaluate runs/stop/log.jsonl)" = 3 ] || fail "patience 2: three evaluations"
there runs/stop/last.safetensors
recipe nan <<'END'
data: {train: {kind: folders, dir: d/classes}}
train: fragile
batch: 4
steps: 13
log: {every: 1 steps}
on_nan: skip
END
train nan.yaml
[ "$(grep -c '"train"' runs/nan/log.jsonl)" = 11 ] || fail "two of 13 steps are skipped"
recipe memory <<'END'
data: {train: {kind: folders, dir: d/classes}}
train: first
batch: 4
steps: 1
memory: 2K
END
refused memory '`first` takes'
refused memory "at the peak: 3 values, the largest f32["

# --- what is told before anything is written
mistake() { # MESSAGE LINES
    { echo "data: {train: {kind: folders, dir: d/classes}}"; echo "batch: 4"; echo "steps: 1"; printf '%s\n' "$2"; } | recipe mistake
    refused mistake "$1"
}
mistake 'the model has more than one train block: `first`, `second`, `fragile` and `unpaired`' ""
mistake 'the model has no train block named `frist`' "train: frist"
mistake 'the model has no fn named `smaple`' $'train: first\nsamples: {fn: smaple}'
mistake '`sample` has no parameter `m`; it has `n` and `steps`' $'train: first\nsamples: {fn: sample, in: {m: 3}}'
mistake 'no evaluation has a result `elbo`' $'train: first\ncheckpoint: {best: elbo}'
mistake '`both` has no result `elbo`; it has `loss` and `size`' \
    $'train: first\nevaluate: {fn: both, data: train.image, every: 1 epoch, stop: {watch: elbo, patience: 1}}'
mistake 'the data set `train` has no field `picture`' $'train: first\nevaluate: {fn: error, data: train.picture}'
mistake 'nothing of this run reads a buffer `center`' $'train: first\nfit: {fn: average, data: train, into: center}'
mistake '`encode` gives f32[' $'train: first\nfit: {fn: encode, data: train, into: centre}'
mistake 'a range such as 0..10 begins with its lower end' $'train: first\nsamples: {fn: of_class, in: {label: 9..3}}'
mistake 'the set has `image` and `label`' $'train: first\nsamples: {fn: of_class, in: {label: "data(train.labl)[:2]"}}'
mistake 'no set of the recipe says how texts become numbers' $'train: first\nsamples: {fn: of_text, in: {text: "bpe:a"}}'
mistake '`sample` wants a whole number `n`' $'train: first\nsamples: {fn: sample}'
mistake '`first` is a train block; an fn is wanted here' $'train: first\nsamples: {fn: first, data: train}'
mistake 'mistake.yaml:6:37' $'train: first\nsamples: {fn: of_class, in: {label: [1.5, 2]}}'
mistake '`encode` wants image' $'train: first\nsamples: {fn: encode}'

# --- a newcomer
"$WEFT" train toy.weft 2>err && fail "a model is no recipe"
grep -q -- "toy.weft --example" err || fail "the way on is told: $(cat err)"
"$WEFT" train toy.weft:Reader --example >first.yaml || fail "--example"
grep -q 'kind: folders.*resize: 8, center_crop: \[8, 8\]' first.yaml || fail "data that fit: $(cat first.yaml)"
sed -i 's/FOLDER_OF_CLASSES/d\/classes/; s/epochs: 10/epochs: 1/; s/batch: 64/batch: 8/' first.yaml
train first.yaml
there runs/Reader/last.safetensors
exit $((failures != 0))

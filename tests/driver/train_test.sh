#!/usr/bin/env bash
# Training runs: the same bits on one thread and two, interrupted and not; a NaN; what is left behind by a killed run.
set -u
data=/usr/share/datasets/fashion-mnist
[ -d $data ] || { echo "skipped: $data is not there (Debian's dataset-fashion-mnist)"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_CACHE_HOME=$work/cache
failures=0
fail() { echo "FAILED: $*"; failures=$((failures + 1)); }

# recipe NAME EPOCHS [more lines]: a small VAE on 1024 pictures, 16 steps an epoch
recipe() {
    cat >"$work/$1.yaml" <<END
model: $SOURCE_DIR/models/vae.weft:VAE
set: {hidden: 64, latent: 8}
data:
  train: {kind: idx, dir: $data, split: train, limit: 1024}
  test: {kind: idx, dir: $data, split: test, limit: 100}
batch: 64
epochs: $2
evaluate: [{fn: bound, data: test, every: 1 epoch}]
samples: [{fn: sample, in: {n: 16}, grid: [4, 4], every: 1 epoch}, {fn: reconstruct, data: test, beside: image, grid: [2, 4], at: end}]
checkpoint: {dir: $work/$1, every: 1 epoch, best: elbo}
log: {every: 4 steps}
${3:-}
END
}
train() { "$WEFT" train --quiet "$@" || fail "weft train $*"; }
same() { cmp -s "$1" "$2" || fail "$1 and $2 differ: $3"; }

recipe one 3
train "$work/one.yaml" --threads 1
for f in last.safetensors best.safetensors log.jsonl report.html sample-00000048.png reconstruct-00000048.png checkpoint-00000048.safetensors; do
    [ -s "$work/one/$f" ] || fail "$f is missing"
done
grep -q '"elbo"' "$work/one/log.jsonl" || fail "no elbo in the log"
grep -q 'data:image/png' "$work/one/report.html" || fail "no picture in the report"
[ "$(ls "$work/one" | grep -c checkpoint)" = 2 ] || fail "two checkpoints are kept"

train "$work/one.yaml" --threads 2 --out "$work/two"
same "$work/one/last.safetensors" "$work/two/last.safetensors" "one thread and two"
same "$work/one/sample-00000048.png" "$work/two/sample-00000048.png" "one thread and two"

train "$work/one.yaml" --seed 9 --out "$work/other"
cmp -s "$work/one/last.safetensors" "$work/other/last.safetensors" && fail "another seed gives the same weights"

recipe short 1
train "$work/short.yaml" --out "$work/resumed"
train "$work/one.yaml" --out "$work/resumed" --resume
same "$work/one/last.safetensors" "$work/resumed/last.safetensors" "resumed behind an epoch"
[ "$(grep -c '"evaluate"' "$work/resumed/log.jsonl")" = 3 ] || fail "the resumed log has three evaluations"

# Products in bf16: other bits, about the same bound; the command line goes before the recipe.
recipe half 3 "precision: bf16"
train "$work/half.yaml"
train "$work/half.yaml" --precision f32 --out "$work/whole"
same "$work/one/last.safetensors" "$work/whole/last.safetensors" "--precision f32 over a recipe's bf16"
cmp -s "$work/one/last.safetensors" "$work/half/last.safetensors" && fail "precision: bf16 changes nothing"
"$WEFT" inspect "$work/half/last.safetensors" | grep -q bf16 &&
    fail "the weights are kept in f32 whatever the precision"
bound() { sed -n 's/.*"elbo[^"]*":\(-[0-9.]*\).*/\1/p' "$1/log.jsonl" | tail -1; }
awk -v a="$(bound "$work/one")" -v b="$(bound "$work/half")" 'BEGIN { exit !(a < 0 && b / a > 0.97 && b / a < 1.03) }' ||
    fail "the bound in bf16 is $(bound "$work/half"), in f32 $(bound "$work/one")"

# Ctrl-C in the middle: a checkpoint, status 0, and the same bits after --resume.
recipe long 400
"$WEFT" train --quiet "$work/long.yaml" --out "$work/stopped" &
pid=$!
until [ -s "$work/stopped/checkpoint-00000016.safetensors" ] || ! kill -0 $pid 2>/dev/null; do sleep 0.02; done
kill -INT $pid
wait $pid || fail "an interrupted run ends with status 0"
step=$(ls "$work/stopped" | sed -n 's/checkpoint-0*\([0-9]*\).safetensors/\1/p' | sort -n | tail -1)
epochs=$((step / 16 + 1))
recipe until "$epochs"
train "$work/until.yaml"
train "$work/until.yaml" --out "$work/stopped" --resume
same "$work/until/last.safetensors" "$work/stopped/last.safetensors" "stopped at step $step"

# A killed run leaves whole files.
"$WEFT" train --quiet "$work/long.yaml" --out "$work/killed" &
pid=$!
until [ -s "$work/killed/checkpoint-00000032.safetensors" ] || ! kill -0 $pid 2>/dev/null; do sleep 0.02; done
kill -KILL $pid
wait $pid 2>/dev/null
"$WEFT" inspect "$work"/killed/*.safetensors >/dev/null || fail "a killed run left a broken file"

# The weights of another model do not load, and the message says what differs.
out=$("$WEFT" run "$SOURCE_DIR/models/vae.weft:sample" n=1 -w "$work/one/last.safetensors" 2>&1)
[ $? = 1 ] || fail "weights that do not fit end with status 1"
grep -qF "differs: decoder.0.weight is f32[64,8] in the file, f32[400,20] in the model" <<<"$out" || fail "the difference is told: $out"
"$WEFT" run "$SOURCE_DIR/models/vae.weft:sample" n=4 -w "$work/one/last.safetensors" --set hidden=64 --set latent=8 \
    -o "$work/four.png" || fail "the weights of the same model load"
[ -s "$work/four.png" ] || fail "the picture is missing"

# A NaN stops the run and names the report, the step and its place.
recipe nan 2
out=$("$WEFT" train --quiet "$work/nan.yaml" --set lr=1e30 2>&1)
[ $? = 1 ] || fail "a NaN ends with status 1"
grep -q "makes the first NaN of step 2" <<<"$out" && grep -q "vae.weft:" <<<"$out" || fail "the NaN is told: $out"

# A fresh run into the folder of an earlier one keeps what is there: weights, pictures, log and report go to earlier-1, -2.
recipe again 1
train "$work/again.yaml"
cp "$work/again/last.safetensors" "$work/first.safetensors"
echo mine >"$work/again/notes.txt"
out=$("$WEFT" train "$work/again.yaml" --seed 3 2>&1) || fail "a second run into one folder: $out"
grep -qF "is now in $work/again/earlier-1" <<<"$out" || fail "that the earlier run was moved is told: $out"
same "$work/again/earlier-1/last.safetensors" "$work/first.safetensors" "the earlier run's weights"
for f in best.safetensors log.jsonl report.html sample-00000016.png checkpoint-00000016.safetensors; do
    [ -s "$work/again/earlier-1/$f" ] || fail "$f of the earlier run is gone"
done
[ -s "$work/again/notes.txt" ] || fail "what is no file of a run was moved"
train "$work/again.yaml"
[ -d "$work/again/earlier-2" ] || fail "the third run moves the second"
same "$work/again/last.safetensors" "$work/first.safetensors" "a run beside earlier ones"
train "$work/again.yaml" --resume
[ -d "$work/again/earlier-3" ] && fail "a resumed run moves nothing"

# An object's state file has the trained buffers, and first values of what the weights file does not hold.
cat >"$work/norm.weft" <<END
use nn
model M() {
  let norm = nn.BatchNorm()
  let l = nn.Linear(1)
  buffer seven: f32[] = 7
  train step(image: f32[B, 1, 28, 28]) {
    loss = mean(l(flatten(norm(image)))^2)
    minimize loss using nn.Adam(lr: 1e-3)
    report loss
  }
  fn f(image: f32[B, 1, 28, 28]) -> f32[B, 1] = l(flatten(norm(image))) + seven
}
END
cat >"$work/norm.yaml" <<END
model: norm.weft:M
data: {train: {kind: idx, dir: $data, split: train, limit: 640}}
batch: 64
steps: 10
checkpoint: {dir: $work/norm}
END
train "$work/norm.yaml"
cat >"$work/norm.c" <<'END'
#include "norm.h"
#include <stdio.h>
#include <stdlib.h>
static void *block(const char *path, size_t size) {
    void *bytes = aligned_alloc(64, (size + 63) / 64 * 64 + 64);
    FILE *file = fopen(path, "rb");
    if (!bytes || !file || fread(bytes, 1, size, file) != size)
        exit(2);
    fclose(file);
    return bytes;
}
int main(int argc, char **argv) {
    static float image[784];
    float y[1];
    for (int i = 0; i < 784; i++)
        image[i] = (float)i / 784;
    void *weights = block(argv[1], m_weights_size()), *state = block(argv[2], m_state_size());
    int code = argc == 3 ? m_f(weights, state, image, 1, y, aligned_alloc(64, (m_f_workspace(1, NULL) + 63) / 64 * 64 + 64), NULL) : 1;
    printf("f32[1,1] = [[%g]]\n", y[0]);
    return code;
}
END
(
    cd "$work" || exit 1
    "$WEFT" build norm.weft --entry f,step --shape B=1 -w norm/last.safetensors -o norm.o --cpu native --quiet &&
        cc -std=c17 -O1 norm.c norm.o -lm -o norm_f && ./norm_f norm.weights norm.state >norm.txt
) || fail "an object with its state file"
image=$(awk 'BEGIN { printf "["; for (i = 0; i < 784; i++) printf "%s%s%.9g", i ? (i % 28 ? "," : "],[") : "[[[", "", i / 784; print "]]]]" }')
"$WEFT" run "$work/norm.weft:f" "image=$image" -w "$work/norm/last.safetensors" >"$work/norm_run.txt"
same "$work/norm.txt" "$work/norm_run.txt" "an object with its state file, and weft run"

# With --embed-weights both blocks are in the object; a copy of the state takes part in a step.
cat >"$work/held.c" <<'END'
#include "held.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static void *block(size_t size) { return aligned_alloc(64, (size + 63) / 64 * 64 + 64); }
int main(void) {
    static float image[784];
    float y[1], again[1], loss[1];
    for (int i = 0; i < 784; i++)
        image[i] = (float)i / 784;
    void *weights = block(m_weights_size()), *state = block(m_state_size());
    void *work = block(m_f_workspace(1, NULL) + m_step_workspace(1, NULL));
    memcpy(weights, m_weights, m_weights_size());
    memcpy(state, m_state, m_state_size());
    int code = m_f(m_weights, m_state, image, 1, y, work, NULL);
    printf("f32[1,1] = [[%g]]\n", y[0]);
    if (code == 0)
        code = m_step(weights, state, image, 1, loss, work, NULL);
    if (code == 0)
        code = m_f(weights, state, image, 1, again, work, NULL);
    return code == 0 && *again != *y ? 0 : 1;
}
END
(
    cd "$work" || exit 1
    "$WEFT" build norm.weft --entry f,step --shape B=1 -w norm/last.safetensors --embed-weights -o held.o --cpu native --quiet &&
        [ ! -e held.state ] && [ ! -e held.weights ] &&
        cc -std=c17 -O1 -Wall -Werror held.c held.o -lm -o held && ./held >held.txt
) || fail "an object that holds its weights and its state"
same "$work/held.txt" "$work/norm_run.txt" "an object that holds its weights and its state, and weft run"

# A report under a `when` counts in the calls in which it runs, and in no others.
cat >"$work/when.weft" <<END
use nn
model M() {
  let l = nn.Linear(1)
  train step(image: f32[B, 1, 28, 28]) {
    loss = mean(l(flatten(image))^2)
    minimize loss using nn.SGD(lr: 1e-3)
    when step % 4 == 3 { report rare = f32(step), count = step }
    when step > 1000 { report never = loss }
    report loss
  }
}
END
cat >"$work/when.yaml" <<END
model: when.weft:M
data: {train: {kind: idx, dir: $data, split: train, limit: 640}}
batch: 64
steps: 10
checkpoint: {dir: $work/when}
log: {every: 5 steps}
END
train "$work/when.yaml"
grep -q '"rare":3.0,"count":3.0,"loss"' "$work/when/log.jsonl" && grep -q '"rare":7.0,"count":7.0,"loss"' "$work/when/log.jsonl" &&
    ! grep -q never "$work/when/log.jsonl" || fail "reports under a when: $(cat "$work/when/log.jsonl")"

# A file-size limit stands for a full disk: a message, status 1, nothing half-written.
out=$( (ulimit -f 100; trap '' XFSZ; "$WEFT" train --quiet "$work/one.yaml" --cache off --out "$work/full") 2>&1)
[ $? = 1 ] || fail "a full disk ends with status 1: $out"
ls "$work"/full/*.safetensors >/dev/null 2>&1 && fail "a full disk left a weight file"
exit $((failures != 0))

#!/usr/bin/env bash
# The main job, whole: train a VAE, sample, ship it as an object, and check that the object does the same.
# usage: driver/demo.sh build/release/weft
set -eu
weft=$1
out=runs/demo
images=/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte
mkdir -p "$out"
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

say "1. Train the VAE of models/vae.weft on Fashion-MNIST"
"$weft" train models/vae_demo.yaml

say "2. Build the object and its header"
"$weft" build models/vae.weft --entry sample,step --shape n=64 --shape B=128 --prefix vae --cpu native \
    -w "$out/last.safetensors" -o "$out/vae.o"

say "3. A C program with the object alone draws what the JIT draws"
cc -std=c17 -O2 -I "$out" docs/examples/sample.c "$out/vae.o" -lm -o "$out/sample"
"$out/sample" "$out/vae.weights" "$out/object.f32" "$out/object.pgm"
"$weft" run models/vae.weft:sample n=64 --seed 1 -w "$out/last.safetensors" -o "$out/samples.npy"
"$weft" run models/vae.weft:sample n=64 --seed 1 -w "$out/last.safetensors" -o "$out/samples.png" --grid 8x8
tail -c "$(stat -c %s "$out/object.f32")" "$out/samples.npy" | cmp - "$out/object.f32"
echo "the pictures are equal bit for bit: $out/samples.png, $out/object.pgm"

say "4. A C program trains the same model from scratch with the object alone"
cc -std=c17 -O2 -I "$out" docs/examples/train.c "$out/vae.o" -lm -o "$out/train"
plain=$images
if [ ! -f "$plain" ]; then
    plain=$out/train-images-idx3-ubyte
    gunzip -c "$images.gz" >"$plain"
fi
"$out/train" "$plain" 1 1
echo "(see the reports of the run's first epoch in $out/log.jsonl: the same steps, the same numbers)"
head -1 "$out/log.jsonl"

say "Done: open $out/report.html"

#!/usr/bin/env bash
# The kernels of the benchmarks' models, and of some training steps, against tests/models/kernel_lists/NAME.txt: a line for each
# kind and name with its count, behind it why a kernel that is no contraction and no attention stands by itself, and
# first how many there may be. WEFT_GOLDEN=1 writes counts anew and keeps the reasons; a new line has none, which fails.
set -u
lists=$SOURCE_DIR/tests/models/kernel_lists
models=$SOURCE_DIR/models
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

fail() {
    echo "FAILED: $*"
    failures=1
}

# The lines "count kind name", largest kinds first.
count_kernels() { # IR
    sed -nE 's/.*= kernel\(.*\{name = "([^"]*)", kind = "([a-z]*)"\}.*/\2 \1/p' "$1" | LC_ALL=C sort | uniq -c |
        sed -E 's/^ *//' | LC_ALL=C sort -k2,2 -k3,3
}

write_list() { # LIST COUNTS: with the reasons of the old list
    local total count kind name reason
    total=$(awk '{ sum += $1 } END { print sum }' "$2")
    {
        echo "at most $total kernels"
        while read -r count kind name; do
            reason=$(sed -nE "s/^[0-9]+ $kind $name(: .*)$/\1/p" "$1" 2>/dev/null | head -1)
            echo "$count $kind $name$reason"
        done <"$2"
    } >"$work/new"
    cp "$work/new" "$1"
}

check_list() { # NAME COUNTS
    local most total
    most=$(sed -nE '1s/^at most ([0-9]+) kernels$/\1/p' "$lists/$1.txt")
    total=$(awk '{ sum += $1 } END { print sum }' "$2")
    [ "${total:-0}" -gt 0 ] && [ "$total" -le "${most:-0}" ] || fail "$1: $total kernels, at most ${most:-0} are listed"
    diff -u <(sed 1d "$lists/$1.txt" | sed 's/: .*//') "$2" || fail "$1: other kernels than in $lists/$1.txt"
    grep -E '^[0-9]+ (nest|routine) ' "$lists/$1.txt" | grep -v ': ..' && fail "$1: these have no reason"
}

list() { # NAME TARGET SIZES
    local name=$1 target=$2 sizes=()
    for size in $3; do sizes+=(--shape "$size"); done
    "$WEFT" dump "$models/$target" "${sizes[@]}" --after fuse >"$work/$name.ir" || {
        fail "$name: it cannot be compiled"
        return
    }
    count_kernels "$work/$name.ir" >"$work/$name.counts"
    [ "${WEFT_GOLDEN:-}" = 1 ] && write_list "$lists/$name.txt" "$work/$name.counts"
    check_list "$name" "$work/$name.counts"
}

list lenet lenet.weft:LeNet:logits "B=1"
list vae vae.weft:VAE:reconstruct "B=1"
list dcgan dcgan.weft:DCGAN:generate "n=1"
list resnet18 resnet.weft:ResNet:logits "B=1 H=224 W=224"
list vit vit.weft:ViT:logits "B=1"
list ddpm ddpm_cifar.weft:DDPM:predict "B=1"
list cyclegan cyclegan.weft:CycleGAN:to_B "B=1 H=256 W=256"
list sd-vae64 stable_diffusion.weft:StableDiffusion:image "B=1 h=64 w=64"
list sd-unet64 stable_diffusion.weft:StableDiffusion:predict "B=1 h=64 w=64"
list lenet-step lenet.weft:LeNet:step "B=16"
list vae-step vae.weft:VAE:step "B=16"
list dcgan-step dcgan.weft:DCGAN:step "B=16"
exit $failures

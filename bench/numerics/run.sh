#!/usr/bin/env bash
# usage: bench/numerics/run.sh BUILD [STRIDE [FUNCTION]]: the table of docs/numerics.md, for x86-64-v3 and for x86-64
# (without FMA). BUILD: a folder with the program `weft`, such as build/release.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$1; shift
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
for cpu in x86-64-v3 x86-64; do
    "$build/weft" build "$here/numerics.weft" --cpu $cpu --shape N=4096 --quiet -o "$work/numerics.o"
    ${CC:-cc} -std=gnu17 -O2 -Wall -Wextra -I"$work" -I"$here/../../runtime" "$here/numerics.c" "$work/numerics.o" -o "$work/numerics" -lm
    printf '\n%s\n\n' $cpu
    "$work/numerics" "$@"
done

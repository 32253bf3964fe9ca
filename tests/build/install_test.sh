#!/usr/bin/env bash
# What is installed is enough for a program of somebody else: headers, library, pkg-config.
set -eu
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cmake --install "$BUILD_DIR" --prefix "$scratch/usr" >/dev/null
man=$(find "$scratch/usr" -name 'weft*.1' | wc -l)
[ "$man" -gt 10 ] && [ -s "$scratch/usr/share/bash-completion/completions/weft" ] && [ -s "$scratch/usr/share/zsh/site-functions/_weft" ]
cat >"$scratch/main.c" <<'C'
#include <runtime/pool.h>
#include <runtime/weft.h>
int main(void) {
    struct weft_error error;
    struct weft_pool *pool = weft_pool_create(2, &error);
    int width = pool ? weft_pool_exec(pool)->width : 0;
    weft_pool_destroy(pool);
    return width == 2 ? 0 : 1;
}
C
pc=$(dirname "$(find "$scratch/usr" -name weft.pc)")
flags=$(PKG_CONFIG_PATH=$pc pkg-config --define-variable=prefix="$scratch/usr" --cflags --libs weft)
if grep -q 'WEFT_SANITIZE:STRING=.' "$BUILD_DIR/CMakeCache.txt"; then
    flags="$flags -fsanitize=$(sed -n 's/WEFT_SANITIZE:STRING=//p' "$BUILD_DIR/CMakeCache.txt")"
fi
# shellcheck disable=SC2086
${CC:-cc} -std=c17 -Wall -Wextra -Wpedantic -Werror "$scratch/main.c" $flags -o "$scratch/main"
"$scratch/main"

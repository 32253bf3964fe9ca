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

# And for a CMake project: a model compiled on the way, for two sizes, with the runtime's pool.
mkdir "$scratch/project"
cat >"$scratch/project/two.weft" <<'WEFT'
model Two {
  fn twice(x: f32[B, 3]) -> f32[B, 3] = x * 2.0
}
WEFT
cat >"$scratch/project/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
project(user LANGUAGES C)
find_package(weft 0.1 REQUIRED)
weft_model(two MODEL two.weft:Two ENTRIES twice SHAPE B=1,4)
add_executable(user user.c)
target_link_libraries(user PRIVATE two weft::rt)
CMAKE
cat >"$scratch/project/user.c" <<'C'
#include "two.h"
#include <runtime/pool.h>
static _Alignas(64) char workspace[4096];
int main(void) {
    struct weft_error error;
    struct weft_pool *pool = weft_pool_create(2, &error);
    const weft_exec *exec = weft_pool_exec(pool);
    float x[12] = {1, 2, 3}, y[12] = {0};
    int code = two_twice_workspace(4, exec) <= sizeof(workspace) ? two_twice(x, 4, y, workspace, exec) : 1;
    int refused = two_twice(x, 2, y, workspace, exec);
    weft_pool_destroy(pool);
    return code || refused != WEFT_BAD_SHAPE || y[2] != 6;
}
C
sanitize=$(grep -o -- '-fsanitize=[a-z,]*' <<<"$flags" || true)
cmake -S "$scratch/project" -B "$scratch/project/build" -DCMAKE_PREFIX_PATH="$scratch/usr" -DCMAKE_C_FLAGS="$sanitize" >/dev/null
cmake --build "$scratch/project/build" >/dev/null
"$scratch/project/build/user"

#!/usr/bin/env bash
# .clang-format holds for every C file. Versions of clang-format differ, so only Debian 12's counts: skipped where it is
# missing.
set -u
cd "$SOURCE_DIR"
clang-format --version 2>/dev/null | grep -q 'version 14\.' || {
    echo "skipped: clang-format 14 is not installed"
    exit 77
}
git rev-parse --is-inside-work-tree >/dev/null 2>&1 || {
    echo "skipped: no git tree says which files are sources"
    exit 77
}
git ls-files '*.c' '*.h' | xargs clang-format --dry-run --Werror

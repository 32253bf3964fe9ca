#!/usr/bin/env bash
# Manual pages and completions that are made from the tables of commands and options.
set -u
failures=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# A page for every command, with every option of its help; roff has nothing to say of it.
commands=$("$WEFT" help | sed -n 's/^  \([a-z]*\) .*/\1/p' | grep -vx -e help -e version)
for command in $commands; do
    page=$("$WEFT" help "--man-$command") || fail "no page for $command"
    grep -q "weft-$command" <<<"${page//\\/}" || fail "$command has no name"
    for option in $("$WEFT" help "$command" | grep -o -- '--[a-z-]*' | sort -u); do
        grep -qF -- "$option" <<<"${page//\\/}" || fail "the page of $command lacks $option"
    done
    if command -v groff >/dev/null; then
        said=$(groff -man -Tascii -ww -z <<<"$page" 2>&1)
        [ -z "$said" ] || fail "roff of $command: $said"
        groff -man -Tascii -P-c -P-b -P-u <<<"$page" | grep -q "^SYNOPSIS" || fail "$command is no page"
    fi
done
for command in $commands; do
    "$WEFT" help --man | grep -qF "weft\\-$command" || fail "the first page lacks $command"
done
"$WEFT" help --man-nothing >/dev/null 2>&1 && fail "--man-nothing"

# Completion, as bash asks for it.
"$WEFT" help --bash >"$work/weft.bash"
touch "$work/a.weft" "$work/b.yaml" "$work/c.txt"
mkdir "$work/folder"
complete_words() { # words..., the last one is under the cursor
    (cd "$work" && bash -c '
        . ./weft.bash
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _weft
        printf "%s\n" "${COMPREPLY[@]}" | sort | tr "\n" " "' bash "$@" 2>/dev/null)
}
expect() {
    local wanted=$1
    shift
    local got
    got=$(complete_words "$@")
    [ "$got" = "$wanted" ] || fail "weft completes $* to: $got"
}
expect "train " weft tr
expect "repl run " weft r
expect "--resume " weft train --r
expect "openblas own " weft run --gemm ""
expect "own " weft run --gemm ow
expect "a.weft folder/ " weft check ""
expect "b.yaml " weft train b
expect "folder " weft train --out f
expect "train " weft help tra
expect "--check " weft fmt a.weft --c

# zsh reads it without a complaint.
"$WEFT" help --zsh >"$work/_weft"
for command in $commands; do
    grep -q "^    $command)" "$work/_weft" || fail "zsh lacks $command"
done
if command -v zsh >/dev/null; then
    zsh -n "$work/_weft" || fail "zsh does not read it"
fi
exit $((failures != 0))

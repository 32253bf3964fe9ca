#!/usr/bin/env bash
# docs/commands.md is what `weft help` says of every command, the list of keys in docs/recipes.md what `weft help recipe`
# says, docs/library.md what `weft doc` says (but for line numbers, which move with every change of a file). Everything in
# the library has a doc comment. WEFT_GOLDEN=1 writes all of them anew.
set -u
fresh=$(mktemp)
trap 'rm -f "$fresh"' EXIT
failures=0

compare() { # PAGE FILTER: with what is in $fresh, both through sed FILTER
    [ "${WEFT_GOLDEN:-}" = 1 ] && cp "$fresh" "$1"
    diff -u <(sed "$2" "$1") <(sed "$2" "$fresh") || failures=1
}

{
    cat <<'PAGE'
# Commands

What `weft help COMMAND` says; made from `driver/commands.def` and `driver/options.def` (`make golden`). Exit status: 0; 1 a mistake of the user's, explained; 2 a wrong command line; 3 a defect of Weft, with what to report.
PAGE
    for command in $("$WEFT" help | sed -n 's/^  \([a-z]*\) .*/\1/p' | grep -vx -e help -e version); do
        printf '\n## weft %s\n\n```\n' "$command"
        "$WEFT" help "$command"
        printf '```\n'
    done
} >"$fresh"
compare "$SOURCE_DIR/docs/commands.md" ''

# The block behind the mark, up to its closing fence, is replaced.
{
    sed '/^<!-- weft help recipe -->$/q' "$SOURCE_DIR/docs/recipes.md"
    printf '```\n'
    "$WEFT" help recipe
    sed '1,/^<!-- weft help recipe -->$/d' "$SOURCE_DIR/docs/recipes.md" | sed '1d' | sed -n '/^```$/,$p'
} >"$fresh"
compare "$SOURCE_DIR/docs/recipes.md" ''

"$WEFT" doc -o "$fresh" || exit 1
compare "$SOURCE_DIR/docs/library.md" 's/#L[0-9]*)/)/'

cd "$SOURCE_DIR/models/lib" || exit 1
awk 'FNR == 1 { before = "" }
     /^(fn|module|model|optimizer) / && before !~ /^\/\/\// { print FILENAME ":" FNR ": no doc comment: " $0; missing = 1 }
     { before = $0 }
     END { exit missing }' $(find . -name '*.weft') || failures=1
exit $failures

#!/usr/bin/env bash
# docs/commands.md is what `weft help` says of every command, docs/library.md what `weft doc` says (but for line numbers,
# which move with every change of a file). Everything in the library has a doc comment. WEFT_GOLDEN=1 writes both anew.
set -u
page=$SOURCE_DIR/docs/commands.md
fresh=$(mktemp)
trap 'rm -f "$fresh"' EXIT
{
    cat <<'END'
# Commands

What `weft help COMMAND` says; made from `driver/commands.def` and `driver/options.def` (`make golden`). Exit status: 0; 1 a mistake of the user's, explained; 2 a wrong command line; 3 a defect of Weft, with what to report.
END
    for command in $("$WEFT" help | sed -n 's/^  \([a-z]*\) .*/\1/p' | grep -vx -e help -e version); do
        printf '\n## weft %s\n\n```\n' "$command"
        "$WEFT" help "$command"
        printf '```\n'
    done
} >"$fresh"
if [ "${WEFT_GOLDEN:-}" = 1 ]; then
    cp "$fresh" "$page"
fi
diff -u "$page" "$fresh" || exit 1

"$WEFT" doc -o "$fresh" || exit 1
page=$SOURCE_DIR/docs/library.md
if [ "${WEFT_GOLDEN:-}" = 1 ]; then
    cp "$fresh" "$page"
fi
diff -u <(sed 's/#L[0-9]*)/)/' "$page") <(sed 's/#L[0-9]*)/)/' "$fresh") || exit 1

cd "$SOURCE_DIR/models/lib" || exit 1
awk 'FNR == 1 { before = "" }
     /^(fn|module|model|optimizer) / && before !~ /^\/\/\// { print FILENAME ":" FNR ": no doc comment: " $0; missing = 1 }
     { before = $0 }
     END { exit missing }' $(find . -name '*.weft')

#!/usr/bin/env bash
# docs/commands.md is what `weft help` says of every command. WEFT_GOLDEN=1 writes it anew.
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
diff -u "$page" "$fresh"

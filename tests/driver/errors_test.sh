#!/usr/bin/env bash
# The pages of docs/errors whose messages come from the program. A block "```LANGUAGE FILE" is a file; in a block
# "```console" each line "$ COMMAND" is run in a folder with the page's files, and what it writes must be what
# stands below. A command that reports an error has status 1. WEFT_GOLDEN=1 writes the pages anew.
set -u
failures=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin"
ln -s "$WEFT" "$work/bin/weft"
PATH=$work/bin:$PATH
export XDG_CACHE_HOME=$work/cache
# With the sanitizer: an allocation that fails is one of the examples; leaks are looked for in the tests of the layers.
export ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=0

# run_command COMMAND: its output, and a complaint where the status does not fit.
run_command() {
    local out status
    out=$(cd "$folder" && bash -c "$1" 2>&1 </dev/null)
    status=$?
    out=$(grep -v 'WARNING: AddressSanitizer failed to allocate' <<<"$out")
    [ -n "$out" ] && printf '%s\n' "$out"
    if grep -q '^error\[' <<<"$out" && [ $status != 1 ]; then
        echo "$page: $1: status $status, not 1" >&2
        return 1
    elif ! grep -q '^error\[' <<<"$out" && [ $status != 0 ]; then
        echo "$page: $1: status $status" >&2
        return 1
    fi
}

# run_page < PAGE > the page with what its commands write now.
run_page() {
    local state=text file="" status=0
    while IFS= read -r line; do
        case $state:$line in
        text:'```console') state=console ;;
        text:'```'*' '*.*)
            state=file
            file=$folder/${line##* }
            : >"$file"
            ;;
        text:'```'*) state=other ;;
        console:'```' | file:'```' | other:'```') state=text ;;
        file:*) printf '%s\n' "$line" >>"$file" ;;
        console:'$ '*)
            printf '%s\n' "$line"
            run_command "${line#\$ }" || status=1
            continue
            ;;
        console:*) continue ;; # what was written before
        esac
        printf '%s\n' "$line"
    done
    return $status
}

pages=0
for path in "$SOURCE_DIR"/docs/errors/*.md; do
    grep -q '^```console$' "$path" || continue
    page=$(basename "$path" .md)
    folder=$work/$page
    mkdir "$folder"
    run_page <"$path" >"$work/fresh.md" || failures=$((failures + 1))
    if ! grep -q "^error\[$page\]" "$work/fresh.md"; then
        echo "$page: no command reports $page"
        failures=$((failures + 1))
    fi
    [ "${WEFT_GOLDEN:-}" = 1 ] && cp "$work/fresh.md" "$path"
    diff -u "$path" "$work/fresh.md" || failures=$((failures + 1))
    pages=$((pages + 1))
done
if [ $pages -lt 7 ]; then
    echo "only $pages pages were run"
    failures=$((failures + 1))
fi
exit $((failures != 0))

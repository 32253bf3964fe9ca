#!/usr/bin/env bash
# The two ways round the include views of cmake/layers.cmake: a path upwards, and LLVM headers that some systems have
# in /usr/include. Only codegen/ may speak to LLVM.
set -u
cd "$SOURCE_DIR"
status=0
folders=$(ls -d base ir frontend passes codegen runtime driver tests bench models 2>/dev/null)
if grep -rnE --include='*.[chly]' --include='*.def' '#[[:space:]]*include[[:space:]]*"\.\./' $folders; then
    echo "an include reaches upwards: write \"layer/file.h\""
    status=1
fi
if grep -rnE --include='*.[chly]' --include='*.def' '#[[:space:]]*include[[:space:]]*[<"]llvm' $folders | grep -v '^codegen/'; then
    echo "only codegen/ may include LLVM"
    status=1
fi
# The test itself must be able to fail: a view must hide a higher layer from a lower one.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
echo '#include "frontend/library.h"' >"$scratch/low.c"
if ${CC:-cc} -I "$BUILD_DIR/include/base" -fsyntax-only "$scratch/low.c" 2>/dev/null; then
    echo "base can include frontend"
    status=1
fi
${CC:-cc} -I "$BUILD_DIR/include/frontend" -fsyntax-only "$scratch/low.c" || status=1
# Each header compiles alone (STYLE 2.9).
for header in $(git ls-files '*.h' 2>/dev/null); do
    case $header in
    tests/*) continue ;;
    codegen/codegen.h) llvm= ;; # the driver includes it
    codegen/*) llvm="-isystem $(${LLVM_CONFIG:-llvm-config-19} --includedir)" ;;
    *) llvm= ;;
    esac
    views=$(for v in "$BUILD_DIR"/include/*; do echo "-I$v"; done)
    printf '#include "%s"\nint main(void){return 0;}\n' "$header" >"$scratch/alone.c"
    ${CC:-cc} -std=c17 -Wall -Wextra -Wpedantic -Werror -D_GNU_SOURCE $views $llvm -I "$BUILD_DIR/generated" -I "$SOURCE_DIR" \
        -fsyntax-only "$scratch/alone.c" || {
        echo "$header does not compile alone"
        status=1
    }
done
exit $status

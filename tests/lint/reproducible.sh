#!/bin/bash
# Two builds of one commit in two folders, of different depth, must give the same bytes.
set -eu
cd "$(dirname "$0")/../.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
one=$scratch/one
two=$scratch/a/deeper/folder/two
for dir in "$one" "$two"; do
    mkdir -p "$dir"
    git ls-files -z | tar --null -cf - -T - | tar -C "$dir" -xf -
    make -s -C "$dir" -j2 all build/larder-bench >"$dir.log" 2>&1 || {
        tail -n 20 "$dir.log"
        exit 1
    }
done
passed=0
failed=0
for file in liblarder.a larder larder-bench; do
    [ -e "$one/build/$file" ] || continue
    if cmp "$one/build/$file" "$two/build/$file"; then
        passed=$((passed + 1))
        echo "ok - $file: $(sha256sum <"$one/build/$file" | cut -c1-16) twice"
    else
        failed=$((failed + 1))
        echo "not ok - $file differs"
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 1 ]

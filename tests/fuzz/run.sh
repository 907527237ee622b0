#!/bin/bash
# Runs each fuzz target over its corpus, as a test: run.sh FOLDER-OF-TARGETS [SECONDS [TARGET...]].
# With SECONDS above 0 each goes on searching for that long; what it finds is left in FOLDER/found.
# Prints TAP; a target without a corpus of its own is a failure.
set -u
targets=$1
seconds=${2:-0}
shift $(($# < 2 ? $# : 2))
cd "$(dirname "$0")/../.." || exit 2
found=$targets/found
mkdir -p "$found"

run_one() { # name -> output, exit code of the target
    local name=$1 corpus=tests/fuzz/corpus/$1
    if [ -z "$(ls -A "$corpus" 2>/dev/null)" ]; then
        echo "no seeds in $corpus"
        return 1
    fi
    "$targets/fuzz_$name" -runs=0 -timeout=10 -rss_limit_mb=1024 -artifact_prefix="$found/$name-" \
        "$corpus" || return
    [ "$seconds" -gt 0 ] || return 0
    # New inputs go to a folder of the build: seeds are added by hand, with a reason.
    mkdir -p "$targets/corpus/$name"
    "$targets/fuzz_$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
        -artifact_prefix="$found/$name-" "$targets/corpus/$name" "$corpus"
}

count=0
failed=0
names=${*:-$(for f in tests/fuzz/fuzz_*.c; do basename "$f" .c | sed 's/^fuzz_//'; done)}
for name in $names; do
    count=$((count + 1))
    if run_one "$name" >"$targets/$name.log" 2>&1; then
        echo "ok $count - fuzz $name: $(grep -c . < <(ls "tests/fuzz/corpus/$name")) seeds$(
            sed -n 's/^stat::number_of_executed_units: */, runs: /p' "$targets/$name.log")"
    else
        failed=$((failed + 1))
        echo "not ok $count - fuzz $name"
        tail -n 40 "$targets/$name.log" | sed 's/^/# /'
    fi
done
echo "1..$count"
echo "$((count - failed)) passed, $failed failed"
[ "$failed" = 0 ] && [ "$count" -gt 0 ]

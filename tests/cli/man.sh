#!/bin/bash
# The man page: every command with the flags of its own, every path of HTTP.
# shellcheck disable=SC2154 # tap.sh sets them
. "$(dirname "$0")/tap.sh"

page=$(sed 's/\\-/-/g; s/\\&//g' "$(dirname "$larder")/larder.8")
run help
for command in $(sed -n 's/^  \([a-z-]*\) .*/\1/p' <<<"$out"); do
    ok "$command" grep -qE "^\.B larder $command( |$)" <<<"$page"
done
for command in reserve overlay status keys peers ping; do # which have flags of their own
    run help "$command"
    own=$(sed -n '1,/^  --data-dir/p' <<<"$out" | grep -oE '^  --?[a-z-]+' | grep -vE -- '--(memory|data-dir)' || true)
    ok "$command: flags of its own" test -n "$own"
    section=$(sed -n "/^\.B larder $command\b/,/^\.RE/p" <<<"$page")
    for flag in $own; do
        ok "$command $flag" grep -qE -- "^\.B $flag(=| |$)" <<<"$section"
    done
done
for path in "GET /metrics" "GET /readyz" "GET /api/v1/status" "POST /api/v1/reload"; do
    ok "$path" grep -q "^\.B $path$" <<<"$page"
done
done_testing

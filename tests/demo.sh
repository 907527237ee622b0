#!/bin/bash
# What `make demo` shows: a node on its defaults in a directory of its own, from start to stop. Ends
# by itself, with 0 when every step was seen.
set -u
cd "$(dirname "$0")/.." || exit 2
larder=${LARDER:-build/larder}
scratch=$(mktemp -d)
pid=
cleanup() {
    [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null
    rm -rf "$scratch"
}
trap cleanup EXIT
bold=
plain=
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$(printf '\033[1m')
    plain=$(printf '\033[0m')
fi
say() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
fail() {
    printf '\ndemo: %s\n' "$*" >&2
    exit 1
}
clean_larder() { env -i HOME="$scratch" PATH="$PATH" "$larder" "$@"; }

say "what it would take: larder check-config"
clean_larder check-config || fail "the defaults are refused"

say "start"
env -i HOME="$scratch" ${TEST_HITS_FILE:+"TEST_HITS_FILE=$TEST_HITS_FILE"} \
    "$larder" start --data-dir="$scratch/data" --http-addr=127.0.0.1:0 2>"$scratch/log" &
pid=$!
for _ in $(seq 200); do
    grep -q ' ready ' "$scratch/log" && break
    kill -0 "$pid" 2>/dev/null || fail "it ended: $(cat "$scratch/log")"
    sleep 0.05
done
grep -q ' ready ' "$scratch/log" || fail "not ready after 10 s"
cat "$scratch/log"

say "its state: larder status"
clean_larder status --data-dir="$scratch/data" || fail "no answer on the control socket"
awk '/^(VmHWM|RssAnon|RssFile|Threads)/ { printf "  %-10s %s %s\n", $1, $2, $3 }' "/proc/$pid/status"
http=$(sed -n 's/.*"http": "\(.*\)".*/\1/p' "$scratch/data/node.json")
say "the same for programs: http://$http/api/v1/status, /metrics, /readyz"
exec 3<>"/dev/tcp/${http%:*}/${http##*:}" || fail "no HTTP on $http"
printf 'GET /readyz HTTP/1.1\r\nHost: larder\r\nConnection: close\r\n\r\n' >&3
sed 's/^/  /' <&3
exec 3>&-

say "stop: SIGTERM"
lines=$(wc -l <"$scratch/log")
kill -TERM "$pid"
wait "$pid" || fail "it ended with $?"
pid=
tail -n +$((lines + 1)) "$scratch/log"
grep -q 'every owner at zero' "$scratch/log" || fail "an owner is not at zero"
say "done"

#!/bin/bash
# What `make demo` shows: a private network of two nodes on loopback. A directory goes into the first
# node, the second one starts empty and pulls it, and gives it back. Then both keep running until
# Ctrl-C. DEMO_DIR: the directory, else this tree. DEMO_EXIT=1: ends by itself, with 0.
set -u
cd "$(dirname "$0")/.." || exit 2
larder=$(realpath "${LARDER:-build/larder}")
scratch=$(mktemp -d)
pids=()
stop() {
    local pid rc=0
    for pid in "${pids[@]}"; do
        kill -TERM "$pid" 2>/dev/null
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || rc=1
    done
    pids=()
    return $rc
}
cleanup() {
    stop
    rm -rf "$scratch"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
bold=
plain=
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] && bold=$(printf '\033[1m') && plain=$(printf '\033[0m')
say() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
fail() {
    printf '\ndemo: %s\n' "$*" >&2
    tail -n 5 "$scratch"/*.log >&2 2>/dev/null
    exit 1
}
clean_larder() {
    env -i HOME="$scratch" PATH="$PATH" ${TEST_HITS_FILE:+"TEST_HITS_FILE=$TEST_HITS_FILE"} "$larder" "$@"
}
fact() { sed -n "s/.*\"$2\": *\"\\([^\"]*\\)\".*/\\1/p" "$scratch/$1/node.json" 2>/dev/null | head -n 1; }

# start NAME FLAG...: a node of the private network, on ports that are free.
start() {
    local name=$1
    shift
    env -i HOME="$scratch" PATH="$PATH" ${TEST_HITS_FILE:+"TEST_HITS_FILE=$TEST_HITS_FILE"} \
        "$larder" start --data-dir="$scratch/$name" --http-addr=127.0.0.1:0 --swarm --network-id=7357 \
        --full-node --batches="$scratch/batches.json" --p2p-addr=/ip4/127.0.0.1/tcp/0 \
        --allow-private-cidrs --memory=256MiB "$@" 2>"$scratch/$name.log" &
    pids+=($!)
    for _ in $(seq 1200); do
        grep -q ' ready ' "$scratch/$name.log" && [ -n "$(fact "$name" http)" ] && return
        kill -0 "${pids[-1]}" 2>/dev/null || fail "the $name node ended"
        sleep 0.05
    done
    fail "the $name node is not ready after 60 s"
}

# metric NAME METRIC: its value now.
metric() {
    local http
    http=$(fact "$1" http)
    exec 3<>"/dev/tcp/${http%:*}/${http##*:}" || return 1
    printf 'GET /metrics HTTP/1.1\r\nHost: larder\r\nConnection: close\r\n\r\n' >&3
    sed -n "s/^$2 //p" <&3 | tr -d '\r'
    exec 3>&-
}

say "a directory to share"
source=${DEMO_DIR:-}
if [ -z "$source" ]; then
    source=$scratch/larder-tree
    mkdir "$source"
    tar --exclude=./build --exclude=./.git -cf - . | tar -C "$source" -xf - || fail "this tree cannot be copied"
fi
source=$(realpath "$source")
printf '%s: %s files, %s\n' "$source" "$(find "$source" -type f | wc -l)" "$(du -sh "$source" | cut -f1)"

say "a postage batch of our own: larder overlay --key --make --batch-depth"
clean_larder overlay --key "$scratch/stamp-key" --make --batch-depth 24 >"$scratch/batches.json" || fail "no batch"
cat "$scratch/batches.json"
batch=$(sed -n 's/.*"id": *"\([0-9a-f]*\)".*/\1/p' "$scratch/batches.json")

say "the first node: larder start"
start first
printf 'overlay %s\n' "$(fact first overlay)"

say "larder reserve upload"
reference=$(clean_larder reserve upload "$source" --batch "$batch" --stamp-key "$scratch/stamp-key" \
    --data-dir="$scratch/first" | tail -n 1) || fail "the upload failed"
entries=$(metric first larder_reserve_chunks)
printf 'reference %s: %s chunks\n' "$reference" "$entries"

say "the second node, empty, with the cache of hashes: --reserve-has-cache"
address=$(grep -o '/ip4/127[^"]*' "$scratch/first/node.json" | head -n 1)
start second --reserve-has-cache=true --peers="$address"
printf 'overlay %s\n' "$(fact second overlay)"

say "until both have the same: larder status"
began=$SECONDS
while :; do
    have=$(metric second larder_reserve_chunks)
    if [ -t 1 ]; then
        printf '\033[H\033[2J'
        for name in first second; do
            say "larder status: the $name node"
            clean_larder status --data-dir="$scratch/$name"
        done
    else
        printf 'second node: %s of %s chunks\n' "${have:-0}" "$entries"
    fi
    [ "${have:-0}" = "$entries" ] && break
    [ $((SECONDS - began)) -lt 300 ] || fail "not synced after 300 s"
    sleep 1
done
say "larder status of the second node"
clean_larder status --data-dir="$scratch/second" || fail "no answer on the control socket"

say "larder reserve download, from the second node"
clean_larder reserve download "$reference" -o "$scratch/copy" --data-dir="$scratch/second" ||
    fail "the download failed"
diff -r "$source" "$scratch/copy" || fail "the copy differs"
printf '%s: the same %s files\n' "$scratch/copy" "$(find "$scratch/copy" -type f | wc -l)"
for i in 0 1; do
    awk '/^VmHWM/ { print "peak of resident memory: " int($2 / 1024) " MiB of 256 MiB" }' "/proc/${pids[$i]}/status"
done

say "both nodes run"
for name in first second; do
    http=$(fact "$name" http)
    printf '%-7s http://%s/api/v1/status  http://%s/metrics\n' "$name" "$http" "$http"
    printf '        %s status --watch --data-dir=%s\n' "$larder" "$scratch/$name"
done
printf 'next: the service in README.md; conf/larder.yaml has every option, and larder help every command\n'
if [ -z "${DEMO_EXIT:-}" ]; then
    printf 'Ctrl-C ends both and removes %s\n' "$scratch"
    trap 'say "stop: SIGTERM to both"' INT TERM
    wait "${pids[@]}"
fi
trap '' INT TERM
stop || fail "a node did not end with every owner at zero"
say "done"

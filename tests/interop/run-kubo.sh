#!/bin/bash
# A kubo node beside our daemon: it connects, identifies, pings and keeps us, over IPv4 and IPv6, and
# our host does the same with it. Usage: run-kubo.sh OUR_PEER LARDER BUILD_DIR [SECONDS_KEPT]
# Prints every check, then "N passed, N failed".
set -u
ours=$1
larder=$2
build=$3
kept=${4:-35} # longer than kubo's grace and than 30 s of silence, after which both sides ping
here=$(cd "$(dirname "$0")" && pwd)
passed=0
failed=0

# shellcheck source=tests/interop/toolchain.sh
. "$here/toolchain.sh"
# shellcheck source=tests/interop/kubo/node.sh
. "$here/kubo/node.sh"
toolchain_go "$build/toolchain" && kubo_build "$build/kubo" || {
    echo "kubo cannot be built"
    exit 1
}

check() { # NAME COMMAND...
    local name=$1
    shift
    if "$@"; then
        echo "ok - $name"
        passed=$((passed + 1))
    else
        echo "not ok - $name"
        failed=$((failed + 1))
    fi
}

data=$(mktemp -d)
ours_pid=
cleanup() {
    kubo_stop
    [ -z "$ours_pid" ] || kill -TERM "$ours_pid" 2>/dev/null
    rm -rf "$data"
}
trap cleanup EXIT

kubo_init "$data/kubo" && kubo_start || {
    echo "kubo does not start"
    exit 1
}
echo "# kubo at $kubo_address"
"$larder" start --data-dir "$data/larder" --http-addr= --p2p-addr /ip4/127.0.0.1/tcp/0 \
    --p2p-addr /ip6/::1/tcp/0 --allow-private-cidrs 2>"$build/larder-kubo.log" &
ours_pid=$!
for _ in $(seq 600); do
    grep -q '/ip6/' "$data/larder/node.json" 2>/dev/null && break
    sleep 0.1
done
ip4=$(grep -o '/ip4/[^"]*' "$data/larder/node.json" | head -1)
ip6=$(grep -o '/ip6/[^"]*' "$data/larder/node.json" | head -1)
id=${ip4##*/}

is_peer() {
    kubo swarm peers | grep -q "$id"
}
identified() { # it knows our agent, our protocols and an address of ours
    local seen
    seen=$(kubo id "$id")
    grep -q '"AgentVersion": "larder' <<<"$seen" && grep -q '/ipfs/ping/1.0.0' <<<"$seen" &&
        grep -q '/ip4/127.0.0.1/tcp/' <<<"$seen"
}
within() { # COMMAND...: true as soon as the command is, for 60 s
    local end=$((SECONDS + 60))
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.2
    done
}
pings() {
    kubo ping -n 10 "$id" | grep -c 'time=' | grep -qx 10
}

for address in "$ip6" "$ip4"; do
    check "kubo connects to $address" kubo swarm connect "$address"
    check "kubo has us as a peer" within is_peer
    check "kubo has identified us" within identified
    check "ten pings of kubo" pings
    [ "$address" = "$ip4" ] || check "kubo disconnects" kubo swarm disconnect "/p2p/$id"
done

# Our host dials it and holds on, while the connection that kubo made is idle too.
echo "# our host dials $kubo_address"
HOLD_MS=${kept}000 timeout $((kept + 90)) "$ours" ed25519 dial "$kubo_address" >"$data/ours.log" 2>&1 &
dialer=$!
for _ in $(seq "$kept"); do
    sleep 1
    is_peer || break
done
check "kubo keeps the connection it made for $kept s" is_peer
wait "$dialer" || failed=$((failed + 1))
cat "$data/ours.log"
passed=$((passed + $(grep -c '^ok' "$data/ours.log")))

kill -TERM "$ours_pid"
wait "$ours_pid"
ended=$?
ours_pid=
check "our daemon ends with every owner at zero" [ "$ended" = 0 ]
check "kubo ends" kubo_stop
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]

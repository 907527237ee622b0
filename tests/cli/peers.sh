#!/bin/bash
# Two nodes: peers, ping and identify over the control socket, and by a node that runs for it alone.
# shellcheck disable=SC2154 # tap.sh sets them
. "$(dirname "$0")/tap.sh"

fact() { # fact FILE NAME [INDEX]
    python3 -c 'import json, sys
v = json.load(open(sys.argv[1]))[sys.argv[2]]
print(v[int(sys.argv[3])] if len(sys.argv) > 3 else v)' "$@"
}

start a --p2p-addr=/ip4/127.0.0.1/tcp/0 --p2p-addr=/ip6/::1/tcp/0 --allow-private-cidrs
wait_for "$scratch/a.log" " ready "
a=$pid
file=$scratch/a/node.json
id=$(fact "$file" peer_id)
four=$(fact "$file" multiaddrs 0)
six=$(fact "$file" multiaddrs 1)
http=$(fact "$file" http)
port=${four#*/tcp/}

alone=(--data-dir="$scratch/alone" --allow-private-cidrs)
run ping "$four" --count=2 "${alone[@]}"
is "ping without a node" "$code" 0
ok "two round trips" test "$(grep -c '^ping [12]: [0-9.]* ms$' <<<"$out")" == 2
run identify "$six" "${alone[@]}"
is "identify over IPv6" "$code" 0
ok "says who it is" grep -q "^peer  *$id$" <<<"$out"
ok "what it speaks" grep -q "^protocol  */ipfs/id/push/1.0.0$" <<<"$out"
ok "where it listens" grep -q "^address  */ip4/127.0.0.1/tcp/" <<<"$out"
ok "where it sees us" grep -q "^sees us at  */ip6/::1/tcp/" <<<"$out"
run ping "/dns4/localhost/tcp/$port" --count=1 "${alone[@]}"
is "a name" "$code" 0
run ping "$four" --count=1 --data-dir="$scratch/alone"
is "loopback is not dialed unless allowed" "$code" 3
ok "which it says" grep -q "allow-private-cidrs" <<<"$err"
run ping "/dns4/localhost/tcp/$port" --count=1 --data-dir="$scratch/alone"
is "nor by a name" "$code" 3
run ping "${four%/p2p/*}/p2p/12D3KooWF4o7GTKnJCRkQ5xCS8qW211bfKTQWxVGjxhSKUDmsuRL" "${alone[@]}"
is "somebody else" "$code" 1
run ping /nonsense "${alone[@]}"
is "no address" "$code" 2
run ping "${alone[@]}"
is "none at all" "$code" 2

run peers --data-dir="$scratch/alone"
is "peers needs a node" "$code" 3
start b --p2p-addr=/ip4/127.0.0.1/tcp/0 --allow-private-cidrs
wait_for "$scratch/b.log" " ready "
b=$pid
run ping "$four" --count=1 --data-dir="$scratch/b"
is "ping by the node" "$code" 0
run identify "$four" --data-dir="$scratch/b"
is "identify by the node" "$code" 0
run peers --data-dir="$scratch/b"
is "peers" "$code" 0
# What each learns of the other comes by itself, and those who are gone are noticed a moment later.
row() {
    run peers --data-dir="$scratch/b"
    grep -Eq "^$id +larder +/ip4/127.0.0.1/tcp/${port%%/*} +out " <<<"$out"
}
ok "a row for the peer" within row
inbound() {
    run peers --json --data-dir="$scratch/a"
    grep -q '"direction": "inbound"' <<<"$out" && grep -q '"agent": "larder' <<<"$out"
}
ok "inbound on the other side" within inbound
same() {
    run peers --json --data-dir="$scratch/a"
    curl -sf "http://$http/api/v1/peers" >"$scratch/peers.json"
    [ "$(grep -v '_seconds\|bytes_\|streams' "$scratch/peers.json")" == "$(grep -v '_seconds\|bytes_\|streams' <<<"$out")" ]
}
ok "the same over HTTP" within same
counted() {
    curl -sf "http://$http/metrics" >"$scratch/metrics"
    grep -q '^larder_p2p_connections{direction="inbound"} 1$' "$scratch/metrics"
}
ok "connections are counted" within counted
ok "handshakes by their stage" grep -Eq '^larder_p2p_handshakes_total\{p2p_stage="done"\} [1-9]' "$scratch/metrics"
ok "streams by protocol" grep -Eq '^larder_p2p_streams_total\{protocol="ping"\} [1-9]' "$scratch/metrics"
observed() {
    run status --json --data-dir="$scratch/b"
    grep -q '"address": "/ip4/127.0.0.1"' <<<"$out"
}
ok "where a peer sees it" within observed
run status --data-dir="$scratch/a"
ok "in the status" grep -Eq "^  connections inbound +1$" <<<"$out"
# The address that --help names: peers are told those of the machine in its place.
start wide --p2p-addr=/ip4/0.0.0.0/tcp/0 --allow-private-cidrs
wait_for "$scratch/wide.log" " ready "
wide=$(fact "$scratch/wide/node.json" multiaddrs -1)
is "loopback is one of them, the last" "${wide%/tcp/*}" /ip4/127.0.0.1
run identify "$wide" "${alone[@]}"
ok "and told" grep -q "^address  */ip4/127.0.0.1/tcp/" <<<"$out"
kill -TERM "$pid"
kill -TERM "$a"
ended "$a"
is "ends with a peer connected" "$code" 0
kill -TERM "$b"
ended "$b"
is "so does the other" "$code" 0
done_testing

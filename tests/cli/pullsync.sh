#!/bin/bash
# Two nodes on loopback: what is uploaded into the first is in the second, all of it and nothing
# else, also what is uploaded while both run, and after each of them was killed on the way.
# shellcheck disable=SC2154 # tap.sh sets them
. "$(dirname "$0")/tap.sh"

cd "$scratch" || exit 1
run overlay --key stamp.key --make
run overlay --key stamp.key --batch-depth 22
echo "$out" >batches.json
batch=$(sed 's/.*"id": "\([0-9a-f]*\)".*/\1/' batches.json)

fact() { # node, name
    python3 -c 'import json, sys
facts = json.load(open(sys.argv[1] + "/node.json"))
print(facts["multiaddrs"][0] if sys.argv[2] == "address" else facts[sys.argv[2]])' "$scratch/$1" "$2" 2>/dev/null
}
declare -A node
node_start() { # node, more options: until it may be called
    local name=$1
    rm -f "$name/node.json"
    start "$@" --swarm --batches="$scratch/batches.json" --full-node --network-id=7357 \
        --p2p-addr=/ip4/127.0.0.1/tcp/0 --allow-private-cidrs --memory=256MiB \
        --pullsync-serve-rate=0 --pullsync-pull-rate=0 --min-free-disk=0
    node[$name]=$pid
    within fact "$name" address >/dev/null
}
node_kill() { # node, signal
    kill "-$2" "${node[$1]}"
    ended "${node[$1]}" 2>/dev/null
}
synced() { # node: it says so
    curl -s "http://$(fact "$1" http)/api/v1/status" | grep -q '"synced": *true'
}
same() { # both reserves
    for which in one two; do
        run reserve list --data-dir="$scratch/$which"
        sort <<<"$out" >"$which.list"
    done
    [ -s one.list ] && cmp -s one.list two.list
}
upload() { # file
    run reserve upload "$1" --batch "$batch" --stamp-key "$scratch/stamp.key" --data-dir="$scratch/one"
}

head -c 4000000 /dev/urandom >first
head -c 1000000 /dev/urandom >second
head -c 3000000 /dev/urandom >third
ok "the first node starts" node_start one
upload first
reference=$out
is "a file is uploaded into it" "$code" 0
ok "the second starts, empty" node_start two --peers="$(fact one address)"
ok "and says that it is synced" within synced two
ok "with all that the first has" within same
ok "which is something" test "$(wc -l <two.list)" -gt 900
run reserve download "$reference" -o copy --data-dir="$scratch/two"
ok "the file is in the second" cmp first copy
upload second
ok "what is uploaded now comes too" within same

upload third &
uploading=$!
for round in 1 2 3; do
    sleep 0.2
    node_kill two KILL
    ok "killed and started again ($round)" node_start two --peers="$(fact one address)"
done
wait "$uploading"
ok "it ends complete" within same
is "without an entry twice" "$(uniq -d two.list | wc -l)" 0

node_kill one KILL
ok "the first is killed and started again" node_start one
node_kill two TERM
is "the second stops in order" "$code" 0
head -c 500000 /dev/urandom >fourth
upload fourth
ok "and starts again" node_start two --peers="$(fact one address)"
ok "what came meanwhile is there" within same
ok "and synced" within synced two
node_kill two TERM
head -c 500000 /dev/urandom >fifth
upload fifth
ok "the second starts without being told of anybody" node_start two
ok "and finds the first, whose record it has kept" within same
for name in one two; do
    node_kill "$name" TERM
    is "node $name stops in order" "$code" 0
done
done_testing

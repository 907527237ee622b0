#!/bin/bash
# A backup of a node with a reserve, running and stopped, restored elsewhere: every chunk is read
# from the copy.
# shellcheck disable=SC2154 # tap.sh sets them
. "$(dirname "$0")/tap.sh"

cd "$scratch" || exit 1
run overlay --key stamp.key --make
run overlay --key stamp.key --batch-depth 22
echo "$out" >batches.json
batch=$(sed 's/.*"id": "\([0-9a-f]*\)".*/\1/' batches.json)
swarm=(--swarm --batches="$scratch/batches.json")
mkdir tree
cp "$root"/lib/store/*.c tree

start one "${swarm[@]}" --p2p-addr=/ip4/127.0.0.1/tcp/0
ok "a node with a reserve" wait_for "$scratch/one.log" " ready "
run reserve upload "$scratch/tree" --batch "$batch" --stamp-key stamp.key --data-dir="$scratch/one"
is "a folder goes in" "$code" 0
reference=$out
run reserve list --data-dir="$scratch/one"
entries=$(sort <<<"$out")
ok "entries" test "$(wc -l <<<"$entries")" -gt 100
run backup "$scratch/online" --data-dir="$scratch/one"
is "a backup of the running node" "$code $err" "0 "
ok "says what it did with the bodies" grep -qE "^reserve-bodies: [0-9]+ records, .*, done$" <<<"$out"
kill -TERM "$pid"
ended "$pid"
run backup "$scratch/offline" --data-dir="$scratch/one" # no word of swarm: what is there counts
is "a backup without a node" "$code $err" "0 "
is "with keys for nobody else" "$(stat -c %a "$scratch/offline/identity.records")" 600
ok "has the same bodies" cmp "$scratch/online/reserve-bodies.records" "$scratch/offline/reserve-bodies.records"

for copy in online offline; do
    run restore "$scratch/$copy" --data-dir="$scratch/from-$copy"
    is "restored from $copy" "$code $err" "0 "
    for key in p2p-key swarm-key swarm-nonce; do
        ok "with the same $key" cmp "one/$key" "from-$copy/$key"
        is "for nobody else" "$(stat -c %a "from-$copy/$key")" 600
    done
    start "from-$copy" "${swarm[@]}"
    ok "the copy starts" wait_for "$scratch/from-$copy.log" " ready "
    run reserve list --data-dir="$scratch/from-$copy"
    ok "the same entries" test "$(sort <<<"$out")" == "$entries"
    run reserve verify --data-dir="$scratch/from-$copy"
    is "every body is what its address says" "$code" 0
    run reserve download "$reference" -o "$scratch/out-$copy" --data-dir="$scratch/from-$copy"
    is "and the folder comes out" "$code" 0
    ok "as it went in" diff -r tree "out-$copy"
    kill -TERM "$pid"
    ended "$pid"
done
printf 'rot' | dd of=from-online/slabs/reserve.000.slab bs=1 seek=500 conv=notrunc status=none
run backup "$scratch/rotten" --data-dir="$scratch/from-online"
is "a backup with a slot that is damaged: exit code" "$code" 4
ok "which slot, and what to do" \
    grep -q "slot 0 of .* is damaged: 'larder reserve verify --repair' has to come first" <<<"$err"
run reserve verify --repair --data-dir="$scratch/from-online" "${swarm[@]}"
is "the repair found something" "$code" 1
run backup "$scratch/mended" --data-dir="$scratch/from-online"
is "then it goes" "$code $err" "0 "

touch from-online/restoring # as a restore that was killed leaves it
for words in "start --http-addr=" "backup $scratch/half" "repair" "reserve verify --swarm" "keys count" "overlay" "restore $scratch/online"; do
    # shellcheck disable=SC2086 # words, not a word
    run $words --data-dir="$scratch/from-online"
    is "$words, where a restore has not ended: exit code" "$code" 4
    ok "and what to do" grep -q "run 'larder restore' again, into an empty directory" <<<"$err"
done
rm from-online/restoring from-offline/slabs/*
run start --http-addr= "${swarm[@]}" --data-dir="$scratch/from-offline"
is "an index without slabs: exit code" "$code" 4
ok "and what to do" grep -q "begin anew with 'larder reserve verify --repair'" <<<"$err"
run reserve verify --repair --data-dir="$scratch/from-offline" "${swarm[@]}"
is "begun anew" "$code" 0
start from-offline "${swarm[@]}"
ok "it starts" wait_for "$scratch/from-offline.log" " ready "
run reserve list --data-dir="$scratch/from-offline"
is "and says that it has nothing" "$code $out" "0 "
kill -TERM "$pid"
ended "$pid"
run restore "$scratch/online" --data-dir="$scratch/one"
is "not over a reserve that is there" "$code" 1
done_testing

#!/bin/bash
# Backup from a running node and from a stopped one, restore elsewhere, repair of a damaged store.
# shellcheck disable=SC2154 # tap.sh sets them
. "$(dirname "$0")/tap.sh"

cp -r "$root/tests/data/datadir-0.1" "$scratch/one"
records() { # records NAME: of a backup's files, as text
    strings -n 6 "$scratch/$1/state.records" | grep -c "of larder 0.1"
}

start one
ok "the data directory of 0.1 starts" wait_for "$scratch/one.log" " ready "
run backup "$scratch/online" --data-dir="$scratch/one"
is "a backup of a running node" "$code $err" "0 "
ok "it says what it did" grep -qE "^state: 201 records, .*, done$" <<<"$out"
is "all facts are in it" "$(records online)" 200
run backup "$scratch/online" --data-dir="$scratch/one"
is "a second one into the same folder: exit code" "$code" 1
ok "and why" grep -q "$scratch/online is not empty" <<<"$err"
run restore "$scratch/online" --data-dir="$scratch/one"
is "restore into a running node" "$code" 4
kill -TERM "$pid"
ended "$pid"

cd "$scratch" || exit 1
run backup offline --data-dir="$scratch/one"
is "a backup without a node" "$code $err" "0 "
ok "is the same" cmp "$scratch/online/state.records" "$scratch/offline/state.records"
run restore "$scratch/online" --data-dir="$scratch/one"
is "restore over stores" "$code" 1
run restore "$scratch/nowhere" --data-dir="$scratch/two"
is "restore of nothing" "$code" 4

run restore online --data-dir="$scratch/two"
is "restore elsewhere" "$code $err" "0 "
start two
ok "the copy starts" wait_for "$scratch/two.log" " ready "
ok "and knows that it is one" grep -q "restored from a backup" "$scratch/two.log"
run backup "$scratch/again" --data-dir="$scratch/two"
is "its backup has the same facts" "$code $(records again)" "0 200"
kill -TERM "$pid"
ended "$pid"

truncate -s 5 "$scratch"/two/state/CURRENT
run start --data-dir="$scratch/two"
is "a damaged store: exit code" "$code" 4
ok "and the command that helps" grep -q "'larder repair state' may help" <<<"$err"
run repair nosuch --data-dir="$scratch/two"
is "repair of a store that is not" "$code $err" "2 larder: there is no store 'nosuch'"
run repair state --data-dir="$scratch/two"
is "repair" "$code $err" "0 "
start two
ok "the repaired one starts" wait_for "$scratch/two.log" " ready "
run backup "$scratch/repaired" --data-dir="$scratch/two"
is "nothing of it is lost" "$code $(records repaired)" "0 200"
kill -TERM "$pid"
ended "$pid"
done_testing

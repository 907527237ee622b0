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
ok "and no word of a service" eval "! grep -q 'a service sees' <<<\"\$err\""
run backup "$scratch/nowhere/at/all" --data-dir="$scratch/one"
is "into a folder that the node cannot make" "$code" 3
ok "and who it is that makes it" grep -q "opens this path itself.*a service sees only" <<<"$err"
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

# A node in a tree of its own, as a service with PrivateTmp=yes is.
mkdir "$scratch/private"
apart=(unshare --mount)
[ "$(id -u)" = 0 ] || apart=(unshare --user --map-root-user --mount)
cat >"$scratch/apart.sh" <<END
#!/bin/bash
exec ${apart[*]} sh -c 'mount -t tmpfs none "$scratch/private" && exec "$larder" "\$@"' sh "\$@"
END
chmod +x "$scratch/apart.sh"
if "${apart[@]}" mount -t tmpfs none "$scratch/private" 2>/dev/null; then
    larder=$scratch/apart.sh start two
    ok "a node that sees another folder there" wait_for "$scratch/two.log" " ready "
    run backup "$scratch/private/online" --data-dir="$scratch/two"
    is "a backup that nobody else sees" "$code" 1
    ok "and why" grep -q "private/online, but not where we see it: a service has a /tmp of its own" <<<"$err"
    kill -TERM "$pid"
    ended "$pid"
else
    echo "# no mount of our own: not tried"
fi

truncate -s 5 "$scratch"/two/state/CURRENT
run start --http-addr= --data-dir="$scratch/two"
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

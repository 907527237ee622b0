#!/bin/bash
# The life of a node: start, lock, node.json, reload, stop; what it holds while it has nothing to do.
# shellcheck disable=SC2154 # tap.sh sets them
. "$(dirname "$0")/tap.sh"

start one
ok "it becomes ready" wait_for "$scratch/one.log" " ready "
is "its directory is private" "$(stat -c %a "$scratch/one")" 700
wait_for "$scratch/one/node.json" pid
is "node.json names it" "$(sed -n 's/.*"pid": \([0-9]*\).*/\1/p' "$scratch/one/node.json")" "$pid"

run status --data-dir="$scratch/one"
is "status is answered" "$code" 0
ok "by that node" grep -q "^larder .*, pid $pid, up .*: ready" <<<"$out"
printf 'data-dir: %s\n' "$scratch/one" >"$scratch/reach.yaml"
run status --config="$scratch/reach.yaml" --json
ok "also when it is found by its file" grep -q "\"pid\": *$pid" <<<"$out"
run status --data-dir="$scratch/nowhere"
is "nobody there" "$code" 3
ok "a sentence says so" grep -q "^larder: no larder runs on $scratch/nowhere" <<<"$err"
run start --data-dir="$scratch/one"
is "a second one is refused" "$code $err" "4 larder: data directory $scratch/one is in use by process $pid"

kill -TERM "$pid"
ended "$pid"
is "SIGTERM ends it" "$code" 0
ok "every owner at zero" grep -q "every owner at zero" "$scratch/one.log"
ok "node.json is gone" test ! -e "$scratch/one/node.json"
ok "the socket is gone" test ! -e "$scratch/one/control.sock"

# A node that was killed leaves its files; the next one starts over them.
start one
wait_for "$scratch/one/node.json" "\"pid\": $pid,"
kill -KILL "$pid"
ended "$pid" 2>/dev/null
ok "the killed one's socket is still there" test -S "$scratch/one/control.sock"
mkdir -p "$scratch/one"
chmod 755 "$scratch/one"
start one
ok "a start after a kill" wait_for "$scratch/one/node.json" "\"pid\": $pid,"
is "the directory is made private again" "$(stat -c %a "$scratch/one")" 700
kill -INT "$pid"
ended "$pid"
is "SIGINT ends it" "$code" 0

# Reload.
cat >"$scratch/c.yaml" <<'END'
log-level: info
shutdown-deadline: 5s
END
start two --config="$scratch/c.yaml"
wait_for "$scratch/two.log" " ready "
printf 'log-level: debug\nmemory: 2GiB\nread-workers: 3\n' >"$scratch/c.yaml"
kill -HUP "$pid"
ok "a reload" wait_for "$scratch/two.log" "the configuration is applied"
ok "what may change has" grep -q "log-level is now debug" "$scratch/two.log"
ok "a line gone is the default" grep -q "shutdown-deadline is now 25s" "$scratch/two.log"
ok "what may not has not" grep -q "memory: the change to 2GiB needs a restart" "$scratch/two.log"
printf 'log-level: info\nmemry: 2GiB\nread-workers: x\n' >"$scratch/c.yaml"
kill -HUP "$pid"
ok "a bad one is not applied" wait_for "$scratch/two.log" "the configuration is not applied"
is "every error of it is told" "$(grep -c "c.yaml:[23]: " "$scratch/two.log")" 2
ok "and nothing of it" test "$(grep -c "log-level is now info" "$scratch/two.log")" == 0
for _ in 1 2 3 4 5 6 7 8; do # more often than anything has slots
    kill -HUP "$pid"
done
printf 'log-level: info\n' >"$scratch/c.yaml"
kill -HUP "$pid"
ok "many in a row" wait_for "$scratch/two.log" "log-level is now info"
kill -TERM "$pid"
kill -TERM "$pid"
ended "$pid"
is "two signals at once" "$code" 0
start impatient
wait_for "$scratch/impatient.log" " ready "
while kill -TERM "$pid" 2>/dev/null; do
    :
done
ended "$pid"
is "many signals until it is gone" "$code" 0
ok "every owner at zero then, too" grep -q "every owner at zero" "$scratch/impatient.log"

# The service manager, and a directory that cannot be.
run start --data-dir=/proc/larder
is "no directory there" "$code" 3
is "a sentence" "$(grep -c "^larder: making the data directory /proc/larder: " <<<"$err")" 1
touch "$scratch/file"
run start --data-dir="$scratch/file"
is "a file is no directory" "$code" 3
long=$scratch/$(printf 'x%.0s' $(seq 120))
start "$(basename "$long")"
ok "a path too long for a socket" wait_for "$long.log" " ready "
kill -TERM "$pid"
ended "$pid"
is "ends too" "$code" 0
done_testing

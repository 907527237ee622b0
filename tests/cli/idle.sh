#!/bin/bash
# With everything off: resident memory, anonymous memory, wake-ups a second. With every store open:
# resident memory.
# shellcheck disable=SC2154 # tap.sh sets them
. "$(dirname "$0")/tap.sh"

seconds=${IDLE_SECONDS:-2}
field() { # field NAME: of the node's status
    sed -n "s/^$1:[[:space:]]*\([0-9]*\).*/\1/p" "/proc/$pid/status"
}
wakeups() { # of all threads
    cat /proc/"$pid"/task/*/status | awk '/^voluntary_ctxt_switches/ { sum += $2 } END { print sum }'
}

# Again until one was quick: what a busy machine adds is not the node's.
starts=0
quick() {
    starts=$((starts + 1))
    start "ready$starts"
    wait_for "$scratch/ready$starts.log" " ready "
    ms=$(sed -n 's/.* ready ms=\([0-9]*\) .*/\1/p' "$scratch/ready$starts.log")
    kill -TERM "$pid"
    ended "$pid"
    [ "$ms" -lt 100 ]
}
ok "ready in under 100 ms" within quick
echo "# ready after $ms ms, at start $starts"

start idle
wait_for "$scratch/idle.log" " ready "
sleep 0.5
resting() { # what its start has left to do may take longer than that
    local before
    before=$(wakeups)
    sleep "$seconds"
    rate=$((($(wakeups) - before) / seconds))
    [ "$rate" -lt 10 ]
}
ok "fewer than 10 wake-ups a second" within resting
resident=$(field VmHWM)
anonymous=$(field RssAnon)
echo "# resident $resident KiB, anonymous $anonymous KiB, wake-ups $rate a second"
measured=true
if ldd "$larder" | grep -q 'lib[at]san'; then
    measured=false
    echo "# sanitizers: memory is not measured"
else
    ok "resident under 16 MiB with all libraries linked" test "$resident" -lt 16384
    ok "anonymous under 3 MiB" test "$anonymous" -lt 3072
fi
kill -TERM "$pid"
ended "$pid"
is "it ends" "$code" 0

# A store that is added to the rows is switched on here.
start full --swarm --network-id=7357 --reprovide --p2p-addr=/ip4/127.0.0.1/tcp/0
ok "a node with every subsystem" wait_for "$scratch/full.log" " ready "
run status --json --data-dir="$scratch/full"
is "answers" "$code" 0
stores=$(sed -n 's/^STORE(\(\w*\),.*/\1/p' "$root/lib/tables/stores.def")
opened=0
for store in $stores; do
    [ -s "$scratch/full/$store/CURRENT" ] && opened=$((opened + 1))
done
is "all stores are open" "$opened" "$(wc -w <<<"$stores")"
resident=$(field VmHWM)
echo "# with every store: resident $resident KiB"
if $measured; then
    ok "resident under 24 MiB with all stores open" test "$resident" -lt 24576
fi
kill -TERM "$pid"
ended "$pid"
is "and ends" "$code" 0
done_testing

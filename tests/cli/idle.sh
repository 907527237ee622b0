#!/bin/bash
# With everything off: resident memory, anonymous memory, wake-ups a second.
# shellcheck disable=SC2154 # tap.sh sets them
. "$(dirname "$0")/tap.sh"

seconds=${IDLE_SECONDS:-2}
field() { # field NAME: of the node's status
    sed -n "s/^$1:[[:space:]]*\([0-9]*\).*/\1/p" "/proc/$pid/status"
}
wakeups() { # of all threads
    cat /proc/"$pid"/task/*/status | awk '/^voluntary_ctxt_switches/ { sum += $2 } END { print sum }'
}

# The best of three: what a busy machine adds is not the node's.
best=1000000
for n in 1 2 3; do
    start "ready$n"
    wait_for "$scratch/ready$n.log" " ready "
    ms=$(sed -n 's/.* ready ms=\([0-9]*\) .*/\1/p' "$scratch/ready$n.log")
    [ "$ms" -lt "$best" ] && best=$ms
    kill -TERM "$pid"
    ended "$pid"
done
echo "# ready after $best ms"
ok "ready in under 100 ms" test "$best" -lt 100

start idle
wait_for "$scratch/idle.log" " ready "
sleep 0.5
before=$(wakeups)
sleep "$seconds"
after=$(wakeups)
rate=$(((after - before) / seconds))
resident=$(field VmHWM)
anonymous=$(field RssAnon)
echo "# resident $resident KiB, anonymous $anonymous KiB, wake-ups $rate a second"
ok "fewer than 10 wake-ups a second" test "$rate" -lt 10
if ldd "$larder" | grep -q 'lib[at]san'; then
    echo "# sanitizers: memory is not measured"
else
    ok "resident under 16 MiB with all libraries linked" test "$resident" -lt 16384
    ok "anonymous under 3 MiB" test "$anonymous" -lt 3072
fi
kill -TERM "$pid"
ended "$pid"
is "it ends" "$code" 0
done_testing

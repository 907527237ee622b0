#!/bin/bash
# Sourced by the runs of libp2p peers.
log=${log:?the file that collects every check}

# with_listener NAME LISTENER... -- DIALER...: starts the listener, gives its address to the dialer.
with_listener() {
    local name=$1
    shift
    local listener=()
    while [ "$1" != -- ]; do
        listener+=("$1")
        shift
    done
    shift
    echo "# $name"
    coproc PEER { exec "${listener[@]}"; }
    local pid=$PEER_PID out=${PEER[0]} in=${PEER[1]} address=
    read -r -t 60 -u "$out" address
    timeout 180 "$@" "$address" | tee -a "$log"
    if [ "${PIPESTATUS[0]}" -ne 0 ]; then
        echo "not ok - $name: the dialer failed" | tee -a "$log"
    fi
    eval "exec $in>&-"
    wait "$pid"
}

# The sum of all checks; fails when one did, or when there was none.
listener_sum() {
    local passed failed
    passed=$(grep -c '^ok' "$log")
    failed=$(grep -c '^not ok' "$log")
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}

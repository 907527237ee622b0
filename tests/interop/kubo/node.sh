#!/bin/bash
# Sourced: a kubo node of our own on loopback, isolated from every network and from other nodes.
#
#     kubo_build DIR             builds $DIR/ipfs, which is kept as long as go.sum stays what it is
#     kubo_init REPO             a fresh repository: IPFS_PATH is REPO from here on
#     kubo_start                 the daemon; sets kubo_pid, kubo_address (with /p2p/), kubo_api
#     kubo ARGUMENT...           a command, answered by the daemon
#     kubo_stop                  ends it; true when it ended by itself in time
#
# kubo_init leaves routing off. A test that looks things up sets Routing.Type before kubo_start, and
# takes everything else here as it is: addresses of loopback are neither filtered nor announced away.
kubo_here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
kubo_pid=
export IPFS_TELEMETRY=off GOLOG_LOG_LEVEL=error

kubo_build() {
    mkdir -p "$1"
    kubo_bin=$(cd "$1" && pwd)/ipfs
    (cd "$kubo_here" && go build -o "$kubo_bin" github.com/ipfs/kubo/cmd/ipfs)
}

kubo() {
    "$kubo_bin" "$@"
}

kubo_set() { # KEY JSON
    kubo config --json "$1" "$2"
}

kubo_init() {
    export IPFS_PATH=$1
    mkdir -p "$IPFS_PATH"
    kubo init --profile=test >/dev/null || return 1
    local key
    for key in AutoConf.Enabled AutoTLS.Enabled Discovery.MDNS.Enabled Provide.Enabled \
        Swarm.RelayClient.Enabled Swarm.RelayService.Enabled Swarm.EnableHolePunching; do
        kubo_set "$key" false || return 1
    done
    for key in Bootstrap Routing.DelegatedRouters Ipns.DelegatedPublishers Swarm.AddrFilters \
        Addresses.NoAnnounce; do
        kubo_set "$key" '[]' || return 1
    done
    kubo_set Routing.Type '"none"' && kubo_set DNS.Resolvers '{}' &&
        kubo_set Swarm.DisableNatPortMap true && kubo_set Gateway.NoFetch true &&
        kubo_set Experimental.FilestoreEnabled true &&
        kubo_set Swarm.Transports.Network '{"TCP": true, "QUIC": false, "Relay": false,
            "WebTransport": false, "WebRTCDirect": false, "Websocket": false}' &&
        kubo_set Addresses '{"API": "/ip4/127.0.0.1/tcp/0", "Gateway": "/ip4/127.0.0.1/tcp/0",
            "Swarm": ["/ip4/127.0.0.1/tcp/0", "/ip6/::1/tcp/0"], "NoAnnounce": []}'
}

kubo_start() {
    kubo_bin_check || return 1
    "$kubo_bin" daemon >"$IPFS_PATH/daemon.log" 2>&1 &
    kubo_pid=$!
    for _ in $(seq 600); do
        kubo_api=$(cat "$IPFS_PATH/api" 2>/dev/null)
        if [ -n "$kubo_api" ] && grep -q 'Daemon is ready' "$IPFS_PATH/daemon.log"; then
            kubo_address=$(kubo id -f '<addrs>' | grep -m1 '^/ip4/127')
            [ -n "$kubo_address" ] && return 0
        fi
        kill -0 "$kubo_pid" 2>/dev/null || break
        sleep 0.2
    done
    cat "$IPFS_PATH/daemon.log" >&2
    return 1
}

kubo_bin_check() {
    [ -x "$kubo_bin" ] || {
        echo "kubo_build comes first" >&2
        return 1
    }
}

kubo_stop() {
    local pid=$kubo_pid
    [ -n "$pid" ] || return 0
    kubo_pid=
    kill -TERM "$pid" 2>/dev/null
    for _ in $(seq 600); do
        kill -0 "$pid" 2>/dev/null || { wait "$pid" 2>/dev/null; return 0; }
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    return 1
}

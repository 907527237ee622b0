#!/bin/bash
# Builds a peer that is written in Go. Usage: build-go.sh FOLDER OUTPUT [PACKAGE]
set -eu
folder=$1
output=$(realpath -m "$2")
package=${3:-.}
mkdir -p "$(dirname "$output")"
# shellcheck source=tests/interop/toolchain.sh
. tests/interop/toolchain.sh
toolchain_go "$(dirname "$output")/toolchain" >/dev/null || {
    echo "there is no go that builds $folder, and none could be had"
    exit 1
}
cd "$folder"
go build -o "$output" "$package" || {
    echo "the peer in $folder cannot be built"
    exit 1
}

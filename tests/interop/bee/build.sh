#!/bin/bash
# Builds the peer made of bee's packages. Usage: build.sh OUTPUT
set -eu
output=$(realpath -m "$1")
mkdir -p "$(dirname "$output")"
# shellcheck source=tests/interop/toolchain.sh
. tests/interop/toolchain.sh
toolchain_go "$(dirname "$output")/toolchain" >/dev/null || {
    echo "there is no go that builds the bee, and none could be had"
    exit 1
}
cd "$(dirname "$0")"
go build -o "$output" . || {
    echo "the peer on bee's packages cannot be built"
    exit 1
}

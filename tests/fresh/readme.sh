#!/bin/bash
# Prints the commands of README.md: the Nth block that is marked sh. readme.sh N; exit code 1: none.
set -eu
cd "$(dirname "$0")/../.."
awk -v want="$1" '
    /^```sh$/ { block++; inside = 1; next }
    /^```/ { inside = 0 }
    inside && block == want { print; found = 1 }
    END { exit !found }' README.md

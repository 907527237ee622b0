#!/bin/sh
# A tmpfs of 40 MiB in a mount namespace of its own for disk_full. Needs root.
set -eu
program=$(realpath "$1")
if [ "$(id -u)" != 0 ]; then
    echo "disk_full: needs root to mount a small disk" >&2
    exit 1
fi
dir=$(mktemp -d)
trap 'rmdir "$dir"' EXIT
# shellcheck disable=SC2016
unshare --mount --propagation private sh -c '
    mount -t tmpfs -o size=40m tmpfs "$1" && exec "$2" "$1"' sh "$dir" "$program"

#!/bin/bash
# make install puts everything below DESTDIR and PREFIX, what it put there runs, and make uninstall
# takes all of it away again.
set -eu
cd "$(dirname "$0")/../.."
dest=$(mktemp -d)
trap 'rm -rf "$dest"' EXIT
make -s install DESTDIR="$dest" PREFIX=/opt/larder >/dev/null
outside=$(find "$dest" -type f ! -path "$dest/opt/larder/*")
[ -z "$outside" ] || {
    echo "not ok - outside of PREFIX: $outside"
    exit 1
}
"$dest/opt/larder/bin/larder" version
grep -q '^ExecStart=/opt/larder/bin/larder start' "$dest/opt/larder/lib/systemd/system/larder.service"
man -l "$dest/opt/larder/share/man/man8/larder.8" >/dev/null 2>&1 || [ -z "$(command -v man)" ]
make -s uninstall DESTDIR="$dest" PREFIX=/opt/larder
left=$(find "$dest" -type f)
[ -z "$left" ] || {
    echo "not ok - left behind: $left"
    exit 1
}
echo "ok - installed, ran, uninstalled"

#!/bin/bash
# Makes a Debian 12 tree: tree.sh DIR [PACKAGE...]. The mirror, its keys and the settings of apt are
# those of this machine, read when it runs; a tree once made is kept as an archive beside DIR.
set -eu
dir=$1
shift
suite=bookworm
cache=$dir.$(printf '%s ' "$suite" "$@" | sha256sum | cut -c1-12).tar
if [ ! -s "$cache" ]; then
    # The first mirror apt knows; `apt-get indextargets` reads every form of its sources.
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' "Codename: $suite" |
        head -n 1)
    [ -n "$mirror" ] || mirror=$(apt-get indextargets --format '$(SITE)' | head -n 1)
    [ -n "$mirror" ] || {
        echo "tree: apt knows no mirror; run apt-get update" >&2
        exit 1
    }
    rm -rf "$dir"
    mkdir -p "$dir"
    include=$(printf '%s,' ca-certificates "$@")
    debootstrap --variant=minbase --include="${include%,}" "$suite" "$dir" "$mirror" \
        >"$dir.log" 2>&1 || {
        tail -n 20 "$dir.log" >&2
        exit 1
    }
    rm -f "$dir"/var/cache/apt/archives/*.deb
    tar -C "$dir" --one-file-system -cf "$cache.part" .
    mv "$cache.part" "$cache"
else
    rm -rf "$dir"
    mkdir -p "$dir"
    tar -C "$dir" -xf "$cache"
fi
# The tree reaches packages as this machine does.
rm -rf "$dir/etc/apt"
cp -a /etc/apt "$dir/etc/apt"
cp -aL /etc/resolv.conf "$dir/etc/resolv.conf" 2>/dev/null || true
cp -a /etc/ssl/certs "$dir/etc/ssl/" 2>/dev/null || true

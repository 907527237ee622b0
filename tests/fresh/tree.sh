#!/bin/bash
# Makes a Debian 12 tree with packages: tree.sh DIR [PACKAGE...]. The mirror, its keys and the
# settings of apt are those of this machine, read when it runs. The bare system is kept in
# build/debian.tar for the next tree; packages are always installed anew.
set -eu
cd "$(dirname "$0")/../.."
dir=$1
shift
suite=bookworm
base=build/debian.tar
rm -rf --one-file-system "$dir"
mkdir -p "$dir"
if [ ! -s "$base" ]; then
    # `apt-get indextargets` reads every form of apt's sources.
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' "Codename: $suite" |
        head -n 1)
    [ -n "$mirror" ] || {
        echo "tree: apt knows no mirror of $suite; run apt-get update" >&2
        exit 1
    }
    debootstrap --variant=minbase --include=ca-certificates "$suite" "$dir" "$mirror" \
        >"$dir.log" 2>&1 || {
        tail -n 20 "$dir.log" >&2
        exit 1
    }
    rm -f "$dir"/var/cache/apt/archives/*.deb
    tar -C "$dir" --one-file-system -cf "$base.part" .
    mv "$base.part" "$base"
else
    tar -C "$dir" -xf "$base"
fi
# The tree reaches packages as this machine does.
rm -rf --one-file-system "$dir/etc/apt"
cp -a /etc/apt "$dir/etc/apt"
printf '127.0.0.1 localhost\n::1 localhost\n' >"$dir/etc/hosts" # as an installer leaves it
cp -aL /etc/resolv.conf "$dir/etc/resolv.conf" 2>/dev/null || true
cp -a /etc/ssl/certs "$dir/etc/ssl/" 2>/dev/null || true
[ $# -gt 0 ] || exit 0
chroot "$dir" sh -ec 'apt-get -q update
    DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends "$@"' \
    install "$@" >>"$dir.log" 2>&1 </dev/null || {
    tail -n 20 "$dir.log" >&2
    exit 1
}

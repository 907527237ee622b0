#!/bin/bash
# The README's commands, in a fresh Debian 12 tree and a fresh clone of this commit: what a person
# does who has nothing but make and git. Needs root and debootstrap. run.sh [FOLDER]
set -eu
cd "$(dirname "$0")/../.."
[ "$(id -u)" = 0 ] || {
    echo "check-fresh: run as root: debootstrap and chroot need it" >&2
    exit 1
}
work=$(realpath -m "${1:-build/fresh}")
mkdir -p "$work"
echo "== a Debian 12 tree with make and git"
tests/fresh/tree.sh "$work/tree" make git
git clone -q --no-local . "$work/tree/src/larder"

# The network settings of this machine, and nothing else of its environment; the demo ends by itself.
environment=(HOME=/tmp LANG=C.UTF-8 TERM=dumb DEMO_EXIT=1 PATH=/usr/sbin:/usr/bin:/sbin:/bin)
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    [ -z "${!name:-}" ] || environment+=("$name=${!name}")
done

passed=0
for n in 1 2; do
    block=$(tests/fresh/readme.sh $n) || continue
    echo "== $block"
    # Mounts and processes end with the namespaces.
    unshare --mount --pid --fork --kill-child bash -euc '
        tree=$1
        mount --bind /dev "$tree/dev"
        mount -t proc proc "$tree/proc"
        shift
        exec chroot "$tree" "$@"' fresh "$work/tree" \
        env -i "${environment[@]}" bash -euc "cd /src/larder; $block" </dev/null || {
        echo "not ok - $block"
        echo "$passed passed, 1 failed"
        exit 1
    }
    passed=$((passed + 1))
done
rm -rf "$work/tree"
echo "$passed passed, 0 failed"
[ "$passed" -gt 0 ]

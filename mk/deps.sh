#!/bin/bash
# Installs the Debian packages of a list (deps.list or deps-ci.list) that are missing, as root or with
# sudo, and says what it does: deps.sh LIST [--check]. With --check it only says what is missing.
set -eu
list=$1
missing=$(grep -v '^#' "$list" | while read -r package; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || echo "$package"
done)
if [ -z "$missing" ]; then
    echo "deps: every package of $list is installed"
    exit 0
fi
echo "deps: missing:" $missing
[ "${2:-}" != --check ] || exit 1
as_root=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || {
        echo "deps: run 'make deps' as root, or install sudo" >&2
        exit 1
    }
    as_root=sudo
fi
echo "deps: ${as_root:+sudo }apt-get update, then install --no-install-recommends"
$as_root apt-get -q -o Acquire::Retries=3 update
# Another apt may hold the lock, as the nightly upgrades of a fresh machine do: it is waited for.
# Services that come with a package (prometheus) are wanted as tools: nothing is started.
$as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -q -y -o Acquire::Retries=3 \
    -o DPkg::Lock::Timeout=300 install --no-install-recommends $missing
echo "deps: done"

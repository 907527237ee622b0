#!/bin/bash
# Builds the Debian package in build/deb from a copy of the tree, and has lintian judge it.
set -eu
cd "$(dirname "$0")/../.."
out=$PWD/build/deb
rm -rf "$out"
mkdir -p "$out/source"
git ls-files -z | tar --null -cf - -T - | tar -C "$out/source" -xf -
version=$(sed -n 's/^#define LARDER_VERSION "\(.*\)"/\1/p' lib/base/version.h)
packaged=$(sed -n '1s/.*(\(.*\)).*/\1/p' debian/changelog)
[ "$version" = "$packaged" ] || {
    echo "deb: debian/changelog says $packaged, lib/base/version.h says $version" >&2
    exit 1
}
# A commit's time, so that the same commit gives the same package.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
(cd "$out/source" && dpkg-buildpackage -b -us -uc -nc -d) >"$out/build.log" 2>&1 || {
    tail -n 40 "$out/build.log"
    exit 1
}
rm -rf "$out/source"
package=$(ls "$out"/larder_*.deb)
dpkg-deb --contents "$package" | awk '{ print $1, $3, $6 }'
dpkg-deb --field "$package" Depends
lintian --fail-on error --suppress-tags bad-distribution-in-changes-file "$package"
echo "deb: $package"

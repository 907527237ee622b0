#!/bin/bash
# The package as an operator meets it: Debian 12 booted by systemd-nspawn, the package of `make deb`
# installed there, started, reloaded, watched, stopped. Needs root. run.sh [FOLDER]
set -eu
cd "$(dirname "$0")/../.."
[ "$(id -u)" = 0 ] || {
    echo "check-service: run as root: debootstrap and systemd-nspawn need it" >&2
    exit 1
}
work=$(realpath -m "${1:-build/service}")
mkdir -p "$work"
tests/service/deb.sh
tests/fresh/tree.sh "$work/tree" systemd systemd-sysv dbus procps libjemalloc2 libleveldb1d \
    libmicrohttpd12 libprotobuf-c1 libsecp256k1-1 libsodium23 libuv1 libyajl2 libyaml-0-2 libc-ares2
tree=$work/tree
mkdir -p "$tree/root-test"
cp build/deb/larder_*.deb "$tree/root-test/larder.deb"
cp tests/service/inside.sh "$tree/root-test/"
cat >"$tree/etc/systemd/system/larder-test.service" <<'UNIT'
[Unit]
Description=The test
After=multi-user.target

[Service]
Type=exec
ExecStart=/bin/bash /root-test/inside.sh
ExecStopPost=/bin/systemctl poweroff --no-block
StandardOutput=file:/root-test/result
StandardError=inherit
TimeoutStartSec=600
UNIT
mkdir -p "$tree/etc/systemd/system/default.target.wants"
# Wanted by a target of its own time: a job that waits for the whole boot must not be part of it.
cat >"$tree/etc/systemd/system/larder-test.timer" <<'UNIT'
[Timer]
OnBootSec=1s

[Install]
WantedBy=timers.target
UNIT
mkdir -p "$tree/etc/systemd/system/timers.target.wants"
ln -sf ../larder-test.timer "$tree/etc/systemd/system/timers.target.wants/larder-test.timer"
rm -f "$tree/etc/machine-id" && : >"$tree/etc/machine-id"

# A control group of its own, in every hierarchy that systemd uses, so that nothing is left behind.
groups=()
for base in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
    [ -w "$base/cgroup.procs" ] || continue
    mkdir "$base/larder-test-$$" 2>/dev/null || continue
    groups+=("$base/larder-test-$$")
done
cleanup() { # a boot that was cut leaves its processes in the group, and nothing of it outside
    for group in "${groups[@]}"; do
        find "$group" -name cgroup.procs -exec cat {} + 2>/dev/null | while read -r pid; do
            kill -KILL "$pid" 2>/dev/null || true
        done
        sleep 0.2
        find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
}
trap cleanup EXIT
echo "== boot"
# script gives it the terminal that systemd wants for its console.
(
    for group in "${groups[@]}"; do
        echo "$BASHPID" >"$group/cgroup.procs"
    done
    exec timeout --kill-after=20 600 script -qec "systemd-nspawn --quiet -D '$tree' -b \
        --register=no --keep-unit --machine=larder-test-$$ --link-journal=no" "$work/console.log"
) </dev/null >/dev/null 2>&1 || true
cat "$tree/root-test/result" 2>/dev/null || {
    echo "not ok - the tree did not boot; the end of its console:"
    tail -n 30 "$work/console.log" | cut -c1-160
    exit 1
}
grep -q '^[0-9]* passed, 0 failed$' "$tree/root-test/result"

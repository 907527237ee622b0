#!/usr/bin/env bash
# The kernel as judge: the load of memory_load.c inside a control group that allows the setting plus
# 64 MiB. It must end green without a single kill; with accounting broken, the same group must show
# that the limit was really in force. Version 1 and 2 are used where the machine offers them to us;
# where it offers neither, this says so and the high-water mark alone judges (make check-memory).
set -eu
load=$1 broken=$2 jobs=${3:-2000}
limit=$(((256 + 64) << 20))

if [ -w /sys/fs/cgroup/memory/cgroup.procs ]; then
    version=1 dir=/sys/fs/cgroup/memory/larder-load-$$
    limit_file=memory.limit_in_bytes peak_file=memory.max_usage_in_bytes
    kills() { awk '/^oom_kill /{print $2}' "$dir/memory.oom_control"; }
elif grep -qw memory /sys/fs/cgroup/cgroup.subtree_control 2>/dev/null; then
    version=2 dir=/sys/fs/cgroup/larder-load-$$
    limit_file=memory.max peak_file=memory.peak
    kills() { awk '/^oom_kill /{print $2}' "$dir/memory.events"; }
else
    echo "no memory controller here that we may use: judged by the high-water mark alone"
    exit 0
fi
mkdir "$dir"
trap 'rmdir "$dir"' EXIT
echo "$limit" >"$dir/$limit_file"

run() { (echo $BASHPID >"$dir/cgroup.procs" && exec "$@"); }

run "$load" "$jobs"
echo "control group version $version, limit $((limit >> 20)) MiB:" \
    "at most $(($(cat "$dir/$peak_file" 2>/dev/null || echo 0) >> 20)) MiB charged, $(kills) kills"
[ "$(kills)" -eq 0 ]

rc=0
run "$broken" "$jobs" >/dev/null 2>&1 || rc=$?
echo "the same with accounting broken: exit $rc, $(kills) kills"
[ "$(kills)" -gt 0 ] # the limit was in force, and a lie is killed by it

#!/bin/bash
# content.sh LARDER MIB: so much real content (files of this machine, then random bytes) into the
# reserve of a running node, as one folder and as one file, and out again: identical, every entry
# sound, and memory within the setting. One JSON object per figure.
set -eu
larder=$1
mib=$2
scratch=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true; rm -rf "$scratch"' EXIT
run() {
    env -i HOME="$scratch" "$larder" "$@" --data-dir="$scratch/node"
}
fail() {
    echo "content: $*" >&2
    exit 1
}

mkdir "$scratch/tree"
# Half of it real files, which repeat themselves and come in all sizes; the rest is random.
python3 - "$scratch/tree" "$mib" <<'END'
import os, shutil, sys
tree, left = sys.argv[1], int(sys.argv[2]) << 20
half = left // 2
def files():
    for top in "/usr/lib", "/usr/share":
        for folder, folders, names in os.walk(top):
            folders.sort()
            for name in sorted(names):
                path = os.path.join(folder, name)
                if os.path.isfile(path) and not os.path.islink(path) and os.access(path, os.R_OK):
                    yield path, os.path.getsize(path)
for path, size in files():
    if size > left - half or size > 20 << 20:
        continue
    os.makedirs(tree + os.path.dirname(path), exist_ok=True)
    shutil.copyfile(path, tree + path)
    left -= size
    if left - half < 65536:
        break
with open(tree + "/random", "wb") as random:
    while left > 0:
        left -= random.write(os.urandom(min(left, 1 << 20)))
END

run overlay --key "$scratch/key" --make >"$scratch/out"
run overlay --key "$scratch/key" --batch-depth 24 >"$scratch/batches.json"
batch=$(sed 's/.*"id": "\([0-9a-f]*\)".*/\1/' "$scratch/batches.json")
env -i HOME="$scratch" "$larder" start --data-dir="$scratch/node" --http-addr= --memory=512MiB --swarm \
    --batches="$scratch/batches.json" 2>"$scratch/log" &
pid=$!
for _ in $(seq 1200); do
    ! grep -q " ready " "$scratch/log" || break
    sleep 0.05
done
grep -q " ready " "$scratch/log" || fail "the node is not ready after 60 s"

figure() { # figure NAME SECONDS-AS-NANOSECONDS BYTES
    awk -v name="$1" -v ns="$2" -v bytes="$3" -v load="$(cut -d' ' -f1 /proc/loadavg)" \
        'BEGIN { printf "{\"figure\": \"content %s\", \"seconds\": %.2f, \"mib_per_second\": %.1f, \"load\": %s}\n",
                 name, ns / 1e9, bytes / 1048576 / (ns / 1e9), load }'
}
round() { # round NAME PATH
    local began ended reference
    began=$(date +%s%N)
    reference=$(run reserve upload "$2" --batch "$batch" --stamp-key "$scratch/key") || fail "upload of $1"
    ended=$(date +%s%N)
    figure "$1 up" $((ended - began)) "$bytes"
    began=$(date +%s%N)
    run reserve download "$reference" -o "$scratch/back" || fail "download of $1"
    ended=$(date +%s%N)
    figure "$1 down" $((ended - began)) "$bytes"
    diff -r "$2" "$scratch/back" >/dev/null || fail "$1 is not what was uploaded"
    rm -rf "$scratch/back"
}
bytes=$((mib * 1048576))
round folder "$scratch/tree"
tar -C "$scratch/tree" --sort=name --mtime=@0 -cf "$scratch/file" .
rm -r "$scratch/tree"
bytes=$(stat -c %s "$scratch/file")
round file "$scratch/file"
run reserve verify || fail "an entry is not sound"
peak=$(awk '/^VmHWM/ { hwm = $2 } /^RssFile/ { file = $2 } END { printf "%d", (hwm - file) / 1024 }' "/proc/$pid/status")
echo "{\"figure\": \"content memory\", \"setting_mib\": 512, \"anonymous_peak_mib\": $peak}"
[ "$peak" -le 512 ] || fail "$peak MiB under a setting of 512"
kill -TERM "$pid"
wait "$pid" || fail "the node's end"
pid=
grep -q "every owner at zero" "$scratch/log" || fail "an owner holds memory at the end"
echo "content: $mib MiB, identical"

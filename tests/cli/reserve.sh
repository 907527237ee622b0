#!/bin/bash
# The reserve as people use it: files and folders into it and out of it, with a node and without one;
# statistics, batches that expire, references that are those of bee's splitter.
# shellcheck disable=SC2154 # tap.sh sets them
. "$(dirname "$0")/tap.sh"

cd "$scratch" || exit 1
run overlay --key stamp.key --make
is "a key is made" "$code" 0
owner=${out##*0x}
is "only for us" "$(stat -c %a stamp.key)" 600
run overlay --key stamp.key --batch-depth 22
echo "$out" >batches.json
ok "a batch of that key" grep -q "\"owner\": \"$owner\"" batches.json
batch=$(sed 's/.*"id": "\([0-9a-f]*\)".*/\1/' batches.json)
run overlay --key nosuch.key
is "a key that is not there" "$code" 1

offline=(--data-dir="$scratch/one" --swarm --batches="$scratch/batches.json" --http-addr=)
run overlay --data-dir="$scratch/one" --prefix 0110
ok "a nonce for a neighbourhood" grep -q "^overlay    [67]" <<<"$out"
nonce=$(sed -n 's/^nonce *//p' <<<"$out")
offline+=(--nonce="$nonce")
run overlay "${offline[@]}"
ok "and the overlay it makes" grep -q "^overlay    [67]" <<<"$out"
overlay=$(sed -n 's/^overlay *//p' <<<"$out")
run reserve stats --data-dir="$scratch/one"
is "no node, and swarm is off" "$code" 3

# Files of the pattern of the vectors: bee made their references.
mkdir files
python3 - "$root/tests/data/swarm-tree-vectors.json" <<'END'
import json, sys
def pattern(n):
    block = bytes((7 * i + i // 256 + 3) & 255 for i in range(65536))
    return (block * (n // 65536 + 1))[:n]
with open("want", "w") as want:
    for f in json.load(open(sys.argv[1]))["files"]:
        open("files/%d" % f["size"], "wb").write(pattern(f["size"]))
        want.write("%d %s\n" % (f["size"], f["reference"]))
END
wrong=0
while read -r size reference; do
    run reserve upload "files/$size" --batch "$batch" --stamp-key stamp.key "${offline[@]}"
    [ "$out" == "$reference" ] || wrong=$((wrong + 1))
done <want
is "references are those of bee's splitter: wrong ones of $(wc -l <want)" "$wrong" 0
run reserve stats "${offline[@]}"
ok "the overlay is that of the nonce" grep -q "^overlay    $overlay" <<<"$out"
entries=$(sed -n 's/^entries *\([0-9]*\).*/\1/p' <<<"$out")
ok "entries" test "$entries" -gt 20
run reserve list "${offline[@]}"
is "the list has a line for each" "$(wc -l <<<"$out")" "$entries"
is "address, batch, stamp hash" "$(grep -cE "^[0-9a-f]{64} $batch [0-9a-f]{64}$" <<<"$out")" "$entries"

# With a node: a folder.
mkdir -p "tree/deep/er" tree/empty
cp "$root"/lib/store/*.c tree/deep
cp "$root/README.md" "tree/deep/er/name with spaces and ü.md"
: >tree/nothing
echo "<p>" >tree/index.html
ln -s index.html tree/link
start one --swarm --batches="$scratch/batches.json" --nonce="$nonce"
ok "a node with a reserve" wait_for one.log " ready "
ok "who it is, in node.json" grep -q "\"overlay\": \"$overlay\"" one/node.json
run reserve upload tree --batch "$batch" --stamp-key stamp.key --data-dir="$scratch/one"
is "a folder, by the running node" "$code" 0
reference=$out
ok "links are left out and said" grep -q "links and what else is no file were left out" <<<"$err"
run reserve upload tree --batch "$batch" --stamp-key stamp.key --data-dir="$scratch/one"
is "a second time: the same reference" "$out" "$reference"
ok "and no chunk is stamped twice" grep -q " 0 of them stamped" <<<"$err"
run reserve download "$reference" -o copy --data-dir="$scratch/one"
is "and out again" "$code" 0
rm -r tree/link tree/empty
ok "it is the same" diff -r tree copy
run reserve download "$reference" -o copy --data-dir="$scratch/one"
is "not over what is there" "$code" 1
run reserve download "$reference" -o nowhere/at/all --data-dir="$scratch/one"
ok "nor to where the node cannot write, and who it is that writes" grep -q "a service sees only" <<<"$err"
run reserve upload nowhere --batch "$batch" --stamp-key stamp.key --data-dir="$scratch/one"
ok "the same for what it cannot read" grep -q "a service sees only" <<<"$err"
run reserve download "$reference" -o manifest --raw --data-dir="$scratch/one"
is "the bytes of the manifest" "$code $(stat -c %s manifest | grep -c '^[0-9]*$')" "0 1"
run reserve download "${reference//[0-9]/0}" -o nothing --data-dir="$scratch/one"
is "a reference that is not there" "$code" 1
ok "and why" grep -q "is not in the reserve" <<<"$err"
ok "nothing is left behind" test ! -e nothing -a ! -e nothing.part
run overlay --key other.key --make
run reserve upload tree --batch "$batch" --stamp-key other.key --data-dir="$scratch/one"
is "a key that is not the batch owner's" "$code" 1
ok "and whose it is" grep -q "the batch belongs to 0x$owner" <<<"$err"
run reserve upload tree --batch "${batch//[0-9]/0}" --stamp-key stamp.key --data-dir="$scratch/one"
is "a batch that is not known" "$code" 1
run reserve verify --repair --data-dir="$scratch/one"
is "no repair under a running node" "$code" 1
run reserve verify more --data-dir="$scratch/one"
is "words that mean nothing" "$code" 2
run status --data-dir="$scratch/one"
ok "the status page has the reserve" grep -q "has cache state *complete" <<<"$out"
kill -TERM "$pid"
ended "$pid"
is "the node stops" "$code" 0
ok "with every owner at zero" grep -q "every owner at zero" one.log

# Later, without a node, the image of the has-cache in its place.
run reserve download "$reference" -o again "${offline[@]}"
is "the same after a restart" "$code" 0
ok "identical" diff -r tree again
size=$(tail -1 want | cut -d' ' -f1)
run reserve download "$(tail -1 want | cut -d' ' -f2)" -o large "${offline[@]}"
ok "the largest file" cmp large "files/$size"

# Damage, found and repaired; an index that is lost, and made anew.
run reserve verify "${offline[@]}"
is "all is sound" "$code $err" "0 "
ok "every entry" grep -qE "^([0-9]+) entries verified, \1 of them sound$" <<<"$out"
run reserve list "${offline[@]}"
sort <<<"$out" >list
printf damaged | dd of=one/slabs/reserve.000.slab bs=1 seek=$((4384 * 7 + 500)) conv=notrunc 2>/dev/null
run reserve verify "${offline[@]}"
is "a body is damaged: exit code" "$code" 1
ok "it is found" grep -q "^1 damaged$" <<<"$out"
lost=$(sed -n 's/^chunk \([0-9a-f]*\) .*is damaged$/\1/p' <<<"$out")
ok "and named" grep -q "^$lost " list
run reserve verify --repair --data-dir="$scratch/one" --swarm
is "a repair without the batches would throw all away" "$code" 2
run reserve verify --repair "${offline[@]}"
is "repaired, with a loss" "$code" 1
run reserve list "${offline[@]}"
is "the rest is there" "$(sort <<<"$out" | cmp - <(grep -v "^$lost " list))" ""
run reserve verify "${offline[@]}"
is "and sound" "$code" 0
rm -r one/reserve
run start "${offline[@]}"
is "without its index it does not start" "$code" 4
ok "and says what helps" grep -q "'larder reserve verify --repair' makes it anew" <<<"$err"
run reserve verify --repair "${offline[@]}"
is "made anew; the damaged body still lies there" "$code $(grep -c "^1 damaged" <<<"$out")" "1 1"
run reserve list "${offline[@]}"
is "nothing is lost" "$(sort <<<"$out" | cmp - <(grep -v "^$lost " list))" ""
run reserve upload tree --batch "$batch" --stamp-key stamp.key "${offline[@]}"
is "a second upload heals what was lost of it" "$code $out" "0 $reference"

# A small batch: a bucket is full, and the batch expires.
run overlay --key stamp.key --batch-depth 16
small=$(sed 's/.*"id": "\([0-9a-f]*\)".*/\1/' <<<"$out")
echo "${out%]}, $(sed 's/^\[//' batches.json)" >both.json
start one --swarm --batches="$scratch/both.json" --nonce="$nonce" --storage-radius=1
ok "a table of two" wait_for one.log "the table of batches is read batches=2"
wait_for one.log " ready "
head -c 20000000 /dev/urandom >random
head -c 9000 /dev/urandom >few
run reserve upload few --batch "$small" --stamp-key stamp.key --data-dir="$scratch/one"
is "a few chunks in a small batch" "$code" 0
run reserve upload random --batch "$small" --stamp-key stamp.key --data-dir="$scratch/one"
is "one chunk a bucket does not go far" "$code" 3
ok "and why" grep -q "of the batch is full" <<<"$err"
before=$(sed -n 's/^entries *\([0-9]*\).*/\1/p' <<<"$("$larder" reserve stats --data-dir="$scratch/one")")
cp batches.json both.json
kill -HUP "$pid"
ok "the batch that left the table expires" wait_for one.log "has expired"
after=$(sed -n 's/^entries *\([0-9]*\).*/\1/p' <<<"$("$larder" reserve stats --data-dir="$scratch/one")")
ok "its chunks are gone" test "$after" -lt "$before" -a "$after" -ge "$entries"
run reserve list --data-dir="$scratch/one"
is "all of them" "$(grep -c " $small " <<<"$out")" 0
curl -s "$(sed -n 's/.*"http": "\(.*\)",*/\1/p' one/node.json)/metrics" >metrics
ok "and counted" grep -q 'larder_reserve_evicted_total{evict_reason="expired"} [1-9]' metrics
ok "the radius that was asked for" grep -q "^larder_reserve_radius 1$" metrics
echo "[ {} ]" >both.json
run check-config --data-dir="$scratch/one" --swarm --batches="$scratch/both.json"
is "check-config knows a table that is none" "$code" 2
ok "with its row" grep -q "row 1: id is missing" <<<"$err"
run check-config --data-dir="$scratch/one" --swarm --batches="$scratch/batches.json" --nonce="$nonce"
ok "and one that is good" grep -q "^batches: 1 in " <<<"$out"
kill -TERM "$pid"
ended "$pid"
is "the node stops again" "$code" 0

# A smaller reserve by SIGHUP.
printf 'swarm: true\nbatches: %s\nnonce: %s\nreserve-capacity: %d\n' "$scratch/batches.json" "$nonce" 100000 >node.yaml
start one --config="$scratch/node.yaml"
wait_for one.log " ready "
before=$(sed -n 's/^entries *\([0-9]*\).*/\1/p' <<<"$("$larder" reserve stats --data-dir="$scratch/one")")
sed -i "s/^reserve-capacity:.*/reserve-capacity: $((before / 2))/" node.yaml
echo "pullsync-has-concurrency: 7" >>node.yaml
kill -HUP "$pid"
ok "the capacity is reloaded" wait_for one.log "reserve-capacity is now $((before / 2))"
ok "and the concurrency of has-checks" wait_for one.log "pullsync-has-concurrency is now 7"
shrunk() {
    run reserve stats --data-dir="$scratch/one"
    after=$(sed -n 's/^entries *\([0-9]*\).*/\1/p' <<<"$out")
    [ "$after" -le $((before / 2)) ]
}
within shrunk
ok "what is too much goes, the farthest first" test "$after" -le $((before / 2)) -a "$after" -gt 0
ok "and the radius has grown" grep -qE "^radius +[1-9]" <<<"$out"
run reserve verify --data-dir="$scratch/one"
is "what is left is sound" "$code" 0
kill -TERM "$pid"
ended "$pid"
is "the node stops for good" "$code" 0
done_testing

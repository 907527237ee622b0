#!/bin/bash
# The keystore by `larder keys`, without a node and by a running one.
# shellcheck disable=SC2154 # tap.sh sets them
. "$(dirname "$0")/tap.sh"

cid=QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn
raw=bafkreiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354
mkdir "$scratch/one"
{
    echo "# three keys, one of them twice, and two that are none"
    echo "$cid"
    echo "122059948439065f29619ef41280cbb932be52c56d99c5966b65e0111239f098bbef"
    echo "nonsense"
    echo "  f1220e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    echo
    head -c 70000 /dev/zero | tr '\0' x
    echo
    echo "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
} >"$scratch/list"

for how in offline online; do
    if [ $how = online ]; then
        start one --reprovide --p2p-addr=/ip4/127.0.0.1/tcp/0 --allow-private-cidrs
        ok "the node starts" wait_for "$scratch/one.log" " ready "
    fi
    run keys import "$scratch/list" --data-dir="$scratch/one"
    is "$how: bad lines end in exit code 1" "$code" 1
    ok "$how: which they are" grep -q "^line 4: neither" <<<"$err"
    ok "$how: a line without end too" grep -q "^line 7: too long" <<<"$err"
    ok "$how: keys are counted once" grep -q "^4 keys read: 3 added, 1 .* 2 bad lines" <<<"$out"
    run keys count --data-dir="$scratch/one"
    is "$how: three keys" "$code $out" "0 3"
    run keys count --prefix=0001100010110000 --data-dir="$scratch/one"
    is "$how: one of this prefix" "$code $out" "0 1"
    run keys count --prefix=0002 --data-dir="$scratch/one"
    is "$how: no prefix" "$code" 2
    run keys has $raw --data-dir="$scratch/one"
    is "$how: one key has many texts" "$code $out" "0 $raw present, not provided yet"
    run keys export --data-dir="$scratch/one"
    is "$how: export in the order of the key space" "$code $(head -1 <<<"$out")" "0 $raw"
    is "$how: all of them" "$(wc -l <<<"$out")" 3
    run keys rm $cid $raw --data-dir="$scratch/one"
    is "$how: removed once" "$code $out" "0 1 removed, 0 were not there"
    run keys has $cid --data-dir="$scratch/one"
    is "$how: and gone" "$code $out" "1 $raw absent"
    run keys add $cid $raw --data-dir="$scratch/one"
    is "$how: added once" "$code $out" "0 1 added, 0 were there"
    run keys export --data-dir="$scratch/one"
    # shellcheck disable=SC2086 # one word a key
    run keys rm $out --data-dir="$scratch/one"
    is "$how: what was exported can be removed" "$code $out" "0 3 removed, 0 were not there"
    run keys add nonsense --data-dir="$scratch/one"
    is "$how: no key" "$code" 1
    run keys --data-dir="$scratch/one"
    is "$how: no verb" "$code" 2
done
# What people put into such a file, and how.
v0=QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n
printf '%s\r\n%s\r\n' $v0 $v0 >"$scratch/dos"
printf '\n\t%s  \n\0\n%s' $cid "f017012205994843906" >"$scratch/short"
run keys import "$scratch/dos" --data-dir="$scratch/one"
is "ends of lines as in DOS" "$code $(cut -d';' -f1 <<<"$out")" "0 2 keys read: 1 added, 1 were there or repeated, 0 bad lines"
run keys import "$scratch/short" --data-dir="$scratch/one"
is "blanks around a key, and a bad last line without its end" "$code $(cut -d';' -f1 <<<"$out")" \
    "1 1 keys read: 1 added, 0 were there or repeated, 2 bad lines"
ok "with their numbers" test "$(grep -c "^line [34]: neither" <<<"$err")" = 2
ok "with its number" grep -q "^line 4: neither" <<<"$err"
{
    printf 'bafkqabtmmfzgizls\n'              # an identity hash
    printf '1340%0128d\n' 7                      # sha2-512: 64 bytes
    printf '004e%0156d\n' 7                       # 80 bytes in all: the most a server takes
    printf '004f%0158d\n' 7                      # one more
    printf 'BAFKREIGH2AKISCAILDCQABSYG3DFR6CHU3FGPREGIYMSCK7E7AQA4S52ZY\n'
    printf 'zQm\nQm\nz\n/ipfs/%s\n' $cid
    for ((i = 0; i < 100000; i++)); do echo bad; done
    echo $v0
} >"$scratch/kinds"
run keys import - --data-dir="$scratch/one" <"$scratch/kinds"
is "all kinds of hashes, and bad lines by the thousand" "$code $(cut -d';' -f1 <<<"$out")" \
    "1 5 keys read: 4 added, 1 were there or repeated, 100005 bad lines"
ok "of which the first are told" test "$(grep -c ^line <<<"$err")" = 20
ok "why" grep -q "^line 4: a multihash of 81 bytes: servers take 80 at most" <<<"$err"
run keys rm bafkqabtmmfzgizls "1340$(printf %0128d 7)" --data-dir="$scratch/one"
is "they are found by their texts" "$code $out" "0 2 removed, 0 were not there"
mkfifo "$scratch/pipe"
echo $v0 >"$scratch/pipe" &
run keys import "$scratch/pipe" --data-dir="$scratch/one"
is "a pipe is read too" "$code $(cut -d';' -f1 <<<"$out")" "0 1 keys read: 0 added, 1 were there or repeated, 0 bad lines"
run keys import "$scratch" --data-dir="$scratch/one"
is "a folder is not" "$code" 3

# A set for a set: online, then without a node.
for how in online offline; do
    if [ $how = offline ]; then
        kill -TERM "$pid"
        ended "$pid"
        is "the node stops cleanly" "$code" 0
    fi
    run keys import --replace "$scratch/dos" --data-dir="$scratch/one"
    ok "$how: a set takes the place of all" grep -Eq "^2 keys read: [01] new, [01] were there, 1 repeated, 0 bad lines; 1 keys in place" <<<"$out"
    run keys export --data-dir="$scratch/one"
    is "$how: nothing else is there" "$code $(wc -l <<<"$out")" "0 1"
    { cat "$scratch/dos"; echo $cid; } >"$scratch/two"
    run keys import - --replace --data-dir="$scratch/one" <"$scratch/two"
    is "$how: and another one" "$code $(cut -d';' -f1,2 <<<"$out")" \
        "0 3 keys read: 1 new, 1 were there, 1 repeated, 0 bad lines; 2 keys in place of 1"
    run keys import --replace /dev/null --data-dir="$scratch/one"
    is "$how: but not nothing" "$code $(grep -c 'nothing was replaced' <<<"$err")" "1 1"
    run keys count --data-dir="$scratch/one"
    is "$how: two keys still" "$code $out" "0 2"
    [ $how = offline ] && continue
    run status --json --data-dir="$scratch/one"
    ok "the status says how often" grep -q '"keys_generation": *2' <<<"$out"
    curl -s "$(sed -n 's/.*"http": "\(.*\)",*/\1/p' "$scratch/one/node.json")/metrics" >"$scratch/metrics"
    ok "and a metric" grep -q '^larder_keystore_generation 2$' "$scratch/metrics"
done
run keys count --replace --data-dir="$scratch/one"
is "only an import replaces" "$code" 2
start one --reprovide --p2p-addr=/ip4/127.0.0.1/tcp/0 --allow-private-cidrs
ok "the node starts" wait_for "$scratch/one.log" " ready "
run keys import "$scratch/nowhere" --data-dir="$scratch/one"
is "no file" "$code" 2
kill -TERM "$pid"
ended "$pid"
is "the node stops cleanly" "$code" 0
start one
ok "a node without reprovide starts" wait_for "$scratch/one.log" " ready "
run keys count --data-dir="$scratch/one"
is "and has no keystore" "$code" 2
kill -TERM "$pid"
ended "$pid"
done_testing

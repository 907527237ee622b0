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
    ok "$how: keys are counted once" grep -q "^3 keys read: 3 added, 0 .* 2 bad lines" <<<"$out"
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

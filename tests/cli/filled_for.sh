#!/bin/bash
# check-config and what the reserve was filled for: key, nonce and network, whether the node runs or
# not. The store decides, the file beside it is only asked.
# shellcheck disable=SC2154 # tap.sh sets them
. "$(dirname "$0")/tap.sh"

cd "$scratch" || exit 1
file=one/reserve-filled-for
run overlay --key stamp.key --make
run overlay --key other.key --make
run overlay --key stamp.key --batch-depth 22
echo "$out" >batches.json
batch=$(sed 's/.*"id": "\([0-9a-f]*\)".*/\1/' batches.json)
nonce=$(printf '%064x' 7)
echo "some content" >content

config() { # config LINE...: swarm.yaml; what a line of it is, counts from 3
    printf 'swarm: true\nbatches: %s\n' "$scratch/batches.json" >swarm.yaml
    printf '%s\n' "$@" >>swarm.yaml
}
check_config() {
    run check-config --config="$scratch/swarm.yaml" --data-dir="$scratch/one"
}
again="put that back, or run 'larder reserve verify --repair', which sorts the chunks anew"
sum="larder: 1 error in the configuration"
gone() {
    [ ! -e "$1" ]
}

config "nonce: $nonce"
start one --config="$scratch/swarm.yaml"
ok "a node with an empty reserve" wait_for one.log " ready "
ok "is filled for nobody" test ! -e $file
config "nonce: ${nonce/7/8}" "network-id: 10"
check_config
is "and may become anybody" "$code $err" "0 "
run reserve upload content --batch "$batch" --stamp-key stamp.key --data-dir="$scratch/one"
is "the first chunk" "$code" 0
ok "then it is filled for this node" wait_for $file "^network-id 1$"
is "said to nobody else" "$(stat -c %a $file)" 600
ok "of this nonce" grep -q "^nonce $nonce$" $file
ok "and this overlay" grep -q "\"overlay\": \"$(sed -n 's/^overlay //p' $file)\"" one/node.json
ok "and this key" grep -q "\"ethereum\": \"$(sed -n 's/^ethereum //p' $file)\"" one/node.json

look() { # look WHEN
    config "nonce: $nonce"
    check_config
    is "$1: what it was filled for" "$code $err" "0 "
    config "nonce: $nonce" "network-id: 10"
    check_config
    is "$1: another network" "$code $err" "2 $scratch/swarm.yaml:4: network-id: the reserve in data-dir was filled for network 1: $again
$sum"
    config "" "nonce: ${nonce/7/8}"
    check_config
    is "$1: another nonce" "$code $err" "2 $scratch/swarm.yaml:4: nonce: the reserve in data-dir was filled for the nonce $nonce: $again
$sum"
    config
    check_config
    is "$1: none, where a start would mint one" "$code $err" "2 $scratch/one: swarm-nonce: the reserve in data-dir was filled for the nonce $nonce: $again
$sum"
    config "nonce: $nonce" "swarm-key: $scratch/other.key"
    check_config
    is "$1: another key" "$code $err" "2 $scratch/swarm.yaml:4: swarm-key: the reserve in data-dir was filled for another key: $again
$sum"
    config "nonce: ${nonce/7/8}" "network-id: 10" "swarm-key: $scratch/other.key"
    check_config
    is "$1: all of them" "$code $(tail -1 <<<"$err")" "2 larder: 3 errors in the configuration"
}
look "while it runs"
kill -TERM "$pid"
ended "$pid"
look "when it does not"

# A start decides by the store, and writes the file after it.
cp $file filled
config "nonce: $nonce" "network-id: 10"
run start --config="$scratch/swarm.yaml" --data-dir="$scratch/one" --http-addr=
is "a start refuses it" "$code" 4
ok "and leaves the file" cmp $file filled
rm $file
check_config
is "no file, as of an older release: nothing is said" "$code $err" "0 "
echo nonsense >$file
chmod 600 $file
check_config
is "nor of one that is none" "$code $err" "0 "
sed 's/network-id 1/network-id 10/' filled >$file
config "nonce: $nonce"
check_config
is "one that lies is believed" "$code" 2
start one --config="$scratch/swarm.yaml"
ok "by check-config alone" wait_for one.log " ready "
ok "the next start writes it anew" wait_for $file "^network-id 1$"
ok "as it was" cmp $file filled

# A backup has none of it, and a restore leaves none behind.
run backup "$scratch/backup" --data-dir="$scratch/one"
is "a backup" "$code" 0
mkdir -m 700 copy
sed 's/network-id 1/network-id 10/' filled >copy/reserve-filled-for
run restore "$scratch/backup" --data-dir="$scratch/copy"
is "restored" "$code" 0
run check-config --config="$scratch/swarm.yaml" --data-dir="$scratch/copy"
is "nothing is said of the copy" "$code $err" "0 "
start copy --config="$scratch/swarm.yaml"
ok "until it has started" wait_for copy/reserve-filled-for "^network-id 1$"
ok "the same, of the same node" cmp copy/reserve-filled-for filled
kill -TERM "$pid"
ended "$pid"

# All batches expire: the reserve is empty again.
echo '[]' >batches.json
kill -HUP "${pids[1]}"
ok "an empty reserve is filled for nobody" within gone $file
kill -TERM "${pids[1]}"
ended "${pids[1]}"
is "the node ends well" "$code" 0
config "nonce: $nonce" "network-id: 10"
check_config
is "and may become anybody again" "$code $err" "0 "
start one --config="$scratch/swarm.yaml"
ok "so it starts" wait_for one.log " ready "
kill -TERM "$pid"
ended "$pid"
done_testing

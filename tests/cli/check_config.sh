#!/bin/bash
# check-config on broken configurations: every error with its line, exit code 2; on a good one: the
# plan.
# shellcheck disable=SC2154 # tap.sh sets them
. "$(dirname "$0")/tap.sh"

cd "$root/tests/data/config" || exit 1
for file in *.yaml; do
    run check-config --config="$file"
    is "$file: exit code" "$code" 2
    is "$file: every error" "$err" "$(cat "${file%.yaml}.expected")"
    is "$file: nothing else" "$out" ""
done

cat >"$scratch/good.yaml" <<'END'
memory: 256MiB
log-level: debug
END
run check-config --config="$scratch/good.yaml" --cpu-workers=2
is "a good one: exit code" "$code" 0
is "a good one: no errors" "$err" ""
ok "the setting and where it is from" grep -q "memory: 256MiB  (file line 1)" <<<"$out"
ok "a flag" grep -q "cpu-workers: 2  (flag)" <<<"$out"
ok "an owner with what happens at its limit" \
    grep -qE "^  node +elastic +1\.00 MiB .* a control connection waits" <<<"$out"
ok "the slack" grep -qE "^  slack +watched +48.0 MiB" <<<"$out"
ok "descriptors" grep -qE "^file descriptors: [0-9]+" <<<"$out"

out=$(env -i HOME=/h bash -c "ulimit -n 20; '$larder' check-config" 2>&1)
is "too few descriptors: exit code" $? 3
ok "too few descriptors: a sentence" grep -q "file descriptors are needed and the system allows 20" <<<"$out"

run check-config --config=/nowhere.yaml
is "a file that is not there" "$code $err" "2 /nowhere.yaml: cannot be opened: No such file or directory
larder: 1 error in the configuration"

run check-config --config=/
is "a directory" "$code $err" "2 /: cannot be opened: Is a directory
larder: 1 error in the configuration"

for n in $(seq 1000); do echo "there-is-no-option-with-this-name-$n: 1"; done >"$scratch/many.yaml"
run check-config --config="$scratch/many.yaml"
shown=$(grep -c "there is no such option" <<<"$err")
is "what is not shown is counted" "$(tail -n 2 <<<"$err")" "and $((1000 - shown)) more
larder: 1000 errors in the configuration"

long=/$(printf 'x%.0s' $(seq 4095))
run check-config --data-dir="$long"
is "a path that start would refuse" "$code $err" "2 --data-dir: a path is at most 4095 bytes long; allowed: a path
larder: 1 error in the configuration"

sum="larder: 1 error in the configuration"
run check-config --p2p-addr=/nonsense
is "an address that makes no sense" "$code" 2
ok "which one, of which option" grep -q "^p2p-addr: /nonsense: " <<<"$err"
run start --p2p-addr=/nonsense --data-dir="$scratch/never"
is "start refuses it the same way" "$code" 2
run check-config --http-token-file=/does/not/exist
is "a secret that is not there" "$code $err" "2 http-token-file: /does/not/exist cannot be read: No such file or directory
$sum"
run check-config --http-addr= --http-token-file=/does/not/exist --p2p-key-file=/nor/this
is "of a part that is off it does not matter" "$code" 0
ok "and that is said" grep -q "http-token-file has no effect: http-addr is off" <<<"$out"
ok "of each option" grep -q "p2p-key-file has no effect: p2p-addr is off" <<<"$out"

# What a node with such a configuration would refuse when it comes to it. The first line turns Swarm on.
swarm_refuses() { # name, yaml lines, what is said (a pattern), its line
    printf 'swarm: true\n%b\n' "$2" >"$scratch/swarm.yaml"
    run check-config --config="$scratch/swarm.yaml" --data-dir="$scratch/never"
    is "$1: exit code" "$code" 2
    ok "$1: key, line and reason" grep -qE "$scratch/swarm.yaml:$4: $3" <<<"$err"
    run start --config="$scratch/swarm.yaml" --data-dir="$scratch/never"
    is "$1: start refuses it" "$code" 2
}
long=$(printf 'w%.0s' $(seq 141))
printf '%064d' 0 >"$scratch/zero-key"
echo nonsense >"$scratch/no-key"
swarm_refuses "a welcome message of 141 bytes" "welcome-message: $long" "welcome-message: it has 141 bytes, peers take 140" 2
swarm_refuses "a key file that is not there" "\nswarm-key: /does/not/exist" "swarm-key: /does/not/exist cannot be read" 3
swarm_refuses "a key file without a key" "swarm-key: $scratch/no-key" "swarm-key: .*holds no Ethereum key" 2
swarm_refuses "a key of zeros" "swarm-key: $scratch/zero-key" "swarm-key: .*holds no Ethereum key" 2
swarm_refuses "a key that is a folder" "swarm-key: $scratch" "swarm-key: .* is no ordinary file" 2
swarm_refuses "a nonce that is too short" "nonce: 0011" "nonce: a nonce is 64 hex digits" 2
swarm_refuses "a peer that is no address" "peers: [/ip4/192.0.2.1/tcp/1, 192.0.2.1]" "peers: .192.0.2.1. is not a multiaddr" 2
swarm_refuses "a peer over UDP" "peers: [/ip4/192.0.2.1/udp/1634/quic-v1]" "peers: /ip4/.*: only TCP addresses" 2
swarm_refuses "a bootnode that is a name" "bootnode: [mainnet.ethswarm.org]" "bootnode: .mainnet.ethswarm.org. is not a multiaddr" 2
swarm_refuses "a peer id that is none" "bootnode: [/ip4/192.0.2.1/tcp/1634/p2p/QmNothing]" "bootnode: /ip4/" 2
swarm_refuses "a table of batches that is not there" "batches: /does/not/exist" "batches: /does/not/exist" 2
swarm_refuses "a capacity in bytes" "reserve-capacity: 4MiB" "reserve-capacity: " 2
swarm_refuses "a capacity below zero" "reserve-capacity: -1" "reserve-capacity: " 2
swarm_refuses "a rate that is a word" "pullsync-pull-rate: fast" "pullsync-pull-rate: " 2
swarm_refuses "a network that is none" "network-id: 0" "network-id: " 2
swarm_refuses "a radius above the last bin" "storage-radius: 32" "storage-radius: " 2
echo '[{"id": 1}]' >"$scratch/batches.json"
printf 'swarm: true\n\nbatches: %s\n' "$scratch/batches.json" >"$scratch/swarm.yaml"
run check-config --config="$scratch/swarm.yaml"
is "a table of batches that is none" "$code" 2
ok "where" grep -q "$scratch/swarm.yaml:3: batches: $scratch/batches.json: " <<<"$err"
printf 'swarm: true\npullsync-serve-rate: 0\npullsync-pull-rate: 0\nreserve-capacity: 0\nbootnode: [/dnsaddr/mainnet.ethswarm.org]\n' >"$scratch/swarm.yaml"
run check-config --config="$scratch/swarm.yaml" --data-dir="$scratch/never"
is "zeros mean no limit" "$code" 0
ok "and nothing is made" test ! -e "$scratch/never"
mkdir -m 700 "$scratch/kept"
echo nonsense >"$scratch/kept/swarm-key"
chmod 600 "$scratch/kept/swarm-key"
run check-config --swarm --data-dir="$scratch/kept"
is "a bad key in the data directory" "$code $err" "2 $scratch/kept: swarm-key holds no Ethereum key (64 hex digits)
$sum"
rm "$scratch/kept/swarm-key"
echo 12 >"$scratch/kept/swarm-nonce"
chmod 600 "$scratch/kept/swarm-nonce"
run check-config --swarm --data-dir="$scratch/kept"
is "a bad nonce in the data directory" "$code $err" "2 $scratch/kept: swarm-nonce: a nonce is 64 hex digits
$sum"
chmod 644 "$scratch/kept/swarm-nonce"
run check-config --swarm --data-dir="$scratch/kept"
is "one that others may read" "$code" 2
# What a file with a secret holds is judged as its reader will at start.
echo garbage >"$scratch/key"
chmod 600 "$scratch/key"
printf 'p2p-addr: [/ip4/127.0.0.1/tcp/0]\nhttp-addr: ""\n\np2p-key-file: %s\n' "$scratch/key" >"$scratch/p2p.yaml"
run check-config --config="$scratch/p2p.yaml" --data-dir="$scratch/never"
is "a p2p key that is none: exit code" "$code" 2
ok "key, line and reason" grep -q "^$scratch/p2p.yaml:4: p2p-key-file: the key $scratch/key: " <<<"$err"
run start --config="$scratch/p2p.yaml" --data-dir="$scratch/never"
is "start refuses it" "$code" 2
ok "the same way" grep -q "^larder: .*$scratch/p2p.yaml:4: p2p-key-file: the key $scratch/key: " <<<"$err"
run check-config --p2p-addr=/ip4/127.0.0.1/tcp/0 --p2p-key-file=/does/not/exist
is "one that is not there" "$code $err" "2 p2p-key-file: /does/not/exist cannot be read: No such file or directory
$sum"
mkfifo "$scratch/pipe"
run check-config --p2p-addr=/ip4/127.0.0.1/tcp/0 --p2p-key-file="$scratch/pipe"
is "a pipe is not waited for" "$code $err" "2 p2p-key-file: $scratch/pipe is no ordinary file
$sum"
mkdir -m 700 "$scratch/credentials" "$scratch/kept2"
cp "$scratch/key" "$scratch/credentials/p2p-key-file"
err=$(env -i HOME=/h CREDENTIALS_DIRECTORY="$scratch/credentials" "$larder" check-config --p2p-addr=/ip4/127.0.0.1/tcp/0 2>&1 >/dev/null)
is "of the service manager: exit code" $? 2
ok "which one" grep -q "^p2p-key-file: the key $scratch/credentials/p2p-key-file: " <<<"$err"
cp "$scratch/key" "$scratch/kept2/p2p-key"
run check-config --p2p-addr=/ip4/127.0.0.1/tcp/0 --data-dir="$scratch/kept2"
is "of the data directory: exit code" "$code" 2
ok "which one" grep -q "^$scratch/kept2: the key p2p-key: " <<<"$err"
run check-config --data-dir="$scratch/kept2"
is "of a part that is off it does not matter" "$code" 0
printf '\010\001\022\100%s' "$(head -c 64 /dev/zero | tr '\0' x)" >"$scratch/wrong-half"
run check-config --p2p-addr=/ip4/127.0.0.1/tcp/0 --p2p-key-file="$scratch/wrong-half"
is "a key whose halves do not belong together" "$code" 2
start made --p2p-addr=/ip4/127.0.0.1/tcp/0
wait_for "$scratch/made.log" "ready" # it has made its key
kill "$pid"
ended "$pid"
run check-config --p2p-addr=/ip4/127.0.0.1/tcp/0 --p2p-key-file="$scratch/made/p2p-key"
is "the key that a node made is good" "$code" 0
echo short >"$scratch/token"
chmod 600 "$scratch/token"
run check-config --http-token-file="$scratch/token"
is "a token that is a password" "$code $err" "2 http-token-file: $scratch/token: a token has at least 16 characters
$sum"
run check-config --p2p-addr=/ip4/127.0.0.1/tcp/0 --p2p-rx-max=1KiB
is "less for all streams than for one" "$code $err" "2 p2p-rx-max: less than p2p-stream-window, which every stream may send
$sum"
printf 'p2p-addr: [/ip4/127.0.0.1/tcp/0]\nmemory: 256MiB\nhttp-addr: ""\np2p-tx-pool: 1MiB\np2p-rx-max: 1GiB\n' >"$scratch/room.yaml"
run check-config --config="$scratch/room.yaml" --data-dir="$scratch/never"
is "queues that leave no room for connections" "$code $err" "2 $scratch/room.yaml:5: p2p-rx-max: connections have no room in the 41.0 MiB that peers may hold at most: p2p-rx-max, p2p-rx-pool and p2p-tx-pool come to 579 MiB together, and may come to 37.0 MiB
$sum"
run start --config="$scratch/room.yaml" --data-dir="$scratch/never"
is "start refuses it" "$code" 2
ok "with the same sentence" grep -q "room.yaml:5: p2p-rx-max: connections have no room" <<<"$err"

# What only a look at files and numbers finds does not end at the first, nor behind what a line says.
printf 'nonce: 12\nswarm: true\nwelcome-message: %0150d\nbatches: /does/not/exist\nswarm-key: /nor/this\npeers: [/nonsense]\n' 0 >"$scratch/five.yaml"
five="$scratch/five.yaml:5: swarm-key: /nor/this cannot be read: No such file or directory
$scratch/five.yaml:1: nonce: a nonce is 64 hex digits
$scratch/five.yaml:4: batches: /does/not/exist cannot be read: No such file or directory
$scratch/five.yaml:6: peers: /nonsense: 'nonsense' is no part of an address
$scratch/five.yaml:3: welcome-message: it has 150 bytes, peers take 140"
run check-config --config="$scratch/five.yaml" --data-dir="$scratch/never"
is "five errors in one run" "$code $err" "2 $five
larder: 5 errors in the configuration"
run start --config="$scratch/five.yaml" --data-dir="$scratch/never"
is "start: exit code" "$code" 2
is "start: each is a line of the log" "$(sed -n 's/.* ERROR //p' <<<"$err")" "$five"
ok "start: the sum" grep -q "^larder: 5 errors in the configuration" <<<"$err"
echo "memroy: 1GiB" >>"$scratch/five.yaml"
run check-config --config="$scratch/five.yaml" --data-dir="$scratch/never"
ok "a slip in the file hides none of them" grep -q "^larder: 6 errors in the configuration" <<<"$err"
ok "and is one of them" grep -q "five.yaml:7: memroy: " <<<"$err"
cp "$scratch/key" "$scratch/kept/swarm-key"
run check-config --swarm --data-dir="$scratch/kept" --memory=64MiB --batches=/does/not/exist
ok "nor does a plan that does not hold, or a key" grep -q "^larder: 4 errors" <<<"$err"

# What may be said and is hardly meant: the node runs, and says that it waits.
warns() { # name, pattern, flags...
    local name=$1 pattern=$2
    shift 2
    run check-config "$@" --data-dir="$scratch/never"
    is "$name: is no error" "$code" 0
    ok "$name: is said" grep -q "$pattern" <<<"$out"
}
warns "nothing to announce" "p2p-addr: peers are told no address of ours" --p2p-addr=/ip4/127.0.0.1/tcp/0
warns "more than what peers have in any case" "p2p-rx-max: peers may hold [0-9.]* MiB, which is [0-9.]* MiB more than their" --memory=256MiB --p2p-addr=/ip4/127.0.0.1/tcp/0 --p2p-rx-max=20MiB
warns "room for fewer connections" "p2p-rx-max: [0-9]* and not 512 connections have room" --memory=256MiB --p2p-addr=/ip4/127.0.0.1/tcp/0 --p2p-rx-max=31MiB
warns "nothing in p2p-announce" "p2p-announce: peers are told no" --p2p-addr=/ip4/0.0.0.0/tcp/0 --p2p-announce=/ip4/10.0.0.7/tcp/1
warns "no address to provide with" "no key is provided while peers are told no" --reprovide
warns "no DHT" "no key is provided while dht-bootstrap is empty" --reprovide --allow-private-cidrs --p2p-addr=/ip4/0.0.0.0/tcp/0
run check-config --data-dir="$scratch/never" --reprovide --p2p-addr=/ip4/0.0.0.0/tcp/0 --allow-private-cidrs \
    --dht-bootstrap=/ip4/192.0.2.1/tcp/4001/p2p/12D3KooWF4o7GTKnJCRkQ5xCS8qW211bfKTQWxVGjxhSKUDmsuRL
is "with all of them: no warning" "$(grep -c warnings <<<"$out")" 0
run check-config --data-dir="$scratch/never" --p2p-addr=/ip4/127.0.0.1/tcp/0 --p2p-announce=/ip4/192.0.2.7/tcp/1634
is "nor with an address to announce" "$(grep -c warnings <<<"$out")" 0
start waits --reprovide --allow-private-cidrs
ok "start warns of the one" wait_for "$scratch/waits.log" " WARN .*no key is provided while peers are told no"
ok "and of the other" wait_for "$scratch/waits.log" " WARN .*no key is provided while dht-bootstrap is empty"
wait_for "$scratch/waits.log" " ready "
http=$(sed -n 's/.*"http": "\(.*\)".*/\1/p' "$scratch/waits/node.json")
is "/readyz: it is ready, but" "$(curl -s "http://$http/readyz")" "degraded: reprovide: dht-bootstrap is empty"
kill "$pid"
ended "$pid"

run start --memory=1
is "start refuses it too" "$code" 2
run strat
is "a slip" "$code $err" "2 larder: there is no command 'strat'; \`larder help\` lists them"
run
is "no command" "$code" 2
run version
is "version" "$code $out" "0 larder $(sed -n 's/.*LARDER_VERSION "\(.*\)"/\1/p' "$root/lib/base/version.h")"
run help
ok "help lists the commands" grep -q "check-config" <<<"$out"
for words in "version --help" "help --help" "help version"; do
    # shellcheck disable=SC2086 # words
    run $words
    ok "$words" grep -q "^usage: larder COMMAND" <<<"$out"
done
run start --help
ok "help says what is allowed" grep -q "Default: 1GiB; allowed: 64MiB to 1TiB." <<<"$out"
ok "no colours in a pipe" test "${out#*$'\033'}" == "$out"
out=$("$larder" version >/dev/full 2>&1)
is "a full disk behind standard output is not success" $? 3
done_testing

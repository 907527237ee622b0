#!/bin/bash
# Our host against hosts on other libraries, both ways. Usage: run-libp2p.sh OUR_PEER LARDER BUILD_DIR
# Prints every check, then "N passed, N failed"; fails when one did, or when a peer cannot be built.
set -u
ours=$1
larder=$2
build=$3
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$build"
build=$(cd "$build" && pwd)
log=$build/checks.txt
: >"$log"

# shellcheck source=tests/interop/toolchain.sh
. "$here/toolchain.sh"
toolchain_go "$build/toolchain" && toolchain_node "$build/toolchain" && toolchain_cargo || {
    echo "there is no go, node or cargo that builds the peers, and none could be had"
    exit 1
}

go_peer=$build/go-peer
(cd "$here/go-libp2p" && go build -o "$go_peer" .) || {
    echo "the peer on go-libp2p cannot be built"
    exit 1
}

js_dir=$build/js-libp2p
mkdir -p "$js_dir"
cp "$here"/js-libp2p/* "$js_dir/"
(cd "$js_dir" && { [ -d node_modules ] || npm ci --no-audit --no-fund >/dev/null 2>&1; }) || {
    echo "the peer on js-libp2p cannot be built"
    exit 1
}
js_peer=(node "$js_dir/peer.js")

(cd "$here/rust-libp2p" && cargo build --quiet --locked --bin rust-peer --target-dir "$build/rust") || {
    echo "the peer on rust-libp2p cannot be built"
    exit 1
}
rust_peer=$build/rust/debug/rust-peer

# shellcheck source=tests/interop/listener.sh
. "$here/listener.sh"

for net in /ip4/127.0.0.1 /ip6/::1; do
    with_listener "ours dials go, $net" "$go_peer" -listen "$net" -- "$ours" ed25519 dial
    with_listener "go dials ours, $net" "$ours" ed25519 listen "$net/tcp/0" -- "$go_peer" -dial
done
for key in secp256k1 ecdsa rsa; do
    with_listener "ours dials go with a key of type $key" \
        "$go_peer" -listen /ip4/127.0.0.1 -key "$key" -- "$ours" ed25519 dial
    with_listener "go with a key of type $key dials ours" \
        "$ours" ed25519 listen /ip4/127.0.0.1/tcp/0 -- "$go_peer" -key "$key" -dial
done
for key in secp256k1 ecdsa; do
    with_listener "go dials ours with a key of type $key" \
        "$ours" "$key" listen /ip4/127.0.0.1/tcp/0 -- "$go_peer" -dial
    with_listener "ours with a key of type $key dials go" \
        "$go_peer" -listen /ip4/127.0.0.1 -- "$ours" "$key" dial
done
with_listener "go proposes TLS first" \
    "$ours" ed25519 listen /ip4/127.0.0.1/tcp/0 -- "$go_peer" -security both -dial
for key in ed25519 secp256k1 rsa; do
    with_listener "ours dials js with a key of type $key" \
        "${js_peer[@]}" "$key" listen /ip4/127.0.0.1 -- "$ours" ed25519 dial
    with_listener "js with a key of type $key dials ours" \
        "$ours" ed25519 listen /ip4/127.0.0.1/tcp/0 -- "${js_peer[@]}" "$key" dial
done
# rust agrees on the muxer after the handshake, whatever we offer in it.
for net in /ip4/127.0.0.1 /ip6/::1; do
    with_listener "ours dials rust, $net" \
        "$rust_peer" ed25519 listen "$net" -- "$ours" ed25519 dial
    with_listener "rust dials ours, $net" \
        "$ours" ed25519 listen "$net/tcp/0" -- "$rust_peer" ed25519 dial
done
with_listener "ours dials rust with a key of type secp256k1" \
    "$rust_peer" secp256k1 listen /ip4/127.0.0.1 -- "$ours" secp256k1 dial
with_listener "rust with a key of type secp256k1 dials ours" \
    "$ours" secp256k1 listen /ip4/127.0.0.1/tcp/0 -- "$rust_peer" secp256k1 dial
# The daemon itself: it says in node.json where it is reached.
data=$(mktemp -d)
"$larder" start --data-dir "$data" --http-addr= --p2p-addr /ip4/127.0.0.1/tcp/0 \
    --allow-private-cidrs 2>"$build/larder.log" &
daemon=$!
for _ in $(seq 600); do
    address=$(grep -o '/ip4/127[^"]*' "$data/node.json" 2>/dev/null | head -1)
    [ -n "$address" ] && break
    sleep 0.1
done
echo "# go dials the daemon at $address"
timeout 180 "$go_peer" -services=false -dial "$address" | tee -a "$log"
kill -TERM "$daemon"
if wait "$daemon"; then
    echo "ok - the daemon ends with every owner at zero" | tee -a "$log"
else
    echo "not ok - the daemon ends with $?" | tee -a "$log"
fi
rm -rf "$data"

export LATE_MUXER=1
with_listener "go dials ours, muxer after the handshake" \
    "$ours" ed25519 listen /ip4/127.0.0.1/tcp/0 -- "$go_peer" -dial
with_listener "ours dials js, muxer after the handshake" \
    "${js_peer[@]}" ed25519 listen /ip4/127.0.0.1 -- "$ours" ed25519 dial

listener_sum

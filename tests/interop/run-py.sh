#!/bin/bash
# Our host against py-libp2p, both ways, over IPv4 and IPv6. By hand: pip compiles a part of its packages
# (Debian: libgmp-dev, python3-dev, python3-venv, gcc). Usage: run-py.sh OUR_PEER BUILD_DIR
set -u
ours=$1
build=$2
here=$(cd "$(dirname "$0")" && pwd)
log=$build/checks-py.txt
python=$build/py/bin/python
: >"$log"

[ -x "$python" ] || python3 -m venv "$build/py" || exit 1
"$build/py/bin/pip" -q install libp2p==0.8.1 || {
    echo "py-libp2p cannot be installed"
    exit 1
}
py_peer=("$python" "$here/py-libp2p/peer.py")

# shellcheck source=tests/interop/listener.sh
. "$here/listener.sh"

for net in /ip4/127.0.0.1 /ip6/::1; do
    for key in ed25519 secp256k1; do
        with_listener "ours dials py with a key of type $key, $net" \
            "${py_peer[@]}" "$key" listen "$net" -- "$ours" "$key" dial
        with_listener "py with a key of type $key dials ours, $net" \
            "$ours" "$key" listen "$net/tcp/0" -- "${py_peer[@]}" "$key" dial
    done
done
listener_sum

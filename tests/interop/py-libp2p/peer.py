"""A peer on py-libp2p for the interoperation test: it listens and prints its address until its input
ends, or dials a listener and runs the list of checks against it. TCP, Noise, Yamux.

    peer.py KEY listen /ip4/127.0.0.1      KEY: ed25519 or secp256k1
    peer.py KEY dial /ip4/…/tcp/…/p2p/…
"""

import struct
import sys

import multiaddr
import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair as ed25519
from libp2p.crypto.secp256k1 import create_new_key_pair as secp256k1
from libp2p.crypto.x25519 import create_new_key_pair as x25519
from libp2p.host.ping import PingService
from libp2p.identity.identify.identify import parse_identify_response
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.security.noise.transport import PROTOCOL_ID, Transport

ECHO = "/test/echo/1.0.0"
PERF = "/perf/1.0.0"  # 8 bytes: how much is wanted back; then data until the end
IDENTIFY = "/ipfs/id/1.0.0"
PIECE = 65536


async def receive(stream):
    parts = []
    while True:
        try:
            part = await stream.read(PIECE)
        except StreamEOF:
            break
        if not part:
            break
        parts.append(part)
    return b"".join(parts)


async def send(stream, data):
    for at in range(0, len(data), PIECE):
        await stream.write(data[at : at + PIECE])


async def serve_echo(stream):
    await send(stream, await receive(stream))
    await stream.close()


async def serve_perf(stream):
    got = await receive(stream)
    await send(stream, bytes(struct.unpack(">Q", got[:8])[0]))
    await stream.close()


async def exchange(host, peer, protocol, data):
    stream = await host.new_stream(peer, [protocol])
    answer = []

    async def read():
        answer.append(await receive(stream))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await send(stream, data)
        await stream.close_write()
    return answer[0]


async def identify(host, peer):
    stream = await host.new_stream(peer, [IDENTIFY])
    seen = parse_identify_response(await receive(stream))
    print(f"# agent {seen.agent_version}, {list(seen.protocols)}")
    if not seen.agent_version or not seen.protocols or not seen.listen_addrs:
        raise ValueError("agent, protocols or addresses are missing")


async def dial(host, address):
    info = info_from_p2p_addr(multiaddr.Multiaddr(address))
    failed = False

    async def check(name, body):
        nonlocal failed
        try:
            with trio.fail_after(60):
                got = await body()
            print(f"ok - {name}", flush=True)
            return got
        except Exception as err:
            failed = True
            print(f"not ok - {name}: {err!r}", flush=True)

    def same(protocol, data, want):
        async def body():
            got = await exchange(host, info.peer_id, protocol, data)
            if got != want:
                raise ValueError(f"{len(got)} other bytes came back")

        return body

    async def ten_pings():
        rtts = await PingService(host).ping(info.peer_id, 10)
        if len(rtts) != 10:
            raise ValueError(f"{len(rtts)} pings")

    data = bytes((i * 31 + (i >> 8)) & 255 for i in range(300000))
    await check("connect", lambda: host.connect(info))
    await check("identify", lambda: identify(host, info.peer_id))
    await check("ten pings", ten_pings)
    await check("300,000 bytes echoed", same(ECHO, data, data))
    await check("8 MiB up", same(PERF, bytes(8 + (8 << 20)), b""))
    await check("8 MiB down", same(PERF, struct.pack(">Q", 8 << 20), bytes(8 << 20)))
    return not failed


async def main(kind, mode, where):
    keys = {"ed25519": ed25519, "secp256k1": secp256k1}[kind]()
    noise = Transport(keys, noise_privkey=x25519().private_key)
    host = new_host(key_pair=keys, muxer_preference="YAMUX", sec_opt={PROTOCOL_ID: noise})
    listen = [multiaddr.Multiaddr(where + "/tcp/0")] if mode == "listen" else []
    ok = True
    async with host.run(listen_addrs=listen), trio.open_nursery() as nursery:
        nursery.start_soon(host.get_peerstore().start_cleanup_task, 60)
        host.set_stream_handler(ECHO, serve_echo)
        host.set_stream_handler(PERF, serve_perf)
        if mode == "listen":
            address = str(host.get_addrs()[0])
            print(address if "/p2p/" in address else f"{address}/p2p/{host.get_id()}", flush=True)
            await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
        else:
            ok = await dial(host, where)
        nursery.cancel_scope.cancel()
    return ok


sys.exit(0 if trio.run(main, *sys.argv[1:]) else 1)

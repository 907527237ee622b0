#!/usr/bin/env python3
"""Provider records of larder on real DHT servers. Usage: run.py DHT KUBO LARDER [--scale N] [CASE ...]

Prints TAP. The scale multiplies keys; at 10 the networks of 1,000 servers and the reference's large
runs come too. What counts as placed is what an oracle finds in the servers' stores.
"""
import argparse
import base64
import os
import shutil
import sys
import tempfile
import time
import traceback

from lab import Kubo, Network, PeerError, Provider

CASES = []

# Where no server is bad: all of them share the cores of this machine, so one that is late is busy with what others
# were sent, and does not stand still.
PATIENT = {"reprovide-record-timeout": "60s"}


def case(function):
    CASES.append(function)
    return function


class Scene:
    def __init__(self, programs, scale, directory):
        self.dht, self.kubo, self.larder = programs
        self.scale, self.directory, self.started, self.notes = scale, directory, [], []

    def network(self, servers, *flags):
        network = Network(self.dht, servers, *flags)
        self.started.append(network)
        return network

    def provider(self, network, name="larder", keys=None, **options):
        provider = Provider(self.larder, os.path.join(self.directory, name), network, keys, **options)
        self.started.append(provider)
        return provider

    def keys(self, count, seed=1):
        path = os.path.join(self.directory, f"keys-{count}-{seed}")
        if os.system(f"'{self.dht}' keys {count} {seed} '{path}'"):
            raise PeerError("no keys")
        return path

    def true(self, what, seen):
        if not seen:
            raise PeerError(what)

    def placed(self, verdict, share=0.99):
        self.notes.append(f"{verdict}")
        self.true(f"too few keys are with all of their nearest: {verdict}", verdict["all"] >= share * verdict["keys"])
        self.true(f"a key is with nobody: {verdict}", verdict["one"] == verdict["keys"])

    def stop(self, *things):
        for thing in things:
            self.started.remove(thing)
            thing.stop()

    def end(self):
        problems = []
        for thing in reversed(self.started):
            try:
                thing.stop()
            except PeerError as error:
                problems.append(str(error))
        return "; ".join(problems)


def provide_all(scene, servers, count):
    network, keys = scene.network(servers), scene.keys(count)
    node = scene.provider(network, keys=keys, **PATIENT)
    node.provided(count, 120 + count / 100)
    scene.placed(network.ask("check", keys, node.peer_id))
    tally, values = network.ask("tally"), node.metrics()
    sent, confirmed, failed = (values[f"larder_reprovide_records_{what}_total"]
                               for what in ("sent", "confirmed", "failed"))
    seconds = tally["last_ms"] / 1000 - node.began
    scene.notes.append(f"{count / seconds:.0f} keys/s, {tally}, sent {sent:.0f}, confirmed {confirmed:.0f}, "
                       f"failed {failed:.0f}")
    scene.true(f"sent {sent}, confirmed {confirmed}", sent >= confirmed >= 0.9 * sent > 0)
    scene.true(f"keys out of order: {tally}", tally["descents"] <= tally["streams"])
    return network, node, keys


def reference_too(scene, network, node, keys):
    scene.stop(node)
    other = network.reference(keys)
    verdict = network.ask("check", keys, other["peer_id"])
    scene.notes.append(f"the reference in the same network: {other['keys'] / other['seconds']:.0f} keys/s, {verdict}")


@case
def one_region(scene):
    """30 servers: every key is with all of its true 20 nearest"""
    provide_all(scene, 30, 1000 * scene.scale)


@case
def several_regions(scene):
    """50 servers, where the reference places a tenth: ours all; sent and confirmed apart"""
    reference_too(scene, *provide_all(scene, 50, 2000 * scene.scale))


@case
def many_regions(scene):
    """200 servers: every key is with all of its true 20 nearest"""
    provide_all(scene, 200, 2000 * scene.scale)


@case
def thousand_servers(scene):
    """1,000 servers (at scale 10): every key is with all of its true 20 nearest"""
    reference_too(scene, *provide_all(scene, 1000 if scene.scale >= 10 else 250, 300 * scene.scale))


def in_the_middle(network, how):
    """A fifth of 60 servers fail when some records have arrived."""
    limit = time.monotonic() + 60
    while network.ask("tally")["add_provider"] < 1000 and time.monotonic() < limit:
        time.sleep(0.02)
    network.ask("spoil", how, 12)


def reference_beside(scene, how, before, keys):
    """The reference with the same faults, in a network of its own. Nothing is asked of it: with servers that stall
    it stands still, so it is given up after a time."""
    network, seconds = scene.network(60), 20 + 10 * scene.scale
    if before:
        network.ask("spoil", how, 12)
    process = network.reference_start(keys, "-joining", "10s", seconds=seconds)
    if not before:
        in_the_middle(network, how)
    other = network.reference_end(process, seconds)
    verdict = network.ask("check", keys, other["peer_id"])
    ended = f"ended after {other['seconds']:.1f} s" if other["done"] else f"had not ended after {seconds} s"
    scene.notes.append(f"the reference with the same faults {ended}: {verdict}")


def spoiled(scene, how, before):
    # In the middle: every region is in work then, since what was done before cannot know who fails later.
    network, count = scene.network(60), (2000 if before else 20000) * scene.scale
    keys = scene.keys(count)
    if before:
        network.ask("spoil", how, 12)
    node = scene.provider(network)
    node.add(keys)
    if not before:
        in_the_middle(network, how)
    seconds = node.provided(count, 300)
    verdict = network.ask("check", keys, node.peer_id)
    scene.notes.append(f"ended after {seconds:.1f} s")
    scene.placed(verdict)
    scene.stop(node, network)
    reference_beside(scene, how, before, keys)


for fault in ("stop", "stall", "reset"):
    for early in (True, False):
        def spoiled_case(scene, how=fault, before=early):
            spoiled(scene, how, before)
        spoiled_case.__name__ = f"{fault}_{'before' if early else 'during'}"
        spoiled_case.__doc__ = (f"a fifth of 60 servers {fault}s {'before the cycle' if early else 'in the middle'}: "
                                "it ends, and the living hold what they should")
        case(spoiled_case)


def kill_thrice(scene, count, workers):
    """Kills the daemon in the middle of a cycle, three times, and lets it end. Of each worker's ring of key chunks
    nobody knows then what was read, so that much may come again."""
    network, keys, kills, ring, chunk = scene.network(60), scene.keys(count), 3, 4, 64
    node = scene.provider(network, keys=keys, reprovide_chunk_keys=chunk, reprovide_workers=workers, **PATIENT)
    for _ in range(kills):
        before, limit = network.ask("tally")["add_provider"], time.monotonic() + 120
        while network.ask("tally")["add_provider"] < before + 4 * count and time.monotonic() < limit:
            time.sleep(0.005)
        scene.true("it was through before it was killed", node.metric("reprovide_first_provide_pending") > 0)
        node.kill()
        node.start()
    wait = time.monotonic() + 300
    while not node.at_rest():
        scene.true("it does not end", time.monotonic() < wait)
        time.sleep(0.2)
    scene.placed(network.ask("check", keys, node.peer_id))
    again, most = network.ask("tally")["add_provider"] - 20 * count, 20 * kills * workers * ring * chunk
    scene.notes.append(f"{again} of {20 * count} records came again, at most {most} may")
    scene.true("more than the rings is sent again", again <= most)


@case
def killed(scene):
    """SIGKILL in the middle of the cycle, and again: no key is missed, a ring a worker is sent again"""
    kill_thrice(scene, 6000 * scene.scale, 4)


@case
def killed_in_a_region(scene):
    """SIGKILL in the middle of a region of many rings, and again: no key is missed, one ring is sent again"""
    kill_thrice(scene, 20000 * scene.scale, 1)


@case
def beside_the_reference(scene):
    """100,000 keys at scale 10, 200 servers: keys/s and CPU per record, ours and the reference's"""
    network, count = scene.network(200), 10000 * scene.scale
    keys = scene.keys(count)
    node = scene.provider(network, keys=keys, **PATIENT)  # imported before it starts, as the reference does
    node.provided(count, 600)
    cpu, tally = node.usage(), network.ask("tally")
    scene.placed(network.ask("check", keys, node.peer_id))
    seconds, records = tally["last_ms"] / 1000 - node.began, node.metric("reprovide_records_sent_total")
    scene.stop(node)
    network.ask("forget")
    other = network.reference(keys, seconds=600)
    verdict = network.ask("check", keys, other["peer_id"])
    ours_us, theirs_us = (1e6 * used / n for used, n in ((cpu["cpu_s"], records),
                                                         (other["cpu_seconds"], other["records"])))
    scene.notes.append(f"ours {count / seconds:.0f} keys/s from the start of the process to the last record at a "
                       f"server, {ours_us:.2f} us CPU per record in all, {cpu['vm_hwm_kib'] / 1024:.1f} MiB at most, "
                       f"{tally['find_node']} FIND_NODE")
    scene.notes.append(f"reference {count / other['seconds']:.0f} keys/s once it has joined, {theirs_us:.2f} us CPU per "
                       f"record, {other['resident_peak_kib'] / 1024:.1f} MiB at most: {verdict}")
    scene.notes.append(f"ratio of CPU per record {ours_us / theirs_us:.3f}, of keys/s {other['seconds'] / seconds:.2f}")


@case
def found_by_kubo(scene):
    """kubo finds us by `ipfs routing findprovs` and connects to what it found"""
    network, keys = scene.network(30, "-prefix", "/ipfs/lan"), scene.keys(300)
    node = scene.provider(network, dht_protocol_prefix="/ipfs/lan", **PATIENT)
    node.add(keys)
    node.provided(300, 120)
    kubo = Kubo(scene.kubo, os.path.join(scene.directory, "kubo"), network)
    scene.started.append(kubo)
    with open(keys, encoding="ascii") as lines:
        hashes = [bytes.fromhex(line) for line in lines]
    for key in hashes[:10]:
        cid = "b" + base64.b32encode(b"\x01\x55" + key).decode().lower().rstrip("=")
        found = kubo.command("routing", "findprovs", cid).split()
        scene.true(f"kubo finds {found} for {cid}, not {node.peer_id}", found == [node.peer_id])
    kubo.command("swarm", "connect", f"/p2p/{node.peer_id}")
    scene.true("kubo is not connected to us", node.peer_id in kubo.command("swarm", "peers"))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dht")
    parser.add_argument("kubo")
    parser.add_argument("larder")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--scale", type=int, default=1)
    given = parser.parse_intermixed_args()  # cases may stand behind the scale
    cases = [c for c in CASES if not given.names or c.__name__ in given.names]
    print(f"1..{len(cases)}", flush=True)
    failed = 0
    for number, function in enumerate(cases, 1):
        directory = tempfile.mkdtemp(prefix="larder-dht-")
        scene = Scene((given.dht, given.kubo, given.larder), given.scale, directory)
        began, problem = time.monotonic(), None
        try:
            function(scene)
        except PeerError as error:
            problem = str(error)
        except Exception:  # whatever it is, the next case must run
            problem = traceback.format_exc()
        problem = scene.end() if problem is None else (scene.end(), problem)[1]
        title = (function.__doc__ or "").strip().split("\n")[0]
        print(f"{'not ok' if problem else 'ok'} {number} - {function.__name__}: {title}"
              f" ({time.monotonic() - began:.1f} s)")
        for note in scene.notes:
            print(f"#   {note}")
        for line in (problem or "").splitlines():
            print(f"#   {line}")
        failed += bool(problem)
        log = os.path.join(directory, "larder", "log")
        if problem and os.path.exists(log):
            with open(log, encoding="utf-8") as lines:
                for line in lines.readlines()[-15:]:
                    print(f"#   log: {line.rstrip()}")
        shutil.rmtree(directory, ignore_errors=True)
        sys.stdout.flush()
    return failed


if __name__ == "__main__":
    sys.exit(1 if main() else 0)

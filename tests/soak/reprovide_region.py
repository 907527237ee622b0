#!/usr/bin/env python3
"""Reproviding one region takes the same memory whatever number of keys it has.

Usage: reprovide_region.py PROGRAM LARDER DHT MOST COUNT...

For each count: that many keys are imported into a new node, which then provides them to 25 servers
(one region) that count records and check order and completeness. The peaks of the node's owners of
memory may not differ by 2 MiB. LevelDB has a fixed share, charged in full at the start, which indexes
and filters of its tables fill with the first millions of keys, so anonymous memory grows with them:
it must stay below the sum of the owners' peaks, which is the same for all counts. From a million keys on a key
may take 115 bytes on disk while its first provide is pending and 60 then, and a start with them one second.

Up to MOST keys the sweeping provider of go-libp2p-kad-dht (the program DHT) provides the same keys to
the same servers, its records counted instead of sent, and its peak of resident memory is printed
beside ours.
"""
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop", "dht"))
from lab import Network, PeerError, Provider  # noqa: E402

MIB = 1 << 20
OWNERS = ("reprovide", "stores", "p2p")
LARGE = 1_000_000  # bytes a key and the time of a start are judged from here on
PENDING_BYTES, PROVIDED_BYTES = 115, 60
SETTLED_S = 60
START_S, STARTS = 1, 10  # a start that a busy machine made long is done again
SERVERS = 25  # of the one region; a place for each, so that nobody's stream is given away


class Sink(Network):
    def __init__(self, program, dht):  # not a network of real servers, but asked like one
        self.process = subprocess.Popen([program, "sink"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.program, self.bootstrap = dht, self.process.stdout.readline().split()


def leveldb(values):
    """What LevelDB has allocated: all that is held, but what others use and what nobody does."""
    used = sum(value for name, value in values.items()
               if name.startswith("larder_memory_used_bytes{") and '"stores"' not in name)
    held, idle, unaccounted = (values[f"larder_memory_{what}_bytes"] for what in ("held", "idle", "unaccounted"))
    return held - idle - unaccounted - used


def memory(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        lines = dict(line.split(":", 1) for line in file)
    return {name: int(lines[name].split()[0]) * 1024 for name in ("VmHWM", "RssFile", "RssAnon")}


def file_size(path):
    """0 for one that a compaction has deleted meanwhile."""
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0


def disk(data, count):
    """Bytes of the keystore a key."""
    total = 0
    for root, _, names in os.walk(data):
        if "keystore" in root:
            total += sum(file_size(os.path.join(root, name)) for name in names)
    return total / count


def keys_file(directory):
    return os.path.join(directory, "keys")


def load(programs, count, directory):
    """Imports the keys; the most anonymous memory of the program that did it."""
    program, larder = programs
    path, data, most = keys_file(directory), os.path.join(directory, "node", "data"), 0
    with open(path, "wb") as file:
        subprocess.run([program, "keys", "0", str(count)], stdout=file, check=True)
    began = time.monotonic()
    with subprocess.Popen([larder, "keys", "import", path, "--data-dir", data], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as job:
        while job.poll() is None:
            try:
                most = max(most, memory(job.pid)["RssAnon"])
            except (KeyError, OSError):
                pass  # it has just ended
            time.sleep(0.05)
    if job.returncode:
        raise PeerError(f"the import ended with {job.returncode}")
    seconds = time.monotonic() - began
    print(f"{count} keys: {count / seconds:.0f} keys/s imported, {most / MIB:.1f} MiB anonymous", flush=True)
    return most


class Nobody:
    bootstrap = ["/ip4/127.0.0.1/tcp/1/p2p/12D3KooWKnDdG3iXw9eTFijk3EWSunZcFi54Zka4wmtqtt6rPxc8"]


def start_seconds(larder, node):
    """Of a start without servers, to which something might have been sent already when it is done again: the first
    that is short enough, if there is one. Each is on a copy, since only the first finds what an import left."""
    for last in reversed(range(STARTS)):
        copy = shutil.copytree(node, node + "-copy")
        began = time.monotonic()
        provider = Provider(larder, copy, Nobody)
        start_s = time.monotonic() - began
        provider.stop()
        shutil.rmtree(copy)
        if start_s <= START_S or last == 0:
            return start_s


def pending_bytes(larder, node, count):
    """Seconds of the first start, and bytes a key while the first provide is pending, by a node without servers.
    The import leaves LevelDB in the middle of its compactions, and what they were reading or writing is on disk twice
    (up to 16 MB seen, which is 16 bytes a key of a million): the node ends them first."""
    start_s = start_seconds(larder, node)
    provider = Provider(larder, node, Nobody)
    try:
        sizes, limit = [], time.monotonic() + SETTLED_S + count / 100_000
        while len(sizes) < 5 or len(set(sizes[-5:])) > 1:
            if time.monotonic() > limit:
                raise PeerError(f"its files do not come to rest: {sizes[-5:]} bytes a key")
            sizes.append(disk(node, count))
            time.sleep(0.2)
        return start_s, sizes[-1]
    finally:
        provider.stop()


def one(programs, sink, count, directory):
    larder, data = programs[1], os.path.join(directory, "node")
    loading = load(programs, count, directory)
    start_s, pending = pending_bytes(larder, data, count)
    # The servers are one process of ours: one that is late is busy, and no stream is given up for that.
    start_s = max(start_s, start_seconds(larder, data))
    node = Provider(larder, data, sink, **{"reprovide-connections": SERVERS, "reprovide-record-timeout": "60s"})
    most = 0
    try:
        began, idle = time.monotonic(), node.usage()["cpu_s"]
        limit = began + 60 + count / 2000
        while not node.at_rest():
            if time.monotonic() > limit:
                raise PeerError(f"not provided in time: {sink.ask('tally')}, {node.status()['reprovide']}")
            most = max(most, leveldb(node.metrics()))
            time.sleep(0.05)
        while node.metrics()["larder_keystore_compacting"]:
            if time.monotonic() > limit:
                raise PeerError(f"still compacting: {node.status()['reprovide']}")
            time.sleep(0.1)
        provided = disk(data, count)
        seconds, now, values = time.monotonic() - began, memory(node.pid), node.metrics()
        cpu = node.usage()["cpu_s"] - idle
    finally:
        node.stop()
    peaks = {owner: int(values[f'larder_memory_peak_bytes{{owner="{owner}"}}']) for owner in OWNERS}
    anonymous = now["VmHWM"] - now["RssFile"]
    share = sum(value for name, value in values.items() if name.startswith("larder_memory_peak_bytes{"))
    verdict = sink.ask("check", count)
    print(f"    node up in {start_s:.2f} s; provided in {seconds:.1f} s, {count / seconds:.0f} keys/s, "
          f"{1e6 * cpu / (20 * count):.2f} us of CPU a record; {pending:.1f} bytes a key pending, {provided:.1f} then; "
          f"{verdict}")
    print("    peaks in MiB: " + ", ".join(f"{name} {value / MIB:.2f}" for name, value in peaks.items())
          + f"; LevelDB {most / MIB:.2f}; anonymous pages {anonymous / MIB:.2f} of {share / MIB:.2f}; "
          f"resident {now['VmHWM'] / MIB:.1f}", flush=True)
    if verdict != {"records": 20 * count, "wrong": 0, "descents": 0, "streams": SERVERS}:
        raise PeerError(f"the servers do not have what they should: {verdict}")
    if most > peaks["stores"] or anonymous > share:
        raise PeerError("it holds more than its owners say")
    if count >= LARGE and (start_s > START_S or pending > PENDING_BYTES or provided > PROVIDED_BYTES):
        raise PeerError(f"started in {start_s:.2f} s, {pending:.1f} bytes a key pending, {provided:.1f} once provided")
    return peaks | {"import": loading}


def beside(sink, count, directory):
    """The reference at the same task; nothing is asked of it but that it ends."""
    other = sink.reference(keys_file(directory), "-counted", seconds=60 + count // 2000)
    if not other["done"] or other["records"] < 20 * count:
        raise PeerError(f"the reference did not provide all: {other}")
    print(f"    the reference, records only counted: resident {other['resident_peak_kib'] / 1024:.1f} MiB at most "
          f"({other['resident_idle_kib'] / 1024:.1f} before), heap {other['heap_peak_bytes'] / MIB:.1f}; "
          f"{other['seconds']:.1f} s, {1e6 * other['cpu_seconds'] / other['records']:.2f} us of CPU a record", flush=True)


def main():
    programs, dht, most, counts = sys.argv[1:3], sys.argv[3], int(sys.argv[4]), [int(text) for text in sys.argv[5:]]
    found = {}
    for count in counts:
        sink, directory = Sink(programs[0], dht), tempfile.mkdtemp(prefix="larder-region-")
        try:
            found[count] = one(programs, sink, count, directory)
            if count <= most:
                beside(sink, count, directory)
        finally:
            sink.stop()
            shutil.rmtree(directory)
    bad = 0
    for name in OWNERS:
        values = [found[count][name] for count in counts]
        apart = (max(values) - min(values)) / MIB
        print(f"{name}: {apart:.2f} MiB between {min(counts)} and {max(counts)} keys")
        bad += apart >= 2
    return 1 if bad else 0


sys.exit(main())

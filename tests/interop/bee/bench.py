#!/usr/bin/env python3
"""bee and larder side by side in one run, unthrottled, on loopback: prints one JSON object a figure.
Usage: bench.py BEE_PEER LARDER [--chunks N] [--dir DIR]"""
import argparse
import json
import os
import shutil
import sys
import tempfile
import time

from harness import Scene
from peers import wait_until


def cpu_ns(pid):
    """Time on a processor of every thread: finer than the ticks of /proc/PID/stat."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
        except OSError:
            pass  # the thread has just ended
    return total


def peak_mib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024


class Bench:
    def __init__(self, scene, chunks):
        self.scene, self.chunks, self.figures = scene, chunks, {}

    def record(self, name, **figures):
        self.figures[name] = figures
        print(json.dumps({"run": name, **{k: round(v, 3) for k, v in figures.items()}}), flush=True)

    def measure(self, name, client, server, begin, done, count):
        client_ns, server_ns, began = cpu_ns(client.pid), cpu_ns(server.pid), time.monotonic()
        begin()
        if not wait_until(done, 1200, every=0.1):
            raise SystemExit(f"{name}: not done after 1200 s; logs in {self.scene.directory}")
        seconds = time.monotonic() - began
        self.record(name, chunks_per_s=count / seconds, seconds=seconds,
                    client_us=(cpu_ns(client.pid) - client_ns) / 1000 / count,
                    server_us=(cpu_ns(server.pid) - server_ns) / 1000 / count,
                    client_peak_mib=peak_mib(client.pid), server_peak_mib=peak_mib(server.pid))

    def bee(self, name):
        return self.scene.bee(name, "-fast")

    def larder(self, name, memory="256MiB", **options):
        return self.scene.larder(name, memory=memory, pullsync_serve_rate=0, pullsync_pull_rate=0,
                                 reserve_has_cache=True, **options)

    def pull_into_bee(self, name, client, server):
        def begin():
            client.call("pull")
            client.call("connect", address=server.address)
        self.measure(name, client, server, begin, lambda: client.call("size") >= self.chunks, self.chunks)

    def pull_into_larder(self, name, client, server):
        def begin():
            client.set(peers=[server.address])
            client.reload()
        self.measure(name, client, server, begin, lambda: client.size() >= self.chunks, self.chunks)
        self.check(client)

    def check(self, client):
        if client.dump() != self.entries:
            raise SystemExit("the lists differ")

    def restarted(self, peer):
        """A peak that begins now."""
        peer.stop()
        peer.set(peers=[])
        peer.start()
        return peer

    def run(self):
        source = self.bee("source")
        self.entries = sorted(source.generate(0, self.chunks, size=4096, soc=0, seconds=1200))
        source.stop()
        source = self.bee("source")
        client = self.bee("client")
        self.pull_into_bee("bee<-bee", client, source)
        client.stop()
        first = self.larder("first")
        self.pull_into_larder("larder<-bee", first, source)
        second_client = self.bee("second-client")
        self.restarted(first)
        self.pull_into_bee("bee<-larder", second_client, first)
        self.restarted(first)
        second = self.larder("second")
        self.pull_into_larder("larder<-larder", second, first)
        self.restarted(first)
        self.restarted(second)
        self.second_pass(source, second_client, second)
        second_client.stop()
        self.restarted(second)
        small = self.larder("small", memory="128MiB")
        self.pull_into_larder("larder(128MiB)<-larder", small, second)
        small.stop()
        small = self.larder("small-bee", memory="128MiB")
        self.pull_into_larder("larder(128MiB)<-bee", small, source)
        small.stop()
        self.ratios()

    def second_pass(self, source, bee, larder):
        """Both have all from elsewhere; now the source offers it, and nothing is wanted."""
        before = larder.metric("pullsync_offered_total")

        def begin():
            larder.set(peers=[source.address])
            larder.reload()
        self.measure("larder has all", larder, source, begin,
                     lambda: larder.metric("pullsync_offered_total") - before >= self.chunks, self.chunks)
        bee.call("connect", address=source.address)
        self.measure("bee has all", bee, source, lambda: bee.call("sync_all", 1200, peer=source.overlay),
                     lambda: True, self.chunks)

    def ratios(self):
        f = self.figures
        base = f["bee<-bee"]
        self.record("ratios", client_cpu=base["client_us"] / f["larder<-bee"]["client_us"],
                    server_cpu=base["server_us"] / f["bee<-larder"]["server_us"],
                    client_cpu_larder=base["client_us"] / f["larder<-larder"]["client_us"],
                    server_cpu_larder=base["server_us"] / f["larder<-larder"]["server_us"],
                    rate_larder=f["larder<-larder"]["chunks_per_s"] / base["chunks_per_s"],
                    second_pass_cpu=f["bee has all"]["client_us"] / f["larder has all"]["client_us"])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bee")
    parser.add_argument("larder")
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--dir", default=None, help="where stores are kept during the run")
    given = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="larder-bench-", dir=given.dir)
    scene = Scene((given.bee, given.larder), 1, directory)
    scene.batches("A")
    try:
        Bench(scene, given.chunks).run()
    finally:
        scene.end()
    shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())

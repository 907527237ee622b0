"""Peers that do everything wrong, beside honest ones."""
import time

from case_pull import pulled
from case_serve import filled
from harness import case
from peers import PeerError, wait_until

MEMORY_KIB = 256 * 1024
STOCK_RATE = 1000  # chunks a second that larder pulls
TURNS = 4  # of a comparison that fails: what else the machine does may begin or end between its two halves
SERVING = ("wrong_lengths", "many", "huge", "unasked", "replay", "endless", "empty", "still", "topmost", "cursors",
           "last_cursor", "epoch", "garbage", "silent")
ASKING = ("no_bits", "short_want", "long_want", "huge_want", "huge_get", "bad_get")


def moved(before, after):
    """Counters that grew."""
    return {name: after[name] - before.get(name, 0) for name in sorted(after)
            if after[name] > before.get(name, 0) and "_total" in name}


def seconds_to_pull(scene, larder, first, count, name):
    """A new honest bee connects; how long until larder has its chunks."""
    bee = scene.bee(name, "-fast")
    entries = bee.generate(first, count)
    target = larder.size() + count
    began = time.monotonic()
    bee.call("connect", address=larder.address)
    done = wait_until(lambda: larder.size() >= target, 300, every=0.02)
    seconds = time.monotonic() - began
    scene.true(f"{name} is served", done)
    missing = set(entries) - set(larder.dump())
    scene.equal(f"missing of {name}", len(missing), 0)
    bee.stop()
    return seconds


class Honest:
    """New honest bees, one after another, at the stock rate, which both cores of a machine reach with bad peers beside;
    where a bee alone does not reach it, at a quarter of what it reaches."""

    def __init__(self, scene, larder):
        self.scene, self.larder, self.count, self.bees = scene, larder, 3 * STOCK_RATE, 0
        self.alone = self.rate("alone")
        if self.alone >= 0.9 * STOCK_RATE:
            return
        rate = max(20, int(self.alone / 4))
        scene.note(f"alone {self.alone:.0f} chunks/s: the machine is slow, compared at {rate}")
        larder.set(pullsync_pull_rate=rate)
        larder.reload()
        scene.true("the rate is reloaded", wait_until(lambda: f"pullsync-pull-rate is now {rate}" in larder.tail(100)))
        self.count = 3 * rate
        self.alone = self.rate("alone")

    def rate(self, name):
        self.bees += 1
        seconds = seconds_to_pull(self.scene, self.larder, 1_000_000 * self.bees, self.count, f"{name}-{self.bees}")
        return self.count / seconds

    def alone_again(self):
        self.alone = self.rate("alone")


def beside_servers(scene, larder, honest, kind, turn):
    """The rate beside bad servers of a kind, as a share of what it is alone."""
    crowd = scene.crowd(2, "-full", key=f"{kind}-{turn}")
    crowd.call("serve", kind=kind)
    before, began = larder.metrics(), time.monotonic()
    crowd.call("connect", address=larder.address)
    time.sleep(0.5)
    share = honest.rate("beside-" + kind) / honest.alone
    pages, seconds = crowd.call("served"), time.monotonic() - began
    grown = moved(before, larder.metrics())
    scene.note(f"{kind}: {pages} pages asked, honest rate {share:.2f} of alone; " + ", ".join(
        f"{n.removeprefix('larder_')} +{v:.0f}" for n, v in grown.items() if "refused" in n or "failed{" in n
        or "unasked" in n or "failed_total{" in n))
    scene.true(f"{kind} moves a counter", grown)
    if kind != "endless":  # in a loop they would be thousands a second
        scene.true(f"{kind} is not asked in a loop: {pages} pages in {seconds:.1f} s", pages < 1000)
    crowd.stop()
    return share


@case
def hostile_servers(scene):
    """bad servers of every kind: counted, none is asked in a loop, honest bees keep their rate, memory stays in the plan"""
    scene.batches("A")
    larder = scene.larder()
    honest, rates = Honest(scene, larder), {}
    for kind in SERVING:
        rates[kind] = beside_servers(scene, larder, honest, kind, 0)
        for turn in range(1, TURNS):
            if rates[kind] >= 0.8:
                break
            honest.alone_again()
            rates[kind] = beside_servers(scene, larder, honest, kind, turn)
    peak, worst = larder.usage()["vm_hwm_kib"], min(rates, key=rates.get)
    scene.note(f"alone {honest.alone:.0f} chunks/s; worst beside {worst}: {rates[worst]:.2f}; peak {peak / 1024:.0f} MiB")
    scene.true("memory in the plan", peak < MEMORY_KIB)
    scene.true("honest rate", rates[worst] >= 0.8)


@case
def hostile_clients(scene):
    """bad clients of every kind are told so by a reset or served; a good client gets all"""
    larder, _, entries = filled(scene, 1500, pullsync_serve_rate=0)
    crowd = scene.crowd(1)
    crowd.call("connect", address=larder.address)
    for kind in ASKING:
        try:
            ended = crowd.call("ask", kind=kind, bin=0)
        except PeerError as error:
            ended = {"end": "reset", "bytes": 0, "why": str(error)}
        scene.note(f"{kind}: {ended}")
        scene.true(f"{kind} ends", ended["end"] != "open")
        if kind != "long_want":
            scene.equal(f"{kind}: bytes served", ended["bytes"], 0)
    bee = scene.bee("client", "-fast")
    bee.call("connect", address=larder.address)
    bee.call("sync_all", peer=larder.overlay)
    scene.same_lists("bee's list", bee.dump(), entries)


@case
def hostile_opens(scene):
    """10,000 opens a second: an honest bee keeps its rate, memory stays in the plan"""
    larder, _, entries = filled(scene, 1500)

    def rate(name):
        bee = scene.bee(name)
        bee.call("connect", address=larder.address)
        began = time.monotonic()
        bee.call("sync_all", peer=larder.overlay)
        seconds = time.monotonic() - began
        scene.same_lists("bee's list", bee.dump(), entries)
        bee.stop()
        return len(entries) / seconds

    for turn in range(TURNS):
        alone = rate(f"alone-{turn}")
        # Peers that are shown out come back, for as long as it takes.
        crowd = scene.crowd(8, key=f"crowd-{turn}")
        crowd.call("connect", address=larder.address)
        flood = crowd.start("open", count=10_000, duration=7)
        beside = rate(f"beside-{turn}")
        seen = crowd.wait(flood)
        crowd.stop()
        scene.note(f"{(seen['opened'] + seen['refused']) / 7:.0f} opens a second tried, {seen['opened']} went through; "
                   f"honest {beside:.0f} chunks/s, alone {alone:.0f}")
        if beside >= 0.8 * alone:
            break
    scene.true("honest rate", beside >= 0.8 * alone)
    scene.true("memory in the plan", larder.usage()["vm_hwm_kib"] < MEMORY_KIB)


@case
def parked_streams(scene):
    """4,000 live streams of 64 peers wait: bytes for each, no work while nothing comes"""
    larder, source, entries = filled(scene, 500, pullsync_serve_rate=0)
    crowd = scene.crowd(64)
    crowd.call("connect", address=larder.address)
    time.sleep(1)
    before = memory(larder)
    parked = crowd.call("park", count=63, start=1 << 40)
    scene.equal("parked", (parked["parked"], parked["reset"]), (64 * 63, 0))
    time.sleep(2)
    after = memory(larder)
    scene.note(f"memory a parked stream: {(after - before) / parked['parked']:.0f} bytes of owners")
    shares = []

    def idle():  # what the parking left to do may take a while
        used, began = larder.usage()["cpu_s"], time.monotonic()
        time.sleep(5)
        shares.append((larder.usage()["cpu_s"] - used) / (time.monotonic() - began))
        return shares[-1] < 0.05

    scene.true("idle is idle", wait_until(idle))
    scene.note(f"CPU while idle: {100 * shares[-1]:.1f} % of a core, at look {len(shares)}")
    crowd.call("unpark")
    entries += source.generate(60_000, 50)
    pulled(scene, larder, entries)


def memory(larder):
    return larder.metrics().get("larder_memory_used_bytes", 0)

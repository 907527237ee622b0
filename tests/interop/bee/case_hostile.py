"""Peers that do everything wrong, beside honest ones."""
import time

from case_pull import pulled
from case_serve import filled
from harness import case
from peers import PeerError, wait_until

MEMORY_KIB = 256 * 1024
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
    done = wait_until(lambda: larder.size() >= target, 120, every=0.02)
    seconds = time.monotonic() - began
    scene.true(f"{name} is served", done)
    missing = set(entries) - set(larder.dump())
    scene.equal(f"missing of {name}", len(missing), 0)
    bee.stop()
    return seconds


@case
def hostile_servers(scene):
    """bad servers of every kind: counted, none is asked in a loop, honest bees keep their rate, memory stays in the plan"""
    scene.batches("A")
    larder = scene.larder()  # at the stock rate, which both cores reach with the bad peers beside
    count, rates = 3000, {}
    alone = count / seconds_to_pull(scene, larder, 1_000_000, count, "alone")
    for number, kind in enumerate(SERVING, 2):
        crowd = scene.crowd(2, "-full", key=kind)
        crowd.call("serve", kind=kind)
        before = larder.metrics()
        crowd.call("connect", address=larder.address)
        time.sleep(0.5)
        rates[kind] = count / seconds_to_pull(scene, larder, 1_000_000 * number, count, "beside-" + kind) / alone
        pages = crowd.call("served")
        grown = moved(before, larder.metrics())
        scene.note(f"{kind}: {pages} pages asked, honest rate {rates[kind]:.2f} of alone; " + ", ".join(
            f"{n.removeprefix('larder_')} +{v:.0f}" for n, v in grown.items() if "refused" in n or "failed{" in n
            or "unasked" in n or "failed_total{" in n))
        scene.true(f"{kind} moves a counter", grown)
        if kind != "endless":
            scene.true(f"{kind} is not asked in a loop: {pages} pages", pages < 1000)
        crowd.stop()
    peak, worst = larder.usage()["vm_hwm_kib"], min(rates, key=rates.get)
    scene.note(f"alone {alone:.0f} chunks/s; worst beside {worst}: {rates[worst]:.2f}; peak {peak / 1024:.0f} MiB")
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

    alone = rate("alone")
    # Peers that are shown out come back, for as long as it takes.
    crowd = scene.crowd(8)
    crowd.call("connect", address=larder.address)
    flood = crowd.start("open", count=10_000, duration=7)
    beside = rate("beside")
    seen = crowd.wait(flood)
    scene.note(f"{(seen['opened'] + seen['refused']) / 7:.0f} opens a second tried, {seen['opened']} went through; "
               f"honest {beside:.0f} chunks/s, alone {alone:.0f}")
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
    used, began = larder.usage()["cpu_s"], time.monotonic()
    time.sleep(5)
    share = (larder.usage()["cpu_s"] - used) / (time.monotonic() - began)
    scene.note(f"CPU while idle: {100 * share:.1f} % of a core")
    scene.true("idle is idle", share < 0.05)
    crowd.call("unpark")
    entries += source.generate(60_000, 50)
    pulled(scene, larder, entries)


def memory(larder):
    return larder.metrics().get("larder_memory_used_bytes", 0)

"""bee as the server: larder pulls."""
import json
import os
import re
import subprocess

from harness import case
from peers import NETWORK, wait_until

FAULT_EVERY = 7


def spoiled(entry):
    return int(entry.split()[0][-2:], 16) % FAULT_EVERY == 0


def pulled(scene, larder, entries, seconds=60):
    """Waits until as many entries are there, then compares the lists."""
    wait_until(lambda: larder.size() >= len(entries), seconds)
    scene.same_lists("larder's list", larder.dump(), entries)


@case
def pull_stock(scene):
    """from a bee at stock settings larder gets exactly its reserve"""
    scene.batches("A", "B")
    bee = scene.bee("s")
    entries = bee.generate(0, 1500) + bee.generate(0, 200, batch="B")
    larder = scene.larder(peers=[bee.address])
    pulled(scene, larder, entries)
    scene.equal("served once each", bee.call("counts")["served"], len(entries))


@case
def pull_live(scene):
    """unthrottled, with additions and replacements while connected"""
    scene.batches("A")
    bee = scene.bee("s", "-fast")
    entries = bee.generate(0, 3000 * scene.scale)
    larder = scene.larder(peers=[bee.address])
    pulled(scene, larder, entries)
    entries += bee.generate(100_000, 300)
    pulled(scene, larder, entries)
    # The same single-owner addresses with newer stamps for the same indexes: the old entries go.
    bee.generate(100_000, 300, time=2, payload=1, soc=1)
    wanted = bee.dump()
    wait_until(lambda: larder.dump() == wanted, every=1)
    scene.same_lists("after replacements", larder.dump(), wanted)


def with_fault(scene, kind):
    scene.batches("A")
    bee = scene.bee("s", "-fast")
    entries = bee.generate(0, 1500)
    bee.call("fault", fault={"kind": kind, "every": FAULT_EVERY})
    larder = scene.larder(peers=[bee.address])
    good = [entry for entry in entries if not spoiled(entry)]
    scene.true("some are spoiled", len(entries) - len(good) > 100)
    pulled(scene, larder, good)
    scene.equal("peers of the bee", [peer["overlay"] for peer in bee.call("peers")], [larder.overlay])
    # What this bee could not give, another one does.
    other = scene.bee("t", "-fast")
    other.generate(0, 1500)
    other.call("connect", address=larder.address)
    pulled(scene, larder, entries)
    return larder


@case
def pull_missing(scene):
    """chunks that are gone: all others are stored, the connection stays, another bee has them"""
    with_fault(scene, "missing")


@case
def pull_bad_data(scene):
    """bad data: refused and counted, the others are stored, another bee has them"""
    larder = with_fault(scene, "bad_data")
    scene.true("counted as refused", larder.metric("pullsync_refused_total") > 100)


@case
def pull_bad_stamp(scene):
    """bad stamps: refused and counted, the others are stored, another bee has them"""
    with_fault(scene, "bad_stamp")


@case
def pull_short_data(scene):
    """short data: refused and counted, the others are stored, another bee has them"""
    larder = with_fault(scene, "short_data")
    scene.true("counted as refused", larder.metric("pullsync_refused_total") > 100)


@case
def pull_forged(scene):
    """stamps that somebody else signed, and stamps of an unknown batch until the table has it"""
    scene.batches("A", "B", file="all.json")
    scene.batches("A")
    bee = scene.bee("s", "-fast", batches=scene.path("all.json"))
    entries = bee.generate(0, 500)
    bee.generate(10_000, 200, wrong_by="B")
    unknown = bee.generate(20_000, 200, batch="B")
    larder = scene.larder(peers=[bee.address])
    pulled(scene, larder, entries)
    wait_until(lambda: larder.metric("pullsync_refused_total") >= 400)
    scene.true("refused and counted", larder.metric("pullsync_refused_total") >= 400)
    os.replace(scene.path("all.json"), scene.path("batches.json"))
    larder.reload()
    pulled(scene, larder, entries + unknown)


@case
def pull_two_bees(scene):
    """two bees with overlapping reserves: each chunk is fetched once"""
    from_several(scene, [(0, 2000), (1000, 2000)])


@case
def pull_three_bees(scene):
    """three bees with overlapping reserves: each chunk is fetched once"""
    from_several(scene, [(0, 1500), (500, 1500), (0, 2000)])


def from_several(scene, ranges):
    scene.batches("A")
    bees, union = [], set()
    for number, (first, count) in enumerate(ranges):
        bees.append(scene.bee(f"s{number}", "-fast"))
        union.update(bees[-1].generate(first, count))
    larder = scene.larder(peers=[bee.address for bee in bees])
    pulled(scene, larder, list(union))
    served = [bee.call("counts")["served"] for bee in bees]
    scene.note(f"served by the bees: {served}, distinct: {len(union)}")
    scene.equal("chunks fetched", sum(served), len(union))


@case
def pull_second_pass(scene):
    """a second start wants nothing that is there, neither from the old bee nor from a new one"""
    scene.batches("A")
    bee, other = scene.bee("s", "-fast"), scene.bee("t", "-fast")
    entries = bee.generate(0, 1500)
    other.generate(0, 1500)
    larder = scene.larder(peers=[bee.address])
    pulled(scene, larder, entries)
    bee.call("forget")
    larder.stop()
    larder.set(peers=[bee.address, other.address])
    larder.start()
    scene.true("the new bee's offers were read",
               wait_until(lambda: larder.metric("pullsync_offered_total") >= 1500))
    fresh = other.generate(1500, 50)
    pulled(scene, larder, entries + fresh)
    scene.equal("served by the old bee", bee.call("counts")["served"], 0)
    scene.equal("served by the new bee", other.call("counts")["served"], 50)


@case
def pull_radius(scene):
    """with a storage radius only what lies within is wanted; the nonce is mined for the neighbourhood"""
    scene.batches("A")
    bee = scene.bee("s", "-fast")
    entries = bee.generate(0, 3000)
    prefix = f"{int(bee.overlay[0], 16):04b}"[:3]
    mined = subprocess.check_output([scene.larder_program, "overlay", "--prefix", prefix, "--network-id",
                                     str(NETWORK), "--data-dir", scene.path("larder/data")], text=True)
    nonce = re.search(r"nonce\W+([0-9a-f]{64})", mined).group(1)
    larder = scene.larder(storage_radius=2, peers=[bee.address], nonce=nonce)
    own = int(larder.overlay[:8], 16)
    scene.true("overlay as mined", own >> 29 == int(bee.overlay[:8], 16) >> 29)
    pulled(scene, larder, [e for e in entries if (int(e[:8], 16) ^ own) >> 30 == 0])
    scene.equal("all wanted", bee.call("counts")["served"], larder.size())


@case
def pull_status(scene):
    """status says per peer and bin how far it is, and that it is synced"""
    scene.batches("A")
    bee = scene.bee("s", "-fast")
    entries = bee.generate(0, 500)
    larder = scene.larder(peers=[bee.address])
    pulled(scene, larder, entries)
    text = json.dumps(larder.status())
    scene.true("the bee is in the status", bee.overlay in text or bee.overlay[:8] in text)
    scene.true("synced is a fact", wait_until(lambda: '"synced": true' in json.dumps(larder.status())))

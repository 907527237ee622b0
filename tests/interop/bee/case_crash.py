"""Ends that nobody wished for: SIGKILL on either side, and a reserve from an old backup."""
import random
import time

from case_pull import pulled
from case_serve import filled
from harness import case
from peers import wait_until

ROUNDS = 5  # 50 with --scale 10


@case
def kill_larder_pulling(scene):
    """SIGKILL of larder again and again while it pulls: complete in the end, no hole, nothing twice"""
    scene.batches("A")
    rounds, rng = ROUNDS * scene.scale, random.Random(7)
    bee = scene.bee("s", "-fast")
    entries = bee.generate(0, 2400 * rounds)
    larder = scene.larder(peers=[bee.address], pullsync_pull_rate=1500)
    sizes = []
    for _ in range(rounds):
        # Some of it comes first, however slow the machine.
        have = larder.size()
        wait_until(lambda: have < larder.size() or have == len(entries))
        time.sleep(rng.uniform(0.1, 0.8))
        larder.kill()
        larder.start()
        sizes.append(larder.size())
    scene.note(f"entries after each start: {sizes}")
    scene.true("killed while it pulled", 0 < sizes[-1] and sizes[0] < len(entries))
    larder.stop()
    larder.set(pullsync_pull_rate=0)
    larder.start()
    pulled(scene, larder, entries, 120)


@case
def kill_bee_serving(scene):
    """SIGKILL of the bee that serves: larder ends complete when it is back"""
    scene.batches("A")
    rounds, rng = ROUNDS * scene.scale, random.Random(8)
    larder = scene.larder(pullsync_pull_rate=1500)
    bee = scene.bee("s", "-fast")
    entries = bee.generate(0, 1200 * rounds)
    for _ in range(rounds):
        bee.call("connect", address=larder.address)
        time.sleep(rng.uniform(0.2, 0.8))
        bee.kill()
        bee = scene.bee("s", "-fast")
    # bee's own store may have lost what it had not synced: what it has now is what counts.
    entries = bee.dump()
    bee.call("connect", address=larder.address)
    pulled(scene, larder, entries, 120)


@case
def kill_bee_pulling(scene):
    """SIGKILL of the bee that pulls: it ends with exactly ours"""
    rounds, rng = ROUNDS * scene.scale, random.Random(9)
    larder, _, entries = filled(scene, 1200 * rounds, pullsync_serve_rate=0)
    bee = scene.bee("client")
    for _ in range(rounds):
        bee.call("pull")
        bee.call("connect", address=larder.address)
        time.sleep(rng.uniform(0.1, 0.5))
        bee.kill()
        bee = scene.bee("client", *(["-fast"] if _ == rounds - 1 else []))
    bee.call("connect", address=larder.address)
    bee.call("pull")
    wait_until(lambda: bee.call("size") >= len(entries), 120)
    scene.same_lists("bee's list", bee.dump(), entries)


@case
def kill_larder_serving(scene):
    """SIGKILL of larder while a bee pulls from it: same epoch, the bee ends with exactly ours"""
    rounds, rng = ROUNDS * scene.scale, random.Random(10)
    larder, _, entries = filled(scene, 1200 * rounds, pullsync_serve_rate=0)
    larder.stop()
    larder.set(peers=[])
    larder.start()
    bee = scene.bee("client")
    bee.call("pull")
    epochs = set()
    for _ in range(rounds):
        bee.call("connect", address=larder.address)
        epochs.add(bee.call("cursors", peer=larder.overlay)["epoch"])
        time.sleep(rng.uniform(0.2, 0.6))
        larder.kill()
        larder.start()
        wait_until(lambda: not bee.call("peers"))
    bee.call("connect", address=larder.address)
    scene.equal("epochs seen", len(epochs), 1)
    wait_until(lambda: bee.call("size") >= len(entries), 120)
    scene.same_lists("bee's list", bee.dump(), entries)


@case
def restored_backup(scene):
    """a reserve from an old backup: a new epoch, and a bee that had synced before ends complete"""
    larder, source, entries = filled(scene, 1000, pullsync_serve_rate=0)
    larder.command("backup", scene.path("copy"))
    entries += source.generate(50_000, 500)
    pulled(scene, larder, entries)
    bee = scene.bee("client", "-fast")
    bee.call("pull")
    connected = bee.call("connect", address=larder.address)
    scene.true("synced once", wait_until(lambda: bee.call("size") >= len(entries)))
    before = bee.call("cursors", peer=connected["overlay"])
    larder.stop()
    larder.set(data_dir=scene.path("restored"), peers=[])
    larder.command("restore", scene.path("copy"))
    larder.start()
    wait_until(lambda: not bee.call("peers"))
    again = bee.call("connect", address=larder.address)
    scene.equal("the same node, by the keys in the backup", again["overlay"], connected["overlay"])
    after = bee.call("cursors", peer=again["overlay"])
    scene.true("a new epoch", after["epoch"] != before["epoch"])
    # Other chunks now get the BinIDs that the bee has already seen: without a new epoch they were lost to it.
    other = scene.bee("other", "-fast")
    fresh = other.generate(90_000, 600)
    other.call("connect", address=larder.address)
    scene.true("larder has them", wait_until(lambda: set(fresh) <= set(larder.dump()), every=1))
    wait_until(lambda: bee.call("size") >= len(entries) + len(fresh))
    scene.same_lists("bee's list", bee.dump(), entries + fresh)



"""bee as the client: it pulls from larder."""
import json
import os
import subprocess
import time

from case_pull import pulled
from harness import case
from peers import PeerError, wait_until


def filled(scene, count, name="larder", **options):
    """A larder that holds what a bee had, and that bee."""
    scene.batches("A")
    source = scene.bee("source", "-fast")
    entries = source.generate(0, count)
    larder = scene.larder(name, peers=[source.address], **options)
    pulled(scene, larder, entries)
    return larder, source, entries


@case
def serve_pages(scene):
    """bee pulls page by page: it ends with exactly ours, and wants nothing again; connected in well under 1 s"""
    larder, _, entries = filled(scene, 2000, pullsync_serve_rate=0)
    bee = scene.bee("client", "-fast")
    connected = bee.call("connect", address=larder.address)
    scene.note(f"bee as the dialler: connected after {connected['seconds']:.3f} s")
    scene.true("the bee knows us by our overlay", connected["overlay"] == larder.overlay)
    seconds = connected["seconds"]
    for again in range(5):  # a busy machine makes one long; without an answer to identify all are
        if seconds < 1:
            break
        other = scene.bee(f"again-{again}")
        seconds = other.call("connect", address=larder.address)["seconds"]
        other.stop()
    scene.true("identify is answered", seconds < 1)
    first = bee.call("sync_all", peer=larder.overlay)
    scene.same_lists("bee's list", bee.dump(), entries)
    scene.equal("chunks in the first pass", first["chunks"], len(entries))
    scene.equal("refused", first["refused_pages"], 0)
    scene.equal("chunks in the second pass", bee.call("sync_all", peer=larder.overlay)["chunks"], 0)
    scene.true("its pings are answered", wait_until(lambda: bee.call("ping", peer=larder.overlay) < 1))
    snapshot = bee.call("status", peer=larder.overlay)
    scene.equal("reserve in the status", snapshot["ReserveSize"], len(entries))
    scene.equal("mode in the status", snapshot["BeeMode"], "full")


@case
def serve_handshake(scene):
    """larder dials a bee, and a stranger dials larder: both know each other in well under 1 s"""
    scene.batches("A")
    bee, crowd = scene.bee("s"), scene.crowd(1)
    began = time.monotonic()
    larder = scene.larder(peers=[bee.address])
    scene.true("the bee has a peer", wait_until(lambda: bee.call("peers"), every=0.02))
    scene.note(f"larder as the dialler: a peer {time.monotonic() - began:.2f} s after its process began")
    good = crowd.call("handshake", address=larder.address, kind="good")
    scene.note(f"SynAck after {good['synack_s'] * 1000:.1f} ms")
    scene.true("a good handshake is kept", good["connected"])
    for kind in ("future", "network", "signature", "overlay"):
        try:
            kept = crowd.call("handshake", address=larder.address, kind=kind)["connected"]
        except PeerError:
            kept = False
        scene.true(f"a handshake with a wrong {kind} ends the connection", not kept)


@case
def serve_puller(scene):
    """bee's own puller, historical and live: what larder gets while both run arrives there too"""
    larder, source, entries = filled(scene, 2000, pullsync_serve_rate=0)
    bee = scene.bee("client", "-fast")
    bee.call("pull")
    bee.call("connect", address=larder.address)
    scene.true("historical", wait_until(lambda: bee.call("size") >= 2000))
    for first in range(50_000, 50_200, 50):
        entries += source.generate(first, 50)
    pulled(scene, larder, entries)
    scene.true("live", wait_until(lambda: bee.call("size") >= len(entries)))
    scene.same_lists("bee's list", bee.dump(), entries)
    delivered = bee.call("metrics")["bee_pullsync_chunks_delivered"]
    scene.note(f"delivered to the bee: {delivered:.0f} for {len(entries)} chunks")
    # Nothing is asked in a loop while nothing happens; the last turns may come a while after the last chunk.
    turns = []

    def rests():
        before = bee.call("metrics")["bee_puller_worker_iterations"]
        time.sleep(2)
        turns.append(bee.call("metrics")["bee_puller_worker_iterations"] - before)
        return turns[-1] < 10

    scene.true("the puller rests", wait_until(rests))
    scene.note(f"turns of the puller in 2 s: {turns}")


@case
def serve_stock(scene):
    """at the stock rate of 250 a second a bee gets 250 at once, then 250 a second"""
    larder, _, entries = filled(scene, 1500)
    bee = scene.bee("client")
    bee.call("connect", address=larder.address)
    began = time.monotonic()
    bee.call("sync_all", peer=larder.overlay)
    seconds = time.monotonic() - began
    scene.same_lists("bee's list", bee.dump(), entries)
    scene.note(f"{len(entries)} chunks in {seconds:.1f} s")
    scene.true("no faster than the rate", seconds > (len(entries) - 300) / 250)


@case
def serve_network(scene):
    """two bees that find each other through their gossip, and larder between them: all three end equal"""
    scene.batches("A")
    one, two = scene.bee("one", "-fast", "-kademlia"), scene.bee("two", "-fast", "-kademlia")
    entries = one.generate(0, 800) + two.generate(1000, 800)
    larder = scene.larder(peers=[one.address], pullsync_serve_rate=0)
    for bee in (one, two):
        bee.call("pull")
    two.call("connect", address=larder.address)
    pulled(scene, larder, entries)
    for bee in (one, two):
        scene.true("a bee is complete", wait_until(lambda b=bee: b.call("size") >= len(entries)))
        scene.same_lists("bee's list", bee.dump(), entries)


@case
def serve_splitter(scene):
    """files and a directory uploaded into larder have the references bee gives them; a bee pulls and joins them"""
    scene.batches("A")
    batch, key = subprocess.check_output([scene.bee_program, "stamp-key", "A"], text=True).split()
    with open(scene.path("stamp-key"), "w", encoding="ascii") as file:
        file.write(key)
    os.chmod(scene.path("stamp-key"), 0o600)
    files = {"a.txt": b"hello\n", "sub/b.bin": bytes(range(256)) * 3000, "sub/empty.bin": b"",
             "z.html": b"<p>z</p>", "many/" + "x" * 40 + ".bin": b"1" * 4097}
    for name, content in files.items():
        os.makedirs(os.path.dirname(scene.path("tree/" + name)), exist_ok=True)
        with open(scene.path("tree/" + name), "wb") as file:
            file.write(content)
    larder, bee = scene.larder(pullsync_serve_rate=0), scene.bee("client", "-fast")

    def upload(path):
        told = larder.command("reserve", "upload", scene.path(path), "--batch", batch,
                              "--stamp-key", scene.path("stamp-key"))
        return told.split()[-1]

    def of_bee(*arguments):
        return subprocess.check_output([scene.bee_program, "reference", *arguments], text=True).strip()

    references = {name: upload("tree/" + name) for name in files}
    for name, reference in references.items():
        scene.equal(f"reference of {name}", reference, of_bee(scene.path("tree/" + name)))
    with open(scene.path("files.json"), "w", encoding="ascii") as out:
        json.dump([{"path": name, "content_type": content_type(name)} for name in files], out)
    scene.equal("reference of the directory", upload("tree"), of_bee(scene.path("tree"), scene.path("files.json")))
    bee.call("connect", address=larder.address)
    bee.call("sync_all", peer=larder.overlay)
    scene.same_lists("bee's list", bee.dump(), larder.dump())
    for name, reference in references.items():
        bee.call("read", reference=reference, file=scene.path("joined"))
        with open(scene.path("joined"), "rb") as file:
            scene.true(f"bee joins {name}", file.read() == files[name])


def content_type(name):
    return {"txt": "text/plain; charset=utf-8", "html": "text/html; charset=utf-8",
            "bin": "application/octet-stream"}[name.rsplit(".", 1)[-1]]

"""bee against bee: what the peers of these tests can do, before anything of ours is asked."""
from harness import case
from peers import wait_until


@case
def bee_from_bee(scene):
    """bee pulls from bee, page by page and with its own puller, historical and live."""
    scene.batches("A")
    server, pages, puller = scene.bee("s", "-fast"), scene.bee("p", "-fast"), scene.bee("q", "-fast")
    entries = server.generate(0, 1500)
    pages.call("connect", address=server.address)
    pages.call("sync_all", peer=server.overlay)
    scene.same_lists("page by page", pages.dump(), entries)
    scene.equal("wanted again", pages.call("sync_all", peer=server.overlay)["chunks"], 0)
    puller.call("pull")
    puller.call("connect", address=server.address)
    scene.true("historical", wait_until(lambda: puller.call("size") == 1500))
    entries += server.generate(1500, 40)
    scene.true("live", wait_until(lambda: puller.call("size") == 1540))
    scene.same_lists("puller", puller.dump(), entries)
    scene.equal("version of bee", server.version, "v2.8.1")


@case
def bee_and_scripted(scene):
    """the scripted peers do to a bee what they are for: it parks, it refuses, it pulls from them"""
    scene.batches("A")
    bee = scene.bee("s", "-fast", "-verbosity", "debug")
    bee.generate(0, 1500)
    crowd = scene.crowd(4)
    crowd.call("connect", address=bee.address)
    scene.equal("parked", crowd.call("park", count=32, start=1 << 40)["parked"], 128)
    crowd.call("unpark")
    scene.equal("no bits", crowd.call("ask", kind="no_bits", bin=0), {"bytes": 0, "end": "reset"})
    scene.equal("no chunk wanted", crowd.call("ask", kind="long_want", bin=0), {"bytes": 0, "end": "closed"})
    for kind, kept in (("good", True), ("future", False), ("network", False), ("signature", False),
                       ("overlay", False)):
        seen = crowd.call("handshake", address=bee.address, kind=kind)
        scene.equal(f"{kind}: connection kept", seen["connected"], kept)
    opened = crowd.call("open", count=2000, duration=2)
    scene.note(f"opens at 2000 a second for 2 s: {opened}")
    bad = scene.crowd(1, "-full", key="bad")
    bad.call("serve", kind="empty")
    bee.call("pull")
    bad.call("connect", address=bee.address)
    scene.true("a bee spins on empty offers", wait_until(lambda: bad.call("served") > 1000))

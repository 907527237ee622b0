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
    scene.true("historical", wait_until(lambda: puller.call("size") == 1500, 60))
    entries += server.generate(1500, 40)
    scene.true("live", wait_until(lambda: puller.call("size") == 1540, 60))
    scene.same_lists("puller", puller.dump(), entries)
    scene.equal("version of bee", server.version, "v2.8.1")

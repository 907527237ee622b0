#!/usr/bin/env python3
"""The HTTP side of a running node from outside: what is answered, who may change what, promtool,
50,000 scrapes over 200 connections without growth, and 1,000 slow clients that cannot keep a scrape
away. Prints TAP and figures. SCRAPES=N and SLOW=N for other numbers."""
import atexit
import glob
import http.client
import json
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

LARDER = os.environ.get("LARDER", "build/larder")
SCRAPES = int(os.environ.get("SCRAPES", "50000"))
SLOW = int(os.environ.get("SLOW", "1000"))
CONNECTIONS = 200
REQUEST_SECONDS = 10  # LIMIT_HTTP_REQUEST_MS
GROWTH_KIB = 256  # what an allocator may move in between; 49,000 leaks of 6 bytes are more
PATIENCE_SECONDS = 60  # for what must happen, on a machine that is busy
TOKEN = "0123456789abcdef0123456789abcdef"
results = []


def ok(good, what):
    results.append(bool(good))
    print(f"{'ok' if good else 'not ok'} {len(results)} - {what}", flush=True)
    return good


class Node:
    def __init__(self, scratch, name, *flags):
        self.dir = os.path.join(scratch, name)
        self.log = open(self.dir + ".log", "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [LARDER, "start", "--data-dir=" + self.dir, *flags], stderr=self.log,
            env={"HOME": scratch, "PATH": os.environ["PATH"],
                 **{k: v for k, v in os.environ.items() if k == "TEST_HITS_FILE"}})
        atexit.register(self.process.kill)  # a test that breaks leaves no node behind
        deadline = time.time() + PATIENCE_SECONDS
        while True:
            if self.process.poll() is not None or time.time() > deadline:
                sys.exit(f"the node did not start: {self.text()}")
            try:
                with open(os.path.join(self.dir, "node.json"), encoding="utf-8") as f:
                    address = json.load(f)["http"]
                break
            except (OSError, ValueError, KeyError):
                time.sleep(0.02)
        self.port = int(address.rsplit(":", 1)[1])

    def text(self):
        with open(self.log.name, encoding="utf-8") as f:
            return f.read()

    def kib(self, key):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return int(re.search(rf"^{key}:\s+(\d+)", f.read(), re.M).group(1))

    def ask(self, method, path, headers=None, host="127.0.0.1", timeout=PATIENCE_SECONDS):
        c = http.client.HTTPConnection(host, self.port, timeout=timeout)
        c.request(method, path, headers=headers or {})
        r = c.getresponse()
        body = r.read().decode()
        c.close()
        return r.status, body, r

    def metric(self, name):
        body = self.ask("GET", "/metrics")[1]
        return sum(float(v) for v in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", body, re.M))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE_SECONDS)
        self.log.close()
        return code


def answers(node):
    status, body, r = node.ask("GET", "/metrics")
    ok(status == 200 and r.getheader("Content-Type").startswith("text/plain; version=0.0.4"),
       "/metrics is a page of metrics")
    tool = subprocess.run(["promtool", "check", "metrics"], input=body, text=True,
                          capture_output=True, check=False)
    ok(tool.returncode == 0 and not tool.stdout + tool.stderr, "promtool has nothing to say")
    print(tool.stdout + tool.stderr, end="")
    series = re.findall(r"^(larder_\w+(?:{[^}]*})?) ", body, re.M)
    ok(len(series) == len(set(series)) > 50, f"{len(series)} series, none of them twice")
    ok(node.ask("GET", "/healthz")[:2] == (200, "ok\n"), "/healthz")
    ok(node.ask("GET", "/readyz")[:2] == (200, "ready\n"), "/readyz")
    began = time.time()
    status, body, _ = node.ask("GET", "/api/v1/status")
    ended = time.time()
    document = json.loads(body)
    ok(status == 200 and document["state"] == "ready" and document["pid"] == node.process.pid and
       document["memory"]["owners"] and document["file_descriptors"]["open"] > 5 and
       document["disk"]["size_bytes"] > 0 and document["stores"] and document["loop"] and
       began - 5 < document["clock"]["unix_time"] < ended + 5, "/api/v1/status")
    ok(node.ask("HEAD", "/metrics")[:2] == (200, ""), "HEAD has no body")
    status, body, _ = node.ask("GET", "/nowhere")
    ok(status == 404 and "GET /metrics\n" in body and "POST /api/v1/reload\n" in body, "what is not there, and what is")
    status, _, r = node.ask("POST", "/metrics")
    ok(status == 405 and r.getheader("Allow") == "GET, HEAD", "another method")
    out = subprocess.run([LARDER, "status", "--data-dir=" + node.dir], text=True,
                         capture_output=True, check=False)
    ok(out.returncode == 0 and re.search(r"^memory\n.* held of .*\n  \[[a-z]", out.stdout, re.M)
       and "\033" not in out.stdout, "larder status is a page")
    print(re.sub("^", "# ", out.stdout, flags=re.M))
    out = subprocess.run([LARDER, "status", "--json", "--data-dir=" + node.dir], text=True,
                         capture_output=True, check=False)
    ok(json.loads(out.stdout).keys() == document.keys(), "larder status --json is the same document")


def may_change(scratch, node):
    reload = ("POST", "/api/v1/reload")
    ok(node.ask(*reload)[0] == 202, "this machine may change something")
    ok(node.ask(*reload, {"Origin": "http://example.org"})[0] == 401, "a web page may not")
    token = os.path.join(scratch, "token")
    with open(os.open(token, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as f:
        f.write(TOKEN + "\n")
    wide = Node(scratch, "wide", "--http-addr=0.0.0.0:0", "--http-token-file=" + token)
    ok(wide.ask("GET", "/healthz")[0] == 200, "beyond loopback everybody may read")
    status, _, r = wide.ask(*reload)
    ok(status == 401 and "Bearer" in r.getheader("WWW-Authenticate"), "and change nothing")
    ok(wide.ask(*reload, {"Authorization": "Bearer " + TOKEN[:-1]})[0] == 401, "part of a token")
    ok(wide.ask(*reload, {"Authorization": "Bearer " + TOKEN})[0] == 202, "with the token they may")
    ok(wide.metric("larder_http_unauthorized_total") == 2, "the others are counted")
    ok(TOKEN not in wide.text() and wide.stop() == 0, "the log does not tell the token")


class Scraper:
    """One connection that scrapes again and again."""
    REQUEST = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setblocking(False)
        self.tail = b""

    def ask(self):
        self.tail = b""
        self.socket.send(self.REQUEST)

    def whole(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("cut")
        self.tail = (self.tail + data)[-5:]
        return self.tail == b"0\r\n\r\n"


def scrape(node, count):
    """count scrapes over all connections; seconds."""
    selector = selectors.DefaultSelector()
    scrapers = [Scraper(node.port) for _ in range(CONNECTIONS)]
    asked = done = 0
    began = time.time()
    for s in scrapers:
        selector.register(s.socket, selectors.EVENT_READ, s)
        s.ask()
        asked += 1
    while done < count:
        for key, _ in selector.select(10):
            if key.data.whole():
                done += 1
                if asked < count:
                    key.data.ask()
                    asked += 1
    for s in scrapers:
        s.socket.close()
    return time.time() - began


def settled(node):
    """Connections end, and the allocator gives back what it keeps for a second or two: waits until
    nothing has moved for two seconds."""
    seen = []
    for _ in range(PATIENCE_SECONDS):
        seen.append(node.kib("RssAnon"))
        if len(seen) > 4 and max(seen[-3:]) - min(seen[-3:]) <= 64:
            break
        time.sleep(1)


def no_growth(node):
    scrape(node, 1000)
    settled(node)
    before, used = node.kib("RssAnon"), node.metric("larder_memory_used_bytes")
    seconds = scrape(node, SCRAPES - 1000)
    settled(node)
    after, used_after = node.kib("RssAnon"), node.metric("larder_memory_used_bytes")
    print(f"# {SCRAPES - 1000} scrapes over {CONNECTIONS} connections in {seconds:.1f} s, "
          f"{(SCRAPES - 1000) / seconds:.0f} a second; anonymous memory {before} KiB after the "
          f"first 1,000, {after} KiB at the end, high-water mark {node.kib('VmHWM')} KiB")
    ok(after <= before + GROWTH_KIB, "no growth after the first thousand scrapes")
    ok(used_after <= used, "nor of what the owners hold")
    loop = json.loads(node.ask("GET", "/api/v1/status")[1])["loop"]
    print(f"# event loop: {loop['callbacks']} callbacks, {loop['slow']} above 1 ms, slowest "
          f"{loop['slowest_seconds'] * 1000:.1f} ms ({loop['slowest']})")


class Drip(threading.Thread):
    """Slow clients: each sends a byte of its request every second and never the last one. With
    again, one that was cut comes back at once."""

    def __init__(self, port, count, again, seconds):
        super().__init__()
        self.port, self.count, self.again, self.seconds = port, count, again, seconds
        self.lives, self.cut = [], 0

    def open(self, selector):
        try:
            s = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS)
            s.setblocking(False)
            s.send(b"GET /metrics HTTP/1.1\r\n")
        except OSError:
            return
        selector.register(s, selectors.EVENT_READ, time.time())

    def close(self, selector, key):
        self.cut += 1
        self.lives.append(time.time() - key.data)
        selector.unregister(key.fileobj)
        key.fileobj.close()

    def run(self):
        selector = selectors.DefaultSelector()
        for _ in range(self.count):
            self.open(selector)
        end, drip = time.time() + self.seconds, time.time()
        while time.time() < end and selector.get_map():
            for key, _ in selector.select(0.05):
                self.close(selector, key)
                if self.again:
                    self.open(selector)
            if time.time() >= drip:
                drip += 1
                for key in list(selector.get_map().values()):
                    try:
                        key.fileobj.send(b"X")
                    except OSError:
                        pass
        self.left = len(selector.get_map())
        for key in list(selector.get_map().values()):
            key.fileobj.close()


def in_line(node):
    """Seconds that threads of the node and of this program have stood in line for a processor so far: shown, since a
    machine that does other things too lets them wait. 0 where the kernel does not tell."""
    ns = 0
    for pid in node.process.pid, os.getpid():
        for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
            try:
                with open(path, encoding="ascii") as f:
                    ns += int(f.read().split()[1])
            except (OSError, IndexError):
                pass  # a thread that has just ended
    return ns / 1e9


def scrape_among(node, drip):
    """New connections that ask once, while the slow ones are there; seconds of each, and those less what the machine
    was busy with."""
    times, own = [], []
    while drip.is_alive():
        began, before = time.time(), in_line(node)
        try:
            good = node.ask("GET", "/metrics")[0] == 200
        except OSError:
            good = False
        times.append(time.time() - began if good else 99)
        own.append(times[-1] - max(0, in_line(node) - before) if good else 99)
        time.sleep(0.05)
    return times, own


def slow_clients(node):
    for again in False, True:
        cut = node.metric("larder_http_cut_total")
        drip = Drip(node.port, SLOW, again, 8 if again else REQUEST_SECONDS + PATIENCE_SECONDS)
        drip.start()
        times, own = scrape_among(node, drip)
        drip.join()
        kind = "that come back when they are cut" if again else "that drip"
        print(f"# {SLOW} clients {kind}: {len(times)} scrapes, slowest {max(times) * 1000:.0f} ms, "
              f"{max(own) * 1000:.0f} without the waits for a processor; "
              f"{drip.cut} cut, the longest after {max(drip.lives):.1f} s")
        ok(max(times) < 2, f"every scrape within 2 s among {SLOW} clients {kind}")
        if not again:
            ok(drip.cut == SLOW and drip.left == 0, "all of them are cut")
        ok(max(drip.lives) < REQUEST_SECONDS + 1.5, "in time, though never silent")
        ok(node.metric("larder_http_cut_total") - cut >= min(drip.cut, SLOW), "and counted")


def main():
    with tempfile.TemporaryDirectory() as scratch:
        node = Node(scratch, "node", "--http-addr=127.0.0.1:0")
        answers(node)
        may_change(scratch, node)
        no_growth(node)
        slow_clients(node)
        ok(node.stop() == 0 and "every owner at zero" in node.text(), "every owner at zero at the end")
    print(f"1..{len(results)}")
    sys.exit(not all(results))


main()

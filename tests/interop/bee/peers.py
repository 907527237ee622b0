"""The two kinds of peers of these tests as Python objects: bee-peer and the daemon."""
import json
import os
import signal
import subprocess
import threading
import time
import urllib.request

NETWORK = 7357


class PeerError(Exception):
    pass


class Bee:
    """One bee-peer node. call() answers when the node did; start() and wait() let commands run side by side."""

    def __init__(self, program, directory, batches, key, *flags, mode="node"):
        os.makedirs(directory, exist_ok=True)
        self.directory, self.mode = directory, mode
        self.log = open(directory + ".log", "a", encoding="utf-8")
        self.process = subprocess.Popen(
            [program, mode, "-dir", directory, "-batches", batches, "-key", key, *flags],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.pid = self.process.pid
        self.answers = {}
        self.arrived = threading.Condition()
        self.ended = False
        self.last = 0
        line = self.process.stdout.readline()
        if not line:
            raise PeerError(f"bee-peer did not start: {open(directory + '.log', encoding='utf-8').read()}")
        ready = json.loads(line)
        self.version, self.address, self.overlay = ready["version"], ready["address"], ready["overlay"]
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            answer = json.loads(line)
            with self.arrived:
                self.answers[answer["id"]] = answer
                self.arrived.notify_all()
        with self.arrived:
            self.ended = True
            self.arrived.notify_all()

    def start(self, do, **arguments):
        self.last += 1
        try:
            self.process.stdin.write(json.dumps({"do": do, "id": self.last, **arguments}) + "\n")
            self.process.stdin.flush()
        except OSError as error:
            raise PeerError(f"bee-peer is gone: {error}") from error
        return self.last

    def wait(self, number, seconds=120):
        with self.arrived:
            if not self.arrived.wait_for(lambda: number in self.answers or self.ended, seconds):
                raise PeerError(f"no answer after {seconds} s")
            if number not in self.answers:
                raise PeerError("bee-peer ended")
            answer = self.answers.pop(number)
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer.get("result")

    def call(self, do, seconds=120, **arguments):
        return self.wait(self.start(do, **arguments), seconds)

    def generate(self, first, count, batch="A", seconds=300, **more):
        return self.call("gen", seconds, gen={"seed": 1, "first": first, "count": count, "batch": batch, "soc": 8,
                                              "time": 1, **more})["entries"]

    def dump(self):
        """The sorted list of the reserve; a body that does not fit its address fails it."""
        path = self.directory + ".list"
        result = self.call("dump", file=path)
        if result["broken"]:
            raise PeerError(f"{result['broken']} broken bodies in the store")
        with open(path, encoding="ascii") as lines:
            return lines.read().split("\n")[:-1]

    def facts(self):
        """What is worth knowing of a node when a case has failed."""
        counted = {name: value for name, value in self.call("metrics", 10).items() if value}
        return {"directory": os.path.basename(self.directory), "size": self.call("size", 10),
                "peers": self.call("peers", 10), "metrics": counted}

    def stop(self):
        if self.process.poll() is None:
            try:
                self.process.stdin.write('{"do":"quit"}\n')
                self.process.stdin.close()
                self.process.wait(PATIENCE_S)
            except (OSError, subprocess.TimeoutExpired):
                self.process.kill()
                self.process.wait()
        self.log.close()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.log.close()


PATIENCE_S = 60  # for what must happen, on a machine that is busy


def wait_until(check, seconds=PATIENCE_S, every=0.1):
    """Asks again until check() gives something true, or the time is over; gives the last answer."""
    end = time.monotonic() + seconds
    while True:
        answer = check()
        if answer or time.monotonic() > end:
            return answer
        time.sleep(every)


class Larder:
    """The daemon: started from a file of options, asked over HTTP and by its own commands."""

    def __init__(self, program, directory, **options):
        self.program, self.directory, self.process = program, directory, None
        os.makedirs(directory, exist_ok=True)
        self.options = {"data-dir": directory + "/data", "http-addr": "127.0.0.1:0",
                        "p2p-addr": ["/ip4/127.0.0.1/tcp/0"], "allow-private-cidrs": True, "swarm": True,
                        "network-id": NETWORK, "full-node": True, "log-level": "info"}
        self.set(**options)
        self.start()

    def set(self, **options):
        self.options.update({name.replace("_", "-"): value for name, value in options.items()})
        with open(self.directory + "/larder.yaml", "w", encoding="utf-8") as file:
            for name, value in self.options.items():
                file.write(f"{name}: {json.dumps(value)}\n")

    def start(self):
        path = self.options["data-dir"] + "/node.json"
        if os.path.exists(path):
            os.unlink(path)
        self.log = open(self.directory + "/log", "a", encoding="utf-8")
        self.process = subprocess.Popen([self.program, "start", "--config", self.directory + "/larder.yaml"],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.pid = self.process.pid
        if not wait_until(lambda: self.process.poll() is not None or self._facts(path)):
            raise PeerError(f"larder is not ready after {PATIENCE_S} s")
        if self.process.poll() is not None:
            raise PeerError(f"larder ended with {self.process.returncode}: {self.tail()}")
        facts = self._facts(path)
        self.address = facts["multiaddrs"][0]
        self.overlay, self.http, self.token = facts.get("overlay"), facts["http"], facts.get("token")

    @staticmethod
    def _facts(path):
        try:
            with open(path, encoding="utf-8") as file:
                facts = json.load(file)
        except (OSError, ValueError):
            return None
        return facts if facts.get("multiaddrs") else None

    def tail(self, lines=8):
        with open(self.directory + "/log", encoding="utf-8") as log:
            return "".join(log.readlines()[-lines:])

    def command(self, *arguments, seconds=120):
        done = subprocess.run([self.program, *arguments, "--data-dir", self.options["data-dir"]],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False)
        if done.returncode:
            raise PeerError(f"larder {' '.join(arguments)}: {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def dump(self):
        return sorted(self.command("reserve", "list").split("\n")[:-1])

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.http}{path}", timeout=PATIENCE_S) as answer:
            return answer.read().decode()

    def status(self):
        return json.loads(self.get("/api/v1/status"))

    def metrics(self):
        """Every series by its name with labels, and every counter's sum by its name alone."""
        values = {}
        for line in self.get("/metrics").splitlines():
            if line and line[0] != "#":
                name, value = line.rsplit(" ", 1)
                values[name] = float(value)
                if "{" in name:
                    bare = name.split("{")[0]
                    values[bare] = values.get(bare, 0) + float(value)
        return values

    def metric(self, name):
        return self.metrics().get("larder_" + name, 0)

    def size(self):
        return int(self.metric("reserve_chunks"))

    def usage(self):
        """CPU seconds used and the peak of resident memory in KiB."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
        return {"cpu_s": (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), "vm_hwm_kib": peak}

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def stop(self):
        """Ends it as an operator does; anything but a clean end, with every owner at zero, is an error."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired as error:
            self.process.kill()
            self.process.wait()
            raise PeerError("larder does not end on SIGTERM") from error
        if code:
            raise PeerError(f"larder ended with {code}: {self.tail()}")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.log.close()

"""A network of DHT servers, and the daemon that provides to it, as Python objects."""
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bee"))
from peers import Larder, PeerError, wait_until  # noqa: E402


class Network:
    """Servers on go-libp2p-kad-dht in one process, with the oracle over their stores."""

    def __init__(self, program, servers, *flags):
        self.program = program
        self.process = subprocess.Popen([program, "network", "-servers", str(servers), *flags],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise PeerError("the network did not start")
        self.bootstrap = json.loads(line)["bootstrap"]

    def ask(self, *words):
        self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if isinstance(answer, dict) and "error" in answer:
            raise PeerError(answer["error"])
        return answer

    def reference_start(self, keys, *flags, seconds=300):
        """The sweeping provider of the same library, over these servers: a process, given up after that long."""
        return subprocess.Popen([self.program, "reference", "-bootstrap", ",".join(self.bootstrap), "-keys", keys,
                                 "-limit", f"{seconds}s", *flags],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def reference_end(self, process, seconds=300):
        try:
            out, err = process.communicate(timeout=seconds + 120)
        except subprocess.TimeoutExpired as error:
            process.kill()
            process.wait()
            raise PeerError("the reference does not end") from error
        if process.returncode:
            raise PeerError(f"the reference ended with {process.returncode}: {err[-500:]}")
        return json.loads(out)

    def reference(self, keys, *flags, seconds=300):
        return self.reference_end(self.reference_start(keys, *flags, seconds=seconds), seconds)

    def usage(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


REST_S = 1.5

KUBO = """
. "$1/kubo/node.sh"
kubo_bin=$2
kubo_init "$3" && kubo_set Routing.Type '"dhtclient"' && kubo_set Routing.LoopbackAddressesOnLanDHT true &&
    kubo_set Bootstrap "$4" && kubo_start && echo ready
read -r _
kubo_stop
"""


class Kubo:
    """A kubo node that looks things up in a network of servers with the prefix /ipfs/lan: the other network is the
    public one, whose addresses may not be those of loopback."""

    def __init__(self, program, directory, network):
        interop = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
        self.program, self.directory = program, directory
        self.process = subprocess.Popen(
            ["bash", "-c", KUBO, "kubo", interop, program, directory, json.dumps(network.bootstrap)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise PeerError("kubo does not start")

    def command(self, *arguments, seconds=120):
        done = subprocess.run([self.program, *arguments], capture_output=True, text=True, timeout=seconds, check=False,
                              env={**os.environ, "IPFS_PATH": self.directory})
        if done.returncode:
            raise PeerError(f"ipfs {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def stop(self):
        self.process.stdin.close()
        try:
            code = self.process.wait(90)  # kubo_stop gives it 60
        except subprocess.TimeoutExpired as error:
            self.process.kill()
            raise PeerError("kubo does not end") from error
        if code:
            raise PeerError(f"kubo ended with {code}")


class Provider(Larder):
    """The daemon with reprovide on, and nothing else that needs a peer."""

    def __init__(self, program, directory, network, keys=None, **options):
        if keys:  # before it starts
            os.makedirs(directory, exist_ok=True)
            self.program, self.options = program, {"data-dir": directory + "/data"}
            self.add(keys)
        given = {"swarm": False, "reprovide": True, "dht-bootstrap": network.bootstrap, "memory": "256MiB"}
        given.update(options)
        self.own, self.began = given, time.time()
        super().__init__(program, directory)

    def set(self, **options):
        if self.own is not None:  # the first time: without what only Swarm has
            self.options = {name: value for name, value in self.options.items()
                            if name not in ("network-id", "full-node", "swarm")}
            options, self.own = {**options, **self.own}, None
        super().set(**options)

    @property
    def peer_id(self):
        return self.address.rsplit("/", 1)[1]

    def add(self, keys, seconds=600):
        return self.command("keys", "import", keys, seconds=seconds)

    def provided(self, keys, seconds):
        """Waits until that many keys have been provided and it is at rest; the seconds it took."""
        began = time.monotonic()
        if not wait_until(lambda: self.metric("reprovide_keys_provided_total") >= keys and self.at_rest(),
                          seconds, 0.2):
            values = {name: value for name, value in self.metrics().items() if name.startswith("larder_reprovide")}
            raise PeerError(f"not provided after {seconds} s: {values}")
        return time.monotonic() - began - REST_S

    def done(self, keys):
        """That many keys have been provided since the start, and nothing is pending or in work now."""
        values = self.metrics()
        return (values.get("larder_reprovide_keys_provided_total", 0) >= keys
                and not values.get("larder_reprovide_first_provide_pending", 0)
                and not values.get("larder_reprovide_keys_ongoing", 0))

    def at_rest(self):
        """Nothing pending, in work or late, twice: a part whose servers failed is late before it is done again, and
        what the metrics say of parts is a second old."""
        for look in range(2):
            values = self.metrics()
            if any(values.get("larder_reprovide_" + name, 0) for name in (
                    "first_provide_pending", "keys_ongoing", 'regions{reprovide_state="late"}',
                    'regions{reprovide_state="active"}')):
                return False
            time.sleep(0 if look else REST_S)
        return True

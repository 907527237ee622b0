"""Cases: each runs in a folder of its own, against peers that are ended with it, and says what it saw."""
import glob
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

from peers import Bee, Larder, PeerError

CASES = []


def case(function):
    """Registers a case; its name is that of the function."""
    CASES.append(function)
    return function


class Failed(Exception):
    pass


class Scene:
    """What a case works with."""

    def __init__(self, programs, scale, directory):
        self.bee_program, self.larder_program = programs
        self.scale = scale  # of counts and rounds: 1 in CI
        self.directory = directory
        self.peers = []
        self.notes = []

    def path(self, name):
        return os.path.join(self.directory, name)

    def batches(self, *names, file="batches.json"):
        text = subprocess.check_output([self.bee_program, "batches", *names], text=True)
        with open(self.path(file), "w", encoding="ascii") as out:
            out.write(text)
        return self.path(file)

    def bee(self, name, *flags, batches=None, directory=None):
        batches = batches or self.path("batches.json")
        peer = Bee(self.bee_program, directory or self.path("bee-" + name), batches, name, *flags)
        self.peers.append(peer)
        return peer

    def crowd(self, count, *flags, key="crowd"):
        peer = Bee(self.bee_program, self.path("crowd-" + key), "-", key, "-count", str(count), *flags, mode="peers")
        self.peers.append(peer)
        return peer

    def larder(self, name="larder", **options):
        options.setdefault("batches", self.path("batches.json"))
        options.setdefault("memory", "256MiB")
        peer = Larder(self.larder_program, self.path(name), **options)
        self.peers.append(peer)
        return peer

    def note(self, text):
        self.notes.append(text)

    def equal(self, what, seen, wanted):
        if seen != wanted:
            raise Failed(f"{what}: {seen!r} instead of {wanted!r}")

    def true(self, what, seen):
        if not seen:
            raise Failed(what)

    def same_lists(self, what, seen, wanted):
        """Whole lists, sorted, with what is too much and what is missing named."""
        if sorted(seen) == sorted(wanted):
            return
        missing, extra = set(wanted) - set(seen), set(seen) - set(wanted)
        raise Failed(f"{what}: {len(seen)} entries instead of {len(wanted)}, {len(missing)} missing, "
                     f"{len(extra)} too many, {len(seen) - len(set(seen))} twice; "
                     f"missing e.g. {sorted(missing)[:2]}, too many e.g. {sorted(extra)[:2]}")

    def note_facts(self):
        """What every bee that still runs says of itself: a case that failed is not seen again at will."""
        for peer in self.peers:
            try:
                if isinstance(peer, Bee) and peer.mode == "node" and peer.process.poll() is None:
                    self.note(peer.facts())
            except PeerError as error:
                self.note(f"{os.path.basename(peer.directory)}: {error}")

    def end(self):
        errors = []
        for peer in reversed(self.peers):
            try:
                peer.stop()
            except PeerError as error:
                errors.append(str(error))
        if errors:
            raise Failed("; ".join(errors))


def run(programs, scale, names, keep):
    """Prints TAP; gives the number of cases that failed."""
    cases = [c for c in CASES if not names or c.__name__ in names or c.__module__ in names]
    print(f"1..{len(cases)}", flush=True)
    failed = 0
    for number, function in enumerate(cases, 1):
        directory = tempfile.mkdtemp(prefix="larder-bee-")
        scene = Scene(programs, scale, directory)
        began, problem = time.monotonic(), None
        try:
            function(scene)
        except Exception as error:  # whatever it is, the next case must run
            problem = str(error) if isinstance(error, (Failed, PeerError)) else traceback.format_exc()
            scene.note_facts()
        try:
            scene.end()
        except Failed as error:
            problem = problem or str(error)
        seconds = time.monotonic() - began
        title = (function.__doc__ or function.__name__).strip().split("\n")[0].rstrip(".")
        print(f"{'not ok' if problem else 'ok'} {number} - {function.__name__}: {title} # {seconds:.1f} s")
        for note in scene.notes:
            print(f"#   {note}")
        if problem:
            failed += 1
            for line in problem.splitlines():
                print(f"#   {line}")
            print_logs(directory)
        if keep and problem:
            print(f"#   kept: {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
        sys.stdout.flush()
    return failed


def print_logs(directory):
    """The last lines that each peer logged."""
    for path in sorted(glob.glob(directory + "/*.log") + glob.glob(directory + "/*/log")):
        with open(path, encoding="utf-8", errors="replace") as log:
            for line in log.readlines()[-12:]:
                print(f"#   {os.path.relpath(path, directory)}: {line.rstrip()}")

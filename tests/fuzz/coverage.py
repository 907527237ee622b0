#!/usr/bin/env python3
"""Which lines of each decoder its fuzz target runs over the seeds: coverage.py FOLDER-OF-TARGETS [TARGET...]

decoders.txt names the files, and the functions where a file does more than decode. Prints a table; fails when
a decoder has less than 90 %, when a target has no line there, or when a pattern matches nothing."""
import os
import re
import subprocess
import sys
import tempfile

WANTED = 90.0
HERE = os.path.dirname(os.path.abspath(__file__))


def decoders():
    """target -> [(file, pattern)]"""
    out = {}
    for line in open(os.path.join(HERE, "decoders.txt"), encoding="utf-8"):
        if line.strip() and not line.startswith("#"):
            target, path, *pattern = line.split()
            out.setdefault(target, []).append((path, pattern[0] if pattern else "."))
    return out


def profile(binary, seeds, folder):
    """Which lines of the binary the seeds run, as lcov writes it."""
    raw, merged = os.path.join(folder, "raw"), os.path.join(folder, "merged")
    env = dict(os.environ, LLVM_PROFILE_FILE=raw)
    subprocess.run([binary, "-runs=0", seeds], env=env, check=True, capture_output=True)
    subprocess.run(["llvm-profdata", "merge", "-o", merged, raw], check=True)
    return subprocess.run(
        ["llvm-cov", "export", "-format=lcov", "-instr-profile=" + merged, binary],
        check=True, capture_output=True, text=True).stdout


def functions(text, path):
    """name -> [lines, missed] of each function of the file: a function goes on to where the next begins."""
    starts, out, inside = [], {}, False
    for line in text.splitlines():
        key, _, rest = line.partition(":")
        if key == "SF":
            inside = rest.endswith(path)
        elif inside and key == "FN":
            at, name = rest.split(",")
            starts.append((int(at), name.split(":")[-1]))
        elif inside and key == "DA":
            at, count = (int(x) for x in rest.split(",")[:2])
            name = max((s for s in starts if s[0] <= at), default=(0, ""))[1]
            sums = out.setdefault(name, [0, 0])
            sums[0] += 1
            sums[1] += count == 0
    return out


def main():
    folder, *only = sys.argv[1:]
    passed = failed = 0
    table = decoders()
    sources = sorted(f[len("fuzz_"):-len(".c")] for f in os.listdir(HERE) if re.fullmatch(r"fuzz_\w+\.c", f))
    for target in [t for t in sources if t not in table]:
        failed += 1
        print(f"not ok - {target}: decoders.txt does not say what it is for")
    for target, files in table.items():
        if only and target not in only:
            continue
        binary = os.path.join(folder, "fuzz_" + target)
        with tempfile.TemporaryDirectory() as tmp:
            text = profile(binary, os.path.join(HERE, "corpus", target), tmp)
            for path, pattern in files:
                rows = [(name, *sums) for name, sums in functions(text, path).items()
                        if re.search(pattern, name)]
                lines, missed = sum(f[1] for f in rows), sum(f[2] for f in rows)
                share = 100.0 * (lines - missed) / lines if lines else 0.0
                good = share >= WANTED
                passed, failed = passed + good, failed + (not good)
                print(f"{'' if good else 'not '}ok - {target:16s} {path:30s} {lines:5d} lines {share:6.1f} %")
                if not good:
                    for f in sorted(rows, key=lambda f: -f[2])[:12]:
                        if f[2]:
                            print(f"#   {f[0]}: {f[2]} of {f[1]} not run")
    print(f"{passed} passed, {failed} failed")
    return failed > 0 or passed == 0


sys.exit(main())

#!/usr/bin/env python3
"""Reads the figures of `larder-bench hascache --json` and judges them: hascache.py ENTRIES.

Bytes an entry, alone and beside the Go map of the same run. Times and their ratios are printed and not judged:
they depend on what else the machine does."""
import json
import shutil
import sys

LARGE = 30_000_000  # from here on the first 16 MiB and whole pages do not count any more
JUDGED_FROM = 4_000_000  # bench_hascache.c: the worst of a smaller run is taken from a quarter on
WHOLE = 100_000_000
MAP = "Go map"
BYTES = "bytes an entry"
# Taken together, as an offer has both: beside the map of Go 1.26, hits alone are some 6 times as many and misses
# a little more than twice.
LOOKUPS = ("hit with hash (ours in batches of 16)", "miss with hash (ours in batches of 16)")


def main() -> int:
    entries = int(sys.argv[1])
    rows = [json.loads(line) for line in sys.stdin]
    figures = {}
    for row in rows:
        figures.setdefault(row["figure"], row["value"])
    limits = {
        "the same, worst from 4 M (or a quarter) on": 10.2 if entries >= LARGE else 10.5 if entries > JUDGED_FROM else 11,
        "bytes an entry, resident, grown": 10.3 if entries >= LARGE else 11,
        "bytes an entry, charged, 60 % evicted": 14,
    }
    bad = 0

    def verdict(good, text):
        nonlocal bad
        bad += not good
        print(f"{'ok' if good else 'NOT'}: {text}")

    for name, most in limits.items():
        value = figures.get(name)
        verdict(value is not None and value <= most, f"{name}: {value} (at most {most})")
    beside = {row["figure"]: (row["value"], row["beside_value"]) for row in rows if row["beside"] == MAP}
    if beside:
        for name, (ours, theirs) in beside.items():
            print(f"    {name}: {ours}, the {MAP} has {theirs}, {theirs / ours:.1f} times as much")
        less = beside[BYTES][1] / beside[BYTES][0]
        more = sum(beside[n][1] for n in LOOKUPS) / sum(beside[n][0] for n in LOOKUPS)
        verdict(less >= 10, f"{less:.1f} times less memory than the {MAP} (at least 10)")
        print(f"    {more:.1f} times the look-ups of the {MAP}, hits and misses (asked: 3)")
    elif shutil.which("go") or entries >= WHOLE:
        verdict(False, f"there is no {MAP} beside it")
    else:
        print(f"    without go there is no {MAP} beside it")
    for name, value in figures.items():
        if name not in limits:
            print(f"    {name}: {value}")
    return 1 if bad else 0


sys.exit(main())

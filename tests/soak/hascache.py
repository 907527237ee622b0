#!/usr/bin/env python3
"""Reads the figures of `larder-bench hascache --json` and judges its bytes an entry.

Times are printed and not judged: they depend on what else the machine does."""
import json
import sys

LARGE = 30_000_000  # from here on the first 16 MiB and whole pages do not count any more


def main() -> int:
    entries = int(sys.argv[1])
    figures = {}
    for line in sys.stdin:
        row = json.loads(line)
        figures.setdefault(row["figure"], row["value"])
    large = entries >= LARGE
    limits = {
        "the same, worst from 4 M (or a quarter) on": 10.2 if large else 11,
        "bytes an entry, resident, grown": 10.3 if large else 11,
        "bytes an entry, charged, 60 % evicted": 14,
    }
    bad = 0
    for name, most in limits.items():
        value = figures.get(name)
        good = value is not None and value <= most
        bad += not good
        print(f"{'ok' if good else 'NOT'}: {name}: {value} (at most {most})")
    for name, value in figures.items():
        if name not in limits:
            print(f"    {name}: {value}")
    return 1 if bad else 0


sys.exit(main())

#!/usr/bin/env python3
"""After the suite: every limit that a peer, a disk or a user can meet was hit once, and every metric
has moved, or it stands with a reason in limits-unhit.txt or metrics-unmoved.txt beside this file.

Usage: coverage.py HITS, the file in which programs of the suite wrote "limit NAME" and "metric NAME".
"""

import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
KINDS = (
    # word in HITS, table, the rows that count, list of exceptions
    ("limit", "limits.def", r"(?m)^LIMIT_SOURCE\(\s*(\w+)", "limits-unhit.txt"),
    ("metric", "metrics.def", r"(?m)^(?:COUNTER|GAUGE|HISTOGRAM)\w*\(\s*(\w+)", "metrics-unmoved.txt"),
)


def exceptions(path):
    """name -> reason, from lines "name: reason"."""
    found = {}
    with open(path, encoding="utf-8") as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                name, _, reason = line.partition(":")
                found[name.strip()] = reason.strip()
    return found


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        hits = {tuple(line.split()) for line in f}
    passed = failed = 0
    for word, table, rows, listed in KINDS:
        with open(os.path.join(ROOT, "lib/tables", table), encoding="utf-8") as f:
            names = re.findall(rows, f.read())
        allowed = exceptions(os.path.join(HERE, listed))
        for name in names:
            if (word, name) in hits or allowed.get(name):
                passed += 1
            else:
                failed += 1
                print(f"not ok - {word} {name} of {table}: no test makes it happen, and "
                      f"tests/lint/{listed} gives no reason")
        for name in set(allowed) - set(names):
            failed += 1
            print(f"not ok - tests/lint/{listed} names {name}, which is no row of {table}")
        reached = sum((word, n) in hits for n in names)
        print(f"{table}: {reached} of {len(names)} rows happened in the suite, "
              f"{len(allowed)} have a reason not to")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


sys.exit(main())

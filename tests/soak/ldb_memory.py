#!/usr/bin/env python3
"""Judges the figures of `larder-bench ldb --json` on standard input: a store that is written and
read at random keeps to its share of memory and maps nothing, and the same run shows that LevelDB as
it comes maps about the whole database (else the measurement proves nothing)."""
import json
import sys

MAPPED_MIB_MAX = 32.0
SHARE_RATIO_MAX = 1.15
DEFAULT_MAPPED_OF_DATABASE_MIN = 0.7


def main():
    figures = {}
    for line in sys.stdin:
        print(line, end="")
        if line.startswith("{"):
            figure = json.loads(line)
            figures[figure["figure"]] = figure
    mapped = figures["mapped, highest RssFile"]
    share = figures["anonymous of the share"]
    disk = figures["database on disk"]
    of_database = mapped["beside_value"] / disk["beside_value"]
    checks = [
        (f"RssFile {mapped['value']:.1f} MiB, below {MAPPED_MIB_MAX:.0f}",
         mapped["value"] < MAPPED_MIB_MAX),
        (f"anonymous memory {share['value']:.2f} of the share, at most {SHARE_RATIO_MAX}",
         share["value"] <= SHARE_RATIO_MAX),
        (f"LevelDB as it comes maps {of_database:.2f} of its database",
         of_database >= DEFAULT_MAPPED_OF_DATABASE_MIN),
    ]
    for text, good in checks:
        print(("ok: " if good else "FAILED: ") + text)
    return 0 if all(good for _, good in checks) else 1


sys.exit(main())

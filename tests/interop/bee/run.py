#!/usr/bin/env python3
"""larder against real bees. Usage: run.py BEE_PEER LARDER [--scale N] [--keep] [CASE | MODULE ...]"""
import argparse
import sys

import harness
import case_bee
import case_crash
import case_hostile
import case_pull
import case_serve

assert case_bee and case_crash and case_hostile and case_pull and case_serve

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bee")
    parser.add_argument("larder")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--scale", type=int, default=1)
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args()
    sys.exit(1 if harness.run((given.bee, given.larder), given.scale, given.names, given.keep) else 0)

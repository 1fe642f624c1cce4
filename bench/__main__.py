"""`make bench`: CPU per poll, then a fleet for some minutes. Exit code 1 when a bound is exceeded."""

from __future__ import annotations

import argparse
import asyncio
import sys

from bench import fleet, polls


def main() -> int:
    """Run what was asked for; both by default."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--seconds", type=int, default=300, help="how long the fleet is watched")
    parser.add_argument("--only", choices=("polls", "fleet"), help="run one half")
    chosen = parser.parse_args()
    kept = True
    if chosen.only != "fleet":
        kept &= asyncio.run(polls.run())
    if chosen.only != "polls":
        kept &= fleet.run(chosen.seconds)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())

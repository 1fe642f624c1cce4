"""`make bench`: CPU per poll and of judging, forecasts beside a peer's, the delay of an alarm, a fleet for minutes.

The exit code is 1 when a bound is exceeded.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from bench import fleet, forecast, judging, latency, polls, replay


def main() -> int:
    """Run what was asked for; all by default."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--seconds", type=int, default=300, help="how long the fleet is watched")
    parser.add_argument(
        "part",
        nargs="?",
        choices=("polls", "judging", "forecast", "replay", "latency", "fleet"),
        help="run this part alone",
    )
    chosen = parser.parse_args()
    kept = True
    if chosen.part in (None, "polls"):
        kept &= asyncio.run(polls.run())
    if chosen.part in (None, "judging"):
        kept &= judging.run()
    if chosen.part in (None, "forecast"):
        kept &= forecast.run()
    if chosen.part in (None, "replay"):
        kept &= replay.run()
    if chosen.part in (None, "latency"):
        kept &= asyncio.run(latency.run())
    if chosen.part in (None, "fleet"):
        kept &= fleet.run(chosen.seconds)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())

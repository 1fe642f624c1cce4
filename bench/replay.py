"""How much faster than time a recording is replayed: a part of a day of 200 and of 2,000 devices, and where it goes.

The lines are made beforehand, as a recording would have them: what is measured is reading, feeding and judging. A day
is ten-second polls; as much of it is played as shows a steady rate. What the first line costs, the laying out of the
site, is told apart: a day has it once.
"""

from __future__ import annotations

import cProfile
import gc
import itertools
import math
import pstats
import time
from collections.abc import Iterator

import orjson

from bench.judging import readings_of, site_of
from keeld.host import COLLECT_EVERY
from keeld.metrics import Metric
from keeld.model import Site
from keeld.replay import Replay

_T0_S = 1_795_348_800.0
_INTERVAL_S = 10.0
_SPAN_S = 600.0
_TIMES_LEAST = {200: 500.0, 2_000: 100.0}
_SHOWN = 12
_FIRST = 2
"""Until the second line has shown that its time can be believed, the first one waits."""


def run() -> bool:
    """Print how fast each site is replayed and a profile of the larger; tell whether both keep their bound."""
    kept = True
    for devices, least in _TIMES_LEAST.items():
        site = site_of(devices)
        lines = list(_recording(site))
        begin_s, took_s = _play(site, lines)
        times = _SPAN_S / took_s
        kept &= times >= least
        each_us = took_s / len(lines) * 1e6
        print(
            f"replay of {len(site.devices):>5} devices: {times:6.0f} times real time (at least {least:.0f}), "
            f"{len(lines) / took_s:,.0f} batches/s, {each_us:.1f} us each; "
            f"a day in {begin_s + 86_400 / times:,.0f} s, {begin_s:.1f} s of them to begin"
        )
    _profile(site, lines)
    return kept


def _play(site: Site, lines: list[bytes]) -> tuple[float, float]:
    """Give the CPU of the first lines, which lay out the site, and of all the others, in s."""
    replay = Replay(site, {}, tell=lambda _: None, complain=print)
    gc.set_threshold(*COLLECT_EVERY)
    gc.freeze()  # as the command does
    began_s = time.process_time()
    for number, line in enumerate(lines[:_FIRST], start=1):
        replay.take(number, line)
    first_s = time.process_time()
    for number, line in enumerate(lines[_FIRST:], start=_FIRST + 1):
        replay.take(number, line)
    replay.finish()
    gc.unfreeze()
    return first_s - began_s, time.process_time() - first_s


def _recording(site: Site) -> Iterator[bytes]:
    """Give the lines of all devices, each at its own place in the ten seconds."""
    devices = list(site.devices.values())
    for at_s in itertools.takewhile(lambda at_s: at_s < _SPAN_S, itertools.count(0.0, _INTERVAL_S)):
        for index, device in enumerate(devices):
            time_s = round(_T0_S + at_s + index * _INTERVAL_S / len(devices), 3)
            watts = 10_000.0 + 500.0 * math.sin(at_s / 60.0 + index)
            readings = {_name(*each): round(each.value, 2) for each in readings_of(device, watts)}
            yield orjson.dumps({"time": time_s, "device": device.id, "readings": readings}) + b"\n"


def _name(metric: Metric, _: float, part: str) -> str:
    return f"{metric.name}/{part}" if part else metric.name


def _profile(site: Site, lines: list[bytes]) -> None:
    profile = cProfile.Profile()
    profile.runcall(_play, site, lines[: len(lines) // 2])
    print("where the time goes (profiled, and so slower):")
    stats = pstats.Stats(profile)
    entries = sorted(stats.stats.items(), key=lambda entry: -entry[1][2])[:_SHOWN]  # type: ignore[attr-defined]  # made by pstats itself
    for (path, number, name), (_, calls, own_s, _, _) in entries:
        print(f"  {own_s:6.2f} s {calls:>9,} calls  {path.rsplit('/', 2)[-1]}:{number} {name}")

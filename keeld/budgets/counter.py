"""What an energy counter says of power: means over spans between its readings, where its steps are fine enough.

Theory of operation. A counter has seen every moment of a load that spot readings only sample, but it moves in steps:
the energy between two readings is wrong by up to one step, so a mean over a span is wrong by one step over that span,
however many readings lie between (power-cooling-alarms.md 0.2 and 5.3). It is used where that error is smaller than
what the spot readings' own scatter leaves open. Readings that fall (a reset or an overflow), that jump by more than the
circuit can carry, or that lie more than five minutes apart begin a new run: there is no mean across.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

SECOND_NS = 1_000_000_000
HOUR_S = 3600.0
GAP_S = 300.0
"""Readings further apart are not bridged."""
_MOST_READINGS = 128
_LEAST_MOVES = 8
"""Moves of a counter to have been seen before its step is believed."""
_GRAIN_WATT_HOURS = 1e-4
_LEAST_STEP_WATT_HOURS = 1e-3
"""What seems to move in smaller steps than this is kept by its meter as a 32-bit float."""
_FLOAT_STEP = 2.0**-23
_DOUBT = 2.0
"""Standard errors within which a mean of spot readings is taken to lie."""
_OVERDRAWN = 1.5
"""A counter that ran this much faster than its circuit can carry did not count that energy."""


class CounterMean(NamedTuple):
    """Mean power between two readings, in W, and how long the span was; the truth lies between `lo` and `hi`."""

    lo: float
    best: float
    hi: float
    span_s: float


def step_error_ratio(step_watt_hours: float, watts: float, span_s: float) -> float:
    """Give the worst error of a counter's mean over a span, as a share of the load (G25)."""
    energy_watt_hours = watts * span_s / HOUR_S
    return step_watt_hours / energy_watt_hours if energy_watt_hours > 0.0 else math.inf


def follows(moved_watt_hours: float, span_s: float, *, ceiling_watts: float, step_watt_hours: float) -> bool:
    """Whether a counter's move over a span is energy: it neither fell, nor ran beyond its circuit, nor was unseen."""
    most = _OVERDRAWN * ceiling_watts * span_s / HOUR_S + step_watt_hours
    return 0.0 <= span_s <= GAP_S and 0.0 <= moved_watt_hours <= most


class Counter:
    """The recent readings of one energy counter. Invariant: within the run that is kept, readings never fall."""

    __slots__ = ("_ceiling_watts", "_grains", "_moves", "_times", "_values")

    def __init__(self, ceiling_watts: float, *, learnt: tuple[int, int] = (0, 0)) -> None:
        self._ceiling_watts = ceiling_watts
        self._times = array("q")
        self._values = array("d")
        self._moves, self._grains = learnt

    def add(self, watt_hours: float, mono_ns: int) -> bool:
        """Take a reading; False where it begins a new run because the one before does not lead to it."""
        if not self._times:
            self._begin(watt_hours, mono_ns)
            return True
        if mono_ns <= self._times[-1]:
            return True
        self._learn(watt_hours - self._values[-1])
        if not self._follows(watt_hours, mono_ns):
            self._begin(watt_hours, mono_ns)
            return False
        self._times.append(mono_ns)
        self._values.append(watt_hours)
        if len(self._times) > _MOST_READINGS:
            del self._times[0], self._values[0]
        return True

    def _learn(self, moved_watt_hours: float) -> None:
        """Learn the step: what every move is a multiple of."""
        if moved_watt_hours > 0.0:
            self._moves += 1
            self._grains = math.gcd(self._grains, round(moved_watt_hours / _GRAIN_WATT_HOURS))

    def _follows(self, watt_hours: float, mono_ns: int) -> bool:
        span_s = (mono_ns - self._times[-1]) / SECOND_NS
        return follows(
            watt_hours - self._values[-1],
            span_s,
            ceiling_watts=self._ceiling_watts,
            step_watt_hours=self.step_watt_hours or 0.0,
        )

    def _begin(self, watt_hours: float, mono_ns: int) -> None:
        self._times = array("q", [mono_ns])
        self._values = array("d", [watt_hours])

    @property
    def step_watt_hours(self) -> float | None:
        """Step in which the counter moves; None until it has moved often enough to tell."""
        if self._moves < _LEAST_MOVES:
            return None
        step = self._grains * _GRAIN_WATT_HOURS
        if step >= _LEAST_STEP_WATT_HOURS or not self._values:
            return step
        return max(step, self._values[-1] * _FLOAT_STEP)

    @property
    def learnt(self) -> tuple[int, int]:
        """What was learnt of its step: how often it moved, and what all moves are a multiple of."""
        return self._moves, self._grains

    @property
    def newest_ns(self) -> int | None:
        """Monotonic time of the last reading."""
        return self._times[-1] if self._times else None

    def mean(self, window_s: float, until_ns: int) -> CounterMean | None:
        """Give the mean over the span between readings that comes nearest to the window before `until_ns`.

        None where the readings do not reach over nearly all of it, end too long before it, or their step is not known.
        """
        step = self.step_watt_hours
        if step is None or len(self._times) < 2:  # noqa: PLR2004 - a span has two ends
            return None
        first = self._nearest(self._times[-1] - round(window_s * SECOND_NS))
        span_s = (self._times[-1] - self._times[first]) / SECOND_NS
        lag_s = (until_ns - self._times[-1]) / SECOND_NS
        if not _is_near(span_s, window_s) or not 0.0 <= lag_s <= window_s / 4:
            return None
        best = (self._values[-1] - self._values[first]) * HOUR_S / span_s
        error = step * HOUR_S / span_s
        return CounterMean(max(0.0, best - error), best, best + error, span_s)

    def _nearest(self, mono_ns: int) -> int:
        """Find the reading before the last one that was taken nearest to a time."""
        after = min(bisect_left(self._times, mono_ns), len(self._times) - 2)
        if after and mono_ns - self._times[after - 1] < self._times[after] - mono_ns:
            return after - 1
        return after


def _is_near(span_s: float, window_s: float) -> bool:
    """Whether a span stands for a window: within a quarter of its length."""
    return abs(span_s - window_s) <= window_s / 4


def scatter_watts(spots: Sequence[float]) -> float:
    """Give how far the mean of spot readings may be off for their scatter alone; infinite for fewer than three."""
    count = len(spots)
    if count < 3:  # noqa: PLR2004 - two always lie on a line
        return math.inf
    mean = math.fsum(spots) / count
    variance = math.fsum((spot - mean) ** 2 for spot in spots) / (count - 1)
    return _DOUBT * math.sqrt(variance / count)


def is_better(counted: CounterMean, scatter: float) -> bool:
    """Whether a counter's mean is surer than that of spot readings, which may be off by `scatter` W."""
    return (counted.hi - counted.lo) / 2 < scatter

"""When a load that rises will reach its limit: Theil-Sen on an hour of minute means, behind gates.

Theory of operation (power-cooling-alarms.md 5.1). A straight line through the last hour is a forecast only where the
load really climbs; most loads step between levels and wander with the day, and a line through that cries wolf a dozen
times a week. So a series must pass every gate before it is given a time:

1. at least 48 of the last 60 minutes are measured, and the load is at 70 % of its limit or more;
2. more pairs of minutes rise than chance explains (Kendall's score at 95 %), which is the same as: the lower end of the
   slope's confidence interval is above zero;
3. both halves of the hour rise, the second one at 0.3 times the whole's slope or more: a step long past does not;
4. it would get there within four hours;
5. no step hides in the hour: nowhere do the medians of ten minutes before and after differ by more than five median
   deviations (and 2 % of the limit) beside what the slope itself explains.

The gates are in order of cost: a calm series costs a median of ten numbers. A time is None where the limit is never
reached; nothing here gives infinity.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from keeld.budgets.window import SLOT_S

WINDOW_MINUTES = 60
LEAST_MINUTES = 48
HORIZON_MINUTES = 4 * WINDOW_MINUTES
LEAST_RATIO = 0.7
EVALUATE_MINUTES = 5
HOLD_EVALUATIONS = 4
"""Evaluations in a row, 15 minutes from the first to the last, before a forecast is believed."""

_CONFIDENCE = 1.96
_LATE_RISE = 0.3
_STEP_MINUTES = 10
_STEP_DEVIATIONS = 5.0
_STEP_LEAST = 0.02
_NEVER = -1
_PLACES = WINDOW_MINUTES + 1  # an hour of whole minutes, and the one that runs
_LEAST_SLOTS = math.ceil(0.8 * 60 / SLOT_S)


class Line(NamedTuple):
    """A straight line through a series: its value at the last point, and its slope with a 95 % interval."""

    level: float
    slope_lower: float
    slope: float
    slope_upper: float


class Forecast(NamedTuple):
    """Minutes until the limit: at the steepest slope, the likeliest and the gentlest; None is never."""

    lower_minutes: float | None
    median_minutes: float | None
    upper_minutes: float | None


def fit(times: Sequence[float], values: Sequence[float]) -> Line | None:
    """Put a line through at least two points with rising times by Theil and Sen; one wild point in four moves nothing.

    The slope's interval is Sen's, from the spread of Kendall's score. None with fewer points.
    """
    slopes = _slopes(times, values)
    if not slopes:
        return None
    slope = _middle(slopes)
    spread = _score_spread(len(values))
    lower = max(0, math.floor((len(slopes) - spread) / 2) - 1)
    upper = len(slopes) - 1 - lower
    intercept = median(value - slope * time for time, value in zip(times, values, strict=True))
    return Line(intercept + slope * times[-1], slopes[lower], slope, slopes[upper])


def _slopes(times: Sequence[float], values: Sequence[float]) -> list[float]:
    """Give the slope of every pair of points, sorted."""
    slopes: list[float] = []
    for index, (time, value) in enumerate(zip(times, values, strict=True), 1):
        slopes += [(later - value) / (after - time) for after, later in zip(times[index:], values[index:], strict=True)]
    slopes.sort()
    return slopes


def _middle(ordered: Sequence[float]) -> float:
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _score_spread(count: int) -> float:
    """Give how far Kendall's score of `count` points strays by chance, 95 % of the time."""
    return _CONFIDENCE * math.sqrt(count * (count - 1) * (2 * count + 5) / 18)


def kendall_score(values: Sequence[float]) -> int:
    """Count the pairs of points that rise, less those that fall."""
    score = 0
    before: list[float] = []
    for value in values:
        score += bisect_left(before, value) + bisect_right(before, value) - len(before)
        insort(before, value)
    return score


def minutes_to(limit: float, level: float, slope: float) -> float | None:
    """Give the minutes until a line reaches a limit: 0 where it is there already, None where it never will be."""
    if level >= limit:
        return 0.0
    if slope <= 0.0:
        return None
    minutes = (limit - level) / slope
    return minutes if math.isfinite(minutes) else None


def foresee(times: Sequence[float], ratios: Sequence[float]) -> Forecast | None:
    """Say when a load reaches its limit; `ratios` are shares of the limit, `times` minutes. None unless it climbs.

    Of the three times the last may be None: at the gentlest slope it may never get there within the horizon.
    """
    if len(ratios) < LEAST_MINUTES or median(ratios[-_STEP_MINUTES:]) < LEAST_RATIO:
        return None
    if kendall_score(ratios) <= _score_spread(len(ratios)):
        return None
    line = fit(times, ratios)
    likely = None if line is None else minutes_to(1.0, line.level, line.slope)
    if line is None or likely is None or likely > HORIZON_MINUTES:
        return None
    if not _rises_throughout(times, ratios, line.slope) or _has_step(times, ratios, line.slope):
        return None
    latest = minutes_to(1.0, line.level, line.slope_lower)
    if latest is not None and latest > HORIZON_MINUTES:
        latest = None
    return Forecast(minutes_to(1.0, line.level, line.slope_upper), likely, latest)


def _rises_throughout(times: Sequence[float], ratios: Sequence[float], slope: float) -> bool:
    """Whether both halves rise, and the second one has not come to rest."""
    half = len(ratios) // 2
    first, second = _slopes(times[:half], ratios[:half]), _slopes(times[half:], ratios[half:])
    return _middle(first) > 0.0 and _middle(second) > _LATE_RISE * slope


def _has_step(times: Sequence[float], ratios: Sequence[float], slope: float) -> bool:
    """Whether the load jumps somewhere in the window, beside what it climbs steadily."""
    for at in range(_STEP_MINUTES, len(ratios) - _STEP_MINUTES + 1):
        before, after = ratios[at - _STEP_MINUTES : at], ratios[at : at + _STEP_MINUTES]
        low, high = median(before), median(after)
        jump = high - low - slope * (median(times[at : at + _STEP_MINUTES]) - median(times[at - _STEP_MINUTES : at]))
        if abs(jump) <= _STEP_LEAST:
            continue
        deviations = [abs(value - low) for value in before] + [abs(value - high) for value in after]
        if abs(jump) > _STEP_DEVIATIONS * median(deviations):
            return True
    return False


class Minutes:
    """The last hour of one load as minute means of its share of a limit, and how long its forecast has stood.

    A minute counts with at least 80 % of its slots measured; the others are holes.
    """

    __slots__ = ("_count", "_means", "_minute", "_sum", "forecast", "streak")

    def __init__(self) -> None:
        self._means = array("f")
        self._minute = _NEVER
        self._sum = 0.0
        self._count = 0
        self.forecast: Forecast | None = None
        self.streak = 0
        """Evaluations in a row that gave a forecast."""
        self.restart()

    def restart(self) -> None:
        """Forget the past: what comes now is another load than the one before."""
        self._means = array("f", [math.nan]) * _PLACES
        self._minute = _NEVER
        self._sum, self._count = 0.0, 0
        self.forecast, self.streak = None, 0

    @property
    def is_held(self) -> bool:
        """Whether its forecast has stood for long enough to be shown."""
        return self.forecast is not None and self.streak >= HOLD_EVALUATIONS

    @property
    def latest(self) -> float | None:
        """Give the newest minute's mean; None while that minute, or the series, has none."""
        mean = self._means[(self._minute - 1) % _PLACES]
        return None if self._minute == _NEVER or math.isnan(mean) else mean

    def add(self, ratio: float, minute: int) -> None:
        """Take one slot's value; `minute` counts monotonic minutes and never goes back."""
        if minute != self._minute:
            self._turn(minute)
        self._sum += ratio
        self._count += 1

    def _turn(self, minute: int) -> None:
        """Close the minute that ran, and leave holes for those of which nothing is known."""
        if self._minute == _NEVER:
            self._minute = minute
            return
        if self._count >= _LEAST_SLOTS:
            self._means[self._minute % _PLACES] = self._sum / self._count
        self._sum, self._count = 0.0, 0
        for opened in range(max(self._minute, minute - _PLACES) + 1, minute + 1):
            self._means[opened % _PLACES] = math.nan
        self._minute = minute

    def evaluate(self, minute: int) -> Forecast | None:
        """Look at the hour that ended with the last whole minute; one whose end is missing says nothing."""
        if self._minute not in (_NEVER, minute):
            self._turn(minute)
        first = minute - WINDOW_MINUTES
        places = ((at, self._means[at % _PLACES]) for at in range(first, minute))
        known = [(float(at - first), mean) for at, mean in places if not math.isnan(mean)]
        times, ratios = [at for at, _ in known], [mean for _, mean in known]
        is_current = bool(times) and times[-1] >= WINDOW_MINUTES - EVALUATE_MINUTES
        self.forecast = foresee(times, ratios) if is_current else None
        self.streak = 0 if self.forecast is None else self.streak + 1
        return self.forecast

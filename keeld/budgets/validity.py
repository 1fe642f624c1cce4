"""Whether a reading can be believed: physics, its own past, and its neighbours (power-cooling-alarms.md 5.3).

Theory of operation. Three things may follow from a check, and none of them hides a load.

*Refused*: the value cannot be, and is as if it had not been measured. A power above 1.5 times its circuit's rating is
refused unless the lines' own currents say the same; a current is never too high, since breakers are judged on it; a
machine's own power only above three times its nameplate, since people type nameplates. A voltage far too low is a fact
about the feed and no fault of the meter.

*Doubted*: the source keeps its value as the lower end, and its upper end opens (see `budgets.source`).

*Noted*: it is listed for people, and changes nothing.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from types import MappingProxyType
from typing import NamedTuple

from keeld.metrics import DEW_POINT, FREQUENCY, HUMIDITY, POWER_FACTOR, TEMPERATURE, Metric

RATED_RATIO = 1.5
"""Most that a meter's power may be of its circuit's rating."""
NAMEPLATE_RATIO = 3.0
VOLTAGE_RATIO = 1.5
"""Most that any of a circuit's voltages may be of its nominal one, line to line."""
_ROUNDING = 0.02
"""Ratios that round up past 1 are no fault."""
_IDLE_RATIO = 0.005
"""An idle meter may show this share of its rating below nothing."""
POSSIBLE: Mapping[Metric, tuple[float, float]] = MappingProxyType(
    {
        HUMIDITY: (0.0, 1.0 + _ROUNDING),
        POWER_FACTOR: (-1.0 - _ROUNDING, 1.0 + _ROUNDING),  # the sign tells leading from lagging
        TEMPERATURE: (-60.0, 200.0),
        DEW_POINT: (-80.0, 100.0),
        FREQUENCY: (0.0, 500.0),
    }
)
"""What can be, whatever the device."""
ANYTHING = (-1e30, 1e30)
"""Beyond any quantity, and yet its square is a number."""

BUSY_RATIO = 0.1
"""Below this share of its rating a meter's class does not hold, and a load may well stand still."""
IDENTITY_RATIO = 0.03
_BALANCED_RATIO = 0.1
_CONFIRMS = 0.8

STUCK_S = 600.0
STUCK_POLLS = 20
_WITNESS_RATIO = 0.1
"""A witness must have moved by this share of itself."""
_WITNESS_STEPS = 2.0
"""And by this many of the suspect's own steps, in the suspect's unit."""
_UNKNOWN_STEP_RATIO = 0.25
"""Step, as a share of its value, of a source that was never seen to move."""
WITNESS_KELVIN = 3.0

_SPIKE_SAMPLES = 5
_SPIKE_DEVIATIONS = 6.0
SPIKE_RATIO = 0.05
RATE_KELVIN_PER_S = 0.5

SPLIT_RATIO = 0.7
SPLIT_S = 1800.0
CLOCK_AHEAD_S = 2.0

REPORT_ERROR_RATIO = 0.05
"""Error of a machine's own figure for its power."""
LEARN_S = 7 * 86_400.0
_LIKELY_EFFICIENCY = (0.80, 1.02)
"""Between a supply's worst and an AC figure that reads high; what is learnt outside of it is a wrong mapping."""
_LEAST_BAND = 0.01
_BAND_DEVIATIONS = 2.0


class Line(NamedTuple):
    """Voltage (line to neutral) and current of one line of a circuit, in V and A."""

    volts: float
    amperes: float


def power_bounds(rating_watts: float) -> tuple[float, float]:
    """Give what a meter's power can be on a circuit of a rating."""
    return -_IDLE_RATIO * rating_watts, RATED_RATIO * rating_watts


def apparent_of(lines: Iterable[Line]) -> float:
    """Give the apparent power that lines carry, in VA."""
    return math.fsum(line.volts * line.amperes for line in lines)


def confirms(lines: Sequence[Line], watts: float) -> bool:
    """Whether the lines' currents alone explain a power, so that a rating cannot refute it."""
    return bool(lines) and apparent_of(lines) >= _CONFIRMS * watts


def identity_watts(watts: float, lines: Sequence[Line], factor: float | None, rating_watts: float) -> float | None:
    """Give the power that voltage, current and power factor make, where it contradicts the one shown; else None.

    Without a power factor only more power than volts times amperes is a contradiction. With unlike lines their product
    is no more than an upper end as well: a load between two lines shows on both.
    """
    apparent = apparent_of(lines)
    tolerance = IDENTITY_RATIO * rating_watts
    if watts > apparent + tolerance:
        return apparent
    if factor is None or not _are_alike(lines):
        return None
    product = apparent * min(1.0, abs(factor))
    return product if abs(watts - product) > tolerance else None


def _are_alike(lines: Sequence[Line]) -> bool:
    amperes = [line.amperes for line in lines]
    mean = math.fsum(amperes) / len(amperes)
    return max(abs(each - mean) for each in amperes) <= _BALANCED_RATIO * mean


class Stillness:
    """How long a source has shown the same number, and the smallest step that it was ever seen to make."""

    __slots__ = ("_last", "_since_ns", "step")

    def __init__(self) -> None:
        self._last: float | None = None
        self._since_ns: int | None = None
        self.step: float | None = None

    def look(self, value: float, mono_ns: int, *, has_moved: bool) -> float:
        """Give the seconds for which it has stood still; `has_moved` tells of moves since the last look."""
        if self._last is not None and value != self._last:
            step = abs(value - self._last)
            self.step = step if self.step is None else min(step, self.step)
        if has_moved or value != self._last or self._since_ns is None:
            self._last, self._since_ns = value, mono_ns
            return 0.0
        return (mono_ns - self._since_ns) / 1e9

    def forget(self) -> None:
        """Start anew: it was not heard for a while."""
        self._since_ns = None


def needs_s(interval_s: float) -> float:
    """How long a source must stand still to be called stuck."""
    return max(STUCK_S, STUCK_POLLS * interval_s)


def outmoves(witness_ratio: float, value: float, step: float | None) -> bool:
    """Whether a witness moved so much that a live source at `value` must have moved at least two of its steps."""
    own_step = _UNKNOWN_STEP_RATIO * abs(value) / _WITNESS_STEPS if step is None else step
    return witness_ratio >= _WITNESS_RATIO and witness_ratio * abs(value) > _WITNESS_STEPS * own_step


class Spikes:
    """The last samples of one source: one that stands alone is a spike, two are the new truth."""

    __slots__ = ("_odd", "_samples")

    def __init__(self) -> None:
        self._samples = array("d")
        self._odd: float | None = None

    def look(self, value: float, least: float) -> float | None:
        """Take a sample; give what it should have been near if it stands alone. `least` is the smallest spike."""
        samples = self._samples
        usual = self._usual(value, least)
        if usual is None or (self._odd is not None and abs(value - self._odd) <= least):
            if usual is not None:
                del samples[:]
            self._odd = None
            samples.append(value)
            if len(samples) > _SPIKE_SAMPLES:
                del samples[0]
            return None
        self._odd = value
        return usual

    def _usual(self, value: float, least: float) -> float | None:
        """Give the median that a value lies too far from; None where it does not, or has been there just before."""
        samples = self._samples
        if len(samples) < _SPIKE_SAMPLES or min(samples) - least <= value <= max(samples) + least:
            return None
        middle = median(samples)
        scatter = median(abs(sample - middle) for sample in samples)
        return middle if abs(value - middle) > max(_SPIKE_DEVIATIONS * scatter, least) else None


def is_too_fast(before: float, after: float, seconds: float, per_s: float) -> bool:
    """Whether a quantity moved faster than it can."""
    return seconds > 0.0 and abs(after - before) > per_s * seconds


class Mismatch(NamedTuple):
    """What a meter shows beyond what its machines report and lose, in W; it says something beyond the tolerance."""

    expected_watts: float
    residual_watts: float
    tolerance_watts: float

    @property
    def ratio(self) -> float:
        """Size of the residual over its tolerance."""
        return abs(self.residual_watts) / self.tolerance_watts if self.tolerance_watts else 0.0


class LossBand:
    """What share of a meter's reading its machines report: learnt over a week, with how far it strays.

    A share that no supply has is a wrong mapping, and is not learnt away: it is judged as the nearest likely one.
    """

    __slots__ = ("deviation", "learnt_s", "mean")

    def __init__(self, mean: float = 0.0, deviation: float = 0.0, learnt_s: float = 0.0) -> None:
        self.mean = mean
        self.deviation = deviation
        self.learnt_s = learnt_s

    @property
    def is_learnt(self) -> bool:
        """Whether it has seen a week."""
        return self.learnt_s >= LEARN_S

    @property
    def efficiency(self) -> float:
        """Likely share."""
        return min(max(self.mean, _LIKELY_EFFICIENCY[0]), _LIKELY_EFFICIENCY[1])

    @property
    def band(self) -> float:
        """How far the share strays, either way."""
        return max(_LEAST_BAND, _BAND_DEVIATIONS * self.deviation)

    def learn(self, share: float, seconds: float) -> None:
        """Take the share of some seconds into the week's mean."""
        self.learnt_s = min(LEARN_S, self.learnt_s + seconds)
        weight = min(1.0, seconds / self.learnt_s)
        self.deviation += weight * (abs(share - self.mean if self.learnt_s > seconds else 0.0) - self.deviation)
        self.mean += weight * (share - self.mean)


def compare(
    meter_watts: float,
    device_watts: float,
    *,
    efficiency: float,
    band: float,
    meter_error: float,
    device_error: float = REPORT_ERROR_RATIO,
) -> Mismatch:
    """Set a meter against its machines; independent errors add up as the root of their squares (G36)."""
    expected = device_watts / efficiency
    errors = (meter_error * meter_watts, device_error * expected, band / efficiency * expected)
    return Mismatch(expected, meter_watts - expected, math.hypot(*errors))

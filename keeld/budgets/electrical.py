"""Formulas of alternating current, in A, V, W, VA and var: what circuits may carry, and how loads add up on them.

Sources are the sections of the budget specification (power-cooling-alarms.md) that each docstring names.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_THREE = 3
_SQRT3 = math.sqrt(3.0)
_COS30, _SIN30 = _SQRT3 / 2.0, 0.5
_TRIPLEN_LINES = 3.0
LOWEST_POWER_FACTOR = 0.9
"""Of IT loads with corrected supplies; used only where nothing measures apparent power."""


class Power(NamedTuple):
    """Active and reactive power, in W and var; the only form in which unlike loads may be added."""

    watts: float
    vars: float

    @property
    def volt_amperes(self) -> float:
        """Apparent power."""
        return math.hypot(self.watts, self.vars)


def volt_amperes(amperes: float, volts: float, phases: int) -> float:
    """Apparent power of a current on every line; `volts` is line to line where there are three (section 1.2)."""
    return amperes * volts * (_SQRT3 if phases == _THREE else 1.0)


def line_amperes(apparent_volt_amperes: float, volts: float, phases: int) -> float:
    """Give the current on every line of a balanced load: the inverse of `volt_amperes`."""
    return apparent_volt_amperes / volt_amperes(1.0, volts, phases)


def power_of(watts: float, power_factor: float) -> Power:
    """Split a load by its power factor, taken as lagging (section 1.2)."""
    return Power(watts, watts * math.sqrt(1.0 - power_factor**2) / power_factor)


def sum_power(loads: Iterable[Power]) -> Power:
    """Add loads up. Apparent powers of unlike power factors must never be added themselves (section 1.2)."""
    parts = list(loads)
    return Power(math.fsum(load.watts for load in parts), math.fsum(load.vars for load in parts))


def reactive_vars(watts: float, apparent_volt_amperes: float) -> float:
    """Reactive power of a load whose active and apparent power are measured, taken as lagging (section 1.2)."""
    return math.sqrt(max(0.0, apparent_volt_amperes**2 - watts**2))


def vars_at(watts: float, power_factor: float) -> float:
    """Reactive power of a load at a power factor, taken as lagging (section 1.2)."""
    return abs(watts) * math.sqrt(max(0.0, 1.0 - power_factor**2)) / power_factor


def continuous_amperes(rating_amperes: float, derate: float, share: float = 1.0) -> float:
    """Most that a circuit may carry for three hours or more; `share` leaves room for its siblings' load (1.1, 1.3)."""
    return rating_amperes * derate * share


def share_of(feeds: int, spare: int) -> float:
    """Share of its limit that each of `feeds` equal feeds may use when `spare` of them may be lost (section 1.3)."""
    return max(0, feeds - spare) / feeds


def least_breaker_amperes(continuous: float, other: float, derate: float) -> float:
    """Least rating for a continuous load beside one that is not: only the continuous part is derated (1.1)."""
    return continuous / derate + other


def delta_line_amperes(l1_l2: float, l2_l3: float, l3_l1: float) -> tuple[float, float, float]:
    """Line currents of loads between lines, at equal power factors; a meter's own line currents are better (1.2)."""
    return _between(l3_l1, l1_l2), _between(l1_l2, l2_l3), _between(l2_l3, l3_l1)


def mixed_line_amperes(to_neutral: float, one_pair: float, other_pair: float) -> float:
    """Give the current of a line with loads to neutral, or of three phases, and loads to the other two lines (1.2).

    At equal power factors a load between two lines is 30 degrees ahead of one of them and 30 behind the other.
    """
    along = to_neutral + _COS30 * (one_pair + other_pair)
    return math.hypot(along, _SIN30 * (one_pair - other_pair))


def _between(first: float, second: float) -> float:
    """Add two currents that are 60 degrees apart."""
    return math.sqrt(first**2 + second**2 + first * second)


def neutral_amperes(lines: tuple[float, float, float], third_harmonic: float = 0.0) -> float:
    """Neutral current of a wye at equal power factors; third harmonics of the lines add up in it (section 1.2)."""
    first, second, third = lines
    squares = first**2 + second**2 + third**2 - first * second - second * third - third * first
    return math.hypot(math.sqrt(max(0.0, squares)), _TRIPLEN_LINES * third_harmonic)


def unbalance_ratio(values: Sequence[float], floor: float = 0.0) -> float | None:
    """Largest deviation from the mean over the mean; None where the mean is below `floor` or nothing flows (1.2)."""
    mean = math.fsum(values) / len(values)
    if mean <= 0.0 or mean < floor:
        return None
    return max(abs(value - mean) for value in values) / mean

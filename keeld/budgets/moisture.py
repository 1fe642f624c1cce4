"""Water in the air: the dew point, and how far coolant stays above it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from keeld.budgets.source import Value

_MAGNUS_A, _MAGNUS_B = 17.62, 243.12
_LEAST_HUMIDITY, _MOST_HUMIDITY = 0.01, 1.0
_COLDEST_CELSIUS, _HOTTEST_CELSIUS = -45.0, 60.0
"""Where the Magnus formula over water holds."""


def dew_point_celsius(temperature_celsius: float, humidity_ratio: float) -> float | None:
    """Dew point of air by Magnus (17.62, 243.12), within 0.02 K of ASHRAE's tables (3.2, G19).

    None for a humidity or temperature that no room has: a probe that reads 0 % is broken, not dry.
    """
    if not _LEAST_HUMIDITY <= humidity_ratio <= _MOST_HUMIDITY:
        return None
    if not _COLDEST_CELSIUS <= temperature_celsius <= _HOTTEST_CELSIUS:
        return None
    gamma = math.log(humidity_ratio) + _MAGNUS_A * temperature_celsius / (_MAGNUS_B + temperature_celsius)
    return _MAGNUS_B * gamma / (_MAGNUS_A - gamma)


def worst_dew_margin_kelvin(
    coolant_celsius: float,
    room_celsius: float,
    humidity_ratio: float,
    *,
    temperature_error_kelvin: float = 0.5,
    humidity_error_ratio: float = 0.03,
) -> float | None:
    """Distance of coolant to the dew point with every sensor at the bad end of its class (3.2, G20)."""
    humid = min(_MOST_HUMIDITY, humidity_ratio + humidity_error_ratio)
    dew = dew_point_celsius(room_celsius + temperature_error_kelvin, humid)
    return None if dew is None else coolant_celsius - temperature_error_kelvin - dew


def agreed(known: Sequence[float], missing: int, rank: int, *, coldest: float, hottest: float) -> Value | None:
    """Give the median of probes, so that one which drifts is outvoted; None without any.

    Two probes cannot outvote one another: the value lies between them. A probe that has fallen silent (`missing`) may
    read anything between `coldest` and `hottest`.
    """
    if not known:
        return None
    middle = (len(known) + missing - 1) // 2, (len(known) + missing) // 2
    lowest = sorted((*known, *[coldest] * missing))
    highest = sorted((*known, *[hottest] * missing))
    return Value(lowest[middle[0]], statistics.median(known), highest[middle[1]], rank)

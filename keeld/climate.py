"""How warm the air may be that a rack breathes and the water that cools a loop, by class.

The classes are presets that a site may replace; they are figures to compare with, not a standard's text.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class ThermalClass(NamedTuple):
    """What the air at a rack's intake may be: bounds in °C. `metres_per_kelvin` is how altitude lowers the hottest."""

    recommended_least_celsius: float
    recommended_most_celsius: float
    allowable_least_celsius: float
    allowable_most_celsius: float
    dew_most_celsius: float | None = None
    metres_per_kelvin: float | None = None


CLASSES: Mapping[str, ThermalClass] = MappingProxyType(
    {
        "A1": ThermalClass(18.0, 27.0, 15.0, 32.0, dew_most_celsius=17.0, metres_per_kelvin=300.0),
        "A2": ThermalClass(18.0, 27.0, 10.0, 35.0, dew_most_celsius=21.0, metres_per_kelvin=300.0),
        "A3": ThermalClass(18.0, 27.0, 5.0, 40.0, dew_most_celsius=24.0, metres_per_kelvin=175.0),
        "A4": ThermalClass(18.0, 27.0, 5.0, 45.0, dew_most_celsius=24.0, metres_per_kelvin=125.0),
        "H1": ThermalClass(18.0, 22.0, 5.0, 25.0, dew_most_celsius=17.0, metres_per_kelvin=500.0),
        "miner_air": ThermalClass(-5.0, 40.0, -20.0, 45.0),
    }
)
"""By name. A1 to H1 after ASHRAE TC 9.9, fifth edition; miner_air by when machines slow down (40 °C) and stop (47)."""

WATER_CLASSES: Mapping[str, float] = MappingProxyType(
    {"W17": 17.0, "W27": 27.0, "W32": 32.0, "W40": 40.0, "W45": 45.0, "W+": 60.0}
)
"""Warmest facility water by class, in °C; W+ is open upwards and counts as 60, which no plant means to deliver."""

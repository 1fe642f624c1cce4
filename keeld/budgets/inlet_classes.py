"""How warm the air may be that a rack breathes, by class, and how well a room keeps to it.

The classes are presets that a site may replace; they are figures to compare with, not a standard's text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from keeld.model import ThermalClass

HIGHEST_METRES = 3050.0
_DERATED_ABOVE_METRES = 900.0

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


def derated(inlet: ThermalClass, altitude_metres: float) -> ThermalClass:
    """Give a class as it holds at an altitude: thin air carries less, so the hottest allowed comes down above 900 m.

    The slopes are from memory of the standard (3.1); what a site replaces has none unless it says so.
    """
    if inlet.metres_per_kelvin is None or altitude_metres <= _DERATED_ABOVE_METRES:
        return inlet
    less = (min(altitude_metres, HIGHEST_METRES) - _DERATED_ABOVE_METRES) / inlet.metres_per_kelvin
    allowable = max(inlet.recommended_least_celsius, inlet.allowable_most_celsius - less)
    return inlet._replace(
        recommended_most_celsius=min(inlet.recommended_most_celsius, allowable), allowable_most_celsius=allowable
    )


class RackCooling(NamedTuple):
    """Rack cooling index (Herrlin): 1 when no intake is outside what is recommended; may be negative."""

    high_ratio: float
    low_ratio: float


def rack_cooling(intakes_celsius: Sequence[float], inlet: ThermalClass) -> RackCooling | None:
    """Say how well intakes keep to a class: good from 0.96, poor up to 0.90 (3.2, G35); None without intakes."""
    if not intakes_celsius:
        return None
    count = len(intakes_celsius)
    over = sum(max(0.0, intake - inlet.recommended_most_celsius) for intake in intakes_celsius)
    under = sum(max(0.0, inlet.recommended_least_celsius - intake) for intake in intakes_celsius)
    hot = inlet.allowable_most_celsius - inlet.recommended_most_celsius
    cold = inlet.recommended_least_celsius - inlet.allowable_least_celsius
    return RackCooling(_kept(over, hot * count), _kept(under, cold * count))


def _kept(outside: float, room: float) -> float:
    if room <= 0.0:
        return 1.0 if outside <= 0.0 else 0.0
    return 1.0 - outside / room

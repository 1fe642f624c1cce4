"""An inlet class as it holds where the site stands, and how well a room keeps to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from keeld.climate import ThermalClass

HIGHEST_METRES = 3050.0
_DERATED_ABOVE_METRES = 900.0


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

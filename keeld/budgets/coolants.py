"""What liquids carry: the heat that a flow takes up, the flow that a heat needs, how fast a still loop warms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

_LITRES_PER_CUBIC_METRE = 1000.0
_SECONDS_PER_MINUTE = 60.0


class Coolant(NamedTuple):
    """A liquid at working temperature (about 40 °C)."""

    density: float
    """kg/m3."""
    heat_capacity: float
    """J/(kg K)."""
    error_ratio: float
    """How far the product of both may be off: mixture, temperature and maker differ."""

    @property
    def joules_per_litre_kelvin(self) -> float:
        """Heat that a litre takes up for each kelvin."""
        return self.density * self.heat_capacity / _LITRES_PER_CUBIC_METRE


COOLANTS: Mapping[str, Coolant] = MappingProxyType(
    {
        "water": Coolant(997.0, 4180.0, 0.005),
        "pg20": Coolant(1009.0, 4020.0, 0.03),
        "pg25": Coolant(1020.0, 4120.0, 0.05),
        "pg30": Coolant(1017.0, 3900.0, 0.03),
        "pg40": Coolant(1023.0, 3770.0, 0.03),
        "pg50": Coolant(1029.0, 3600.0, 0.03),
        "eg25": Coolant(1031.0, 3830.0, 0.03),
        "eg30": Coolant(1038.0, 3750.0, 0.03),
        "eg50": Coolant(1069.0, 3390.0, 0.03),
        "dielectric": Coolant(820.0, 2200.0, 0.10),
    }
)
"""By the name that the configuration uses; the number is the glycol's share of the volume in percent.

Water and PG25 as power-cooling-alarms.md 3.2 gives them: PG25 is the figure that rack makers calculate with, about 5 %
above the published tables of plain mixtures. The other mixtures are rounded from such tables (Melinder; the makers of
inhibited glycols). `dielectric` stands for single-phase immersion oils; fluorinated ones hold as much heat per litre.
"""


def coolant_of(name: str) -> Coolant:
    """Give a coolant by name; one that is not known is taken as water."""
    return COOLANTS.get(name, COOLANTS["water"])


def liquid_watts(flow_litres_per_minute: float, rise_kelvin: float, coolant: str = "water") -> float:
    """Heat that a coolant takes up: density x heat capacity x flow x rise (3.2, G15, G16)."""
    return coolant_of(coolant).joules_per_litre_kelvin * flow_litres_per_minute / _SECONDS_PER_MINUTE * rise_kelvin


def needed_litres_per_minute(heat_watts: float, rise_kelvin: float, coolant: str = "water") -> float:
    """Flow that carries a heat at a rise (G15). `rise_kelvin` is above 0."""
    return heat_watts * _SECONDS_PER_MINUTE / (coolant_of(coolant).joules_per_litre_kelvin * rise_kelvin)


def heat_error_watts(
    flow_litres_per_minute: float,
    rise_kelvin: float,
    coolant: str = "water",
    *,
    flow_error_ratio: float,
    rise_error_kelvin: float,
) -> float:
    """Error of a heat worked out from flow and rise: flow meter, pair of probes and coolant, root of their squares."""
    heat_watts = abs(liquid_watts(flow_litres_per_minute, rise_kelvin, coolant))
    of_rise_watts = abs(liquid_watts(flow_litres_per_minute, rise_error_kelvin, coolant))
    return math.hypot(heat_watts * flow_error_ratio, heat_watts * coolant_of(coolant).error_ratio, of_rise_watts)


def still_loop_kelvin_per_second(heat_watts: float, litres: float, coolant: str = "water") -> float:
    """Rate at which a loop warms whose heat goes nowhere, its metal not counted (3.4, G33). `litres` is above 0."""
    return heat_watts / (litres * coolant_of(coolant).joules_per_litre_kelvin)

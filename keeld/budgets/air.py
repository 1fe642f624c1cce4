"""What air carries: its density with altitude, the flow that a heat needs, how fast a room warms without cooling."""

from __future__ import annotations

from collections.abc import Sequence

SEA_LEVEL_DENSITY = 1.2
"""kg/m3 at about 20 °C."""
HEAT_CAPACITY = 1005.0
"""J/(kg K)."""
CUBIC_FEET_PER_MINUTE = 2118.88
"""In one m3/s."""
METAL_HEAT_CAPACITY = 490.0
"""J/(kg K), steel."""
METAL_COUPLING = 0.5
"""Share of a room's metal that warms with its air in the first minutes; an assumption (3.4, G34)."""
_SECONDS_PER_MINUTE = 60.0


def air_density(altitude_metres: float = 0.0) -> float:
    """Density of room air at an altitude by the standard atmosphere, in kg/m3 (3.2, G14)."""
    return float(SEA_LEVEL_DENSITY * (1.0 - 2.25577e-5 * altitude_metres) ** 5.25588)


def air_flow(heat_watts: float, rise_kelvin: float, altitude_metres: float = 0.0) -> float:
    """Air in m3/s that carries a heat at a rise (3.2, G14). `rise_kelvin` is above 0."""
    return heat_watts / (air_density(altitude_metres) * HEAT_CAPACITY * rise_kelvin)


def air_watts(flow_cubic_metres_per_second: float, rise_kelvin: float, altitude_metres: float = 0.0) -> float:
    """Heat that a flow of air takes up."""
    return air_density(altitude_metres) * HEAT_CAPACITY * flow_cubic_metres_per_second * rise_kelvin


def still_room_kelvin_per_minute(
    heat_watts: float, cubic_metres: float, metal_kilograms: float = 0.0, altitude_metres: float = 0.0
) -> float:
    """Rate at which a room warms whose cooling has stopped; without metal the upper bound (3.4, G34)."""
    air_joules = cubic_metres * air_density(altitude_metres) * HEAT_CAPACITY
    metal_joules = metal_kilograms * METAL_HEAT_CAPACITY * METAL_COUPLING
    return heat_watts / (air_joules + metal_joules) * _SECONDS_PER_MINUTE


def return_index(supply_celsius: float, return_celsius: float, equipment_rise_kelvin: float) -> float:
    """Return temperature index as a ratio: over 1 air recirculates, under 1 it bypasses (Herrlin; 3.2, G35)."""
    return (return_celsius - supply_celsius) / equipment_rise_kelvin


def mean_rise_kelvin(watts: Sequence[float], rises_kelvin: Sequence[float]) -> float | None:
    """Rise over all equipment as its mixed air has it: sum of P over sum of P / rise; None without any heat."""
    flows = [load / rise for load, rise in zip(watts, rises_kelvin, strict=True) if rise > 0.0 and load > 0.0]
    heat = sum(load for load, rise in zip(watts, rises_kelvin, strict=True) if rise > 0.0 and load > 0.0)
    return heat / sum(flows) if flows else None


def supply_heat_index(
    intakes_celsius: Sequence[float], exhausts_celsius: Sequence[float], supply_celsius: float
) -> float | None:
    """Share of the heat that had warmed the air before it reached the racks; 1 less this is the return heat index.

    After Sharma, Bash and Patel (3.2, G35). None where the exhausts are no warmer than the supply.
    """
    warmed = sum(intake - supply_celsius for intake in intakes_celsius)
    whole = sum(exhaust - supply_celsius for exhaust in exhausts_celsius)
    return warmed / whole if whole > 0.0 else None

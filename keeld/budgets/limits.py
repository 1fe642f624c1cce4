"""What a power node can carry: the rating in the unit that binds, as the surroundings leave it."""

from __future__ import annotations

import math
from collections.abc import Mapping

from keeld.budgets.electrical import volt_amperes
from keeld.model import CoolingNode, PowerNode

BEYOND_ANY_SITE_WATTS = 1e9
"""Stands for a ceiling that the configuration does not give (it should), so that every sum stays finite."""

_REFERENCE_CELSIUS = {"thermal_40c": 40.0, "thermal_30c": 30.0}
_BIMETAL_RISE_KELVIN = 60.0  # a breaker at its rating heats its bimetal by about this; makers' tables agree within 3 %
_PER_KILO = 1000.0


def environment_ratio(node: PowerNode) -> float:
    """Share of its rating that a breaker keeps at its ambient temperature; never above 1.

    A thermal breaker trips by heat: current squared plus ambient. An electronic one does not care.
    """
    reference = _REFERENCE_CELSIUS.get(node.breaker_kind)
    if reference is None or node.ambient_celsius is None:
        return 1.0
    left_kelvin = _BIMETAL_RISE_KELVIN - (node.ambient_celsius - reference)
    return min(1.0, math.sqrt(max(0.01, left_kelvin / _BIMETAL_RISE_KELVIN)))


def effective_amperes(node: PowerNode) -> float | None:
    """Rating of a node's breaker per phase where it stands: nameplate times environment."""
    return None if node.breaker_amperes is None else node.breaker_amperes * environment_ratio(node)


def phases_of(node: PowerNode) -> tuple[str, ...]:
    """Names of a node's lines; a single-phase circuit has one without a name."""
    return ("L1", "L2", "L3")[: node.phases] if node.phases > 1 else ("",)


def watts_of(node: PowerNode, amperes: float) -> float | None:
    """Active power of a current on every phase at a power factor of 1; None without a voltage."""
    if node.voltage_volts is None:
        return None
    return volt_amperes(amperes, node.voltage_volts, node.phases)


def ceiling_watts(node_id: str | None, power: Mapping[str, PowerNode]) -> float:
    """Most that can flow through a node: the least of its own limits and those of all above it."""
    least = BEYOND_ANY_SITE_WATTS
    seen: set[str] = set()
    while node_id is not None and node_id in power and node_id not in seen:
        seen.add(node_id)
        node = power[node_id]
        breaker = None if node.breaker_amperes is None else watts_of(node, node.breaker_amperes)
        own = [limit for limit in (breaker, node.limit_watts, node.limit_volt_amperes) if limit is not None]
        least = min([least, *own])
        node_id = node.parent
    return least


def cooling_capacity_watts(node: CoolingNode) -> float | None:
    """Heat that a zone or loop can carry with its declared redundancy kept; None where no unit is declared."""
    if not node.units_watts:
        return None
    spare = max(node.units_watts) if node.redundancy == "N+1" else 0.0
    if node.redundancy == "2N":
        spare = sum(node.units_watts) / 2
    return sum(node.units_watts) - spare


def breaker_base(node: PowerNode) -> str:
    """Say in words what a percentage of a breaker's effective rating is a percentage of."""
    rating = f"{node.breaker_amperes:g} A breaker"
    ratio = environment_ratio(node)
    return rating if ratio == 1.0 else f"{rating} x {ratio:.2f} environment"


def kilo(number: float) -> float:
    """Turn W into kW, VA into kVA."""
    return number / _PER_KILO

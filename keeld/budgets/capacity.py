"""What a cooling zone or loop can carry: as planned with its redundancy kept, and as it stands now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from keeld.budgets.coolants import liquid_watts
from keeld.trees import CoolingNode

SPARE_UNITS = {"N": 0, "N+1": 1, "N+2": 2}


class Capacity(NamedTuple):
    """What can be carried, in W. The ends differ while the state of a unit or a pump is not known."""

    lo: float
    hi: float
    binds: str = ""
    """What takes it below what is installed, for people; empty where nothing does."""


class Unit(NamedTuple):
    """One unit as it says it is: `is_up` None while nothing is heard from it; `most_watts` its own word, if any."""

    is_up: bool | None
    most_watts: float | None = None


class Pumps(NamedTuple):
    """Pumps of a loop: how many may be in order at least and at most, and how many carry the whole load."""

    least: int
    most: int
    needed: int
    installed: int


def planned_watts(units_watts: Sequence[float], redundancy: str) -> float:
    """Capacity with the declared redundancy kept: the largest units are the spare (3.3, G18); half under 2N."""
    ordered = sorted(units_watts)
    if redundancy.startswith("2N"):
        return sum(ordered[: len(ordered) - (1 if redundancy == "2N+1" else 0)]) / 2.0
    spare = SPARE_UNITS.get(redundancy, 0)
    return sum(ordered[: max(0, len(ordered) - spare)])


def running_watts(sizes_watts: Sequence[float], units: Sequence[Unit]) -> Capacity:
    """Capacity of the units that run: those that are down taken out, those that are silent only perhaps.

    Units and sizes belong together in order where there are as many of them; else a unit that is down is taken to be
    anywhere between the smallest and the largest, and what no unit tells of is taken to run.
    """
    if len(units) == len(sizes_watts):
        lo = sum(_sized(size, unit) for size, unit in zip(sizes_watts, units, strict=True) if unit.is_up is True)
        hi = sum(_sized(size, unit) for size, unit in zip(sizes_watts, units, strict=True) if unit.is_up is not False)
    else:
        ordered = sorted(sizes_watts)
        down = sum(unit.is_up is False for unit in units)
        unsure = sum(unit.is_up is None for unit in units)
        lo = sum(ordered[: max(0, len(ordered) - down - unsure)])
        hi = sum(ordered[down:])
    return Capacity(lo, hi, _down_words(units))


def _sized(size_watts: float, unit: Unit) -> float:
    return size_watts if unit.most_watts is None else min(size_watts, unit.most_watts)


def _down_words(units: Sequence[Unit]) -> str:
    down = sum(unit.is_up is False for unit in units)
    if not down:
        return ""
    return f"{down} of {len(units)} units down" if len(units) > 1 else "its unit is down"


def pumped(capacity: Capacity, pumps: Pumps | None) -> Capacity:
    """Take a capacity down to the share of the needed pumps that is left."""
    if pumps is None or pumps.least >= pumps.needed:
        return capacity
    lo = capacity.lo * pumps.least / pumps.needed
    hi = capacity.hi * min(pumps.most, pumps.needed) / pumps.needed
    if pumps.most >= pumps.needed:
        return Capacity(lo, hi, capacity.binds)
    return Capacity(lo, hi, f"{pumps.most} of the {pumps.needed} pumps that it needs")


def flowing(
    capacity: Capacity, node: CoolingNode, flow_litres_per_minute: float | None, supply_celsius: float | None
) -> Capacity:
    """Take a capacity down to what the flow carries away before the return is too warm (3.3: at its actual flow)."""
    if flow_litres_per_minute is None or supply_celsius is None or node.return_most_celsius is None:
        return capacity
    room_kelvin = max(0.0, node.return_most_celsius - supply_celsius)
    carried = liquid_watts(max(0.0, flow_litres_per_minute), room_kelvin, node.coolant)
    if carried >= capacity.hi:
        return capacity
    words = f"{flow_litres_per_minute:.0f} L/min at {supply_celsius:.1f} degC carry no more"
    return Capacity(min(capacity.lo, carried), carried, words)

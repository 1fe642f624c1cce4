"""Where a rack's heat goes: all that it draws becomes heat, and what the liquid does not take the air must carry."""

from __future__ import annotations

from dataclasses import dataclass

from keeld.budgets.intake import Intake
from keeld.budgets.interval import clamp
from keeld.budgets.source import HELD, Look
from keeld.budgets.topology import RackPlan
from keeld.metrics import COOLING_OUTPUT, FLOW, TEMPERATURE, Metric
from keeld.model import Interval, Quality

_COOLANT = {"water": (997.0, 4.18), "pg25": (1020.0, 4.12)}
"""Density in kg/m3 and heat capacity in kJ/(kg K), at working temperature (power-cooling-alarms.md 3.2)."""
_MOST_SHARE = 1.1
"""Liquid heat above this share of the rack's power is a fault of a sensor, not heat."""
_NO_CEILING = float("inf")


@dataclass(slots=True)
class Heat:
    """A rack's heat by carrier, in W. `is_assumed` where the split comes from a range and not from a sensor."""

    air: Interval
    liquid: Interval
    is_assumed: bool


def liquid_watts(flow_litres_per_minute: float, rise_kelvin: float, coolant: str = "water") -> float:
    """Heat that a coolant takes up: density x heat capacity x flow x rise."""
    density, capacity = _COOLANT.get(coolant, _COOLANT["water"])
    return density * capacity * flow_litres_per_minute / 60.0 * rise_kelvin


def rack_heat(plan: RackPlan, draw: Interval, look: Look, coolant: str = "water") -> Heat:
    """Split a rack's draw into air and liquid: measured where a cooler tells, else by range, both ends kept."""
    measured = _measured_liquid(plan.coolers, look, coolant) if plan.rack.cooling_liquid is not None else None
    if measured is not None and draw.best is not None and 0.0 <= measured <= _MOST_SHARE * draw.best:
        return _measured_heat(draw, measured)
    low, high = liquid_range(plan)
    assumed = high > low or high > 0.0
    return Heat(_share(draw, 1.0 - high, 1.0 - low), _share(draw, low, high), assumed)


def liquid_range(plan: RackPlan) -> tuple[float, float]:
    """Range of the liquid's share. Without a figure, a liquid-cooled rack may give all or nothing of its heat to it."""
    rack = plan.rack
    if rack.liquid_ratio is not None:
        return rack.liquid_ratio
    return (0.0, 1.0) if rack.cooling_liquid is not None else (0.0, 0.0)


def _measured_heat(draw: Interval, liquid: float) -> Heat:
    lo, hi = max(0.0, draw.lo - liquid), max(0.0, draw.hi - liquid)
    best = None if draw.best is None else clamp(draw.best - liquid, lo, hi)
    air = Interval(lo, best, hi, draw.coverage, draw.quality, draw.provenance, draw.lost, draw.structural)
    return Heat(air, Interval(liquid, liquid, liquid, 1.0, Quality.GOOD, "flow and temperatures"), is_assumed=False)


def _share(draw: Interval, low: float, high: float) -> Interval:
    lo, hi = draw.lo * low, draw.hi * high
    best = None if draw.best is None else draw.best * (low + high) / 2
    return Interval(lo, best, hi, draw.coverage, draw.quality, draw.provenance, draw.lost, draw.structural)


def _measured_liquid(coolers: list[Intake], look: Look, coolant: str) -> float | None:
    """Sum what the rack's own coolers take away; None unless every one of them tells."""
    heats = [_cooler_watts(cooler, look, coolant) for cooler in coolers]
    known = [heat for heat in heats if heat is not None]
    return sum(known) if known and len(known) == len(heats) else None


def _cooler_watts(cooler: Intake, look: Look, coolant: str) -> float | None:
    output = _fresh(cooler, COOLING_OUTPUT, "", look)
    if output is not None:
        return output
    flow = _fresh(cooler, FLOW, "", look)
    supply, back = _fresh(cooler, TEMPERATURE, "supply", look), _fresh(cooler, TEMPERATURE, "return", look)
    if flow is None or supply is None or back is None:
        return None
    return liquid_watts(flow, back - supply, coolant)


def _fresh(intake: Intake, metric: Metric, part: str, look: Look) -> float | None:
    source = intake.sources.get((metric, part))
    value = None if source is None else source.look(look, _NO_CEILING)
    return None if value is None or value.rank > HELD else value.best

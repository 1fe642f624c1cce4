"""Where a rack's heat goes: all that it draws becomes heat, and what the liquid does not take the air must carry."""

from __future__ import annotations

from dataclasses import dataclass

from keeld.budgets.coolants import heat_error_watts, liquid_watts
from keeld.budgets.intake import Intake
from keeld.budgets.interval import clamp
from keeld.budgets.source import HELD, QUALITIES, Look, Value
from keeld.budgets.topology import RackPlan
from keeld.metrics import COOLING_OUTPUT, FLOW, TEMPERATURE, Metric
from keeld.model import Interval
from keeld.trees import CoolingNode

_MOST_SHARE = 1.1
"""Liquid heat above this share of the rack's power is a fault of a sensor, not heat."""
_OUTPUT_ERROR_RATIO = 0.05
"""Class of the heat that a cooling unit works out for itself."""
_NO_CEILING = 1e9
_WATER = CoolingNode(id="", kind="liquid")


@dataclass(slots=True)
class Heat:
    """A rack's heat by carrier, in W. `is_assumed` where the split comes from a range and not from a sensor."""

    air: Interval
    liquid: Interval
    is_assumed: bool


def rack_heat(
    plan: RackPlan, coolers: list[Intake], draw: Interval, look: Look, loop: CoolingNode | None = None
) -> Heat:
    """Split a rack's draw into air and liquid: measured where its coolers tell, else by range, both ends kept.

    What is measured carries the error of flow, rise and coolant, and so does the air that is left (3.3, G16). A liquid
    heat below nothing or over 1.1 of the draw is no measurement.
    """
    measured = coolers_watts(coolers, look, loop) if plan.rack.cooling_liquid is not None else None
    if measured is not None and measured.best is not None and _is_plausible(measured.best, draw):
        return _measured_heat(draw, measured)
    low, high = liquid_range(plan)
    return Heat(_share(draw, 1.0 - high, 1.0 - low), _share(draw, low, high), high > 0.0)


def _is_plausible(liquid_watts: float, draw: Interval) -> bool:
    return draw.best is not None and 0.0 <= liquid_watts <= _MOST_SHARE * draw.best


def liquid_range(plan: RackPlan) -> tuple[float, float]:
    """Range of the liquid's share. Without a figure, a liquid-cooled rack may give all or nothing of its heat to it."""
    rack = plan.rack
    if rack.liquid_ratio is not None:
        return rack.liquid_ratio
    return (0.0, 1.0) if rack.cooling_liquid is not None else (0.0, 0.0)


def _measured_heat(draw: Interval, liquid: Value) -> Heat:
    lo, hi = max(0.0, draw.lo - liquid.hi), max(0.0, draw.hi - liquid.lo)
    best = None if draw.best is None else clamp(draw.best - (liquid.best or 0.0), lo, hi)
    air = Interval(lo, best, hi, draw.coverage, draw.quality, draw.provenance, draw.lost, draw.structural)
    taken = Interval(liquid.lo, liquid.best, liquid.hi, 1.0, QUALITIES[liquid.rank], "flow and temperatures")
    return Heat(air, taken, is_assumed=False)


def _share(draw: Interval, low: float, high: float) -> Interval:
    lo, hi = draw.lo * low, draw.hi * high
    best = None if draw.best is None else draw.best * (low + high) / 2
    return Interval(lo, best, hi, draw.coverage, draw.quality, draw.provenance, draw.lost, draw.structural)


def coolers_watts(coolers: list[Intake], look: Look, loop: CoolingNode | None = None) -> Value | None:
    """Sum what coolers take away, with its error; None unless every one of them tells."""
    heats = [cooler_watts(cooler, look, loop or _WATER) for cooler in coolers]
    known = [heat for heat in heats if heat is not None]
    if not known or len(known) != len(heats):
        return None
    best = sum(heat.best or 0.0 for heat in known)
    lo, hi = sum(heat.lo for heat in known), sum(heat.hi for heat in known)
    return Value(lo, best, hi, max(heat.rank for heat in known))


def cooler_watts(cooler: Intake, look: Look, loop: CoolingNode) -> Value | None:
    """Work out what one cooler takes away: from flow and temperatures, else as it says itself; None where neither."""
    return _by_flow(cooler, look, loop) or _by_own_word(cooler, look)


def _by_flow(cooler: Intake, look: Look, loop: CoolingNode) -> Value | None:
    flow = live(cooler, FLOW, "", look)
    supply, back = live(cooler, TEMPERATURE, "supply", look), live(cooler, TEMPERATURE, "return", look)
    if flow is None or supply is None or back is None or flow.best is None:
        return None
    rise_kelvin = (back.best or 0.0) - (supply.best or 0.0)
    heat = liquid_watts(flow.best, rise_kelvin, loop.coolant)
    error = heat_error_watts(
        flow.best,
        rise_kelvin,
        loop.coolant,
        flow_error_ratio=loop.flow_error_ratio,
        rise_error_kelvin=loop.rise_error_kelvin,
    )
    return Value(max(0.0, heat - error), heat, max(0.0, heat + error), max(flow.rank, supply.rank, back.rank))


def _by_own_word(cooler: Intake, look: Look) -> Value | None:
    output = live(cooler, COOLING_OUTPUT, "", look)
    if output is None or output.best is None:
        return None
    error = abs(output.best) * _OUTPUT_ERROR_RATIO
    return Value(max(0.0, output.best - error), output.best, output.best + error, output.rank)


def live(intake: Intake, metric: Metric, part: str, look: Look) -> Value | None:
    """Give a quantity that is measured now, or was a moment ago; None once it is only remembered."""
    source = intake.sources.get((metric, part))
    value = None if source is None else source.look(look, _NO_CEILING)
    return None if value is None or value.rank > HELD or value.best is None else value

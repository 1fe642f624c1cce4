"""Keeld's own batches: what racks, nodes and the site draw, made every slot and given to every sink like a device's."""

from __future__ import annotations

from keeld.budgets.interval import published, total
from keeld.budgets.source import HELD, QUALITIES, Value
from keeld.metrics import (
    AIR_HEAT_HI,
    AIR_HEAT_LO,
    COVERAGE,
    CURRENT,
    CURRENT_HI,
    CURRENT_LO,
    HEADROOM,
    LIQUID_HEAT_HI,
    LIQUID_HEAT_LO,
    POWER,
    POWER_ESTIMATE,
    POWER_HI,
    POWER_LO,
)
from keeld.model import OWN_DRIVER, Batch, Device, Interval, Moment, Quality, Reading, Site
from keeld.watch.cooling import CoolingState
from keeld.watch.loads import cooling_loads, load_readings, node_loads, rack_loads
from keeld.watch.nodes import NodeState
from keeld.watch.racks import RackState

_MS_NS = 1_000_000


def draw_readings(draw: Interval) -> list[Reading]:
    """Give a draw as readings: as power only where it is measured in full, else as an estimate; bounds always."""
    readings = [Reading(POWER_LO, draw.lo), Reading(POWER_HI, draw.hi), Reading(COVERAGE, draw.coverage)]
    if draw.best is None:
        return readings
    is_measured = draw.coverage >= 1.0 and draw.quality in (Quality.GOOD, Quality.HELD)
    return [Reading(POWER if is_measured else POWER_ESTIMATE, draw.best), *readings]


def rack_readings(state: RackState) -> list[Reading]:
    """Give everything there is to store of a rack."""
    draw, budget = state.draw.total, state.plan.rack.budget
    readings = draw_readings(draw)
    if budget.power_watts:
        readings.append(Reading(HEADROOM, budget.power_watts - draw.hi))
    readings += load_readings(rack_loads(state))
    air, liquid = state.heat.air, state.heat.liquid
    readings += [Reading(AIR_HEAT_LO, air.lo), Reading(AIR_HEAT_HI, air.hi)]
    if liquid.hi > 0.0:
        readings += [Reading(LIQUID_HEAT_LO, liquid.lo), Reading(LIQUID_HEAT_HI, liquid.hi)]
    return readings


def node_readings(state: NodeState) -> list[Reading]:
    """Give everything there is to store of a power node: its draw, and the current of each line."""
    readings = draw_readings(state.known_draw)
    for phase, value in state.lines.items():
        if value is None:
            continue
        readings += [Reading(CURRENT_LO, value.lo, phase), Reading(CURRENT_HI, value.hi, phase)]
        if value.rank <= HELD and value.best is not None:
            readings.append(Reading(CURRENT, value.best, phase))
    readings += load_readings(node_loads(state))
    limit = state.plan.node.limit_watts
    if limit is not None:
        readings.append(Reading(HEADROOM, limit - state.known_draw.hi))
    return readings


def cooling_readings(state: CoolingState) -> list[Reading]:
    """Give everything there is to store of a zone or loop: the heat it is given, and what it could still take."""
    heat = state.heat()
    lo, hi = (AIR_HEAT_LO, AIR_HEAT_HI) if state.node.kind == "air" else (LIQUID_HEAT_LO, LIQUID_HEAT_HI)
    readings = [Reading(lo, heat.lo), Reading(hi, heat.hi), Reading(COVERAGE, heat.coverage)]
    limit = state.limit_watts
    if limit is not None:
        readings.append(Reading(HEADROOM, limit - heat.hi))
    return readings + load_readings(cooling_loads(state, heat))


class Publisher:
    """Makes derived batches; keeps the Device that stands for each rack and node."""

    def __init__(self, site: Site, interval_s: float = 10.0) -> None:
        self._site = site
        self._interval_s = interval_s
        self._devices: dict[tuple[str, str], Device] = {}

    def batch(self, kind: str, name: str, readings: tuple[Reading, ...], now: Moment) -> Batch:
        """Wrap readings about a target as a batch of keeld's own."""
        device = self._devices.get((kind, name))
        if device is None:
            device = self._devices[kind, name] = self._stand_in(kind, name)
        time_ns = now.wall_ns // _MS_NS * _MS_NS
        return Batch(device, time_ns, now.mono_ns, readings, interval_s=self._interval_s)

    def _stand_in(self, kind: str, name: str) -> Device:
        rack = self._site.racks.get(name) if kind == "rack" else None
        return Device(
            id=name,
            site=self._site.name,
            kind=kind,
            driver=OWN_DRIVER,
            address="",
            label=rack.label if rack is not None else "",
            rack=name if rack is not None else None,
            row=rack.row if rack is not None else None,
            interval_s=self._interval_s,
            tenant=rack.tenant if rack is not None else None,
        )


def site_draw(racks: list[RackState]) -> Interval:
    """Sum the draw of all racks, covered by as much of it as is measured."""
    draws = [state.draw.total for state in racks]
    values = [Value(draw.lo, draw.best, draw.hi, QUALITIES.index(draw.quality)) for draw in draws]
    weight = sum(draw.hi for draw in draws)
    return published(
        total(values),
        coverage=sum(draw.hi * draw.coverage for draw in draws) / weight if weight else 0.0,
        provenance="sum of its racks",
        lost=[name for draw in draws for name in draw.lost],
        structural=[name for draw in draws for name in draw.structural],
    )

"""The loads of a site that have a limit, each with the hour of it that a forecast needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from keeld.alerts.alarm import Target
from keeld.budgets.forecast import HORIZON_MINUTES, Minutes
from keeld.budgets.limits import kilo
from keeld.budgets.source import HELD, Value
from keeld.model import Interval
from keeld.views import Forecast
from keeld.watch.cooling import CoolingState
from keeld.watch.duty import Ground
from keeld.watch.nodes import NodeState
from keeld.watch.racks import RackState

NO_CLIMB_MINUTES = 2.0 * HORIZON_MINUTES
"""Stands, inside the judging only, for a load that is on the way nowhere."""
_KNOWN_COVERAGE = 0.8
_MINUTE_S = 60.0
_WORDS = {
    "power": "power",
    "air": "heat left to the air",
    "liquid": "heat taken by liquid",
    "apparent_power": "apparent power",
    "current": "current of its hottest line",
}


class Measure(NamedTuple):
    """A load beside its limit at one moment; the load is None where too little of it is measured."""

    load: float | None
    limit: float
    base: str


@dataclass(slots=True, eq=False)
class Prospect:
    """One load on its way through time, against one limit."""

    target: Target
    constraint: str
    unit: str
    limit: float
    """As it holds now; at first as the configuration says."""
    read: Callable[[], Measure]
    members: frozenset[str]
    """What hangs on it: with another set it is another load."""
    minutes: Minutes = field(default_factory=Minutes)
    load: float | None = None
    """In the slot that closed last."""
    base: str = ""
    configured: float = field(init=False)
    """The limit without what surroundings and sources make of it: with another one it is another load."""

    def __post_init__(self) -> None:
        self.configured = self.limit

    @property
    def identity(self) -> tuple[str, str, str]:
        """Tell it from every other one."""
        return self.target.kind, self.target.id, self.constraint

    @property
    def soonest_minutes(self) -> float:
        """Likeliest time until it breaks; what has no forecast stands last."""
        forecast = self.minutes.forecast
        known = None if forecast is None else forecast.median_minutes
        return NO_CLIMB_MINUTES if known is None else known

    def note(self, minute: int) -> None:
        """Keep the slot that has just closed."""
        self.load, self.limit, self.base = self.read()
        if self.load is not None:
            self.minutes.add(self.load / self.limit, minute)

    def restart(self) -> None:
        """Forget the load as it was."""
        self.load = None
        self.minutes.restart()

    def view(self) -> Forecast | None:
        """Give what people see of it; None without a forecast, or while what it draws now is not known."""
        forecast = self.minutes.forecast
        if forecast is None or self.load is None:
            return None
        lower, likely, upper = (None if time is None else time * _MINUTE_S for time in forecast)
        return Forecast(
            target_kind=self.target.kind,
            target_id=self.target.id,
            label=self.target.label,
            constraint=self.constraint,
            load_ratio=self.load / self.limit,
            lower_s=lower,
            median_s=likely,
            upper_s=upper,
        )

    def words(self) -> str:
        """Say when it breaks, as a sentence; empty without a forecast."""
        forecast = self.minutes.forecast
        if forecast is None or forecast.median_minutes is None:
            return ""
        scale = kilo(self.limit) if self.unit in ("W", "VA") else self.limit
        unit = f"k{self.unit}" if self.unit in ("W", "VA") else self.unit
        least, most = forecast.lower_minutes or 0.0, forecast.upper_minutes
        span = f"{least:.0f} at the earliest, " + ("perhaps never" if most is None else f"{most:.0f} at the latest")
        return (
            f"Its {_WORDS[self.constraint]} reaches {scale:.3g} {unit} in {forecast.median_minutes:.0f} min ({span})."
        )


def prospects(ground: Ground) -> Iterator[Prospect]:
    """List every load with a limit: racks by budget, circuits by line, kW and kVA, zones and loops by capacity."""
    for rack in ground.racks.values():
        yield from _of_rack(rack)
    for node in ground.nodes.values():
        yield from _of_node(node, ground)
    for zone in ground.cooling.values():
        yield from _of_zone(zone)


def _of_rack(state: RackState) -> Iterator[Prospect]:
    plan, budget = state.plan, state.plan.rack.budget
    members = frozenset(load.intake.device.id for load in plan.loads)
    if power := budget.power_watts:
        yield _budgeted(state, "power", power, members, lambda: state.draw.total)
    if air := budget.air_watts:
        yield _budgeted(state, "air", air, members, lambda: state.heat.air)
    if liquid := budget.liquid_watts:
        yield _budgeted(state, "liquid", liquid, members, lambda: state.heat.liquid)


def _budgeted(
    state: RackState, constraint: str, watts: float, members: frozenset[str], load: Callable[[], Interval]
) -> Prospect:
    return Prospect(state.target, constraint, "W", watts, lambda: Measure(_known(load()), watts, "budget"), members)


def _of_node(state: NodeState, ground: Ground) -> Iterator[Prospect]:
    node, plan = state.plan.node, state.plan
    members = frozenset([*ground.topology.loaded_children(plan), *(f"{rack}/{feed}" for rack, feed in plan.feeds)])
    if node.breaker_amperes:
        base = f"{node.breaker_amperes:g} A breaker"
        yield Prospect(state.target, "current", "A", node.breaker_amperes, lambda: _lines(state, base), members)
    if found := state.watts_limit:
        yield Prospect(state.target, "power", "W", found.least_watts, lambda: _watts(state), members)
    if node.limit_volt_amperes:
        limit = node.limit_volt_amperes
        yield Prospect(
            state.target,
            "apparent_power",
            "VA",
            limit,
            lambda: Measure(_live(state.apparent), limit, "rating"),
            members,
        )


def _of_zone(state: CoolingState) -> Iterator[Prospect]:
    node, limit = state.node, state.planned_watts
    if limit:
        scope = frozenset({f"cooling_node:{node.id}"})
        target = Target("cooling_node", node.id, node.label or node.id, scope, scope)
        members = frozenset(rack.plan.rack.id for rack in state.racks)
        yield Prospect(target, node.kind, "W", limit, lambda: Measure(_known(state.heat()), limit, "capacity"), members)


def _watts(state: NodeState) -> Measure:
    """Give a node's draw beside what the source that feeds it now can give."""
    limit, load = state.watts_limit, _known(state.draw)
    return Measure(None, 1.0, "") if limit is None else Measure(load, limit.least_watts, limit.base)


def _lines(state: NodeState, base: str) -> Measure:
    """Give the highest line current; none unless every line is live, as the hottest may be the missing one."""
    rating, load = state.rating_amperes, 0.0
    for line in state.lines.values():
        amperes = _live(line)
        if amperes is None or not rating:
            return Measure(None, rating or 1.0, base)
        load = max(load, amperes)
    return Measure(load if state.lines else None, rating or 1.0, base)


def _live(value: Value | None) -> float | None:
    return value.best if value is not None and value.rank <= HELD else None


def _known(draw: Interval | None) -> float | None:
    return None if draw is None or draw.coverage < _KNOWN_COVERAGE else draw.best

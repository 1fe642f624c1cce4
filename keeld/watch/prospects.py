"""The loads of a site that have a limit, each with the hour of it that a forecast needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from keeld.alerts.alarm import Target
from keeld.budgets.forecast import HORIZON_MINUTES, Minutes
from keeld.budgets.limits import breaker_base, kilo
from keeld.budgets.source import HELD
from keeld.model import Interval
from keeld.views import Forecast
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


@dataclass(slots=True, eq=False)
class Prospect:
    """One load on its way through time, against one limit."""

    target: Target
    constraint: str
    unit: str
    limit: float
    base: str
    read: Callable[[], float | None]
    """The load now, in the unit of the limit; None where too little of it is measured."""
    members: frozenset[str]
    """What hangs on it: with another set it is another load."""
    minutes: Minutes = field(default_factory=Minutes)
    load: float | None = None
    """In the slot that closed last."""

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
        self.load = self.read()
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
    """List every load with a limit: racks by budget, circuits by line, kW and kVA."""
    for rack in ground.racks.values():
        yield from _of_rack(rack)
    for node in ground.nodes.values():
        yield from _of_node(node, ground)


def _of_rack(state: RackState) -> Iterator[Prospect]:
    plan, budget = state.plan, state.plan.rack.budget
    members = frozenset(load.intake.device.id for load in plan.loads)
    limits = (
        ("power", budget.power_watts, lambda: _known(state.draw.total)),
        ("air", budget.air_watts, lambda: _known(state.heat.air)),
        ("liquid", budget.liquid_watts, lambda: _known(state.heat.liquid)),
    )
    for constraint, limit, read in limits:
        if limit:
            yield Prospect(state.target, constraint, "W", limit, "budget", read, members)


def _of_node(state: NodeState, ground: Ground) -> Iterator[Prospect]:
    node, plan = state.plan.node, state.plan
    members = frozenset([*ground.topology.loaded_children(plan), *(f"{rack}/{feed}" for rack, feed in plan.feeds)])
    if state.rating_amperes:
        base = breaker_base(node)
        yield Prospect(state.target, "current", "A", state.rating_amperes, base, lambda: _hottest(state), members)
    if node.limit_watts:
        yield Prospect(state.target, "power", "W", node.limit_watts, "limit", lambda: _known(state.draw), members)
    if node.limit_volt_amperes:
        limit = node.limit_volt_amperes
        yield Prospect(state.target, "apparent_power", "VA", limit, "rating", lambda: _known(state.draw), members)


def _known(draw: Interval | None) -> float | None:
    return None if draw is None or draw.coverage < _KNOWN_COVERAGE else draw.best


def _hottest(state: NodeState) -> float | None:
    """Give the highest line current; None unless every line is live, as the hottest may be the missing one."""
    lines = list(state.lines.values())
    known = [line.best for line in lines if line is not None and line.rank <= HELD and line.best is not None]
    return max(known) if known and len(known) == len(lines) else None

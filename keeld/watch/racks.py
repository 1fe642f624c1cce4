"""Racks: their draw and heat slot by slot, and the density rules (13, 14, 15)."""

from __future__ import annotations

from collections.abc import Callable

from keeld.alerts.alarm import Evidence, Target
from keeld.alerts.board import Board
from keeld.alerts.rules import INLET_OR_ZONE, LIQUID_HOT, MEASURED, PHASE_OVER_DERATE
from keeld.budgets.draw import RackDraw, rack_draw
from keeld.budgets.heat import Heat, rack_heat
from keeld.budgets.intake import Intake
from keeld.budgets.source import Look
from keeld.budgets.topology import RackPlan
from keeld.budgets.window import SLOT_S, Mean
from keeld.model import Interval, Moment
from keeld.trees import CoolingNode
from keeld.watch.rulebook import NOT_OVER, Rulebook, Windows, set_of

SLOT_CAP_S = 2 * SLOT_S
"""Most that one slot's step may add to a delay: two slots, so that a stalled loop satisfies nothing."""
_KNOWN_COVERAGE = 0.5


_LIVE: dict[str, Callable[[RackState], Interval]] = {
    "rack_density_power": lambda state: state.draw.total,
    "rack_density_air": lambda state: state.heat.air,
    "rack_density_liquid": lambda state: state.heat.liquid,
}
_QUANTITY = {
    "rack_density_power": "power",
    "rack_density_air": "heat left to the air",
    "rack_density_liquid": "heat given to the liquid",
}


class RackState:
    """What the watch knows of one rack."""

    __slots__ = (
        "air",
        "bound_watts",
        "coolers",
        "draw",
        "facts",
        "feeds",
        "heat",
        "is_inlet_hot",
        "last_ratio",
        "last_watts",
        "liquid",
        "loop",
        "plan",
        "power",
        "set_name",
        "target",
    )

    def __init__(self, plan: RackPlan, rules: Rulebook, look: Look, *, loop: CoolingNode | None = None) -> None:
        self.plan = plan
        self.loop = loop
        self.coolers: list[Intake] = plan.coolers
        """What tells of the heat that liquid takes from this rack: its own coolers, or those of a loop of its own."""
        self.set_name = set_of(plan.rack)
        self.target = rack_target(plan)
        self.power = Windows(rules.all_levels("rack_density_power", self.set_name, self.target))
        self.air = Windows(rules.all_levels("rack_density_air", self.set_name, self.target))
        self.liquid = Windows(rules.all_levels("rack_density_liquid", self.set_name, self.target))
        self.feeds = {letter: Windows(()) for letter in plan.feeds}
        """5-minute means of what each feed carries."""
        self.facts: set[str] = set()
        self.is_inlet_hot = False
        """Whether the air that it breathes is 3 K over what its class recommends: noted where intakes are watched."""
        self.bound_watts: float | None = None
        """Most that fresh meters further up leave for this rack; None where there is none."""
        self.last_watts: float | None = None
        self.last_ratio: float | None = None
        """Draw, and its share of the budget, when most of it was last measured."""
        self.draw: RackDraw
        self.heat: Heat
        self.see(look)

    @property
    def is_on_liquid(self) -> bool:
        """Whether any of its heat goes into a liquid."""
        return self.plan.rack.cooling_liquid is not None

    def see(self, look: Look) -> None:
        """Work out draw and heat at an instant or over a slot."""
        self.draw = rack_draw(self.plan, look)
        self.heat = rack_heat(self.plan, self.coolers, self.draw.total, look, self.loop)

    def close(self, look: Look, *, missed: int) -> None:
        """Close a slot in the windows; slots that keeld slept through count as anything up to the ceiling."""
        self.see(look)
        ceiling = self.plan.ceiling_watts
        for windows in (self.power, self.air, *((self.liquid,) if self.is_on_liquid else ())):
            windows.skip(missed, ceiling)
        draw, air, liquid = self.draw.total, self.heat.air, self.heat.liquid
        self.power.push(draw.lo, draw.best, draw.hi)
        self.air.push(air.lo, air.best, air.hi)
        if self.is_on_liquid:
            self.liquid.push(liquid.lo, liquid.best, liquid.hi)
        self._close_feeds(missed)
        if draw.best is not None and draw.coverage >= _KNOWN_COVERAGE:
            budget = self.plan.rack.budget.power_watts
            self.last_watts = draw.best
            self.last_ratio = draw.best / budget if budget else None

    def _close_feeds(self, missed: int) -> None:
        for letter, windows in self.feeds.items():
            windows.skip(missed, self.plan.feeds[letter].ceiling_watts)
            carried = self.draw.feeds[letter]
            windows.push(carried.lo, carried.best, carried.hi)

    def keep(self, before: RackState) -> None:
        """Take over the past of the same rack as it stood before a reload."""
        self.power.keep(before.power)
        self.air.keep(before.air)
        self.liquid.keep(before.liquid)
        for letter in self.feeds.keys() & before.feeds.keys():
            self.feeds[letter].keep(before.feeds[letter])
        self.last_watts, self.last_ratio = before.last_watts, before.last_ratio


def rack_target(plan: RackPlan) -> Target:
    """Name a rack for alarms."""
    rack = plan.rack
    return Target("rack", rack.id, rack.label or rack.id, frozenset({f"rack:{rack.id}"}))


def judge_density(state: RackState, rules: Rulebook, board: Board, now: Moment) -> bool:
    """Run rules 13, 14 and 15 on a rack whose slot has just closed; True when an alarm moved."""
    budget = state.plan.rack.budget
    moved = False
    if budget.power_watts:
        moved = _judge(state, "rack_density_power", rules, board, now, state.power, budget.power_watts)
    if budget.air_watts:
        moved |= _judge(state, "rack_density_air", rules, board, now, state.air, budget.air_watts)
    if budget.liquid_watts:
        moved |= _judge(state, "rack_density_liquid", rules, board, now, state.liquid, budget.liquid_watts)
    return moved


def _judge(
    state: RackState, name: str, rules: Rulebook, board: Board, now: Moment, windows: Windows, limit_watts: float
) -> bool:
    levels = rules.levels(name, state.set_name, state.target)
    mean = windows.mean()
    if not levels or mean is None:
        return False
    rule = rules.rule(name)
    if board.find(rule, state.target) is None and mean.hi <= limit_watts * min(level.limit for level in levels):
        return False
    spans = tuple(
        NOT_OVER if level.needs and level.needs not in state.facts else windows.span(level, limit_watts)
        for level in levels
    )
    interval = _LIVE[name](state)
    evidence = Evidence(
        spans=spans,
        lo=mean.lo,
        best=mean.best,
        hi=mean.hi,
        limit=limit_watts,
        unit="W",
        base="budget",
        what=_what(name, windows),
        detail=_detail(state, name, interval, mean),
        is_known=interval.coverage >= _KNOWN_COVERAGE,
    )
    return board.judge(rule, levels, state.target, evidence, now=now, cap_s=SLOT_CAP_S)


def _what(name: str, windows: Windows) -> str:
    return f"{_QUANTITY[name]}, {windows.span_words} mean"


def _detail(state: RackState, name: str, interval: Interval, mean: Mean) -> str:
    words = []
    if name != "rack_density_power" and state.heat.is_assumed:
        words.append("The share of heat that the liquid takes is assumed from the rack's model, not measured.")
    if mean.provenance:
        words.append(f"Measured by {mean.provenance}.")
    elif interval.lost:
        words.append(f"Without data: {', '.join(interval.lost)}.")
    elif interval.provenance:
        words.append(f"Measured by {interval.provenance}.")
    if mean.fill < 1.0:
        words.append(f"The window is {mean.fill:.0%} full.")
    return " ".join(words)


def note_facts(state: RackState, *, phase_over: bool, zone_short: bool, liquid_hot: bool) -> None:
    """Note which facts hold that some levels need beside their limit."""
    measured = not state.heat.is_assumed
    flags = (
        (PHASE_OVER_DERATE, phase_over),
        (MEASURED, measured),
        (INLET_OR_ZONE, (zone_short or state.is_inlet_hot) and measured),
        (LIQUID_HOT, liquid_hot),
    )
    state.facts = {name for name, holds in flags if holds}

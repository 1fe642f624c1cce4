"""Limits that may be exceeded unseen (rule 30): a source is lost, and what it measured may be over a limit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from keeld.alerts.alarm import Evidence, Target
from keeld.alerts.board import Board
from keeld.alerts.machine import Span
from keeld.alerts.rules import AI
from keeld.budgets.topology import Topology
from keeld.model import Moment
from keeld.views import Verdict
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.nodes import NodeState
from keeld.watch.racks import SLOT_CAP_S, RackState
from keeld.watch.rulebook import NOT_OVER
from keeld.watch.subjects import Subject

POSSIBLE = "possible_breach"
_TRUE = Span(1.0, 1.0)
_NAMES_SHOWN = 6


class Doubt:
    """A limit that what is left may exceed."""

    __slots__ = ("base", "hi", "limit", "lo", "unit", "what")

    def __init__(self, what: str, limit: float, unit: str, base: str, bounds: tuple[float, float]) -> None:
        self.what = what
        self.limit = limit
        self.unit = unit
        self.base = base
        """What a percentage of the limit is a percentage of."""
        self.lo, self.hi = bounds

    @property
    def is_open(self) -> bool:
        """Whether the limit may be exceeded, and need not be."""
        return self.lo <= self.limit < self.hi


class Unproven(Duty):
    """Rule 30."""

    name: ClassVar[str] = "unproven"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self._rule = ground.rules.rule(POSSIBLE)
        self._racks = {name: rack for name, rack in ground.racks.items() if rack.set_name == AI}
        self._nodes = {name: node for name, node in ground.nodes.items() if node.set_name == AI}

    def subjects(self) -> Iterator[Subject]:
        """List the rule at every ai rack with a budget, and every node that feeds ai racks alone."""
        states: list[RackState | NodeState] = [*self._racks.values(), *self._nodes.values()]
        for state in states:
            levels = self.ground.rules.levels(POSSIBLE, AI, state.target)
            if levels:
                yield Subject(self._rule, levels, state.target)

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Run the rule where a source is lost, and where an alarm stands."""
        for rack in self._racks.values():
            lost = rack.draw.total.lost
            if lost or board.find(self._rule, rack.target) is not None:
                self._judge(rack.target, _rack_doubts(rack), lost, board, slot.now)
        yield 1 + len(self._racks) // 20
        for node in self._nodes.values():
            lost = node.known_draw.lost
            if lost or board.find(self._rule, node.target) is not None:
                self._judge(node.target, list(_node_doubts(node)), lost, board, slot.now)
        yield 1 + len(self._nodes) // 20

    def _judge(self, target: Target, doubts: list[Doubt], lost: tuple[str, ...], board: Board, now: Moment) -> None:
        levels = self.ground.rules.levels(POSSIBLE, AI, target)
        open_ones = [doubt for doubt in doubts if lost and doubt.is_open]
        if not levels or (not open_ones and board.find(self._rule, target) is None):
            return
        if not open_ones:
            evidence = Evidence(spans=(NOT_OVER,) * len(levels))
        else:
            worst = max(open_ones, key=lambda doubt: doubt.hi / doubt.limit)
            target = replace(target, group=_group(lost, self.ground.topology))
            evidence = Evidence(
                spans=(_TRUE,) * len(levels), lo=worst.lo, hi=worst.hi, limit=worst.limit,
                unit=worst.unit, base=worst.base, what=worst.what, cause=f"no data from {_names(lost)}",
                word=Verdict.CANT_TELL.value,
            )  # fmt: skip
        board.judge(self._rule, levels, target, evidence, now=now, cap_s=SLOT_CAP_S)


def _rack_doubts(state: RackState) -> list[Doubt]:
    """Judge a rack's budget on what its machines could draw, as far as live meters further up do not bound it."""
    limit, draw = state.plan.rack.budget.power_watts, state.draw.total
    if not limit:
        return []
    hi = draw.hi if state.bound_watts is None else min(draw.hi, max(draw.lo, state.bound_watts))
    return [Doubt("power", limit, "W", "budget", (draw.lo, hi))]


def _node_doubts(state: NodeState) -> Iterator[Doubt]:
    """Judge each of a node's ratings; lines that nothing ever told are a finding and no doubt."""
    node, draw = state.plan.node, state.known_draw
    if state.rating_amperes is not None:
        for phase, line in state.lines.items():
            if line is not None:
                base = state.breaker_base
                yield Doubt(f"line {phase}".rstrip(), state.rating_amperes, "A", base, (line.lo, line.hi))
    limit = state.watts_limit
    if limit is not None:
        yield Doubt("power", limit.least_watts, "W", limit.base, (draw.lo, draw.hi))
    if node.limit_volt_amperes is not None and state.apparent is not None:
        bounds = state.apparent.lo, state.apparent.hi
        yield Doubt("apparent power", node.limit_volt_amperes, "VA", f"{state.kind} rating", bounds)


def _group(lost: tuple[str, ...], topology: Topology) -> str:
    """Name what the first lost source is reached through: one line for one cause."""
    intake = topology.intakes.get(lost[0].split(" ")[0])
    if intake is None:
        return f"lost:{lost[0]}"
    device = intake.device
    return f"lost:{device.via or device.address or device.id}"


def _names(lost: tuple[str, ...]) -> str:
    more = f" and {len(lost) - _NAMES_SHOWN} more" if len(lost) > _NAMES_SHOWN else ""
    return f"{', '.join(lost[:_NAMES_SHOWN])}{more}"

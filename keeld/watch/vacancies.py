"""Load where none belongs: on racks that are empty, or are still being put to work (rule 49)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from keeld.alerts.alarm import Evidence
from keeld.alerts.board import Board
from keeld.alerts.machine import Span
from keeld.alerts.shipped.inventory import UNEXPECTED_LOAD
from keeld.model import Moment
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.racks import SLOT_CAP_S, RackState
from keeld.watch.subjects import Subject

_VACANT = frozenset({"empty", "commissioning"})
_LEAST_WATTS = 150.0
"""Less is what switches and rack controllers draw, or a meter's own error."""
_BUDGET_SHARE = 0.02
_KNOWN_COVERAGE = 0.5


class Vacancies(Duty):
    """Every rack that is empty or being commissioned."""

    name: ClassVar[str] = "vacancies"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self._racks = [state for state in ground.racks.values() if state.plan.rack.state in _VACANT]

    def subjects(self) -> Iterator[Subject]:
        """List the rule at every such rack."""
        rule = self.ground.rules.rule(UNEXPECTED_LOAD.name)
        for state in self._racks:
            yield Subject(rule, self.ground.rules.levels(rule.name, state.set_name, state.target), state.target)

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Judge every such rack by its five-minute mean."""
        for state in self._racks:
            self._judge(state, board, slot.now)
            yield 2

    def _judge(self, state: RackState, board: Board, now: Moment) -> None:
        rule = self.ground.rules.rule(UNEXPECTED_LOAD.name)
        levels = self.ground.rules.levels(rule.name, state.set_name, state.target)
        mean = state.power.mean()
        if not levels or mean is None:
            return
        limit = max(_LEAST_WATTS, _BUDGET_SHARE * (state.plan.rack.budget.power_watts or 0.0))
        if board.find(rule, state.target) is None and min(mean.lo, state.draw.total.lo) <= limit * min(
            level.limit for level in levels
        ):
            return
        draw = state.draw.total
        lo = min(mean.lo, draw.lo)  # the mean still holds what was drawn before the rack was emptied
        evidence = Evidence(
            spans=(Span(lo / limit, mean.hi / limit),) * len(levels),
            lo=mean.lo,
            best=mean.best,
            hi=mean.hi,
            limit=limit,
            unit="W",
            base="allowed for a rack in this state",
            what=f"power, {state.power.span_words} mean",
            cause="something was left running, or was plugged in",
            detail=f"The rack's state is {state.plan.rack.state}."
            + (f" Measured by {draw.provenance}." if draw.provenance else ""),
            is_known=draw.coverage >= _KNOWN_COVERAGE,
        )
        board.judge(rule, levels, state.target, evidence, now=now, cap_s=SLOT_CAP_S)

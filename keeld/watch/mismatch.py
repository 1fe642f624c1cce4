"""Meters against their machines (rule 34): what a rack's meters show beyond what its machines report and lose.

Theory of operation. Every rack is looked at once a minute, a sixth of them in each slot. Only one whose feeds are all
metered, and whose machines all report a measured power, is compared; estimates and accelerators' sums never are. What
share of the meter's reading the machines report is learnt for a week of such minutes, then judged on ten-minute means:
more than expected is load that is not in the configuration, less is a wrong mapping or scale. While it disagrees
nothing is learnt, so that nobody grows used to it. Below a tenth of the feeds' rating a meter's class does not hold,
and nothing is compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import ClassVar

from keeld.alerts.alarm import Evidence
from keeld.alerts.board import Board
from keeld.alerts.machine import Span
from keeld.alerts.rules import AI, Level
from keeld.budgets.source import HELD, SECOND_NS, Look
from keeld.budgets.topology import Load
from keeld.budgets.validity import BUSY_RATIO, LEARN_S, LossBand, Mismatch, compare
from keeld.budgets.window import SLOT_S, Window
from keeld.model import Moment
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.racks import RackState
from keeld.watch.subjects import Subject

RULE = "meter_mismatch"
_EVERY_S = 60.0
_TURNS = round(_EVERY_S / SLOT_S)
_WINDOW_LOOKS = 10
_BANDS_NOTE = "bands"
_FIGURES = 3


class Comparison:
    """One rack's meters and machines: ten minutes of both, and what usually lies between them."""

    __slots__ = ("band", "least_watts", "machines", "members", "meters", "state")

    def __init__(self, state: RackState) -> None:
        self.state = state
        self.band = LossBand()
        self.meters, self.machines = Window(_WINDOW_LOOKS), Window(_WINDOW_LOOKS)
        feeds = state.plan.feeds.values()
        self.least_watts = BUSY_RATIO * sum(feed.ceiling_watts for feed in feeds) / len(feeds)
        self.members = frozenset(load.intake.device.id for load in state.plan.loads)

    @property
    def error_ratio(self) -> float:
        """Error of the worst of its meters."""
        feeds = self.state.plan.feeds.values()
        return max(meter.error_ratio for feed in feeds for meter in feed.inlets or feed.meters)

    def note(self, look: Look) -> bool:
        """Take a look; False where meters or machines are not all measured, or carry too little."""
        draw = self.state.draw.total
        reported = _reported_watts(self.state.plan.loads, look)
        if reported is None or draw.best is None or not _is_metered(self.state) or draw.best < self.least_watts:
            return False
        self.meters.push(draw.best, draw.best, draw.best)
        self.machines.push(reported, reported, reported)
        return True

    def compare(self) -> Mismatch | None:
        """Set the means of ten full minutes against each other; None before there are so many."""
        meter, machines = self.meters.mean(), self.machines.mean()
        if meter is None or machines is None or meter.fill < 1.0 or meter.best is None or machines.best is None:
            return None
        return compare(
            meter.best,
            machines.best,
            efficiency=self.band.efficiency,
            band=self.band.band,
            meter_error=self.error_ratio,
        )

    def learn(self) -> None:
        """Take the look into the week's share."""
        meter, machines = self.meters.mean(), self.machines.mean()
        if meter is not None and machines is not None and meter.best and machines.best is not None:
            self.band.learn(machines.best / meter.best, _EVERY_S)


class MeterMismatch(Duty):
    """Every rack that can be compared."""

    name: ClassVar[str] = "mismatch"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        comparable = {name: state for name, state in ground.racks.items() if _is_comparable(state)}
        self._comparisons = {name: Comparison(state) for name, state in comparable.items()}
        found = list(self._comparisons.values())
        self._turns = [found[turn::_TURNS] for turn in range(_TURNS)]

    def subjects(self) -> Iterator[Subject]:
        """List the rule at every rack that can be compared."""
        for comparison in self._comparisons.values():
            levels = self._levels(comparison)
            if levels:
                yield Subject(self.ground.rules.rule(RULE), levels, comparison.state.target)

    def _levels(self, comparison: Comparison) -> tuple[Level, ...]:
        state = comparison.state
        return self.ground.rules.levels(RULE, AI, state.target) if state.set_name == AI else ()

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Compare, learn and judge each rack whose turn it is."""
        turn = slot.look.mono_ns // int(SLOT_S * SECOND_NS) % _TURNS
        for comparison in self._turns[turn]:
            self._look(comparison, slot, board)
            yield 1 + len(comparison.members) // 4

    def _look(self, comparison: Comparison, slot: Slot, board: Board) -> None:
        levels = self._levels(comparison)
        if not levels:
            return
        found = comparison.compare() if comparison.note(slot.look) else None
        is_learnt = comparison.band.is_learnt
        if found is not None and (not is_learnt or found.ratio <= 1.0):
            comparison.learn()
        rule, target = self.ground.rules.rule(RULE), comparison.state.target
        is_over = is_learnt and found is not None and found.ratio > levels[0].limit
        if not is_over and board.find(rule, target) is None:
            return
        evidence = _evidence(found, comparison, len(levels))
        board.judge(rule, levels, target, evidence, now=slot.now, cap_s=2 * _EVERY_S)

    def keep(self, before: MeterMismatch) -> None:
        """Take over what was learnt of racks with the same machines."""
        for name in self._comparisons.keys() & before._comparisons.keys():
            mine, theirs = self._comparisons[name], before._comparisons[name]
            if mine.members == theirs.members:
                mine.band, mine.meters, mine.machines = theirs.band, theirs.meters, theirs.machines

    def memory(self) -> Mapping[str, bytes]:
        """Give what was learnt: a week of it must not be lost with a restart."""
        learnt = {
            name: [round(band.mean, 5), round(band.deviation, 6), round(band.learnt_s)]
            for name, comparison in self._comparisons.items()
            if (band := comparison.band).learnt_s
        }
        return {_BANDS_NOTE: json.dumps(learnt).encode()} if learnt else {}

    def recall(self, memory: Mapping[str, bytes], now: Moment) -> None:
        """Take back what was learnt of racks that are still there."""
        del now
        try:
            learnt = json.loads(memory.get(_BANDS_NOTE, b"{}"))
        except ValueError:
            return
        for name, figures in learnt.items() if isinstance(learnt, dict) else ():
            if name in self._comparisons and _are_figures(figures):
                self._comparisons[name].band = LossBand(*map(float, figures))


def _are_figures(found: object) -> bool:
    """Whether a note holds a share, how far it strays, and seconds, as they can be."""
    if not isinstance(found, list) or len(found) != _FIGURES:
        return False
    return all(type(figure) in (int, float) and 0.0 <= figure <= LEARN_S for figure in found)


def _is_comparable(state: RackState) -> bool:
    plan = state.plan
    return bool(plan.loads) and bool(plan.feeds) and all(feed.is_metered for feed in plan.feeds.values())


def _is_metered(state: RackState) -> bool:
    return all(feed.coverage >= 1.0 for feed in state.draw.feeds.values())


def _reported_watts(loads: list[Load], look: Look) -> float | None:
    """Sum what the machines measure themselves; None unless every one of them does."""
    summed = 0.0
    for load in loads:
        value = load.power.look(look, load.ceiling_watts)
        if value.best is None or value.rank > HELD:
            return None
        summed += value.best
    return summed


def _evidence(found: Mismatch | None, comparison: Comparison, levels: int) -> Evidence:
    if found is None:
        return Evidence(spans=(None,) * levels, is_known=False)
    more = found.residual_watts > 0.0
    meter_watts = found.expected_watts + found.residual_watts
    cause = "machines that are not in the configuration" if more else "machines that hang elsewhere, or a wrong scale"
    share = f"{comparison.band.efficiency:.0%}".replace("%", " %")
    detail = (
        f"The meters show {meter_watts / 1e3:.2f} kW where {found.expected_watts / 1e3:.2f} kW would be usual for what "
        f"the machines report ({share} of the meters, as learnt over a week)."
    )
    size = abs(found.residual_watts)
    return Evidence(
        spans=(Span(found.ratio, found.ratio),) * levels,
        lo=size,
        best=size,
        hi=size,
        limit=found.tolerance_watts,
        unit="W",
        base="tolerance",
        what="meters beyond machines" if more else "machines beyond meters",
        cause=cause,
        detail=detail,
    )

"""What feeds the circuits: the source in use, generators and their fuel (rule 45)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar, NamedTuple

from keeld.alerts.alarm import Evidence
from keeld.alerts.board import Board
from keeld.alerts.machine import Span
from keeld.alerts.rules import PLANT
from keeld.budgets.intake import METERING_KINDS, Intake
from keeld.budgets.limits import normal_source
from keeld.budgets.source import HELD, Look
from keeld.metrics import FUEL, GENERATOR, POWER_SOURCE
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.nodes import NodeState
from keeld.watch.racks import SLOT_CAP_S
from keeld.watch.subjects import Subject

CHANGED = "source_changed"
NORMAL, UNUSUAL, GRAVE = 0.0, 1.0, 2.0
"""How bad a source is, in the unit of the rule's limits."""
_GRADE = {
    "utility": (NORMAL, ""),
    "battery": (GRAVE, "on battery"),
    "bypass": (UNUSUAL, "on bypass: nothing protects what hangs on it"),
    "generator": (UNUSUAL, "on its generator"),
    "alternate": (UNUSUAL, "on its alternate source"),
    "none": (GRAVE, "without any source"),
}
_TOLD = (POWER_SOURCE, GENERATOR, FUEL)
_STOPPED, _RUNNING = 0.0, 1.0
_LOW_FUEL, _LAST_FUEL = 0.25, 0.10


class Finding(NamedTuple):
    """What is unusual of a supply, how bad it is, and in which words."""

    grade: float
    words: str


class Supply(Duty):
    """Rule 45 at every node with a UPS, a transfer switch or a generator that says how it is."""

    name: ClassVar[str] = "supply"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self._rule = ground.rules.rule(CHANGED)
        self._tellers: dict[str, list[Intake]] = {}
        for intake in ground.topology.intakes.values():
            node = intake.device.node or ""
            if node in ground.nodes and intake.device.kind in METERING_KINDS:
                self._tellers.setdefault(node, []).append(intake)
                for metric in (GENERATOR, FUEL):
                    intake.source(metric)

    def subjects(self) -> Iterator[Subject]:
        """List the rule at every node that a device stands at."""
        for name in self._tellers:
            target = self.ground.nodes[name].target
            levels = self.ground.rules.levels(CHANGED, PLANT, target)
            if levels:
                yield Subject(self._rule, levels, target)

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Run the rule on what each node's devices say."""
        for name, intakes in self._tellers.items():
            state = self.ground.nodes[name]
            found = list(self._findings(state, intakes, slot.look))
            if found or board.find(self._rule, state.target) is not None:
                self._judge(state, intakes, found, slot, board)
            yield 2

    def _findings(self, state: NodeState, intakes: Iterable[Intake], look: Look) -> Iterator[Finding]:
        """Say what is unusual, as far as live devices tell."""
        if state.active_source is not None:
            finding = grade_of(state)
            if finding.grade > NORMAL:
                yield finding
        for intake in intakes:
            yield from _generator(intake, look)
            yield from _stock(intake, look)

    def _judge(self, state: NodeState, intakes: list[Intake], found: list[Finding], slot: Slot, board: Board) -> None:
        levels = self.ground.rules.levels(CHANGED, PLANT, state.target)
        if not levels:
            return
        is_live = any(_is_live(intake, slot.look) for intake in intakes)
        is_whole = not any(_is_missed(intake, slot.look) for intake in intakes)
        grade = max((finding.grade for finding in found), default=NORMAL)
        cause = "; ".join(finding.words for finding in sorted(found, reverse=True))
        span = Span(grade, grade if is_whole else GRAVE) if is_live else None
        is_known = is_live and (is_whole or grade > NORMAL)
        evidence = Evidence(spans=(span,) * len(levels), cause=cause, is_known=is_known)
        board.judge(self._rule, levels, state.target, evidence, now=slot.now, cap_s=SLOT_CAP_S)


def grade_of(state: NodeState) -> Finding:
    """Say how usual the source in use is: the normal one is, whatever it is called."""
    source, node = state.active_source or "", state.plan.node
    if node.source is not None and source == normal_source(node):
        return Finding(NORMAL, "")
    return Finding(*_GRADE.get(source, (UNUSUAL, f"on source {source}")))


def _generator(intake: Intake, look: Look) -> Iterator[Finding]:
    source = intake.measured(GENERATOR)
    if source is None or source.rank_at(look.mono_ns) > HELD or source.value == _STOPPED:
        return
    if source.value == _RUNNING:
        yield Finding(UNUSUAL, "its generator runs")
    else:
        yield Finding(GRAVE, "its generator has failed")


def _stock(intake: Intake, look: Look) -> Iterator[Finding]:
    """Tell of fuel that is running out."""
    fuel = intake.measured(FUEL)
    if fuel is None or fuel.rank_at(look.mono_ns) > HELD or fuel.value is None or fuel.value >= _LOW_FUEL:
        return
    words = f"{fuel.value * 100:.0f} % of its fuel is left"
    yield Finding(GRAVE if fuel.value < _LAST_FUEL else UNUSUAL, words)


def _is_live(intake: Intake, look: Look) -> bool:
    """Whether a device tells anything of the supply now."""
    found = (intake.measured(metric) for metric in _TOLD)
    return any(source is not None and source.rank_at(look.mono_ns) <= HELD for source in found)


def _is_missed(intake: Intake, look: Look) -> bool:
    """Whether something that a device told of the supply is not known now, or may be: it has yet to answer."""
    told = [source for metric in _TOLD if (source := intake.measured(metric)) is not None]
    return intake.answered_ns is None or any(source.rank_at(look.mono_ns) > HELD for source in told)

"""Breakers that carry far too much (rule 2): judged on arrival, on two samples, and not while loads start up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from keeld.alerts.alarm import Evidence
from keeld.alerts.board import Board
from keeld.alerts.machine import Span
from keeld.alerts.rules import PLANT, Level
from keeld.budgets.intake import Intake
from keeld.budgets.source import GOOD, SECOND_NS, Source, Value
from keeld.model import Batch, Moment
from keeld.watch.breakers import hottest, line_evidence
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.nodes import NodeState
from keeld.watch.racks import SLOT_CAP_S
from keeld.watch.subjects import Subject

SEVERE = "breaker_severe"
_INRUSH_NS = 30 * SECOND_NS
"""Machines that start together draw more than they run on; that is over by then."""
_ON_RATIO = 0.01
"""Of the rating: a circuit that carries less is off."""
_TWICE = 2


class Surge:
    """What is remembered of one breaker between two samples."""

    __slots__ = ("energised_ns", "is_on", "is_raised", "over", "stamp_ns", "state")

    def __init__(self, state: NodeState) -> None:
        self.state = state
        self.is_on: bool | None = None
        """Whether it carried anything when it was last heard; None before that."""
        self.energised_ns: int | None = None
        """Monotonic time at which it came back from nothing, if it did."""
        self.is_raised = False
        self.stamp_ns = 0
        self.over: dict[str, int] = {}
        """Meter to how many samples of it in a row found far too much; empty nearly always."""

    def note(self, most_amperes: float, rating_amperes: float, mono_ns: int) -> None:
        """Take note of whether it is on."""
        is_on = most_amperes > _ON_RATIO * rating_amperes
        if is_on and self.is_on is False:
            self.energised_ns = mono_ns
        self.is_on = is_on

    def is_starting(self, mono_ns: int) -> bool:
        """Whether its loads have just been given power."""
        return self.energised_ns is not None and mono_ns - self.energised_ns < _INRUSH_NS

    def count(self, device_id: str, *, is_over: bool) -> bool:
        """Count a sample of a meter; True once two in a row have found far too much."""
        if is_over:
            self.over[device_id] = self.over.get(device_id, 0) + 1
        elif self.over:
            self.over.clear()
        return self.over.get(device_id, 0) >= _TWICE


class Surges(Duty):
    """Rule 2."""

    name: ClassVar[str] = "surges"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self._rule = ground.rules.rule(SEVERE)
        self._surges = {name: Surge(node) for name, node in ground.nodes.items() if node.rating_amperes is not None}
        self._of_device: dict[str, tuple[Surge, ...]] = {}
        for surge in self._surges.values():
            for device_id in meters_of(ground, surge.state):
                self._of_device[device_id] = (*self._of_device.get(device_id, ()), surge)

    def subjects(self) -> Iterator[Subject]:
        """List the rule at every breaker."""
        for surge in self._surges.values():
            levels = self._levels(surge)
            if levels:
                yield Subject(self._rule, levels, surge.state.target)

    def _levels(self, surge: Surge) -> tuple[Level, ...]:
        return self.ground.rules.levels(SEVERE, PLANT, surge.state.target)

    def devices(self) -> Iterable[str]:
        """Name the meters that tell a breaker's current."""
        return self._of_device

    def arrive(self, intake: Intake, batch: Batch, board: Board, now: Moment) -> None:
        """Run the rule on what has just arrived."""
        for surge in self._of_device[intake.device.id]:
            direct, rating = surge.state.direct, surge.state.rating_amperes
            if direct is None or rating is None:
                continue
            if not batch.readings:
                if intake.outages >= _TWICE:
                    surge.is_on = False  # its controller may live off this circuit: it comes back with it
                continue
            most = max(map(_latest, direct.values()))
            surge.note(most, rating, now.mono_ns)
            if most > rating or surge.is_raised or surge.over:
                self._judge(surge, direct, intake, board, now)

    def _judge(self, surge: Surge, direct: dict[str, list[Source]], intake: Intake, board: Board, now: Moment) -> None:
        stamp_ns = max(source.mono_ns for sources in direct.values() for source in sources)
        if stamp_ns == surge.stamp_ns or surge.is_starting(now.mono_ns):
            return
        surge.stamp_ns = stamp_ns
        lines: dict[str, Value | None] = {phase: _fresh(sources, now.mono_ns) for phase, sources in direct.items()}
        hot, levels, rating = hottest(lines), self._levels(surge), surge.state.rating_amperes
        if hot is None or not levels or rating is None:
            return
        ratio = hot.value.lo / rating
        is_proven = surge.count(intake.device.id, is_over=ratio > min(level.limit for level in levels))
        if not is_proven and not surge.is_raised:
            return
        spans = (Span(ratio, ratio),) * len(levels)
        evidence = line_evidence(surge.state, hot, limit=rating, spans=spans)
        board.judge(self._rule, levels, surge.state.target, evidence, now=now, cap_s=_TWICE * intake.device.interval_s)
        surge.is_raised = board.find(self._rule, surge.state.target) is not None

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Keep alarms of breakers whose meters have fallen silent: nothing is known of them now."""
        for surge in self._surges.values():
            surge.is_raised = board.find(self._rule, surge.state.target) is not None
            direct = surge.state.direct or {}
            if surge.is_raised and not any(_fresh(sources, slot.now.mono_ns) for sources in direct.values()):
                levels = self._levels(surge)
                evidence = Evidence(spans=(None,) * len(levels), is_known=False)
                board.judge(self._rule, levels, surge.state.target, evidence, now=slot.now, cap_s=SLOT_CAP_S)
        yield 1 + len(self._surges) // 20

    def keep(self, before: Surges) -> None:
        """Remember which circuits were on."""
        for name in self._surges.keys() & before._surges.keys():
            mine, theirs = self._surges[name], before._surges[name]
            mine.is_on, mine.energised_ns = theirs.is_on, theirs.energised_ns


def _latest(sources: list[Source]) -> float:
    return sum(source.value or 0.0 for source in sources)


def _fresh(sources: list[Source], mono_ns: int) -> Value | None:
    """Give the newest current of a line; None where any of its meters is late."""
    if any(source.rank_at(mono_ns) != GOOD for source in sources):
        return None
    amperes = _latest(sources)
    return Value(amperes, amperes, amperes, GOOD)


def meters_of(ground: Ground, state: NodeState) -> set[str]:
    """Name the devices that tell a node's current directly."""
    plan = state.plan
    found = {meter.intake.device.id for meter in plan.meters}
    if not plan.children:
        for rack_id, letter in plan.feeds:
            feed = ground.topology.racks[rack_id].feeds[letter]
            found.update(meter.intake.device.id for meter in (*feed.inlets, *feed.meters))
    return found

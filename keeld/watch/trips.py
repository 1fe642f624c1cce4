"""Breakers of the tree that have opened (rule 39), as a contact or their own branch of a meter tells on arrival."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from keeld.alerts.alarm import Evidence, Target
from keeld.alerts.board import Board
from keeld.alerts.machine import Span
from keeld.alerts.rules import PLANT
from keeld.budgets.intake import Intake
from keeld.budgets.meters import Meter
from keeld.budgets.source import HELD, Source
from keeld.metrics import BREAKER
from keeld.model import Batch, Moment
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.nodes import NodeState
from keeld.watch.racks import SLOT_CAP_S
from keeld.watch.subjects import Subject

TRIPPED = "breaker_tripped"
_TRUE, _FALSE = Span(1.0, 1.0), Span(0.0, 0.0)
_OPEN, _CLOSED, _TRIPPED = 0.0, 1.0, 2.0
_DEAD_AMPERES = 0.05
_CARRIED_AMPERES, _CARRIED_RATIO = 1.0, 0.02
"""A branch that carried this much, and this much of its rating, and then nothing has opened."""
_TWICE = 2
_ARRIVAL_CAP_S = 20.0


class Branch:
    """A breaker's contact, or the part of a meter that measures one circuit beside others."""

    __slots__ = ("carried_amperes", "contact", "dead_samples", "is_raised", "meter", "stamp_ns", "was_closed")

    def __init__(self, meter: Meter | None) -> None:
        self.meter = meter
        self.contact: Source | None = None
        self.was_closed = False
        self.carried_amperes = 0.0
        self.dead_samples = 0
        self.stamp_ns = 0
        self.is_raised = False


class Tripwire:
    """One breaker of the tree: what tells that it is open."""

    __slots__ = ("branch", "parts", "state", "target")

    def __init__(self, state: NodeState, target: Target, meter: Meter | None, parts: tuple[str, ...]) -> None:
        self.state = state
        self.target = target
        self.parts = parts
        """Parts of the device that may carry its contact."""
        self.branch = Branch(meter)


class Trips(Duty):
    """Rule 39 at the nodes of the tree."""

    name: ClassVar[str] = "trips"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self._tripped = ground.rules.rule(TRIPPED)
        self._wires: dict[str, list[Tripwire]] = {}
        for state in ground.nodes.values():
            self._lay(state)

    def _lay(self, state: NodeState) -> None:
        target = trip_target(state, self.ground)
        for meter in state.plan.meters:
            meter.intake.learn(BREAKER)
            wire = Tripwire(state, target, meter if meter.parts[0] else None, meter.parts)
            self._wires.setdefault(meter.intake.device.id, []).append(wire)

    def subjects(self) -> Iterator[Subject]:
        """List the rule at every measured node."""
        rules = self.ground.rules
        seen: set[str] = set()
        for wires in self._wires.values():
            for wire in wires:
                levels = rules.levels(TRIPPED, PLANT, wire.target)
                if levels and wire.target.id not in seen:
                    seen.add(wire.target.id)
                    yield Subject(self._tripped, levels, wire.target)

    def devices(self) -> Iterable[str]:
        """Name the devices that watch breakers."""
        return self._wires

    def arrive(self, intake: Intake, batch: Batch, board: Board, now: Moment) -> None:
        """Run rule 39 on what has just arrived."""
        if not batch.readings:
            return
        for wire in self._wires[intake.device.id]:
            opened = self._opened(wire, intake, now)
            if opened or wire.branch.is_raised:
                self._judge(wire, opened, board, now)

    def _opened(self, wire: Tripwire, intake: Intake, now: Moment) -> str | None:
        """Say how it is known that a breaker is open; empty where nothing says so, None where nothing is known."""
        branch = wire.branch
        if branch.contact is None:
            branch.contact = _contact(intake, wire.parts)
        if branch.contact is not None and branch.contact.rank_at(now.mono_ns) <= HELD:
            return _by_contact(branch, branch.contact.value)
        return self._by_current(wire, intake, now)

    def _by_current(self, wire: Tripwire, intake: Intake, now: Moment) -> str | None:
        """Find a branch that carried a load and carries none, while others on the same device still do."""
        branch = wire.branch
        sources = _line_sources(branch.meter)
        if not sources or any(source.rank_at(now.mono_ns) > HELD for source in sources):
            return None
        most = max(source.value or 0.0 for source in sources)
        if most > _DEAD_AMPERES:
            branch.dead_samples, branch.carried_amperes = 0, most
            return ""
        if branch.is_raised:
            return _DEAD_WORDS
        rating = wire.state.plan.node.breaker_amperes or 0.0
        if branch.carried_amperes < max(_CARRIED_AMPERES, _CARRIED_RATIO * rating):
            return ""
        stamp_ns = max(source.mono_ns for source in sources)
        if stamp_ns != branch.stamp_ns and self._sibling_lives(wire, intake, now):
            branch.dead_samples += 1
        branch.stamp_ns = stamp_ns
        return _DEAD_WORDS if branch.dead_samples >= _TWICE else ""

    def _sibling_lives(self, wire: Tripwire, intake: Intake, now: Moment) -> bool:
        for other in self._wires[intake.device.id]:
            if other is wire:
                continue
            for source in _line_sources(other.branch.meter):
                if (source.value or 0.0) > _DEAD_AMPERES and source.rank_at(now.mono_ns) <= HELD:
                    return True
        return False

    def _judge(self, wire: Tripwire, opened: str | None, board: Board, now: Moment) -> None:
        levels = self.ground.rules.levels(TRIPPED, PLANT, wire.target)
        if not levels:
            return
        branch = wire.branch
        span = None if opened is None else _TRUE if opened else _FALSE
        carried = branch.carried_amperes
        detail = f"It carried {carried:.1f} A before." if opened and carried else ""
        evidence = Evidence(spans=(span,) * len(levels), cause=opened or "", detail=detail, is_known=opened is not None)
        board.judge(self._tripped, levels, wire.target, evidence, now=now, cap_s=_ARRIVAL_CAP_S)
        branch.is_raised = board.find(self._tripped, wire.target) is not None
        if not branch.is_raised:
            branch.dead_samples, branch.carried_amperes = 0, 0.0

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Keep alarms of breakers whose device is silent."""
        for wires in self._wires.values():
            for wire in wires:
                wire.branch.is_raised = board.find(self._tripped, wire.target) is not None
                if wire.branch.is_raised:
                    self._keep_alarm(wire, board, slot.now)
            yield 1

    def _keep_alarm(self, wire: Tripwire, board: Board, now: Moment) -> None:
        """Say that nothing is known of a breaker whose device has fallen silent."""
        sources = [*_line_sources(wire.branch.meter), *([wire.branch.contact] if wire.branch.contact else [])]
        if any(source.rank_at(now.mono_ns) <= HELD for source in sources):
            return
        levels = self.ground.rules.levels(TRIPPED, PLANT, wire.target)
        evidence = Evidence(spans=(None,) * len(levels), is_known=False)
        board.judge(self._tripped, levels, wire.target, evidence, now=now, cap_s=SLOT_CAP_S)

    def keep(self, before: Trips) -> None:
        """Remember what each breaker carried."""
        past = {(name, wire.target.id): wire.branch for name, wires in before._wires.items() for wire in wires}
        for name, wires in self._wires.items():
            for wire in wires:
                theirs = past.get((name, wire.target.id))
                if theirs is not None:
                    wire.branch.carried_amperes, wire.branch.was_closed = theirs.carried_amperes, theirs.was_closed
                    wire.branch.dead_samples = theirs.dead_samples


_DEAD_WORDS = "it carries nothing while other circuits of the same meter do"


def _by_contact(branch: Branch, state: float | None) -> str:
    """Read a contact. One that was open when keeld began to look has not opened: it may be a spare."""
    if state == _TRIPPED:
        return "its contact reports a trip"
    if state == _CLOSED:
        branch.was_closed = True
        return ""
    return "its contact has opened" if state == _OPEN and (branch.was_closed or branch.is_raised) else ""


def _contact(intake: Intake, parts: tuple[str, ...]) -> Source | None:
    """Give the contact of a breaker: of its part, else of the whole device where that is all it watches."""
    found = (intake.measured(BREAKER, part) for part in parts)
    return next((source for source in found if source is not None), None)


def _line_sources(meter: Meter | None) -> list[Source]:
    if meter is None:
        return []
    found = (meter.line(phase) for phase in meter.lines)
    return [source for source in found if source is not None]


def trip_target(state: NodeState, ground: Ground) -> Target:
    """Name a breaker with everything that is without power once it is open."""
    node = state.plan.node
    covers = {f"power_node:{node.id}"}
    names = [node.id]
    while names:
        plan = ground.topology.nodes[names.pop()]
        names += [child for child in ground.topology.loaded_children(plan) if f"power_node:{child}" not in covers]
        covers.update(f"power_node:{child}" for child in plan.children)
        for rack_id, letter in plan.feeds:
            covers.add(f"feed:{rack_id}/{letter}")
            feed = ground.topology.racks[rack_id].feeds[letter]
            covers.update(f"device:{meter.intake.device.id}" for meter in feed.inlets)
            if len(ground.topology.racks[rack_id].feeds) == 1:
                row = ground.topology.racks[rack_id].rack.row
                covers |= {f"rack:{rack_id}", *((f"row:{row}",) if row else ())}
    scope = frozenset({f"power_node:{node.id}"})
    return Target("power_node", node.id, node.label or node.id, scope, frozenset(covers))

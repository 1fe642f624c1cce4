"""What PDUs, meters and UPSs report of themselves: a fault (rule 35), and breakers inside them that opened (39)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, NamedTuple

from keeld.alerts.alarm import Evidence, Target
from keeld.alerts.board import Board
from keeld.alerts.machine import Span
from keeld.alerts.rules import PLANT
from keeld.budgets.intake import METERING_KINDS, Intake
from keeld.budgets.source import HELD, Look, Source
from keeld.metrics import BREAKER, UNIT_ALARM, UNIT_STATE
from keeld.model import Moment
from keeld.text import clean
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.racks import SLOT_CAP_S
from keeld.watch.subjects import Subject

FAULT, TRIPPED = "pdu_alarm_passthrough", "breaker_tripped"
_TRUE, _FALSE = Span(1.0, 1.0), Span(0.0, 0.0)
_CLOSED, _HAS_TRIPPED = 1.0, 2.0
_WORST_ALARM, _UNIT_FAULT = 3.0, 3.0


class Contact(NamedTuple):
    """A breaker inside a device."""

    part: str
    source: Source


class Inside:
    """What a device has shown of itself; looked for again only when it shows something new."""

    __slots__ = ("closed", "contacts", "intake", "size", "target")

    def __init__(self, intake: Intake) -> None:
        self.intake = intake
        self.target = _device_target(intake)
        self.contacts: tuple[Contact, ...] = ()
        self.closed: frozenset[str] = frozenset()
        """Parts whose breaker was seen closed."""
        self.size = 0

    def look_again(self, named: frozenset[str]) -> None:
        """Find the breakers that the device shows and that are no nodes of the tree."""
        if self.size == len(self.intake.sources):
            return
        self.size = len(self.intake.sources)
        self.contacts = tuple(
            Contact(part, source) for part, source in self.intake.parts_of(BREAKER).items() if part not in named
        )

    def opened(self, look: Look, *, is_raised: bool) -> str | None:
        """Name the breakers that are open and were not; empty for none, None where nothing live tells."""
        live = [contact for contact in self.contacts if contact.source.rank_at(look.mono_ns) <= HELD]
        if not live:
            return None
        closed = {contact.part for contact in live if contact.source.value == _CLOSED}
        found = [contact for contact in live if self._has_opened(contact, is_raised=is_raised)]
        self.closed |= closed
        return ", ".join(sorted(contact.part or "its breaker" for contact in found))

    def _has_opened(self, contact: Contact, *, is_raised: bool) -> bool:
        state = contact.source.value
        return state == _HAS_TRIPPED or (state == 0.0 and (is_raised or contact.part in self.closed))


class Faults(Duty):
    """Rule 35, and rule 39 at breakers that are no nodes."""

    name: ClassVar[str] = "faults"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self._insides = [
            Inside(intake) for intake in ground.topology.intakes.values() if intake.device.kind in METERING_KINDS
        ]
        for inside in self._insides:
            for metric in (BREAKER, UNIT_ALARM, UNIT_STATE):
                inside.intake.learn(metric)

    def subjects(self) -> Iterator[Subject]:
        """List both rules at every PDU, meter and UPS."""
        rules = self.ground.rules
        for inside in self._insides:
            for name in (TRIPPED, FAULT):
                levels = rules.levels(name, PLANT, inside.target)
                if levels:
                    yield Subject(rules.rule(name), levels, inside.target)

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Run both rules on what each device last said."""
        tripped, fault = (self.ground.rules.rule(name) for name in (TRIPPED, FAULT))
        for index, inside in enumerate(self._insides):
            inside.look_again(_named(inside.intake))
            if inside.contacts:
                is_raised = board.find(tripped, inside.target) is not None
                opened = inside.opened(slot.look, is_raised=is_raised)
                cause = f"its contact reports a trip: {opened}" if opened else opened
                self._judge(TRIPPED, inside, cause, board, slot.now)
            said = _fault_of(inside.intake, slot.look)
            if said or board.find(fault, inside.target) is not None:
                self._judge(FAULT, inside, said, board, slot.now)
            if index % 20 == 0:
                yield 8

    def _judge(self, name: str, inside: Inside, said: str | None, board: Board, now: Moment) -> None:
        """Judge what a device says: a fault in words, nothing, or None where it is silent."""
        rules = self.ground.rules
        levels = rules.levels(name, PLANT, inside.target)
        if not levels:
            return
        span = None if said is None else _TRUE if said else _FALSE
        evidence = Evidence(spans=(span,) * len(levels), cause=said or "", is_known=said is not None)
        board.judge(rules.rule(name), levels, inside.target, evidence, now=now, cap_s=SLOT_CAP_S)

    def keep(self, before: Faults) -> None:
        """Remember which breakers were closed."""
        past = {inside.intake.device.id: inside.closed for inside in before._insides}
        for inside in self._insides:
            inside.closed = past.get(inside.intake.device.id, frozenset())


def _named(intake: Intake) -> frozenset[str]:
    """Give the parts of a device that stand for nodes of the tree: their contacts belong to those."""
    parts = {part for part, _ in intake.device.measures}
    return frozenset(parts | {""} if intake.device.node is not None else parts)


def _fault_of(intake: Intake, look: Look) -> str | None:
    """Say which fault a device reports of itself; empty for none, None where it is silent or says nothing of it."""
    told: list[str] = []
    is_live = False
    for metric, worst, words in (
        (UNIT_ALARM, _WORST_ALARM, "it reports a critical alarm"),
        (UNIT_STATE, _UNIT_FAULT, "it reports a fault"),
    ):
        source = intake.measured(metric)
        if source is None or source.rank_at(look.mono_ns) > HELD:
            continue
        is_live = True
        if source.value == worst:
            told.append(words)
    return " and ".join(told) if is_live else None


def _device_target(intake: Intake) -> Target:
    device = intake.device
    scopes = frozenset({f"device:{device.id}", *((f"rack:{device.rack}",) if device.rack else ())})
    return Target("device", device.id, clean(device.label or device.id), scopes)

"""Contacts: smoke detectors, the emergency power-off, doors (rule 52), of whatever device has them wired to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from keeld.alerts.alarm import Evidence, Target
from keeld.alerts.board import Board
from keeld.alerts.machine import Span
from keeld.alerts.rules import PLANT, Level
from keeld.alerts.shipped.contacts import DOOR, OWN_FAULT, SMOKE
from keeld.alerts.shipped.contacts import EPO as EPO_RULE
from keeld.budgets.intake import Intake
from keeld.budgets.source import HELD, Source
from keeld.metrics import DOOR_STATE, EPO_STATE, SMOKE_STATE, Metric
from keeld.model import Moment
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.naming import device_target, names
from keeld.watch.racks import SLOT_CAP_S
from keeld.watch.subjects import Subject

_RULES: tuple[tuple[str, Metric], ...] = (
    (SMOKE.name, SMOKE_STATE),
    (EPO_RULE.name, EPO_STATE),
    (DOOR.name, DOOR_STATE),
)
_WITHOUT = frozenset({"miner", "accelerator"})
"""Kinds that no contact is wired to."""
_ACTIVE, _FAULT = 1.0, 2.0
_TRUE, _FALSE = Span(1.0, 1.0), Span(0.0, 0.0)


class _Wired:
    """One device and the contacts that it has shown."""

    __slots__ = ("contacts", "intake", "known", "target")

    def __init__(self, intake: Intake) -> None:
        self.intake = intake
        self.target: Target = device_target(intake)
        self.known = 0
        self.contacts: dict[Metric, dict[str, Source]] = {}

    def look(self) -> None:
        """Find contacts that are new: a device shows what it has by and by."""
        if len(self.intake.sources) == self.known:
            return
        self.known = len(self.intake.sources)
        self.contacts = {metric: found for _, metric in _RULES if (found := self.intake.parts_of(metric))}


class Contacts(Duty):
    """Every device that may have contacts. One alarm for each device and rule names all of its contacts."""

    name: ClassVar[str] = "contacts"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self._wired = [
            _Wired(intake) for intake in ground.topology.intakes.values() if intake.device.kind not in _WITHOUT
        ]
        for wired in self._wired:
            for _, metric in _RULES:
                wired.intake.learn(metric)

    def subjects(self) -> Iterator[Subject]:
        """List every rule at every device: which contacts it has shows only once it answers."""
        rules = self.ground.rules
        for wired in self._wired:
            for name, _ in _RULES:
                yield Subject(rules.rule(name), rules.levels(name, PLANT, wired.target), wired.target)

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Judge every contact."""
        for index, wired in enumerate(self._wired):
            wired.look()
            if wired.contacts:
                for name, metric in _RULES:
                    self._judge(wired, name, metric, board, slot.now)
                yield 2
            elif index % 200 == 0:
                yield 4

    def _judge(self, wired: _Wired, name: str, metric: Metric, board: Board, now: Moment) -> None:
        contacts = wired.contacts.get(metric)
        rule, levels = self.ground.rules.rule(name), self.ground.rules.levels(name, PLANT, wired.target)
        if not contacts or not levels:
            return
        live = {part: source.value for part, source in contacts.items() if source.rank_at(now.mono_ns) <= HELD}
        if board.find(rule, wired.target) is None and not any(live.values()):
            return
        spans = tuple(_span(level, live, has_all=len(live) == len(contacts)) for level in levels)
        evidence = Evidence(spans=spans, detail=_detail(metric, live), is_known=bool(live))
        board.judge(rule, levels, wired.target, evidence, now=now, cap_s=SLOT_CAP_S)


def _span(level: Level, live: dict[str, float | None], *, has_all: bool) -> Span | None:
    """Say whether a contact is in the state that a level is about; one that is silent may be."""
    if (_FAULT if level.needs == OWN_FAULT else _ACTIVE) in live.values():
        return _TRUE
    return _FALSE if has_all else None


def _detail(metric: Metric, live: dict[str, float | None]) -> str:
    """Name the contacts by their state: `smoke at sensor/1, sensor/2.`."""
    words = []
    for value, state in metric.states.items():
        parts = [part or "its contact" for part, shown in live.items() if shown == value and value]
        if parts:
            words.append(f"{state.replace('_', ' ').capitalize()}: {names(parts)}.")
    return " ".join(words)

"""Devices that are not who they were (rule 50).

A device whose MAC or serial number is not the one in the configuration is an outage: its watts leave the rack's sum.
Not so PDUs, meters and plant, which are read on because a circuit's watts stay true. What a device without a configured
identity says of itself is compared with what it said last, over restarts too; after a day the new one is the known one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, NamedTuple

from keeld.alerts.alarm import Evidence
from keeld.alerts.board import Board
from keeld.alerts.machine import Span
from keeld.alerts.rules import PLANT
from keeld.alerts.shipped.inventory import IDENTITY_CHANGED
from keeld.budgets.intake import Intake
from keeld.budgets.source import SECOND_NS
from keeld.errors import Outage
from keeld.model import Batch, Moment
from keeld.text import clean
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.naming import device_target
from keeld.watch.racks import SLOT_CAP_S
from keeld.watch.subjects import Subject

MISMATCH = "mismatch"
"""Info of a device that is read on although it is not the one in the configuration: what differs, in words."""
_TELLING = ("serial", "mac")
_LONGEST = 48
_MOST = 20_000
_ADOPTED_NS = 86_400 * SECOND_NS
_TRUE, _FALSE = Span(1.0, 1.0), Span(0.0, 0.0)


class _Change(NamedTuple):
    """Another identity than the one known before, and since when (wall time)."""

    told: str
    since_ns: int


class Identities(Duty):
    """Every device, by what it says of itself."""

    name: ClassVar[str] = "identities"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self._known: dict[str, str] = {}
        """Device to what it was known by, `serial mac`."""
        self._changed: dict[str, _Change] = {}
        self._mismatched: dict[str, str] = {}
        """Device that is read on to what differs from the configuration."""
        self._strangers: set[str] = set()
        """Devices whose last poll was answered by another."""

    def devices(self) -> Iterable[str]:
        """Name every device."""
        return self.ground.topology.intakes

    def subjects(self) -> Iterator[Subject]:
        """List the rule at every device."""
        rule = self.ground.rules.rule(IDENTITY_CHANGED.name)
        for intake in self.ground.topology.intakes.values():
            target = device_target(intake)
            yield Subject(rule, self.ground.rules.levels(rule.name, PLANT, target), target)

    def arrive(self, intake: Intake, batch: Batch, board: Board, now: Moment) -> None:
        """Take note of who answers; nearly every batch says nothing of it."""
        del board  # judged at the end of the slot
        if batch.outage is Outage.IDENTITY:
            self._strangers.add(intake.device.id)
        elif batch.info:
            self._compare(intake.device.id, dict(batch.info), now)

    def _compare(self, device: str, info: Mapping[str, str], now: Moment) -> None:
        if MISMATCH in info:
            self._mismatched[device] = clean(info[MISMATCH], 120)
            return
        self._mismatched.pop(device, None)
        told = " ".join(clean(info.get(key, ""), _LONGEST).replace(" ", "_") or "-" for key in _TELLING)
        if told == "- -":
            return
        known = self._known.get(device)
        if known is None:
            if len(self._known) < _MOST:
                self._known[device] = told
        elif _is_same(known, told):
            self._changed.pop(device, None)
            self._known[device] = _merged(known, told)
        elif device not in self._changed or self._changed[device].told != told:
            self._changed[device] = _Change(told, now.wall_ns)

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Judge what differs, and what did until now."""
        rule = IDENTITY_CHANGED.name
        standing = {target_id for name, kind, target_id in board.alarms if (name, kind) == (rule, "device")}
        for device in sorted(self._strangers | self._mismatched.keys() | self._changed.keys() | standing):
            intake = self.ground.topology.intakes.get(device)
            if intake is not None:
                self._judge(intake, board, slot.now)
                yield 3

    def _judge(self, intake: Intake, board: Board, now: Moment) -> None:
        device = intake.device.id
        rule, target = self.ground.rules.rule(IDENTITY_CHANGED.name), device_target(intake)
        levels = self.ground.rules.levels(rule.name, PLANT, target)
        is_stranger = intake.outage is Outage.IDENTITY
        if not is_stranger:
            self._strangers.discard(device)
        self._adopt(device, now)
        is_wrong, change = is_stranger or device in self._mismatched, self._changed.get(device)
        is_silent = bool(intake.outages) and not is_stranger
        none = None if is_silent or (intake.answered_ns is None and not is_stranger) else _FALSE
        spans = tuple(_TRUE if (is_wrong if level.needs else change is not None) else none for level in levels)
        evidence = Evidence(spans=spans, cause=_cause(is_wrong=is_wrong), detail=self._detail(intake, change))
        if levels:
            board.judge(rule, levels, target, evidence, now=now, cap_s=SLOT_CAP_S)

    def _adopt(self, device: str, now: Moment) -> None:
        """Take a new identity that has lasted for a day as the known one."""
        change = self._changed.get(device)
        if change is not None and now.wall_ns - change.since_ns > _ADOPTED_NS:
            self._known[device] = self._changed.pop(device).told

    def _detail(self, intake: Intake, change: _Change | None) -> str:
        device = intake.device.id
        if intake.outage is Outage.IDENTITY:
            return "Its serial number or MAC is not the configured one: its readings count for nothing."
        if device in self._mismatched:
            return f"It is read on, because a circuit's watts stay true: {self._mismatched[device]}."
        if change is None:
            return ""
        return f"It said {_words(self._known.get(device, ''))} before and says {_words(change.told)} now."

    def keep(self, before: Identities) -> None:
        """Take over what was known of devices that are still at the same address."""
        intakes = self.ground.topology.intakes
        same = {name for name, old in before.ground.topology.intakes.items() if intakes.get(name) is old}
        self._known = {name: told for name, told in before._known.items() if name in same}
        self._changed = {name: change for name, change in before._changed.items() if name in same}
        self._mismatched = {name: words for name, words in before._mismatched.items() if name in same}
        self._strangers = before._strangers & same

    def memory(self) -> Mapping[str, bytes]:
        """Give who every device was, and who has changed."""
        if not self._known:
            return {}
        note = {"known": self._known, "changed": self._changed, "mismatched": self._mismatched}
        return {"known": json.dumps(note, separators=(",", ":")).encode()}

    def recall(self, memory: Mapping[str, bytes], now: Moment) -> None:
        """Take back who every device was."""
        del now
        try:
            note = json.loads(memory.get("known", b"{}"))
            known = {str(name): str(told) for name, told in note.get("known", {}).items()}
            changed = {str(n): _Change(str(told), int(ns)) for n, (told, ns) in note.get("changed", {}).items()}
            mismatched = {str(name): str(words) for name, words in note.get("mismatched", {}).items()}
        except (ValueError, TypeError, AttributeError):
            return
        intakes = self.ground.topology.intakes
        self._known |= {name: told for name, told in known.items() if name in intakes}
        self._changed |= {name: change for name, change in changed.items() if name in intakes}
        self._mismatched |= {name: words for name, words in mismatched.items() if name in intakes}


def _is_same(known: str, told: str) -> bool:
    """Whether what both say agrees: a device that does not tell its serial number this time is no other device."""
    pairs = zip(known.split(" "), told.split(" "), strict=False)
    return all("-" in pair or pair[0].lower() == pair[1].lower() for pair in pairs)


def _merged(known: str, told: str) -> str:
    pairs = zip(known.split(" "), told.split(" "), strict=False)
    return " ".join(new if old == "-" else old for old, new in pairs)


def _words(told: str) -> str:
    parts = dict(zip(_TELLING, told.split(" "), strict=False))
    return " and ".join(f"{key} {value}" for key, value in parts.items() if value not in ("-", "")) or "nothing"


def _cause(*, is_wrong: bool) -> str:
    return "another device answers at its address" if is_wrong else "it was replaced, or another device has its address"

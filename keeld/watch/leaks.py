"""Leaks (rule 23): judged on arrival, at once, and kept until somebody has looked.

A leak stays an alarm after its sensor is dry again: water that is gone went somewhere. Its text says which it is now.
A sensor that reports its own fault is a warning of its own, which ends with the fault. Drip trays of immersion tanks
get wet in normal use: they warn and wake nobody.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

from keeld.alerts.alarm import Evidence, Target
from keeld.alerts.board import Board
from keeld.alerts.machine import Span
from keeld.alerts.message import local_time
from keeld.alerts.rules import PLANT
from keeld.alerts.shipped.cooling import TRAY
from keeld.budgets.intake import Intake
from keeld.budgets.source import HELD, Source
from keeld.metrics import LEAK
from keeld.model import Batch, Moment
from keeld.text import clean
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.naming import device_target, names
from keeld.watch.racks import SLOT_CAP_S
from keeld.watch.rulebook import NOT_OVER
from keeld.watch.subjects import Subject

RULE = "leak"
_SENSOR_KIND = "leak_sensor"
_WET, _FAULT = 1.0, 2.0
_OVER = Span(1.0, 1.0)
_SOURCES = frozenset({"cooling", "sensor", "pdu", "meter"})
"""Kinds of device that may carry leak sensors."""
_LIKELY = frozenset({"cooling", "sensor"})


class Leaks(Duty):
    """All leak sensors of a site."""

    name: ClassVar[str] = "leaks"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self._intakes = {name: i for name, i in ground.topology.intakes.items() if i.device.kind in _SOURCES}
        self._carriers = {name for name, i in self._intakes.items() if i.device.kind in _LIKELY}
        """Devices with leak sensors: those that may well have some, and those that have shown one."""
        self._shown = dict.fromkeys(self._intakes.keys() - self._carriers, 0)
        """How many quantities the others had shown when they were last looked through."""
        self._wet: dict[str, frozenset[str]] = {}
        """Device to its sensors that were wet when it was last heard; only those that ever were."""
        self._dry_since_ns: dict[str, int] = {}
        for intake in self._intakes.values():
            intake.learn(LEAK)

    def subjects(self) -> Iterator[Subject]:
        """List both rules at every device that may carry a leak sensor."""
        rules = self.ground.rules
        for intake in self._intakes.values():
            target, sensor = device_target(intake), _sensor_target(intake)
            yield Subject(rules.rule(RULE), rules.levels(RULE, PLANT, target), target)
            yield Subject(rules.leak_sensor, rules.levels_of(rules.leak_sensor, PLANT), sensor)

    def devices(self) -> Iterable[str]:
        """Name every device that may carry a leak sensor."""
        return self._intakes

    def arrive(self, intake: Intake, batch: Batch, board: Board, now: Moment) -> None:
        """Judge what a sensor says as it says it."""
        if intake.device.id not in self._carriers:
            return
        for reading in batch.readings:
            if reading.metric is LEAK:
                self._judge(intake, board, now)
                return

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Run the delay of sensors that report a fault, and look which devices have shown a sensor meanwhile."""
        for rule, kind, name in list(board.alarms):
            if rule == RULE and kind == _SENSOR_KIND and name in self._intakes:
                self._judge_sensor(self._intakes[name], board, slot.now)
                yield 4
        for name, count in self._shown.items():
            intake = self._intakes[name]
            if len(intake.sources) == count:
                continue
            self._shown[name] = len(intake.sources)
            if intake.parts_of(LEAK) and name not in self._carriers:
                self._carriers.add(name)
                self._judge(intake, board, slot.now)
        yield 1 + len(self._shown) // 50

    def _judge(self, intake: Intake, board: Board, now: Moment) -> None:
        parts = {part: source.value for part, source in intake.parts_of(LEAK).items()}
        wet = frozenset(part for part, value in parts.items() if value == _WET)
        if _FAULT in parts.values():
            self._judge_sensor(intake, board, now)
        self._judge_leak(intake, wet, board, now)

    def _judge_leak(self, intake: Intake, wet: frozenset[str], board: Board, now: Moment) -> None:
        rules, target = self.ground.rules, device_target(intake)
        rule, levels = rules.rule(RULE), rules.levels(RULE, PLANT, target)
        alarm = board.find(rule, target)
        before = self._wet.get(intake.device.id)
        if not levels or (not wet and alarm is None):
            return
        self._note(intake.device.id, wet, now)
        trays = {part for part in wet if self._is_tray(intake, part)}
        spans = tuple(_OVER if (trays if level.needs == TRAY else wet - trays) else NOT_OVER for level in levels)
        evidence = Evidence(
            spans=spans,
            word="WET" if wet else "DRY",
            headline="wet now" if wet else "dry now, to be closed by hand",
            detail=self._words(intake, wet, now),
        )
        moved = board.judge(rule, levels, target, evidence, now=now, cap_s=SLOT_CAP_S)
        if not moved and wet != before and alarm is not None:
            board.restate(alarm, now)

    def _note(self, name: str, wet: frozenset[str], now: Moment) -> None:
        if wet:
            self._dry_since_ns.pop(name, None)
        else:
            self._dry_since_ns.setdefault(name, now.wall_ns)
        self._wet[name] = wet

    def _words(self, intake: Intake, wet: frozenset[str], now: Moment) -> str:
        if not wet:
            since_ns = self._dry_since_ns.get(intake.device.id, now.wall_ns)
            return f"Dry since {local_time(since_ns, self.ground.topology.site.timezone)}; it was wet before."
        places = sorted(clean(part, 40) for part in wet if part)
        words = f"Wet now: {names(places)}." if places else "Wet now."
        place = _place(intake)
        return f"{words} {place}" if place else words

    def _is_tray(self, intake: Intake, part: str) -> bool:
        rack = self.ground.topology.site.racks.get(intake.device.rack or "")
        return rack is not None and rack.kind == "tank" and part.partition("/")[0] == "tray"

    def _judge_sensor(self, intake: Intake, board: Board, now: Moment) -> None:
        rules, target = self.ground.rules, _sensor_target(intake)
        rule, levels = rules.leak_sensor, rules.levels_of(rules.leak_sensor, PLANT)
        if not levels:
            return
        heard = {part: source.value for part, source in intake.parts_of(LEAK).items() if _is_heard(source, now)}
        faulty = sorted(clean(part, 40) or "its only sensor" for part, value in heard.items() if value == _FAULT)
        span = None if not heard else _OVER if faulty else NOT_OVER
        detail = f"A leak there would go unseen: {names(faulty)}." if faulty else ""
        evidence = Evidence(spans=(span,) * len(levels), detail=detail, is_known=bool(heard))
        board.judge(rule, levels, target, evidence, now=now, cap_s=SLOT_CAP_S)

    def keep(self, before: Leaks) -> None:
        """Take over what was wet, and since when it is dry."""
        self._wet = {name: wet for name, wet in before._wet.items() if name in self._intakes}
        self._dry_since_ns = {name: at for name, at in before._dry_since_ns.items() if name in self._intakes}

    def memory(self) -> Mapping[str, bytes]:
        """Give since when each place that leaked is dry."""
        return {"dry": json.dumps(self._dry_since_ns).encode()} if self._dry_since_ns else {}

    def recall(self, memory: Mapping[str, bytes], now: Moment) -> None:
        """Take the times of before the restart; none lies in the future."""
        try:
            found = json.loads(memory.get("dry", b"{}"))
        except ValueError:
            return
        if isinstance(found, dict):
            whole = {name: at for name, at in found.items() if isinstance(at, int) and 0 < at <= now.wall_ns}
            self._dry_since_ns = {name: at for name, at in whole.items() if name in self._intakes}


def _place(intake: Intake) -> str:
    device = intake.device
    if device.rack is not None:
        return f"It is in rack {device.rack}."
    return f"It is at {device.node}." if device.node is not None else ""


def _is_heard(source: Source, now: Moment) -> bool:
    return source.rank_at(now.mono_ns) <= HELD


def _sensor_target(intake: Intake) -> Target:
    base = device_target(intake)
    return Target(_SENSOR_KIND, base.id, base.label, base.scopes)

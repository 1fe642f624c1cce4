"""Zones and loops against their racks' heat (rule 16), and what their units report of themselves (rule 46)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from keeld.alerts.alarm import Evidence
from keeld.alerts.board import Board
from keeld.alerts.machine import Span
from keeld.alerts.rules import AI, PLANT, Level
from keeld.alerts.shipped.cooling import NO_SPARE
from keeld.budgets.air import still_room_kelvin_per_minute
from keeld.budgets.intake import Intake
from keeld.budgets.source import Look
from keeld.budgets.window import Mean
from keeld.metrics import COOLING_CAPACITY, UNIT_ALARM, UNIT_STATE
from keeld.model import Moment, Reading
from keeld.text import clean
from keeld.watch.cooling import UNIT_FAULT, CoolingState, is_live, unit_state
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.naming import device_target, names
from keeld.watch.racks import SLOT_CAP_S
from keeld.watch.rulebook import NOT_OVER
from keeld.watch.subjects import Subject

ZONE, FAULT = "zone_cooling_n1", "cooling_unit_fault"
_ALARM_CRITICAL = 3.0
_OVER = Span(1.0, 1.0)
_LEAST_WATTS = 1.0
_KNOWN_COVERAGE = 0.5


class Zones(Duty):
    """Rules 16 and 46."""

    name: ClassVar[str] = "zones"
    speaks_of = frozenset({"cooling_node"})

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self._judged = [zone for zone in ground.cooling.values() if _is_judged(zone)]
        self._units = [intake for intake in ground.topology.intakes.values() if intake.device.kind == "cooling"]
        self._zone_of = {unit.device.id: zone for zone in ground.cooling.values() for unit in zone.units}
        for unit in self._units:
            unit.learn(UNIT_ALARM)

    def subjects(self) -> Iterator[Subject]:
        """List both rules with their targets."""
        rules = self.ground.rules
        for zone in self._judged:
            target = zone.target
            yield Subject(rules.rule(ZONE), rules.levels(ZONE, AI, target), target)
        for unit in self._units:
            target = device_target(unit)
            yield Subject(rules.rule(FAULT), rules.levels(FAULT, PLANT, target), target)

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Judge zones, then units: what a zone lacks explains the unit that failed."""
        for zone in self._judged:
            self._judge_zone(zone, board, slot.now)
            yield 4
        for unit in self._units:
            self._judge_unit(unit, slot.look, board, slot.now)
            yield 2

    def _judge_zone(self, zone: CoolingState, board: Board, now: Moment) -> None:
        rules, rule = self.ground.rules, self.ground.rules.rule(ZONE)
        target = zone.target
        levels = rules.levels(ZONE, AI, target)
        mean = zone.windows.mean()
        if not levels or mean is None or zone.planned_watts is None or zone.capacity is None:
            return
        short = zone.is_short
        limit = max(_LEAST_WATTS, min(zone.planned_watts, zone.capacity.hi) if short else zone.planned_watts)
        if board.find(rule, target) is None and mean.lo <= limit * min(level.limit for level in levels):
            return
        heat = zone.heat()
        evidence = Evidence(
            spans=tuple(_zone_span(zone, level, mean) for level in levels),
            lo=mean.lo,
            best=mean.best,
            hi=mean.hi,
            limit=limit,
            unit="W",
            base=f"{zone.node.redundancy} capacity" if not short else "capacity that still runs",
            what=f"heat of its racks, {zone.windows.span_words} mean",
            cause=zone.capacity.binds,
            detail=_zone_words(zone, heat.lost, self.ground.topology.site.altitude_metres),
            is_known=heat.coverage >= _KNOWN_COVERAGE,
        )
        board.judge(rule, levels, target, evidence, now=now, cap_s=SLOT_CAP_S)

    def _judge_unit(self, unit: Intake, look: Look, board: Board, now: Moment) -> None:
        rules, rule, target = self.ground.rules, self.ground.rules.rule(FAULT), device_target(unit)
        is_faulty = _is_faulty(unit, look)
        if not is_faulty and board.find(rule, target) is None:
            return
        levels = rules.levels(FAULT, PLANT, target)
        zone = self._zone_of.get(unit.device.id)
        spans = tuple(self._unit_span(is_faulty, level, zone) for level in levels)
        if levels:
            evidence = Evidence(spans=spans, detail=_fault_words(unit, look), is_known=is_faulty is not None)
            board.judge(rule, levels, target, evidence, now=now, cap_s=SLOT_CAP_S)

    def _unit_span(self, is_faulty: bool | None, level: Level, zone: CoolingState | None) -> Span | None:  # noqa: FBT001 - a fact
        if is_faulty is None:
            return None
        has_spare = zone is None or zone.node.redundancy != "N"
        return NOT_OVER if not is_faulty or (level.needs == NO_SPARE and has_spare) else _OVER

    def readings(self, kind: str, name: str) -> Iterable[Reading]:
        """Give what a zone or loop can carry now."""
        zone = self.ground.cooling.get(name) if kind == "cooling_node" else None
        if zone is None or zone.capacity is None:
            return ()
        return (Reading(COOLING_CAPACITY, zone.capacity.hi),)


def _is_judged(zone: CoolingState) -> bool:
    """Whether rule 16 is about it: redundancy that was declared, for racks that live under the ai rules."""
    return zone.node.redundancy != "N" and any(state.set_name == AI for state in zone.racks)


def _zone_span(zone: CoolingState, level: Level, mean: Mean) -> Span | None:
    """Compare the heat with what is planned; for the level that asks for it, with what still runs."""
    if zone.planned_watts is None or zone.capacity is None:
        return None
    if level.needs != NO_SPARE:
        return Span(mean.lo / zone.planned_watts, mean.hi / zone.planned_watts)
    if not zone.is_short:
        return NOT_OVER
    lo, hi = max(_LEAST_WATTS, zone.capacity.lo), max(_LEAST_WATTS, zone.capacity.hi)
    return Span(mean.lo / hi, mean.hi / lo)


def _zone_words(zone: CoolingState, lost: tuple[str, ...], altitude_metres: float) -> str:
    running = zone.capacity.hi if zone.capacity is not None else 0.0
    words = [f"Running now: {running / 1000.0:.0f} kW."]
    mean, room = zone.windows.mean(), zone.node.air_cubic_metres
    if mean is not None and mean.best is not None and room and mean.best > running:
        rate = still_room_kelvin_per_minute(mean.best - running, room, zone.node.metal_kilograms, altitude_metres)
        words.append(f"The room warms by about {rate:.1f} K a minute at first.")
    if zone.racks:
        words.append(f"Racks: {names([state.plan.rack.id for state in zone.racks])}.")
    if lost:
        words.append(f"Without data: {', '.join(lost)}.")
    return " ".join(words)


def _is_faulty(unit: Intake, look: Look) -> bool | None:
    """Whether a unit reports a fault of itself; None while it tells neither its state nor its alarms."""
    state = unit_state(unit, look)
    alarms = [source for source in unit.parts_of(UNIT_ALARM).values() if is_live(source, look)]
    if state is None and not alarms:
        has_told = unit.measured(UNIT_STATE) is not None or bool(unit.parts_of(UNIT_ALARM))
        return None if has_told or unit.answered_ns is None else False
    return state == UNIT_FAULT or any(source.value == _ALARM_CRITICAL for source in alarms)


def _fault_words(unit: Intake, look: Look) -> str:
    alarms = unit.parts_of(UNIT_ALARM).items()
    parts = [
        clean(part, 40) for part, source in alarms if source.value == _ALARM_CRITICAL and part and is_live(source, look)
    ]
    words = ["Its state is fault." if unit_state(unit, look) == UNIT_FAULT else ""]
    words.append(f"Critical alarm in: {names(sorted(parts))}." if parts else "")
    return " ".join(word for word in words if word)

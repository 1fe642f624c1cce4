"""What keeps a loop going beside its flow: supply at its set-point (rule 20), pumps (22) and pressure (24)."""

from __future__ import annotations

import statistics
from array import array
from collections.abc import Iterator
from typing import ClassVar

from keeld.alerts.alarm import Evidence
from keeld.alerts.board import Board
from keeld.alerts.machine import Span
from keeld.alerts.rules import PLANT
from keeld.alerts.shipped.cooling import WARM_SIDE
from keeld.budgets.heat import live
from keeld.budgets.intake import Intake
from keeld.budgets.source import MINUTE_NS, Look
from keeld.budgets.window import Window
from keeld.metrics import PRESSURE, PUMP, PUMP_DUTY, PUMP_SPEED, TEMPERATURE, TEMPERATURE_SETPOINT
from keeld.text import clean
from keeld.watch.cooling import PUMP_FAULT, CoolingState, is_live, unit_state
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.naming import device_target, names
from keeld.watch.racks import SLOT_CAP_S
from keeld.watch.rulebook import NOT_OVER
from keeld.watch.subjects import Subject

SUPPLY, PUMPS, PRESSURE_LOW = "tcs_supply_dev", "cdu_pump_lost", "loop_pressure"
_MINUTE_SLOTS = 6
_PAST_SLOTS, _LEAST_PAST = 9, 4
_SETTLING_NS, _PUMP_CHANGE_NS = 20 * MINUTE_NS, 5 * MINUTE_NS
_SETPOINT_STEP_KELVIN = 0.2
_DUTY_STEP = 0.1
_LEAST_PASCALS = 20_000.0
"""Below this a fifth less is within the sensor's error."""
_PLENTY = Span(9.0, 9.0)
_RUNNING = 1.0
_PRESSURE_PARTS = ("", "return", "supply")
"""Where a loop's pressure is told, best first: what a pump adds on its supply side moves with its speed."""


class LoopUnit:
    """One unit of a loop: how far its supply is off, and what its pressure was."""

    __slots__ = (
        "_mark",
        "_past",
        "_running",
        "deviation",
        "held_ns",
        "pascals",
        "setpoint",
        "settled_ns",
        "unit",
        "was",
    )

    def __init__(self, unit: Intake) -> None:
        self.unit = unit
        self.deviation = Window(_MINUTE_SLOTS)
        self.setpoint: float | None = None
        self.settled_ns = 0
        """Monotonic time until when a start or a new set-point explains a deviation."""
        self.held_ns = 0
        """Monotonic time until when a change of pumps explains a fall of pressure."""
        self.pascals: float | None = None
        self.was: float | None = None
        """Pressure of the minute before, as it was before any alarm."""
        self._past = array("d")
        self._running: float | None = None
        self._mark: tuple[int, int] | None = None

    def see_supply(self, look: Look) -> bool:
        """Note the deviation from the set-point in this slot; False while there is none to judge."""
        wanted, supply = self._setpoint(look), live(self.unit, TEMPERATURE, "supply", look)
        state = unit_state(self.unit, look)
        if state == _RUNNING and self._running not in (None, _RUNNING):
            self.settled_ns = look.mono_ns + _SETTLING_NS
        self._running = state if state is not None else self._running
        if wanted is not None and self.setpoint is not None and abs(wanted - self.setpoint) > _SETPOINT_STEP_KELVIN:
            self.settled_ns = look.mono_ns + _SETTLING_NS
        self.setpoint = wanted if wanted is not None else self.setpoint
        if wanted is None or supply is None or supply.best is None:
            return False
        deviation = supply.best - wanted
        self.deviation.push(deviation, deviation, deviation)
        return True

    def _setpoint(self, look: Look) -> float | None:
        source = self.unit.measured(TEMPERATURE_SETPOINT, "supply")
        return source.value if source is not None and is_live(source, look) else None

    @property
    def is_off(self) -> bool:
        """Whether the unit says that it does not run."""
        return self._running is not None and self._running != _RUNNING

    def see_pressure(self, look: Look, *, is_calm: bool) -> None:
        """Note the pressure in this slot, and what it was while nothing was wrong."""
        self._note_pumps(look)
        values = (live(self.unit, PRESSURE, part, look) for part in _PRESSURE_PARTS)
        self.pascals = next((value.best for value in values if value is not None), None)
        if self.pascals is None or not is_calm:
            return
        self._past.append(self.pascals)
        del self._past[:-_PAST_SLOTS]
        before = self._past[: -_PAST_SLOTS // 3]
        self.was = statistics.median(before) if len(self._past) > _LEAST_PAST and before else None

    def _note_pumps(self, look: Look) -> None:
        turning = sum(source.value == _RUNNING for source in self.unit.parts_of(PUMP).values())
        turning += sum((source.value or 0.0) > 0.0 for source in self.unit.parts_of(PUMP_SPEED).values())
        duties = [source.value or 0.0 for source in self.unit.parts_of(PUMP_DUTY).values()]
        mark = turning, round(max(duties, default=0.0) / _DUTY_STEP)
        if self._mark is not None and (mark[0] != self._mark[0] or abs(mark[1] - self._mark[1]) > 1):
            self.held_ns = look.mono_ns + _PUMP_CHANGE_NS
            self._past = array("d")
        if self._mark is None or mark[0] != self._mark[0] or abs(mark[1] - self._mark[1]) > 1:
            self._mark = mark

    def keep(self, before: LoopUnit) -> None:
        """Take over the past of the same unit."""
        self.deviation, self.setpoint, self.settled_ns = before.deviation, before.setpoint, before.settled_ns
        self.held_ns, self.was, self._past = before.held_ns, before.was, before._past
        self._running, self._mark = before._running, before._mark


class Loops(Duty):
    """Rules 20, 22 and 24."""

    name: ClassVar[str] = "loops"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self._loops = [zone for zone in ground.cooling.values() if zone.node.kind == "liquid" and zone.units]
        self._units = {unit.device.id: LoopUnit(unit) for zone in self._loops for unit in zone.units}

    def subjects(self) -> Iterator[Subject]:
        """List pumps and pressure at every loop, the supply at every unit."""
        rules = self.ground.rules
        for zone in self._loops:
            for name, target in (
                (PUMPS, zone.target),
                (PRESSURE_LOW, zone.target),
                *((SUPPLY, device_target(unit)) for unit in zone.units),
            ):
                yield Subject(rules.rule(name), rules.levels(name, PLANT, target), target)

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Judge every loop and its units."""
        for zone in self._loops:
            self._judge_pumps(zone, board, slot)
            self._judge_pressure(zone, board, slot)
            for unit in zone.units:
                self._judge_supply(self._units[unit.device.id], zone, board, slot)
            yield 4 + 4 * len(zone.units)

    def _judge_supply(self, seen: LoopUnit, zone: CoolingState, board: Board, slot: Slot) -> None:
        rules, rule, target = self.ground.rules, self.ground.rules.rule(SUPPLY), device_target(seen.unit)
        is_told = seen.see_supply(slot.look)
        mean, alarm = seen.deviation.mean(), board.find(rule, target)
        if seen.setpoint is None or mean is None or (alarm is None and (not is_told or mean.fill < 1.0)):
            return
        levels = rules.levels(SUPPLY, PLANT, target)
        is_excused = seen.is_off or slot.look.mono_ns < seen.settled_ns
        spans = tuple(
            _deviation_span(mean.hi, is_told=is_told, is_excused=is_excused, is_warm_only=level.needs == WARM_SIDE)
            for level in levels
        )
        supply = seen.setpoint + mean.hi
        evidence = Evidence(
            spans=spans, lo=supply, best=supply, hi=supply, limit=seen.setpoint, unit="°C", base="set-point",
            what="supply, 1-min mean",
            detail=f"{abs(mean.hi):.1f} K {'above' if mean.hi > 0.0 else 'below'} its set-point. {_rack_words(zone)}",
            is_known=is_told,
        )  # fmt: skip
        if levels:
            board.judge(rule, levels, target, evidence, now=slot.now, cap_s=SLOT_CAP_S)

    def _judge_pumps(self, zone: CoolingState, board: Board, slot: Slot) -> None:
        rules, rule, target = self.ground.rules, self.ground.rules.rule(PUMPS), zone.target
        pumps, alarm = zone.pumps, board.find(rule, target)
        if pumps is None:
            return
        least, most = pumps.least, min(pumps.most, self._turning_most(zone, slot.look, pumps.most))
        spare = Span(pumps.needed + 1 - most, pumps.needed + 1 - min(least, most))
        lost = Span(spare.lo - 1, spare.hi - 1)
        levels = rules.levels(PUMPS, PLANT, target)
        if not levels or (alarm is None and spare.lo <= 0.0):
            return
        spans = tuple(
            (spare if pumps.installed > pumps.needed else NOT_OVER) if index == 0 else lost
            for index, _ in enumerate(levels)
        )
        evidence = Evidence(
            spans=spans,
            lo=float(min(least, most)),
            best=float(most),
            hi=float(most),
            limit=float(pumps.needed),
            base="needed",
            what=f"pumps in order, of {pumps.installed}",
            cause=_faulty_pumps(zone, slot.look),
            detail=_rack_words(zone),
            is_known=least == pumps.most,
        )
        board.judge(rule, levels, target, evidence, now=slot.now, cap_s=SLOT_CAP_S)

    def _turning_most(self, zone: CoolingState, look: Look, most: int) -> int:
        """Bound the pumps in order by those that turn, where fewer turn than are known to be needed.

        A duty pump hands over to a standby pump and one of them turns all the time. Where fewer turn than are needed
        though the unit runs, the others evidently cannot.
        """
        needed = zone.node.pumps_needed
        shown = [
            source for unit in zone.units for source in (unit.parts_of(PUMP) or unit.parts_of(PUMP_SPEED)).values()
        ]
        if needed is None or len(shown) < needed or not all(is_live(source, look) for source in shown):
            return most
        if any(self._units[unit.device.id].is_off or _is_asked_for_nothing(unit) for unit in zone.units):
            return most
        turning = sum(_is_turning(unit) for unit in zone.units)
        return turning if turning < needed else most

    def _judge_pressure(self, zone: CoolingState, board: Board, slot: Slot) -> None:
        rules, rule, target = self.ground.rules, self.ground.rules.rule(PRESSURE_LOW), zone.target
        alarm = board.find(rule, target)
        units = [self._units[unit.device.id] for unit in zone.units]
        for seen in units:
            seen.see_pressure(slot.look, is_calm=alarm is None)
        told = [seen for seen in units if seen.pascals is not None]
        least = zone.node.pressure_least_pascals
        levels = rules.levels(PRESSURE_LOW, PLANT, target)
        if not levels or (not told and alarm is None):
            return
        low = min((seen.pascals for seen in told if seen.pascals is not None), default=None)
        of_least = _PLENTY if least is None or low is None else Span(low / least, low / least)
        of_before = min((_fall(seen, slot.look) for seen in told), default=_PLENTY)
        is_whole = len(told) == len([seen for seen in units if seen.was is not None or seen.pascals is not None])
        spans = tuple(of_least if index == 0 else of_before for index, _ in enumerate(levels))
        evidence = Evidence(
            spans=spans if told and is_whole else (None,) * len(levels),
            lo=_kilo(low), best=_kilo(low), hi=_kilo(low),
            limit=_kilo(least) if least is not None else _kilo(max((seen.was or 0.0 for seen in told), default=0.0)),
            unit="kPa",
            base="at least" if least is not None else "a minute before",
            what="pressure of the loop",
            detail=_rack_words(zone),
            is_known=bool(told) and is_whole,
        )  # fmt: skip
        board.judge(rule, levels, target, evidence, now=slot.now, cap_s=SLOT_CAP_S)

    def keep(self, before: Loops) -> None:
        """Take over the past of units that are still there."""
        for name in self._units.keys() & before._units.keys():
            self._units[name].keep(before._units[name])


def _deviation_span(deviation: float, *, is_told: bool, is_excused: bool, is_warm_only: bool) -> Span | None:
    if not is_told:
        return None
    if is_excused or (is_warm_only and deviation < 0.0):
        return NOT_OVER
    return Span(abs(deviation), abs(deviation))


def _fall(seen: LoopUnit, look: Look) -> Span:
    """Give the pressure as a share of what it was a minute ago; plenty where that says nothing."""
    if seen.pascals is None or seen.was is None or seen.was < _LEAST_PASCALS or look.mono_ns < seen.held_ns:
        return _PLENTY
    return Span(seen.pascals / seen.was, seen.pascals / seen.was)


def _kilo(pascals: float | None) -> float | None:
    return None if pascals is None else pascals / 1000.0


def _is_asked_for_nothing(unit: Intake) -> bool:
    duties = [source.value for source in unit.parts_of(PUMP_DUTY).values()]
    return bool(duties) and not any(duties)


def _is_turning(unit: Intake) -> int:
    states = unit.parts_of(PUMP)
    if states:
        return sum(source.value == _RUNNING for source in states.values())
    return sum((source.value or 0.0) > 0.0 for source in unit.parts_of(PUMP_SPEED).values())


def _faulty_pumps(zone: CoolingState, look: Look) -> str:
    faulty = [
        f"{part or 'the pump'} of {unit.device.id}"
        for unit in zone.units
        for part, source in sorted(unit.parts_of(PUMP).items())
        if source.value == PUMP_FAULT and is_live(source, look)
    ]
    return f"a fault of {names([clean(name, 80) for name in faulty])}" if faulty else ""


def _rack_words(zone: CoolingState) -> str:
    return f"Racks: {names([state.plan.rack.id for state in zone.racks])}." if zone.racks else ""

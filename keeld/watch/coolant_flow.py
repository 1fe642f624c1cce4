"""Coolant flow (rule 21): judged on arrival, because a loop without flow has a minute or two.

Three questions for each loop: does it still flow as it did (half of its 5-minute median is a collapse), is it over the
maker's minimum, and is it enough for the heat of the last minute? One low sample settles nothing: a changeover of
pumps may dip that far. What the flow fell from is kept while the alarm lasts, so that low does not become normal.
"""

from __future__ import annotations

import json
import math
import statistics
from array import array
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

from keeld.alerts.alarm import Evidence
from keeld.alerts.board import Board
from keeld.alerts.machine import Span
from keeld.alerts.rules import PLANT, Level
from keeld.alerts.shipped.cooling import RETURN_RISING
from keeld.budgets.coolants import needed_litres_per_minute, still_loop_kelvin_per_second
from keeld.budgets.intake import Intake
from keeld.budgets.source import GOOD, HELD, SECOND_NS, Look, Value
from keeld.budgets.warming import Warming
from keeld.budgets.window import Window
from keeld.metrics import FLOW, PUMP, UNIT_STATE
from keeld.model import AlertState, Batch, Moment
from keeld.text import clean
from keeld.watch.cooling import PUMP_FAULT, UNIT_FAULT, CoolingState, is_live, unit_state
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.naming import names
from keeld.watch.racks import SLOT_CAP_S
from keeld.watch.subjects import Subject

RULE = "flow_low"
_PLENTY = 9.0
"""Stands for a flow that is far over what it is compared with."""
_MEDIAN_SLOTS, _LEAST_SLOTS, _MINUTE_SLOTS = 30, 15, 6
_RISING_KELVIN_PER_MINUTE = 0.3
_TWICE = 2
_COLLAPSE = 2
"""Place of the level for a collapse: after two of what is needed, before that of the maker's minimum."""
_WARN_RISE_KELVIN = 10.0
_IDLE_RATIO = 0.02
_AT_REST = frozenset({0.0, 2.0})
"""Standby and idle."""


class LoopFlow:
    """One loop's flow: where it was, and what its heat needs."""

    __slots__ = (
        "_captured",
        "_past",
        "heat",
        "is_rising",
        "needed",
        "reference",
        "return_trend",
        "samples",
        "waits_ns",
        "zone",
    )

    def __init__(self, zone: CoolingState) -> None:
        self.zone = zone
        self.heat = Window(_MINUTE_SLOTS)
        self.needed: tuple[float, float] | None = None
        """Flow that the heat of the last minute needs, at least and at most, in L/min."""
        self.reference: float | None = None
        """5-minute median, in L/min, as it was before any alarm."""
        self.return_trend = Warming()
        self.is_rising = False
        self.samples = 0
        """Samples since the flow was last in order."""
        self.waits_ns: int | None = None
        self._past = array("d")
        self._captured: float | None = None
        """Share of its racks' draw that the liquid takes, as last measured while all was well."""

    def close(self, slot: Slot, *, is_calm: bool) -> None:
        """Close a slot: learn what is usual while nothing is wrong, and what is needed."""
        zone = self.zone
        if is_calm and zone.flow is not None and zone.flow.rank == GOOD and zone.flow.best is not None:
            self._past.append(zone.flow.best)
            del self._past[:-_MEDIAN_SLOTS]
            if len(self._past) >= _LEAST_SLOTS:
                self.reference = statistics.median(self._past)
        self._note_heat(is_calm=is_calm)
        self.needed = self._needed()
        if zone.return_celsius is not None:
            self.return_trend.add(zone.return_celsius, slot.look.mono_ns, 10 * SECOND_NS)
        rate = self.return_trend.kelvin_per_minute()
        self.is_rising = rate is not None and rate > _RISING_KELVIN_PER_MINUTE

    def _note_heat(self, *, is_calm: bool) -> None:
        """Note the heat by what its racks draw: a heat worked out from the flow would fall with the flow."""
        zone, draws = self.zone, [state.draw.total for state in self.zone.racks]
        likely = sum(draw.best or 0.0 for draw in draws)
        if is_calm and zone.measured is not None and zone.measured.best is not None and likely > 0.0:
            self._captured = min(1.0, zone.measured.best / likely)
        if self._captured is None:
            heat = zone.heat()
            self.heat.push(heat.lo, heat.best, heat.hi)
            return
        lo, hi = sum(draw.lo for draw in draws), sum(draw.hi for draw in draws)
        self.heat.push(lo * self._captured, likely * self._captured, hi * self._captured)

    def _needed(self) -> tuple[float, float] | None:
        """Work out the flow that carries the heat at the design rise, else before the return is too warm."""
        node, mean = self.zone.node, self.heat.mean()
        rise = node.design_rise_kelvin
        if rise is None and node.return_most_celsius is not None and self.zone.supply_celsius is not None:
            rise = node.return_most_celsius - self.zone.supply_celsius
        if mean is None or rise is None or rise <= 0.0:
            return None
        return (
            needed_litres_per_minute(mean.lo, rise, node.coolant),
            needed_litres_per_minute(mean.hi, rise, node.coolant),
        )

    def keep(self, before: LoopFlow) -> None:
        """Take over the past of the same loop."""
        self.heat, self._past, self.reference = before.heat, before._past, before.reference
        self.return_trend, self._captured = before.return_trend, before._captured


class CoolantFlow(Duty):
    """Rule 21 at every loop whose flow is told."""

    name: ClassVar[str] = "coolant_flow"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        loops = (zone for zone in ground.cooling.values() if zone.node.kind == "liquid" and zone.units)
        self.loops = {zone.node.id: LoopFlow(zone) for zone in loops}
        self._of_device = {unit.device.id: loop for loop in self.loops.values() for unit in loop.zone.units}

    def subjects(self) -> Iterator[Subject]:
        """List the rule at every loop."""
        rules = self.ground.rules
        for loop in self.loops.values():
            target = loop.zone.target
            yield Subject(rules.rule(RULE), rules.levels(RULE, PLANT, target), target)

    def devices(self) -> Iterable[str]:
        """Name the units of all loops."""
        return self._of_device

    def arrive(self, intake: Intake, batch: Batch, board: Board, now: Moment) -> None:
        """Judge a loop when one of its units has told its flow."""
        if not any(reading.metric is FLOW for reading in batch.readings):
            return
        loop = self._of_device[intake.device.id]
        flow = loop.zone.flow_at(Look(now.mono_ns))
        if flow is not None:
            loop.samples += 1
            self._judge(loop, flow, board, now, cap_s=2 * batch.interval_s)

    def due_ns(self) -> int | None:
        """Monotonic time at which the first running delay ends."""
        if not self.loops:
            return None
        return min((loop.waits_ns for loop in self.loops.values() if loop.waits_ns is not None), default=None)

    def judge_due(self, board: Board, now: Moment) -> None:
        """Judge loops whose delay has just ended, on what was last heard of them."""
        for loop in self.loops.values():
            if loop.waits_ns is None or loop.waits_ns > now.mono_ns:
                continue
            loop.waits_ns = None
            flow = loop.zone.flow_at(Look(now.mono_ns))
            if flow is not None and flow.rank == GOOD and loop.samples >= _TWICE:
                self._judge(loop, flow, board, now, cap_s=SLOT_CAP_S)

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Learn what is usual and what is needed; judge an alarm whose units have fallen silent."""
        rule = self.ground.rules.rule(RULE)
        for loop in self.loops.values():
            alarm = board.find(rule, loop.zone.target)
            loop.close(slot, is_calm=alarm is None)
            flow = loop.zone.flow_at(Look(slot.now.mono_ns))
            if alarm is not None and (flow is None or flow.rank != GOOD):
                self._judge(loop, flow, board, slot.now, cap_s=SLOT_CAP_S)
            yield 6

    def _judge(self, loop: LoopFlow, flow: Value | None, board: Board, now: Moment, *, cap_s: float) -> None:
        rules, rule, target = self.ground.rules, self.ground.rules.rule(RULE), loop.zone.target
        levels = rules.levels(RULE, PLANT, target)
        known = flow if flow is not None and flow.rank <= HELD else None
        wholes = [_compared_with(loop, known, index, level) for index, level in enumerate(levels)]
        spans = tuple(_span(known, whole) for whole in wholes)
        low = [
            level.limit * whole[0]
            for level, span, whole in zip(levels, spans, wholes, strict=True)
            if span is not None and whole is not None and rule.is_exceeded(*span, level.limit)
        ]
        alarm = board.find(rule, target)
        if not low:
            loop.samples = 0
        if levels and (low or alarm is not None):
            limit = max(low) if low else None if alarm is None else alarm.evidence.limit
            evidence = _evidence(loop, known, spans, limit, now)
            board.judge(rule, levels, target, evidence, now=now, cap_s=cap_s)
            alarm = board.find(rule, target)
        is_running = alarm is not None and alarm.state is AlertState.PENDING and loop.samples >= _TWICE
        loop.waits_ns = alarm.due_ns() if alarm is not None and is_running else None

    def keep(self, before: CoolantFlow) -> None:
        """Take over the past of loops that are still there."""
        for name in self.loops.keys() & before.loops.keys():
            self.loops[name].keep(before.loops[name])

    def memory(self) -> Mapping[str, bytes]:
        """Give what each loop flowed before any alarm."""
        usual = {name: round(loop.reference, 2) for name, loop in self.loops.items() if loop.reference is not None}
        return {"usual": json.dumps(usual).encode()} if usual else {}

    def recall(self, memory: Mapping[str, bytes], now: Moment) -> None:
        """Take what each loop flowed before the restart."""
        del now
        try:
            usual = json.loads(memory.get("usual", b"{}"))
        except ValueError:
            return
        for name, flow in usual.items() if isinstance(usual, dict) else ():
            if name in self.loops and isinstance(flow, int | float) and math.isfinite(flow) and flow > 0.0:
                self.loops[name].reference = float(flow)

    def findings(self) -> Iterable[str]:
        """Name the loops whose flow cannot be compared with what their heat needs."""
        nodes = (loop.zone.node for loop in self.loops.values())
        vague = [node.id for node in nodes if node.design_rise_kelvin is None and node.return_most_celsius is None]
        if vague:
            listed = names(sorted(vague))
            yield f"flow is not compared with heat on {listed}: neither design_rise_k nor return_max_c is configured"


def _evidence(
    loop: LoopFlow, flow: Value | None, spans: tuple[Span | None, ...], limit: float | None, now: Moment
) -> Evidence:
    return Evidence(
        spans=spans,
        lo=None if flow is None else flow.lo,
        best=None if flow is None else flow.best,
        hi=None if flow is None else flow.hi,
        limit=limit,
        unit="L/min",
        what="flow of the loop",
        cause=_cause(loop.zone, Look(now.mono_ns)),
        detail=_detail(loop),
        is_known=flow is not None,
    )


def _span(flow: Value | None, whole: tuple[float, float] | None) -> Span | None:
    """Give a flow as a share of what it is compared with; plenty where there is nothing to compare it with."""
    if flow is None:
        return None
    return Span(_PLENTY, _PLENTY) if whole is None else Span(_share(flow.lo, whole[1]), _share(flow.hi, whole[0]))


def _compared_with(loop: LoopFlow, flow: Value | None, index: int, level: Level) -> tuple[float, float] | None:
    """Give what a level compares the flow with, at least and at most; None where it has nothing to say."""
    if _is_idle(loop):
        return None
    if index <= 1:
        return loop.needed if level.needs != RETURN_RISING or loop.is_rising else None
    if index == _COLLAPSE:
        is_enough = flow is not None and loop.needed is not None and flow.lo >= loop.needed[1] > 0.0
        return None if loop.reference is None or is_enough else (loop.reference, loop.reference)
    least = loop.zone.node.flow_least_litres_per_minute
    return None if least is None else (least, least)


def _share(flow: float, whole: float) -> float:
    return min(_PLENTY, flow / whole) if whole > 0.0 else _PLENTY


def _is_idle(loop: LoopFlow) -> bool:
    """Whether every unit of the loop says that it stands by, and there is next to no heat: it was switched off."""
    mean = loop.heat.mean()
    if mean is None or mean.hi > _IDLE_RATIO * sum(loop.zone.node.units_watts):
        return False
    units = loop.zone.units
    states = [source.value for unit in units if (source := unit.measured(UNIT_STATE)) is not None]
    return len(states) == len(units) and all(state in _AT_REST for state in states)


def _cause(zone: CoolingState, look: Look) -> str:
    words = []
    for unit in zone.units:
        if unit_state(unit, look) == UNIT_FAULT:
            words.append(f"{unit.device.id} reports a fault")
        faulty = sorted(p for p, s in unit.parts_of(PUMP).items() if s.value == PUMP_FAULT and is_live(s, look))
        words += [f"{clean(part, 40) or 'the pump'} of {unit.device.id} reports a fault" for part in faulty]
    return "; ".join(words[:4])


def _detail(loop: LoopFlow) -> str:
    words, node, mean = [], loop.zone.node, loop.heat.mean()
    if loop.reference is not None:
        words.append(f"Its 5-min median was {loop.reference:.0f} L/min.")
    if loop.needed is not None:
        words.append(f"Its heat needs {loop.needed[0]:.0f} L/min.")
    if mean is not None and mean.best and node.volume_litres:
        rate = still_loop_kelvin_per_second(mean.best, node.volume_litres, node.coolant)
        if rate > 0.0:
            words.append(
                f"Without flow its {node.volume_litres:.0f} L warm by 10 K in {_WARN_RISE_KELVIN / rate:.0f} s."
            )
    if loop.zone.racks:
        words.append(f"Racks: {names([state.plan.rack.id for state in loop.zone.racks])}.")
    return " ".join(words)

"""The air that machines breathe: how warm it is (rule 17) and how fast it warms (rule 18).

Racks under the ai rules are judged by their own probes against their class: what is recommended by the median, what is
allowed by the hottest probe, less 2 K, and as critical only when two probes agree. A mine is judged by zone, by the
median of at least three sensors in the room. A probe that falls silent may read anything: it never ends an alarm.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

from keeld.alerts.alarm import Evidence
from keeld.alerts.board import Board
from keeld.alerts.machine import Span
from keeld.alerts.rules import AI, MINING, Level
from keeld.alerts.shipped.cooling import RUNAWAY
from keeld.budgets.inlet_classes import RackCooling, rack_cooling
from keeld.budgets.warming import minutes_to_critical
from keeld.climate import CLASSES, ThermalClass
from keeld.metrics import RACK_COOLING_HIGH, RACK_COOLING_LOW, TEMPERATURE
from keeld.model import Reading, Site
from keeld.watch.cooling import CoolingState
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.hall_inlets import LEAST_SENSORS, HallInlet, halls
from keeld.watch.naming import names
from keeld.watch.rack_inlets import WORDS, RackInlet, rack_inlets
from keeld.watch.racks import SLOT_CAP_S
from keeld.watch.rulebook import NOT_OVER
from keeld.watch.subjects import Subject

HIGH, RATE = "inlet_high", "inlet_rate"
_HOT_KELVIN = 3.0
_FAST_KELVIN_PER_MINUTE = 1.0
_SOON_MINUTES = 10.0
_SOLID = 2
"""Probes that must agree."""


class Inlets(Duty):
    """Rules 17 and 18."""

    name: ClassVar[str] = "inlets"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        classes = site_classes(ground.topology.site)
        self.racks = rack_inlets(ground, classes)
        self.halls = halls(ground, classes)
        self._classless = sorted(
            name
            for name, state in ground.racks.items()
            if state.set_name == AI and state.plan.sensors and state.plan.rack.thermal_class not in classes
        )

    def subjects(self) -> Iterator[Subject]:
        """List both rules at racks with probes, the first at halls of miners."""
        rules = self.ground.rules
        for rack in self.racks.values():
            for name in (HIGH, RATE):
                yield Subject(rules.rule(name), rules.levels(name, AI, rack.target), rack.target)
        for hall in self.halls.values():
            yield Subject(rules.rule(HIGH), rules.levels(HIGH, MINING, hall.target), hall.target)

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Read every probe and judge every place."""
        for rack in self.racks.values():
            rack.see(slot)
            hottest = rack.hottest_celsius
            rack.state.is_inlet_hot = (
                hottest is not None and hottest > rack.inlet.recommended_most_celsius + _HOT_KELVIN
            )
            self._judge_rate(rack, board, slot)
            self._judge_rack(rack, board, slot)
            yield 8
        for hall in self.halls.values():
            hall.see(slot)
            self._judge_hall(hall, board, slot)
            yield 6

    def _judge_rack(self, rack: RackInlet, board: Board, slot: Slot) -> None:
        rules, rule = self.ground.rules, self.ground.rules.rule(HIGH)
        alarm = board.find(rule, rack.target)
        if alarm is None and not rack.is_warm:
            return
        levels = rules.levels(HIGH, AI, rack.target)
        spans = rack.warm_spans(len(levels), stands=alarm is not None)
        if not levels or (alarm is None and not any(span is not None and span.lo > 0.0 for span in spans)):
            return
        over = [index for index, span in enumerate(spans) if span is not None and span.lo > 0.0]
        worst = min(over[-1] if over else 0, len(WORDS) - 1)
        mean, limit = rack.windows[worst].mean(), rack.limits_celsius[worst]
        bound = "recommended" if worst == 0 else "allowed less 2 K" if worst == 1 else "allowed"
        evidence = Evidence(
            spans=spans,
            lo=None if mean is None else mean.seen_lo,
            best=None if mean is None else mean.best,
            hi=None if mean is None else mean.hi,
            limit=limit,
            unit="°C",
            base=f"{bound} in class {rack.state.plan.rack.thermal_class}",
            what=f"{WORDS[worst]}, 1-min mean",
            cause=_cause(self._coolers(rack)),
            detail=_probe_words(rack),
            is_known=rack.seen is not None and bool(rack.seen.known) and not rack.seen.missing,
        )
        board.judge(rule, levels, rack.target, evidence, now=slot.now, cap_s=SLOT_CAP_S)

    def _judge_rate(self, rack: RackInlet, board: Board, slot: Slot) -> None:
        rules, rule = self.ground.rules, self.ground.rules.rule(RATE)
        alarm = board.find(rule, rack.target)
        if alarm is None and not rack.is_warming:
            return
        levels = rules.levels(RATE, AI, rack.target)
        if not levels:
            return
        is_runaway = self._is_runaway(rack)
        spans = tuple(
            NOT_OVER if level.needs == RUNAWAY and not is_runaway else rack.rate_span(level) for level in levels
        )
        if alarm is None and not any(span.lo > level.limit for span, level in zip(spans, levels, strict=True)):
            return
        rate, level = _worst_rate(spans, levels)
        evidence = Evidence(
            spans=spans,
            lo=rate,
            best=rate,
            hi=rate,
            limit=level.limit,
            unit="K/min",
            what="over 15 min" if level.window_s else "fastest intake",
            cause=_cause(self._coolers(rack)),
            detail=_soon_words(rack, rate),
            is_known=rack.seen is not None and bool(rack.seen.known),
        )
        board.judge(rule, levels, rack.target, evidence, now=slot.now, cap_s=SLOT_CAP_S)

    def _is_runaway(self, rack: RackInlet) -> bool:
        """Whether the air will be too warm soon, as two probes say, or one beside a cooling fault."""
        if rack.seen is None or not rack.seen.fastest or rack.hottest_celsius is None:
            return False
        critical = rack.inlet.allowable_most_celsius
        minutes = minutes_to_critical(rack.hottest_celsius, critical, rack.seen.fastest[0])
        fast = sum(rate > _FAST_KELVIN_PER_MINUTE for rate in rack.seen.fastest)
        has_fault = any(cooler.is_short for cooler in self._coolers(rack))
        return minutes is not None and minutes < _SOON_MINUTES and (fast >= _SOLID or (fast >= 1 and has_fault))

    def _coolers(self, rack: RackInlet) -> list[CoolingState]:
        plan = rack.state.plan.rack
        ids = (plan.cooling_air, plan.cooling_liquid)
        return [self.ground.cooling[name] for name in ids if name is not None and name in self.ground.cooling]

    def _judge_hall(self, hall: HallInlet, board: Board, slot: Slot) -> None:
        rules, rule = self.ground.rules, self.ground.rules.rule(HIGH)
        alarm, levels = board.find(rule, hall.target), rules.levels(HIGH, MINING, hall.target)
        spans = hall.warm_spans(len(levels), stands=alarm is not None)
        over = [index for index, span in enumerate(spans) if span is not None and span.lo > 0.0]
        if not levels or (alarm is None and not over):
            return
        worst, mean = min(over[-1] if over else 0, 1), hall.window.mean()
        evidence = Evidence(
            spans=spans,
            lo=None if mean is None else mean.seen_lo,
            best=None if mean is None else mean.best,
            hi=None if mean is None else mean.hi,
            limit=hall.limits_celsius[worst],
            unit="°C",
            base=f"{('recommended', 'allowed')[worst]} in class {hall.class_name}",
            what=f"median of {hall.count} sensors in the room, 1-min mean",
            is_known=hall.median is not None and hall.median.lo == hall.median.hi,
        )
        board.judge(rule, levels, hall.target, evidence, now=slot.now, cap_s=SLOT_CAP_S)

    def readings(self, kind: str, name: str) -> Iterable[Reading]:
        """Give a rack's or hall's median, and the site's rack cooling index."""
        if kind == "site":
            index = self.cooling_index()
            return () if index is None else _index_readings(index)
        place = self.racks.get(name) if kind == "rack" else self.halls.get(f"{kind}:{name}")
        if place is None or place.median is None or place.median.best is None:
            return ()
        return (Reading(TEMPERATURE, place.median.best, "intake"),)

    def cooling_index(self) -> RackCooling | None:
        """Give the rack cooling index over all racks, each against its own class; None without any intake."""
        found = [
            index
            for rack in self.racks.values()
            if rack.median is not None and rack.median.best is not None
            for index in [rack_cooling([rack.median.best], rack.inlet)]
            if index is not None
        ]
        if not found:
            return None
        return RackCooling(
            sum(index.high_ratio for index in found) / len(found), sum(index.low_ratio for index in found) / len(found)
        )

    def findings(self) -> Iterable[str]:
        """Name what has probes and cannot be judged by them."""
        if self._classless:
            yield f"intakes are not judged on {names(self._classless)}: no thermal_class is configured"
        few = sorted(hall.target.label for hall in self.halls.values() if 0 < hall.count < LEAST_SENSORS)
        if few:
            yield f"intakes are not judged in {names(few)}: fewer than {LEAST_SENSORS} sensors in the room"

    def keep(self, before: Inlets) -> None:
        """Take over the past of places that are still there."""
        for name in self.racks.keys() & before.racks.keys():
            self.racks[name].keep(before.racks[name])
        for name in self.halls.keys() & before.halls.keys():
            self.halls[name].keep(before.halls[name])


def site_classes(site: Site) -> Mapping[str, ThermalClass]:
    """Give the classes that ship with the site's own in their place or beside them."""
    return {**CLASSES, **site.thermal_classes}


def _index_readings(index: RackCooling) -> tuple[Reading, ...]:
    return Reading(RACK_COOLING_HIGH, index.high_ratio), Reading(RACK_COOLING_LOW, index.low_ratio)


def _worst_rate(spans: tuple[Span, ...], levels: tuple[Level, ...]) -> tuple[float, Level]:
    """Give the rate and level of the worst that is exceeded; of the mildest where none is."""
    over = [(span.lo, level) for span, level in zip(spans, levels, strict=True) if span.lo > level.limit]
    return over[-1] if over else (spans[0].lo, levels[0])


def _cause(coolers: list[CoolingState]) -> str:
    short = [
        f"{cooler.node.label or cooler.node.id}: {cooler.capacity.binds}"
        for cooler in coolers
        if cooler.is_short and cooler.capacity is not None and cooler.capacity.binds
    ]
    return "; ".join(short)


def _probe_words(rack: RackInlet) -> str:
    if rack.seen is None or not rack.seen.known:
        return "None of its probes is heard."
    listed = ", ".join(f"{value:.1f}" for value in sorted(rack.seen.known, reverse=True)[:6])
    words = f"Its probes read {listed} °C."
    return f"{words} {rack.seen.missing} more are silent." if rack.seen.missing else words


def _soon_words(rack: RackInlet, rate: float) -> str:
    hottest, critical = rack.hottest_celsius, rack.inlet.allowable_most_celsius
    if hottest is None:
        return ""
    minutes = minutes_to_critical(hottest, critical, rate)
    if minutes is None:
        return f"Hottest intake {hottest:.1f} °C."
    return f"Hottest intake {hottest:.1f} °C; at this rate {critical:.0f} °C, the most allowed, in {minutes:.0f} min."

"""Coolant against the dew point of the air around it (rule 19)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from keeld.alerts.alarm import Evidence
from keeld.alerts.board import Board
from keeld.alerts.machine import Span
from keeld.alerts.rules import AI, Level
from keeld.budgets.heat import live
from keeld.budgets.intake import Intake
from keeld.budgets.moisture import agreed, dew_point_celsius
from keeld.budgets.source import HELD, Look, Value
from keeld.metrics import DEW_MARGIN, DEW_POINT, HUMIDITY, TEMPERATURE
from keeld.model import Reading
from keeld.watch.cooling import CoolingState
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.naming import names
from keeld.watch.racks import SLOT_CAP_S
from keeld.watch.rulebook import Windows
from keeld.watch.subjects import Subject

RULE = "dew_margin"
_READING_ERROR_KELVIN = 0.3
"""What probes of usual class may be off: a unit that holds just the margin that warns is left in peace."""
_COLDEST_CELSIUS, _HOTTEST_CELSIUS = -45.0, 60.0


class LoopAir:
    """A loop with the probes in the air around its pipes."""

    __slots__ = ("dew", "margin", "probes", "supply_celsius", "windows", "zone")

    def __init__(self, zone: CoolingState, probes: list[Intake], windows: Windows) -> None:
        self.zone = zone
        self.probes = probes
        self.windows = windows
        self.dew: Value | None = None
        self.margin: Value | None = None
        self.supply_celsius: float | None = None

    def see(self, look: Look) -> None:
        """Work out the margin: the coldest supply less the dew point that the probes agree on."""
        supplies = (live(unit, TEMPERATURE, "supply", look) for unit in self.zone.units)
        self.supply_celsius = min((value.best for value in supplies if value and value.best is not None), default=None)
        self.dew = self._agreed_dew(look)
        self.margin = None
        if self.supply_celsius is None or self.dew is None or self.dew.best is None:
            return
        best = self.supply_celsius - self.dew.best
        self.margin = Value(self.supply_celsius - self.dew.hi, best, self.supply_celsius - self.dew.lo, self.dew.rank)
        self.windows.push(*self.margin[:3])

    def _agreed_dew(self, look: Look) -> Value | None:
        known, missing = [], 0
        for probe in self.probes:
            for dew in _dew_points(probe, look):
                if dew is None:
                    missing += 1
                else:
                    known.append(dew)
        return agreed(known, missing, 0, coldest=_COLDEST_CELSIUS, hottest=_HOTTEST_CELSIUS)


class Condensation(Duty):
    """Rule 19 at every loop that has a probe of humidity near it."""

    name: ClassVar[str] = "condensation"
    speaks_of = frozenset({"cooling_node"})

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        levels = ground.rules.all_levels(RULE, AI)
        loops = (zone for zone in ground.cooling.values() if _is_judged(zone))
        self.loops = {zone.node.id: LoopAir(zone, _probes(zone, ground), Windows(levels)) for zone in loops}
        for loop in self.loops.values():
            for probe in loop.probes:
                probe.learn(HUMIDITY)
                probe.learn(DEW_POINT)
                if probe.device.kind == "sensor":
                    probe.learn(TEMPERATURE)

    def subjects(self) -> Iterator[Subject]:
        """List the rule at every loop of ai racks."""
        rules = self.ground.rules
        for loop in self.loops.values():
            target = loop.zone.target
            yield Subject(rules.rule(RULE), rules.levels(RULE, AI, target), target)

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Work out and judge every loop's margin."""
        for loop in self.loops.values():
            loop.see(slot.look)
            self._judge(loop, board, slot)
            yield 4 + len(loop.probes)

    def _judge(self, loop: LoopAir, board: Board, slot: Slot) -> None:
        rules, rule, target = self.ground.rules, self.ground.rules.rule(RULE), loop.zone.target
        alarm, levels = board.find(rule, target), rules.levels(RULE, AI, target)
        if not levels or (loop.margin is None and alarm is None):
            return
        margin = loop.margin
        spans = tuple(_span(loop, level, index) for index, level in enumerate(levels))
        evidence = Evidence(
            spans=spans,
            lo=None if margin is None else margin.lo,
            best=None if margin is None else margin.best,
            hi=None if margin is None else margin.hi,
            limit=_limit(margin, levels),
            unit="K",
            base="over the dew point",
            what="coolant less dew point",
            detail=_detail(loop),
            is_known=margin is not None,
        )
        board.judge(rule, levels, target, evidence, now=slot.now, cap_s=SLOT_CAP_S)

    def readings(self, kind: str, name: str) -> Iterable[Reading]:
        """Give a loop's margin and the dew point that it is worked out from."""
        loop = self.loops.get(name) if kind == "cooling_node" else None
        if loop is None or loop.margin is None or loop.margin.best is None or loop.dew is None:
            return ()
        dew = () if loop.dew.best is None else (Reading(DEW_POINT, loop.dew.best),)
        return (Reading(DEW_MARGIN, loop.margin.best), *dew)

    def findings(self) -> Iterable[str]:
        """Name the loops around which nothing measures humidity."""
        dry = sorted(name for name, loop in self.loops.items() if not any(_can_tell(probe) for probe in loop.probes))
        if dry:
            yield f"condensation is not watched on {names(dry)}: no probe near tells humidity or dew point"

    def keep(self, before: Condensation) -> None:
        """Take over the windows of loops that are still there."""
        for name in self.loops.keys() & before.loops.keys():
            self.loops[name].windows.keep(before.loops[name].windows)


def _is_judged(zone: CoolingState) -> bool:
    return zone.node.kind == "liquid" and bool(zone.units) and any(state.set_name == AI for state in zone.racks)


def _probes(zone: CoolingState, ground: Ground) -> list[Intake]:
    """List what may tell of the air around a loop: sensors at it, in its racks and zones, and those zones' units."""
    racks = {state.plan.rack.id for state in zone.racks}
    places = {zone.node.id, *(state.plan.rack.cooling_air for state in zone.racks)}
    found = [
        intake
        for intake in ground.topology.intakes.values()
        if intake.device.kind == "sensor" and (intake.device.rack in racks or intake.device.node in places)
    ]
    for place in places - {zone.node.id, None}:
        if place in ground.cooling:
            found += ground.cooling[place or ""].units
    return found


def _can_tell(probe: Intake) -> bool:
    return bool(probe.parts_of(HUMIDITY) or probe.parts_of(DEW_POINT)) or probe.answered_ns is None


def _dew_points(probe: Intake, look: Look) -> Iterator[float | None]:
    """Give each dew point that a device tells or lets work out; None for one that is silent, or is nonsense."""
    own = probe.parts_of(DEW_POINT)
    for source in own.values():
        yield source.value if source.rank_at(look.mono_ns) <= HELD and _is_sane(source.value) else None
    for part, humidity in probe.parts_of(HUMIDITY).items():
        if part in own:
            continue
        air = probe.measured(TEMPERATURE, part)
        if air is None or air.value is None or humidity.value is None:
            continue
        is_live = max(humidity.rank_at(look.mono_ns), air.rank_at(look.mono_ns)) <= HELD
        yield dew_point_celsius(air.value, humidity.value) if is_live else None


def _is_sane(dew_celsius: float | None) -> bool:
    return dew_celsius is not None and _COLDEST_CELSIUS <= dew_celsius <= _HOTTEST_CELSIUS


def _span(loop: LoopAir, level: Level, index: int) -> Span | None:
    """Give the mean margin; the level that only warns leaves the probes their error."""
    mean = loop.windows.mean(level.window_s)
    if loop.margin is None or mean is None or mean.fill < 1.0:
        return None
    return Span(mean.seen_lo, mean.hi + (_READING_ERROR_KELVIN if index == 0 else 0.0))


def _limit(margin: Value | None, levels: tuple[Level, ...]) -> float:
    """Give the lowest limit that the margin is under; the mildest where it is under none."""
    under = [level.limit for level in levels if margin is not None and margin.hi < level.limit]
    return min(under, default=levels[0].limit)


def _detail(loop: LoopAir) -> str:
    if loop.supply_celsius is None or loop.dew is None or loop.dew.best is None:
        return ""
    words = f"Supply {loop.supply_celsius:.1f} °C, dew point {loop.dew.best:.1f} °C."
    if loop.zone.racks:
        words += f" Racks: {names([state.plan.rack.id for state in loop.zone.racks])}."
    return words

"""Voltages out of their band (rule 47): told at the highest node under which every meter finds the same."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar, NamedTuple

from keeld.alerts.alarm import Evidence
from keeld.alerts.board import Board
from keeld.alerts.machine import Span
from keeld.alerts.rules import PLANT, Level
from keeld.budgets.source import HELD, SECOND_NS, Look, Source
from keeld.metrics import VOLTAGE
from keeld.model import Moment
from keeld.trees import PowerNode
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.nodes import NodeState
from keeld.watch.racks import SLOT_CAP_S
from keeld.watch.rulebook import NOT_OVER
from keeld.watch.subjects import Subject

BAND = "voltage_band"
_SETTLING_NS = 60 * SECOND_NS
"""After a change of source, while a UPS or generator finds its voltage."""
_DEAD_RATIO = 0.5
"""Of the nominal voltage: below it a circuit is dead, which is another rule's."""
_SQRT3 = math.sqrt(3.0)
_PARTS = ("", "L1", "L2", "L3", "L1-L2", "L2-L3", "L3-L1")
_NAMES_SHOWN = 8
_EVERY_SLOTS = 6


class Deviation(NamedTuple):
    """A voltage and how far it is from the nominal one."""

    ratio: float
    volts: float
    nominal_volts: float


class Finding(NamedTuple):
    """What is known of the voltage at and below a node."""

    worst: Deviation
    least_ratio: float
    circuits: tuple[str, ...]
    """Measured nodes at and below it."""


class Voltages(Duty):
    """Rule 47."""

    name: ClassVar[str] = "voltages"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self._rule = ground.rules.rule(BAND)
        self._sources = {name: found for name, node in ground.nodes.items() if (found := _sources(node, ground))}
        above = {name: ground.topology.ancestors(name) for name in self._sources}
        names = {name for chain in above.values() for name in chain}
        self._names = [name for name in reversed(ground.topology.order) if name in names]
        """Nodes with a voltage at or below them, parents first."""
        self._above = above
        self._shown: dict[str, tuple[Source, ...]] = {}
        """Those of the sources that ever had a sample; looked up anew once a minute."""
        self._turn = 0

    def subjects(self) -> Iterator[Subject]:
        """List the rule at every node with a voltage at or below it."""
        for name in self._names:
            levels = self._levels(name)
            if levels:
                yield Subject(self._rule, levels, self.ground.nodes[name].target)

    def _levels(self, name: str) -> tuple[Level, ...]:
        return self.ground.rules.levels(BAND, PLANT, self.ground.nodes[name].target)

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Find what is out of its band, then where that begins."""
        live: dict[str, Deviation] = {}
        if self._turn % _EVERY_SLOTS == 0:
            self._shown = {name: shown for name, found in self._sources.items() if (shown := _ever_shown(found))}
        self._turn += 1
        for index, (name, sources) in enumerate(self._shown.items()):
            deviation = _deviation(self.ground.nodes[name].plan.node, sources, slot.look)
            if deviation is not None:
                live[name] = deviation
            if index % 20 == 0:
                yield 8
        limits = [level.limit for level in self._rule.levels.get(PLANT, ())]
        is_raised = any(name == BAND for name, _, _ in board.alarms)
        if is_raised or any(deviation.ratio > min(limits) / 2 for deviation in live.values()):
            yield from self._judge_all(self._gather(live), board, slot.now)

    def _gather(self, live: dict[str, Deviation]) -> dict[str, Finding]:
        """Sum up for every node what is known at and below it."""
        found: dict[str, Finding] = {}
        for name, deviation in live.items():
            for node in self._above[name]:
                known = found.get(node)
                if known is None:
                    found[node] = Finding(deviation, deviation.ratio, (name,))
                    continue
                worst = max(known.worst, deviation)
                found[node] = Finding(worst, min(known.least_ratio, deviation.ratio), (*known.circuits, name))
        return found

    def _judge_all(self, found: dict[str, Finding], board: Board, now: Moment) -> Iterator[int]:
        """Judge from the top: what a node speaks for is not told again below it."""
        spoken: set[str] = set()
        for name in self._names:
            yield 1
            levels = self._levels(name)
            finding, state = found.get(name), self.ground.nodes[name]
            if not levels:
                continue
            is_below = any(node in spoken for node in self.ground.topology.ancestors(name)[1:])
            is_out = self._speaks(name, finding, levels)
            if is_out:
                spoken.add(name)
            if (is_out and not is_below) or board.find(self._rule, state.target) is not None:
                span = None if is_below or finding is None else self._span(name, finding, now, is_out=is_out)
                self._judge(state, levels, finding, span, board, now)

    def _speaks(self, name: str, finding: Finding | None, levels: tuple[Level, ...]) -> bool:
        """Whether all that is measured at and below a node is out of its band, and not one circuit alone."""
        if finding is None or finding.least_ratio <= min(level.limit for level in levels):
            return False
        return name in self._sources or len(finding.circuits) > 1

    def _span(self, name: str, finding: Finding, now: Moment, *, is_out: bool) -> Span | None:
        """Give the deviation; None while a source that has just changed finds its voltage."""
        if any(_is_settling(self.ground.nodes[node], now) for node in self.ground.topology.ancestors(name)):
            return None
        if is_out:
            return Span(finding.least_ratio, finding.worst.ratio)
        return Span(finding.least_ratio, finding.least_ratio) if len(finding.circuits) == 1 else NOT_OVER

    def _judge(
        self, state: NodeState, levels: tuple[Level, ...], finding: Finding | None, span: Span | None,
        board: Board, now: Moment,
    ) -> None:  # fmt: skip
        spans = (span,) * len(levels)
        if finding is None:
            evidence = Evidence(spans=spans, is_known=False)
        else:
            worst = finding.worst
            band = min(level.limit for level in levels)
            sign = 1.0 if worst.volts > worst.nominal_volts else -1.0
            evidence = Evidence(
                spans=spans, lo=worst.volts, best=worst.volts, hi=worst.volts, unit="V",
                limit=worst.nominal_volts * (1.0 + sign * band), base=f"of {worst.nominal_volts:.0f} V nominal",
                what="voltage", detail=_detail(finding),
            )  # fmt: skip
        board.judge(self._rule, levels, state.target, evidence, now=now, cap_s=SLOT_CAP_S)


def _sources(state: NodeState, ground: Ground) -> tuple[Source, ...]:
    """Give what tells a circuit's voltage: meters at it, and the PDUs that hang on it."""
    plan = state.plan
    if plan.node.voltage_volts is None:
        return ()
    meters = [meter for meter in plan.meters if meter.parts == ("",)]
    for rack_id, letter in plan.feeds:
        meters += ground.topology.racks[rack_id].feeds[letter].inlets
    return tuple(meter.intake.source(VOLTAGE, part) for meter in meters for part in _PARTS)


def _ever_shown(sources: tuple[Source, ...]) -> tuple[Source, ...]:
    return tuple(source for source in sources if source.value is not None)


def _deviation(node: PowerNode, sources: tuple[Source, ...], look: Look) -> Deviation | None:
    """Give the live voltage that is farthest from its nominal one; None where none is live or the circuit is dead."""
    nominal = node.voltage_volts or 0.0
    known = [
        _from_nominal(source.value, nominal, node.phases)
        for source in sources
        if source.value is not None and source.rank_at(look.mono_ns) <= HELD
    ]
    alive = [found for found in known if found.volts > _DEAD_RATIO * found.nominal_volts]
    return max(alive, default=None)


def _from_nominal(volts: float, nominal_volts: float, phases: int) -> Deviation:
    """Measure a voltage against the nominal one it is nearer to: line to line, or line to neutral."""
    nominals = (nominal_volts, nominal_volts / _SQRT3) if phases > 1 else (nominal_volts,)
    nominal = min(nominals, key=lambda each: abs(volts / each - 1.0))
    return Deviation(abs(volts / nominal - 1.0), volts, nominal)


def _is_settling(state: NodeState, now: Moment) -> bool:
    changed_ns = state.source_changed_ns
    return changed_ns is not None and now.mono_ns - changed_ns < _SETTLING_NS


def _detail(finding: Finding) -> str:
    circuits = finding.circuits
    if len(circuits) == 1:
        return ""
    more = f" and {len(circuits) - _NAMES_SHOWN} more" if len(circuits) > _NAMES_SHOWN else ""
    return f"So on all {len(circuits)} measured circuits of it: {', '.join(circuits[:_NAMES_SHOWN])}{more}."

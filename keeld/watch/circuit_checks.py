"""Meters under check: each one's power and line currents against physics, their own past and other meters."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from keeld.budgets.limits import watts_of
from keeld.budgets.meters import Meter
from keeld.budgets.source import GOOD, MINUTE_NS, SECOND_NS, Source
from keeld.budgets.topology import Topology
from keeld.budgets.validity import (
    ANYTHING,
    BUSY_RATIO,
    SPIKE_RATIO,
    Line,
    Spikes,
    Stillness,
    confirms,
    identity_watts,
    is_too_fast,
    needs_s,
    outmoves,
    power_bounds,
)
from keeld.metrics import CURRENT, POWER, VOLTAGE, Metric
from keeld.model import Moment
from keeld.trees import PowerNode
from keeld.watch.doubts import Doubts

_SQRT3 = math.sqrt(3.0)
_BETWEEN_LINES = 1.35
"""A line's voltage this far above its nominal one is that between two lines."""
_CONTRADICTIONS = 2
_SUMS_KEPT = 6
_SIBLING_WEIGHT = 0.5
"""What another feed's move says of this one: a machine may draw from either."""
_FRESH_NS = 2 * MINUTE_NS


class Mover(NamedTuple):
    """A source that must move when its witness does; `full` is the rating, in the source's unit."""

    metric: Metric
    part: str
    source: Source
    full: float
    witness: Callable[[], float]
    """How far the witness moved, as a share of itself; asked for only where the source stands still."""


class Circuit:
    """One meter at one circuit. `rating_watts` and `volts` are None where the configuration gives none."""

    __slots__ = (
        "_contradictions",
        "_seen",
        "_spikes",
        "_still",
        "_sums",
        "meter",
        "rating_watts",
        "siblings",
        "twins",
        "volts",
    )

    def __init__(self, meter: Meter, node: PowerNode | None, rating_watts: float | None) -> None:
        self.meter = meter
        self.rating_watts = rating_watts
        self.volts = _line_volts(node)
        self.twins: list[Meter] = []
        """Other meters of the same circuit."""
        self.siblings: list[Meter] = []
        """Those of the rack's other feeds."""
        self._spikes = [Spikes() for _ in meter.powers]
        self._seen = [(0.0, 0) for _ in meter.powers]
        self._still: dict[Source, Stillness] = {}
        self._sums = array("d")
        """Of its line currents, once a minute: lines may move against each other."""
        self._contradictions = 0
        self._bound()

    @property
    def device_id(self) -> str:
        """Name its device."""
        return self.meter.intake.device.id

    def _bound(self) -> None:
        """Let its sources refuse what cannot be: powers beyond the rating, currents below nothing."""
        least, most = ANYTHING if self.rating_watts is None else power_bounds(self.rating_watts)
        for power in self.meter.powers:
            power.least, power.most = least, most
        for sources in self.meter.lines.values():
            for source in sources:
                source.least, source.most = 0.0, ANYTHING[1]

    def look_at_samples(self, doubts: Doubts, now: Moment) -> None:
        """Check each new sample of its power against those just before it."""
        rating = self.rating_watts
        if rating is None:
            return
        for index, power in enumerate(self.meter.powers):
            before, before_ns = self._seen[index]
            value, taken_ns = power.value, power.mono_ns
            if value is None or taken_ns == before_ns:
                continue
            self._seen[index] = value, taken_ns
            usual = self._spikes[index].look(value, SPIKE_RATIO * rating)
            seconds = (taken_ns - before_ns) / SECOND_NS
            is_fast = before_ns > 0 and is_too_fast(before, value, seconds, rating)
            if usual is not None or is_fast or doubts:
                self._settle_sample(doubts, index, usual, before if is_fast else None, now)

    def _settle_sample(
        self, doubts: Doubts, index: int, usual: float | None, before: float | None, now: Moment
    ) -> None:
        """Note or acquit a sample that stands alone, and one that came too fast."""
        power, part = self.meter.powers[index], self.meter.parts[index]
        value = power.value or 0.0
        reasons = (
            ("spike", usual, f"one sample of {value:.0f} W stands alone"),
            ("rate", before, f"it moved by more than its rating in a second, to {value:.0f} W"),
        )
        for check, instead, reason in reasons:
            if instead is None:
                doubts.acquit(self.device_id, POWER, part, check)
            else:
                doubts.accuse(self.device_id, POWER, part, check, reason, now, source=power, instead=instead)

    def look(self, doubts: Doubts, now: Moment) -> None:
        """Check what takes minutes to show: refused samples, power against current, and what stands still."""
        lines = self._lines(now.mono_ns)
        for index, power in enumerate(self.meter.powers):
            self._look_at_range(doubts, power, self.meter.parts[index], lines, now)
        self._look_at_identity(doubts, lines, now)
        self._note_sum(now.mono_ns)
        for mover in self._movers():
            self._look_at_stillness(doubts, mover, now)

    def _look_at_range(self, doubts: Doubts, power: Source, part: str, lines: list[Line], now: Moment) -> None:
        """List what was refused; let through what the currents, which are never refused, confirm."""
        refusal, rating = power.refusal, self.rating_watts
        if rating is not None and power.value is not None and power.value <= power_bounds(rating)[1]:
            power.most = power_bounds(rating)[1]
        if refusal is None or rating is None or now.mono_ns - refusal.mono_ns > _FRESH_NS:
            doubts.acquit(self.device_id, POWER, part, "range")
            return
        if refusal.value > 0.0 and len(self.meter.powers) == 1 and confirms(lines, refusal.value):
            power.most = ANYTHING[1]
            power.refusal = None
            return
        reason = f"{refusal.samples} samples refused, the last of {refusal.value:.0f} W on a circuit of {rating:.0f} W"
        doubts.accuse(self.device_id, POWER, part, "range", reason, now)

    def _lines(self, mono_ns: int) -> list[Line]:
        """Give voltage and current of every line, as long as all of them are measured and fresh."""
        found = [self._line(phase, mono_ns) for phase in self.meter.lines]
        known = [line for line in found if line is not None]
        return known if len(known) == len(found) else []

    def _line(self, phase: str, mono_ns: int) -> Line | None:
        current, volts = self.meter.line(phase), self._voltage(phase, mono_ns)
        if current is None or volts is None or current.value is None or current.rank_at(mono_ns) != GOOD:
            return None
        return Line(volts, current.value)

    def _voltage(self, phase: str, mono_ns: int) -> float | None:
        """Give a line's measured voltage to neutral; that between two lines is taken to its share."""
        sources, part = self.meter.intake.sources, self.meter.parts[0]
        names = [f"{part}/{phase}" if part and phase else part or phase, phase, "L1", "L1-L2", ""]
        for name in dict.fromkeys(names):
            source = sources.get((VOLTAGE, name))
            if source is None or source.value is None or source.rank_at(mono_ns) != GOOD:
                continue
            is_between = self.volts is not None and len(self.meter.lines) > 1
            return source.value / _SQRT3 if is_between and self._is_between_lines(source.value) else source.value
        return None

    def _is_between_lines(self, volts: float) -> bool:
        return self.volts is not None and volts > _BETWEEN_LINES * self.volts

    def _look_at_identity(self, doubts: Doubts, lines: list[Line], now: Moment) -> None:
        power, rating = self.meter.powers[0], self.rating_watts
        if len(self.meter.powers) > 1 or not lines or rating is None or power.value is None:
            return
        if power.rank_at(now.mono_ns) != GOOD or not self._is_one_poll(power):
            return
        factor = self.meter.factor
        known = factor is not None and factor.value is not None and factor.rank_at(now.mono_ns) == GOOD
        product = identity_watts(power.value, lines, factor.value if known and factor is not None else None, rating)
        self._contradictions = 0 if product is None else self._contradictions + 1
        if product is None:
            doubts.acquit(self.device_id, POWER, self.meter.parts[0], "identity")
        elif self._contradictions >= _CONTRADICTIONS:
            reason = f"it shows {power.value:.0f} W where its volts and amperes make {product:.0f}"
            doubts.accuse(
                self.device_id, POWER, self.meter.parts[0], "identity", reason, now, source=power, instead=product
            )

    def _is_one_poll(self, power: Source) -> bool:
        """Whether power and currents were read at the same time: a load that moves must not contradict itself."""
        currents = (self.meter.line(phase) for phase in self.meter.lines)
        return all(current is not None and current.mono_ns == power.mono_ns for current in currents)

    def _note_sum(self, mono_ns: int) -> None:
        """Keep the sum of its line currents; begin anew where one of them is missing."""
        currents = [self.meter.line(phase) for phase in self.meter.lines]
        values = [current.value for current in currents if current is not None and current.rank_at(mono_ns) == GOOD]
        known = [value for value in values if value is not None]
        if not known or len(known) != len(currents):
            del self._sums[:]
            return
        self._sums.append(math.fsum(known))
        del self._sums[:-_SUMS_KEPT]

    def _movers(self) -> Iterator[Mover]:
        """List what must move when its witness does, with how much that witness moved."""
        meter, rating = self.meter, self.rating_watts
        if rating is not None:
            for index, power in enumerate(meter.powers):
                yield Mover(POWER, meter.parts[index], power, rating, partial(self._power_witness, index))
        rating_amperes = _amperes(rating, self.volts, len(meter.lines))
        for phase in meter.lines if rating_amperes is not None else ():
            current = meter.line(phase)
            if current is not None and rating_amperes is not None:
                yield Mover(CURRENT, phase, current, rating_amperes, partial(self._line_witness, phase))

    def _power_witness(self, index: int) -> float:
        """Give the largest move beside a power: of its own lines, another meter, or, with less weight, another feed."""
        twins = [_move(power) for meter in self.twins for power in meter.powers]
        siblings = [_SIBLING_WEIGHT * _move(power) for meter in self.siblings for power in meter.powers]
        if len(self.meter.powers) == 1:
            own = [(max(self._sums) - min(self._sums)) / max(self._sums)] if any(self._sums) else []
        else:
            own = [
                _move(source) for sources in list(self.meter.lines.values())[index : index + 1] for source in sources
            ]
        return max([*own, *twins, *siblings], default=0.0)

    def _line_witness(self, phase: str) -> float:
        """Give the largest move that this line must have shared: of its own power, or on another meter."""
        sources = self.meter.intake.sources
        own = sources.get((POWER, phase)) if phase else self.meter.powers[0]
        twins = [source for meter in self.twins if (source := meter.line(phase)) is not None]
        return max((_move(source) for source in (own, *twins) if source is not None), default=0.0)

    def _look_at_stillness(self, doubts: Doubts, mover: Mover, now: Moment) -> None:
        source, part = mover.source, mover.part
        still = self._still.get(source)
        if still is None:
            still = self._still[source] = Stillness()
        if source.value is None or source.rank_at(now.mono_ns) != GOOD:
            still.forget()
            return
        seconds = still.look(source.value, source.mono_ns, has_moved=bool(source.spread))
        is_busy = source.value > BUSY_RATIO * mover.full
        is_due = seconds >= needs_s(source.interval_ns / SECOND_NS)
        if not (is_busy and is_due and outmoves(mover.witness(), source.value, still.step)):
            if not seconds:
                doubts.acquit(self.device_id, mover.metric, part, "stuck")
            return
        reason = f"it has stood at {source.value:g} for {seconds / 60.0:.0f} min while what it belongs to moved"
        doubts.accuse(self.device_id, mover.metric, part, "stuck", reason, now, source=source, instead=source.value)


def _line_volts(node: PowerNode | None) -> float | None:
    """Give a circuit's nominal voltage from line to neutral; of a single-phase circuit its own."""
    if node is None or node.voltage_volts is None:
        return None
    return node.voltage_volts / _SQRT3 if node.phases > 1 else node.voltage_volts


def _amperes(watts: float | None, volts: float | None, lines: int) -> float | None:
    return None if watts is None or not volts or not lines else watts / volts / lines


def _move(source: Source) -> float:
    """Give how far a source moved in five minutes, as a share of itself; nothing while it is in doubt."""
    if source.doubt is not None or not source.value:
        return 0.0
    return (source.spread or 0.0) / abs(source.value)


def circuits(topology: Topology) -> list[Circuit]:
    """Lay out every metered circuit of a site, each meter once."""
    found: dict[int, Circuit] = {}
    for plan in topology.racks.values():
        of_feed: dict[str, list[Circuit]] = {}
        for feed in plan.feeds.values():
            meters = [*feed.inlets, *feed.meters]
            of_feed[feed.letter] = [_circuit(found, meter, feed.node, topology) for meter in meters]
        _introduce(of_feed)
    for node in topology.nodes.values():
        for meter in node.meters:
            _circuit(found, meter, node.node, topology)
    return list(found.values())


def _circuit(found: dict[int, Circuit], meter: Meter, node: PowerNode | None, topology: Topology) -> Circuit:
    circuit = found.get(id(meter))
    if circuit is None:
        circuit = found[id(meter)] = Circuit(meter, node, _rating_watts(node, topology))
    return circuit


def _rating_watts(node: PowerNode | None, topology: Topology) -> float | None:
    """Give what copper and iron can carry: the nearest breaker or kVA rating at a node or above it.

    A limit in kW is what somebody agreed to, and refutes no meter.
    """
    for name in topology.ancestors(None if node is None else node.id):
        above = topology.nodes[name].node
        breaker = None if above.breaker_amperes is None else watts_of(above, above.breaker_amperes)
        ratings = [rating for rating in (breaker, above.limit_volt_amperes) if rating]
        if ratings:
            return min(ratings)
    return None


def _introduce(of_feed: dict[str, list[Circuit]]) -> None:
    """Tell a rack's meters of one another. Several PDUs on a feed share it, and are no twins."""
    for letter, members in of_feed.items():
        others = [circuit.meter for other, found in of_feed.items() if other != letter for circuit in found]
        pdus = [circuit for circuit in members if circuit.meter.intake.device.kind == "pdu"]
        for circuit in members:
            circuit.siblings = others
            alone = len(pdus) <= 1 or circuit not in pdus
            circuit.twins = [
                twin.meter for twin in members if twin is not circuit and alone and (len(pdus) <= 1 or twin not in pdus)
            ]

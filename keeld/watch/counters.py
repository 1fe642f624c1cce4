"""Means of racks and power nodes from the energy counters of their meters, where those are surer than spot readings.

A counter is asked when it has been read again. Its mean stands until the next reading, and no longer than a quarter of
the window. A counter that contradicts the spot readings by a factor of two is scaled wrongly and is not believed.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from typing import ClassVar

from keeld.alerts.board import Board
from keeld.budgets.counter import CounterMean, is_better, scatter_watts
from keeld.budgets.meters import Meter
from keeld.budgets.source import SECOND_NS
from keeld.budgets.topology import RackPlan
from keeld.budgets.window import Mean, slots_of
from keeld.model import Interval
from keeld.watch.counted import CountedMeter, together
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.rulebook import Windows

_LONGEST_S = 900.0
"""Longest window that a counter is asked about: over hours, spot readings are sure enough."""
_AGREES = 0.5
_EVERY_NS = 50 * SECOND_NS
"""Counters that are read more often are asked about once a minute."""
_SLOT_COST, _MEAN_COST = 1, 8


class _Circuit:
    """One circuit with the meters that make it up, its windows, and the spot readings of the longest of them."""

    __slots__ = ("_next", "_spots", "counted_ns", "draw", "meters", "windows")

    def __init__(self, meters: tuple[CountedMeter, ...], windows: Windows, draw: Callable[[], Interval]) -> None:
        self.meters = meters
        self.windows = windows
        self.draw = draw
        self.counted_ns = 0
        """When its counters were last asked."""
        self._spots = array("d")
        self._next = 0

    def note(self) -> None:
        """Keep the spot mean of the slot that has ended."""
        best = self.draw().best
        if best is None:
            return
        if len(self._spots) < slots_of(_LONGEST_S):
            self._spots.append(best)
            return
        self._spots[self._next] = best
        self._next = (self._next + 1) % len(self._spots)

    def newest(self, count: int) -> array[float]:
        """Give the last so many spot means, in any order."""
        if count >= len(self._spots):
            return self._spots
        end = self._next or len(self._spots)
        head = self._spots[max(0, end - count) : end]
        return head + self._spots[len(self._spots) - (count - len(head)) :] if len(head) < count else head

    def count(self, mono_ns: int) -> None:
        """Ask the counters for the mean of every window, and keep those that are surer."""
        self.counted_ns = mono_ns
        spans = (span_s for span_s in self.windows.spans_s if span_s <= _LONGEST_S)
        told = ((span_s, self._counted(span_s, mono_ns)) for span_s in spans)
        self.windows.counted = {span_s: mean for span_s, mean in told if mean is not None}

    def _counted(self, span_s: float, mono_ns: int) -> Mean | None:
        parts = [meter.mean(span_s, mono_ns) for meter in self.meters]
        known = [part for part in parts if part is not None]
        if len(known) != len(self.meters):
            return None
        mean = together(known)
        spots = self.newest(slots_of(span_s))
        if not is_better(mean, scatter_watts(spots)) or not _agrees(mean, spots):
            return None
        names = "+".join(meter.name for meter in self.meters)
        return Mean(mean.lo, mean.best, mean.hi, 1.0, f"energy counter of {names}")


class EnergyCounters(Duty):
    """Every circuit whose meters show an energy counter."""

    name: ClassVar[str] = "counters"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self._circuits = list(_circuits(ground))

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Take the counters' readings in and renew the means that they tell."""
        del board
        mono_ns = slot.look.mono_ns
        for circuit in self._circuits:
            if not all(meter.is_counting for meter in circuit.meters):
                continue
            circuit.note()
            news = [meter.see() for meter in circuit.meters]
            if (any(news) and mono_ns - circuit.counted_ns >= _EVERY_NS) or _is_old(circuit, mono_ns):
                circuit.count(mono_ns)
                yield _MEAN_COST
            yield _SLOT_COST

    def keep(self, before: EnergyCounters) -> None:
        """Take over the readings of the same meters."""
        past = {meter.identity: meter for circuit in before._circuits for meter in circuit.meters}
        for circuit in self._circuits:
            for meter in circuit.meters:
                if meter.identity in past:
                    meter.keep(past[meter.identity])


def _is_old(circuit: _Circuit, mono_ns: int) -> bool:
    """Whether no counter was read for so long that its means must be looked at again."""
    if not circuit.windows.counted:
        return False
    longest_ns = circuit.windows.shortest_s * SECOND_NS / 4
    return any(meter.age_ns(mono_ns) > longest_ns for meter in circuit.meters)


def _agrees(mean: CounterMean, spots: array[float]) -> bool:
    if not spots:
        return True
    seen = sum(spots) / len(spots)
    return mean.best >= _AGREES * seen and seen >= _AGREES * mean.best


def _circuits(ground: Ground) -> Iterator[_Circuit]:
    for rack in ground.racks.values():
        meters = _of_rack(rack.plan)
        if meters is not None:
            yield _Circuit(meters, rack.power, lambda rack=rack: rack.draw.total)  # type: ignore[misc]  # mypy#12557
    for node in ground.nodes.values():
        if node.plan.meters:
            meter = CountedMeter(node.plan.meters[0], node.plan.ceiling_watts)
            yield _Circuit((meter,), node.power, lambda node=node: node.known_draw)  # type: ignore[misc]  # as above


def _of_rack(plan: RackPlan) -> tuple[CountedMeter, ...] | None:
    """Give the meters that together are a rack: of each feed its PDUs, else the first meter ahead of them."""
    found: list[CountedMeter] = []
    for feed in plan.feeds.values():
        meters: list[Meter] = feed.inlets or feed.meters[:1]
        if not meters:
            return None
        found += [CountedMeter(meter, feed.ceiling_watts) for meter in meters]
    return tuple(found) or None

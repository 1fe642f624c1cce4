"""How the books of power nodes balance: losses, load that nothing accounts for, diversity and oversubscription."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

from keeld.alerts.board import Board
from keeld.budgets.day_maxima import DayMaxima
from keeld.budgets.draw import feed_error_ratio, meter_draw
from keeld.budgets.limits import BEYOND_ANY_SITE_WATTS, own_ceiling_watts
from keeld.budgets.ratios import diversity_ratio, oversubscription_ratio
from keeld.budgets.residual import Part, Residual, add_parts, measured, residual
from keeld.budgets.source import HELD, Look
from keeld.metrics import DIVERSITY, LOSS, OVERSUBSCRIPTION, UNATTRIBUTED, UNATTRIBUTED_ERROR
from keeld.model import Interval, Moment, Quality, Reading
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.nodes import NodeState

_LOSSY = frozenset({"ups", "transformer", "rectifier"})
"""Nodes between whose meter and what hangs on them heat is lost; elsewhere a difference is somebody's load."""
_TOLD = (Quality.GOOD, Quality.HELD)
_TWO = 2


class Books:
    """One node with what hangs on it."""

    __slots__ = ("below", "oversubscription", "places", "residual", "state", "together")

    def __init__(self, state: NodeState, oversubscription: float | None) -> None:
        self.state = state
        self.oversubscription = oversubscription
        self.residual: Residual | None = None
        self.places: tuple[int, ...] = ()
        """Where the peaks of what hangs on it are kept."""
        self.together = 0
        """Where the peak of their sum is kept."""
        self.below: tuple[tuple[str, str], ...] = ()
        """(node, "") or (rack, feed letter) of each of them."""


class Balance(Duty):
    """The books of every node that anything hangs on."""

    name: ClassVar[str] = "balance"
    speaks_of = frozenset({"power_node"})

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self._parts: dict[str, Part] = {}
        self._books = {
            name: Books(node, _oversubscription(node, ground))
            for name, node in ground.nodes.items()
            if node.plan.children or node.plan.feeds
        }
        names = self._name_places()
        self._peaks = DayMaxima(names)
        self._values = [0.0] * len(names)

    def _name_places(self) -> list[str]:
        """Give every quantity whose peak is kept a place, and its name there."""
        names: list[str] = []
        for name, books in self._books.items():
            plan = books.state.plan
            books.below = (*((child, "") for child in plan.children), *plan.feeds)
            books.places = tuple(range(len(names), len(names) + len(books.below)))
            names += [f"{name}<{below}/{letter}" for below, letter in books.below]
            books.together = len(names)
            names.append(f"{name}<")
        return names

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Balance every node's books, from the leaves up."""
        del board
        self._parts.clear()
        for index, name in enumerate(self.ground.topology.order):
            self._balance(self.ground.nodes[name], slot.look)
            if index % 10 == 0:
                yield 10
        self._peaks.note(self._values, slot.now.wall_ns)
        yield 1 + len(self._values) // 100

    def _balance(self, state: NodeState, look: Look) -> None:
        """Find what a node is known to draw, with its error, and what its meter shows beyond that."""
        name = state.plan.node.id
        own = _metered(state, look)
        books = self._books.get(name)
        if books is None:
            if own is not None:
                self._parts[name] = own
            return
        known = [self._part(below, letter, name) for below, letter in books.below]
        told = [part for part in known if part is not None]
        self._note_peaks(books, known)
        efficiency = state.plan.node.efficiency
        books.residual = None if own is None or not told else residual(own, told, self._divisor(state))
        if own is not None:
            self._parts[name] = own
        elif len(told) == len(known):
            below = add_parts(told)
            self._parts[name] = Part(below.watts / efficiency, below.error_squared / efficiency**2)

    @staticmethod
    def _divisor(state: NodeState) -> float:
        """Take losses out of what nobody accounts for, but not out of the loss itself."""
        return 1.0 if state.kind in _LOSSY else state.plan.node.efficiency

    def _part(self, below: str, letter: str, parent: str) -> Part | None:
        if not letter:
            plan = self.ground.topology.nodes[below]
            if plan.is_spare or plan.parent != parent:
                return Part(0.0, 0.0)
            return self._parts.get(below)
        return _fed(self.ground, below, letter)

    def _note_peaks(self, books: Books, known: list[Part | None]) -> None:
        values = self._values
        for place, part in zip(books.places, known, strict=True):
            values[place] = 0.0 if part is None else part.watts
        whole = all(part is not None for part in known)
        values[books.together] = sum(values[place] for place in books.places) if whole else 0.0

    def readings(self, kind: str, name: str) -> Iterable[Reading]:
        """Give a node's loss or unattributed load, and its ratios."""
        books = self._books.get(name) if kind == "power_node" else None
        if books is None:
            return ()
        found = [] if books.residual is None else list(_residual_readings(books.state, books.residual))
        if books.oversubscription is not None:
            found.append(Reading(OVERSUBSCRIPTION, books.oversubscription))
        if len(books.places) >= _TWO:
            peaks = [self._peaks.peak(place) for place in books.places]
            ratio = diversity_ratio(peaks, self._peaks.peak(books.together))
            found += [] if ratio is None else [Reading(DIVERSITY, ratio)]
        return found

    def findings(self) -> Iterable[str]:
        """Name the nodes whose meter shows a load that nothing below accounts for."""
        for name, books in self._books.items():
            left = books.residual
            if left is None or left.is_noise or left.watts < 0.0 or books.state.kind in _LOSSY:
                continue
            yield (
                f"{name} shows {left.watts / 1000:.1f} kW that nothing below it accounts for "
                f"(its meters may err by {left.error_watts / 1000:.1f} kW)"
            )

    def keep(self, before: Balance) -> None:
        """Take over the peaks."""
        self._peaks.keep(before._peaks)

    def memory(self) -> Mapping[str, bytes]:
        """Keep the peaks of each hour."""
        return self._peaks.dump()

    def recall(self, memory: Mapping[str, bytes], now: Moment) -> None:
        """Take them back."""
        del now
        self._peaks.load(memory)


def _metered(state: NodeState, look: Look) -> Part | None:
    """Give what a node's own live meter shows."""
    for meter in state.plan.meters:
        value = meter_draw(meter, look, state.plan.ceiling_watts)
        if value.rank <= HELD and value.best is not None:
            return measured(value.best, meter.error_ratio)
    return None


def _fed(ground: Ground, rack_id: str, letter: str) -> Part | None:
    """Give what a feed draws where that is measured, with the class of what measures it."""
    draw: Interval = ground.racks[rack_id].draw.feeds[letter]
    if draw.best is None or draw.coverage < 1.0 or draw.quality not in _TOLD:
        return None
    return measured(draw.best, feed_error_ratio(ground.racks[rack_id].plan.feeds[letter]))


def _oversubscription(state: NodeState, ground: Ground) -> float | None:
    limit = own_ceiling_watts(state.plan.node)
    budgets = [own_ceiling_watts(ground.topology.nodes[child].node) for child in state.plan.children]
    budgets += [ground.racks[rack_id].plan.rack.budget.power_watts or 0.0 for rack_id, _ in state.plan.feeds]
    if limit >= BEYOND_ANY_SITE_WATTS or any(budget >= BEYOND_ANY_SITE_WATTS for budget in budgets) or not any(budgets):
        return None
    return oversubscription_ratio(budgets, limit)


def _residual_readings(state: NodeState, left: Residual) -> Iterator[Reading]:
    if state.kind in _LOSSY:
        yield Reading(LOSS, left.watts)
        return
    yield Reading(UNATTRIBUTED, left.watts)
    yield Reading(UNATTRIBUTED_ERROR, left.error_watts)

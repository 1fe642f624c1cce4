"""How warm breakers are and when one may trip: an estimate beside rule 1's message, and to store; judges nothing.

Only breakers that are well loaded are followed: the others are cold, whatever their load did before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from keeld.alerts.board import Board
from keeld.budgets.breaker_heat import heat_share, trip_estimate_s, warmed
from keeld.budgets.source import HELD, SECOND_NS, Look
from keeld.budgets.window import SLOT_S
from keeld.metrics import BREAKER_HEAT, BREAKER_TRIP
from keeld.model import Reading
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.nodes import NodeState

_FOLLOWED_RATIO = 0.7
_COLD = _FOLLOWED_RATIO**2
"""Most heat of a breaker that is not followed."""
_LET_GO = 0.9 * _COLD
_WARM = 1.0
"""Heat that a breaker begins with where its load was not known before: that of its full rating."""
_SLOT_NS = int(SLOT_S * SECOND_NS)
_NODES_A_STEP = 16


class _Line:
    """One line of a breaker: its heat and its load over the last slot, as shares of the rating."""

    __slots__ = ("heat", "ratio")

    def __init__(self, heat: float) -> None:
        self.heat = heat
        self.ratio = 0.0


class BreakerHeat(Duty):
    """Every breaker that carries much, line by line."""

    name: ClassVar[str] = "breaker_heat"
    speaks_of = frozenset({"power_node"})

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self._breakers = [node for node in ground.nodes.values() if node.plan.node.breaker_amperes is not None]
        self._lines: dict[str, dict[str, _Line]] = {}
        self._unseen: set[str] = {node.plan.node.id for node in self._breakers}
        """Breakers whose load was not known in the slot before."""

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Warm up what is loaded, let go what has cooled."""
        del board
        for at, node in enumerate(self._breakers):
            self._warm(node, slot)
            if at % _NODES_A_STEP == 0:
                yield _NODES_A_STEP // 4

    def _warm(self, node: NodeState, slot: Slot) -> None:
        name, rating = node.plan.node.id, node.rating_amperes
        highest = -1.0
        for value in node.lines.values():
            if value is not None and value.rank <= HELD and value.best is not None and value.best > highest:
                highest = value.best
        if highest < 0.0 or not rating:
            self._let_go(node)
            self._unseen.add(name)
            return
        if name in self._lines or highest > _FOLLOWED_RATIO * rating:
            self._follow(node, rating, slot)
        self._unseen.discard(name)

    def _follow(self, node: NodeState, rating_amperes: float, slot: Slot) -> None:
        """Warm up each line of a breaker that is, or was, well loaded."""
        name = node.plan.node.id
        known = {phase: value.best for phase, value in node.lines.items() if value is not None and value.rank <= HELD}
        lines = self._lines.setdefault(name, {})
        for phase in lines.keys() - known.keys():
            del lines[phase]
        for phase, best in known.items():
            line = lines.get(phase)
            if line is None:
                line = lines[phase] = _Line(_WARM if name in self._unseen else _COLD)
            line.ratio = _rms_ratio(node, phase, best or 0.0, rating_amperes, slot.look)
            line.heat = warmed(line.heat, line.ratio**2, SLOT_S * (1 + slot.missed))
        if all(line.heat < _LET_GO for line in lines.values()):
            self._let_go(node)
        else:
            node.trip_words = _trip_words(lines.values())

    def _let_go(self, node: NodeState) -> None:
        self._lines.pop(node.plan.node.id, None)
        node.trip_words = ""

    def readings(self, kind: str, name: str) -> Iterable[Reading]:
        """Give the heat of each line that is followed, and the time left to the first that may trip."""
        lines = self._lines.get(name) if kind == "power_node" else None
        if not lines:
            return []
        found = [Reading(BREAKER_HEAT, heat_share(line.heat), phase) for phase, line in lines.items()]
        left_s = _left_s(lines.values())
        return found if left_s is None else [*found, Reading(BREAKER_TRIP, left_s)]

    def keep(self, before: BreakerHeat) -> None:
        """Take over the heat of breakers whose rating stayed."""
        ratings = {node.plan.node.id: node.plan.node.breaker_amperes for node in before._breakers}
        for node in self._breakers:
            name = node.plan.node.id
            if ratings.get(name) == node.plan.node.breaker_amperes:
                self._unseen.discard(name)
                if name in before._lines:
                    self._lines[name] = before._lines[name]


def _rms_ratio(node: NodeState, phase: str, mean_amperes: float, rating_amperes: float, look: Look) -> float:
    """Give what heated a line over the slot: the RMS of its samples, never less than their mean.

    Where several meters make up a line their RMS values are added, as if they swung together: never too little.
    """
    sources = (node.direct or {}).get(phase)
    if not sources:
        return mean_amperes / rating_amperes
    squares = [
        source.recent.mean_square(look.mono_ns - _SLOT_NS, look.mono_ns)
        for source in sources
        if source.recent is not None
    ]
    known = [square for square in squares if square is not None]
    rms_amperes = sum(square**0.5 for square in known) if len(known) == len(sources) else 0.0
    return max(mean_amperes, rms_amperes) / rating_amperes


def _left_s(lines: Iterable[_Line]) -> float | None:
    times = (trip_estimate_s(line.heat, line.ratio) for line in lines)
    return min((left_s for left_s in times if left_s is not None), default=None)


def _trip_words(lines: Iterable[_Line]) -> str:
    left_s = _left_s(lines)
    if left_s is None:
        return ""
    if left_s < SLOT_S:
        return "It may trip at any moment (an estimate, not a trip curve)."
    words = f"{left_s / 60:.0f} min" if left_s >= 100.0 else f"{left_s:.0f} s"  # noqa: PLR2004 - past it minutes do
    return f"At this load it may trip in about {words} (an estimate, not a trip curve)."

"""What moves within a rack when some of its feeds die: kept up from slot to slot, worked out anew when it changed.

A `Move` is the loss of some feeds of one rack, a `Flow` what one of its surviving feeds then takes over. Several cases
share them: what the loss of a feed moves is the same whether the feed dies alone or with the panel above it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from keeld.budgets.electrical import LOWEST_POWER_FACTOR
from keeld.budgets.failover import NOTHING, WHOLE, Fate, Shift, add, line_gain, minus, part, shift
from keeld.budgets.source import HELD, QUALITIES, Look, Value
from keeld.model import Interval
from keeld.trees import PowerNode
from keeld.watch.nodes import NodeState
from keeld.watch.racks import RackState
from keeld.watch.rulebook import Windows

_RANKS = {quality: rank for rank, quality in enumerate(QUALITIES)}
_SQRT3 = math.sqrt(3.0)
_IDLE = Shift(NOTHING, NOTHING, {})

Lines = tuple[Value | None, ...]
"""A current in A for each line of a node, in the order of its plan; None where nothing tells it."""


def settled(windows: Windows | None, live: Value) -> Value:
    """Give the 5-minute mean of what is measured now; of anything else what is known now, without a likeliest value."""
    if live.rank > HELD:
        return live._replace(best=None)
    mean = None if windows is None else windows.mean()
    return live if mean is None else Value(mean.seen_lo, mean.best, mean.hi, live.rank)


def of_interval(interval: Interval) -> Value:
    """Turn a published quantity back into one that can be added."""
    return Value(interval.lo, interval.best, interval.hi, _RANKS[interval.quality])


def is_same_lines(one: NodeState, other: NodeState) -> bool:
    """Whether no transformer lies between two nodes."""
    first, second = one.plan.node, other.plan.node
    return first.phases == second.phases and first.voltage_volts == second.voltage_volts


def is_alone(state: NodeState) -> bool:
    """Whether a node is one feed of one rack and nothing else."""
    return len(state.plan.feeds) == 1 and not state.plan.children


def most_line_amperes(node: PowerNode, watts: float) -> float:
    """Give what one line carries if a load hangs on that line alone, in A; without a voltage there is no such bound."""
    if not node.voltage_volts:
        return math.inf
    return watts / (node.voltage_volts / (_SQRT3 if node.phases > 1 else 1.0) * LOWEST_POWER_FACTOR)


class Carried:
    """What a node carries (5-minute means in W and, on each line, in A) and what it may; looked at once a slot."""

    __slots__ = ("allowed", "has_changed", "lines", "rating_amperes", "state", "watts")

    def __init__(self, state: NodeState) -> None:
        self.state = state
        self.rating_amperes = state.rating_amperes
        self.allowed = state.watts_limit
        self.watts = NOTHING
        self.lines: Lines = ()
        self.has_changed = True

    def refresh(self, *, is_live: bool) -> None:
        """Look again; `is_live` while a load has just moved: a mean would mix what was before with what is after."""
        state = self.state
        watts = settled(None if is_live else state.power, of_interval(state.known_draw))
        means = {} if is_live else state.continuous
        lives = [(state.lines.get(phase), means.get(phase)) for phase in state.plan.lines]
        lines = tuple([None if live is None else settled(windows, live) for live, windows in lives])
        rating_amperes, allowed = state.rating_amperes, state.watts_limit
        self.has_changed = (
            watts.rank > HELD
            or watts != self.watts
            or lines != self.lines
            or rating_amperes != self.rating_amperes
            or allowed != self.allowed
        )
        self.watts, self.lines, self.rating_amperes, self.allowed = watts, lines, rating_amperes, allowed


class Flow:
    """What one surviving feed of a rack takes over, in W, and in A on each line of its node."""

    __slots__ = ("has_changed", "letter", "lines", "move", "watts")

    def __init__(self, move: Move, letter: str) -> None:
        self.move = move
        self.letter = letter
        self.watts = NOTHING
        self.lines: Lines = ()
        self.has_changed = True

    def whole(self) -> Value | None:
        """Give all that the feed then carries, by the rack's own total; None where others take over as well."""
        return self.move.rest() if len(self.move.parting.weights) == 1 else None


class Move:
    """The loss of some feeds of a rack. Feeds that are dead already are lost no more and take nothing over."""

    __slots__ = ("_draws", "_gone", "_wired", "flows", "letters", "nodes", "parting", "rack", "shift")

    def __init__(self, rack: RackState, letters: frozenset[str], nodes: Mapping[str, Carried]) -> None:
        self.rack = rack
        self.letters = letters
        self.nodes = nodes
        feeds = rack.plan.feeds.items()
        self.flows = {
            letter: Flow(self, letter) for letter, feed in feeds if letter not in letters and feed.node is not None
        }
        self.shift = _IDLE
        self.replan(frozenset())

    def replan(self, gone: frozenset[str]) -> None:
        """Follow what has become of the rack's feeds: those that are dead already."""
        unfed = frozenset(letter for letter, feed in self.rack.plan.feeds.items() if feed.node is None)
        lost = self.letters - gone
        self._gone = gone
        self.parting = part(self.rack.plan, lost, (gone | unfed) - lost)
        self._wired = {letter: self._wiring(letter) for letter in self.flows}
        self._draws: dict[str, Value] = {}

    @property
    def is_idle(self) -> bool:
        """Whether all of its feeds are dead already."""
        return not self.parting.lost

    def _node(self, letter: str) -> Carried | None:
        node = self.rack.plan.feeds[letter].node
        return None if node is None else self.nodes.get(node.id)

    def _wiring(self, letter: str) -> tuple[Carried, ...] | None:
        """Give the nodes of the lost feeds if their lines tell what moves to the lines of a survivor."""
        survivor = self._node(letter)
        lost = [self._node(name) for name in self.parting.lost]
        if survivor is None:
            return None
        alike = [
            node for node in lost
            if node is not None and is_same_lines(node.state, survivor.state) and is_alone(node.state)
        ]  # fmt: skip
        return tuple(alike) if len(alike) == len(lost) else None

    def refresh(self, look: Look, *, is_live: bool) -> None:
        """Work it out again if what the lost feeds carry has changed."""
        draws = {letter: self._draw(letter, is_live=is_live) for letter in self.parting.lost}
        if draws == self._draws and not self._is_restless():
            for flow in self.flows.values():
                flow.has_changed = False
            return
        self._draws = draws
        self.shift = shift(self.parting, draws, look) if draws else _IDLE
        for letter, flow in self.flows.items():
            flow.watts = self.shift.gains.get(letter, NOTHING)
            flow.lines = self._lines(letter) if flow.watts.hi > 0.0 else ()
            flow.has_changed = True

    def _is_restless(self) -> bool:
        """Whether more than the feeds' draws may have changed: their lines, or what machines report."""
        if self.parting.fate is Fate.SPLITS or self.shift.carried.rank > HELD:
            return True
        return any(node.has_changed for wired in self._wired.values() for node in wired or ())

    def _draw(self, letter: str, *, is_live: bool) -> Value:
        windows = None if is_live else self.rack.feeds.get(letter)
        return settled(windows, of_interval(self.rack.draw.feeds[letter]))

    def _lines(self, letter: str) -> Lines:
        """Give what each line of a survivor takes over."""
        wired = self._wired[letter]
        survivor = self._node(letter)
        if survivor is None:
            return ()
        if wired is None:
            return (None,) * len(survivor.state.plan.lines)
        if len(wired) == 1 and self.shift.gains[letter] is self.shift.carried:
            return wired[0].lines
        most_dead = most_line_amperes(survivor.state.plan.node, self.shift.dead.hi) if self.shift.dead.hi > 0.0 else 0.0
        weight = self.parting.weights.get(letter, WHOLE)
        places = range(len(survivor.state.plan.lines))
        lost = [[node.lines[place] for node in wired] for place in places]
        return tuple(
            add(line_gain(line, self.shift, letter, weight, most_dead) for line in lines if line is not None)
            if None not in lines else None
            for lines in lost
        )  # fmt: skip

    def rest(self) -> Value:
        """Give what of the rack's own total is left when all of this is dead."""
        draws = self.rack.draw
        gone = [Value(0.0, None, draws.feeds[letter].hi, HELD + 1) for letter in self._gone]
        return minus(of_interval(draws.total), add([self.shift.dead, *gone]))

    def unknown(self) -> Iterator[str]:
        """Name the sources that would tell better what the lost feeds carry."""
        if self.shift.carried.rank > HELD:
            for letter in self.parting.lost:
                draw = self.rack.draw.feeds[letter]
                yield from draw.lost or draw.structural

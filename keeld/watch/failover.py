"""What would happen if a feed or a power node died now: worked out on demand for every feed and every node above one.

Loads move within their racks, feed by feed; what a rack's survivors take over then climbs the tree to every node above
them, except those that also feed what died: their load does not rise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from keeld.budgets.aftermath import FailoverCase, Survivor
from keeld.budgets.failover import Shift, add, line_gain, minus, shift
from keeld.budgets.interval import published
from keeld.budgets.source import HELD, Look, Value
from keeld.budgets.topology import Feed, RackPlan
from keeld.watch.failover_words import Fallen, sentence
from keeld.watch.nodes import NodeState
from keeld.watch.racks import RackState
from keeld.watch.state import SiteState
from keeld.watch.survivors import (
    Carried,
    Gain,
    by_weight,
    judge_survivor,
    most_line_amperes,
    of_interval,
)

Lost = Mapping[str, frozenset[str]]
"""Rack to the letters of its feeds that die."""


class Move(NamedTuple):
    """Where a rack's load goes, in W and on each survivor's lines in A."""

    shift: Shift
    lines: dict[str, dict[str, Value | None]]


@dataclass(slots=True)
class _Outcome:
    """What one case adds up to while its racks are walked."""

    gains: dict[str, Gain] = field(default_factory=dict)
    dead: list[Value] = field(default_factory=list)
    dying: list[str] = field(default_factory=list)
    degraded: list[str] = field(default_factory=list)
    unknown: dict[str, None] = field(default_factory=dict)


class Failover:
    """All cases of a site at one moment."""

    def __init__(self, state: SiteState, look: Look) -> None:
        self._state = state
        self._look = look
        self._gone = {key for key, feed in state.feeds.states.items() if feed.proof}
        self._below = _feeds_below(state)
        self._carried = Carried(is_live=bool(self._gone))
        self._moves: dict[tuple[str, frozenset[str]], Move] = {}

    def cases(self) -> Iterator[FailoverCase]:
        """Give every case, feeds first."""
        for name in self._state.racks:
            yield from self._feed_cases(name)
        for name in self._state.nodes:
            yield from self._node_cases(name)

    def cases_of(self, rack_id: str) -> Iterator[FailoverCase]:
        """Give the cases that take a feed from one rack."""
        rack = self._state.racks.get(rack_id)
        if rack is None:
            return
        yield from self._feed_cases(rack_id)
        above: dict[str, None] = {}
        for feed in rack.plan.feeds.values():
            above.update(dict.fromkeys(self._ancestors(feed)))
        for name in above:
            yield from self._node_cases(name)

    def _feed_cases(self, rack_id: str) -> Iterator[FailoverCase]:
        plan = self._state.racks[rack_id].plan
        for letter, feed in plan.feeds.items():
            if feed.node is None or (rack_id, letter) in self._gone:
                continue
            fallen = Fallen("feed", f"{rack_id}/{letter}", f"feed {letter.upper()}")
            yield self._case(fallen, {rack_id: frozenset({letter})}, self._ancestors(feed))

    def _node_cases(self, name: str) -> Iterator[FailoverCase]:
        plan, lost = self._state.nodes[name].plan, self._below[name]
        if not lost or (len(plan.feeds) == 1 and not plan.children):
            return  # what hangs on it alone has a case of its own
        alive = {
            rack_id: letters
            for rack_id, feeds in lost.items()
            if (letters := frozenset(letter for letter in feeds if (rack_id, letter) not in self._gone))
        }
        if alive:
            yield self._case(
                Fallen("power_node", name, plan.node.label or name), alive, self._state.topology.ancestors(name)
            )

    def _ancestors(self, feed: Feed) -> list[str]:
        return self._state.topology.ancestors(feed.node.id if feed.node is not None else None)

    def _case(self, fallen: Fallen, lost: Lost, above: list[str]) -> FailoverCase:
        outcome = _Outcome()
        for rack_id, letters in lost.items():
            self._lose(self._state.racks[rack_id], letters, frozenset(above), outcome)
        survivors = self._judge(outcome)
        dead = add(outcome.dead)
        worst = survivors[0].survival if survivors else None
        interval = published(dead, coverage=1.0 if dead.rank <= HELD else 0.0, lost=outcome.unknown)
        return FailoverCase(
            target_kind=fallen.kind,
            target_id=fallen.id,
            label=fallen.label,
            racks=tuple(sorted(lost)),
            survival=worst,
            survivors=survivors,
            dead=interval,
            dead_devices=tuple(outcome.dying),
            degraded_devices=tuple(outcome.degraded),
            text=sentence(fallen, survivors, interval, dying=outcome.dying, degraded=outcome.degraded),
        )

    def _judge(self, outcome: _Outcome) -> tuple[Survivor, ...]:
        survivors: list[Survivor] = []
        for name, gain in outcome.gains.items():
            gain.unknown.update(outcome.unknown)
            survivors += judge_survivor(self._state.nodes[name], gain, self._carried)
        return tuple(sorted(survivors, key=by_weight))

    def _lose(self, rack: RackState, letters: frozenset[str], above: frozenset[str], outcome: _Outcome) -> None:
        key = (rack.plan.rack.id, letters)
        move = self._moves.get(key)
        if move is None:
            move = self._moves[key] = self._move(rack, letters)
        moved = move.shift
        outcome.dead.append(moved.dead)
        outcome.dying += [load.intake.device.id for load in moved.machines.dying]
        outcome.degraded += [load.intake.device.id for load in moved.machines.degraded]
        if moved.carried.rank > HELD:
            outcome.unknown.update((name, None) for letter in letters for name in _unknown(rack, letter))
        for letter, gain in moved.gains.items():
            if gain.hi > 0.0:
                self._climb(rack, letter, move, above, outcome)

    def _move(self, rack: RackState, letters: frozenset[str]) -> Move:
        """Work out where the load of some of a rack's feeds goes; several cases ask for the same."""
        plan = rack.plan
        draws = {letter: self._carried.feed(rack, letter) for letter in plan.feeds}
        gone = frozenset(
            letter
            for letter, feed in plan.feeds.items()
            if letter not in letters and (feed.node is None or (plan.rack.id, letter) in self._gone)
        )
        moved = shift(plan, draws, letters, self._look, gone)
        return Move(moved, {letter: self._line_gains(rack, letter, moved) for letter in moved.gains})

    def _climb(self, rack: RackState, letter: str, move: Move, above: frozenset[str], outcome: _Outcome) -> None:
        """Add what a survivor takes over to its node and to all above that do not feed what died."""
        feed = rack.plan.feeds[letter]
        moved = move.shift
        watts, lines = moved.gains[letter], move.lines[letter]
        below: NodeState | None = None
        for name in self._ancestors(feed):
            if name in above:
                return
            state = self._state.nodes[name]
            node = state.plan.node
            if below is not None and not _is_same_lines(below, state):
                lines = dict.fromkeys(state.plan.lines)
            watts = _stretched(watts, 1.0 / node.efficiency)
            gain = outcome.gains.setdefault(name, Gain())
            gain.watts.append(watts)
            for phase in state.plan.lines:
                gain.lines.setdefault(phase, []).append(lines.get(phase))
            if below is None and len(moved.gains) == 1 and _is_alone(state):
                whole = minus(of_interval(rack.draw.total), add([moved.dead, *self._gone_draws(rack)]))
                gain.whole = _stretched(whole, 1.0 / node.efficiency)
            below = state

    def _gone_draws(self, rack: RackState) -> Iterator[Value]:
        """Bound what a rack's dead feeds are still taken to carry: it is in the rack's total, but nowhere else."""
        for letter in rack.plan.feeds:
            if (rack.plan.rack.id, letter) in self._gone:
                yield Value(0.0, None, rack.draw.feeds[letter].hi, HELD + 1)

    def _line_gains(self, rack: RackState, letter: str, moved: Shift) -> dict[str, Value | None]:
        """Give what each line of a survivor takes over, in A; None where no line current tells it."""
        survivor = rack.plan.feeds[letter].node
        state = self._state.nodes[survivor.id] if survivor is not None else None
        if state is None:
            return {}
        gains: dict[str, Value | None] = {}
        for phase in state.plan.lines:
            parts = [self._lost_line(rack.plan, lost, phase, letter, moved, state) for lost in moved.lost]
            known = [part for part in parts if part is not None]
            gains[phase] = add(known) if len(known) == len(parts) else None
        return gains

    def _lost_line(
        self, plan: RackPlan, lost: str, phase: str, letter: str, moved: Shift, survivor: NodeState
    ) -> Value | None:
        node = plan.feeds[lost].node
        state = self._state.nodes[node.id] if node is not None else None
        if state is None or not _is_same_lines(state, survivor) or not _is_alone(state):
            return None
        line = self._carried.line(state, phase)
        if line is None:
            return None
        most_dead = most_line_amperes(state.plan.node, moved.dead.hi) if moved.dead.hi > 0.0 else 0.0
        return line_gain(line, moved, letter, most_dead)


def _feeds_below(state: SiteState) -> dict[str, dict[str, frozenset[str]]]:
    """Give for each node the feeds that die with it, by rack."""
    found: dict[str, dict[str, frozenset[str]]] = {}
    for name in state.topology.order:
        plan = state.nodes[name].plan
        below: dict[str, frozenset[str]] = {}
        for rack_id, letter in plan.feeds:
            below[rack_id] = below.get(rack_id, frozenset()) | {letter}
        for child in plan.children:
            for rack_id, letters in found[child].items():
                below[rack_id] = below.get(rack_id, frozenset()) | letters
        found[name] = below
    return found


def _unknown(rack: RackState, letter: str) -> tuple[str, ...]:
    draw = rack.draw.feeds[letter]
    return draw.lost or draw.structural


def _is_same_lines(one: NodeState, other: NodeState) -> bool:
    """Whether no transformer lies between two nodes."""
    first, second = one.plan.node, other.plan.node
    return first.phases == second.phases and first.voltage_volts == second.voltage_volts


def _is_alone(state: NodeState) -> bool:
    """Whether a node is one feed of one rack and nothing else."""
    return len(state.plan.feeds) == 1 and not state.plan.children


def _stretched(value: Value, ratio: float) -> Value:
    if ratio == 1.0:
        return value
    return Value(value.lo * ratio, None if value.best is None else value.best * ratio, value.hi * ratio, value.rank)

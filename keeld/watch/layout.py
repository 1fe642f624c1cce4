"""Failover cases laid out: what dies at once, what moves within racks then, and which nodes have to carry more.

A layout depends on the configuration alone. Cases share what they have in common: the loss of a feed moves the same
whether the feed dies alone or with the panel above it, and so it strains the same survivor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from keeld.budgets.topology import Topology
from keeld.watch.moves import Carried, Move, is_alone, is_same_lines
from keeld.watch.nodes import NodeState
from keeld.watch.racks import RackState
from keeld.watch.survivors import Inflow, Stress

Lost = Mapping[str, frozenset[str]]
"""Rack to the letters of its feeds that die."""


class Fallen(NamedTuple):
    """What is taken to die."""

    kind: str
    id: str
    label: str


@dataclass(slots=True, eq=False)
class Case:
    """What dies at once, the moves within racks that follow, and the nodes that have to carry more."""

    fallen: Fallen
    moves: tuple[Move, ...]
    stresses: tuple[Stress, ...]

    @property
    def is_open(self) -> bool:
        """Whether there is anything left to lose: what is dead already has no case."""
        return any(not move.is_idle for move in self.moves)


class Layout:
    """Makes cases, and keeps the moves and stresses that they are made of."""

    def __init__(self, topology: Topology, racks: Mapping[str, RackState], carried: Mapping[str, Carried]) -> None:
        self.moves: dict[tuple[str, frozenset[str]], Move] = {}
        self.stresses: list[Stress] = []
        self._topology = topology
        self._racks = racks
        self._carried = carried
        self._known: dict[tuple[str, tuple[int, ...]], Stress] = {}

    def case(self, fallen: Fallen, lost: Lost, above: Iterable[str]) -> Case:
        """Lay out the loss of some feeds; `above` are the nodes that feed what dies, whose load does not rise."""
        moves = tuple(self._move(rack_id, letters) for rack_id, letters in lost.items())
        inflows: dict[str, list[Inflow]] = {}
        spared = frozenset(above)
        for move in moves:
            self._climb(move, spared, inflows)
        return Case(fallen, moves, tuple(self._stress(name, tuple(found)) for name, found in inflows.items()))

    def _move(self, rack_id: str, letters: frozenset[str]) -> Move:
        key = rack_id, letters
        if key not in self.moves:
            self.moves[key] = Move(self._racks[rack_id], letters, self._carried)
        return self.moves[key]

    def _climb(self, move: Move, spared: frozenset[str], inflows: dict[str, list[Inflow]]) -> None:
        """Add what each survivor takes over to its node and to all above that do not feed what died."""
        for letter, flow in move.flows.items():
            ratio, has_lines = 1.0, True
            below: NodeState | None = None
            node = move.rack.plan.feeds[letter].node
            for name in self._topology.ancestors(node.id if node is not None else None):
                if name in spared:
                    break
                state = self._carried[name].state
                ratio /= state.plan.node.efficiency
                has_lines = has_lines and (below is None or is_same_lines(below, state))
                inflows.setdefault(name, []).append(Inflow(flow, ratio, has_lines))
                below = state

    def _stress(self, name: str, inflows: tuple[Inflow, ...]) -> Stress:
        key = name, tuple(id(inflow.flow) for inflow in inflows)
        stress = self._known.get(key)
        if stress is None:
            carried = self._carried[name]
            stress = Stress(len(self.stresses), carried, inflows, is_alone=is_alone(carried.state))
            self._known[key] = stress
            self.stresses.append(stress)
        return stress


def feeds_below(topology: Topology) -> dict[str, dict[str, frozenset[str]]]:
    """Give for each node the feeds that die with it, by rack: those that it feeds now."""
    found: dict[str, dict[str, frozenset[str]]] = {}
    for name in topology.order:
        plan = topology.nodes[name]
        below: dict[str, frozenset[str]] = {}
        for rack_id, letter in plan.feeds:
            below[rack_id] = below.get(rack_id, frozenset()) | {letter}
        for child in (child for child in plan.children if topology.nodes[child].parent == name):
            for rack_id, letters in found[child].items():
                below[rack_id] = below.get(rack_id, frozenset()) | letters
        found[name] = below
    return found

"""What would happen if a feed or a power node died now: kept up for every feed of every rack and every node above one.

Theory of operation. Loads move within their racks, feed by feed (`moves`); what a rack's survivors take over climbs the
tree to every node above them, except those that also feed what died: their load does not rise (`survivors`). All of it
is laid out once for a configuration (`layout`). At the end of a slot each node and feed is looked at once, and only
what hangs on one that has changed is worked out again. What people read is put together when somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from keeld.budgets.aftermath import FailoverCase
from keeld.budgets.source import Look
from keeld.budgets.topology import Topology
from keeld.watch.failover_words import Loss, loss_words, tell, worst_survivor
from keeld.watch.feeds import FeedWatch
from keeld.watch.layout import Case, Fallen, Layout, Lost, feeds_below
from keeld.watch.moves import Carried, Move
from keeld.watch.nodes import NodeState
from keeld.watch.racks import RackState
from keeld.watch.survivors import Stress

FeedKey = tuple[str, str]
"""A rack and the letter of one of its feeds."""
_EVERY_SLOTS = 3


class Failover:
    """All cases of a site, as of the last slot."""

    def __init__(
        self, topology: Topology, racks: Mapping[str, RackState], nodes: Mapping[str, NodeState], feeds: FeedWatch
    ) -> None:
        self.cases: dict[tuple[str, str], Case] = {}
        self.stresses: list[Stress] = []
        self.feed_cases: dict[str, list[tuple[str, Case]]] = {}
        """Rack to what the loss of each of its feeds would do, by letter."""
        self.layouts = 0
        """How often it was laid out: whoever keeps something for each stress must follow."""
        self.look: Look | None = None
        """When it was last worked out."""
        self._moves: list[Move] = []
        self._busy: list[Move] = []
        """Moves that load somebody; the others are worked out when somebody asks."""
        self._on_node: dict[str, list[Stress]] = {}
        self._causes: dict[int, Case] = {}
        self._below: dict[str, dict[str, frozenset[str]]] = {}
        self._parents: list[str | None] = []
        self._topology = topology
        self._racks = racks
        self._feeds = feeds
        self._carried = {name: Carried(state) for name, state in nodes.items()}
        self._slots = 0
        self._gone: frozenset[FeedKey] = frozenset()
        self._live_racks: frozenset[str] = frozenset()
        self._live_nodes: frozenset[str] = frozenset()
        self._switched = [plan for plan in topology.nodes.values() if plan.tellers]
        """Nodes that may be fed from elsewhere at any time."""
        for _ in self._lay_out():
            pass

    def _lay_out(self) -> Iterator[int]:
        """Lay out every case as the tree is now; yields what each step cost."""
        layout = Layout(self._topology, self._racks, self._carried)
        below = feeds_below(self._topology)
        cases: dict[tuple[str, str], Case] = {}
        for rack_id, rack in self._racks.items():
            for letter, feed in rack.plan.feeds.items():
                if feed.node is not None:
                    fallen = Fallen("feed", f"{rack_id}/{letter}", f"feed {letter.upper()}")
                    above = self._topology.ancestors(feed.node.id)
                    cases["feed", fallen.id] = layout.case(fallen, {rack_id: frozenset({letter})}, above)
            yield 20
        for name in self._carried:
            plan, lost = self._topology.nodes[name], below[name]
            if lost and (len(plan.feeds) != 1 or plan.children):  # what hangs on it alone has a case of its own
                fallen = Fallen("power_node", name, plan.node.label or name)
                cases["power_node", name] = layout.case(fallen, lost, self._topology.ancestors(name))
                yield 2 * len(lost)
        self.cases, self.stresses = cases, layout.stresses
        self.layouts += 1
        self._below = below
        self._moves = list(layout.moves.values())
        self._busy = list({id(move): move for case in cases.values() if case.stresses for move in case.moves}.values())
        self.feed_cases = {
            rack_id: [
                (letter, cases[key]) for letter in rack.plan.feeds if (key := ("feed", f"{rack_id}/{letter}")) in cases
            ]
            for rack_id, rack in self._racks.items()
        }
        self._on_node = {}
        for stress in self.stresses:
            self._on_node.setdefault(stress.carried.state.plan.node.id, []).append(stress)
        self._causes = {stress.number: case for case in reversed(cases.values()) for stress in case.stresses}
        self._parents = [plan.parent for plan in self._switched]
        for move in self._moves:
            if move.rack.plan.rack.id in self._live_racks:
                move.replan(self.gone_of(move.rack.plan.rack.id))

    def refresh(self, look: Look) -> Iterator[int]:
        """Look at every node and feed once, and work out again what has changed; yields what each step cost.

        Means of five minutes do not need that every ten seconds: while nothing has died, every third slot does.
        """
        has_moved = self._parents != [plan.parent for plan in self._switched]
        if has_moved:
            yield from self._lay_out()
        has_moved |= self._follow_feeds()
        self._slots += 1
        if self._slots % _EVERY_SLOTS and not (has_moved or self._live_racks or self.look is None):
            return
        for name, carried in self._carried.items():
            carried.refresh(is_live=name in self._live_nodes)
            yield 2
        for move in self._busy:
            move.refresh(look, is_live=move.rack.plan.rack.id in self._live_racks)
            yield 2
        for stress in self.stresses:
            stress.refresh()
            yield 1
        self.look = look

    def _follow_feeds(self) -> bool:
        """Take note of feeds that have died or come back; racks that have lost one are judged on what flows now.

        True when any has.
        """
        gone = frozenset(key for key, feed in self._feeds.states.items() if feed.proof)
        if gone == self._gone:
            return False
        touched = {rack_id for rack_id, _ in gone ^ self._gone}
        self._gone = gone
        for move in self._moves:
            rack_id = move.rack.plan.rack.id
            if rack_id in touched:
                move.replan(self.gone_of(rack_id))
        self._live_racks = frozenset(rack_id for rack_id, _ in gone)
        self._live_nodes = frozenset(name for rack_id in self._live_racks for name in self.nodes_above(rack_id))
        return True

    def gone_of(self, rack_id: str) -> frozenset[str]:
        """Give the feeds of a rack that are dead."""
        return frozenset(letter for name, letter in self._gone if name == rack_id)

    def nodes_above(self, rack_id: str) -> list[str]:
        """List every node that feeds a rack, each once, nearest first for each feed."""
        found: dict[str, None] = {}
        for feed in self._racks[rack_id].plan.feeds.values():
            found.update(dict.fromkeys(self._topology.ancestors(feed.node.id if feed.node is not None else None)))
        return list(found)

    @property
    def live_racks(self) -> frozenset[str]:
        """Racks that have lost a feed."""
        return self._live_racks

    def case_of(self, stress: Stress) -> Case:
        """Give the least failure that brings a stress about."""
        return self._causes[stress.number]

    def paths_of(self, stress: Stress) -> tuple[list[NodeState], list[str]]:
        """Give all that a stress hangs on: the nodes above what dies and above the survivor, and the feeds that die."""
        found = dict.fromkeys(self._topology.ancestors(stress.carried.state.plan.node.id))
        feeds = []
        for inflow in stress.inflows:
            rack = inflow.flow.move.rack.plan
            for letter in inflow.flow.move.letters:
                node = rack.feeds[letter].node
                found.update(dict.fromkeys(self._topology.ancestors(node.id if node is not None else None)))
                feeds.append(f"{rack.rack.id}/{letter}")
        return [self._carried[name].state for name in found], feeds

    def worst_on(self, node_id: str) -> Stress | None:
        """Give the stress on a node that strains it most; None where it never takes anything over."""
        found = self._on_node.get(node_id, ())
        worst = max(found, key=_by_strain) if len(found) > 1 else next(iter(found), None)
        return worst if worst is not None and worst.strain.hi > 0.0 else None

    def words_of(self, rack_id: str) -> str:
        """Say what the worst loss of a feed would do to a rack; empty where every survivor would hold for hours."""
        found = [(stress, case) for _, case in self.feed_cases.get(rack_id, ()) for stress in case.stresses]
        stress, case = max(found, key=lambda pair: _by_trouble(pair[0]), default=(None, None))
        if stress is None or case is None or stress.strain.derated_hi <= 1.0:
            return ""
        survivor = worst_survivor(stress)
        return "" if survivor is None else loss_words(Loss(case.fallen, "rack"), survivor)

    def tell_all(self) -> Iterator[FailoverCase]:
        """Give every case, feeds first."""
        yield from self._tell(self.cases.values())

    def tell_of(self, rack_id: str) -> Iterator[FailoverCase]:
        """Give the cases that take a feed from one rack."""
        rack = self._racks.get(rack_id)
        if rack is None:
            return
        keys = [("feed", f"{rack_id}/{letter}") for letter in rack.plan.feeds]
        keys += [("power_node", name) for name in self.nodes_above(rack_id)]
        yield from self._tell(self.cases[key] for key in keys if key in self.cases)

    def _tell(self, cases: Iterable[Case]) -> Iterator[FailoverCase]:
        for case in cases:
            if case.is_open:
                self._refresh_idle(case)
                yield tell(case)

    def _refresh_idle(self, case: Case) -> None:
        """Work out the moves that load nobody: they are not kept up."""
        if not case.stresses and self.look is not None:
            for move in case.moves:
                move.refresh(self.look, is_live=move.rack.plan.rack.id in self._live_racks)

    def without(self, targets: Iterable[tuple[str, str]]) -> FailoverCase | None:
        """Say what would happen if all of these died together: feeds as `rack/letter`, power nodes; None for none."""
        lost: dict[str, frozenset[str]] = {}
        above: dict[str, None] = {}
        names = []
        for kind, name in targets:
            for rack_id, letters in self._lost_with(kind, name).items():
                lost[rack_id] = lost.get(rack_id, frozenset()) | letters
            above.update(dict.fromkeys(self._above(kind, name)))
            names.append(name)
        if not lost or self.look is None:
            return None
        layout = Layout(self._topology, self._racks, self._carried)
        case = layout.case(Fallen("work", "+".join(names), " and ".join(names)), lost, above)
        for move in case.moves:
            rack_id = move.rack.plan.rack.id
            move.replan(self.gone_of(rack_id))
            move.refresh(self.look, is_live=rack_id in self._live_racks)
        return tell(case)

    def _lost_with(self, kind: str, name: str) -> Lost:
        """Give the feeds that die with a feed or a power node; none where it is neither."""
        if kind == "power_node":
            return self._below.get(name, {})
        rack_id, _, letter = name.rpartition("/")
        is_known = kind == "feed" and rack_id in self._racks and letter in self._racks[rack_id].plan.feeds
        return {rack_id: frozenset({letter})} if is_known else {}

    def _above(self, kind: str, name: str) -> list[str]:
        if kind == "power_node":
            return self._topology.ancestors(name)
        rack_id, _, letter = name.rpartition("/")
        rack = self._racks.get(rack_id)
        feed = None if rack is None else rack.plan.feeds.get(letter)
        return [] if feed is None or feed.node is None else self._topology.ancestors(feed.node.id)


def _by_strain(stress: Stress) -> tuple[float, float]:
    return stress.strain.derated_lo, stress.strain.derated_hi


def _by_trouble(stress: Stress) -> tuple[float, float]:
    """Order what certainly is too much before what possibly is."""
    return max(1.0, stress.strain.derated_lo), stress.strain.derated_hi

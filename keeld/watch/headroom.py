"""Usable headroom of every rack: the least of its budget, its feeds, every node above them, failover and cooling.

Theory of operation. A walk takes the loads of one moment. What every rack's feeds would push onto its others is summed
up for each node that may die and each that takes over. A rack's headroom is then the least room of any node above it:
as it stands, and after each loss that would move its own load or others' onto that node. All of it is worked out every
five minutes, a rack at a time, and for a person who asks at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import ClassVar

from keeld.alerts.board import Board
from keeld.budgets.headroom import Bound, Headroom, Room, shares_below, stranded_watts, tightest
from keeld.budgets.heat import liquid_range
from keeld.budgets.source import Look
from keeld.metrics import STRANDED, USABLE_HEADROOM
from keeld.model import Reading
from keeld.watch.cooling import CoolingState
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.racks import RackState
from keeld.watch.room import MeanLoads, Moves, NodeRooms, PeakLoads

_EVERY_SLOTS = 30
_FIRST_SLOTS = frozenset({1, 4, 12, 20})
_RACK_COST = 50
_NO_LIMIT = 1e12


class Walk:
    """All headroom of a site on one kind of load."""

    def __init__(self, ground: Ground, loads: MeanLoads) -> None:
        self._ground = ground
        self._loads = loads
        self._moves = Moves(ground, loads)
        self._rooms = NodeRooms(ground, loads)
        self._heats: dict[str, float] = {}

    def prepare(self) -> Iterator[int]:
        """Sum up what each loss would move; yields what each step cost."""
        for name in self._ground.racks:
            self._moves.add(name)
            yield 8

    def rooms_of(self, rack: RackState) -> tuple[Room, ...]:
        """List what binds a rack, tightest first."""
        found = [*self._own(rack), *self._cooling(rack), *self._above(rack)]
        return tightest(found)

    def _own(self, rack: RackState) -> Iterator[Bound]:
        limit = rack.plan.rack.budget.power_watts
        if limit:
            yield Bound("power", rack.plan.rack.id, limit - self._loads.rack(rack), "budget")

    def _cooling(self, rack: RackState) -> Iterator[Bound]:
        """Give what the rack's heat budgets leave, and the zone and loop that carry its heat away."""
        low, high = liquid_range(rack.plan)
        plan, budget = rack.plan.rack, rack.plan.rack.budget
        for kind, share, heat, limit, node in (
            ("air", 1.0 - low, rack.heat.air, budget.air_watts, plan.cooling_air),
            ("liquid", high, rack.heat.liquid, budget.liquid_watts, plan.cooling_liquid),
        ):
            if share <= 0.0:
                continue
            if limit:
                yield Bound(kind, plan.id, (limit - heat.hi) / share, f"{kind} budget")
            zone = self._ground.cooling.get(node or "")
            if zone is not None and zone.limit_watts is not None:
                room = (zone.limit_watts - self._heat_of(zone)) / share
                yield Bound(kind, zone.node.id, room, f"{zone.node.redundancy} capacity")

    def _heat_of(self, zone: CoolingState) -> float:
        name = zone.node.id
        if name not in self._heats:
            self._heats[name] = zone.heat().hi
        return self._heats[name]

    def _above(self, rack: RackState) -> Iterator[Bound]:
        feeds = self._moves.above[rack.plan.rack.id]
        for name, share in shares_below(feeds).items():
            for capacity in self._rooms.of(name):
                yield Bound(capacity.constraint, name, capacity.free_watts / share, capacity.base)
                cause, gained = self._moves.worst(name)
                if cause:
                    yield Bound("failover", name, capacity.free_after_watts(gained) / share, capacity.base, cause)
        if rack.plan.rack.redundancy != "N":
            yield from self._after_own_loss(feeds)

    def _after_own_loss(self, feeds: dict[str, tuple[str, ...]]) -> Iterator[Bound]:
        """Give what is left once one of the rack's own feeds is dead, or a node above it."""
        for cause in dict.fromkeys(name for nodes in feeds.values() for name in nodes):
            dead = frozenset(letter for letter, nodes in feeds.items() if cause in nodes)
            for name, share in shares_below(feeds, dead).items():
                gained = self._moves.gain(cause, name)
                for capacity in self._rooms.of(name):
                    yield Bound("failover", name, capacity.free_after_watts(gained) / share, capacity.base, cause)

    def note_stranded(self, rooms: dict[str, tuple[Room, ...]], found: dict[str, float]) -> Iterator[int]:
        """Fill in the free capacity of each node that nothing below it can use, in W; yields what each step cost."""
        usable: dict[str, float] = {}
        topology = self._ground.topology
        for name in topology.order:
            plan = topology.nodes[name]
            free = min((capacity.free_watts for capacity in self._rooms.of(name)), default=_NO_LIMIT)
            below = [usable[child] for child in topology.loaded_children(plan) if child in usable]
            below += [_rack_limit(rooms.get(rack_id, ()), rack_id) for rack_id, _ in plan.feeds]
            usable[name] = min(free, sum(max(0.0, watts) for watts in below)) if below else free
            if below and free < _NO_LIMIT and all(watts < _NO_LIMIT for watts in below):
                found[name] = stranded_watts(free, below)
            yield 1


def _rack_limit(rooms: Iterable[Room], rack_id: str) -> float:
    """Give what the rack itself and its cooling leave, apart from the power above it."""
    own = (room.watts for room in rooms if room.target == rack_id or room.constraint in ("air", "liquid"))
    return min(own, default=_NO_LIMIT)


class HeadroomWatch(Duty):
    """Headroom of all racks, five minutes old at most, as derived readings; and afresh for who asks."""

    name: ClassVar[str] = "headroom"
    speaks_of = frozenset({"rack", "power_node"})

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self._usable: dict[str, float] = {}
        self._stranded: dict[str, float] = {}
        self._turn = 0

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Work everything out anew every five minutes, and more often while the first means fill."""
        del board
        self._turn += 1
        if self._turn % _EVERY_SLOTS and self._turn not in _FIRST_SLOTS:
            return
        walk = Walk(self.ground, MeanLoads(slot.look))
        yield from walk.prepare()
        rooms: dict[str, tuple[Room, ...]] = {}
        for name, rack in self.ground.racks.items():
            rooms[name] = walk.rooms_of(rack)
            yield _RACK_COST
        self._usable = {name: found[0].watts for name, found in rooms.items() if found}
        stranded: dict[str, float] = {}
        yield from walk.note_stranded(rooms, stranded)
        self._stranded = stranded

    def readings(self, kind: str, name: str) -> Iterable[Reading]:
        """Give a rack's usable headroom, and a node's stranded capacity."""
        if kind == "rack" and name in self._usable:
            return (Reading(USABLE_HEADROOM, self._usable[name]),)
        if kind == "power_node" and name in self._stranded:
            return (Reading(STRANDED, self._stranded[name]),)
        return ()

    def tell(self, look: Look, rack_id: str | None = None) -> Iterator[Headroom | None]:
        """Work out the headroom of one rack, or of all of them; None where a caller may let others run meanwhile."""
        mean = Walk(self.ground, MeanLoads(look))
        peak = Walk(self.ground, PeakLoads(look))
        for _ in chain(mean.prepare(), peak.prepare()):
            yield None
        chosen = self.ground.racks if rack_id is None else {rack_id: self.ground.racks[rack_id]}
        for name, rack in chosen.items():
            rooms, peaks = mean.rooms_of(rack), peak.rooms_of(rack)
            yield Headroom(
                rack=name,
                label=rack.plan.rack.label or name,
                watts=rooms[0].watts if rooms else None,
                rooms=rooms,
                peak_watts=peaks[0].watts if peaks else None,
                lost=rack.draw.total.lost,
            )

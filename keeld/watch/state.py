"""What the watch knows of one configuration, and the one walk over it that closes a slot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from keeld.alerts.board import Board
from keeld.budgets.draw import feed_error_ratio, is_metered_now
from keeld.budgets.intake import Intake
from keeld.budgets.residual import Part, add_parts, measured, residual
from keeld.budgets.source import Look
from keeld.budgets.topology import Topology
from keeld.model import Batch, Interval, Moment, Reading
from keeld.watch.breakers import is_urgent, judge_continuous, judge_overload, judge_overload_slot
from keeld.watch.cooling import cooling_states
from keeld.watch.derived import (
    Publisher,
    cooling_readings,
    draw_readings,
    node_readings,
    rack_readings,
    site_draw,
)
from keeld.watch.duties import DUTIES
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.failover import Failover
from keeld.watch.feeds import FeedWatch
from keeld.watch.nodes import NodeState
from keeld.watch.orders import Orders
from keeld.watch.racks import RackState, judge_density, note_facts
from keeld.watch.rulebook import Rulebook
from keeld.watch.silence import Silence
from keeld.watch.subjects import Subject, subjects


class SiteState:
    """One configuration being watched."""

    def __init__(self, topology: Topology, rules: Rulebook, now: Moment) -> None:
        self.topology = topology
        self.rules = rules
        look = Look(now.mono_ns)
        self.racks = {
            name: RackState(plan, rules, look, loop=topology.cooling.get(plan.rack.cooling_liquid or ""))
            for name, plan in topology.racks.items()
        }
        self.nodes = {name: NodeState(topology.nodes[name], topology, rules) for name in topology.order}
        self.cooling = cooling_states(topology, self.racks)
        self.feeds = FeedWatch(topology)
        self.silence = Silence(topology, self.racks, now.mono_ns)
        self.publisher = Publisher(topology.site)
        self.failover = Failover(topology, self.racks, self.nodes, self.feeds)
        self.orders = Orders(topology)
        ground = Ground(
            topology,
            rules,
            self.racks,
            self.nodes,
            self.cooling,
            self.feeds,
            self.silence,
            failover=self.failover,
            orders=self.orders,
        )
        self.duties = tuple(duty(ground) for duty in DUTIES)
        self._timers = tuple(duty for duty in self.duties if type(duty).due_ns is not Duty.due_ns)
        self._speakers = _speakers(self.duties)
        """Duties that have a time of their own, and those that add to derived batches."""
        self.listeners = _listeners(self.duties)
        """Device to the duties that must see its batches as they arrive."""
        self.waiting: dict[str, NodeState] = {}
        """Nodes with a delay of the overload rule running."""
        self.urgent: set[str] = set()
        self._breakers = _breakers(topology, self.nodes)
        self.see(look)

    def keep(self, before: SiteState) -> None:
        """Take over the past of racks and nodes that are still there."""
        for name in self.racks.keys() & before.racks.keys():
            self.racks[name].keep(before.racks[name])
        for name in self.nodes.keys() & before.nodes.keys():
            self.nodes[name].keep(before.nodes[name])
        for name in self.cooling.keys() & before.cooling.keys():
            self.cooling[name].windows.keep(before.cooling[name].windows)
        self.feeds.keep(before.feeds)
        self.silence.keep(before.silence)
        self.orders.keep(before.orders)
        past = {duty.name: duty for duty in before.duties}
        for duty in self.duties:
            if duty.name in past:
                duty.keep(past[duty.name])

    def subjects(self) -> Iterator[Subject]:
        """List every rule that is on at each of its targets; one without levels there is off."""
        found = subjects(
            self.rules, self.topology, racks=self.racks, nodes=self.nodes, feeds=self.feeds, silence=self.silence
        )
        of_duties = (subject for duty in self.duties for subject in duty.subjects())
        return (subject for subject in chain(found, of_duties) if subject.levels)

    def arrive(self, intake: Intake, board: Board, now: Moment, *, is_first: bool) -> None:
        """Run the overload rule on the breakers that a meter tells of."""
        for state in self._breakers.get(intake.device.id, ()):
            if is_first:
                state.find_sources(self.topology)
            if state.direct is None:
                continue
            self._judge_breaker(state, board, now)
            if is_urgent(state):
                self.urgent.add(intake.device.id)
            elif self.urgent:
                self.urgent.discard(intake.device.id)

    def _judge_breaker(self, state: NodeState, board: Board, now: Moment) -> None:
        judge_overload(state, self.rules, board, now)
        if state.waits_ns is not None:
            self.waiting[state.plan.node.id] = state
        elif self.waiting:
            self.waiting.pop(state.plan.node.id, None)

    def judge_waiting(self, board: Board, now: Moment) -> None:
        """Run the overload rule where a delay has just run out."""
        for state in list(self.waiting.values()):
            if state.waits_ns is not None and state.waits_ns <= now.mono_ns:
                self._judge_breaker(state, board, now)
                if state.waits_ns is not None and state.waits_ns <= now.mono_ns:
                    state.waits_ns = None  # no fresh value to judge: the next sample will
                    self.waiting.pop(state.plan.node.id, None)

    def judge_due(self, board: Board, now: Moment) -> None:
        """Let the duties judge what has become due between two batches."""
        for duty in self._timers:
            due_ns = duty.due_ns()
            if due_ns is not None and due_ns <= now.mono_ns:
                duty.judge_due(board, now)

    def next_due_ns(self, most_ns: int) -> int:
        """Give the monotonic time at which the next delay runs out, at most `most_ns`; asked for at every batch."""
        next_ns = most_ns
        for state in self.waiting.values():
            if state.waits_ns is not None and state.waits_ns < next_ns:
                next_ns = state.waits_ns
        for duty in self._timers:
            due_ns = duty.due_ns()
            if due_ns is not None and due_ns < next_ns:
                next_ns = due_ns
        return next_ns

    def close(
        self, look: Look, board: Board, now: Moment, *, missed: int, batches: list[Batch] | None
    ) -> Iterator[int]:
        """Close a slot: racks, then nodes from the leaves up, then silence; yields what each step cost."""
        if missed:
            self.silence.wake(now)
        for rack in self.racks.values():
            rack.close(look, missed=missed)
            yield 10 + len(rack.plan.loads)
        feeds = self._feed_draws()
        for node in self.nodes.values():
            self._see_node(node, look, feeds)
            node.close(missed=missed)
            judge_overload_slot(node, self.rules, board, now)
            judge_continuous(node, self.rules, board, now)
            yield 12
        yield from self._bound_racks(look)
        for zone in self.cooling.values():
            zone.close(look, missed=missed)
        slot = Slot(look, now, missed)
        for duty in self.duties:
            yield from duty.close(slot, board)
        yield from self.silence.judge(self.rules, board, now)
        for rack in self.racks.values():
            self._note_facts(rack)
            judge_density(rack, self.rules, board, now)
            yield 5
        if batches is not None:
            yield from self.publish_all(now, batches)

    def _note_facts(self, rack: RackState) -> None:
        nodes = rack.plan.rack.feeds.values()
        phase_over = any(self.nodes[name].is_over_derate for name in nodes if name in self.nodes)
        zone = self.cooling.get(rack.plan.rack.cooling_air or "")
        loop = self.cooling.get(rack.plan.rack.cooling_liquid or "")
        note_facts(
            rack,
            phase_over=phase_over,
            zone_short=zone is not None and zone.is_short,
            liquid_hot=loop is not None and loop.is_hot,
        )

    def _feed_draws(self) -> dict[tuple[str, str], Interval]:
        return {(name, letter): feed for name, rack in self.racks.items() for letter, feed in rack.draw.feeds.items()}

    def _see_node(self, node: NodeState, look: Look, feeds: dict[tuple[str, str], Interval]) -> None:
        if node.direct is None:
            node.find_sources(self.topology)
        node.see(self.topology, look, self.nodes, feeds)

    def see(self, look: Look) -> None:
        """Work out every draw at an instant, without touching windows or alarms."""
        for _ in self.walk(look):
            pass

    def walk(self, look: Look) -> Iterator[int]:
        """Do as `see`, step by step; yields what each step cost."""
        for rack in self.racks.values():
            rack.see(look)
            yield 10 + len(rack.plan.loads)
        feeds = self._feed_draws()
        for node in self.nodes.values():
            self._see_node(node, look, feeds)
            yield 8

    def _bound_racks(self, look: Look) -> Iterator[int]:
        """Find what live meters further up leave for racks that are not measured themselves."""
        if all(rack.draw.total.coverage >= 1.0 for rack in self.racks.values()):
            for rack in self.racks.values():
                rack.bound_watts = None
            yield len(self.racks) // 20
            return
        certain: dict[str, Part] = {}
        for name, node in self.nodes.items():
            feeds = (self._certain_of(rack_id, letter) for rack_id, letter in node.plan.feeds)
            children = (certain[child] for child in self.topology.loaded_children(node.plan))
            certain[name] = add_parts(chain(children, feeds))
            yield 1
        for rack in self.racks.values():
            rack.bound_watts = None if rack.draw.total.coverage >= 1.0 else self._bound(rack, certain, look)
            yield 1

    def _certain_of(self, rack_id: str, letter: str) -> Part:
        rack = self.racks[rack_id]
        return measured(rack.draw.feeds[letter].lo, feed_error_ratio(rack.plan.feeds[letter]))

    def _bound(self, rack: RackState, certain: dict[str, Part], look: Look) -> float | None:
        bound = 0.0
        for letter, feed in rack.plan.feeds.items():
            drawn = rack.draw.feeds[letter]
            if drawn.coverage >= 1.0:
                bound += drawn.hi
                continue
            above = self.topology.ancestors(feed.node.id if feed.node is not None else None)
            metered = next((name for name in above if is_metered_now(self.nodes[name].plan, look)), None)
            if metered is None:
                return None
            plan = self.nodes[metered].plan
            meter = measured(self.nodes[metered].known_draw.hi, max(meter.error_ratio for meter in plan.meters))
            left = residual(meter, (certain[metered],))
            bound += max(0.0, left.watts + drawn.lo + left.error_watts)
        return bound

    def publish_all(self, now: Moment, batches: list[Batch]) -> Iterator[int]:
        """Add the derived batch of everything to `batches`; yields what each step cost."""
        names = chain(
            (("rack", name) for name in self.racks),
            (("power_node", name) for name in self.nodes),
            (("cooling_node", name) for name in self.cooling),
            (("site", self.topology.site.name),),
        )
        for kind, name in names:
            batches.append(self._publish_one(kind, name, now))
            yield 6

    def publish(self, names: Iterable[tuple[str, str]], now: Moment) -> list[Batch]:
        """Make the derived batches of some targets; what is none of them has no batch."""
        return [self._publish_one(kind, name, now) for kind, name in names if self._has(kind, name)]

    def _has(self, kind: str, name: str) -> bool:
        if kind == "rack":
            return name in self.racks
        return name in (self.nodes if kind == "power_node" else self.cooling) or kind == "site"

    def _publish_one(self, kind: str, name: str, now: Moment) -> Batch:
        readings = self._own_readings(kind, name)
        for duty in self._speakers[kind]:
            readings += duty.readings(kind, name)
        return self.publisher.batch(kind, name, tuple(readings), now)

    def _own_readings(self, kind: str, name: str) -> list[Reading]:
        if kind == "rack":
            return rack_readings(self.racks[name])
        if kind == "power_node":
            return node_readings(self.nodes[name])
        if kind == "cooling_node":
            return cooling_readings(self.cooling[name])
        return draw_readings(site_draw(list(self.racks.values())))


def _speakers(duties: tuple[Duty, ...]) -> dict[str, tuple[Duty, ...]]:
    """Find the duties that add to the batches of each kind of target."""
    adding = [duty for duty in duties if type(duty).readings is not Duty.readings]
    return {kind: tuple(duty for duty in adding if kind in duty.speaks_of) for kind in Duty.speaks_of}


def _listeners(duties: tuple[Duty, ...]) -> dict[str, tuple[Duty, ...]]:
    found: dict[str, tuple[Duty, ...]] = {}
    for duty in duties:
        for device_id in duty.devices():
            found[device_id] = (*found.get(device_id, ()), duty)
    return found


def _breakers(topology: Topology, nodes: dict[str, NodeState]) -> dict[str, list[NodeState]]:
    """Map each meter to the breakers whose current it tells."""
    found: dict[str, list[NodeState]] = {}
    for state in nodes.values():
        if state.rating_amperes is None:
            continue
        meters = list(state.plan.meters)
        if not state.plan.children:
            for rack_id, letter in state.plan.feeds:
                feed = topology.racks[rack_id].feeds[letter]
                meters += feed.inlets + feed.meters
        for device_id in {meter.intake.device.id for meter in meters}:
            found.setdefault(device_id, []).append(state)
    return found


def findings(state: SiteState) -> tuple[str, ...]:
    """Say what cannot be judged as configured."""
    idle = [name for name, node in state.nodes.items() if _is_idle(state, node)]
    sourceless = [name for name, rack in state.racks.items() if rack.draw.total.structural and not rack.draw.total.lost]
    spare = [name for name, node in state.nodes.items() if node.plan.is_spare]
    found = []
    if spare:
        found.append(
            f"{_count(spare, 'circuit')} taken as unused, nothing hangs on them: {', '.join(sorted(spare)[:8])}"
        )
    if idle:
        found.append(f"phase rules idle on {_count(idle, 'circuit')}, no line currents: {', '.join(sorted(idle)[:8])}")
    if sourceless:
        found.append(
            f"{_count(sourceless, 'rack')} with power that nothing measures: {', '.join(sorted(sourceless)[:8])}"
        )
    return (*found, *chain.from_iterable(duty.findings() for duty in state.duties))


def _count(names: list[str], noun: str) -> str:
    return f"{len(names)} {noun}" if len(names) == 1 else f"{len(names)} {noun}s"


def _is_idle(state: SiteState, node: NodeState) -> bool:
    """Whether a circuit has a breaker whose meters answer, and show no line currents."""
    if node.rating_amperes is None or any(node.lines.values()):
        return False
    feeds = (state.topology.racks[rack_id].feeds[letter] for rack_id, letter in node.plan.feeds)
    meters = chain(node.plan.meters, *((*feed.inlets, *feed.meters) for feed in feeds))
    return any(meter.intake.answered_ns is not None for meter in meters)

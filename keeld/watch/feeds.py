"""Dead feeds (rule 7): a PDU's controller lives off its inlet, so a dead feed is mostly a silent PDU.

Theory of operation. A feed is suspected when all of its PDUs have failed two polls in a row. That alone may be a cable.
It is believed dead when the load shows up elsewhere (the rack's other feeds rise by at least 60 % of what the silent
one carried, within 30 s or two polls), when two or more PDUs under one breaker are silent while their network answers,
or when a PDU that is powered otherwise measures less than half of the voltage, twice. Where every PDU under a node up
the tree is silent, the node is what died, and one alarm says so. A suspicion is judged only after each PDU had its turn
to be polled, so that feeds that died together are found together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from keeld.alerts.alarm import Evidence, Target
from keeld.alerts.board import Board
from keeld.alerts.machine import Span
from keeld.alerts.restored import RestoredAlarm
from keeld.alerts.rules import AI, SET_OF_STATE
from keeld.budgets.intake import UNHEARD_DRIVERS, Intake
from keeld.budgets.meters import Meter
from keeld.budgets.source import GOOD_INTERVALS, SECOND_NS
from keeld.budgets.topology import Feed, Topology
from keeld.metrics import FEED, VOLTAGE
from keeld.model import AlertState, Group, Moment
from keeld.text import clean
from keeld.watch.naming import names
from keeld.watch.rulebook import Rulebook

NAME = "feed_dead"
CHECK_NS = SECOND_NS
CHECK_CAP_S = 2.0
_SAMPLES = 2
_RISE_RATIO = 0.6
_RISE_NS = 30 * SECOND_NS
_LEAST_LOAD_WATTS = 50.0
_DEAD_VOLTAGE_RATIO = 0.5
_SQRT3 = math.sqrt(3.0)
_DEAD, _ALIVE = Span(1.0, 1.0), Span(0.0, 0.0)


class FeedState:
    """One feed of one rack. `proof` says why it is believed dead, empty while it is not."""

    __slots__ = (
        "_proof",
        "base_watts",
        "feed",
        "load_watts",
        "low_samples",
        "noted",
        "rack_id",
        "siblings",
        "since_ns",
        "target",
    )

    def __init__(self, rack_id: str, feed: Feed, siblings: list[Meter], target: Target) -> None:
        self.rack_id = rack_id
        self.feed = feed
        self.siblings = siblings
        self.target = target
        self.since_ns: int | None = None
        """Monotonic time since which all of its PDUs are silent."""
        self.load_watts: float | None = None
        self.base_watts: float | None = None
        self.low_samples = 0
        self._proof = ""
        self.noted: tuple[float, float] | None = None
        """What it and its siblings carried before a restart, in W."""

    @property
    def node_id(self) -> str | None:
        """Give the node that it hangs on; None for one that the tree does not know."""
        return None if self.feed.node is None else self.feed.node.id

    @property
    def proof(self) -> str:
        """Why it is believed dead; its silent PDUs then carry nothing, whatever they said last."""
        return self._proof

    @proof.setter
    def proof(self, proof: str) -> None:
        self._proof = proof
        self.feed.is_dead = bool(proof)

    @property
    def intakes(self) -> list[Intake]:
        """Give its PDUs."""
        return [meter.intake for meter in self.feed.inlets]

    @property
    def is_suspect(self) -> bool:
        """Whether it may be dead."""
        return self.since_ns is not None or self.low_samples > 0

    @property
    def is_alive(self) -> bool:
        """Whether a PDU's last poll shows that it has power; before the first answer nothing does."""
        return not self.is_suspect and any(pdu.answered_ns is not None and not pdu.outages for pdu in self.intakes)

    def keep(self, before: FeedState) -> None:
        """Take over what was known of the same feed before a reload."""
        others = [meter.intake for meter in self.siblings]
        if self.intakes != before.intakes or others != [meter.intake for meter in before.siblings]:
            return
        self.since_ns, self.low_samples, self.proof = before.since_ns, before.low_samples, before.proof
        self.load_watts, self.base_watts = before.load_watts, before.base_watts

    def observe(self, intake: Intake, group: Group) -> None:
        """Note what a poll of one of its PDUs means for it."""
        if intake.outages:
            if self.since_ns is None and all(pdu.outages for pdu in self.intakes):
                self._fall_silent()
            return
        if self.since_ns is not None:
            self.since_ns, self.proof = None, ""
        if group is Group.FAST:
            self.low_samples = self.low_samples + 1 if self._is_voltage_low(intake) else 0
            self.proof = "its PDU measures less than half of the voltage" if self.low_samples >= _SAMPLES else ""

    def _fall_silent(self) -> None:
        """Remember what it and the others carried just before: what a rise is measured against."""
        heard = [pdu.answered_ns for pdu in self.intakes if pdu.answered_ns is not None]
        self.since_ns = max(pdu.silent_since_ns or 0 for pdu in self.intakes)
        if not heard:
            self.load_watts, self.base_watts = self.noted or (None, None)
            return
        last_ns = min(heard)
        self.load_watts = mean_watts(self.feed.inlets, last_ns - _RISE_NS, last_ns, least=1)
        self.base_watts = mean_watts(self.siblings, last_ns - self._rise_ns(), last_ns, least=1)

    def _rise_ns(self) -> int:
        """Give the time in which a rise elsewhere must show, and long enough for two polls there."""
        slowest_s = max((meter.intake.device.interval_s for meter in self.siblings), default=0.0)
        return max(_RISE_NS, int(GOOD_INTERVALS * slowest_s * SECOND_NS))

    def _is_voltage_low(self, intake: Intake) -> bool:
        feed_state = intake.measured(FEED)
        if feed_state is not None and feed_state.value == 0.0:
            return True
        node = self.feed.node
        if node is None or node.voltage_volts is None:
            return False
        seen = [
            source.value
            for (metric, _), source in intake.sources.items()
            if metric is VOLTAGE and source.value is not None
        ]
        line_to_neutral = node.voltage_volts / (_SQRT3 if node.phases > 1 else 1.0)
        return bool(seen) and max(seen) < _DEAD_VOLTAGE_RATIO * line_to_neutral

    def seek_rise(self, now_ns: int) -> None:
        """Look for its load on the rack's other feeds."""
        if self.proof or self.since_ns is None or self.load_watts is None or self.base_watts is None:
            return
        if self.load_watts < _LEAST_LOAD_WATTS:
            return
        until_ns = min(now_ns, self.since_ns + self._rise_ns())
        risen = mean_watts(self.siblings, self.since_ns, until_ns, least=_SAMPLES)
        if risen is not None and risen - self.base_watts >= _RISE_RATIO * self.load_watts:
            moved_kw = (risen - self.base_watts) / 1000.0
            self.proof = f"the rack's other feeds took over {moved_kw:.1f} kW when it fell silent"

    @property
    def is_silent_twice(self) -> bool:
        """Whether every one of its PDUs has failed two polls."""
        return self.since_ns is not None and all(pdu.outages >= _SAMPLES for pdu in self.intakes)

    def is_settled(self, now_ns: int) -> bool:
        """Whether the PDUs that would have died with it have had their turn to be polled."""
        if self.since_ns is None:
            return True
        turn_s = max(pdu.device.interval_s + pdu.device.timeout_s for pdu in self.intakes)
        return now_ns - self.since_ns >= turn_s * SECOND_NS


def mean_watts(meters: Iterable[Meter], since_ns: int, until_ns: int, *, least: int) -> float | None:
    """Sum the mean power of meters over a span; None unless each has enough samples in it."""
    summed = 0.0
    some = False
    for meter in meters:
        for power in meter.powers:
            mean = None if power.recent is None else power.recent.mean(since_ns, until_ns, least=least)
            if mean is None:
                return None
            summed += mean
            some = True
    return summed if some else None


class FeedWatch:
    """All feeds that have PDUs. `suspects` is empty nearly always, and then nothing here costs anything."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self.states: dict[tuple[str, str], FeedState] = {}
        self.by_device: dict[str, FeedState] = {}
        self.suspects: set[tuple[str, str]] = set()
        self._switched = [plan for plan in topology.nodes.values() if len(plan.parents) > 1]
        self._parents: list[str | None] | None = None
        self._below: dict[str, list[FeedState]] = {}
        """Node to the feeds under it, as the tree was when it was last asked for."""
        for plan in topology.racks.values():
            for feed in plan.feeds.values():
                if feed.inlets:
                    self._add(plan.rack.id, feed)

    def _add(self, rack_id: str, feed: Feed) -> None:
        plan = self._topology.racks[rack_id]
        siblings = [
            meter for other in plan.feeds.values() if other is not feed for meter in (other.inlets or other.meters)
        ]
        state = FeedState(rack_id, feed, siblings, feed_target(plan.rack.label or rack_id, rack_id, feed))
        self.states[rack_id, feed.letter] = state
        for meter in feed.inlets:
            self.by_device[meter.intake.device.id] = state

    def _under(self, node_id: str) -> list[FeedState]:
        """List the feeds that a node supplies now: a transfer switch moves them to another."""
        parents = [plan.parent for plan in self._switched]
        if parents != self._parents:
            self._parents, self._below = parents, {}
            for state in self.states.values():
                for above in self._topology.ancestors(state.node_id):
                    self._below.setdefault(above, []).append(state)
        return self._below.get(node_id, [])

    def keep(self, before: FeedWatch) -> None:
        """Take over what was known of feeds that are still there after a reload."""
        for key in self.states.keys() & before.states.keys():
            self.states[key].keep(before.states[key])
        self.suspects |= {key for key, state in self.states.items() if state.is_suspect}

    def resume(self, alarm: RestoredAlarm) -> None:
        """Go on watching the feeds that an alarm of before a restart or reload is about.

        Its proof still holds for those that stay silent: whoever answers once has disproved it.
        """
        if alarm.rule != NAME:
            return
        kept = self._under(alarm.target_id) if alarm.target_kind == "power_node" else self.states.values()
        about = [state for state in kept if alarm.target_kind == "power_node" or state.target.id == alarm.target_id]
        for state in about:
            if alarm.state is not AlertState.CLEARING:
                state.proof = state.proof or alarm.cause
            self.suspects.add((state.rack_id, state.feed.letter))

    def observe(self, intake: Intake, group: Group) -> bool:
        """Take note of a poll; True when its feed is suspect."""
        state = self.by_device.get(intake.device.id)
        if state is None:
            return False
        state.observe(intake, group)
        if state.is_suspect:
            self.suspects.add((state.rack_id, state.feed.letter))
        return state.is_suspect

    def judge(self, rules: Rulebook, board: Board, now: Moment) -> bool:
        """Run rule 7 on every suspect; True when an alarm moved."""
        rule, levels = rules.rule(NAME), rules.levels(NAME, AI)
        if not levels:
            self.suspects.clear()
            return False
        targets: dict[Target, Evidence] = {}
        for key in sorted(self.suspects):
            state = self.states[key]
            target, evidence = self._judge_one(state, board, rules, now)
            if target not in targets or evidence.worst > targets[target].worst:
                targets[target] = evidence
        moved = False
        for target, evidence in targets.items():
            here = rules.levels(NAME, AI, target)
            moved |= board.judge(rule, here, target, evidence, now=now, cap_s=CHECK_CAP_S)
        self.suspects = {key for key in self.suspects if self._is_open(self.states[key], board, rules)}
        return moved

    def _is_open(self, state: FeedState, board: Board, rules: Rulebook) -> bool:
        return state.is_suspect or board.find(rules.rule(NAME), self._speaker(state, board, rules)) is not None

    def _speaker(self, state: FeedState, board: Board, rules: Rulebook) -> Target:
        """Give the target whose alarm is, or would be, about this feed: a node above it while that one fires."""
        rule = rules.rule(NAME)
        for node_id in self._topology.ancestors(state.node_id):
            target = self.node_target(node_id)
            if board.find(rule, target) is not None:
                return target
        return state.target

    def _judge_one(self, state: FeedState, board: Board, rules: Rulebook, now: Moment) -> tuple[Target, Evidence]:
        state.seek_rise(now.mono_ns)
        is_doubtless = state.is_silent_twice or state.low_samples >= _SAMPLES
        node_id = self._dead_node(state, now) if is_doubtless else None
        if node_id is not None and not state.proof and self._path_answers(state, node_id):
            state.proof = f"all {len(self._under(node_id))} PDUs under it fell silent while their network answers"
        target = (
            self.node_target(node_id) if node_id is not None and state.proof else self._speaker(state, board, rules)
        )
        if not self._is_judged_here(state, target):
            return target, Evidence(spans=(_ALIVE,))
        detail = self._carried(target, state)
        return target, Evidence(spans=(self._span(state, now),), cause=state.proof, detail=detail)

    def _carried(self, target: Target, state: FeedState) -> str:
        """Say what is without this supply now, and how much it was."""
        states = self._under(target.id) if target.kind == "power_node" else [state]
        known = [other.load_watts for other in states if other.load_watts is not None]
        is_known = bool(known) and len(known) == len(states)
        words = [f"It carried {sum(known) / 1000.0:.1f} kW before."] if is_known else []
        if target.kind == "power_node":
            words.append(f"Without it: {names(sorted({other.target.label for other in states}))}.")
        return " ".join(words)

    def _is_judged_here(self, state: FeedState, target: Target) -> bool:
        """Leave a mine's rows, and nodes with nothing else below them, to the rule about rows that have stopped."""
        below = [state] if target.kind == "feed" else self._under(target.id)
        return any(SET_OF_STATE[self._topology.racks[each.rack_id].rack.state] == AI for each in below)

    def _span(self, state: FeedState, now: Moment) -> Span | None:
        if state.is_suspect and state.proof and state.is_settled(now.mono_ns):
            return _DEAD
        return _ALIVE if state.is_alive else None

    def _dead_node(self, state: FeedState, now: Moment) -> str | None:
        """Find the highest node under which two or more feeds hang and every one is silent or without voltage."""
        found = None
        for node_id in self._topology.ancestors(state.node_id):
            below = self._under(node_id)
            if not all(other.is_suspect for other in below):
                break
            if len(below) > 1 and state.is_settled(now.mono_ns):
                found = node_id
        return found

    def _path_answers(self, state: FeedState, node_id: str) -> bool:
        """Whether something else on the same network has answered since; its silence would explain the PDUs'."""
        below = {pdu.device.id for other in self._under(node_id) for pdu in other.intakes}
        racks = {other.rack_id for other in self._under(node_id)}
        pdu = state.intakes[0].device
        is_behind_gateway = any(path.kind == "gateway" and path.id == pdu.address for path in self._topology.paths)
        since_ns = state.since_ns or 0
        for intake in self._topology.intakes.values():
            device = intake.device
            if intake.answered_ns is None or intake.answered_ns <= since_ns or device.id in below:
                continue
            if device.driver in UNHEARD_DRIVERS:
                continue  # it comes by itself and another way: it says nothing of the way that polls take
            if is_behind_gateway and device.address != pdu.address:
                continue
            if device.via == pdu.via if pdu.via is not None else device.rack in racks:
                return True
        return False

    def node_target(self, node_id: str) -> Target:
        """Name a node that died with all that hangs on it."""
        node = self._topology.nodes[node_id].node
        states = self._under(node_id)
        covers = frozenset(name for state in states for name in state.target.covers)
        covers |= {
            f"path:{path.id}"
            for path in self._topology.paths
            if all(f"device:{intake.device.id}" in covers for intake in path.intakes)
        }
        return Target("power_node", node_id, node.label or node_id, frozenset({f"power_node:{node_id}"}), covers)


def feed_target(label: str, rack_id: str, feed: Feed) -> Target:
    """Name one feed of a rack."""
    devices = frozenset(f"device:{meter.intake.device.id}" for meter in feed.inlets)
    name = f"{rack_id}/{feed.letter}"
    return Target(
        "feed",
        name,
        f"{clean(label, 48)} feed {feed.letter.upper()}",
        frozenset({f"feed:{name}"}),
        devices | {f"rack:{rack_id}"},
    )

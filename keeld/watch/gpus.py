"""Accelerators: missing ones and the driver's errors (rule 43), and those that are held back (rule 44).

How many GPUs a node has is what the configuration says (`gpus`), else the most that were ever usable at once; that is
remembered over restarts. An error is an alarm of its own for each node and number, so that another number is another
page and the same number again is none; it stands for an hour after the last one, and while a GPU of the node is away.
A slowdown is seen in the counters, which miss nothing between two polls: the brake when it moves at all, heat from a
tenth of the time on. What caused it is looked for among the alarms of its rack's supply and cooling, and remembered,
because a brake may outlive its cause.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

from keeld.alerts.alarm import Alarm, Evidence, Target
from keeld.alerts.board import Board
from keeld.alerts.machine import Span
from keeld.alerts.rules import AI, Level
from keeld.alerts.shipped.accelerators import GPU_BRAKED, GPU_MISSING, GRAVE_XID, HARD_BRAKE, WARNED_XID
from keeld.alerts.shipped.accelerators import XID as XID_RULE
from keeld.budgets.intake import Intake
from keeld.errors import Outage
from keeld.metrics import RECOVERY_ACTION
from keeld.model import AlertState, Batch, Moment
from keeld.watch import xids
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.gpu_nodes import MOST_GPUS, Node
from keeld.watch.naming import names
from keeld.watch.racks import SLOT_CAP_S
from keeld.watch.rulebook import set_of
from keeld.watch.subjects import Subject

_TRUE, _FALSE = Span(1.0, 1.0), Span(0.0, 0.0)
_SEVERAL = 2
_OTHER = "other"
_SECOND_HAND = frozenset({"psu_survivability", "rack_density_power"})
"""What may outlast its own cause: it does not take the place of one that was found before."""
_ROOTS = frozenset(
    {
        *("feed_dead", "breaker_tripped", "source_changed", "voltage_band", "psu_survivability"),
        *("inlet_high", "inlet_rate", "zone_cooling_n1", "rack_density_air", "rack_density_liquid", "flow_low"),
        *("cdu_pump_lost", "tcs_supply_dev", "loop_pressure", "cooling_unit_fault", "leak", "rack_density_power"),
    }
)
"""Rules whose alarms explain why a GPU is held back, when they are about its rack or what supplies and cools it."""


class Accelerators(Duty):
    """Every device with accelerators."""

    name: ClassVar[str] = "gpus"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.nodes = {
            intake.device.id: _node(intake, ground)
            for intake in ground.topology.intakes.values()
            if intake.device.kind == "accelerator"
        }

    def devices(self) -> Iterable[str]:
        """Name every node."""
        return self.nodes

    def subjects(self) -> Iterator[Subject]:
        """List both rules at every node, the errors by number."""
        rules = self.ground.rules
        for node in self.nodes.values():
            for shipped in (GPU_MISSING, GPU_BRAKED):
                levels = rules.levels(shipped.name, node.set_name, node.target)
                yield Subject(rules.rule(shipped.name), levels, node.target)
            for number in (*xids.NAMED, 0):
                target = _xid_target(node, number)
                yield Subject(rules.rule(XID_RULE.name), rules.levels(XID_RULE.name, node.set_name, target), target)

    def arrive(self, intake: Intake, batch: Batch, board: Board, now: Moment) -> None:
        """Take a poll; an error is told at once."""
        node = self.nodes[intake.device.id]
        if not batch.readings:
            if batch.outage is Outage.LOST:
                node.lose_all()
            return
        for part, number in node.take(batch, now.mono_ns):
            if number in xids.OF_PROGRAMS:
                continue
            key = number if number in xids.NAMED else 0
            node.seen[key] = (now.mono_ns, f"{part} (XID {number})" if not key else part)
            self._judge_xid(node, key, number, board, now, is_new=True)

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Judge every node."""
        for node in self.nodes.values():
            self._judge_missing(node, board, slot.now)
            self._judge_braked(node, board, slot.now)
            for key in list(node.seen):
                self._judge_xid(node, key, key, board, slot.now, is_new=False)
            yield 2

    def _judge_xid(self, node: Node, key: int, number: int, board: Board, now: Moment, *, is_new: bool) -> None:
        target = _xid_target(node, key)
        rule, levels = self.ground.rules.rule(XID_RULE.name), self.ground.rules.levels(
            XID_RULE.name, node.set_name, target
        )  # fmt: skip
        if not levels or (not is_new and board.find(rule, target) is None):
            node.seen.pop(key, None)
            return
        holds = is_new or (key in xids.GRAVE and bool(node.missing))
        facts = {GRAVE_XID} if key in xids.GRAVE else {WARNED_XID} if key in xids.WARNED else set[str]()
        spans = tuple(_TRUE if holds and (not level.needs or level.needs in facts) else _FALSE for level in levels)
        meaning, part = xids.meaning(key), node.seen[key][1]
        asked = RECOVERY_ACTION.states.get(node.asked.get(part, 0), "")
        words = [f"XID {number} on {part}: {meaning.words}." if key else f"On {part}."]
        if asked and asked != "none":
            words.append(f"The driver asks for: {asked.replace('_', ' ')}.")
        words.append(meaning.action)
        evidence = Evidence(spans=spans, cause=meaning.words, detail=" ".join(words), what="xid")
        board.judge(rule, levels, target, evidence, now=now, cap_s=SLOT_CAP_S)

    def _judge_missing(self, node: Node, board: Board, now: Moment) -> None:
        rule = self.ground.rules.rule(GPU_MISSING.name)
        levels = self.ground.rules.levels(GPU_MISSING.name, node.set_name, node.target)
        if not levels or (not node.missing and board.find(rule, node.target) is None):
            return
        is_known = node.missing is not None and (not node.intake.outages or node.intake.outage is Outage.LOST)
        count = float(len(node.missing or ()))
        detail = f"{node.normal - len(node.missing or ())} of {node.normal} GPUs are usable"
        if node.missing:
            detail += f"; away: {names(list(node.missing))}"
        evidence = Evidence(
            spans=((Span(count, count) if is_known else None),) * len(levels), detail=f"{detail}.", is_known=is_known
        )
        board.judge(rule, levels, node.target, evidence, now=now, cap_s=SLOT_CAP_S)

    def _judge_braked(self, node: Node, board: Board, now: Moment) -> None:
        rule = self.ground.rules.rule(GPU_BRAKED.name)
        levels = self.ground.rules.levels(GPU_BRAKED.name, node.set_name, node.target)
        if not levels or (not (node.brake_ns or node.heat_ns) and board.find(rule, node.target) is None):
            return
        braked, hot = node.moving(node.brake_ns, now.mono_ns), node.moving(node.heat_ns, now.mono_ns)
        is_known = node.is_fresh(now)
        if not braked and not hot and board.find(rule, node.target) is None:
            node.cause = ""
            return
        root = _root(node, board)
        if root is not None and not (node.cause and root.rule.name in _SECOND_HAND):
            node.cause = f"{root.target.label} {root.rule.title}"
        spans = tuple(_brake_span(level, braked, hot, is_known=is_known) for level in levels)
        board.judge(rule, levels, node.target, _brake_evidence(node, spans, braked, hot), now=now, cap_s=SLOT_CAP_S)

    def keep(self, before: Accelerators) -> None:
        """Take over what was known of nodes that are still there."""
        for name in self.nodes.keys() & before.nodes.keys():
            if self.nodes[name].intake is before.nodes[name].intake:
                self.nodes[name].keep(before.nodes[name])

    def memory(self) -> Mapping[str, bytes]:
        """Give how many GPUs each node had at most, and what explained a brake."""
        learnt = {name: [node.learnt, node.cause] for name, node in self.nodes.items() if node.learnt}
        return {"learnt": json.dumps(learnt, separators=(",", ":")).encode()} if learnt else {}

    def recall(self, memory: Mapping[str, bytes], now: Moment) -> None:
        """Take back how many GPUs each node had."""
        del now
        try:
            learnt = json.loads(memory.get("learnt", b"{}"))
            known = {name: (int(count), str(cause)) for name, (count, cause) in learnt.items()}
        except (ValueError, TypeError, AttributeError):
            return
        for name in self.nodes.keys() & known.keys():
            count, self.nodes[name].cause = known[name]
            self.nodes[name].learnt = max(self.nodes[name].learnt, min(MOST_GPUS, count))


def _node(intake: Intake, ground: Ground) -> Node:
    rack = ground.topology.site.racks.get(intake.device.rack or "")
    if rack is None:
        return Node(intake, AI, frozenset({f"device:{intake.device.id}"}))
    places = {f"rack:{rack.id}", f"device:{intake.device.id}"}
    for letter, node_id in rack.feeds.items():
        places.add(f"feed:{rack.id}/{letter}")
        places |= {f"power_node:{name}" for name in ground.topology.ancestors(node_id)}
    places |= {f"cooling_node:{name}" for name in (rack.cooling_air, rack.cooling_liquid) if name}
    return Node(intake, set_of(rack), frozenset(places))


def _xid_target(node: Node, key: int) -> Target:
    device = node.target.id
    covers = frozenset({f"device:{device}"}) if key in xids.GRAVE else frozenset()
    label = f"{node.target.label} XID {key}" if key else node.target.label
    return Target("device", f"{device}/xid-{key or _OTHER}", label, node.target.scopes, covers)


def _brake_span(level: Level, braked: list[str], hot: list[str], *, is_known: bool) -> Span | None:
    if not is_known:
        return None
    holds = len(braked) >= _SEVERAL if level.needs == HARD_BRAKE else bool(braked or hot)
    return _TRUE if holds else _FALSE


def _brake_evidence(node: Node, spans: tuple[Span | None, ...], braked: list[str], hot: list[str]) -> Evidence:
    words = []
    if braked:
        words.append(f"The external power brake acts on {names(braked)}.")
    if hot:
        words.append(f"Heat slows {names(hot)}.")
    unknown = "what signals the power brake: a supply, the shelf or the BMC" if braked else "too little cooling"
    known = any(span is not None for span in spans)
    return Evidence(spans=spans, cause=node.cause or unknown, detail=" ".join(words), is_known=known)


def _root(node: Node, board: Board) -> Alarm | None:
    """Find the alarm about its supply or cooling that explains a brake and is explained by no other that stands."""
    found = [
        alarm
        for alarm in board.alarms.values()
        if alarm.rule.name in _ROOTS and alarm.state is not AlertState.OK and _is_about(alarm, node.places)
    ]
    roots = [alarm for alarm in found if not any(alarm.rule.name in other.rule.inhibits for other in found)]
    return min(roots, key=lambda alarm: alarm.since_ns, default=None)


def _is_about(alarm: Alarm, places: frozenset[str]) -> bool:
    return bool((alarm.target.scopes | alarm.target.covers) & places)

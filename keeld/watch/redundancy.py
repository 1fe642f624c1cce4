"""Redundancy (rules 4, 5 and 6): whether what is left could carry what it would take over, now and at the day's peak.

A rack is told of what would happen on its own feeds; what stands above several racks is told of as a power node. Rule
5 is about a survivor that certainly would not hold, rule 4 about one that would not for hours; both speak of 5-minute
means. Rule 6 looks once a day at the peaks that the loads of each failure had together within 24 hours. While a feed is
dead (rule 7) nothing is said of racks that hang on it: it has happened already.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import ClassVar

from keeld.alerts.alarm import Evidence, Target
from keeld.alerts.board import Board, Key
from keeld.alerts.machine import Span
from keeld.alerts.rules import AI, Level, Rule
from keeld.budgets.aftermath import FailoverCase
from keeld.budgets.day_maxima import DayMaxima
from keeld.metrics import FAILOVER_CURRENT, FAILOVER_HI_RATIO, FAILOVER_LO_RATIO, FAILOVER_PEAK_RATIO
from keeld.model import Moment, Reading
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.failover_words import Loss, loss_words, worst_survivor
from keeld.watch.impairment import impairment
from keeld.watch.racks import SLOT_CAP_S
from keeld.watch.rulebook import NOT_OVER
from keeld.watch.subjects import Subject
from keeld.watch.survivors import Strain, Stress, strongest

LOST_LOAD, WILL_TRIP, PEAK = "redundancy_lost_load", "redundancy_will_trip", "redundancy_peak"
_DAY_NS = 86_400 * 1_000_000_000
_FULL_SLOTS = 30
"""Slots of a 5-minute mean: before, one sample of a load that swings would pass for the day's peak."""
_DAILY = "daily"


@dataclass(frozen=True, slots=True)
class Exposed:
    """A rack or power node that may have to take a load over, and each failure after which it would."""

    target: Target
    stresses: tuple[Stress, ...]
    rules: Mapping[str, tuple[Rule, tuple[Level, ...]]]
    """Those of rules 4, 5 and 6 that are on here, with their levels."""
    keys: tuple[Key, ...]
    """Their places on the board."""
    least: float
    """Derated load below which none of them has anything to say."""


class Redundancy(Duty):
    """Keeps up what would happen if something died, and judges it."""

    name: ClassVar[str] = "redundancy"
    speaks_of = frozenset({"rack", "power_node"})

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.failover = ground.failover
        self._seen_slots = 0
        self._ticket_ns: int | None = None
        """Wall time at which rule 4 last told anybody."""
        self._day: int | None = None
        self._day_peaks: dict[str, float] = {}
        """Target to its peak over the limit, as judged on `_day`."""
        self._follow_layout()

    def _follow_layout(self) -> None:
        self._layout = self.failover.layouts
        self.exposed = tuple(find_exposed(self.ground))
        self.peaks = DayMaxima(stress.name for stress in self.failover.stresses)

    def subjects(self) -> Iterator[Subject]:
        """List the rules at every rack and node that may have to take a load over."""
        for exposed in self.exposed:
            for rule, levels in exposed.rules.values():
                yield Subject(rule, levels, exposed.target)

    def keep(self, before: Redundancy) -> None:
        """Take over peaks and what was told."""
        self.peaks.keep(before.peaks)
        self._seen_slots, self._ticket_ns = before._seen_slots, before._ticket_ns
        self._day, self._day_peaks = before._day, before._day_peaks

    def memory(self) -> Mapping[str, bytes]:
        """Keep the peaks of each hour, and what the day's judgement was."""
        daily = {"day": self._day, "peaks": self._day_peaks, "ticket_ns": self._ticket_ns}
        return {_DAILY: json.dumps(daily, separators=(",", ":")).encode(), **self.peaks.dump()}

    def recall(self, memory: Mapping[str, bytes], now: Moment) -> None:
        """Take them back."""
        self.peaks.load(memory)
        try:
            daily = json.loads(memory.get(_DAILY, b"{}"))
            day, peaks, ticket_ns = daily["day"], daily["peaks"], daily["ticket_ns"]
            self._day_peaks = {str(name): float(peak) for name, peak in peaks.items()}
        except (ValueError, TypeError, KeyError, AttributeError):
            return
        self._day = day if isinstance(day, int) else None
        self._ticket_ns = ticket_ns if isinstance(ticket_ns, int) and ticket_ns <= now.wall_ns else None

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Work the cases out for the slot that has ended, and judge them."""
        yield from self.failover.refresh(slot.look)
        if self._layout != self.failover.layouts:
            past = self.peaks
            self._follow_layout()
            self.peaks.keep(past)
        self._note_peaks(slot.now)
        yield max(1, len(self.failover.stresses) // 20)
        self._begin_day(slot.now)
        for exposed in self.exposed:
            if self._is_open(exposed, board):
                self._judge(exposed, slot.now, board)
                yield 20
        yield max(1, len(self.exposed) // 5)

    def _is_open(self, exposed: Exposed, board: Board) -> bool:
        """Whether there is anything to judge: nearly always there is not."""
        if max([stress.strain.derated_lo for stress in exposed.stresses]) > exposed.least:
            return True
        return _name(exposed.target) in self._day_peaks or any(key in board.alarms for key in exposed.keys)

    def _note_peaks(self, now: Moment) -> None:
        self._seen_slots += 1
        is_full = self._seen_slots >= _FULL_SLOTS
        stresses = self.failover.stresses if is_full else ()
        self.peaks.note((stress.strain.derated_lo for stress in stresses), now.wall_ns)

    def _judge(self, exposed: Exposed, now: Moment, board: Board) -> None:
        strain = strongest(exposed.stresses)
        is_dead = self._is_dead(exposed)
        for name, lo, hi in (
            (WILL_TRIP, strain.lo, strain.hi),
            (LOST_LOAD, strain.derated_lo, strain.derated_hi),
        ):
            rule, levels = exposed.rules.get(name, (None, ()))
            if rule is None:
                continue
            if board.find(rule, exposed.target) is None and (is_dead or lo <= levels[0].limit):
                continue
            if name == LOST_LOAD and not self._may_tell(rule, exposed, now, board):
                continue
            evidence = self._evidence(exposed, levels, None if is_dead else Span(lo, hi), board, rule=name)
            board.judge(rule, levels, exposed.target, evidence, now=now, cap_s=SLOT_CAP_S)
            self._note_ticket(name, rule, exposed, now, board)
        if PEAK in exposed.rules:
            self._judge_peak(exposed, now, board)

    def _is_dead(self, exposed: Exposed) -> bool:
        """Whether every rack that loads it has lost a feed already."""
        live = self.failover.live_racks
        return bool(live) and all(name in live for stress in exposed.stresses for name in stress.rack_ids())

    def _may_tell(self, rule: Rule, exposed: Exposed, now: Moment, board: Board) -> bool:
        """Whether rule 4 may begin here: one ticket a day, beside which the others follow while it stands."""
        if self._ticket_ns is None or now.wall_ns - self._ticket_ns >= _DAY_NS:
            return True
        return board.find(rule, exposed.target) is not None or any(name == LOST_LOAD for name, _, _ in board.alarms)

    def _note_ticket(self, name: str, rule: Rule, exposed: Exposed, now: Moment, board: Board) -> None:
        alarm = board.find(rule, exposed.target) if name == LOST_LOAD else None
        is_open = self._ticket_ns is None or now.wall_ns - self._ticket_ns >= _DAY_NS
        if alarm is not None and alarm.told is not None and is_open:
            self._ticket_ns = now.wall_ns

    def _evidence(
        self, exposed: Exposed, levels: tuple[Level, ...], span: Span | None, board: Board, *, rule: str
    ) -> Evidence:
        stress = max(exposed.stresses, key=lambda stress: (stress.strain.derated_lo, stress.strain.derated_hi))
        cause = impairment(*self.failover.paths_of(stress), board.holds) if rule == WILL_TRIP else ""
        spans = tuple(NOT_OVER if level.needs and not cause and span is not None else span for level in levels)
        survivor = worst_survivor(stress)
        if survivor is None or span is None:
            return Evidence(spans=spans, cause=cause, detail="A feed is dead: what was foretold is happening.")
        loss = Loss(self.failover.case_of(stress).fallen, exposed.target.kind)
        derate = survivor.derate if rule == LOST_LOAD else 1.0
        return Evidence(
            spans=spans,
            lo=survivor.value.lo,
            best=survivor.value.best,
            hi=survivor.value.hi,
            limit=survivor.limit * derate,
            unit=survivor.unit,
            base=survivor.base if derate == 1.0 else f"{survivor.base} x {derate:g} continuous",
            what=f"5-min means, if {loss.label} dies",
            cause=cause,
            detail=loss_words(loss, survivor),
            is_known=survivor.value.best is not None,
        )

    def _begin_day(self, now: Moment) -> None:
        """Look once a day which targets' peaks were over; rules 4 and 5 speak for themselves where they stand."""
        day = now.wall_ns // _DAY_NS
        if self._day is None:
            self._day = day
        if day == self._day:
            return
        self._day = day
        self._day_peaks = {}
        for exposed in self.exposed:
            peak = self.peak_of(exposed)
            if PEAK in exposed.rules and peak > exposed.rules[PEAK][1][0].limit:
                self._day_peaks[_name(exposed.target)] = peak

    def peak_of(self, exposed: Exposed) -> float:
        """Give the highest load of 24 hours over what may be carried for hours, had the worst failure come then."""
        return max((self.peaks.peak(stress.number) for stress in exposed.stresses), default=0.0)

    def with_peak(self, case: FailoverCase) -> FailoverCase:
        """Add to a case what the worst of its survivors would have carried at the day's peak."""
        found = self.failover.cases.get((case.target_kind, case.target_id))
        if found is None or self._layout != self.failover.layouts:
            return case
        peak = max((self.peaks.peak(stress.number) for stress in found.stresses), default=0.0)
        return replace(case, peak_ratio=peak) if peak > 0.0 else case

    def _judge_peak(self, exposed: Exposed, now: Moment, board: Board) -> None:
        rule, levels = exposed.rules[PEAK]
        peak = self._day_peaks.get(_name(exposed.target), 0.0)
        alarm = board.find(rule, exposed.target)
        if alarm is None and (peak <= levels[0].limit or self._speaks(exposed, board)):
            return
        evidence = Evidence(
            spans=(Span(peak, peak),),
            lo=peak * 100.0,
            best=peak * 100.0,
            hi=peak * 100.0,
            limit=levels[0].limit * 100.0,
            unit="%",
            base="of what the survivor may carry for hours",
            what="highest 5-min mean, had the worst failure come then",
            headline=f"{peak * 100.0:.0f} % of the survivor's limit",
        )
        board.judge(rule, levels, exposed.target, evidence, now=now, cap_s=SLOT_CAP_S)

    def _speaks(self, exposed: Exposed, board: Board) -> bool:
        return any(
            name in exposed.rules and board.find(exposed.rules[name][0], exposed.target) is not None
            for name in (LOST_LOAD, WILL_TRIP)
        )

    def readings(self, kind: str, name: str) -> Iterator[Reading]:
        """Give what each feed's loss would do to a rack, and what a node would carry after the worst failure for it."""
        if kind == "rack":
            for letter, case in self.failover.feed_cases.get(name, ()):
                yield from _ratios(strongest(case.stresses), f"feed/{letter}")
        elif kind == "power_node":
            stress = self.failover.worst_on(name)
            if stress is not None:
                yield from _ratios(stress.strain, "")
                yield Reading(FAILOVER_PEAK_RATIO, self.peaks.peak(stress.number))
                yield from (Reading(FAILOVER_CURRENT, amperes, phase) for phase, amperes in stress.currents())


def _ratios(strain: Strain, part: str) -> Iterator[Reading]:
    if strain.hi > 0.0:
        yield Reading(FAILOVER_LO_RATIO, strain.lo, part)
        yield Reading(FAILOVER_HI_RATIO, strain.hi, part)


def _name(target: Target) -> str:
    return f"{target.kind}:{target.id}"


def find_exposed(ground: Ground) -> Iterator[Exposed]:
    """Find every rack, and every node above several, that ai load with redundancy would move to."""
    by_rack: dict[str, list[Stress]] = {}
    by_node: dict[str, list[Stress]] = {}
    for stress in ground.failover.stresses:
        racks = [rack_id for rack_id in stress.rack_ids() if _is_redundant(ground, rack_id)]
        if racks and stress.is_alone:
            by_rack.setdefault(racks[0], []).append(stress)
        elif racks:
            by_node.setdefault(stress.carried.state.plan.node.id, []).append(stress)
    racks_found = ((_rack_target(ground, name), stresses) for name, stresses in by_rack.items())
    nodes_found = ((_node_target(ground, name), stresses) for name, stresses in by_node.items())
    for target, stresses in chain(racks_found, nodes_found):
        rules = _rules_at(ground, target)
        keys = tuple((name, target.kind, target.id) for name in rules)
        least = min((levels[0].limit for _, levels in rules.values()), default=math.inf)
        yield Exposed(target, tuple(stresses), rules, keys, least)


def _rules_at(ground: Ground, target: Target) -> dict[str, tuple[Rule, tuple[Level, ...]]]:
    rules = ground.rules
    found = {name: (rules.rule(name), rules.levels(name, AI, target)) for name in (WILL_TRIP, LOST_LOAD, PEAK)}
    return {name: (rule, levels) for name, (rule, levels) in found.items() if levels}


def _is_redundant(ground: Ground, rack_id: str) -> bool:
    state = ground.racks[rack_id]
    return state.set_name == AI and state.plan.rack.redundancy != "N"


def _rack_target(ground: Ground, rack_id: str) -> Target:
    rack = ground.racks[rack_id].plan.rack
    scope = frozenset({f"rack:{rack_id}"})
    return Target("rack", rack_id, rack.label or rack_id, scope, scope, group="redundancy")


def _node_target(ground: Ground, node_id: str) -> Target:
    node = ground.nodes[node_id].plan.node
    scope = frozenset({f"power_node:{node_id}"})
    return Target("power_node", node_id, node.label or node_id, scope, scope, group="redundancy")

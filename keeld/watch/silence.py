"""What does not answer (rule 32) and what can no longer be judged because of it (rule 31).

A switch or gateway with all of its devices silent is one alarm, not one for each. A mine loses a few machines every
day, so its miners are counted per row against the row's own normal; everything else stands for itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from keeld.alerts.alarm import Evidence, Target
from keeld.alerts.board import Board
from keeld.alerts.machine import Span
from keeld.alerts.rules import AI, BLINDS_RACK, BLINDS_SITE, MINING, PLANT, Level, Rule
from keeld.budgets.intake import Intake
from keeld.budgets.source import SECOND_NS
from keeld.budgets.topology import Path, Topology
from keeld.budgets.window import SLOT_S
from keeld.model import Moment
from keeld.views import Verdict
from keeld.watch.naming import blind_target, device_target, last_answer, names, outage_words, rack_sources
from keeld.watch.racks import SLOT_CAP_S, RackState
from keeld.watch.rulebook import NOT_OVER, Rulebook

STALE, BLIND, FEED_DEAD = "source_stale", "blind", "feed_dead"
_TRUE, _FALSE = Span(1.0, 1.0), NOT_OVER
_WEEK_S = 7 * 86400.0
_NORMAL_LEAST = 0.02
"""Of 3,000 miners, 60 down is an ordinary day."""
_ABOVE_NORMAL = 2.0
_DOWN_LEAST = 0.05
_DOWN_LEAST_COUNT = 2
_BUSY_RATIO = 0.8
_HALF = 0.5
_TWICE = 2
_PATH_CAUSE = {
    "gateway": "the gateway, its power or its uplink",
    "switch": "the switch, its power or its uplink",
    "network": "keeld's own network port, or the power of the whole site",
}
_PATH_KINDS = ("network", "gateway", "switch")
"""Of paths with the same devices behind them the last in this order speaks: it is the most precise."""
_BEING_EMPTIED = frozenset({"emptying", "empty"})


class RowState:
    """The miners of one row, and how many of them are usually down."""

    __slots__ = ("intakes", "normal", "racks", "target")

    def __init__(self, name: str) -> None:
        self.intakes: list[Intake] = []
        self.racks: list[RackState] = []
        self.normal = _NORMAL_LEAST
        self.target = Target("row", name, f"row {name}" if name else "miners", frozenset({f"row:{name}"}))

    def learn(self, down: float) -> None:
        """Move the normal towards what is down now: a mean over a week."""
        self.normal = max(_NORMAL_LEAST, self.normal + (down - self.normal) * SLOT_S / _WEEK_S)

    def recall(self, normal: float) -> None:
        """Take back a normal from before a restart, if it is a share."""
        if _NORMAL_LEAST <= normal <= 1.0:
            self.normal = normal


class Silence:
    """Rules 31 and 32 at the end of a slot."""

    def __init__(self, topology: Topology, racks: dict[str, RackState], started_ns: int) -> None:
        self._topology = topology
        self._racks = racks
        self._awake_ns = started_ns
        self._alone = [intake for intake in topology.intakes.values() if intake.device.kind != "miner"]
        self.rows = _rows(topology, racks)
        self._mines = [state for state in racks.values() if _is_mine(state) and state.plan.loads]
        self.site_target = Target("site", topology.site.name, topology.site.name, frozenset({"site"}))
        self.paths = [(path, self.path_target(path)) for path in topology.paths]

    def keep(self, before: Silence) -> None:
        """Take over what rows had learnt before a reload, and since when keeld runs."""
        self._awake_ns = before._awake_ns
        for name in self.rows.keys() & before.rows.keys():
            self.rows[name].normal = before.rows[name].normal

    def is_gone(self, intake: Intake, now: Moment) -> bool:
        """Whether a device has been silent for too long while keeld was there to hear it."""
        if intake.answered_ns is None and not intake.is_awaited:
            return False
        since_ns = max(self._awake_ns, intake.answered_ns or 0)
        return now.mono_ns - since_ns > max(6 * intake.device.interval_s, 60.0) * SECOND_NS

    def wake(self, now: Moment) -> None:
        """Start the clock of every silence anew: keeld itself did not run, so nobody else was silent."""
        self._awake_ns = now.mono_ns

    def judge(self, rules: Rulebook, board: Board, now: Moment) -> Iterator[int]:
        """Run both rules, causes first; yields what each step cost."""
        for path, target in self.paths:
            self._judge_path(path, target, rules, board, now)
            yield len(path.intakes)
        for index, state in enumerate(self._racks.values()):
            if state.set_name == AI:
                self._judge_rack(state, rules, board, now)
            if index % 50 == 0:
                yield 50
        for row in self.rows.values():
            self._judge_row(row, rules, board, now)
            yield len(row.intakes)
        self._judge_site(rules, board, now)
        for index, intake in enumerate(self._alone):
            self._judge_device(intake, rules, board, now)
            if index % 100 == 0:
                yield 50

    def _judge_path(self, path: Path, target: Target, rules: Rulebook, board: Board, now: Moment) -> None:
        rule, levels = rules.path_down, rules.levels_of(rules.path_down, PLANT, target)
        silent = self._is_silent(path, now)
        if not levels or (not silent and board.find(rule, target) is None):
            return
        facts, blind = self._blinded(target), self._unobserved(target)
        sound = _FALSE if any(map(_is_answering, path.intakes)) else None
        spans = tuple(
            sound if not silent else _FALSE if level.needs and level.needs not in facts else _TRUE for level in levels
        )
        detail = f"Behind it: {names([intake.device.id for intake in path.intakes])}."
        if blind:
            racks = sorted(state.plan.rack.id for state in self._behind(target))
            detail += f" {blind}; limits there are NOT being checked: {names(racks)}."
        evidence = Evidence(spans=spans, headline=blind, cause=_PATH_CAUSE[path.kind], detail=detail)
        board.judge(rule, levels, target, evidence, now=now, cap_s=SLOT_CAP_S)

    def _behind(self, target: Target) -> list[RackState]:
        return [state for name, state in self._racks.items() if f"rack:{name}" in target.covers]

    def _unobserved(self, target: Target) -> str:
        """Say how many racks are seen through a path alone, and what they drew when they were last seen."""
        racks = self._behind(target)
        if not racks:
            return ""
        known = [state.last_watts for state in racks if state.last_watts is not None]
        drawn = f", {sum(known) / 1000.0:.0f} kW" if len(known) == len(racks) else ""
        return f"{len(racks)} rack{'s' if len(racks) > 1 else ''}{drawn} unobserved"

    def _is_silent(self, path: Path, now: Moment) -> bool:
        """Whether two or more devices have failed twice and none has answered since the last of them began to fail.

        Devices that are polled seldom are not waited for: their silence would come too late to explain the others'.
        """
        failed = [intake for intake in path.intakes if intake.outages >= _TWICE or self.is_gone(intake, now)]
        if len(failed) < min(_TWICE, len(path.intakes)):
            return False
        began_ns = max(intake.silent_since_ns or intake.answered_ns or 0 for intake in failed)
        return all((intake.answered_ns or 0) <= began_ns for intake in path.intakes)

    def _blinded(self, target: Target) -> set[str]:
        """Say what cannot be judged behind a path that is silent."""
        dark = any(
            f"rack:{rack_id}" in target.covers and state.set_name == AI and state.draw.total.coverage < _HALF
            for rack_id, state in self._racks.items()
        )
        flags = ((BLINDS_RACK, dark), (BLINDS_SITE, "site" in target.covers))
        return {name for name, holds in flags if holds}

    def _judge_rack(self, state: RackState, rules: Rulebook, board: Board, now: Moment) -> None:
        rule, levels = rules.rule(BLIND), rules.levels(BLIND, AI, state.target)
        draw = state.draw.total
        if not levels:
            return
        is_blind = not self._is_dead(state, board) and self._is_blind(state, now)
        target = blind_target(state)
        if not is_blind and board.find(rule, target) is None:
            return
        detail = f"Without data: {names(list(draw.lost))}." if draw.lost else ""
        if state.last_watts is not None:
            detail += f" Last seen {state.last_watts / 1000.0:.1f} kW."
        evidence = Evidence(
            spans=(None if is_blind is None else _TRUE if is_blind else _FALSE,) * len(levels),
            lo=draw.lo,
            best=draw.best,
            hi=draw.hi,
            unit="W",
            word=Verdict.CANT_TELL.value,
            cause="its meters, the network to them, or all of its feeds lost",
            detail=detail.strip(),
        )
        board.judge(rule, levels, target, evidence, now=now, cap_s=SLOT_CAP_S)

    def _is_blind(self, state: RackState, now: Moment) -> bool | None:
        """Whether a rack cannot be judged; None while its sources have yet to answer or to be given up."""
        draw = state.draw.total
        if draw.coverage >= _HALF:
            return False
        budget = state.plan.rack.budget.power_watts
        if budget is not None and state.bound_watts is not None and state.bound_watts <= budget:
            return False
        if not self._are_gone(state, now):
            return None
        if not draw.lost:
            return False
        return draw.coverage <= 0.0 or (state.last_ratio or 0.0) > _BUSY_RATIO

    def _is_dead(self, state: RackState, board: Board) -> bool:
        """Whether the death of all its feeds is told already: it draws nothing, which is no blindness."""
        for letter, feed in state.plan.feeds.items():
            above = self._topology.ancestors(feed.node.id if feed.node is not None else None)
            causes = [("feed", f"{state.plan.rack.id}/{letter}"), *(("power_node", name) for name in above)]
            if not any((FEED_DEAD, *cause) in board.alarms for cause in causes):
                return False
        return bool(state.plan.feeds)

    def _are_gone(self, state: RackState, now: Moment) -> bool:
        """Whether what is lost has been gone for long enough; a start gives every source its first minute."""
        return all(self.is_gone(intake, now) for intake in rack_sources(state) if not _is_heard(intake, now))

    def _judge_row(self, row: RowState, rules: Rulebook, board: Board, now: Moment) -> None:
        gone = [intake for intake in row.intakes if self.is_gone(intake, now)]
        down = len(gone) / len(row.intakes)
        normal = max(_DOWN_LEAST, _ABOVE_NORMAL * row.normal)
        row.learn(down)
        blind = self._blind_share(row.racks, now)
        self._judge_share(rules.rule(BLIND), rules.levels(BLIND, MINING, row.target), row.target, blind, board, now)
        rule, levels = rules.rule(STALE), rules.levels(STALE, MINING, row.target)
        is_over = down > normal and len(gone) >= _DOWN_LEAST_COUNT
        unheard = len(gone) + sum(self._is_expected(intake, now) for intake in row.intakes)
        sound = _FALSE if unheard <= max(normal * len(row.intakes), _DOWN_LEAST_COUNT - 1) else None
        if not levels or (not is_over and board.find(rule, row.target) is None):
            return
        listed = names([intake.device.id for intake in gone])
        detail = f"{len(gone)} of {len(row.intakes)} miners are silent ({normal:.0%} is normal here): {listed}."
        evidence = Evidence(spans=(_TRUE if is_over else sound,) * len(levels), detail=detail.replace("%", " %"))
        board.judge(rule, levels, row.target, evidence, now=now, cap_s=SLOT_CAP_S)

    def _is_expected(self, intake: Intake, now: Moment) -> bool:
        """Whether a device has not answered since keeld started, and it is too early to call it gone."""
        return intake.answered_ns is None and intake.is_awaited and not self.is_gone(intake, now)

    def _blind_share(self, racks: list[RackState], now: Moment) -> Span:
        """Share of the nameplates that is not heard from nor bounded by a meter; at most with all who are expected."""
        whole = sum(load.ceiling_watts for state in racks for load in state.plan.loads)
        if not whole:
            return _FALSE
        loads = [load for state in racks if state.draw.total.coverage < 1.0 for load in state.plan.loads]
        dark = sum(load.ceiling_watts for load in loads if self.is_gone(load.intake, now))
        expected = sum(load.ceiling_watts for load in loads if self._is_expected(load.intake, now))
        return Span(dark / whole, (dark + expected) / whole)

    def _judge_share(
        self, rule: Rule, levels: tuple[Level, ...], target: Target, share: Span, board: Board, now: Moment
    ) -> None:
        if not levels or (share.lo <= min(level.limit for level in levels) and board.find(rule, target) is None):
            return
        detail = f"{share.lo:.0%} of its nameplate watts are unobserved; limits there are NOT being checked."
        evidence = Evidence(
            spans=(share,) * len(levels),
            word=Verdict.CANT_TELL.value,
            cause="the network to it, or its power",
            detail=detail.replace("%", " %"),
        )
        board.judge(rule, levels, target, evidence, now=now, cap_s=SLOT_CAP_S)

    def _judge_site(self, rules: Rulebook, board: Board, now: Moment) -> None:
        if self._mines:
            levels = rules.levels_of(rules.site_blind, MINING, self.site_target)
            share = self._blind_share(self._mines, now)
            self._judge_share(rules.site_blind, levels, self.site_target, share, board, now)

    def _judge_device(self, intake: Intake, rules: Rulebook, board: Board, now: Moment) -> None:
        gone = self.is_gone(intake, now)
        if not gone and (STALE, "device", intake.device.id) not in board.alarms:
            return
        target = device_target(intake)
        rule, levels = rules.rule(STALE), rules.levels(STALE, PLANT, target)
        if not levels:
            return
        span = _TRUE if gone else _FALSE if _is_answering(intake) else None
        detail = last_answer(intake, now)
        evidence = Evidence(spans=(span,) * len(levels), cause=outage_words(intake), detail=detail)
        board.judge(rule, levels, target, evidence, now=now, cap_s=SLOT_CAP_S)

    def path_target(self, path: Path) -> Target:
        """Name a switch or gateway, with all that is seen through it alone."""
        members = {intake.device.id for intake in path.intakes}
        covers = {f"device:{name}" for name in members}
        for other in self._topology.paths:
            inside = {intake.device.id for intake in other.intakes}
            is_wider = _PATH_KINDS.index(path.kind) > _PATH_KINDS.index(other.kind)
            if other is not path and (inside < members or (inside == members and is_wider)):
                covers.add(f"path:{other.id}")
        for rack_id, state in self._racks.items():
            sources = rack_sources(state)
            if sources and all(intake.device.id in members for intake in sources):
                covers.add(f"rack:{rack_id}")
        for name, row in self.rows.items():
            if all(intake.device.id in members for intake in row.intakes):
                covers.add(f"row:{name}")
        if self._is_half_the_mine(members):
            covers.add("site")
        label = "site network" if path.kind == "network" else f"{path.kind} {path.id.removeprefix('tcp://')}"
        return Target("path", path.id, label, frozenset({f"path:{path.id}"}), frozenset(covers))

    def _is_half_the_mine(self, members: set[str]) -> bool:
        loads = [load for state in self._mines for load in state.plan.loads]
        behind = sum(load.ceiling_watts for load in loads if load.intake.device.id in members)
        return bool(loads) and behind >= _HALF * sum(load.ceiling_watts for load in loads)


def _is_mine(state: RackState) -> bool:
    return state.set_name == MINING and state.plan.rack.state not in _BEING_EMPTIED


def _rows(topology: Topology, racks: dict[str, RackState]) -> dict[str, RowState]:
    rows: dict[str, RowState] = {}
    found: dict[str, set[str]] = defaultdict(set)
    for intake in topology.intakes.values():
        if intake.device.kind != "miner":
            continue  # everything else stands for itself
        rack = topology.racks.get(intake.device.rack or "")
        if rack is not None and rack.rack.state in _BEING_EMPTIED:
            continue  # its machines are being carried out
        name = intake.device.row or (rack.rack.row if rack is not None else None) or intake.device.rack or ""
        rows.setdefault(name, RowState(name)).intakes.append(intake)
        if rack is not None:
            found[name].add(rack.rack.id)
    for name, row in rows.items():
        row.racks = [racks[rack_id] for rack_id in sorted(found[name]) if _is_mine(racks[rack_id])]
        covers = {f"rack:{state.plan.rack.id}" for state in row.racks}
        row.target = Target("row", name, row.target.label, row.target.scopes, frozenset(covers) | row.target.scopes)
    return rows


def _is_heard(intake: Intake, now: Moment) -> bool:
    return intake.answered_ns is not None and not intake.is_gone(now.mono_ns)


def _is_answering(intake: Intake) -> bool:
    """Whether its last poll was answered: at a start that is not known of anybody."""
    return intake.answered_ns is not None and not intake.outages

"""Announced work that is not over in time, and alarms that come too fast: what keeld says about its own telling."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from keeld.alerts.alarm import Alarm, Evidence, Target
from keeld.alerts.board import Board
from keeld.alerts.machine import Span
from keeld.alerts.rules import PLANT, Rule
from keeld.model import AlertState, Moment
from keeld.views import AlarmQuality
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.naming import names
from keeld.watch.racks import SLOT_CAP_S
from keeld.watch.subjects import Subject

_TRUE, _FALSE = Span(1.0, 1.0), Span(0.0, 0.0)
_WEEK_NS = 7 * 86_400 * 1_000_000_000
_FLOOD_MOST, _STALE_MOST, _MEAN_MOST = 0.01, 5, 2.0
"""Figures of ISA-18.2: a hundredth of the time in flood, five stale alarms, two in ten minutes on average."""


class WorkOverrun(Duty):
    """Rule 48 for work that has left things out of service when it should be over."""

    name = "work_overrun"

    def subjects(self) -> Iterable[Subject]:
        """List the site: which work it is stands in the message."""
        rule = self.ground.rules.work_overrun
        yield Subject(rule, self.ground.rules.levels_of(rule, PLANT), self._target)

    @property
    def _target(self) -> Target:
        return Target("work", self.ground.topology.site.name, "announced work", frozenset({"site"}))

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Look for work whose end has passed while something that it took out still stands."""
        rule = self.ground.rules.work_overrun
        ended = [running for running in board.holds.running if running.ends_ns <= slot.now.wall_ns]
        late = {
            running.work.id: (str(running.work.target), running.work.owner, _left(board, running.reach.scopes))
            for running in ended
        }
        for work, (_, _, left) in late.items():
            if not left:
                board.holds.finish(work, slot.now)
        late = {work: facts for work, facts in late.items() if facts[2]}
        self._judge(rule, late, board, slot.now)
        yield 1 + len(late)

    def _judge(self, rule: Rule, late: Mapping[str, tuple[str, str, list[Alarm]]], board: Board, now: Moment) -> None:
        levels = self.ground.rules.levels_of(rule, PLANT)
        if not levels or (not late and board.find(rule, self._target) is None):
            return
        said = [
            f"{target} ({owner}, {work}): {names([alarm.title or alarm.rule.title for alarm in left])}."
            for work, (target, owner, left) in late.items()
        ]
        evidence = Evidence(spans=((_TRUE if late else _FALSE),) * len(levels), detail=" ".join(said))
        board.judge(rule, levels, self._target, evidence, now=now, cap_s=SLOT_CAP_S)


def _left(board: Board, scopes: frozenset[str]) -> list[Alarm]:
    """List the alarms that say that things are still out of service."""
    return [
        alarm for alarm in board.alarms.values() if alarm.state is AlertState.FIRING and alarm.target.scopes & scopes
    ]


class AlarmQualityWatch(Duty):
    """Rule 38: floods as they come, each with its digest, and the figures of the week."""

    name = "alarm_quality"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        routes = {rule.route for rule in (*map(ground.rules.rule, (*ground.rules.names, *ground.rules.own)),)}
        self._routes = {route: flood_target(route) for route in sorted(routes | {""})}
        self._judged_ns = 0

    def subjects(self) -> Iterable[Subject]:
        """List the routes and the site."""
        rules = self.ground.rules
        for target in self._routes.values():
            yield Subject(rules.alarm_flood, rules.levels_of(rules.alarm_flood, PLANT), target)
        weekly = rules.rule("alarm_quality")
        yield Subject(weekly, rules.levels_of(weekly, PLANT), self._site)

    @property
    def _site(self) -> Target:
        site = self.ground.topology.site.name
        return Target("site", site, site, frozenset({"site"}))

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Judge the routes; once a week the figures."""
        board.quality.begin(slot.now.wall_ns)
        for route, target in self._routes.items():
            self._judge_flood(route, target, board, slot.now)
            yield 1
        if not self._judged_ns:
            self._judged_ns = slot.now.wall_ns
        if slot.now.wall_ns - self._judged_ns >= _WEEK_NS:
            self._judged_ns = slot.now.wall_ns
            self._judge_week(board, slot.now)
            yield 20

    def _judge_flood(self, route: str, target: Target, board: Board, now: Moment) -> None:
        rules, flood = self.ground.rules, board.floods.get(route)
        rule = rules.alarm_flood
        levels = rules.levels_of(rule, PLANT)
        is_on = flood is not None and flood.is_on and flood.count > 0
        if not levels or (not is_on and board.find(rule, target) is None):
            return
        evidence = Evidence(spans=((_TRUE if is_on else _FALSE),) * len(levels))
        if flood is not None and is_on:
            came = flood.recent(now.mono_ns)
            evidence = Evidence(
                spans=(_TRUE,) * len(levels),
                cause=f"first out: {flood.first}",
                detail=f"{came} came within 10 min; {flood.count} that are not critical are told here only.",
            )
        board.judge(rule, levels, target, evidence, now=now, cap_s=SLOT_CAP_S)

    def _judge_week(self, board: Board, now: Moment) -> None:
        rule = self.ground.rules.rule("alarm_quality")
        levels = self.ground.rules.levels_of(rule, PLANT)
        figures = board.quality.figures(board.alarms.values(), now.wall_ns, days=7)
        bad = _shortcomings(figures)
        evidence = Evidence(spans=((_TRUE if bad else _FALSE),) * len(levels), detail=" ".join(bad))
        board.judge(rule, levels, self._site, evidence, now=now, cap_s=SLOT_CAP_S)
        board.judge(rule, levels, self._site, evidence, now=now, cap_s=SLOT_CAP_S)

    def keep(self, before: AlarmQualityWatch) -> None:
        """Take over when the week was last judged."""
        self._judged_ns = before._judged_ns

    def memory(self) -> Mapping[str, bytes]:
        """Keep when the week was last judged."""
        return {"judged": str(self._judged_ns).encode()}

    def recall(self, memory: Mapping[str, bytes], now: Moment) -> None:
        """Take that back, unless it lies in the future."""
        written = memory.get("judged", b"")
        if written.isdigit() and int(written) <= now.wall_ns:
            self._judged_ns = int(written)


def flood_target(route: str) -> Target:
    """Name a route."""
    return Target("route", route or "all", f"route {route}" if route else "alerts")


def _shortcomings(figures: AlarmQuality) -> list[str]:
    """Say which of the week's figures are bad, as sentences."""
    found = (
        (
            figures.flood_ratio > _FLOOD_MOST,
            f"{figures.flood_ratio * 100:.1f} % of the week was flood (more than 1 %).",
        ),
        (figures.stale >= _STALE_MOST, f"{figures.stale} alarms have stood for more than a day (5 or more)."),
        (figures.chattering > 0, f"{figures.chattering} chattered."),
        (figures.per_ten_minutes > _MEAN_MOST, f"{figures.per_ten_minutes:.1f} in 10 min on average (more than 2)."),
    )
    return [words for is_bad, words in found if is_bad]

"""What people who look after alarms ask for: the rules and why each is active or idle, shelves, works and figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from keeld.alerts.alarm import Alarm
from keeld.alerts.board import Board
from keeld.alerts.rules import RANK
from keeld.alerts.selector import Selector
from keeld.budgets.aftermath import FailoverCase
from keeld.model import AlertState, Moment
from keeld.views import AlarmQuality, HoldView, RuleView, WouldHave
from keeld.watch.rulebook import Rulebook
from keeld.watch.state import SiteState
from keeld.watch.subjects import Subject

_EXAMPLES = 3
Failover = Callable[[Sequence[tuple[str, str]], Moment], FailoverCase | None]


class Desk:
    """Answers about one board and the configuration it judges."""

    def __init__(self, board: Board, state: SiteState, failover_without: Failover) -> None:
        self._board = board
        self._state = state
        self._failover_without = failover_without

    def rules(self, now: Moment) -> Iterator[RuleView]:
        """List every rule: where it is judged, and why nowhere; one at a time, as there are many targets."""
        return rule_views(self._state.rules, self._state.subjects(), self._board, now)

    def idle(self) -> list[str]:
        """Name the rules that are on and judged nowhere: nothing at this site has what they are about."""
        rules = self._state.rules
        judged = {subject.rule.name for subject in self._state.subjects()}
        return [name for name in (*rules.names, *rules.own) if rules.rule(name).enabled and name not in judged]

    def holds(self, now: Moment) -> tuple[HoldView, ...]:
        """List shelves and announced works, those that hold now and those to come."""
        return (*_shelves(self._board, now), *_works(self._board, now))

    def work_preview(self, target: Selector, now: Moment) -> FailoverCase | None:
        """Say what work on a selector would do if it began now; None where nothing would take anything over."""
        reach = self._board.holds.reach_of(target)
        dead = [(kind, name) for kind, _, name in (scope.partition(":") for scope in sorted(reach.scopes))]
        return self._failover_without([each for each in dead if each[0] in ("feed", "power_node")], now)

    def would_have(self) -> tuple[WouldHave, ...]:
        """List what would have been sent, had it not only been observed."""
        return self._board.ledger.entries()

    def quality(self, now: Moment, *, days: int = 30) -> AlarmQuality:
        """Give the figures of the last days about what people were told."""
        return self._board.quality.figures(self._board.alarms.values(), now.wall_ns, days=days)


def rule_views(rules: Rulebook, subjects: Iterable[Subject], board: Board, now: Moment) -> Iterator[RuleView]:
    """List every rule with where it is judged, and why nowhere."""
    found: dict[str, list[Subject]] = {name: [] for name in (*rules.names, *rules.own)}
    for subject in subjects:
        found.setdefault(subject.rule.name, []).append(subject)
    standing = Counter(alarm.rule.name for alarm in board.alarms.values() if alarm.state is not AlertState.PENDING)
    for name in sorted(found, key=lambda name: (name in rules.own, rules.rule(name).number, name)):
        yield _rule_view(name, rules, found[name], standing[name], board=board, now=now)


def _rule_view(
    name: str, rules: Rulebook, subjects: list[Subject], standing: int, *, board: Board, now: Moment
) -> RuleView:
    rule = rules.rule(name)
    observing = board.holds.observing
    untils = [observing.until_ns(name, board.tags_of(subject.target), now.wall_ns) for subject in subjects]
    waiting = [until_ns for until_ns in untils if until_ns is not None]
    levels = {level.severity for subject in subjects for level in subject.levels}
    return RuleView(
        number=rule.number,
        name=name,
        title=rule.title,
        is_enabled=rule.enabled or bool(subjects),
        is_own=name in rules.own,
        severities=tuple(sorted(levels, key=RANK.__getitem__)),
        targets=len(subjects),
        examples=tuple(f"{subject.target.kind} {subject.target.id}" for subject in subjects[:_EXAMPLES]),
        standing=standing,
        observed=len(waiting),
        observed_until_ns=max(waiting, default=0),
        why=_why(rule.enabled, rules, name, subjects),
    )


def _why(enabled: bool, rules: Rulebook, name: str, subjects: list[Subject]) -> str:  # noqa: FBT001 - read here alone
    """Say why a rule is judged nowhere, or that it was changed."""
    if not subjects:
        return "idle: nothing at this site has what it is about" if enabled else _off(rules, name)
    changed = [entry for entry, settings in rules.settings.items() if (settings.of or entry) == name]
    return f"changed by the configuration: {', '.join(changed)}" if changed and name not in rules.own else ""


def _off(rules: Rulebook, name: str) -> str:
    settings = rules.settings.get(name)
    return "off: switched off" if settings is not None and settings.enabled is False else "off: ships switched off"


def _shelves(board: Board, now: Moment) -> Iterator[HoldView]:
    for shelf in board.holds.shelves.values():
        tags_of = board.tags_of
        held = [alarm for alarm in _active(board) if shelf.holds(alarm.key, alarm.rule.name, tags_of(alarm.target))]
        yield HoldView(
            id=shelf.id,
            kind="shelf",
            about=shelf.key or str(shelf.selector),
            owner=shelf.owner,
            reason=shelf.reason,
            begins_ns=shelf.begins_ns,
            ends_ns=shelf.until_ns,
            is_now=now.wall_ns < shelf.until_ns,
            holds=tuple(alarm.alert_id for alarm in held),
        )


def _works(board: Board, now: Moment) -> Iterator[HoldView]:
    for work in board.holds.works.values():
        time = work.time_at(now.wall_ns, board.holds.timezone)
        begins_ns, ends_ns = time or (work.begins_ns, work.ends_ns)
        is_now = time is not None and begins_ns <= now.wall_ns
        scopes = board.holds.reach_of(work.target).scopes
        held = [alarm for alarm in _active(board) if is_now and alarm.target.scopes & scopes]
        yield HoldView(
            id=work.id,
            kind="maintenance",
            about=str(work.target),
            owner=work.owner,
            reason=work.reason,
            begins_ns=begins_ns,
            ends_ns=ends_ns,
            is_now=is_now,
            every_days=work.every_days,
            holds=tuple(alarm.alert_id for alarm in held),
        )


def _active(board: Board) -> Iterator[Alarm]:
    return (alarm for alarm in board.alarms.values() if alarm.state is not AlertState.PENDING)

"""What keeps alarms quiet by somebody's will: a shelf, announced work, or that they are new and only observed.

A quiet alarm is judged, stored and shown like any other; it is only not sent. Times are wall clock: people mean that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from keeld.alerts.observing import Observing
from keeld.alerts.selector import Selector, SelectorError, parse
from keeld.alerts.work import NEVER_MUTED, Reach, Work, mutes
from keeld.model import Moment, Severity

SHELVED, MAINTENANCE, OBSERVED, FLOODED = "shelved", "maintenance", "observed", "flood"


class Quiet(NamedTuple):
    """Why an alarm is quiet: the word, the id of the shelf or work, and until when (0: not known)."""

    word: str
    id: str = ""
    until_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """Alarms put aside for a while: one by its `key`, or all that a selector means."""

    id: str
    owner: str
    reason: str
    begins_ns: int
    until_ns: int
    key: str = ""
    selector: Selector | None = None

    def holds(self, key: str, rule: str, tags: Iterable[str]) -> bool:
        """Whether an alarm lies on it. Overloads and leaks are shelved one by one, never by a selector."""
        if self.selector is None:
            return key == self.key
        return rule not in NEVER_MUTED and self.selector.matches(rule, tags)


class Running(NamedTuple):
    """Work that goes on now."""

    work: Work
    begins_ns: int
    ends_ns: int
    reach: Reach


class Holds:
    """Every shelf and every announced work, and what is still observed.

    `reach_of` says what work on a selector takes out of service: whoever knows the site sets it.
    """

    def __init__(self, *, timezone: str = "UTC", observe_s: float = 0.0) -> None:
        self.timezone = timezone
        self.observing = Observing(observe_s)
        self.shelves: dict[str, Shelf] = {}
        self.works: dict[str, Work] = {}
        self.running: tuple[Running, ...] = ()
        self.reach_of: Callable[[Selector], Reach] = lambda _: Reach()
        self._reaches: dict[Selector, Reach] = {}
        self._under_work: frozenset[str] = frozenset()

    def know(self, timezone: str, reach_of: Callable[[Selector], Reach]) -> None:
        """Take a configuration: its zone, and what work takes out of service in it."""
        self.timezone, self.reach_of = timezone, reach_of
        self._reaches.clear()

    def _reach(self, selector: Selector) -> Reach:
        """Work out once what a selector takes out of service."""
        if selector not in self._reaches:
            self._reaches[selector] = self.reach_of(selector)
        return self._reaches[selector]

    def refresh(self, now: Moment) -> None:
        """Let go of shelves whose time has come, and find the work that goes on."""
        self.shelves = {name: shelf for name, shelf in self.shelves.items() if now.wall_ns < shelf.until_ns}
        times = [(work, work.time_at(now.wall_ns, self.timezone)) for work in self.works.values()]
        self.works = {work.id: work for work, time in times if time is not None}
        if not self.works:
            self._reaches.clear()
        self.running = tuple(
            Running(work, *time, self._reach(work.target))
            for work, time in times
            if time is not None and time[0] <= now.wall_ns
        )
        self._under_work = frozenset(scope for running in self.running for scope in running.reach.scopes)

    def finish(self, work_id: str, now: Moment) -> None:
        """Let go of work: for good, or of repeated work this time."""
        work = self.works.pop(work_id, None)
        time = None if work is None else work.time_at(now.wall_ns, self.timezone)
        if work is not None and time is not None and work.every_days:
            self.works[work_id] = replace(work, ended_ns=max(now.wall_ns, time[0]))
        self.refresh(now)

    def is_under_work(self, kind: str, name: str) -> bool:
        """Whether announced work counts a node, feed or device (`power_node`, `ups-a`) as out of service now."""
        return f"{kind}:{name}" in self._under_work

    def quiet(
        self, key: str, rule: str, severity: Severity, *, scopes: frozenset[str], tags: frozenset[str], wall_ns: int
    ) -> Quiet | None:
        """Say what keeps an alarm quiet now; None where nothing does."""
        for shelf in self.shelves.values():
            if wall_ns < shelf.until_ns and shelf.holds(key, rule, tags):
                return Quiet(SHELVED, shelf.id, shelf.until_ns)
        for running in self.running:
            if mutes(running.reach, rule, severity, scopes):
                return Quiet(MAINTENANCE, running.work.id, running.ends_ns)
        until_ns = self.observing.until_ns(rule, tags, wall_ns)
        return None if until_ns is None else Quiet(OBSERVED, until_ns=until_ns)

    def dump(self) -> Mapping[str, bytes]:
        """Give what must survive a restart."""
        return {
            "shelves": _dump([_shelf_form(shelf) for shelf in self.shelves.values()]),
            "works": _dump([_work_form(work) for work in self.works.values()]),
            **{f"observing/{name}": note for name, note in self.observing.dump().items()},
        }

    def load(self, notes: Mapping[str, bytes], now: Moment) -> None:
        """Take back what `dump` gave; an entry that cannot be read is left out."""
        shelves = filter(None, map(_shelf, _load(notes.get("shelves", b"[]"))))
        works = filter(None, map(_work, _load(notes.get("works", b"[]"))))
        self.shelves = {shelf.id: shelf for shelf in shelves}
        self.works = {work.id: work for work in works}
        head = "observing/"
        self.observing.load({key.removeprefix(head): note for key, note in notes.items() if key.startswith(head)})
        self.refresh(now)


def _dump(forms: list[dict[str, Any]]) -> bytes:
    return json.dumps(forms, separators=(",", ":")).encode()


def _load(note: bytes) -> list[Any]:
    try:
        forms = json.loads(note)
    except ValueError:
        return []
    return forms if isinstance(forms, list) else []


def _shelf_form(shelf: Shelf) -> dict[str, Any]:
    return {
        "id": shelf.id,
        "owner": shelf.owner,
        "reason": shelf.reason,
        "begins_ns": shelf.begins_ns,
        "until_ns": shelf.until_ns,
        "key": shelf.key,
        "selector": None if shelf.selector is None else str(shelf.selector),
    }


def _shelf(form: Any) -> Shelf | None:
    try:
        selector = form["selector"]
        return Shelf(**{**form, "selector": None if selector is None else parse(selector)})
    except (TypeError, KeyError, SelectorError):
        return None


def _work_form(work: Work) -> dict[str, Any]:
    return {
        "id": work.id,
        "target": str(work.target),
        "owner": work.owner,
        "reason": work.reason,
        "begins_ns": work.begins_ns,
        "ends_ns": work.ends_ns,
        "every_days": work.every_days,
        "ended_ns": work.ended_ns,
    }


def _work(form: Any) -> Work | None:
    try:
        return Work(**{**form, "target": parse(form["target"])})
    except (TypeError, KeyError, SelectorError):
        return None

"""What a message says beside its alarm: where it is, what happened just before, what else stands, where to look.

What happened is every alarm that began or ended within the last minutes about the same things, and changes that people
or the plant made. It is kept in memory alone: after a restart the list begins anew, and says so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from keeld.alerts.alarm import Alarm, Target
from keeld.alerts.holds import Running
from keeld.message_urls import MessageUrls
from keeld.model import AlertState
from keeld.text import clean

_SECOND_NS = 1_000_000_000
LOOK_BACK_NS = 600 * _SECOND_NS
_KEPT, _SHOWN = 200, 5
_WORDS_MOST = 100
_STANDS = (AlertState.FIRING, AlertState.CLEARING)
_SHARED = ("rack:", "feed:", "node:", "cooling:", "device:")
"""Tags by which two alarms concern the same thing; a row or a tenant is too wide for that."""
_COOLING = frozenset({"zone_cooling_n1", "cooling_unit_fault", "flow_low", "cdu_pump_lost"})
_SUPPLY = frozenset({"feed_dead", "breaker_tripped", "source_changed"})
LIKELY_OF = {
    "breaker_overload": _SUPPLY,
    "breaker_severe": _SUPPLY,
    "kva_over": _SUPPLY,
    "redundancy_will_trip": _SUPPLY,
    "inlet_high": _COOLING,
    "inlet_rate": _COOLING,
    "flow_low": frozenset({"leak", "loop_pressure"}),
    "loop_pressure": frozenset({"leak"}),
}
"""Rules that stand for themselves beside their cause: what that cause may be."""
_ROOTS = frozenset().union(*LIKELY_OF.values())


class Happening(NamedTuple):
    """Something that changed. Without scopes it concerns the whole site; `key` is that of an alarm, if it was one."""

    wall_ns: int
    words: str
    scopes: frozenset[str] = frozenset()
    key: str = ""


class Beside(NamedTuple):
    """What stands around one alarm, ready to be said."""

    tags: frozenset[str] = frozenset()
    happened: tuple[str, ...] = ()
    works: tuple[str, ...] = ()
    cause: str = ""
    """Another alarm that likely explains this one, where its own evidence names nothing."""
    outlook: str = ""
    urls: MessageUrls = MessageUrls()


class Context:
    """What happened lately at a site, and what is known beside its alarms."""

    def __init__(self, timezone: str) -> None:
        self.timezone = timezone
        self.urls = MessageUrls()
        self.outlook: Callable[[Target], str] = lambda _: ""
        """Says as a sentence when a target's load will reach its limit, where that is foreseen."""
        self._happened: deque[Happening] = deque(maxlen=_KEPT)
        self._roots: dict[str, Alarm] = {}
        """Alarms that may be the cause of others, by key, while they are on the board."""

    def note(self, words: str, wall_ns: int, scopes: Iterable[str] = ()) -> None:
        """Note a change that is no alarm."""
        self._happened.append(Happening(wall_ns, words, frozenset(scopes)))

    def note_move(self, alarm: Alarm, before: AlertState, ended: str, wall_ns: int) -> None:
        """Note that an alarm has begun or ended; anything between is no news to others."""
        self.know(alarm)
        began = alarm.state is AlertState.FIRING and before not in _STANDS
        if not began and not (ended and before in _STANDS):
            return
        words = _called(alarm) + (f": {ended}" if ended else "")
        self._happened.append(Happening(wall_ns, words, _reach(alarm.target), alarm.key))

    def know(self, alarm: Alarm) -> None:
        """Keep track of an alarm that others may follow from, as it stands now."""
        if alarm.rule.name in _ROOTS:
            if alarm.state is AlertState.OK:
                self._roots.pop(alarm.key, None)
            else:
                self._roots[alarm.key] = alarm

    def of(self, alarm: Alarm, tags: frozenset[str], *, works: Iterable[Running], but: Iterable[str]) -> Beside:
        """Gather what to say beside an alarm; `but` are the alarms that its message lists anyway."""
        reach = _reach(alarm.target) | _scopes_of(tags)
        return Beside(
            tags,
            tuple(self._before(alarm, reach, {alarm.key, *but})),
            tuple(
                self._work_words(running)
                for running in works
                if not reach.isdisjoint(running.reach.scopes | running.reach.degraded)
            ),
            self._likely(alarm, reach),
            self.outlook(alarm.target) if alarm.state is AlertState.FIRING else "",
            self.urls,
        )

    def _before(self, alarm: Alarm, reach: frozenset[str], but: set[str]) -> Iterator[str]:
        since_ns = alarm.since_ns - LOOK_BACK_NS
        found = [
            happening
            for happening in self._happened
            if since_ns <= happening.wall_ns <= alarm.seen_ns
            and happening.key not in but
            and (not happening.scopes or not happening.scopes.isdisjoint(reach))
        ]
        for happening in found[-_SHOWN:]:
            yield f"{self._clock(happening.wall_ns)} {clean(happening.words, _WORDS_MOST)}"

    def _work_words(self, running: Running) -> str:
        work = running.work
        return f"{work.target} by {clean(work.owner)} until {self._clock(running.ends_ns)}: {clean(work.reason, 80)}"

    def _likely(self, alarm: Alarm, reach: frozenset[str]) -> str:
        rules = LIKELY_OF.get(alarm.rule.name)
        if rules is None or alarm.evidence.cause:
            return ""
        near = [
            other
            for other in self._roots.values()
            if other.rule.name in rules and other.state in _STANDS and not _reach(other.target).isdisjoint(reach)
        ]
        if not near:
            return ""
        first = min(near, key=lambda other: other.since_ns)
        return f"{clean(_called(first), _WORDS_MOST)} since {self._clock(first.since_ns)}"

    def _clock(self, time_ns: int) -> str:
        moment = datetime.fromtimestamp(time_ns // _SECOND_NS, UTC).astimezone(ZoneInfo(self.timezone))
        return f"{moment:%H:%M:%S}"


def _called(alarm: Alarm) -> str:
    return f"{alarm.target.label or alarm.target.id} {alarm.rule.title}"


def _reach(target: Target) -> frozenset[str]:
    """Give all that a target is part of, or takes down with it."""
    return target.scopes | target.covers


def _scopes_of(tags: Iterable[str]) -> frozenset[str]:
    """Give the scopes that stand behind a target's tags."""
    names = {"node": "power_node", "cooling": "cooling_node"}
    split = (tag.partition(":") for tag in tags if tag.startswith(_SHARED))
    return frozenset(f"{names.get(kind, kind)}:{name}" for kind, _, name in split)

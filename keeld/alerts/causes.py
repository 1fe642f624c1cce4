"""What holds an alarm back: another alarm that explains it, or one that already speaks for its group."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain

from keeld.alerts.alarm import Alarm
from keeld.alerts.rules import RANK
from keeld.model import AlertState, Moment, Severity

_AFTERMATH_NS = 60 * 1_000_000_000
_NEVER_HELD = frozenset(
    {"breaker_overload", "breaker_severe", "inlet_rate", "leak", "breaker_tripped", "smoke", "epo", "door"}
)
"""Rules 1, 2, 18, 23, 39 and 52: whatever else goes on, what they say stands for itself. Rule 17 where critical."""
CHILDREN_LISTED = 20


def is_never_held(rule: str, severity: Severity) -> bool:
    """Whether an alarm is told whatever explains it."""
    return rule in _NEVER_HELD or (rule == "inlet_high" and severity is Severity.CRITICAL)


class Causes:
    """Alarms that may hold others back, also for a minute after their end, and what each of them holds."""

    def __init__(self) -> None:
        self._inhibitors: dict[str, Alarm] = {}
        self._aftermath: list[tuple[int, Alarm]] = []
        self._children: dict[str, dict[str, str]] = {}
        """Cause to the alarms that follow from it, by key, with what each is called."""
        self._brought_back: dict[str, int] = {}
        """Held alarms of before a restart, and until when their cause is believed although it is not here."""

    def add(self, alarm: Alarm) -> None:
        """Take note of an alarm that may hold others back."""
        if alarm.rule.inhibits:
            self._inhibitors[alarm.key] = alarm
        else:
            self._inhibitors.pop(alarm.key, None)
        if alarm.held_by:
            self._note_child(alarm)

    def end(self, alarm: Alarm, now: Moment) -> None:
        """Take note that an alarm is over: what follows from it may still be on its way."""
        if alarm.state in (AlertState.FIRING, AlertState.CLEARING) and alarm.rule.inhibits:
            self._aftermath.append((now.mono_ns + _AFTERMATH_NS, alarm))

    def drop(self, key: str) -> None:
        """Forget an alarm and what it held."""
        self._inhibitors.pop(key, None)
        self._children.pop(key, None)
        self._brought_back.pop(key, None)

    def hold(self, cause: Alarm, alarm: Alarm) -> None:
        """Note that an alarm follows from another."""
        if alarm.held_by != cause.key:
            self.release(alarm)
            alarm.held_by = cause.key
            self._note_child(alarm)

    def _note_child(self, alarm: Alarm) -> None:
        children = self._children.setdefault(alarm.held_by, {})
        children[alarm.key] = f"{alarm.target.label or alarm.target.id} {alarm.rule.title}"

    def list_under(self, key: str, alarm: Alarm) -> None:
        """Note that an alarm is told of by another one, as by a digest."""
        self._children.setdefault(key, {})[alarm.key] = f"{alarm.target.label or alarm.target.id} {alarm.rule.title}"

    def bring_back(self, alarm: Alarm, now: Moment) -> None:
        """Note an alarm of before a restart: what held it may have ended a moment before."""
        if alarm.held_by:
            self._brought_back[alarm.key] = now.mono_ns + _AFTERMATH_NS

    def was_held(self, alarm: Alarm, now: Moment) -> bool:
        """Whether an alarm was held when keeld ended, and that is no minute ago."""
        if not alarm.held_by or is_never_held(alarm.rule.name, alarm.severity):
            return False
        return now.mono_ns < self._brought_back.get(alarm.key, 0)

    def release(self, alarm: Alarm) -> None:
        """Note that nothing explains an alarm any more: it is told by itself."""
        if alarm.held_by:
            self._children.get(alarm.held_by, {}).pop(alarm.key, None)
            alarm.held_by = ""

    def children(self, key: str) -> dict[str, str]:
        """Give what followed from an alarm in this episode: keys, with what each is called."""
        return self._children.get(key, {})

    def find(
        self, alarm: Alarm, peers: Iterable[Alarm], now: Moment, *, is_mute: Callable[[Alarm], bool]
    ) -> Alarm | None:
        """Find the alarm that explains this one. One that is mute explains nothing: nobody heard it."""
        if is_never_held(alarm.rule.name, alarm.severity):
            return None
        if self._aftermath:
            self._aftermath = [(until, other) for until, other in self._aftermath if until > now.mono_ns]
        holder = self._inhibitors.get(alarm.held_by)
        known = () if holder is None else (holder,)  # a thousand that are held do not look through a thousand causes
        for other in chain(known, self._inhibitors.values()):
            if _is_about(other, alarm) and _holds_back(other) and not is_mute(other):
                return self._root(other, alarm)
        for _, other in self._aftermath:
            if _is_about(other, alarm) and not is_mute(other):
                return self._root(other, alarm)
        return _speaker_for(alarm, peers)

    def _root(self, cause: Alarm, alarm: Alarm) -> Alarm:
        """Climb from a cause that is itself explained to what explains it: that is what people were told."""
        seen = {alarm.key}
        while cause.key not in seen and cause.held_by in self._inhibitors and cause.held_by not in seen:
            seen.add(cause.key)
            cause = self._inhibitors[cause.held_by]
        return cause


def _is_about(cause: Alarm, alarm: Alarm) -> bool:
    """Whether an alarm would explain another one, if it stands."""
    is_over = alarm.rule.name in cause.rule.inhibits and not alarm.target.scopes.isdisjoint(cause.target.covers)
    return is_over and cause is not alarm


def _speaker_for(alarm: Alarm, peers: Iterable[Alarm]) -> Alarm | None:
    """Find the alarm that already speaks for the group of this one, no less severely."""
    if not alarm.rule.grouped or not alarm.target.group:
        return None
    for other in peers:
        if other is alarm or other.rule.name != alarm.rule.name or other.target.group != alarm.target.group:
            continue
        if other.told is not None and RANK[other.told] >= RANK[alarm.severity]:
            return other
    return None


def _holds_back(alarm: Alarm) -> bool:
    if alarm.state in (AlertState.FIRING, AlertState.CLEARING):
        return True
    return alarm.rule.inhibits_early and alarm.state is AlertState.PENDING

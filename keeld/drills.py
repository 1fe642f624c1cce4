"""Drills: a marked message that goes the whole way of an alarm, from the commit on disk to people's pagers, and ends.

A drill is no alarm: nothing is judged, no alarm moves and none is held back by it. Its key is its own (`drill.RULE`),
so that it can neither end nor hide a real one. While it stands it is kept like an alarm; a keeld that is killed during
a drill withdraws it at its next start, because no rule of that name exists.
"""

from __future__ import annotations

import asyncio
import difflib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from keeld.alerts.alarm import short_id
from keeld.alerts.message import TITLE_MOST, titled, where
from keeld.alerts.restored import RestoredAlarm
from keeld.errors import KeeldError
from keeld.judge import Judge
from keeld.model import AlertState, Notice, Severity, Transition
from keeld.text import clean
from keeld.watch.subjects import Subject

MARK = "DRILL"
_STANDING_MOST = 10
_NAMED = 5


class DrillError(KeeldError):
    """A drill that cannot be held: what is wrong, and what to ask instead."""

    def __init__(self, wrong: str, remedy: str) -> None:
        super().__init__(f"{wrong}; {remedy}")
        self.wrong = wrong
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Begun:
    """A drill that has begun: its key, and what it will say in which order."""

    key: str
    alert_id: str
    says: tuple[tuple[Notice, Severity], ...]


class Drills:
    """Holds drills of a running keeld. Invariant: every drill that has begun is resolved, by `run` or by a restart."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._due: list[tuple[float, Transition]] = []
        self._woken = asyncio.Event()

    def begin(self, rule: str, target: str, who: str, *, escalates: bool, hold_s: float) -> Begun:
        """Send the first message now, the others `hold_s` apart; raises DrillError where there is nothing to drill."""
        if len(self._judge.drills) >= _STANDING_MOST:
            raise DrillError(f"{_STANDING_MOST} drills stand already", "wait until they end")
        subject = find(self._judge.watch.subjects(), rule, target)
        moves = transitions(subject, self._judge.watch.site_name, who, escalates=escalates)
        if moves[0].key in self._judge.drills:
            raise DrillError(f"a drill of {rule} at {target} stands already", "wait until it ends")
        now_s = time.monotonic()
        self._due += [(now_s + hold_s * number, move) for number, move in enumerate(moves)]
        self._woken.set()
        return Begun(
            moves[0].key, moves[0].alert_id, tuple((move.notice, move.severity) for move in moves if move.notice)
        )

    async def run(self) -> None:
        """Send what is due, for ever."""
        while True:
            self._woken.clear()
            self._send_due(time.monotonic())
            next_s = min((due_s for due_s, _ in self._due), default=None)
            try:
                async with asyncio.timeout(None if next_s is None else max(0.0, next_s - time.monotonic())):
                    await self._woken.wait()
            except TimeoutError:
                continue

    def _send_due(self, now_s: float) -> None:
        due = [move for due_s, move in self._due if due_s <= now_s]
        self._due = [(due_s, move) for due_s, move in self._due if due_s > now_s]
        for move in due:
            stamped = replace(move, time_ns=time.time_ns())
            if stamped.notice is Notice.RESOLVE:
                self._judge.drills.pop(stamped.key, None)
            else:
                self._judge.drills[stamped.key] = _kept(stamped)
            self._judge.note([stamped])


def find(subjects: Iterable[Subject], rule: str, target: str) -> Subject:
    """Find a rule at a target, written `rack:r07` or `r07`; raises DrillError with what there is."""
    known = list(subjects)
    names = {subject.rule.name for subject in known}
    held = [subject for subject in known if subject.rule.name == rule]
    if not held:
        nearest = difflib.get_close_matches(rule[:64], names, n=1)
        remedy = f"did you mean {nearest[0]}?" if nearest else "`keeld rules` lists those that are"
        raise DrillError(f"rule '{clean(rule)}' is judged nowhere at this site", remedy)
    found = [each for each in held if target in (each.target.id, f"{each.target.kind}:{each.target.id}")]
    if not found:
        examples = ", ".join(f"{each.target.kind}:{each.target.id}" for each in held[:_NAMED])
        raise DrillError(f"{rule} is not judged at '{clean(target)}'", f"it is at {examples}")
    return found[0]


def transitions(subject: Subject, site: str, who: str, *, escalates: bool) -> Sequence[Transition]:
    """Give the moves of a drill: fires (at its mildest and then its worst, where it escalates) and resolves."""
    severities = list(dict.fromkeys(level.severity for level in subject.levels))
    first, worst = (severities[0], severities[-1]) if escalates else (severities[-1], severities[-1])
    rule, target = f"drill.{subject.rule.name}", subject.target
    key = f"{site}:{rule}:{target.kind}:{target.id}"
    title = f"{MARK}: {titled(clean(target.label or target.id), subject.rule.title)}"[:TITLE_MOST]
    fires = Transition(
        key=key,
        alert_id=short_id(key),
        rule=rule,
        target_kind=target.kind,
        target_id=target.id,
        before=AlertState.OK,
        after=AlertState.FIRING,
        severity=first,
        notice=Notice.TRIGGER,
        since_ns=time.time_ns(),
        title=title,
        text=f"{title}\n{where(target, target.tags, site)}\n"
        f"This is a test of the alerting, asked for by {clean(who)}. Nothing is wrong.",
        cause="a drill",
        route=subject.rule.route,
    )
    grows = replace(fires, before=AlertState.FIRING, severity=worst, notice=Notice.ESCALATE)
    ends = replace(
        grows,
        after=AlertState.OK,
        notice=Notice.RESOLVE,
        ended="resolved",
        title=f"{title[: TITLE_MOST - 10]}: resolved",
        text=f"{title}\nThe test is over.",
    )
    return (fires, grows, ends) if escalates and worst is not first else (fires, ends)


def _kept(move: Transition) -> RestoredAlarm:
    return RestoredAlarm(
        key=move.key,
        rule=move.rule,
        target_kind=move.target_kind,
        target_id=move.target_id,
        state=move.after,
        severity=move.severity,
        told=move.severity,
        since_ns=move.since_ns,
        seen_ns=move.time_ns,
        levels=(),
        title=move.title,
        text=move.text,
        cause=move.cause,
    )

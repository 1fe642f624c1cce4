"""An alarm's move as the value that is stored and sent, and an alarm as it is kept over a restart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from keeld.alerts.alarm import Alarm, short_id
from keeld.alerts.causes import CHILDREN_LISTED
from keeld.alerts.machine import Machine, patience_s
from keeld.alerts.message import TITLE_MOST, Message
from keeld.alerts.restored import LevelState, RestoredAlarm
from keeld.alerts.rules import Level
from keeld.model import AlertState, Moment, Notice, Severity, Transition

RESOLVED, UNVERIFIABLE, WITHDRAWN = "resolved", "unverifiable", "withdrawn"
_SECOND_NS = 1_000_000_000


def transition(
    alarm: Alarm,
    before: AlertState,
    notice: Notice | None,
    now: Moment,
    *,
    message: Message,
    ended: str,
    children: Mapping[str, str],
) -> Transition:
    """Put a move of an alarm, as it stands now, into the form that is stored."""
    evidence = alarm.evidence
    return Transition(
        key=alarm.key,
        alert_id=short_id(alarm.key),
        rule=alarm.rule.name,
        target_kind=alarm.target.kind,
        target_id=alarm.target.id,
        before=before,
        after=alarm.state,
        severity=_severity_told(alarm, notice),
        notice=notice,
        time_ns=now.wall_ns,
        since_ns=alarm.since_ns,
        lo=evidence.lo,
        best=evidence.best,
        hi=evidence.hi,
        limit=evidence.limit,
        unit=evidence.unit,
        title=message.title,
        text=message.text,
        cause=alarm.held_by or evidence.cause,
        ended=ended,
        quiet=alarm.quiet,
        children=tuple(children.values())[:CHILDREN_LISTED],
        child_count=len(children),
        owner=alarm.owner,
        route=alarm.rule.route,
    )


def _severity_told(alarm: Alarm, notice: Notice | None) -> Severity:
    """Give a resolve the severity that was told, so that it reaches every channel that took the trigger."""
    if notice is Notice.RESOLVE and alarm.told is not None:
        return alarm.told
    return alarm.severity


def withdrawal(saved: RestoredAlarm, now: Moment) -> Transition:
    """End an alarm of before the restart whose rule or target is no longer there."""
    notice = Notice.RESOLVE if saved.told is not None else None
    title = _ended_title(saved.title)
    return Transition(
        key=saved.key,
        alert_id=short_id(saved.key),
        rule=saved.rule,
        target_kind=saved.target_kind,
        target_id=saved.target_id,
        before=saved.state,
        after=AlertState.OK,
        severity=saved.told or saved.severity,
        notice=notice,
        time_ns=now.wall_ns,
        since_ns=saved.since_ns,
        lo=saved.lo,
        best=saved.best,
        hi=saved.hi,
        limit=saved.limit,
        unit=saved.unit,
        title=title,
        text=f"{title}\nIts rule or target is no longer in the configuration.",
        ended=WITHDRAWN if notice is not None else "",
    )


def _ended_title(title: str) -> str:
    """Put the word of the end in the place of the figures that a title ends with."""
    said, mark, _ = title.rpartition(": ")
    room = TITLE_MOST - len(WITHDRAWN) - 2
    return f"{(said if mark else title)[:room].rstrip()}: {WITHDRAWN}"


def save(alarm: Alarm) -> RestoredAlarm:
    """Give what must survive a restart."""
    evidence = alarm.evidence
    return RestoredAlarm(
        key=alarm.key,
        rule=alarm.rule.name,
        target_kind=alarm.target.kind,
        target_id=alarm.target.id,
        state=alarm.state,
        severity=alarm.severity,
        told=alarm.told,
        since_ns=alarm.since_ns,
        seen_ns=alarm.seen_ns,
        levels=tuple(
            LevelState(level.severity, level.limit, machine.state, machine.credit_s)
            for level, machine in zip(alarm.levels, alarm.machines, strict=True)
        ),
        lo=evidence.lo,
        best=evidence.best,
        hi=evidence.hi,
        limit=evidence.limit,
        unit=evidence.unit,
        title=alarm.title,
        text=alarm.text,
        cause=alarm.held_by or evidence.cause,
        quiet=alarm.quiet,
        owner=alarm.owner,
        digested=alarm.digested,
        chatters=alarm.chatters,
    )


def bring_back(alarm: Alarm, saved: RestoredAlarm, *, holder: str) -> None:
    """Put an alarm where it stood; `holder` is its cause's key where that cause is an alarm too."""
    alarm.since_ns, alarm.seen_ns, alarm.told = saved.since_ns, saved.seen_ns, saved.told
    alarm.title, alarm.text, alarm.state, alarm.severity = saved.title, saved.text, saved.state, saved.severity
    alarm.quiet, alarm.owner, alarm.digested, alarm.chatters = saved.quiet, saved.owner, saved.digested, saved.chatters
    alarm.held_by = holder


def machine(saved: RestoredAlarm, levels: Sequence[Level], index: int, now: Moment) -> Machine:
    """Bring one level back: by severity and limit, else by its place where the limit was tuned meanwhile.

    Of levels that share both, and differ in what they need beside, the first is the first, the second the second.
    """
    level = levels[index]
    same = [state for state in saved.levels if (state.severity, state.limit) == (level.severity, level.limit)]
    place = sum((other.severity, other.limit) == (level.severity, level.limit) for other in levels[:index])
    found = same[place : place + 1] or list(saved.levels[index : index + 1])
    if not found:
        return Machine()
    age_s = (now.wall_ns - saved.seen_ns) / _SECOND_NS
    if found[0].state is AlertState.PENDING and age_s > patience_s(level.on_s):
        return Machine()
    return Machine(found[0].state, found[0].credit_s)

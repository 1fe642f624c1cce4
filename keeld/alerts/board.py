"""Every alarm that is not OK, and what its moves tell people.

An alarm tells at once when it begins to fire and when it gets worse; it gets better silently and tells its end. An
alarm whose cause is another alarm moves without telling; if it still fires a minute after its cause has gone, it
tells then. What people were never told of ends untold.
"""

from __future__ import annotations

from collections.abc import Iterable

from keeld.alerts.alarm import Alarm, Evidence, Target, short_id
from keeld.alerts.machine import Machine, patience_s
from keeld.alerts.message import Message, compose
from keeld.alerts.restored import LevelState, RestoredAlarm
from keeld.alerts.rules import RANK, Level, Rule
from keeld.model import AlertState, Moment, Notice, Severity, Transition

_SECOND_NS = 1_000_000_000
_AFTERMATH_NS = 60 * _SECOND_NS

RESOLVED, UNVERIFIABLE, WITHDRAWN = "resolved", "unverifiable", "withdrawn"

Key = tuple[str, str, str]


class Board:
    """The alarms of one site. Invariant: an alarm that is OK and untold is not on it."""

    def __init__(self, site: str, *, timezone: str, unverifiable_s: float) -> None:
        self.site = site
        self.timezone = timezone
        self.alarms: dict[Key, Alarm] = {}
        self._inhibitors: dict[Key, Alarm] = {}
        """Those of the alarms that may hold others back."""
        self._unverifiable_ns = int(unverifiable_s * _SECOND_NS)
        self._moves: list[Transition] = []
        self._aftermath: list[tuple[int, Alarm]] = []

    def take_moves(self) -> tuple[Transition, ...]:
        """Give the transitions since the last call."""
        moves, self._moves = tuple(self._moves), []
        return moves

    def key_of(self, rule: Rule, target: Target) -> str:
        """Give the key under which an alarm is known everywhere."""
        return f"{self.site}:{rule.name}:{target.kind}:{target.id}"

    def find(self, rule: Rule, target: Target) -> Alarm | None:
        """Give the alarm if it is not OK."""
        return self.alarms.get((rule.name, target.kind, target.id))

    def judge(
        self, rule: Rule, levels: tuple[Level, ...], target: Target, evidence: Evidence, *, now: Moment, cap_s: float
    ) -> bool:
        """Judge a rule at a target; True when the alarm moved."""
        name = (rule.name, target.kind, target.id)
        alarm = self.alarms.get(name)
        if alarm is None:
            if not any(
                span is not None and rule.is_exceeded(*span, level.limit)
                for span, level in zip(evidence.spans, levels, strict=True)
            ):
                return False
            machines = [Machine() for _ in levels]
            alarm = Alarm(self.key_of(rule, target), rule, levels, target, machines, known_ns=now.mono_ns)
            self._add(alarm)
        alarm.rule, alarm.levels, alarm.target = rule, levels, target
        alarm.seen_ns = now.wall_ns
        alarm.step(evidence, mono_ns=now.mono_ns, cap_s=cap_s)
        return self._settle(alarm, now)

    def _settle(self, alarm: Alarm, now: Moment) -> bool:
        """Turn what the machines did into one transition, with what it tells people."""
        before, severity_before = alarm.state, alarm.severity
        state, severity = alarm.overall()
        if state is AlertState.OK:
            if before is not AlertState.OK:
                self._end(alarm, RESOLVED, now)
            else:
                self._drop(alarm)
            return before is not AlertState.OK
        if before is AlertState.OK:
            alarm.since_ns = now.wall_ns
        alarm.state, alarm.severity = state, severity
        if self._is_unverifiable(alarm, now):
            self._end(alarm, UNVERIFIABLE, now)
            return True
        notice = self._notice(alarm, now)
        if (state, severity) == (before, severity_before) and notice is None:
            return False
        self._move(alarm, before, notice, now)
        return True

    def _is_unverifiable(self, alarm: Alarm, now: Moment) -> bool:
        is_active = alarm.state in (AlertState.FIRING, AlertState.CLEARING)
        return is_active and now.mono_ns - alarm.known_ns > self._unverifiable_ns

    def _notice(self, alarm: Alarm, now: Moment) -> Notice | None:
        """Say what a firing alarm has to tell; nothing while another alarm is its cause."""
        if alarm.state is not AlertState.FIRING:
            return None
        if alarm.told is not None and RANK[alarm.severity] <= RANK[alarm.told]:
            return None
        cause = self.cause_of(alarm, now)
        alarm.held_by = cause.key if cause is not None else ""
        if cause is not None:
            return None
        notice = Notice.TRIGGER if alarm.told is None else Notice.ESCALATE
        alarm.told = alarm.severity
        return notice

    def cause_of(self, alarm: Alarm, now: Moment) -> Alarm | None:
        """Find the alarm that explains this one."""
        self._aftermath = [(until, other) for until, other in self._aftermath if until > now.mono_ns]
        active = [other for other in self._inhibitors.values() if _holds_back(other)]
        for other in (*active, *(other for _, other in self._aftermath)):
            if other is alarm or alarm.rule.name not in other.rule.inhibits:
                continue
            if other.target.covers & alarm.target.scopes:
                return other
        return self._speaker_for(alarm)

    def _speaker_for(self, alarm: Alarm) -> Alarm | None:
        """Find the alarm that already speaks for the group of this one, no less severely."""
        if not alarm.rule.grouped or not alarm.target.group:
            return None
        for other in self.alarms.values():
            if other is alarm or other.rule.name != alarm.rule.name or other.target.group != alarm.target.group:
                continue
            if other.told is not None and RANK[other.told] >= RANK[alarm.severity]:
                return other
        return None

    def _move(self, alarm: Alarm, before: AlertState, notice: Notice | None, now: Moment, ended: str = "") -> None:
        message = compose(alarm, site=self.site, timezone=self.timezone, ended=ended)
        alarm.title, alarm.text = message.title, message.text
        self._moves.append(_transition(alarm, before, notice, now, message=message, ended=ended))

    def _end(self, alarm: Alarm, ended: str, now: Moment) -> None:
        before, was_told = alarm.state, alarm.told is not None
        if before in (AlertState.FIRING, AlertState.CLEARING) and alarm.rule.inhibits:
            self._aftermath.append((now.mono_ns + _AFTERMATH_NS, alarm))
        for machine in alarm.machines:
            machine.end()
        alarm.state = AlertState.OK
        self._move(alarm, before, Notice.RESOLVE if was_told else None, now, ended if was_told else "")
        self._drop(alarm)

    def _add(self, alarm: Alarm) -> None:
        name = (alarm.rule.name, alarm.target.kind, alarm.target.id)
        self.alarms[name] = alarm
        if alarm.rule.inhibits:
            self._inhibitors[name] = alarm

    def _drop(self, alarm: Alarm) -> None:
        name = (alarm.rule.name, alarm.target.kind, alarm.target.id)
        self.alarms.pop(name, None)
        self._inhibitors.pop(name, None)

    def review(self, now: Moment) -> None:
        """Tell of alarms whose cause has gone, and end those that nothing has shown for too long."""
        for alarm in list(self.alarms.values()):
            if alarm.state is not AlertState.PENDING:
                self._settle(alarm, now)

    def withdraw(self, keep: Iterable[Key], now: Moment) -> None:
        """End every alarm whose rule or target is no longer there."""
        kept = set(keep)
        for name, alarm in list(self.alarms.items()):
            if name not in kept:
                self._end(alarm, WITHDRAWN, now)

    def withdraw_saved(self, saved: RestoredAlarm, now: Moment) -> None:
        """End an alarm of before the restart whose rule or target is no longer there."""
        notice = Notice.RESOLVE if saved.told is not None else None
        title = f"{saved.title.rsplit(':', 1)[0]}: {WITHDRAWN}"
        self._moves.append(
            Transition(
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
        )

    def snapshot(self) -> tuple[RestoredAlarm, ...]:
        """Give what must survive a restart."""
        return tuple(_saved(alarm) for alarm in self.alarms.values())

    def restore(self, saved: RestoredAlarm, rule: Rule, levels: tuple[Level, ...], target: Target, now: Moment) -> None:
        """Bring an alarm back as it stood; nothing is told again, and only fresh evidence ends it."""
        machines = [_machine(saved, level, index, now) for index, level in enumerate(levels)]
        evidence = Evidence(
            spans=(None,) * len(levels), lo=saved.lo, best=saved.best, hi=saved.hi, limit=saved.limit, unit=saved.unit,
            cause=saved.cause, is_known=False,
        )  # fmt: skip
        alarm = Alarm(self.key_of(rule, target), rule, levels, target, machines, evidence, known_ns=now.mono_ns)
        alarm.since_ns, alarm.seen_ns, alarm.told = saved.since_ns, saved.seen_ns, saved.told
        alarm.title, alarm.text, alarm.state, alarm.severity = saved.title, saved.text, saved.state, saved.severity
        self._drop(alarm)
        self._add(alarm)


def _machine(saved: RestoredAlarm, level: Level, index: int, now: Moment) -> Machine:
    """Bring one level back: by severity and limit, else by its place where the limit was tuned meanwhile."""
    same = [state for state in saved.levels if (state.severity, state.limit) == (level.severity, level.limit)]
    found = same or list(saved.levels[index : index + 1])
    if not found:
        return Machine()
    age_s = (now.wall_ns - saved.seen_ns) / _SECOND_NS
    if found[0].state is AlertState.PENDING and age_s > patience_s(level.on_s):
        return Machine()
    return Machine(found[0].state, found[0].credit_s)


def _holds_back(alarm: Alarm) -> bool:
    if not alarm.rule.inhibits:
        return False
    if alarm.state in (AlertState.FIRING, AlertState.CLEARING):
        return True
    return alarm.rule.inhibits_early and alarm.state is AlertState.PENDING


def _transition(
    alarm: Alarm, before: AlertState, notice: Notice | None, now: Moment, *, message: Message, ended: str
) -> Transition:
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
    )


def _severity_told(alarm: Alarm, notice: Notice | None) -> Severity:
    """Give a resolve the severity that was told, so that it reaches every channel that took the trigger."""
    if notice is Notice.RESOLVE and alarm.told is not None:
        return alarm.told
    return alarm.severity


def _saved(alarm: Alarm) -> RestoredAlarm:
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
    )

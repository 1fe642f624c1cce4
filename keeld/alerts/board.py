"""Every alarm that is not OK, and what its moves tell people.

An alarm tells at once when it begins to fire and when it gets worse; it gets better silently and tells its end. An
alarm whose cause is another alarm moves without telling; if it still fires a minute after its cause has gone, it
tells then. So does one that was kept quiet by somebody's will, once that is over. What people were never told of ends
untold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from keeld.alerts.alarm import Alarm, Evidence, Target
from keeld.alerts.causes import Causes
from keeld.alerts.context import Context
from keeld.alerts.flood import Chatter, Flood, dump_floods, load_floods
from keeld.alerts.holds import FLOODED, OBSERVED, SHELVED, Holds
from keeld.alerts.ledger import Ledger
from keeld.alerts.machine import Machine
from keeld.alerts.message import compose
from keeld.alerts.moves import RESOLVED, UNVERIFIABLE, WITHDRAWN, bring_back, machine, save, transition, withdrawal
from keeld.alerts.quality import Quality
from keeld.alerts.restored import RestoredAlarm
from keeld.alerts.rules import RANK, Level, Rule
from keeld.model import AlertState, Moment, Notice, Transition

_SECOND_NS = 1_000_000_000
DIGEST = "alarm_quality"
"""The rule that speaks for a flood: it goes out whatever else does."""

_REVIEW_COST = 5

Key = tuple[str, str, str]


class Board:
    """The alarms of one site. Invariant: an alarm that is OK and untold is not on it."""

    def __init__(self, site: str, *, timezone: str, unverifiable_s: float, holds: Holds | None = None) -> None:
        self.site = site
        self.timezone = timezone
        self.holds = holds or Holds(timezone=timezone)
        self.alarms: dict[Key, Alarm] = {}
        self.floods: dict[str, Flood] = {}
        """By route."""
        self.quality = Quality()
        self.ledger = Ledger()
        self.context = Context(timezone)
        self.tags_of: Callable[[Target], frozenset[str]] = lambda target: target.tags
        self.rule_at: Callable[[Rule, Target], Rule] = lambda rule, _: rule
        """Gives a rule as it was changed for a target."""
        self._causes = Causes()
        self._chatter = Chatter()
        self._unverifiable_ns = int(unverifiable_s * _SECOND_NS)
        self._moves: list[Transition] = []

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

    def children(self, alarm: Alarm) -> dict[str, str]:
        """Give what followed from an alarm in this episode: keys, with what each is called."""
        return self._causes.children(alarm.key)

    def judge(
        self, rule: Rule, levels: tuple[Level, ...], target: Target, evidence: Evidence, *, now: Moment, cap_s: float
    ) -> bool:
        """Judge a rule at a target; True when the alarm moved."""
        name = (rule.name, target.kind, target.id)
        alarm = self.alarms.get(name)
        if not levels:
            return False
        if alarm is None:
            if not any(
                span is not None and rule.is_exceeded(*span, level.limit)
                for span, level in zip(evidence.spans, levels, strict=True)
            ):
                return False
            machines = [Machine() for _ in levels]
            alarm = Alarm(self.key_of(rule, target), rule, levels, target, machines, known_ns=now.mono_ns)
            self._add(alarm)
        alarm.rule, alarm.levels, alarm.target = self.rule_at(rule, target), levels, target
        alarm.seen_ns, alarm.judged_ns = now.wall_ns, now.mono_ns
        alarm.step(evidence, mono_ns=now.mono_ns, cap_s=cap_s)
        return self._settle(alarm, now)

    def _settle(self, alarm: Alarm, now: Moment) -> bool:
        """Turn what the machines did into one transition, with what it tells people."""
        before, severity_before, quiet_before = alarm.state, alarm.severity, alarm.quiet
        state, severity = alarm.overall()
        if state is AlertState.OK:
            if before is not AlertState.OK:
                self._end(alarm, RESOLVED, now)
            else:
                self._drop(alarm)
            return before is not AlertState.OK
        if before is AlertState.OK:
            alarm.since_ns, alarm.first = now.wall_ns, alarm.evidence.best
        alarm.state, alarm.severity = state, severity
        if self._is_unverifiable(alarm, now):
            self._end(alarm, UNVERIFIABLE, now)
            return True
        if state is AlertState.FIRING and before in (AlertState.OK, AlertState.PENDING):
            self._note_activation(alarm, now)
        notice = self._notice(alarm, now)
        if (state, severity, alarm.quiet) == (before, severity_before, quiet_before) and notice is None:
            return False
        self._move(alarm, before, notice, now)
        return True

    def _note_activation(self, alarm: Alarm, now: Moment) -> None:
        alarm.chatters = self._chatter.note(alarm.key, now.mono_ns)
        if alarm.chatters:
            self.quality.note_chatter(now.wall_ns)

    def _is_unverifiable(self, alarm: Alarm, now: Moment) -> bool:
        if alarm.rule.is_latched or alarm.state not in (AlertState.FIRING, AlertState.CLEARING):
            return False
        return now.mono_ns - alarm.known_ns > self._unverifiable_ns

    def _notice(self, alarm: Alarm, now: Moment) -> Notice | None:
        """Say what a firing alarm has to tell; nothing while another alarm is its cause, or somebody keeps it quiet."""
        if alarm.state is not AlertState.FIRING:
            return None
        was_shelved = alarm.quiet == SHELVED
        self._note_quiet(alarm, now)
        is_back = was_shelved and not alarm.quiet
        if not (is_back or _is_news(alarm)):
            return None
        cause = self.cause_of(alarm, now)
        if cause is not None:
            self._causes.hold(cause, alarm)
            return None
        if self._causes.was_held(alarm, now):
            return None
        self._causes.release(alarm)
        if alarm.quiet == OBSERVED:
            self.ledger.note(alarm, now, len(self.children(alarm)))
        if alarm.quiet or self._waits_for_digest(alarm, now):
            return None
        self.quality.note(alarm.rule.name, alarm.severity, now.wall_ns)
        notice = Notice.ESCALATE if alarm.told is not None and not is_back else Notice.TRIGGER
        alarm.grew_from = alarm.told if notice is Notice.ESCALATE else None
        alarm.told, alarm.owner, alarm.digested = alarm.severity, "", None
        return notice

    def _note_quiet(self, alarm: Alarm, now: Moment) -> None:
        quiet = self.holds.quiet(
            alarm.key,
            alarm.rule.name,
            alarm.severity,
            scopes=alarm.target.scopes,
            tags=self.tags_of(alarm.target),
            wall_ns=now.wall_ns,
        )
        in_digest = FLOODED if alarm.digested is alarm.severity else ""
        alarm.quiet = in_digest if quiet is None else quiet.word

    def _waits_for_digest(self, alarm: Alarm, now: Moment) -> bool:
        if alarm.rule.name == DIGEST:
            return False
        flood = self.floods.setdefault(alarm.rule.route, Flood())
        title = f"{alarm.target.label or alarm.target.id} {alarm.rule.title}"
        if not flood.take(title, alarm.severity, now):
            return False
        self._causes.list_under(f"{self.site}:{DIGEST}:route:{alarm.rule.route or 'all'}", alarm)
        alarm.digested, alarm.quiet = alarm.severity, FLOODED
        return True

    def cause_of(self, alarm: Alarm, now: Moment) -> Alarm | None:
        """Find the alarm that explains this one."""
        return self._causes.find(alarm, self.alarms.values(), now, is_mute=lambda other: self._is_mute(other, alarm))

    def _is_mute(self, other: Alarm, alarm: Alarm) -> bool:
        """Whether a cause is only observed while what follows from it would be told: then nobody would hear of it."""
        return other.quiet == OBSERVED != alarm.quiet

    def _move(
        self, alarm: Alarm, before: AlertState, notice: Notice | None, now: Moment, *, ended: str = "", by: str = ""
    ) -> None:
        children = self.children(alarm)
        beside = self.context.of(
            alarm,
            self.tags_of(alarm.target),
            works=self.holds.running,
            but=children,
        )
        message = compose(
            alarm, site=self.site, timezone=self.timezone, ended=ended, children=children, by=by, beside=beside
        )
        self.context.note_move(alarm, before, ended, now.wall_ns)
        alarm.title, alarm.text = message.title, message.text
        self._moves.append(transition(alarm, before, notice, now, message=message, ended=ended, children=children))

    def _end(self, alarm: Alarm, ended: str, now: Moment, *, by: str = "") -> None:
        before, was_told = alarm.state, alarm.told is not None
        self._causes.end(alarm, now)
        for level_machine in alarm.machines:
            level_machine.end()
        alarm.state = AlertState.OK
        notice = Notice.RESOLVE if was_told else None
        self._move(alarm, before, notice, now, ended=ended if was_told else "", by=by)
        self._drop(alarm)

    def _add(self, alarm: Alarm) -> None:
        self.alarms[alarm.rule.name, alarm.target.kind, alarm.target.id] = alarm
        self._causes.add(alarm)

    def _drop(self, alarm: Alarm) -> None:
        self.alarms.pop((alarm.rule.name, alarm.target.kind, alarm.target.id), None)
        self._causes.drop(alarm.key)

    def review(self, now: Moment) -> None:
        """Tell of alarms whose cause or quiet has gone, and end those that nothing has shown for too long."""
        for _ in self.review_slowly(now):
            pass

    def review_slowly(self, now: Moment) -> Iterator[int]:
        """Do as `review`, step by step; yields what each step cost, in about 5 us."""
        self.holds.refresh(now)
        for flood in self.floods.values():
            flood.settle(now.mono_ns)
        for name, alarm in list(self.alarms.items()):
            if self.alarms.get(name) is not alarm:
                continue
            if alarm.state is not AlertState.PENDING:
                self._settle(alarm, now)
                yield _REVIEW_COST
            elif now.mono_ns - alarm.judged_ns > alarm.patience_s * _SECOND_NS:
                self._end(alarm, UNVERIFIABLE, now)

    def restate(self, alarm: Alarm, now: Moment) -> None:
        """Put an alarm into words again: what it says of itself has changed, and nobody needs to be told."""
        self._move(alarm, alarm.state, None, now)

    def acknowledge(self, alarm: Alarm, owner: str, now: Moment) -> None:
        """Note who has an alarm in hand."""
        alarm.owner = owner
        self._move(alarm, alarm.state, Notice.ACKNOWLEDGE if alarm.told is not None else None, now)

    def close(self, alarm: Alarm, owner: str, reason: str, now: Moment) -> None:
        """End an alarm by hand."""
        alarm.owner = owner
        self._end(alarm, WITHDRAWN, now, by=f"Closed by {owner}: {reason}")

    def withdraw(self, keep: Iterable[Key], now: Moment) -> None:
        """End every alarm whose rule or target is no longer there."""
        kept = set(keep)
        for name, alarm in list(self.alarms.items()):
            if name not in kept:
                self._end(alarm, WITHDRAWN, now)

    def withdraw_saved(self, saved: RestoredAlarm, now: Moment) -> None:
        """End an alarm of before the restart whose rule or target is no longer there."""
        self._moves.append(withdrawal(saved, now))

    def notes(self) -> dict[str, bytes]:
        """Give what must survive a restart beside the alarms: shelves, works, what was seen and counted."""
        parts = (
            ("holds", self.holds.dump()), ("quality", self.quality.dump()), ("ledger", self.ledger.dump()),
            ("floods", dump_floods(self.floods)),
        )  # fmt: skip
        return {f"{part}/{name}": note for part, notes in parts for name, note in notes.items()}

    def recall(self, notes: Mapping[str, bytes], now: Moment) -> None:
        """Take the notes of before the restart."""
        self.holds.load(_below("holds/", notes), now)
        self.quality.load(_below("quality/", notes))
        self.ledger.load(_below("ledger/", notes))
        self.floods |= load_floods(_below("floods/", notes), now)

    def snapshot(self) -> tuple[RestoredAlarm, ...]:
        """Give what must survive a restart."""
        return tuple(save(alarm) for alarm in self.alarms.values())

    def restore(self, saved: RestoredAlarm, rule: Rule, levels: tuple[Level, ...], target: Target, now: Moment) -> None:
        """Bring an alarm back as it stood; nothing is told again, and only fresh evidence ends it."""
        machines = [machine(saved, levels, index, now) for index in range(len(levels))]
        is_key = saved.cause.startswith(f"{self.site}:")
        evidence = Evidence(
            spans=(None,) * len(levels), lo=saved.lo, best=saved.best, hi=saved.hi, limit=saved.limit, unit=saved.unit,
            cause="" if is_key else saved.cause, is_known=False,
        )  # fmt: skip
        rule, key = self.rule_at(rule, target), self.key_of(rule, target)
        alarm = Alarm(key, rule, levels, target, machines, evidence, known_ns=now.mono_ns, judged_ns=now.mono_ns)
        bring_back(alarm, saved, holder=saved.cause if is_key else "")
        self._add(alarm)
        self._causes.bring_back(alarm, now)
        self.context.know(alarm)


def _below(head: str, notes: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name.removeprefix(head): note for name, note in notes.items() if name.startswith(head)}


def _is_news(alarm: Alarm) -> bool:
    """Whether nobody knows of an alarm at its severity."""
    known = [RANK[severity] for severity in (alarm.told, alarm.digested) if severity is not None]
    return RANK[alarm.severity] > max(known, default=-1)

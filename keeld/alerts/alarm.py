"""One alarm: a rule about a target, with a machine for each of its levels and what people have been told."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field

from keeld.alerts.flood import CHATTER_HOLD_S
from keeld.alerts.machine import Machine, Span, Thresholds, patience_s
from keeld.alerts.rules import RANK, Level, Rule
from keeld.model import AlertState, Severity


@dataclass(frozen=True, slots=True)
class Target:
    """What an alarm is about.

    `scopes` says what the alarm belongs to and `covers` what its cause takes down, both as `kind:id`: an alarm is
    held back by another one that covers one of its scopes.
    """

    kind: str
    id: str
    label: str
    scopes: frozenset[str] = frozenset()
    covers: frozenset[str] = frozenset()
    group: str = ""
    """What a grouped rule speaks for at once, as the panel of a circuit."""
    tags: frozenset[str] = frozenset()
    """What a selector may choose it by, as `kind:value`: rack, row, class, state, tenant, device, node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known at one moment of one rule's condition at one target."""

    spans: tuple[Span | None, ...]
    """A value for each level, in the unit of the level's limit; None where there is none."""
    lo: float | None = None
    best: float | None = None
    hi: float | None = None
    limit: float | None = None
    unit: str = ""
    base: str = ""
    """What a percentage of `limit` is a percentage of."""
    what: str = ""
    """What the value is, for people: `power, 5-min mean`."""
    headline: str = ""
    """What the title says where there is no value against a limit: `12 racks, 210 kW unobserved`."""
    cause: str = ""
    detail: str = ""
    """More facts for the message, as sentences."""
    word: str = ""
    """Verdict in place of the one that value and limit give."""
    clear: float | None = None
    """Clear level in place of the rule's deadband."""
    is_known: bool = True
    """Whether live measurements stand behind it; an alarm without them for long ends as unverifiable."""

    @property
    def worst(self) -> float:
        """Largest value that is certain."""
        return max((span.lo for span in self.spans if span is not None), default=float("-inf"))


NO_EVIDENCE = Evidence(spans=())


@dataclass(slots=True, eq=False)
class Alarm:
    """State of one alarm. `told` is the severity that people know of, None when they know of nothing."""

    key: str
    rule: Rule
    levels: tuple[Level, ...]
    target: Target
    machines: list[Machine]
    evidence: Evidence = NO_EVIDENCE
    state: AlertState = AlertState.OK
    severity: Severity = Severity.INFO
    told: Severity | None = None
    since_ns: int = 0
    known_ns: int = 0
    """Monotonic time of the last evidence with measurements behind it."""
    seen_ns: int = 0
    """Wall time of the last evidence of any kind."""
    judged_ns: int = 0
    """The same in monotonic time."""
    first: float | None = None
    """Likeliest value when it began; None once something else is shown, and after a restart."""
    proven: Evidence = NO_EVIDENCE
    """The last evidence with measurements behind it; none after a restart."""
    grew_from: Severity | None = None
    """Severity that was told before it escalated."""
    title: str = ""
    text: str = ""
    held_by: str = field(default="")
    """Key of the alarm whose cause explains this one."""
    quiet: str = ""
    """Why it is not told by somebody's will, as in `holds`."""
    digested: Severity | None = None
    """Severity at which the digest of a flood told of it."""
    owner: str = ""
    """Who acknowledged it; an escalation is news and takes that back."""
    chatters: bool = False
    """Whether it comes and goes so fast that it is held until it has been quiet for long."""

    @property
    def alert_id(self) -> str:
        """Short form of the key."""
        return short_id(self.key)

    def thresholds(self, level: Level) -> Thresholds:
        """Give a level's limits as its machine takes them; a floor is a ceiling for the value with its sign turned."""
        sign = -1.0 if self.rule.is_floor else 1.0
        over = sign * level.limit
        clear = over - abs(over) * self.rule.deadband - self.rule.hysteresis
        if self.evidence.clear is not None:
            clear = min(sign * self.evidence.clear, over)
        off_s = max(self.rule.off_s, CHATTER_HOLD_S) if self.chatters else self.rule.off_s
        return Thresholds(over, clear, level.on_s, off_s)

    def _turned(self, span: Span | None) -> Span | None:
        return Span(-span.hi, -span.lo) if span is not None and self.rule.is_floor else span

    def step(self, evidence: Evidence, *, mono_ns: int, cap_s: float) -> None:
        """Run every level's machine on new evidence."""
        if (evidence.what, evidence.unit) != (self.evidence.what, self.evidence.unit):
            self.first = None
        self.evidence = evidence
        if evidence.is_known:
            self.known_ns, self.proven = mono_ns, evidence
        for machine, level, span in zip(self.machines, self.levels, evidence.spans, strict=True):
            if self.rule.is_latched and machine.is_active:
                continue
            machine.step(self._turned(span), self.thresholds(level), mono_ns=mono_ns, cap_s=cap_s)

    def overall(self) -> tuple[AlertState, Severity]:
        """Sum the levels up: the worst one that is active, else the worst that is pending."""
        active = self._in(AlertState.FIRING) + self._in(AlertState.CLEARING)
        if active:
            state = AlertState.FIRING if self._in(AlertState.FIRING) else AlertState.CLEARING
            return state, max(active, key=RANK.__getitem__)
        pending = self._in(AlertState.PENDING)
        if pending:
            return AlertState.PENDING, max(pending, key=RANK.__getitem__)
        return AlertState.OK, self.severity

    @property
    def patience_s(self) -> float:
        """How long it may be pending without being judged at all."""
        return max(patience_s(level.on_s) for level in self.levels)

    def _in(self, state: AlertState) -> list[Severity]:
        return [
            level.severity for machine, level in zip(self.machines, self.levels, strict=True) if machine.state is state
        ]

    def due_ns(self) -> int | None:
        """Monotonic time of the next delay that runs out; None when none runs."""
        dues = [
            machine.due_ns(self.thresholds(level)) for machine, level in zip(self.machines, self.levels, strict=True)
        ]
        return min((due for due in dues if due is not None), default=None)


def short_id(key: str) -> str:
    """Give the form of a key that people can type: eight letters and digits, always the same for the same key."""
    digest = hashlib.blake2s(key.encode(), digest_size=5).digest()
    return base64.b32encode(digest).decode().lower()

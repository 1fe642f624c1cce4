"""The four states of one severity level of an alarm.

Theory of operation.

    OK ──over──► PENDING ──on-delay of certain excess──► FIRING ──below the clear level──► CLEARING ──off-delay──► OK
                    │                                       ▲                                 │
                    └──certainly not over──► OK             └──────not below, or possible─────┘

A value is an interval. `lo > limit` is certain excess, `hi <= limit` is certainly none, anything between is possible
and, like no value at all, neither advances nor resets a delay. A delay is time seen to be true: each step is credited
with the time since the one before it, up to a cap, so that a stalled loop satisfies nothing. FIRING never ends for want
of data. Credit that waits too long without certainty is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from keeld.model import AlertState

_SECOND_NS = 1_000_000_000
_DROP_LEAST_S = 300.0
_DROP_DELAYS = 3.0


class Span(NamedTuple):
    """A value as it is known: both ends in the unit of the limit."""

    lo: float
    hi: float


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What a machine compares with, and how long it waits; `over` and `clear` in the unit of the value."""

    over: float
    clear: float
    on_s: float
    off_s: float


def patience_s(on_s: float) -> float:
    """How long the credit of a pending level waits for certainty: 5 minutes, or three times its delay."""
    return max(_DROP_LEAST_S, _DROP_DELAYS * on_s)


class Machine:
    """One level's state and the time credited towards the next."""

    __slots__ = ("_certain_ns", "_last_ns", "credit_s", "state")

    def __init__(self, state: AlertState = AlertState.OK, credit_s: float = 0.0) -> None:
        self.state = state
        self.credit_s = credit_s
        self._last_ns: int | None = None
        self._certain_ns: int | None = None

    @property
    def is_active(self) -> bool:
        """Whether the level counts: firing, or not yet cleared."""
        return self.state in (AlertState.FIRING, AlertState.CLEARING)

    def step(self, span: Span | None, limits: Thresholds, *, mono_ns: int, cap_s: float) -> AlertState:
        """Judge a value (None when there is none) and give the new state."""
        elapsed_s = 0.0 if self._last_ns is None else (mono_ns - self._last_ns) / _SECOND_NS
        credit_s = min(cap_s, max(0.0, elapsed_s))
        self._last_ns = mono_ns
        if self._certain_ns is None:
            self._certain_ns = mono_ns
        if self.is_active:
            self._step_down(span, limits, credit_s)
        else:
            self._step_up(span, limits, credit_s, mono_ns)
        return self.state

    def _step_up(self, span: Span | None, limits: Thresholds, credit_s: float, mono_ns: int) -> None:
        if span is not None and span.lo > limits.over:
            self._drop_if_old(limits, mono_ns)
            self._certain_ns = mono_ns
            self.credit_s = self.credit_s + credit_s if self.state is AlertState.PENDING else 0.0
            self.state = AlertState.PENDING
            if self.credit_s >= limits.on_s:
                self._enter(AlertState.FIRING)
        elif span is not None and span.hi <= limits.over:
            self._certain_ns = mono_ns
            self._enter(AlertState.OK)
        else:
            self._drop_if_old(limits, mono_ns)

    def _step_down(self, span: Span | None, limits: Thresholds, credit_s: float) -> None:
        if span is None:
            return
        if span.hi >= limits.clear:
            self._enter(AlertState.FIRING)
            return
        self.credit_s = self.credit_s + credit_s if self.state is AlertState.CLEARING else 0.0
        self.state = AlertState.CLEARING
        if self.credit_s >= limits.off_s:
            self._enter(AlertState.OK)

    def _drop_if_old(self, limits: Thresholds, mono_ns: int) -> None:
        if self.state is not AlertState.PENDING or self._certain_ns is None:
            return
        if mono_ns - self._certain_ns > patience_s(limits.on_s) * _SECOND_NS:
            self._enter(AlertState.OK)

    def _enter(self, state: AlertState) -> None:
        self.state = state
        self.credit_s = 0.0

    def end(self) -> None:
        """Go to OK without evidence: the alarm was ended from outside."""
        self._enter(AlertState.OK)
        self._certain_ns = None

    def due_ns(self, limits: Thresholds) -> int | None:
        """Monotonic time at which the running delay is satisfied if nothing changes; None when none runs."""
        if self._last_ns is None or self.state not in (AlertState.PENDING, AlertState.CLEARING):
            return None
        delay_s = limits.on_s if self.state is AlertState.PENDING else limits.off_s
        return self._last_ns + int(max(0.0, delay_s - self.credit_s) * _SECOND_NS)

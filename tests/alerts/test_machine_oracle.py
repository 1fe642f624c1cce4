"""The state machine against a second reading of its text: replayed from the whole past at every tick, with no state."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from keeld.alerts.machine import Machine, Span, Thresholds

SECOND = 1_000_000_000


def told(span, limits):
    """Say what a tick is known to be against the limit, and against the clear level."""
    if span is None:
        return "unknown", "unknown"
    up = "true" if span[0] > limits.over else "false" if span[1] <= limits.over else "possible"
    return up, "clear" if span[1] < limits.clear else "not clear"


def oracle(ticks, limits, cap_s):
    """Give the state after every tick of (seconds since the one before, span)."""
    states, state, credit, silent_s = [], "ok", 0.0, 0.0
    patience_s = max(300.0, 3 * limits.on_s)
    for index, (elapsed_s, span) in enumerate(ticks):
        step_s = 0.0 if index == 0 else min(elapsed_s, cap_s)
        up, down = told(span, limits)
        silent_s = silent_s + elapsed_s if index else 0.0
        if state in ("ok", "pending"):
            if state == "pending" and up in ("true", "unknown", "possible") and silent_s > patience_s:
                state, credit = "ok", 0.0
            if up == "false":
                state, credit = "ok", 0.0
            if up == "true":
                credit = credit + step_s if state == "pending" else 0.0
                state = "firing" if credit >= limits.on_s else "pending"
            if up in ("true", "false"):
                silent_s = 0.0
            credit = 0.0 if state == "firing" else credit
        elif down == "not clear":
            state, credit = "firing", 0.0
        elif down == "clear":
            credit = credit + step_s if state == "clearing" else 0.0
            state = "ok" if credit >= limits.off_s else "clearing"
            credit = 0.0 if state == "ok" else credit
            silent_s = 0.0
        states.append(state)
    return states


LEVELS = st.sampled_from([0.0, 20.0, 22.0, 22.8, 23.0, 23.9, 24.0, 24.1, 25.0, 40.0])
SPANS = st.one_of(st.none(), LEVELS.map(lambda v: (v, v)), st.tuples(LEVELS, LEVELS).map(lambda p: tuple(sorted(p))))
TICKS = st.lists(st.tuples(st.sampled_from([0.0, 1.0, 5.0, 10.0, 10.0, 20.0, 35.0, 200.0, 400.0]), SPANS), max_size=60)


@settings(max_examples=400, deadline=None)
@given(
    ticks=TICKS,
    deadband=st.sampled_from([0.0, 0.01, 0.05]),
    on_s=st.sampled_from([0.0, 5.0, 30.0, 300.0]),
    off_s=st.sampled_from([0.0, 60.0]),
    cap_s=st.sampled_from([1.0, 20.0]),
)
def test_every_trace_is_as_the_text_reads(ticks, deadband, on_s, off_s, cap_s):
    limits = Thresholds(24.0, 24.0 * (1 - deadband), on_s, off_s)
    machine, at_ns, states = Machine(), 0, []
    for elapsed_s, span in ticks:
        at_ns += int(elapsed_s * SECOND)
        states.append(str(machine.step(None if span is None else Span(*span), limits, mono_ns=at_ns, cap_s=cap_s)))
    assert states == oracle(ticks, limits, cap_s)

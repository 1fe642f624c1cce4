"""Golden traces G37 to G39, and what the machine promises beside them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeld.alerts.machine import Machine, Span, Thresholds
from keeld.model import AlertState

LIMITS = Thresholds(over=24.0, clear=24.0 * 0.95, on_s=30.0, off_s=60.0)
SECOND = 1_000_000_000

G37 = [23.9, 24.0, 24.1, 24.2, 24.3, 24.4, 23.5, 22.7, 22.7, 24.1, *[22.7] * 8]
G38 = [25, 25, None, None, 25, 25, 25, None, None, None, 20, 20, None, 20, 20, 20, 20, 20, 20]
G39 = [(25, 25), (25, 25), (20, 30), (20, 30), (25, 25), (25, 25), (20, 30), (20, 23), *[(20, 22)] * 7]


def span(value):
    if value is None:
        return None
    return Span(*value) if isinstance(value, tuple) else Span(value, value)


def trace(values, limits=LIMITS, tick_s=10, machine=None):
    machine = machine or Machine()
    moves, before = [], None
    for index, value in enumerate(values):
        state = machine.step(span(value), limits, mono_ns=index * tick_s * SECOND, cap_s=2 * tick_s)
        if state is not before:
            moves.append((index * tick_s, state.value.upper()))
            before = state
    return moves


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param(
            G37,
            [
                (0, "OK"),
                (20, "PENDING"),
                (50, "FIRING"),
                (70, "CLEARING"),
                (90, "FIRING"),
                (100, "CLEARING"),
                (160, "OK"),
            ],
            id="G37",
        ),
        pytest.param(G38, [(0, "PENDING"), (50, "FIRING"), (100, "CLEARING"), (170, "OK")], id="G38"),
        pytest.param(G39, [(0, "PENDING"), (50, "FIRING"), (80, "CLEARING"), (140, "OK")], id="G39"),
    ],
)
def test_golden_trace(values, expected):
    assert trace(values) == expected


def test_a_stalled_loop_satisfies_no_delay():
    machine = Machine()
    machine.step(Span(25, 25), LIMITS, mono_ns=0, cap_s=2.0)
    assert machine.step(Span(25, 25), LIMITS, mono_ns=200 * SECOND, cap_s=2.0) is AlertState.PENDING
    assert machine.credit_s == 2.0


def test_pending_credit_does_not_survive_hours_of_unknown():
    machine = Machine()
    for at_s in range(0, 21, 10):
        machine.step(Span(25, 25), LIMITS, mono_ns=at_s * SECOND, cap_s=20.0)
    for at_s in range(30, 6 * 3600, 10):
        machine.step(None, LIMITS, mono_ns=at_s * SECOND, cap_s=20.0)
    assert machine.state is AlertState.OK
    assert machine.step(Span(25, 25), LIMITS, mono_ns=6 * 3600 * SECOND, cap_s=20.0) is AlertState.PENDING
    assert machine.credit_s == 0.0


def test_credit_is_dropped_even_when_nothing_was_stepped_meanwhile():
    machine = Machine()
    for at_s in range(0, 21, 10):
        machine.step(Span(25, 25), LIMITS, mono_ns=at_s * SECOND, cap_s=20.0)
    machine.step(Span(25, 25), LIMITS, mono_ns=6 * 3600 * SECOND, cap_s=20.0)
    assert machine.state is AlertState.PENDING
    assert machine.credit_s == 0.0


def test_a_delay_of_nothing_fires_at_once():
    limits = Thresholds(over=1.0, clear=0.9, on_s=0.0, off_s=0.0)
    assert trace([2.0, 0.5, 0.5], limits) == [(0, "FIRING"), (10, "OK")]


def test_equality_is_no_breach_and_does_not_clear():
    assert trace([24.0] * 50) == [(0, "OK")]
    machine = Machine(AlertState.FIRING)
    assert machine.step(Span(22.8, 22.8), LIMITS, mono_ns=0, cap_s=20.0) is AlertState.FIRING


def test_due_is_when_the_delay_runs_out():
    machine = Machine()
    assert machine.due_ns(LIMITS) is None
    machine.step(Span(25, 25), LIMITS, mono_ns=100 * SECOND, cap_s=20.0)
    assert machine.due_ns(LIMITS) == 130 * SECOND


values = st.one_of(
    st.none(),
    st.tuples(st.floats(0, 50), st.floats(0, 50)).map(lambda pair: (min(pair), max(pair))),
)


@given(st.lists(values, max_size=60))
def test_it_fires_only_after_enough_certain_excess_and_ends_only_after_enough_certain_calm(sequence):
    machine = Machine()
    above_s = below_s = 0
    for index, value in enumerate(sequence):
        before = machine.state
        after = machine.step(span(value), LIMITS, mono_ns=index * 10 * SECOND, cap_s=20.0)
        above_s += 10 if value is not None and value[0] > LIMITS.over else 0
        below_s += 10 if value is not None and value[1] < LIMITS.clear else 0
        if after is AlertState.FIRING and before in (AlertState.OK, AlertState.PENDING):
            assert above_s >= LIMITS.on_s
            below_s = 0
        if after is AlertState.OK and before is AlertState.CLEARING:
            assert below_s >= LIMITS.off_s
            above_s = 0
        if before is AlertState.FIRING and value is None:
            assert after is AlertState.FIRING

"""Ticks keep their phase and skip what was missed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from keeld.ticker import next_due_ns, phase_ns

TIMES = st.integers(min_value=0, max_value=10**18)
INTERVALS = st.integers(min_value=1, max_value=10**13)


def test_the_next_tick_is_one_interval_on() -> None:
    assert next_due_ns(100, 10, 100) == (110, 0)
    assert next_due_ns(100, 10, 109) == (110, 0)


def test_a_tick_that_lies_at_this_very_moment_is_missed() -> None:
    assert next_due_ns(100, 10, 110) == (120, 1)


def test_a_slow_caller_is_back_on_the_grid() -> None:
    assert next_due_ns(10, 10, 35) == (40, 2)


@given(TIMES, INTERVALS, TIMES)
def test_the_next_tick_is_later_and_on_the_grid(due_ns: int, interval_ns: int, now_ns: int) -> None:
    following, skipped = next_due_ns(due_ns, interval_ns, now_ns)

    assert following > now_ns
    assert (following - due_ns) % interval_ns == 0
    assert following == due_ns + (skipped + 1) * interval_ns
    assert skipped == 0 or following - interval_ns <= now_ns


@given(st.text(), INTERVALS)
def test_a_phase_lies_within_the_interval(key: str, interval_ns: int) -> None:
    assert 0 <= phase_ns(key, interval_ns) < interval_ns


def test_phases_spread_a_fleet_over_the_interval() -> None:
    tenths = [0] * 10
    for number in range(2000):
        tenths[phase_ns(f"m-{number:04d}", 10_000) // 1000] += 1

    assert min(tenths) > 120

"""What a quantity is worth as it ages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeld.budgets.peaks import Peaks
from keeld.budgets.source import ESTIMATED, GOOD, HELD, UNKNOWN, Look, Recent, Source, Value

SECOND = 1_000_000_000
MINUTE = 60 * SECOND


def at(seconds: float) -> int:
    return 10_000 * SECOND + round(seconds * SECOND)


def fill(source, samples, interval_s=10.0):
    for seconds, value in samples:
        source.add(value, at(seconds), slot=int(seconds // 10), interval_ns=round(interval_s * SECOND))
    return source


@pytest.mark.parametrize(
    ("age_s", "rank"),
    [(0, GOOD), (25, GOOD), (25.1, HELD), (60, HELD), (60.1, ESTIMATED), (900, ESTIMATED), (900.1, UNKNOWN)],
)
def test_quality_by_age_at_ten_seconds(age_s, rank):
    source = fill(Source(), [(0, 5.0)])
    assert source.rank_at(at(age_s)) == rank


@pytest.mark.parametrize(("age_s", "rank"), [(2.5, GOOD), (2.6, HELD), (60, HELD), (61, ESTIMATED)])
def test_a_fast_source_is_held_for_a_minute(age_s, rank):
    assert fill(Source(), [(0, 5.0)], interval_s=1.0).rank_at(at(age_s)) == rank


def test_a_slow_source_is_held_for_six_intervals():
    source = fill(Source(), [(0, 5.0)], interval_s=300.0)
    assert [source.rank_at(at(age_s)) for age_s in (750, 751, 1800, 1801)] == [GOOD, HELD, HELD, UNKNOWN]


def test_the_age_table():
    source = fill(Source(), [(0, 900.0), (10, 700.0), (400, 1000.0), (410, 500.0), (420, 800.0)])
    assert source.at(at(420), 5000.0) == Value(800.0, 800.0, 800.0, GOOD)
    assert source.at(at(460), 5000.0) == Value(500.0, 800.0, 1000.0, HELD)
    estimated = source.at(at(500), 5000.0)
    assert (estimated.lo, estimated.best, estimated.rank) == (0.0, 800.0, ESTIMATED)
    assert 1000.0 * 1.1 <= estimated.hi <= 1000.0 * 1.1 * 1.04
    assert source.at(at(500), 900.0).hi == 900.0
    assert source.at(at(2000), 5000.0) == Value(0.0, 800.0, 5000.0, UNKNOWN)
    assert Source().at(at(0), 5000.0) == Value(0.0, None, 5000.0, UNKNOWN)


def test_an_older_sample_changes_nothing():
    source = fill(Source(), [(100, 5.0), (90, 9.0)])
    assert source.at(at(100), 50.0) == Value(5.0, 5.0, 5.0, GOOD)


def test_a_slot_is_its_own_mean_even_when_closed_late():
    source = fill(Source(), [(10, 100.0), (15, 200.0), (21, 900.0)], interval_s=5.0)
    assert source.look(Look(at(20), 1), 1e4) == Value(150.0, 150.0, 150.0, GOOD)
    assert source.look(Look(at(30), 2), 1e4) == Value(900.0, 900.0, 900.0, GOOD)
    assert source.look(Look(at(40), 3), 1e4).rank == HELD


def test_what_is_forgotten_is_unknown():
    source = fill(Source(keep_recent=True), [(0, 5.0)])
    source.forget()
    assert source.at(at(0), 7.0) == Value(0.0, None, 7.0, UNKNOWN)
    assert source.look(Look(at(0), 0), 7.0).rank == UNKNOWN


@given(
    samples=st.lists(st.tuples(st.floats(0.1, 120.0), st.floats(0.0, 1000.0)), min_size=1, max_size=40),
    wait_s=st.floats(0.0, 59.0),
)
def test_held_spans_the_last_five_minutes(samples, wait_s):
    source, seconds, seen = Source(), 0.0, []
    for gap_s, value in samples:
        seconds += gap_s
        seen.append((seconds, value))
    fill(source, seen)
    value = source.at(at(seconds + wait_s), 1000.0)
    last_minutes = [x for when, x in seen if when >= seconds - 300.0]
    if value.rank == HELD:
        assert value.lo <= min(last_minutes)
        assert value.hi >= max(last_minutes)
    assert value.lo <= seen[-1][1] <= value.hi


@given(st.lists(st.floats(1.0, 1e7), min_size=1, max_size=300))
def test_p99_never_understates_and_is_within_a_bucket(numbers):
    peaks = Peaks()
    for index, number in enumerate(numbers):
        peaks.add(number, at(10 * index))
    exact = sorted(numbers)[-(-99 * len(numbers) // 100) - 1]
    p99 = peaks.p99(at(10 * len(numbers)))
    assert exact * (1 - 1e-9) <= p99 <= exact * 1.05


def test_p99_looks_back_24_hours_and_stays_small():
    peaks = Peaks()
    peaks.add(9000.0, at(0))
    for minute in range(1, 25 * 60):
        peaks.add(1000.0 + minute % 7, at(60 * minute))
    assert 1000.0 < peaks.p99(at(25 * 3600)) < 1100.0
    assert len(peaks._entries) <= 60


def test_a_still_zero_has_no_peak():
    peaks = Peaks()
    peaks.add(0.0, at(0))
    assert peaks.p99(at(1)) == 0.0


def test_recent_needs_six_samples_and_averages_half_a_minute():
    recent = Recent()
    for second in range(100):
        recent.add(float(second), at(second), SECOND)
    assert recent.mean(at(70), at(99), least=6) == sum(range(70, 100)) / 30
    assert recent.mean(at(95), at(99), least=6) is None

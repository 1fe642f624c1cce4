from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeld.budgets.window import Mean, Window, slots_of


def test_a_window_is_at_least_one_slot():
    assert [slots_of(seconds) for seconds in (1.0, 10.0, 300.0, 10_800.0)] == [1, 1, 30, 1080]


def test_a_young_window_proves_nothing_and_shows_what_it_has():
    window = Window(4)
    assert window.mean() is None
    window.push(10.0, 10.0, 10.0)
    assert window.mean() == Mean(2.5, 10.0, 10.0, 0.25)


def test_a_blank_slot_counts_from_nothing_to_the_ceiling():
    window = Window(4)
    for _ in range(3):
        window.push(30.0, 30.0, 30.0)
    window.push(0.0, None, 100.0)
    assert window.mean() == Mean(22.5, 30.0, 47.5, 1.0)


def test_the_oldest_slot_leaves():
    window = Window(3)
    for value in (100.0, 1.0, 2.0, 3.0):
        window.push(value, value, value)
    assert window.mean() == Mean(2.0, 2.0, 2.0, 1.0)


def test_three_hours_take_sixty_entries():
    window = Window(1080)
    for slot in range(2000):
        window.push(slot, slot, slot)
    mean = window.mean()
    assert mean is not None
    assert window.entries == 60
    assert mean.lo == pytest.approx(2000 - 540, abs=20)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)).map(sorted), min_size=1, max_size=90))
def test_the_mean_of_truths_lies_within_the_mean_of_intervals(pairs):
    window = Window(30)
    for lo, hi in pairs:
        window.push(lo, None, hi)
    mean = window.mean()
    assert mean is not None
    assert mean.best is None
    last = pairs[-30:]
    assert mean.lo <= sum(lo for lo, _ in last) / len(last) + 1e-9
    assert mean.hi >= sum(lo for lo, _ in last) / len(last) - 1e-9


@pytest.mark.parametrize("size", [1, 30, 60, 90, 1080])
@pytest.mark.parametrize("slots", [0, 1, 17, 59, 1080, 5000])
def test_slots_that_were_skipped_count_as_if_each_had_been_closed(size: int, slots: int):
    skipped, pushed = Window(size), Window(size)
    for window in (skipped, pushed):
        for _ in range(size):
            window.push(5.0, 6.0, 7.0)
    skipped.skip(slots, 20.0)
    for _ in range(slots):
        pushed.push(0.0, None, 20.0)
    found, expected = skipped.mean(), pushed.mean()
    assert found is not None
    assert expected is not None
    assert found == pytest.approx(expected)

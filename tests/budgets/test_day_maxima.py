"""Maxima of 24 hours, hour by hour, over restarts and reloads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeld.budgets.day_maxima import DayMaxima

HOUR_NS = 3_600_000_000_000


def test_a_peak_is_kept_for_a_day_and_no_longer():
    maxima = DayMaxima(["one", "two"])
    maxima.note([0.9, 0.2], 5 * HOUR_NS)
    maxima.note([0.6, 0.7], 6 * HOUR_NS)
    assert [maxima.peak(0), maxima.peak(1)] == pytest.approx([0.9, 0.7])
    maxima.note([0.1, 0.1], 28 * HOUR_NS)
    assert maxima.peak(0) == pytest.approx(0.9)
    maxima.note([0.1, 0.1], 29 * HOUR_NS)
    assert [maxima.peak(0), maxima.peak(1)] == pytest.approx([0.6, 0.7])


def test_a_restart_and_a_reload_keep_what_is_still_there_by_its_name():
    before = DayMaxima(["one", "two"])
    for hour, values in ((5, [0.9, 0.2]), (6, [0.6, 0.7])):
        before.note(values, hour * HOUR_NS)
    after, reloaded = DayMaxima(["two", "new", "one"]), DayMaxima(["two", "new"])
    after.load({**before.dump(), "7": b"cut", "x": b"junk", "8": bytes(8) + b"\x00\x00\xc0\x7f"})
    after.note([0.0, 0.1, 0.0], 6 * HOUR_NS + 1)
    assert [after.peak(place) for place in range(3)] == pytest.approx([0.7, 0.1, 0.9])
    reloaded.keep(before)
    reloaded.note([0.0, 0.0], 6 * HOUR_NS + 1)
    assert [reloaded.peak(0), reloaded.peak(1)] == pytest.approx([0.7, 0.0])


def test_notes_of_hours_that_are_over_do_not_change_and_a_clock_set_back_loses_no_hour_it_shows():
    maxima = DayMaxima(["one"])
    maxima.note([0.9], 5 * HOUR_NS)
    maxima.note([0.8], 6 * HOUR_NS)
    first = maxima.dump()
    maxima.note([0.95], 6 * HOUR_NS)
    assert maxima.dump()["5"] is first["5"]
    assert maxima.dump()["6"] != first["6"]
    maxima.note([0.1], 5 * HOUR_NS)
    assert maxima.peak(0) == pytest.approx(0.9)


@given(st.lists(st.tuples(st.integers(0, 60), st.floats(0.0, 4.0)), min_size=1, max_size=40))
def test_it_is_the_largest_of_the_last_24_hours(samples):
    samples.sort(key=lambda sample: sample[0])
    maxima = DayMaxima(["one"])
    for hour, value in samples:
        maxima.note([value], hour * HOUR_NS)
    newest = samples[-1][0]
    expected = max(value for hour, value in samples if newest - hour < 24)
    assert maxima.peak(0) == pytest.approx(expected, rel=1e-6)

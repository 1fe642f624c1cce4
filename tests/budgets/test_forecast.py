"""When a rising load reaches its limit, and when it must not be said to."""

from __future__ import annotations

import math
import random
import sys
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeld.budgets.forecast import (
    HORIZON_MINUTES,
    LEAST_MINUTES,
    WINDOW_MINUTES,
    Forecast,
    Minutes,
    fit,
    foresee,
    kendall_score,
    minutes_to,
)

sys.path.insert(0, str(Path(__file__).parents[2]))

from bench import forecast as bench

HOUR = [float(minute) for minute in range(WINDOW_MINUTES)]


def every_five_minutes(spike_at: int | None) -> tuple[list[float], list[float]]:
    times = [float(minute) for minute in range(0, 61, 5)]
    return times, [30.0 + 0.05 * time + (8.0 if time == spike_at else 0.0) for time in times]


@pytest.mark.parametrize("spike_at", [30, 50], ids=["G28 mid-window", "G29 late"])
def test_a_spike_moves_neither_slope_nor_time(spike_at):
    line = fit(*every_five_minutes(spike_at))
    assert line.slope == pytest.approx(0.05)
    assert minutes_to(36.0, line.level, line.slope) == pytest.approx(60.0)


def test_a_flat_load_never_gets_there():
    """G30: never is None, not a number that stands for it."""
    line = fit(HOUR, [30.0] * 60)
    assert line.slope == 0.0
    assert minutes_to(36.0, line.level, line.slope) is None
    assert foresee(HOUR, [0.9] * 60) is None


def test_a_time_so_far_off_that_it_overflows_is_never():
    assert minutes_to(1.0, 0.0, 5e-324) is None
    assert minutes_to(1.0, 1.0, -3.0) == 0.0


def test_too_few_points_make_no_line():
    assert fit([], []) is None
    assert fit([1.0], [2.0]) is None


def noisy(pace: float, *, start: float = 0.8, noise: float = 0.01, seed: int = 1) -> list[float]:
    dice = random.Random(seed)
    return [start + pace * minute + dice.gauss(0.0, noise) for minute in HOUR]


def test_a_climb_is_given_three_times_in_order():
    found = foresee(HOUR, noisy(0.001))
    assert found.lower_minutes < found.median_minutes < found.upper_minutes
    assert found.median_minutes == pytest.approx(140.0, rel=0.15)


def test_holes_in_the_hour_move_the_time_little():
    whole = foresee(HOUR, noisy(0.001))
    kept = [index for index in range(60) if index % 6]
    holed = foresee([HOUR[index] for index in kept], [noisy(0.001)[index] for index in kept])
    assert holed.median_minutes == pytest.approx(whole.median_minutes, rel=0.1)


def test_less_than_four_fifths_of_the_hour_says_nothing():
    assert foresee(HOUR[-LEAST_MINUTES:], noisy(0.001)[-LEAST_MINUTES:]) is not None
    assert foresee(HOUR[1 - LEAST_MINUTES :], noisy(0.001)[1 - LEAST_MINUTES :]) is None


def test_below_seventy_percent_nothing_is_said():
    assert foresee(HOUR, noisy(0.003, start=0.4)) is None
    assert foresee(HOUR, noisy(0.003, start=0.6)) is not None


@pytest.mark.parametrize(
    "load",
    [
        pytest.param([0.75] * 30 + [0.9] * 30, id="a step"),
        pytest.param([0.75 + 0.002 * min(minute, 20) for minute in range(60)], id="it has come to rest"),
        pytest.param([0.9 - 0.002 * max(0, 30 - minute) for minute in range(60)], id="it came to rest at half time"),
        pytest.param(
            [0.8 + 0.002 * max(0, minute - 30) - 0.001 * minute for minute in range(60)], id="fell, then rose"
        ),
        pytest.param([0.95 - 0.002 * minute for minute in range(60)], id="it falls"),
        pytest.param([0.75 + 0.0001 * minute for minute in range(60)], id="beyond the horizon"),
    ],
)
def test_what_is_no_climb_has_no_forecast(load):
    dice = random.Random(3)
    assert foresee(HOUR, load) is None
    assert foresee(HOUR, [value + dice.gauss(0.0, 0.002) for value in load]) is None


def test_a_meter_with_coarse_steps_still_shows_a_climb():
    coarse = [round(value / 0.01) * 0.01 for value in noisy(0.0015, noise=0.002)]
    assert foresee(HOUR, coarse).median_minutes == pytest.approx(73.0, rel=0.2)


def test_over_the_limit_and_climbing_is_now():
    assert foresee(HOUR, noisy(0.003, start=0.95)) == Forecast(0.0, 0.0, 0.0)


@given(st.lists(st.floats(0.0, 1.5), min_size=LEAST_MINUTES, max_size=WINDOW_MINUTES))
def test_whatever_the_load_a_time_is_finite_and_in_order(load):
    found = foresee(HOUR[: len(load)], load)
    if found is None:
        return
    known = [time for time in found if time is not None]
    assert all(math.isfinite(time) and time >= 0.0 for time in known)
    assert all(before <= after for before, after in pairwise(known))
    assert found.median_minutes <= HORIZON_MINUTES


@given(st.floats(0.0005, 0.004), st.floats(0.0, 0.2))
def test_a_straight_climb_is_told_to_the_minute(pace, room):
    load = [1.0 - room - pace * (59.0 - minute) for minute in HOUR]
    found = foresee(HOUR, load)
    if room / pace <= HORIZON_MINUTES - 1 and load[50] >= 0.75:
        assert found.median_minutes == pytest.approx(room / pace, abs=0.5)


@given(st.lists(st.integers(0, 9), max_size=30))
def test_the_score_counts_pairs(values):
    pairs = [(values[i], values[j]) for i in range(len(values)) for j in range(i + 1, len(values))]
    assert kendall_score(values) == sum((after > before) - (after < before) for before, after in pairs)


def fill(minutes: Minutes, load: list[float], *, first: int = 1000, slots: int = 6) -> int:
    for minute, ratio in enumerate(load, first):
        for _ in range(slots):
            minutes.add(ratio, minute)
    return first + len(load)


def test_an_hour_of_slots_is_an_hour_of_minutes():
    minutes = Minutes()
    end = fill(minutes, noisy(0.001))
    assert minutes.evaluate(end).median_minutes == pytest.approx(foresee(HOUR, noisy(0.001)).median_minutes, rel=1e-3)
    assert minutes.latest == pytest.approx(noisy(0.001)[-1], rel=1e-6)


def test_a_minute_needs_five_of_its_six_slots():
    whole, thin = Minutes(), Minutes()
    assert whole.evaluate(fill(whole, noisy(0.001), slots=5)) is not None
    assert thin.evaluate(fill(thin, noisy(0.001), slots=4)) is None
    assert thin.latest is None


def test_a_gap_ages_out_of_the_hour_and_is_never_filled():
    minutes = Minutes()
    end = fill(minutes, noisy(0.001)[:20])
    end = fill(minutes, noisy(0.001)[35:], first=end + 15)
    assert minutes.evaluate(end) is None
    assert Minutes().evaluate(5) is None
    long_after = fill(minutes, [0.9], first=end + 10_000)
    assert minutes.evaluate(long_after) is None


def test_a_forecast_is_held_after_a_quarter_of_an_hour_and_a_restart_forgets_it():
    minutes = Minutes()
    end = fill(minutes, noisy(0.001))
    held = []
    for more in range(4):
        end = fill(minutes, [0.86 + 0.005 * more + 0.001 * minute for minute in range(5)], first=end)
        minutes.evaluate(end)
        held.append(minutes.is_held)
    assert held == [False, False, False, True]
    minutes.restart()
    assert (minutes.is_held, minutes.forecast, minutes.latest) == (False, None, None)


@pytest.mark.parametrize("back_minutes", [1, 5, 15])
def test_an_order_to_draw_less_and_its_end_are_no_climb(back_minutes):
    """Down within five minutes, an hour low, back up at once or miner by miner: at no time is a limit foreseen."""
    dice = random.Random(11)
    minutes, foreseen = Minutes(), []
    for minute in range(240):
        falls = min(1.0, max(0.0, (minute - 70) / 5))
        rises = min(1.0, max(0.0, (minute - 135) / back_minutes))
        end = fill(minutes, [0.92 - 0.7 * falls + 0.7 * rises + dice.gauss(0.0, 0.01)], first=minute)
        if end % 5 == 0 and minutes.evaluate(end) is not None:
            foreseen.append(end)
    assert foreseen == []


def test_it_cries_wolf_seldom_and_warns_in_time():
    """The loads of the benchmark, fewer of them; the peer is what a Prometheus user would have written."""
    seeds = range(6)
    own = fmean(len(bench.activations(bench.keeld_warns(bench.wandering(seed)))) for seed in seeds)
    peer = fmean(len(bench.activations(bench.peer_warns(bench.wandering(seed)))) for seed in seeds)
    assert own <= bench.MOST_FALSE_A_WEEK < 10.0 < peer
    for pace, least in ((0.0012, 100.0), (0.0030, 40.0)):
        assert median(bench.lead(bench.keeld_warns, bench.climbing(seed, pace)) for seed in range(9)) >= least

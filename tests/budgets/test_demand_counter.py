from __future__ import annotations

import math
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeld.budgets.breaker_heat import heat_share, trip_estimate_s, warmed
from keeld.budgets.counter import Counter, scatter_watts
from keeld.budgets.demand import Count, DemandMeter, month_of, step_start_s
from keeld.budgets.energy import Load

SECOND = 1_000_000_000
TORONTO = ZoneInfo("America/Toronto")


def counted(step, watts, minutes, *, ceiling=1e6, start=5e6, every_s=60):
    counter = Counter(ceiling)
    energy = start
    for minute in range(minutes + 1):
        counter.add(math.floor(energy / step + 1e-9) * step, minute * every_s * SECOND)
        energy += watts * every_s / 3600
    return counter


@given(step=st.sampled_from([1.0, 10.0, 100.0]), watts=st.floats(2_000.0, 900_000.0), minutes=st.integers(40, 90))
def test_the_truth_lies_within_one_step(step, watts, minutes):
    counter = counted(step, watts, minutes)
    mean = counter.mean(300.0, minutes * 60 * SECOND)
    assert mean is None or mean.lo <= watts * (1 + 1e-9) <= mean.hi * (1 + 2e-9)
    if mean is not None:
        assert mean.hi - mean.best == pytest.approx(counter.step_watt_hours * 12, rel=1e-6)


@pytest.mark.parametrize("step", [1.0, 10.0, 100.0, 1000.0])
def test_the_step_is_learnt_from_the_readings(step):
    watts = [30_000.0 + 7_919.0 * index % 20_000 for index in range(60)]
    counter, energy = Counter(1e6), 0.0
    for index, level in enumerate(watts):
        counter.add(energy // step * step, index * 300 * SECOND)
        energy += level / 12
    assert counter.step_watt_hours == pytest.approx(step)


def test_a_step_is_not_believed_too_early():
    assert counted(1.0, 50_000.0, 7).step_watt_hours is None
    assert counted(1.0, 50_000.0, 9).mean(300.0, 9 * 60 * SECOND) is not None


@pytest.mark.parametrize(
    ("value", "at_s"),
    [(4_999_000.0, 60), (0.0, 60), (5e6 + 1e9, 60), (5e6, 301)],
    ids=["fell", "reset", "ran off", "gap"],
)
def test_readings_that_do_not_lead_on_begin_anew(value, at_s):
    counter = counted(1.0, 30_000.0, 20)
    newest = counter.newest_ns
    assert not counter.add(value, newest + at_s * SECOND) or value == 5e6
    assert counter.mean(300.0, newest + at_s * SECOND) is None


def test_a_mean_ends_when_its_readings_are_old():
    counter = counted(1.0, 30_000.0, 20)
    assert counter.mean(300.0, (20 * 60 + 75) * SECOND) is not None
    assert counter.mean(300.0, (20 * 60 + 76) * SECOND) is None


def test_few_readings_leave_everything_open():
    assert scatter_watts([1.0, 2.0]) == math.inf
    assert scatter_watts([5.0] * 30) == 0.0


@given(st.lists(st.tuples(st.floats(0.0, 20e6), st.floats(0.0, 1e6), st.booleans()), min_size=1, max_size=300))
def test_demand_is_an_interval_that_holds_the_truth(slots):
    """Whatever is lost, the demand of each interval lies between its bounds, and nothing is not a number."""
    meter = DemandMeter(interval_s=900, step_s=300, zone=ZoneInfo("UTC"), ceiling_watts=21e6)
    end_s, truth = 1_760_000_400, []
    for watts, error, is_lost in slots:
        end_s += 10
        truth.append((end_s - 10, watts))
        if is_lost:
            continue
        load = Load(max(0.0, watts - error), watts, watts + error, is_measured=error == 0.0)
        for demand in meter.add(load, end_s=end_s, span_s=10.0):
            seen = [level for at_s, level in truth if demand.start_s <= at_s < demand.start_s + 900]
            lowest = sum(seen) * 10 / 900
            assert demand.lo <= lowest + (90 - len(seen)) * 10 * 21e6 / 900 + 1e-3
            assert demand.hi >= lowest - 1e-3
            assert all(math.isfinite(value) for value in (demand.lo, demand.hi))
            assert demand.lo <= demand.hi + 1e-6


def test_a_load_more_never_lowers_a_projection():
    meter = DemandMeter(interval_s=900, step_s=900, zone=ZoneInfo("UTC"), ceiling_watts=21e6)
    meter.add(Load(5e6, 5e6, 5e6, is_measured=True), end_s=1_759_999_510, span_s=10.0)
    made = [
        meter.projection(Load(watts, watts, watts, is_measured=True), time_s=1_759_999_510, limit_watts=10e6)
        for watts in (1e6, 5e6, 20e6)
    ]
    assert [each.best for each in made] == sorted(each.best for each in made)
    assert [each.shed_watts for each in made] == sorted(each.shed_watts for each in made)


@pytest.mark.parametrize("hour", range(-2, 5))
@pytest.mark.parametrize("change_s", [1_772_953_200, 1_793_512_800], ids=["spring", "autumn"])
@pytest.mark.parametrize("step_s", [300, 900, 1800, 3600])
def test_steps_stand_on_the_local_clock_through_changes_of_summer_time(hour, change_s, step_s):
    for offset_s in (0, 1, step_s - 1):
        time_s = change_s + hour * 3600 + offset_s
        start_s = step_start_s(time_s, step_s, TORONTO)
        assert start_s <= time_s < start_s + step_s
        assert start_s % step_s == 0


def test_steps_begin_on_the_quarter_of_a_zone_that_is_off_by_one():
    kathmandu = ZoneInfo("Asia/Kathmandu")  # UTC+5:45
    assert step_start_s(1_760_000_400, 1800, kathmandu) % 1800 == 900


def test_months_are_those_of_the_zone():
    assert month_of(1_793_505_600, TORONTO) == "2026-11"
    assert month_of(1_793_505_600 - 3600 * 5, TORONTO) == "2026-10"


def test_the_peak_is_that_of_the_month():
    meter = DemandMeter(interval_s=3600, step_s=3600, zone=ZoneInfo("UTC"), ceiling_watts=21e6)
    end_s = 1_793_491_200 - 2 * 3600
    for level in (9e6, 8e6, 5e6, 6e6, 1e6):
        for _ in range(360):
            end_s += 10
            meter.add(Load(level, level, level, is_measured=True), end_s=end_s, span_s=10.0)
    assert meter.peak.best == pytest.approx(6e6)


def test_a_clock_put_back_starts_anew_and_one_put_forward_leaves_unknown_steps():
    meter = DemandMeter(interval_s=900, step_s=300, zone=ZoneInfo("UTC"), ceiling_watts=20e6)
    level = Load(5e6, 5e6, 5e6, is_measured=True)
    start_s = 1_759_999_500
    for slot in range(1, 121):
        meter.add(level, end_s=start_s + slot * 10, span_s=10.0)
    assert meter.last.best == pytest.approx(5e6)
    assert meter.add(level, end_s=start_s - 86_400 + 10, span_s=10.0) == []
    assert meter.add(level, end_s=start_s + 10, span_s=10.0)[-1].is_estimated


def test_a_counter_bridges_what_was_not_seen_of_a_block():
    meter = DemandMeter(interval_s=900, step_s=900, zone=ZoneInfo("UTC"), ceiling_watts=20e6)
    start_s, energy = 1_759_999_500, 7e9
    level = Load(9e6, 9e6, 9e6, is_measured=True)
    for slot in [*range(1, 31), *range(51, 91)]:
        end_s = start_s + slot * 10
        meter.add(level, end_s=end_s, span_s=10.0)
        if slot % 5 == 0 or slot == 51:
            meter.count(
                Count(end_s - 4.0, energy + 9e6 * (slot * 10 - 4) / 3600), level, end_s=end_s, step_watt_hours=1.0
            )
    (demand,) = meter.add(level, end_s=start_s + 910, span_s=10.0)
    assert demand.lo == pytest.approx(9e6, rel=1e-3)
    assert demand.hi == pytest.approx(9e6, rel=1e-3)
    assert not demand.is_estimated


def test_what_is_stored_comes_back_and_anything_else_is_refused():
    made = DemandMeter(interval_s=900, step_s=300, zone=ZoneInfo("UTC"), ceiling_watts=20e6)
    level = Load(5e6, None, 6e6, is_measured=False)
    for slot in range(1, 200):
        made.add(level, end_s=1_759_999_500 + slot * 10, span_s=10.0)
        made.count(
            Count(1_759_999_500 + slot * 10 - 2, slot * 1e3),
            level,
            end_s=1_759_999_500 + slot * 10,
            step_watt_hours=1.0,
        )
    again = DemandMeter(interval_s=900, step_s=300, zone=ZoneInfo("UTC"), ceiling_watts=20e6)
    again.load(made.dump())
    assert again.dump() == made.dump()
    other = DemandMeter(interval_s=900, step_s=900, zone=ZoneInfo("UTC"), ceiling_watts=20e6)
    for note in (made.dump(), b"{", b"[]", b"null", b"{}", made.dump().replace(b'"running": [', b'"running": [1, ')):
        with pytest.raises(ValueError, match=r"stored demand|another interval|Expecting"):
            other.load(note)
    assert other.last is None


@given(st.lists(st.tuples(st.floats(0.0, 3.0), st.floats(0.1, 60.0)), max_size=40))
def test_heat_lies_between_the_squares_it_came_from(steps):
    heat = 0.0
    for ratio, span_s in steps:
        heat = warmed(heat, ratio**2, span_s)
    assert 0.0 <= heat <= max([0.0, *(ratio**2 for ratio, _ in steps)]) + 1e-9
    left_s = trip_estimate_s(heat, 2.0)
    assert left_s is not None
    assert left_s >= 0.0
    assert (left_s == 0.0) == (heat_share(heat) >= 1.0)

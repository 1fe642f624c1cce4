"""Whether a reading can be believed, in formulas."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeld.budgets.draw import feed_draw, rack_draw
from keeld.budgets.intake import Intake
from keeld.budgets.source import ESTIMATED, GOOD, HELD, Look, Source, Value
from keeld.budgets.topology import build
from keeld.budgets.validity import (
    LEARN_S,
    Line,
    LossBand,
    Spikes,
    Stillness,
    compare,
    confirms,
    identity_watts,
    is_too_fast,
    needs_s,
    outmoves,
    power_bounds,
)
from keeld.metrics import HUMIDITY, POWER, POWER_FACTOR, TEMPERATURE
from keeld.model import Batch, Device, Rack, Reading, Site
from keeld.trees import PowerNode

SECOND = 1_000_000_000


def test_a_pdu_against_its_machines():
    """G36: 17.60 kW at 1 %, machines 15.40 kW at 5 %, losses 0.94 +- 0.02."""
    found = compare(17_600.0, 15_400.0, efficiency=0.94, band=0.02, meter_error=0.01)
    assert found.expected_watts == pytest.approx(16_383.0, rel=1e-3)
    assert found.residual_watts == pytest.approx(1_217.0, rel=1e-3)
    assert found.tolerance_watts == pytest.approx(907.5, rel=1e-3)
    assert found.ratio > 1.0
    assert compare(17_000.0, 15_400.0, efficiency=0.94, band=0.02, meter_error=0.01).ratio < 1.0
    assert compare(15_000.0, 15_400.0, efficiency=0.94, band=0.02, meter_error=0.01).residual_watts < 0.0


def test_nothing_against_nothing_is_no_mismatch():
    assert compare(0.0, 0.0, efficiency=0.94, band=0.02, meter_error=0.01).ratio == 0.0


@pytest.mark.parametrize(
    ("metric", "taken", "refused"),
    [
        (HUMIDITY, (0.0, 0.55, 1.0, 1.01), (-0.1, 1.2, 65.5)),
        (POWER_FACTOR, (0.0, 0.97, -0.95, 1.005), (1.4, -2.0)),
        (TEMPERATURE, (-30.0, 24.0, 105.0), (-273.0, 6553.5)),
    ],
)
def test_what_cannot_be_is_refused_and_is_no_sample(metric, taken, refused):
    source = Intake(Device(id="d", site="s", kind="sensor", driver="modbus", address="")).source(metric, "x")
    for number, value in enumerate(taken):
        source.add(value, number * SECOND, slot=0, interval_ns=SECOND)
        assert source.value == value
    for value in (*refused, math.nan, math.inf):
        source.add(value, 99 * SECOND, slot=9, interval_ns=SECOND)
    assert (source.value, source.mono_ns) == (taken[-1], (len(taken) - 1) * SECOND)
    assert source.refusal.samples == len(refused) + 2


def test_a_power_is_possible_up_to_half_more_than_its_rating():
    least, most = power_bounds(10_000.0)
    assert (least, most) == (-50.0, 15_000.0)


def test_currents_can_confirm_a_power_that_the_rating_refutes():
    lines = [Line(240.0, 70.0)] * 3
    assert confirms(lines, 50_000.0)
    assert not confirms(lines, 100_000.0)
    assert not confirms([], 1.0)


RATING = 43_000.0


@pytest.mark.parametrize(
    ("watts", "lines", "factor", "product"),
    [
        pytest.param(13_680.0, [Line(240.0, 20.0)] * 3, 0.95, None, id="they agree"),
        pytest.param(12_500.0, [Line(240.0, 20.0)] * 3, 0.95, None, id="within 3 % of the rating"),
        pytest.param(10_000.0, [Line(240.0, 20.0)] * 3, 0.95, 13_680.0, id="too little"),
        pytest.param(10_000.0, [Line(240.0, 20.0)] * 3, None, None, id="too little, but who knows the power factor"),
        pytest.param(16_000.0, [Line(240.0, 20.0)] * 3, None, 14_400.0, id="more watts than volts times amperes"),
        pytest.param(8_314.0, [Line(240.0, 20.0)] * 2 + [Line(240.0, 0.0)], 1.0, None, id="one load between two lines"),
        pytest.param(10_000.0, [Line(240.0, 20.0)] * 3, -0.95, 13_680.0, id="a leading factor has a sign"),
        pytest.param(0.0, [Line(240.0, 0.0)] * 3, 0.0, None, id="nothing flows"),
    ],
)
def test_power_is_volts_times_amperes_times_power_factor(watts, lines, factor, product):
    found = identity_watts(watts, lines, factor, RATING)
    assert found == (None if product is None else pytest.approx(product))


def test_stillness_counts_from_the_last_move_and_learns_the_smallest_step():
    still = Stillness()
    assert still.look(22.0, 0, has_moved=False) == 0.0
    assert still.look(22.0, 60 * SECOND, has_moved=False) == 60.0
    assert still.look(23.0, 120 * SECOND, has_moved=True) == 0.0
    assert still.look(22.5, 180 * SECOND, has_moved=True) == 0.0
    assert still.step == 0.5
    assert still.look(22.5, 240 * SECOND, has_moved=False) == 60.0
    still.forget()
    assert still.look(22.5, 900 * SECOND, has_moved=False) == 0.0


def test_it_moved_and_came_back_between_two_looks():
    still = Stillness()
    still.look(22.0, 0, has_moved=False)
    assert still.look(22.0, 600 * SECOND, has_moved=True) == 0.0


def test_twenty_polls_or_ten_minutes():
    assert (needs_s(10.0), needs_s(30.0), needs_s(300.0)) == (600.0, 600.0, 6000.0)


@pytest.mark.parametrize(
    ("witness", "value", "step", "expected"),
    [
        pytest.param(0.02, 22.0, 0.5, False, id="22.0 A in steps of 0.5 A while the load moves 2 %"),
        pytest.param(0.02, 22.0, None, False, id="the same, step never seen"),
        pytest.param(0.12, 22.0, 0.5, True, id="12 % is five of its steps"),
        pytest.param(0.12, 5.0, 0.5, False, id="of 5 A it is one step"),
        pytest.param(0.20, 22.0, None, False, id="a step that was never seen might be large"),
        pytest.param(0.40, 22.0, None, True, id="no step is that large"),
        pytest.param(0.09, 22.0, 0.001, False, id="less than a tenth is no witness"),
    ],
)
def test_a_witness_must_outmove_the_suspects_steps(witness, value, step, expected):
    assert outmoves(witness, value, step) is expected


def test_one_sample_alone_is_a_spike_and_two_are_the_truth():
    spikes = Spikes()
    assert [spikes.look(value, 50.0) for value in (1000.0, 1010.0, 990.0, 1005.0, 1000.0)] == [None] * 5
    assert spikes.look(2000.0, 50.0) == 1000.0
    assert spikes.look(1000.0, 50.0) is None
    assert spikes.look(2000.0, 50.0) == 1000.0
    assert spikes.look(2010.0, 50.0) is None
    assert spikes.look(2005.0, 50.0) is None


def test_a_load_that_swings_has_no_spikes():
    spikes = Spikes()
    assert {spikes.look(100.0 if index % 2 else 50.0, 5.0) for index in range(40)} == {None}


@given(st.lists(st.floats(-1e6, 1e6), max_size=60), st.floats(0.1, 100.0))
def test_no_two_samples_alike_are_both_spikes(values, least):
    spikes = Spikes()
    for value in values:
        if spikes.look(value, least) is not None:
            assert spikes.look(value, least) is None


def test_speed_needs_time():
    assert is_too_fast(20.0, 26.0, 10.0, 0.5)
    assert not is_too_fast(20.0, 25.0, 10.0, 0.5)
    assert not is_too_fast(20.0, 90.0, 0.0, 0.5)


def test_a_loss_band_is_learnt_in_a_week_of_looking():
    band = LossBand()
    for index in range(7 * 24 * 60):
        assert not band.is_learnt
        band.learn(0.93 + 0.01 * (-1) ** index, 60.0)
    assert band.is_learnt
    assert band.efficiency == pytest.approx(0.93, abs=1e-3)
    assert band.band == pytest.approx(0.02, rel=0.1)
    assert band.learnt_s == LEARN_S


def test_half_of_the_machines_missing_is_not_learnt_as_a_loss():
    band = LossBand()
    for _ in range(7 * 24 * 60):
        band.learn(0.5, 60.0)
    found = compare(20_000.0, 10_000.0, efficiency=band.efficiency, band=band.band, meter_error=0.01)
    assert found.ratio > 1.0
    assert found.residual_watts > 0.0


def doubted(*samples, doubt, keep_peaks=True):
    source = Source(keep_peaks=keep_peaks)
    for second, value in samples:
        source.add(value, second * SECOND, slot=second // 10, interval_ns=10 * SECOND)
    source.doubt = doubt
    return source


def test_doubt_opens_the_upper_end_and_nothing_else():
    source = doubted((0, 900.0), (10, 500.0), doubt=700.0)
    value = source.at(10 * SECOND, 5000.0)
    assert (value.lo, value.best, value.rank) == (500.0, 500.0, HELD)
    assert 900.0 * 1.1 <= value.hi <= 900.0 * 1.1 * 1.04
    assert source.at(10 * SECOND, 600.0).hi == 700.0
    assert source.look(Look(20 * SECOND, 1), 5000.0)[:2] == (500.0, 500.0)
    assert source.rank_at(10 * SECOND) == GOOD
    source.doubt = None
    assert source.at(10 * SECOND, 5000.0) == Value(500.0, 500.0, 500.0, GOOD)


def test_a_temperature_in_doubt_opens_to_what_it_might_be_and_not_beyond():
    source = doubted((0, 30.0), (10, 21.0), doubt=30.0, keep_peaks=False)
    assert source.at(10 * SECOND, 1e9) == Value(21.0, 21.0, 30.0, HELD)


def test_what_is_old_is_wide_already():
    source = doubted((0, 900.0), doubt=5.0)
    assert source.at(200 * SECOND, 5000.0).rank == ESTIMATED
    assert source.at(200 * SECOND, 5000.0).lo == 0.0


POLES = st.fixed_dictionaries(
    {
        name: st.tuples(st.floats(0.0, 30_000.0), st.integers(0, 1200), st.booleans(), st.floats(0.0, 60_000.0))
        for name in ("pdu-a", "pdu-b", "meter-a")
    }
)


def site() -> Site:
    power = {
        side: PowerNode(id=side, breaker_amperes=60.0, voltage_volts=415.0, phases=3) for side in ("feed-a", "feed-b")
    }
    devices = {
        name: Device(id=name, site="s", kind=name.split("-")[0], driver="modbus", address=name, rack="r", feed=name[-1])
        for name in ("pdu-a", "pdu-b", "meter-a")
    }
    devices["gpu"] = Device(
        id="gpu", site="s", kind="server", driver="redfish", address="g", rack="r", nameplate_watts=20_000.0
    )
    rack = Rack(id="r", feeds={"a": "feed-a", "b": "feed-b"}, redundancy="2N")
    return Site(name="s", power=power, racks={"r": rack}, devices=devices)


@given(POLES, st.floats(0.0, 20_000.0))
def test_doubting_any_meter_never_lowers_either_end_of_any_sum(poles, machine_watts):
    topology = build(site())
    now_ns = 5000 * SECOND
    samples = {name: (watts, age) for name, (watts, age, _, _) in poles.items()} | {"gpu": (machine_watts, 5)}
    for name, (watts, age) in samples.items():
        intake = topology.intakes[name]
        taken_ns = now_ns - age * SECOND
        intake.take(Batch(intake.device, taken_ns, taken_ns, (Reading(POWER, watts),)), taken_ns, 0)
    plan, look = topology.racks["r"], Look(now_ns)
    before = rack_draw(plan, look).total, *(feed_draw(feed, look) for feed in plan.feeds.values())
    for name, (_, _, is_doubted, instead) in poles.items():
        if is_doubted:
            topology.intakes[name].source(POWER).doubt = instead
    after = rack_draw(plan, look).total, *(feed_draw(feed, look) for feed in plan.feeds.values())
    for trusted, wide in zip(before, after, strict=True):
        assert wide.lo >= trusted.lo
        assert wide.hi >= trusted.hi
        assert wide.coverage == trusted.coverage

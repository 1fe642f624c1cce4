"""What breaks next, as the site tells it."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from keeld.alerts.rules import PLANT
from keeld.errors import Outage
from keeld.metrics import BREACH, BREACH_LOWER, BREACH_UPPER
from keeld.model import CurtailOrder, Notice, RackBudget, Severity
from keeld.settings import RuleSettings
from keeld.watch.forecast import NextToBreak

MINUTE = 60.0
ON = {"forecast_breach": RuleSettings(enabled=True)}


def climb(kit, pace_watts, *, start=13_000.0, rack="r01", begin_s=0.0, noise=60.0):
    """One rack's two PDUs climb by `pace_watts` a minute each, everything else is steady."""
    dice = random.Random(5)

    def poll(device, at_s):
        if device.kind == "pdu" and device.rack == rack:
            return kit.pdu(start + pace_watts * max(0.0, at_s - begin_s) / MINUTE + dice.gauss(0.0, noise))
        return kit.steady(6_000.0)(device, at_s)

    return poll


def duty_of(drive) -> NextToBreak:
    return next(duty for duty in drive.watch._state.duties if isinstance(duty, NextToBreak))


def ranking(kit, drive):
    return drive.watch.view(kit.at(drive.now_s)).forecasts


def last_readings(drive, kind, name):
    batch = [batch for _, batch in drive.batches if (batch.device.kind, batch.device.id) == (kind, name)][-1]
    return {metric: value for metric, value, part in batch.readings if not part}


@pytest.fixture
def small(kit):
    return kit.site(racks=2, miners=2)


def test_a_rack_that_climbs_stands_first_with_its_three_times(kit, small):
    drive = kit.drive(small).run(80 * MINUTE, climb(kit, 20.0))
    first = ranking(kit, drive)[0]
    left_minutes = (33_000.0 - 2 * (13_000.0 + 20.0 * 80)) / 40.0
    assert (first.target_kind, first.target_id, first.constraint) == ("rack", "r01", "power")
    assert first.load_ratio == pytest.approx(29_200.0 / 33_000.0, rel=0.01)
    assert first.median_s == pytest.approx(left_minutes * MINUTE, rel=0.1)
    assert first.lower_s < first.median_s < first.upper_s


def test_its_own_batch_and_the_sites_carry_the_times_and_its_neighbours_none(kit, small):
    drive = kit.drive(small).run(80 * MINUTE, climb(kit, 20.0))
    rack, site = last_readings(drive, "rack", "r01"), last_readings(drive, "site", "s")
    assert rack[BREACH_LOWER] < rack[BREACH] < rack[BREACH_UPPER]
    assert site[BREACH] == rack[BREACH]
    assert BREACH not in last_readings(drive, "rack", "r02")


def test_nothing_is_shown_before_it_has_stood_for_a_quarter_of_an_hour(kit, small):
    drive = kit.drive(small).run(60 * MINUTE, climb(kit, 20.0))
    assert ranking(kit, drive) == ()
    assert any(prospect.minutes.forecast for prospect in duty_of(drive).prospects)
    assert ranking(kit, drive.run(15 * MINUTE, climb(kit, 20.0))) != ()


def test_circuits_are_followed_by_their_hottest_line(kit, small):
    share = (1.4, 0.8, 0.8)

    def poll(device, at_s):
        if device.kind == "pdu" and device.id == "pdu-r01-a":
            return kit.pdu(22_000.0 + 40.0 * at_s / MINUTE, share=share)
        return kit.steady(3_000.0)(device, at_s)

    drive = kit.drive(small).run(80 * MINUTE, poll)
    found = [view for view in ranking(kit, drive) if view.target_kind == "power_node"]
    assert [(view.target_id, view.constraint) for view in found] == [("a-r01", "current")]
    assert found[0].load_ratio == pytest.approx((22_000.0 + 3_200.0) / (415 * 3**0.5) * 1.4 / 60.0, rel=0.01)


def test_a_steady_site_has_no_forecast(kit, small):
    assert ranking(kit, kit.drive(small).run(90 * MINUTE, kit.steady(14_000.0))) == ()


def test_a_load_that_is_no_longer_seen_loses_its_forecast(kit, small):
    drive = kit.drive(small).run(80 * MINUTE, climb(kit, 20.0))
    assert ranking(kit, drive) != ()
    drive.run(12 * MINUTE, lambda device, at_s: Outage.TIMEOUT)
    assert ranking(kit, drive) == ()
    assert BREACH not in last_readings(drive, "rack", "r01")


def test_half_seen_is_not_seen(kit, small):
    poll = climb(kit, 20.0)
    drive = kit.drive(small).run(90 * MINUTE, lambda d, t: Outage.TIMEOUT if d.id == "pdu-r01-b" else poll(d, t))
    assert [view for view in ranking(kit, drive) if view.target_id == "r01"] == []


def test_a_dead_feed_and_what_comes_back_are_another_load(kit, small):
    drive = kit.drive(small).run(80 * MINUTE, climb(kit, 20.0))

    def dead(device, at_s):
        if device.id == "pdu-r01-a":
            return Outage.TIMEOUT
        return kit.pdu(28_000.0) if device.id == "pdu-r01-b" else climb(kit, 20.0)(device, at_s)

    drive.run(2 * MINUTE, dead)
    assert ranking(kit, drive) == ()
    drive.run(50 * MINUTE, climb(kit, 20.0))
    assert ranking(kit, drive) == ()


def test_an_order_to_draw_less_begins_another_load(kit, small):
    drive = kit.drive(small).run(80 * MINUTE, climb(kit, 20.0))
    assert ranking(kit, drive) != ()
    begins = kit.at(drive.now_s).wall_ns
    order = CurtailOrder(
        id="o", target_kind="rack", target_id="r01", most_watts=40_000.0, source="grid", begins_ns=begins,
        met_by_ns=begins, ends_ns=begins + 60 * 1_000_000_000,
    )  # fmt: skip
    drive.watch._state.orders.add(order)
    assert ranking(kit, drive.run(20.0, climb(kit, 20.0))) == ()
    assert ranking(kit, drive.run(50 * MINUTE, climb(kit, 20.0))) == ()


def test_a_reload_keeps_the_hour_unless_the_limit_changes(kit, small):
    drive = kit.drive(small).run(80 * MINUTE, climb(kit, 20.0))
    before = ranking(kit, drive)
    drive.watch.reload(small, {}, kit.at(drive.now_s))
    drive.run(10.0, climb(kit, 20.0))
    assert ranking(kit, drive)[0].target_id == before[0].target_id
    rack = replace(small.racks["r01"], budget=RackBudget(power_watts=34_000.0))
    drive.watch.reload(replace(small, racks={**small.racks, "r01": rack}), {}, kit.at(drive.now_s))
    drive.run(10.0, climb(kit, 20.0))
    assert ranking(kit, drive) == ()


def test_it_ships_without_a_voice(kit, small):
    drive = kit.drive(small).run(100 * MINUTE, climb(kit, 20.0))
    assert [move for _, move in drive.moves if move.rule == "forecast_breach"] == []
    assert "forecast_breach" not in {subject.rule.name for subject in drive.watch._state.subjects()}


def test_switched_on_it_says_what_breaks_when_and_is_never_critical(kit, small):
    drive = kit.drive(small, rules=ON).run(100 * MINUTE, climb(kit, 20.0))
    told = [move for _, move in drive.moves if move.rule == "forecast_breach" and move.notice is Notice.TRIGGER]
    assert [(move.target_id, move.severity) for move in told] == [("r01", Severity.INFO)]
    assert "Its power reaches 33 kW in " in told[0].text
    assert "at the earliest" in told[0].text
    levels = drive.watch._state.rules.levels("forecast_breach", PLANT)
    assert {level.severity for level in levels} == {Severity.INFO, Severity.WARNING}


def test_one_target_a_day_is_shown_even_over_a_restart(kit):
    site = kit.site(racks=3, miners=0)

    def poll(device, at_s):
        pace = {"r01": 20.0, "r02": 15.0}.get(device.rack, 0.0)
        return kit.pdu(13_000.0 + pace * at_s / MINUTE) if device.kind == "pdu" else None

    drive = kit.drive(site, rules=ON).run(100 * MINUTE, poll)
    told = [move.target_id for move in drive.pages if move.rule == "forecast_breach"]
    assert told == ["r01"]
    later = kit.drive(site, rules=ON, restored=drive.watch.snapshot(), start_s=drive.now_s)
    later.watch.recall(drive.watch.memory(), kit.at(drive.now_s))
    later.run(80 * MINUTE, poll)
    assert [move.target_id for move in later.pages if move.rule == "forecast_breach"] == []


@pytest.mark.parametrize("note", [b"", b"{", b'"x"', b"-5", b"1e400", b"99999999999999999999", b"[1]", b"true"])
def test_a_note_that_makes_no_sense_is_left_out(kit, small, note):
    duty = duty_of(kit.drive(small))
    duty.recall({"shown": note}, kit.at(0.0))
    assert duty.memory() == {}


def test_nothing_infinite_leaves(kit, small):
    drive = kit.drive(small, rules=ON).run(90 * MINUTE, climb(kit, 60.0))
    readings = [reading for _, batch in drive.batches for reading in batch.readings]
    assert all(math.isfinite(reading.value) for reading in readings)
    for _, move in drive.moves:
        assert all(value is None or math.isfinite(value) for value in (move.lo, move.best, move.hi, move.limit))

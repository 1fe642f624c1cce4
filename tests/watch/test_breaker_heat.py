from __future__ import annotations

import pytest

from keeld.budgets.breaker_heat import trip_estimate_s
from keeld.errors import Outage
from keeld.metrics import BREAKER_HEAT, BREAKER_TRIP, CURRENT, POWER
from keeld.model import Reading


def loaded(amperes):
    """Every PDU carries `amperes` (or what that function of time gives) on L1 of its 60-A breaker."""

    def poll(device, at_s):
        if device.kind != "pdu":
            return None
        level = amperes(at_s) if callable(amperes) else amperes
        if isinstance(level, Outage):
            return level
        return (
            Reading(POWER, 30_000.0), Reading(CURRENT, level, "L1"), Reading(CURRENT, 10.0, "L2"),
            Reading(CURRENT, 10.0, "L3"),
        )  # fmt: skip

    return poll


def stored(drive, metric, part=""):
    return [
        reading.value
        for _, batch in drive.batches
        if batch.device.id == "a-r01"
        for reading in batch.readings
        if (reading.metric, reading.part) == (metric, part)
    ]


def test_an_overload_says_when_its_breaker_may_trip_and_that_this_is_an_estimate(kit):
    drive = kit.drive(kit.site(racks=1, miners=0)).run(900, loaded(48.0)).run(150, loaded(75.0))
    (page,) = {move.text for move in drive.pages if move.rule == "breaker_overload" and move.target_id == "a-r01"}
    assert "may trip" in page
    assert "an estimate, not a trip curve" in page


def test_the_estimate_is_that_of_the_model(kit):
    drive = kit.drive(kit.site(racks=1, miners=0)).run(1200, loaded(48.0))
    assert stored(drive, BREAKER_HEAT, "L1")[-1] == pytest.approx(0.64 / 1.21, rel=0.01)
    assert stored(drive, BREAKER_TRIP) == []
    drive.run(10, loaded(81.0))
    assert stored(drive, BREAKER_TRIP)[-1] == pytest.approx(trip_estimate_s(0.64, 1.35) - 10.0, abs=3.0)


def test_a_swing_heats_as_its_square_mean(kit):
    """Half of the time 60 A, half 30 A, polled each second: RMS 47.4 A and not 45 A."""
    site = kit.site(racks=1, miners=0, pdu_interval_s=1.0)
    drive = kit.drive(site).run(900, loaded(lambda at_s: 60.0 if int(at_s) % 2 else 30.0))
    assert stored(drive, BREAKER_HEAT, "L1")[-1] == pytest.approx(0.625 / 1.21, rel=0.02)


def test_a_breaker_with_little_load_is_not_followed(kit):
    drive = kit.drive(kit.site(racks=1, miners=0)).run(300, loaded(30.0))
    assert stored(drive, BREAKER_HEAT, "L1") == []


def test_nothing_is_estimated_from_a_silent_meter(kit):
    drive = kit.drive(kit.site(racks=1, miners=0)).run(600, loaded(55.0))
    before = len(stored(drive, BREAKER_HEAT, "L1"))
    drive.run(300, loaded(Outage.TIMEOUT))
    assert len(stored(drive, BREAKER_HEAT, "L1")) - before < 9
    drive.run(15, loaded(60.0))
    assert stored(drive, BREAKER_HEAT, "L1")[-1] == pytest.approx(1.0 / 1.21, rel=0.02)


def test_a_reload_keeps_the_heat(kit):
    drive = kit.drive(kit.site(racks=1, miners=0)).run(600, loaded(57.0))
    before = stored(drive, BREAKER_HEAT, "L1")[-1]
    drive.watch.reload(drive.site, {}, kit.at(drive.now_s))
    drive.run(20, loaded(57.0))
    assert stored(drive, BREAKER_HEAT, "L1")[-1] == pytest.approx(before, rel=0.01)

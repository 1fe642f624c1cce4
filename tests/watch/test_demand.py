from __future__ import annotations

from dataclasses import replace

import pytest

from keeld.contract import Contract, DemandLimit
from keeld.errors import Outage
from keeld.metrics import (
    DEMAND,
    DEMAND_ALLOWED,
    DEMAND_HI,
    DEMAND_LO,
    DEMAND_PROJECTED,
    DEMAND_SHED,
    ENERGY,
    POWER,
    PUE,
    PUE_POWER,
)
from keeld.model import Batch, Device, Group, Reading

BLOCK = DemandLimit(limit_watts=10e6)
ROLLING = DemandLimit(limit_watts=10e6, interval_s=900, step_s=300)
TO_BLOCK_S = 400.0
"""The tests' clock stands this long before a quarter of an hour."""


def contract_site(kit, *, cap=None, tariff=None, state="mining", **facts):
    site = kit.site(racks=1, miners=0)
    meter = Device(id="grid", site="s", kind="meter", driver="modbus", address="tcp://10.9.0.1:502", node="utility")
    racks = {name: replace(rack, state=state) for name, rack in site.racks.items()}
    return replace(
        site,
        racks=racks,
        devices=dict(site.devices) | {"grid": meter},
        contract=Contract(node="utility", cap=cap, tariff=tariff),
        **facts,
    )


def grid(level):
    """The site's meter shows `level` W, or what that function of time gives; PDUs stay idle."""

    def poll(device, at_s):
        if device.id == "grid":
            found = level(at_s) if callable(level) else level
            return found if found is None or isinstance(found, Outage) else (Reading(POWER, found),)
        return kit_pdu(device)

    return poll


def kit_pdu(device):
    return (Reading(POWER, 10_000.0),) if device.kind == "pdu" else None


def last(drive, metric, part=""):
    found = [
        reading.value
        for _, batch in drive.batches
        if batch.device.kind == "site"
        for reading in batch.readings
        if (reading.metric, reading.part) == (metric, part)
    ]
    return found[-1] if found else None


def test_a_quiet_site_tells_nobody_and_stores_its_demand(kit):
    drive = kit.drive(contract_site(kit, cap=BLOCK, tariff=ROLLING)).run(TO_BLOCK_S + 1810, grid(9e6))
    assert drive.notices == []
    assert last(drive, DEMAND, "cap") == pytest.approx(9e6)
    assert last(drive, DEMAND, "tariff") == pytest.approx(9e6)
    assert last(drive, DEMAND_PROJECTED, "cap") == pytest.approx(9e6)
    assert last(drive, DEMAND_SHED, "cap") == 0.0


def test_a_demand_that_heads_over_its_target_says_how_much_to_shed(kit):
    drive = kit.drive(contract_site(kit, tariff=BLOCK)).run(TO_BLOCK_S, grid(9e6))
    drive.run(9 * 60 + 5, grid(10.6e6))
    (page,) = drive.pages
    assert (page.rule, page.severity) == ("demand_projected", "warning")
    assert "Shed " in page.text
    assert last(drive, DEMAND_ALLOWED, "tariff") == pytest.approx(9.1e6, rel=0.002)
    assert last(drive, DEMAND_SHED, "tariff") == pytest.approx(1.5e6, rel=0.01)
    drive.run(3 * 60, grid(9.0e6)).run(20 * 60, grid(9.0e6))
    assert drive.ends() == ["resolved"]


def test_nobody_is_told_when_too_little_of_the_interval_is_left(kit):
    drive = kit.drive(contract_site(kit, tariff=BLOCK)).run(TO_BLOCK_S + 12 * 60 + 10, grid(9.9e6))
    drive.run(2 * 60 + 30, grid(11.5e6)).run(600, grid(9e6))
    assert drive.notices == []


def test_a_cap_is_broken_by_the_minute_above_102_percent(kit):
    drive = kit.drive(contract_site(kit, cap=BLOCK)).run(TO_BLOCK_S, grid(9e6)).run(40, grid(10.5e6))
    assert drive.pages == []
    drive.run(30, grid(10.5e6))
    (page,) = drive.pages
    assert (page.rule, page.severity, page.target_kind) == ("site_cap", "critical", "site")
    assert "1-min mean" in page.text


def test_a_cap_is_broken_by_the_interval_as_soon_as_that_is_certain_and_ends_with_a_good_one(kit):
    drive = kit.drive(contract_site(kit, cap=BLOCK)).run(TO_BLOCK_S + 14 * 60, grid(10.1e6))
    assert drive.pages == []
    drive.run(61, grid(10.1e6))
    (page,) = drive.pages
    assert page.rule == "site_cap"
    assert "15-min block" in page.text
    drive.run(14 * 60, grid(9.0e6))
    assert drive.ends() == []
    drive.run(7 * 60, grid(9.0e6))
    assert drive.ends() == ["resolved"]


def test_a_site_that_pulses_about_its_cap_pages_once(kit):
    drive = kit.drive(contract_site(kit, cap=BLOCK)).run(TO_BLOCK_S, grid(9e6))
    drive.run(3600, grid(lambda at_s: 10.6e6 if int(at_s / 120) % 2 else 9.6e6))
    assert len(drive.pages) <= 1


@pytest.mark.parametrize(("state", "paged"), [("mining", 0), ("ai", 1)])
def test_only_a_mine_may_run_close_to_its_cap(kit, state, paged):
    drive = kit.drive(contract_site(kit, cap=BLOCK, state=state)).run(600, grid(9.7e6))
    assert len(drive.pages) == paged


def test_a_silent_meter_is_no_breach_and_no_all_clear(kit):
    drive = kit.drive(contract_site(kit, cap=BLOCK)).run(TO_BLOCK_S, grid(9e6))
    drive.run(120, grid(10.8e6))
    assert len(drive.pages) == 1
    drive.run(1800, grid(Outage.TIMEOUT))
    assert drive.ends() == []
    assert len([page for page in drive.pages if page.rule == "site_cap"]) == 1


def test_what_was_not_measured_counts_as_high_as_it_can_be_and_is_marked(kit):
    drive = kit.drive(contract_site(kit, cap=BLOCK)).run(TO_BLOCK_S + 300, grid(9e6))
    drive.run(590, grid(Outage.TIMEOUT)).run(120, grid(9e6))
    stored = [value for at, value in demands(drive) if at > TO_BLOCK_S + 901]
    assert stored == []
    assert last(drive, DEMAND, "cap") is None


def demands(drive):
    return [
        (at, reading.value)
        for at, batch in drive.batches
        if batch.device.kind == "site"
        for reading in batch.readings
        if reading.metric is DEMAND
    ]


def restarted(kit, drive, site, gap_s):
    memory = drive.watch.memory()
    saved = drive.watch.snapshot()
    after = kit.drive(site, restored=saved, start_s=drive.now_s + gap_s)
    after.watch.recall(memory, kit.at(after.now_s))
    return after


def test_a_restart_forgets_nothing_of_the_running_block(kit):
    site = contract_site(kit, cap=BLOCK)
    drive = kit.drive(site).run(TO_BLOCK_S + 600, grid(10.4e6))
    after = restarted(kit, drive, site, gap_s=20)
    after.run(300, grid(9e6))
    low, high = (value for _, value in demand_bounds(after)[-1])
    assert low == pytest.approx((10.4e6 * 600 + 9e6 * 280) / 900, rel=0.005)
    assert high == pytest.approx(low + 12e6 * 20 / 900, rel=0.01)


def demand_bounds(drive):
    return [
        [(reading.metric.name, reading.value) for reading in batch.readings if reading.metric in (DEMAND_LO, DEMAND_HI)]
        for _, batch in drive.batches
        if batch.device.kind == "site" and any(reading.metric is DEMAND_LO for reading in batch.readings)
    ]


def test_an_alarm_of_the_contract_survives_a_restart_untold(kit):
    site = contract_site(kit, cap=BLOCK)
    drive = kit.drive(site).run(TO_BLOCK_S, grid(9e6)).run(120, grid(10.8e6))
    assert len(drive.pages) == 1
    after = restarted(kit, drive, site, gap_s=30).run(300, grid(10.8e6))
    assert after.notices == []
    after.run(3600, grid(9e6))
    assert after.ends() == ["resolved"]


def test_a_reload_keeps_the_running_block(kit):
    site = contract_site(kit, cap=BLOCK)
    drive = kit.drive(site).run(TO_BLOCK_S + 600, grid(10.1e6))
    drive.watch.reload(replace(site, altitude_metres=10.0), {}, kit.at(drive.now_s))
    drive.run(305, grid(10.1e6))
    assert [page.rule for page in drive.pages] == ["site_cap"]


def test_a_contract_that_goes_is_withdrawn(kit):
    site = contract_site(kit, cap=BLOCK)
    drive = kit.drive(site).run(TO_BLOCK_S, grid(9e6)).run(120, grid(10.8e6))
    moves = drive.watch.reload(replace(site, contract=None), {}, kit.at(drive.now_s))
    assert [move.ended for move in moves] == ["withdrawn"]


def feed_counter(drive, kit, site, watt_hours):
    now = kit.at(drive.now_s)
    device = site.devices["grid"]
    drive.watch.feed(
        Batch(device, now.wall_ns, now.mono_ns, (Reading(ENERGY, watt_hours),), group=Group.SLOW, interval_s=60.0), now
    )


def test_an_energy_counter_corrects_what_spot_readings_miss(kit):
    """The load swings between two polls so that each of them sees its peak."""
    site = contract_site(kit, cap=BLOCK)
    drive = kit.drive(site)
    for minute in range(40):
        feed_counter(drive, kit, site, 1e9 + minute * 8e6 / 60 // 1000 * 1000)
        drive.run(60, grid(10.5e6 if minute < 2 else 9.9e6))
    assert last(drive, DEMAND, "cap") == pytest.approx(8e6, rel=0.02)


def test_pue_is_of_whole_hours_with_a_meter_of_the_site(kit):
    drive = kit.drive(contract_site(kit, cap=BLOCK)).run(3 * 3600, grid(26_000.0))
    assert last(drive, PUE_POWER) == pytest.approx(1.3)
    assert last(drive, PUE, "hour") == pytest.approx(1.3)
    assert last(drive, PUE, "day") is None


def test_a_pue_below_one_is_a_finding_and_no_figure(kit):
    drive = kit.drive(contract_site(kit, cap=BLOCK)).run(3 * 3600, grid(15_000.0))
    assert last(drive, PUE, "hour") is None
    assert last(drive, PUE_POWER) is None
    assert any("cannot be" in finding for finding in drive.watch.findings())

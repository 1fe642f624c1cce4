"""What may still be added to a rack, and what peers' projects got wrong about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from keeld.errors import Outage
from keeld.metrics import CURRENT, POWER, STRANDED, UNATTRIBUTED, UNATTRIBUTED_ERROR, USABLE_HEADROOM
from keeld.model import Device, Reading
from keeld.views import Verdict


def rooms(kit: type, drive: Any) -> dict[str, Any]:
    found = drive.watch.headroom(kit.at(drive.now_s))
    return {room.rack: room for room in found if room is not None}


def test_a_redundant_rack_has_the_room_of_one_feed_and_not_of_both(kit: type):
    """NetBox adds the power of A and B feeds up as if both were there to be used."""
    drive = kit.drive(kit.site(miners=0)).run(400, kit.steady(10_000.0))
    room = rooms(kit, drive)["r01"]
    one_feed = 60 * 0.8 * 415 * 3**0.5
    feed = next(found for found in room.rooms if found.target == "a-r01" and found.constraint == "failover")
    assert feed.watts == pytest.approx(one_feed - 20_000.0, rel=1e-6)
    assert room.watts == pytest.approx(13_000.0)
    assert room.binding.base == "budget"
    assert room.watts < room.rooms[-1].watts


def test_uneven_feeds_that_survive_leave_room(kit: type):
    """60:40 on two feeds is fine as long as either carries it all."""
    site = kit.site(miners=0)

    def poll(device: Device, at_s: float) -> Any:
        return None if device.kind != "pdu" else kit.pdu(18_000.0 if device.feed == "a" else 12_000.0)

    room = rooms(kit, kit.drive(site).run(400, poll))["r01"]
    assert room.watts == pytest.approx(3_000.0)
    feed = next(found for found in room.rooms if found.target == "a-r01" and found.constraint == "failover")
    assert feed.watts == pytest.approx(60 * 0.8 * 415 * 3**0.5 - 30_000.0, rel=1e-6)


def test_a_ups_that_others_fall_back_on_binds(kit: type):
    site = kit.site(miners=0)
    site.power["ups-b"] = replace(site.power["ups-b"], limit_volt_amperes=65e3)
    room = rooms(kit, kit.drive(site).run(400, kit.steady(10_000.0)))["r01"]
    assert (room.binding.constraint, room.binding.target) == ("failover", "ups-b")
    assert room.binding.base.startswith("65 kVA rating, after the loss of ")
    assert -1e4 < room.watts < 5_000.0


def test_a_share_keeps_room_free_for_planning_and_is_no_alarm(kit: type):
    site = kit.site(miners=0)
    site.power["a-r01"] = replace(site.power["a-r01"], share=0.25)
    drive = kit.drive(site).run(2000, kit.steady(10_000.0))
    room = rooms(kit, drive)["r01"]
    assert (room.binding.constraint, room.binding.target) == ("current", "a-r01")
    assert room.watts < 0.0
    assert "0.25 share" in room.binding.base
    assert drive.pages == []


def test_a_silent_meter_takes_room_away_and_is_named(kit: type):
    """A reading that has stopped is not a healthy one, and a failed poll is not 0 W."""
    drive = kit.drive(kit.site(miners=0)).run(400, kit.steady(10_000.0))
    before = rooms(kit, drive)["r01"].watts
    good = kit.steady(10_000.0)
    drive.run(1200, lambda device, at_s: Outage.TIMEOUT if device.id == "pdu-r01-a" else good(device, at_s))
    after = rooms(kit, drive)["r01"]
    assert after.watts < before
    assert "pdu-r01-a" in after.lost
    rack = next(rack for rack in drive.watch.view(kit.at(drive.now_s)).racks if rack.rack.id == "r01")
    assert rack.draw.hi >= 20_000.0
    assert rack.verdict is not Verdict.OVER
    last = [batch for _, batch in drive.batches if batch.device.id == "r01"][-1]
    assert POWER not in [reading.metric for reading in last.readings]


def test_a_swing_is_judged_by_its_mean(kit: type):
    """A flat 80 % on single samples cries wolf at every swing of a training job."""
    drive = kit.drive(kit.site(miners=0))
    low, high = kit.pdu(5_000.0), kit.pdu(18_000.0)
    drive.run(3600, lambda device, at_s: None if device.kind != "pdu" else (high if at_s % 20 < 10 else low))
    assert drive.pages == []


def test_headroom_and_stranded_capacity_are_published(kit: type):
    drive = kit.drive(kit.site(miners=0)).run(400, kit.steady(10_000.0))
    last = {(batch.device.kind, batch.device.id): batch for _, batch in drive.batches}
    told = {reading.metric: reading.value for reading in last["rack", "r01"].readings}
    assert told[USABLE_HEADROOM] == pytest.approx(13_000.0)
    panel = {reading.metric: reading.value for reading in last["power_node", "panel-a"].readings}
    assert panel[STRANDED] > 100_000.0


def test_what_a_meter_shows_beyond_its_racks_carries_its_error(kit: type):
    site = kit.site(miners=0)
    site.devices["m-a"] = Device(id="m-a", site="s", kind="meter", driver="modbus", address="m", node="panel-a")

    def poll(device: Device, at_s: float) -> Any:
        if device.id == "m-a":
            return (Reading(POWER, 45_000.0), *(Reading(CURRENT, 63.0, phase) for phase in ("L1", "L2", "L3")))
        return None if device.kind != "pdu" else kit.pdu(10_000.0)

    drive = kit.drive(site).run(120, poll)
    last = [batch for _, batch in drive.batches if batch.device.id == "panel-a"][-1]
    told = {reading.metric: reading.value for reading in last.readings}
    assert told[UNATTRIBUTED] == pytest.approx(15_000.0)
    assert told[UNATTRIBUTED_ERROR] == pytest.approx((450.0**2 + 3 * 100.0**2) ** 0.5)
    assert any("panel-a shows 15.0 kW that nothing below it accounts for" in line for line in drive.watch.findings())
    node = next(node for node in drive.watch.view(kit.at(drive.now_s)).nodes if node.id == "panel-a")
    assert node.figures["unattributed_watts"] == pytest.approx(15_000.0)


def test_a_missing_child_is_bounded_by_the_meter_above_and_its_error(kit: type):
    site = kit.site(miners=0)
    for side in "ab":
        name = f"m-{side}"
        site.devices[name] = Device(
            id=name, site="s", kind="meter", driver="modbus", address=name, node=f"panel-{side}"
        )

    def poll(device: Device, at_s: float) -> Any:
        if device.kind == "meter":
            return (Reading(POWER, 30_000.0),)
        if device.rack == "r01" and at_s > 100:
            return Outage.TIMEOUT
        return None if device.kind != "pdu" else kit.pdu(10_000.0)

    drive = kit.drive(site).run(1500, poll)
    bound = drive.watch._state.racks["r01"].bound_watts
    assert 20_000.0 < bound < 22_000.0


def test_a_reload_or_restart_keeps_nothing_it_cannot_use(kit: type):
    drive = kit.drive(kit.site(miners=0)).run(400, kit.steady(10_000.0))
    notes = drive.watch.memory()
    again = kit.drive(kit.site(miners=0, racks=2), start_s=drive.now_s)
    again.watch.recall(notes, kit.at(again.now_s))
    again.run(100, kit.steady(10_000.0))
    assert set(rooms(kit, again)) == {"r01", "r02"}

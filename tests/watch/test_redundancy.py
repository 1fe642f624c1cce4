"""Rules 4, 5 and 6: what a failure would do, told before it comes."""

from __future__ import annotations

import dataclasses
import math

import pytest

from keeld.errors import Outage
from keeld.metrics import POWER, POWER_SOURCE
from keeld.model import Device, Notice, RackBudget, Reading, Severity
from keeld.trees import PowerSource
from keeld.watch.survivors import strain_of


def roomy(kit, **facts):
    """Racks whose own budget is never the matter."""
    return kit.site(budget=RackBudget(power_watts=60_000.0), **facts)


def told(drive, rule):
    return [
        (move.notice.value, move.target_id, move.severity)
        for _, move in drive.moves
        if move.notice and move.rule == rule
    ]


def test_a_rack_that_would_not_survive_is_told_of_once_and_its_end(kit):
    site = roomy(kit, racks=2, miners=0)
    loads = {"r01": 22_000.0, "r02": 10_000.0}
    poll = lambda device, at_s: kit.pdu(loads[device.rack]) if device.kind == "pdu" else None  # noqa: E731 - a poll in a line
    drive = kit.drive(site).run(1200, poll)
    assert told(drive, "redundancy_will_trip") == [("trigger", "r01", Severity.WARNING)]
    assert told(drive, "redundancy_lost_load") == []  # rule 5 says it
    text = drive.pages[0].text
    assert "If feed A dies now, phase L1 of b-r01 goes to 102 % of its 60 A breaker and trips." in text
    assert drive.pages[0].title.startswith("R01 (hall 1) would not survive a feed's loss: 61.2 of 60 A breaker = 102 %")
    loads["r01"] = 10_000.0
    drive.run(2400, poll)
    assert told(drive, "redundancy_will_trip")[-1] == ("resolve", "r01", Severity.WARNING)


def shared(kit, loads, dead=frozenset()):
    """PDUs share a rack's load; what a dead one carried the others carry."""

    def poll(device, at_s):
        if device.kind != "pdu":
            return None
        gone = dead(at_s) if callable(dead) else dead
        if device.id in gone:
            return Outage.TIMEOUT
        siblings = 2 - sum(name in gone for name in (f"pdu-{device.rack}-a", f"pdu-{device.rack}-b"))
        return kit.pdu(loads[device.rack] / siblings)

    return poll


def test_a_path_on_battery_makes_it_critical_and_says_why(kit):
    site = roomy(kit, racks=1, miners=0)
    ups = Device(id="ups-a-card", site="s", kind="ups", driver="modbus", address="tcp://10.0.9.1:502", node="ups-a")
    site = dataclasses.replace(site, devices=site.devices | {"ups-a-card": ups})
    racks = shared(kit, {"r01": 44_000.0})

    def poll(device, at_s):
        if device.kind != "ups":
            return racks(device, at_s)
        return (Reading(POWER, 22_000.0), Reading(POWER_SOURCE, 2.0 if at_s > 900 else 1.0))

    drive = kit.drive(site).run(1300, poll)
    assert told(drive, "redundancy_will_trip") == [
        ("trigger", "r01", Severity.WARNING),
        ("escalate", "r01", Severity.CRITICAL),
    ]
    text = next(
        move.text for _, move in drive.moves if move.notice is Notice.ESCALATE and move.rule == "redundancy_will_trip"
    )
    assert "Likely cause: ups-a is on battery" in text


def test_a_survivor_that_holds_for_a_while_makes_one_ticket_for_all_racks_and_one_a_day(kit):
    site = roomy(kit, racks=3, miners=0)
    loads = {"r01": 38_000.0, "r02": 38_000.0, "r03": 20_000.0}
    drive = kit.drive(site).run(1500, shared(kit, loads))
    assert len(told(drive, "redundancy_lost_load")) == 1
    assert drive.pages[0].severity is Severity.WARNING
    assert "it holds, but its 80 % rule may be broken" in drive.pages[0].text
    loads |= {"r01": 20_000.0, "r02": 20_000.0}
    drive.run(3600, shared(kit, loads))
    assert [notice for notice, *_ in told(drive, "redundancy_lost_load")] == ["trigger", "resolve"]
    loads |= {"r03": 38_000.0}
    drive.run(3600, shared(kit, loads))
    assert len(told(drive, "redundancy_lost_load")) == 2  # it has been told of today


def test_upstream_the_survivor_is_named_and_a_rack_without_redundancy_is_left_alone(kit):
    site = roomy(kit, racks=2, miners=8)
    power = dict(site.power)
    power["ups-b"] = dataclasses.replace(power["ups-b"], limit_volt_amperes=60_000.0)
    site = dataclasses.replace(site, power=power)
    drive = kit.drive(site).run(900, shared(kit, {"r01": 34_000.0, "r02": 34_000.0}))
    assert told(drive, "redundancy_will_trip") == [("trigger", "ups-b", Severity.WARNING)]
    text = next(move.text for move in drive.pages if move.rule == "redundancy_will_trip")
    assert "ups-b goes to 113 % of its 60 kVA rating and is overloaded" in text
    lone = roomy(kit, racks=1, miners=0, rack=lambda rack: dataclasses.replace(rack, redundancy="N"))
    assert not kit.drive(lone).run(900, shared(kit, {"r01": 44_000.0})).pages


def test_a_dead_feed_speaks_for_what_was_foretold_of_its_rack(kit):
    site = roomy(kit, racks=1, miners=0)
    dead = lambda at_s: {"pdu-r01-a"} if 300 < at_s < 3000 else set()  # noqa: E731 - an answer in a line
    drive = kit.drive(site).run(2900, shared(kit, {"r01": 40_000.0}, dead))
    assert ("trigger", "feed_dead", "r01/a") in drive.notices
    assert told(drive, "redundancy_will_trip") == told(drive, "redundancy_lost_load") == []
    drive.run(4000, shared(kit, {"r01": 40_000.0}, dead))
    assert told(drive, "redundancy_lost_load")[0][0] == "trigger"


def test_a_swing_about_the_limit_tells_nobody(kit):
    """Half of the time over, half far under: the mean is what counts."""
    poll = lambda device, at_s: kit.pdu(26_000.0 if int(at_s) % 20 < 10 else 8_000.0) if device.kind == "pdu" else None  # noqa: E731 - a poll in a line
    assert not kit.drive(roomy(kit, racks=1, miners=0)).run(1800, poll).pages


def test_the_peak_of_the_day_is_told_at_its_end_and_survives_a_restart(kit):
    site = roomy(kit, racks=1, miners=0)
    day_s = 86_400 - (kit.at(0).wall_ns // 1_000_000_000) % 86_400
    loads = {"r01": 38_000.0}
    drive = kit.drive(site).run(560, shared(kit, loads))
    loads["r01"] = 20_000.0
    drive.run(600, shared(kit, loads))
    assert not told(drive, "redundancy_peak")
    notes, after = drive.watch.memory(), kit.drive(site, start_s=day_s - 120.0)
    after.watch.recall(notes, kit.at(after.now_s))
    after.run(day_s - after.now_s + 60, shared(kit, loads))
    assert told(after, "redundancy_peak") == [("trigger", "r01", Severity.INFO)]
    assert after.pages[0].title == "R01 (hall 1) lacked reserve at its 24-h peak: 110 % of the survivor's limit"


def test_a_rack_s_view_and_batches_foretell_what_would_happen(kit):
    site = roomy(kit, racks=1, miners=0)
    drive = kit.drive(site).run(400, shared(kit, {"r01": 44_000.0}))
    (rack,) = drive.watch.view(kit.at(drive.now_s)).racks
    assert rack.failover == "If feed A dies now, phase L1 of b-r01 goes to 102 % of its 60 A breaker and trips."
    amperes = 44_000.0 / (415.0 * 3**0.5)
    latest = {batch.device.id: batch for _, batch in drive.batches}
    node = {(reading.metric.name, reading.part): reading.value for reading in latest["b-r01"].readings}
    assert node["failover_current_amperes", "L2"] == pytest.approx(amperes)
    assert node["failover_lo_ratio", ""] == node["failover_hi_ratio", ""] == pytest.approx(amperes / 60.0)
    rack_readings = {(reading.metric.name, reading.part): reading.value for reading in latest["r01"].readings}
    assert rack_readings["failover_hi_ratio", "feed/a"] == pytest.approx(amperes / 60.0)
    calm = kit.drive(site).run(400, shared(kit, {"r01": 20_000.0}))
    assert calm.watch.view(kit.at(calm.now_s)).racks[0].failover == ""


def test_a_silent_feed_is_foretold_as_a_range_and_as_no_current(kit):
    site = roomy(kit, racks=1, miners=0)
    poll = lambda device, at_s: Outage.TIMEOUT if device.feed == "a" and at_s > 300 else kit.pdu(10_000.0)  # noqa: E731 - an answer in a line
    drive = kit.drive(site).run(1500, lambda device, at_s: poll(device, at_s) if device.kind == "pdu" else None)
    readings = {
        (reading.metric.name, reading.part): reading.value
        for _, batch in drive.batches[-40:]
        if batch.device.id == "b-r01"
        for reading in batch.readings
    }
    assert readings["failover_lo_ratio", ""] < 0.5
    assert readings["failover_hi_ratio", ""] > 1.0
    assert ("failover_current_amperes", "L1") not in readings
    assert "CAN'T TELL" in drive.watch.view(kit.at(drive.now_s)).racks[0].failover


def test_work_on_several_paths_is_foretold_together_and_leaves_nothing_behind(kit):
    drive = kit.drive(roomy(kit, racks=2, miners=0)).run(400, shared(kit, {"r01": 20_000.0, "r02": 30_000.0}))
    now = kit.at(drive.now_s)
    before = len(drive.watch._state.failover.stresses)
    case = drive.watch.failover_without([("feed", "r01/a"), ("power_node", "b-r02")], now)
    assert case.racks == ("r01", "r02")
    worst = case.survivors[0]
    assert (worst.node, worst.value.best) == ("a-r02", pytest.approx(30_000.0 / (415.0 * 3**0.5)))
    assert {survivor.node for survivor in case.survivors} == {"b-r01", "a-r02"}  # both panels lose something, too
    both = drive.watch.failover_without([("power_node", "ups-a"), ("feed", "r02/b")], now)
    assert both.dead.best == pytest.approx(30_000.0)
    assert drive.watch.failover_without([("power_node", "nowhere"), ("device", "pdu-r01-a")], now) is None
    assert len(drive.watch._state.failover.stresses) == before


def test_a_transfer_switch_that_moves_a_panel_moves_the_failures_it_hangs_on(kit):
    site = roomy(kit, racks=1, miners=0)
    sources = {"utility": PowerSource(1e6), "alternate": PowerSource(1e6, parent="ups-b")}
    power = dict(site.power)
    power["panel-a"] = dataclasses.replace(power["panel-a"], sources=sources)
    ats = Device(id="ats", site="s", kind="ups", driver="modbus", address="tcp://10.0.9.2:502", node="panel-a")
    site = dataclasses.replace(site, power=power, devices=site.devices | {"ats": ats})
    racks = shared(kit, {"r01": 20_000.0})

    def poll(device, at_s):
        if device.id != "ats":
            return racks(device, at_s)
        return (Reading(POWER, 10_000.0), Reading(POWER_SOURCE, 5.0 if at_s > 600 else 1.0))

    def dead_with(drive, name):
        found = {case.target_id: case for case in drive.watch.failover(kit.at(drive.now_s))}
        return found[name].dead.best if name in found else None

    drive = kit.drive(site).run(400, poll)
    assert dead_with(drive, "ups-b") == pytest.approx(0.0)
    drive.run(600, poll)
    assert dead_with(drive, "ups-b") == pytest.approx(20_000.0)  # it feeds both now
    assert dead_with(drive, "ups-a") is None


@pytest.mark.parametrize("silent", [frozenset(), frozenset({"pdu-r01-a"}), frozenset({"pdu-r02-b", "pdu-r01-a"})])
def test_what_is_kept_up_is_what_is_told(kit, silent):
    """The sums that every slot makes and the values that people are shown never differ."""
    site = roomy(kit, racks=3, miners=4)
    power = dict(site.power)
    power["ups-b"] = dataclasses.replace(power["ups-b"], efficiency=0.93, limit_watts=90_000.0)
    loads = {"r01": 21_000.0, "r02": 33_000.0, "r03": 12_345.0}
    racks = shared(kit, loads)

    def poll(device, at_s):
        if device.kind == "miner":
            return (Reading(POWER, 3_300.0),)
        return Outage.TIMEOUT if device.id in silent and at_s > 200 else racks(device, at_s)

    drive = kit.drive(dataclasses.replace(site, power=power)).run(620, poll)
    stresses = drive.watch._state.failover.stresses
    assert len(stresses) > 10
    for stress in stresses:
        assert stress.strain == pytest.approx(strain_of(stress.loads()))
        assert all(0.0 <= ratio < math.inf for ratio in stress.strain)


@pytest.mark.parametrize(
    "note", [b"", b"[]", b"{", b'{"day": 1}', b'{"day": 1, "peaks": {"a": "x"}, "ticket_ns": 0}', b"7"]
)
def test_notes_that_cannot_be_read_are_left_out(kit, note):
    drive = kit.drive(roomy(kit, racks=1, miners=0))
    notes = {"redundancy/daily": note, "redundancy/4711": b"short", "redundancy/x": note, "restoring/absences": note}
    drive.watch.recall(notes, kit.at(0.0))
    drive.run(700, shared(kit, {"r01": 44_000.0}))
    assert [name for _, name, _ in told(drive, "redundancy_will_trip")] == ["r01"]


def test_a_reload_keeps_what_was_told_and_withdraws_what_has_no_redundancy_any_more(kit):
    site = roomy(kit, racks=2, miners=0)
    drive = kit.drive(site).run(700, shared(kit, {"r01": 44_000.0, "r02": 44_000.0}))
    before = told(drive, "redundancy_will_trip")
    assert {name for _, name, _ in before} == {"r01", "r02"}
    racks = dict(site.racks)
    racks["r02"] = dataclasses.replace(racks["r02"], redundancy="N")
    moves = drive.watch.reload(dataclasses.replace(site, racks=racks), {}, kit.at(drive.now_s))
    assert [(move.rule, move.target_id, move.ended) for move in moves if move.notice] == [
        ("redundancy_will_trip", "r02", "withdrawn")
    ]
    drive.run(300, shared(kit, {"r01": 44_000.0, "r02": 44_000.0}))
    assert told(drive, "redundancy_will_trip") == before

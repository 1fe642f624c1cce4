"""Rules 4, 5 and 6: what a failure would do, told before it comes."""

from __future__ import annotations

import dataclasses

from keeld.errors import Outage
from keeld.metrics import POWER, POWER_SOURCE
from keeld.model import Device, Notice, RackBudget, Reading, Severity


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
    assert after.pages[0].title == "R01 (hall 1) lacked reserve at its 24-h peak: 110 %, limit 100 %"

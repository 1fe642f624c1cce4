"""Rules 8 and 48: what a dead feed leaves behind in machines, and feeds that come back without their load."""

from __future__ import annotations

import dataclasses

from keeld.errors import Outage
from keeld.metrics import POWER, THROTTLE_BRAKE
from keeld.model import Cord, RackBudget, Reading, Severity


def told(drive, rule):
    return [
        (move.notice.value, move.target_id, move.severity)
        for _, move in drive.moves
        if move.notice and move.rule == rule
    ]


def roomy(kit, **facts):
    return kit.site(budget=RackBudget(power_watts=60_000.0), racks=1, miners=0, **facts)


def fed(kit, share_of_a):
    """10 kW in all; feed A carries the share that a test says, or is dead (None)."""

    def poll(device, at_s):
        if device.kind != "pdu":
            return None
        share = share_of_a(at_s)
        if device.feed == "a":
            return Outage.TIMEOUT if share is None else kit.pdu(10_000.0 * share)
        return kit.pdu(10_000.0 * (1.0 - (share or 0.0)))

    return poll


def test_a_feed_that_comes_back_without_its_load_is_told_of_after_a_quarter_of_an_hour(kit):
    share = lambda at_s: 0.5 if at_s < 300 else None if at_s < 900 else 0.0 if at_s < 2500 else 0.45  # noqa: E731 - a story in a line
    drive = kit.drive(roomy(kit)).run(1750, fed(kit, share))
    assert not told(drive, "redundancy_not_restored")
    drive.run(300, fed(kit, share))
    assert told(drive, "redundancy_not_restored") == [("trigger", "r01/a", Severity.WARNING)]
    page = drive.pages[-1]
    assert page.title == "R01 (hall 1) feed A is back, but its load is not"
    assert "It carried 50 % of its rack's load before it went, and at most 0 % since it is back." in page.text
    notes, saved = drive.watch.memory(), drive.watch.snapshot()
    after = kit.drive(drive.site, restored=saved, start_s=drive.now_s)
    after.watch.recall(notes, kit.at(after.now_s))
    after.run(300, fed(kit, share))
    assert not after.notices  # a restart tells nothing again and ends nothing
    after.run(1500, fed(kit, share))
    assert told(after, "redundancy_not_restored") == [("resolve", "r01/a", Severity.WARNING)]


def test_a_feed_that_comes_back_with_its_load_is_not_told_of(kit):
    share = lambda at_s: None if 300 < at_s < 900 else 0.5  # noqa: E731 - a story in a line
    drive = kit.drive(roomy(kit)).run(3000, fed(kit, share))
    assert {rule for _, rule, _ in drive.notices} == {"feed_dead"}
    assert "restoring/absences" not in drive.watch.memory()


def test_a_feed_that_carried_nothing_is_not_missed(kit):
    share = lambda at_s: None if 300 < at_s < 900 else 0.0  # noqa: E731 - a story in a line
    drive = kit.drive(roomy(kit)).run(3000, fed(kit, share))
    assert not told(drive, "redundancy_not_restored")


def powered(kit, site, *, needed, a=3, b=3):
    node = dataclasses.replace(
        site.devices["gpu-r01"], kind="accelerator", driver="nvml", cords=(Cord("a", a), Cord("b", b)),
        psus_needed=needed,
    )  # fmt: skip
    return dataclasses.replace(site, devices=site.devices | {node.id: node})


def test_a_design_that_cannot_lose_a_feed_is_a_finding_and_no_alarm(kit):
    site = powered(kit, roomy(kit), needed=4)
    drive = kit.drive(site).run(1200, fed(kit, lambda at_s: 0.5))
    assert not told(drive, "psu_survivability")
    assert "too few power supplies left after the loss of a feed, by design: gpu-r01" in drive.watch.findings()
    single = dataclasses.replace(site.devices["gpu-r01"], cords=(Cord("a", 2),), psus_needed=None)
    lone = dataclasses.replace(site, devices=site.devices | {"gpu-r01": single})
    assert "one cord in a rack with redundant feeds: gpu-r01" in kit.drive(lone).watch.findings()


def test_a_machine_short_of_supplies_is_told_of_by_the_feed_that_died_unless_that_rule_is_off(kit):
    site = powered(kit, roomy(kit), needed=4)
    share = lambda at_s: None if 300 < at_s < 1500 else 0.5  # noqa: E731 - a story in a line

    def poll(device, at_s):
        if device.kind != "accelerator":
            return fed(kit, share)(device, at_s)
        brake_s = max(0.0, min(at_s, 1500.0) - 600.0)
        return (Reading(POWER, 900.0, "gpu/0"), Reading(THROTTLE_BRAKE, brake_s, "gpu/0"))

    drive = kit.drive(site).run(1400, poll)
    assert not told(drive, "psu_survivability")
    alarm = next(alarm for alarm in drive.watch.view(kit.at(drive.now_s)).alarms if alarm.rule == "psu_survivability")
    assert alarm.severity is Severity.CRITICAL  # it is being slowed down
    assert "3 of its 6 power supplies have a feed, it needs 4. Its power brake is on." in alarm.text
    assert "feed A is dead" in alarm.text
    drive.run(1500, poll)
    assert not told(drive, "psu_survivability")
    assert not [alarm for alarm in drive.watch.view(kit.at(drive.now_s)).alarms if alarm.rule == "psu_survivability"]


def test_a_machine_that_could_lose_a_feed_and_no_longer_can_is_short_by_one_change(kit):
    site = powered(kit, roomy(kit), needed=2, a=2, b=2)
    drive = kit.drive(site).run(600, fed(kit, lambda at_s: 0.5 if at_s < 300 else None))
    alarms = [alarm for alarm in drive.watch.view(kit.at(drive.now_s)).alarms if alarm.rule == "psu_survivability"]
    assert [alarm.severity for alarm in alarms] == [Severity.WARNING]

"""A start knows nothing yet: what was told before it ends only once those it is about have answered."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from keeld.alerts.acts import Shelve
from keeld.alerts.restored import RestoredAlarm
from keeld.alerts.selector import parse
from keeld.errors import Outage
from keeld.metrics import HASHRATE, HASHRATE_NOMINAL, POWER, SHARES_ACCEPTED, UNIT_STATE
from keeld.model import AlertState, Device, Moment, Reading, RuleSettings

HASHES = 100e12


def again(kit, drive, *, gap_s: float = 5.0, site=None, rules=None):
    """Kill it and start it: alarms and notes go through their stored forms."""
    saved = [RestoredAlarm.load(alarm.dump()) for alarm in drive.watch.snapshot()]
    notes = drive.watch.memory()
    after = kit.drive(
        site or drive.site, drive.rules if rules is None else rules, restored=saved, start_s=drive.now_s + gap_s
    )
    after.watch.recall(notes, kit.at(after.now_s))
    return after


def slow_site(kit, *, interval_s: float = 60.0, miners: int = 8):
    """A site that is polled so seldom that the first minutes of a start bring no answer, and no second failure."""
    site = kit.site(racks=2, miners=miners)
    devices = {name: dataclasses.replace(each, interval_s=interval_s) for name, each in site.devices.items()}
    return dataclasses.replace(site, devices=devices)


def polled(kit, silent: Callable[[str], bool]):
    """Everybody answers but these; miners hash and get their shares."""
    good = kit.steady()

    def poll(device, at_s):
        if silent(device.id):
            return Outage.TIMEOUT
        if device.kind == "miner":
            return (
                Reading(POWER, 3300.0), Reading(HASHRATE, HASHES), Reading(HASHRATE_NOMINAL, HASHES),
                Reading(SHARES_ACCEPTED, float(int(at_s))),
            )  # fmt: skip
        return good(device, at_s)

    return poll


@pytest.mark.parametrize(
    ("silent", "about"),
    [
        (lambda name: name == "pdu-r01-a", ("source_stale", "device", "pdu-r01-a")),
        (lambda name: name.startswith("pdu-r01"), ("blind", "rack", "r01")),
        (lambda name: name in ("m-01", "m-02", "m-03"), ("source_stale", "row", "c")),
        (lambda name: name.startswith("m-"), ("row_stopped", "row", "c")),
    ],
    ids=["device", "rack", "some of a row", "all of a row"],
)
@pytest.mark.parametrize("kills", [1, 6])
def test_what_is_silent_before_and_after_a_start_neither_ends_nor_is_told_again(kit, silent, about, kills):
    drive = kit.drive(slow_site(kit)).run(900.0, polled(kit, lambda _: False))
    drive.run(1500.0, polled(kit, silent))
    assert about in {(alarm.rule, alarm.target_kind, alarm.target_id) for alarm in drive.watch.snapshot()}
    for _ in range(kills):
        drive = again(kit, drive).run(900.0 / kills, polled(kit, silent))
        moved = {move.after for _, move in drive.moves if (move.rule, move.target_kind, move.target_id) == about}
        assert not moved & {AlertState.OK, AlertState.CLEARING}
        assert [notice for notice in drive.notices if notice[0] != "escalate"] == []
    drive = again(kit, drive).run(1500.0, polled(kit, lambda _: False))
    assert about not in {(alarm.rule, alarm.target_kind, alarm.target_id) for alarm in drive.watch.snapshot()}
    assert {notice[0] for notice in drive.notices} <= {"resolve"}


def without_pool(kit, since_s):
    good = polled(kit, lambda _: False)

    def poll(device, at_s):
        if device.kind != "miner" or at_s < since_s:
            return good(device, at_s)
        return tuple(
            Reading(SHARES_ACCEPTED, float(int(since_s))) if reading.metric is SHARES_ACCEPTED else reading
            for reading in good(device, at_s)
        )

    return poll


def test_a_pool_that_is_lost_stays_lost_over_a_start(kit):
    site = kit.site(racks=1)
    drive = kit.drive(site).run(1500.0, without_pool(kit, 600.0))
    assert ("trigger", "pool_lost", "s") in drive.notices
    after = again(kit, drive).run(1200.0, without_pool(kit, 600.0))
    assert [notice for notice in after.notices if notice[1] == "pool_lost"] == []
    after = again(kit, after).run(1200.0, polled(kit, lambda _: False))
    assert [notice for notice in after.notices if notice[1] == "pool_lost"] == [("resolve", "pool_lost", "s")]


def test_a_rule_that_is_switched_off_withdraws_its_alarm_by_reload(kit):
    off = {"source_stale": RuleSettings(enabled=False), "row_stopped": RuleSettings(enabled=False)}
    stopped = polled(kit, lambda name: name.startswith("m-"))
    drive = kit.drive(kit.site(racks=1)).run(600.0, polled(kit, lambda _: False)).run(600.0, stopped)
    assert drive.notices == [("trigger", "source_stale", "sw-c1")]
    moves = drive.watch.reload(drive.site, off, kit.at(drive.now_s))
    assert [(move.rule, move.ended) for move in moves if move.notice is not None] == [("source_stale", "withdrawn")]


def test_an_alarm_that_was_held_is_not_told_because_its_cause_ended_just_before_a_start(kit):
    site, gone = kit.site(racks=1), polled(kit, lambda name: name.startswith("m-"))
    drive = kit.drive(site).run(600.0, polled(kit, lambda _: False)).run(500.0, gone)
    held = [alarm for alarm in drive.watch.snapshot() if alarm.cause.startswith("s:") and alarm.told is None]
    assert held
    saved = [RestoredAlarm.load(alarm.dump()) for alarm in held]
    after = kit.drive(site, restored=saved, start_s=drive.now_s + 5.0).run(50.0, gone)
    assert {target for _, _, target in after.notices}.isdisjoint({alarm.target_id for alarm in held})


def test_a_shelf_that_ends_while_keeld_is_down_lets_the_alarm_ring_once(kit):
    gone = polled(kit, lambda name: name.startswith("m-"))
    drive = kit.drive(kit.site(racks=1)).run(600.0, polled(kit, lambda _: False)).run(600.0, gone)
    now = kit.at(drive.now_s)
    until_ns = now.wall_ns + 60 * 1_000_000_000
    drive.watch.act(Shelve(owner="eve", reason="known", until_ns=until_ns, selector=parse("all")), now)
    drive.run(30.0, gone)
    after = again(kit, drive, gap_s=120.0).run(60.0, gone)
    assert after.notices == [("trigger", "source_stale", "sw-c1")]


def test_a_clock_that_was_wrong_before_a_start_ends_nothing(kit):
    gone = polled(kit, lambda name: name.startswith("m-"))
    drive = kit.drive(kit.site(racks=1)).run(600.0, polled(kit, lambda _: False)).run(600.0, gone)
    saved = [RestoredAlarm.load(alarm.dump()) for alarm in drive.watch.snapshot()]
    before = {alarm.key for alarm in saved}
    for jump_s in (-86_400, 86_400):
        now = kit.at(drive.now_s)
        watch = type(drive.watch)(
            drive.site, {}, now=Moment(now.wall_ns + jump_s * 1_000_000_000, now.mono_ns), restored=saved
        )
        watch.recall(drive.watch.memory(), now)
        assert {alarm.key for alarm in watch.snapshot()} == before


def test_a_start_with_a_rule_switched_off_withdraws_its_alarm(kit):
    """The first look of a start ends what the configuration no longer judges, in the word for it."""
    off = {"source_stale": RuleSettings(enabled=False), "row_stopped": RuleSettings(enabled=False)}
    stopped = polled(kit, lambda name: name.startswith("m-"))
    drive = kit.drive(kit.site(racks=1)).run(600.0, polled(kit, lambda _: False)).run(600.0, stopped)
    after = again(kit, drive, rules=off).run(60.0, stopped)
    assert after.notices == [("resolve", "source_stale", "sw-c1")]
    assert after.ends() == ["withdrawn"]


def test_a_unit_that_reported_its_fault_before_a_start_and_is_silent_since_is_not_repaired(kit):
    unit = Device(id="crah-1", site="s", kind="cooling", driver="modbus", address="c", node="crah", interval_s=10.0)
    site = kit.site(racks=1, miners=0)
    site = dataclasses.replace(site, devices={**site.devices, unit.id: unit})
    good = kit.steady()

    def poll(answer):
        return lambda device, at_s: answer if device.id == unit.id else good(device, at_s)

    faulty, well = (Reading(UNIT_STATE, 3.0),), (Reading(UNIT_STATE, 1.0),)
    drive = kit.drive(site).run(120.0, poll(well)).run(120.0, poll(faulty))
    assert ("trigger", "cooling_unit_fault", "crah-1") in drive.notices
    after = again(kit, drive).run(900.0, poll(Outage.TIMEOUT))
    assert [move for _, move in after.moves if move.rule == "cooling_unit_fault"] == []
    after.run(600.0, poll(well))
    assert ("resolve", "cooling_unit_fault", "crah-1") in after.notices

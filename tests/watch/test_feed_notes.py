"""A feed that dies around a restart of keeld is told as dead all the same."""

from __future__ import annotations

import json

import pytest

from keeld.errors import Outage
from keeld.watch import RestoredAlarm

pytestmark = pytest.mark.usefixtures("first_rules")


def both(kit, dead):
    def poll(device, at_s):
        if device.id == "pdu-r01-b":
            return Outage.TIMEOUT if dead else kit.pdu(10_000.0)
        if device.id == "pdu-r01-a":
            return kit.pdu(20_000.0 if dead else 10_000.0)
        return kit.steady()(device, at_s)

    return poll


def started_again(kit, before, *, gap_s, memory=None):
    saved = tuple(RestoredAlarm.load(alarm.dump()) for alarm in before.watch.snapshot())
    drive = kit.drive(before.site, restored=saved, start_s=before.now_s + gap_s)
    drive.watch.recall(before.watch.memory() if memory is None else memory, kit.at(drive.now_s))
    return drive


@pytest.mark.parametrize("seen_dead_s", [0, 5, 15])
def test_a_feed_that_died_just_before_the_kill_is_one_page(kit, seen_dead_s):
    before = (
        kit.drive(kit.site(racks=1, miners=0)).run(600, both(kit, dead=False)).run(seen_dead_s, both(kit, dead=True))
    )
    assert before.notices == []
    again = started_again(kit, before, gap_s=5).run(300, both(kit, dead=True))
    assert again.notices == [("trigger", "feed_dead", "r01/b")]


def test_what_was_carried_long_ago_proves_nothing(kit):
    before = kit.drive(kit.site(racks=1, miners=0)).run(600, both(kit, dead=False))
    again = started_again(kit, before, gap_s=3600).run(300, both(kit, dead=True))
    assert [page.rule for page in again.pages if page.rule == "feed_dead"] == []


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"{",
        b"[]",
        b'{"wall_ns": "x"}',
        b'{"wall_ns": 1, "carried": {"r01/b": [1]}}',
        b'{"wall_ns": 1, "carried": 3}',
    ],
)
def test_a_note_that_cannot_be_read_is_left_out(kit, note):
    before = kit.drive(kit.site(racks=1, miners=0)).run(60, both(kit, dead=False))
    again = started_again(kit, before, gap_s=5, memory={"feeds/carried": note}).run(60, both(kit, dead=False))
    assert again.notices == []


def test_a_feed_without_a_live_meter_beside_it_leaves_no_note(kit):
    drive = kit.drive(kit.site(racks=1, miners=0)).run(
        600, lambda device, at_s: Outage.TIMEOUT if device.id == "pdu-r01-a" else both(kit, dead=False)(device, at_s)
    )
    assert json.loads(drive.watch.memory()["feeds/carried"])["carried"] == {}

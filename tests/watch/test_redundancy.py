"""Rules 4, 5 and 6: what a failure would do, told before it comes."""

from __future__ import annotations

import dataclasses

import pytest

from keeld.model import PowerNode, Severity
from keeld.watch import Watch


def told(drive, rule):
    return [
        (move.notice.value, move.target_id, move.severity)
        for _, move in drive.moves
        if move.notice and move.rule == rule
    ]


def test_a_rack_that_would_not_survive_is_told_of_once_and_its_end(kit):
    site = kit.site(racks=2, miners=0)
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

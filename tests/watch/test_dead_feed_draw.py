"""What a feed that is proved dead still counts for: nothing for certain, and no less than before at most."""

from __future__ import annotations

from keeld.errors import Outage


def test_the_last_word_of_a_dead_feeds_pdu_is_no_load(kit):
    def poll(device, at_s):
        if device.id == "pdu-r01-b":
            return kit.pdu(10_000.0) if at_s < 600 else Outage.TIMEOUT
        if device.id == "pdu-r01-a":
            return kit.pdu(10_000.0 if at_s < 600 else 20_000.0)
        return kit.steady()(device, at_s)

    drive = kit.drive(kit.site(racks=1, miners=0)).run(645, poll)
    assert ("trigger", "feed_dead", "r01/b") in drive.notices
    rack = drive.watch.view(kit.at(drive.now_s)).racks[0]
    assert rack.feeds["b"].lo == 0.0
    assert rack.feeds["b"].best == 0.0
    assert rack.draw.lo <= 20_000.0 <= rack.draw.hi
    assert rack.draw.lost == ("pdu-r01-b",)


def test_a_feed_that_is_back_counts_again(kit):
    def poll(device, at_s):
        is_dead = 600 <= at_s < 900
        if device.id == "pdu-r01-b":
            return Outage.TIMEOUT if is_dead else kit.pdu(10_000.0)
        if device.id == "pdu-r01-a":
            return kit.pdu(20_000.0 if is_dead else 10_000.0)
        return kit.steady()(device, at_s)

    drive = kit.drive(kit.site(racks=1, miners=0)).run(960, poll)
    rack = drive.watch.view(kit.at(drive.now_s)).racks[0]
    assert rack.feeds["b"].lo == 10_000.0
    assert rack.draw.lo == rack.draw.hi == 20_000.0

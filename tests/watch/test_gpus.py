"""GPUs that go missing, report errors or are held back (rules 43, 44), and what is said about why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeld.drivers.nvidia import GRAVE_XIDS
from keeld.errors import Outage
from keeld.metrics import ACCELERATORS_FOUND, POWER, RECOVERY_ACTION, THROTTLE_BRAKE, THROTTLE_THERMAL, UP, XID
from keeld.model import Device, Notice, Reading, Site
from keeld.watch import xids

NODE = "gpu-r01"


class Gpus:
    """A node of eight GPUs that does as a test says, beside quiet PDUs."""

    def __init__(self, kit, **node) -> None:
        site = kit.site(racks=2, miners=0)
        devices = {
            name: replace(device, kind="accelerator", driver="nvidia", address="exec:x", **node)
            if name == NODE
            else device
            for name, device in site.devices.items()
        }
        self.site: Site = replace(site, devices=devices)
        self.up = [True] * 8
        self.listed: float | None = None
        self.tells_states = True
        self.brake_s = [0.0] * 8
        self.heat_s = [0.0] * 8
        self.braking: set[int] = set()
        self.heating: set[int] = set()
        self.xid: dict[int, float] = {}
        self.asked = 0.0
        self.outage: Outage | None = None
        self.pdu_watts = 5_000.0
        self._kit = kit

    def poll(self, device: Device, at_s: float):
        if device.kind == "pdu":
            return self._kit.pdu(self.pdu_watts)
        if device.id != NODE:
            return None
        if self.outage is not None:
            return self.outage
        readings = [Reading(ACCELERATORS_FOUND, float(sum(self.up)) if self.listed is None else self.listed)]
        for rank in range(8 if self.tells_states else 0):
            part = f"gpu/{rank}"
            readings.append(Reading(UP, float(self.up[rank]), part))
            self.brake_s[rank] += 9.0 if rank in self.braking else 0.0
            self.heat_s[rank] += 5.0 if rank in self.heating else 0.2
            if self.up[rank]:
                readings += [
                    Reading(POWER, 400.0, part),
                    Reading(THROTTLE_BRAKE, self.brake_s[rank], part),
                    Reading(THROTTLE_THERMAL, self.heat_s[rank], part),
                    Reading(RECOVERY_ACTION, self.asked, part),
                ]
            if rank in self.xid:
                readings.append(Reading(XID, self.xid.pop(rank), part))
        return tuple(readings)


@pytest.fixture
def gpus(kit):
    return Gpus(kit)


def told(drive, rule: str) -> list[str]:
    return [notice for notice, name, _ in drive.notices if name == rule]


def test_a_quiet_node_says_nothing(kit, gpus):
    assert kit.drive(gpus.site).run(900, gpus.poll).moves == []


def test_a_lost_gpu_is_one_page_and_ends_when_it_is_back(kit, gpus):
    drive = kit.drive(gpus.site).run(60, gpus.poll)
    gpus.up[3] = False
    drive.run(60, gpus.poll)
    (page,) = drive.pages
    assert (page.rule, page.severity.value) == ("gpu_missing", "critical")
    assert "7 of 8 GPUs are usable; away: gpu/3." in page.text
    gpus.up[3] = True
    drive.run(120, gpus.poll)
    assert (drive.ends(), len(drive.pages)) == (["resolved"], 1)


@pytest.mark.parametrize("tells_states", [True, False])
def test_a_gpu_that_the_driver_no_longer_lists_is_missed_whatever_the_others_say(kit, gpus, tells_states):
    gpus.tells_states, gpus.listed = tells_states, 8.0
    drive = kit.drive(gpus.site).run(60, gpus.poll)
    gpus.listed = 7.0
    drive.run(60, gpus.poll)
    (page,) = drive.pages
    assert "7 of 8 GPUs are usable; away: not listed by the driver." in page.text
    gpus.listed = 8.0
    drive.run(120, gpus.poll)
    assert (drive.ends(), len(drive.pages)) == (["resolved"], 1)


@pytest.mark.parametrize("listed", [-1.0, 65.0, 1e300])
def test_a_count_that_cannot_be_is_no_count(kit, gpus, listed):
    drive = kit.drive(gpus.site).run(60, gpus.poll)
    gpus.listed = listed
    assert drive.run(120, gpus.poll).pages == []


def test_a_gpu_that_was_never_seen_is_missed_where_the_number_is_configured(kit):
    gpus = Gpus(kit, gpus=9)
    drive = kit.drive(gpus.site).run(60, gpus.poll)
    (page,) = drive.pages
    assert "8 of 9 GPUs are usable; away: not listed by the driver." in page.text


def test_the_number_of_gpus_is_remembered_over_a_restart(kit, gpus):
    drive = kit.drive(gpus.site).run(60, gpus.poll)
    notes = drive.watch.memory()
    gpus.up[5] = False
    later = kit.drive(gpus.site, start_s=120)
    later.watch.recall(notes, kit.at(120))
    later.run(60, gpus.poll)
    assert [page.rule for page in later.pages] == ["gpu_missing"]


def test_notes_that_cannot_be_read_are_left_out(kit, gpus):
    for note in (b"", b"[1]", b'{"gpu-r01": 3}', b'{"gpu-r01": ["x", 1]}', b"\xff", b'{"else": [8, ""]}'):
        drive = kit.drive(gpus.site)
        drive.watch.recall({"gpus/learnt": note}, kit.at(0))
        assert drive.run(60, gpus.poll).pages == []


def test_an_error_is_told_at_once_with_what_to_do(kit, gpus):
    drive = kit.drive(gpus.site).run(60, gpus.poll)
    gpus.xid = {2: 79.0}
    gpus.asked = 2.0
    drive.run(11, gpus.poll)
    (page,) = drive.pages
    assert (page.rule, page.severity.value, page.target_id) == ("xid", "critical", f"{NODE}/xid-79")
    assert "XID 79 on gpu/2: it has fallen off the bus." in page.text
    assert "The driver asks for: reboot." in page.text
    assert "check its power cable" in page.text


def test_the_same_number_again_is_no_new_page_and_another_number_is(kit, gpus):
    drive = kit.drive(gpus.site).run(60, gpus.poll)
    for number in (63.0, 63.0, 94.0, 63.0):
        gpus.xid = {1: number}
        drive.run(300, gpus.poll)
    assert [page.target_id for page in drive.pages] == [f"{NODE}/xid-63", f"{NODE}/xid-94"]
    drive.run(3_800, gpus.poll)
    assert drive.ends() == ["resolved", "resolved"]


@pytest.mark.parametrize("number", sorted(xids.OF_PROGRAMS))
def test_errors_of_programs_page_nobody(kit, gpus, number):
    drive = kit.drive(gpus.site).run(30, gpus.poll)
    gpus.xid = {0: float(number)}
    assert drive.run(60, gpus.poll).moves == []


def test_a_number_without_a_tier_is_information(kit, gpus):
    drive = kit.drive(gpus.site).run(30, gpus.poll)
    gpus.xid = {0: 109.0}
    (page,) = drive.run(60, gpus.poll).pages
    assert page.severity.value == "info"
    assert "XID 109" in page.text


def test_a_gpu_off_the_bus_is_one_page_however_long_it_is_away(kit, gpus):
    drive = kit.drive(gpus.site).run(60, gpus.poll)
    gpus.xid = {3: 79.0}
    gpus.up[3] = False
    drive.run(7_200, gpus.poll)
    assert [page.rule for page in drive.pages] == ["xid"]
    assert drive.ends() == []


def test_an_error_alarm_of_before_a_restart_still_ends(kit, gpus):
    drive = kit.drive(gpus.site).run(60, gpus.poll)
    gpus.xid = {1: 63.0}
    drive.run(60, gpus.poll)
    later = kit.drive(gpus.site, restored=drive.watch.snapshot(), start_s=200).run(3_900, gpus.poll)
    assert later.notices == [("resolve", "xid", f"{NODE}/xid-63")]


def test_the_tiers_are_those_of_the_driver():
    assert set(xids.GRAVE) == GRAVE_XIDS
    assert not set(xids.NAMED) & xids.OF_PROGRAMS


@pytest.mark.parametrize(("ranks", "severity"), [({4}, "warning"), ({4, 5}, "critical")])
def test_a_power_brake_is_told_after_five_minutes(kit, gpus, ranks, severity):
    drive = kit.drive(gpus.site).run(120, gpus.poll)
    gpus.braking = ranks
    drive.run(290, gpus.poll)
    assert drive.pages == []
    drive.run(60, gpus.poll)
    (page,) = drive.pages
    assert (page.rule, page.severity.value) == ("gpu_braked", severity)
    assert "The external power brake acts on gpu/4" in page.text
    gpus.braking = set()
    drive.run(500, gpus.poll)
    assert drive.ends() == ["resolved"]


def test_heat_counts_from_a_tenth_of_the_time_on(kit, gpus):
    drive = kit.drive(gpus.site).run(600, gpus.poll)  # 2 % of the time: how a busy GPU keeps its temperature
    assert drive.pages == []
    gpus.heating = {0}
    (page,) = drive.run(400, gpus.poll).pages
    assert "Heat slows gpu/0." in page.text


def test_a_node_that_falls_silent_neither_begins_nor_ends_a_brake(kit, gpus):
    drive = kit.drive(gpus.site).run(120, gpus.poll)
    gpus.braking = {1}
    drive.run(400, gpus.poll)
    gpus.outage = Outage.TIMEOUT
    drive.run(1_200, gpus.poll)
    assert told(drive, "gpu_braked") == ["trigger"]


def test_a_counter_that_starts_again_is_no_brake(kit, gpus):
    gpus.brake_s = [500.0] * 8
    drive = kit.drive(gpus.site).run(120, gpus.poll)
    gpus.brake_s = [0.0] * 8
    assert drive.run(900, gpus.poll).pages == []


def test_a_brake_that_outlives_its_feed_is_told_with_that_feed_as_its_cause(kit, gpus):
    dead = False

    def poll(device: Device, at_s: float):
        if dead and device.id == "pdu-r01-a":
            return Outage.TIMEOUT
        if device.id == "pdu-r01-b" and dead:
            return kit.pdu(10_000.0)
        return gpus.poll(device, at_s)

    drive = kit.drive(gpus.site).run(300, poll)
    dead, gpus.braking = True, {0, 1, 2, 3, 4, 5, 6, 7}
    drive.run(900, poll)
    assert [page.rule for page in drive.pages] == ["feed_dead"]
    dead = False
    drive.run(600, poll)
    (braked,) = [page for page in drive.pages if page.rule == "gpu_braked"]
    assert "Likely cause: R01 (hall 1) feed A is dead" in braked.text
    gpus.braking = set()
    drive.run(700, poll)
    assert told(drive, "gpu_braked") == ["trigger", "resolve"]


def test_a_reload_keeps_how_many_there_were(kit, gpus):
    drive = kit.drive(gpus.site).run(60, gpus.poll)
    gpus.up[0] = False
    drive.run(60, gpus.poll)
    moves = drive.watch.reload(gpus.site, {}, kit.at(drive.now_s))
    assert [move for move in moves if move.notice is Notice.RESOLVE] == []
    drive.run(60, gpus.poll)
    assert len(drive.pages) == 1

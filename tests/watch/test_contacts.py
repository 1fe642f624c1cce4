"""Contacts (rule 52), load where none belongs (49) and devices that are not who they were (50)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeld.errors import Outage
from keeld.metrics import DOOR_STATE, EPO_STATE, SMOKE_STATE, TEMPERATURE
from keeld.model import Batch, Device, Group, Reading, Site

SENSOR = Device(id="panel", site="s", kind="sensor", driver="modbus", address="tcp://10.7.0.1:502", label="Fire panel")


class Hall:
    """A quiet site with a panel of contacts that a test closes and opens."""

    def __init__(self, kit) -> None:
        site = kit.site(racks=2, miners=0)
        self.site: Site = replace(site, devices={**site.devices, "panel": SENSOR})
        self.contacts: tuple[Reading, ...] = ()
        self.outage: Outage | None = None
        self.watts: dict[str, float] = {}
        self._kit = kit

    def poll(self, device: Device, at_s: float):
        if device.id == "panel":
            return self.outage or (Reading(TEMPERATURE, 22.0, "intake"), *self.contacts)
        if device.kind == "pdu":
            return self._kit.pdu(self.watts.get(device.rack or "", 4_000.0))
        return None


@pytest.fixture
def hall(kit):
    return Hall(kit)


def quiet() -> tuple[Reading, ...]:
    return (
        Reading(SMOKE_STATE, 0.0, "sensor/1"),
        Reading(SMOKE_STATE, 0.0, "sensor/2"),
        Reading(EPO_STATE, 0.0),
        Reading(DOOR_STATE, 0.0, "door/1"),
    )


def with_state(metric, part: str, value: float) -> tuple[Reading, ...]:
    return tuple(
        Reading(metric, value, part) if (reading.metric, reading.part) == (metric, part) else reading
        for reading in quiet()
    )


def about(drive, rule: str) -> list[tuple[str, str]]:
    return [(move.notice.value, move.severity.value) for _, move in drive.moves if move.notice and move.rule == rule]


@pytest.mark.parametrize(
    ("metric", "part", "rule", "words"),
    [
        (SMOKE_STATE, "sensor/2", "smoke", "Smoke: sensor/2."),
        (EPO_STATE, "", "epo", "Pressed: its contact."),
    ],
)
def test_smoke_and_emergency_power_off_page_at_once(kit, hall, metric, part, rule, words):
    hall.contacts = quiet()
    drive = kit.drive(hall.site).run(60, hall.poll)
    assert drive.moves == []
    hall.contacts = with_state(metric, part, 1.0)
    drive.run(21, hall.poll)
    assert about(drive, rule) == [("trigger", "critical")]
    assert words in drive.pages[0].text
    hall.contacts = quiet()
    drive.run(120, hall.poll)
    assert about(drive, rule) == [("trigger", "critical"), ("resolve", "critical")]


def test_a_detectors_own_fault_is_a_warning(kit, hall):
    hall.contacts = with_state(SMOKE_STATE, "sensor/1", 2.0)
    drive = kit.drive(hall.site).run(180, hall.poll)
    assert about(drive, "smoke") == [("trigger", "warning")]
    hall.contacts = with_state(SMOKE_STATE, "sensor/1", 1.0)
    drive.run(30, hall.poll)
    assert about(drive, "smoke") == [("trigger", "warning"), ("escalate", "critical")]


def test_a_panel_that_falls_silent_is_no_all_clear(kit, hall):
    hall.contacts = with_state(EPO_STATE, "", 1.0)
    drive = kit.drive(hall.site).run(60, hall.poll)
    hall.outage = Outage.TIMEOUT
    drive.run(1_800, hall.poll)
    assert about(drive, "epo") == [("trigger", "critical")]


def test_a_door_that_is_passed_through_is_nothing_and_one_that_stays_open_is_told(kit, hall):
    hall.contacts = with_state(DOOR_STATE, "door/1", 1.0)
    drive = kit.drive(hall.site).run(90, hall.poll)
    hall.contacts = quiet()
    drive.run(60, hall.poll)
    assert about(drive, "door") == []
    hall.contacts = with_state(DOOR_STATE, "door/1", 1.0)
    drive.run(1_000, hall.poll)
    assert about(drive, "door") == [("trigger", "info"), ("escalate", "warning")]


def in_state(site: Site, state: str) -> Site:
    racks = {name: replace(rack, state=state) if name == "r01" else rack for name, rack in site.racks.items()}
    return replace(site, racks=racks)


@pytest.mark.parametrize(("state", "severity"), [("empty", "warning"), ("commissioning", "info")])
def test_load_where_none_belongs(kit, hall, state, severity):
    hall.watts = {"r01": 20.0}
    drive = kit.drive(in_state(hall.site, state)).run(600, hall.poll)
    assert about(drive, "unexpected_load") == []
    hall.watts = {"r01": 2_000.0}
    drive.run(600, hall.poll)
    assert about(drive, "unexpected_load") == [("trigger", severity)]
    (page,) = [page for page in drive.pages if page.rule == "unexpected_load"]
    assert f"The rack's state is {state}." in page.text
    hall.watts = {"r01": 20.0}
    drive.run(900, hall.poll)
    assert about(drive, "unexpected_load")[-1] == ("resolve", severity)


def test_a_rack_that_works_may_draw(kit, hall):
    assert about(kit.drive(hall.site).run(900, hall.poll), "unexpected_load") == []


def introduce(kit, drive, device: Device, **said: str) -> None:
    """Let a device say who it is, as its rarest poll does."""
    at = kit.at(drive.now_s)
    batch = Batch(device, at.wall_ns, at.mono_ns, group=Group.ONCE, interval_s=3600.0, info=tuple(said.items()))
    drive._note(drive.watch.feed(batch, at))


def test_a_device_that_was_replaced_is_told_for_a_day(kit, hall):
    pdu = hall.site.devices["pdu-r01-a"]
    drive = kit.drive(hall.site).run(30, hall.poll)
    introduce(kit, drive, pdu, serial="A1", mac="aa:bb", model="PX")
    introduce(kit, drive, pdu, serial="a1")
    drive.run(60, hall.poll)
    assert about(drive, "identity_changed") == []
    introduce(kit, drive, pdu, serial="B2", mac="cc:dd")
    drive.run(60, hall.poll)
    assert about(drive, "identity_changed") == [("trigger", "info")]
    (page,) = [page for page in drive.pages if page.rule == "identity_changed"]
    assert "It said serial A1 and mac aa:bb before and says serial B2 and mac cc:dd now." in page.text
    later = kit.drive(hall.site, restored=drive.watch.snapshot(), start_s=86_400.0)
    later.watch.recall(drive.watch.memory(), kit.at(86_400))
    later.run(300, hall.poll)
    assert about(later, "identity_changed") == [("resolve", "info")]


def test_who_a_device_was_is_remembered_over_a_restart(kit, hall):
    pdu = hall.site.devices["pdu-r01-a"]
    drive = kit.drive(hall.site).run(30, hall.poll)
    introduce(kit, drive, pdu, serial="A1")
    later = kit.drive(hall.site, start_s=60)
    later.watch.recall(drive.watch.memory(), kit.at(60))
    introduce(kit, later, pdu, serial="Z9")
    later.run(60, hall.poll)
    assert about(later, "identity_changed") == [("trigger", "info")]


@pytest.mark.parametrize("note", [b"", b"3", b'{"known": 4}', b'{"changed": {"pdu-r01-a": 1}}', b"\xff"])
def test_notes_that_cannot_be_read_are_left_out(kit, hall, note):
    drive = kit.drive(hall.site)
    drive.watch.recall({"identities/known": note}, kit.at(0))
    assert about(drive.run(60, hall.poll), "identity_changed") == []


def test_another_device_than_the_configured_one_is_a_warning_until_it_is_right(kit, hall):
    drive = kit.drive(hall.site).run(60, hall.poll)
    hall.outage = Outage.IDENTITY
    drive.run(120, hall.poll)
    assert about(drive, "identity_changed") == [("trigger", "warning")]
    hall.outage = None
    drive.run(180, hall.poll)
    assert about(drive, "identity_changed")[-1][0] == "resolve"


def test_a_pdu_that_is_another_one_is_read_on_and_told(kit, hall):
    pdu = hall.site.devices["pdu-r01-a"]
    drive = kit.drive(hall.site).run(60, hall.poll)
    introduce(kit, drive, pdu, mismatch="the device's serial is not the one in the configuration")
    drive.run(120, hall.poll)
    assert about(drive, "identity_changed") == [("trigger", "warning")]
    draw = next(view for view in drive.watch.view(kit.at(drive.now_s)).racks if view.rack.id == "r01").draw
    assert draw.coverage == 1.0
    introduce(kit, drive, pdu, serial="A1")
    drive.run(180, hall.poll)
    assert about(drive, "identity_changed")[-1][0] == "resolve"

"""Rows of miners: stopped with a verdict (40), slow (41), without a pool (42); and what happens every day."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeld.contract import CurtailOrder
from keeld.errors import Outage
from keeld.metrics import (
    BOARDS_FOUND,
    FAN_SPEED,
    HASHRATE,
    MINER_STATE,
    POWER,
    SHARES_ACCEPTED,
    TEMPERATURE,
    UPTIME,
)
from keeld.model import Device, Notice, Rack, RackBudget, Reading, Site
from keeld.trees import PowerNode

WATTS, IDLE_WATTS, RATE = 3_300.0, 130.0, 200e12


class Mine:
    """Rows of metered miners on a switch each, with a room sensor elsewhere on the network that always answers."""

    def __init__(self, *, rows: int = 1, miners: int = 20, metered: bool = True, via: bool = True) -> None:
        power = {"utility": PowerNode(id="utility", limit_watts=50e6)}
        racks, devices = {}, {}
        for number in range(rows):
            row, node = f"c{number}", f"row-{number}"
            power[node] = PowerNode(id=node, parent="utility", breaker_amperes=800.0, voltage_volts=415.0, phases=3)
            racks[f"m{number}"] = Rack(
                id=f"m{number}", row=row, state="mining", feeds={"a": node}, budget=RackBudget(power_watts=4e6)
            )
            if metered:
                devices[f"pdu-{number}"] = Device(
                    id=f"pdu-{number}", site="s", kind="pdu", driver="modbus", address=f"tcp://10.9.{number}.1:502",
                    rack=f"m{number}", feed="a", row=row,
                )  # fmt: skip
            for place in range(miners):
                name = f"m-{number}-{place:02}"
                devices[name] = Device(
                    id=name, site="s", kind="miner", driver="whatsminer", address=f"10.1.{number}.{place}",
                    rack=f"m{number}", feed="a", nameplate_watts=3500.0, via=f"sw-{number}" if via else None, row=row,
                )  # fmt: skip
        devices["room"] = Device(id="room", site="s", kind="sensor", driver="modbus", address="tcp://10.8.0.1:502")
        self.site = Site(name="s", power=power, racks=racks, devices=devices)
        self.dark: set[str] = set()
        """Machines without power."""
        self.unseen: set[str] = set()
        """Machines that cannot be reached."""
        self.idle: set[str] = set()
        self.asleep: set[str] = set()
        self.mute_meters: set[str] = set()
        self.factor: dict[str, float] = {}
        self.extra: dict[str, tuple[Reading, ...]] = {}
        self.shares: dict[str, float] = {}
        self.no_shares: set[str] = set()

    def of(self, row: int) -> list[str]:
        return [name for name in self.site.devices if name.startswith(f"m-{row}-")]

    def load(self, row: int) -> float:
        dead = self.dark | self.asleep
        return sum(
            0.0 if name in self.dark else IDLE_WATTS if name in self.idle | dead else WATTS for name in self.of(row)
        )

    def poll(self, device: Device, at_s: float):
        if device.kind == "sensor":
            return (Reading(TEMPERATURE, 30.0, "intake"),)
        if device.kind == "pdu":
            row = int(device.id.removeprefix("pdu-"))
            watts = self.load(row)
            return Outage.TIMEOUT if device.id in self.mute_meters else (Reading(POWER, watts),)
        if device.id in self.dark | self.unseen:
            return Outage.TIMEOUT
        rests = device.id in self.idle | self.asleep
        rate = 0.0 if rests else RATE * self.factor.get(device.id, 1.0)
        if not rests and device.id not in self.no_shares:
            self.shares[device.id] = self.shares.get(device.id, 0.0) + 2.0
        return (
            Reading(POWER, IDLE_WATTS if rests else WATTS),
            Reading(HASHRATE, rate),
            Reading(UPTIME, at_s),
            Reading(MINER_STATE, 4.0 if device.id in self.asleep else 1.0),
            Reading(BOARDS_FOUND, 3.0),
            Reading(SHARES_ACCEPTED, self.shares.get(device.id, 0.0)),
            *self.extra.get(device.id, ()),
        )


@pytest.fixture
def mine() -> type[Mine]:
    return Mine


def rules_of(drive) -> list[str]:
    return [page.rule for page in drive.pages]


def test_a_row_that_works_says_nothing(kit, mine):
    it = mine()
    assert kit.drive(it.site).run(1_800, it.poll).pages == []


@pytest.mark.parametrize("metered", [True, False])
def test_a_machine_of_fifty_is_nothing(kit, mine, metered):
    it = mine(miners=50, metered=metered)
    drive = kit.drive(it.site).run(900, it.poll)
    it.dark = {it.of(0)[7]}
    assert drive.run(3_600, it.poll).pages == []


def test_a_row_without_power_is_one_page_that_says_so(kit, mine):
    it = mine()
    drive = kit.drive(it.site).run(900, it.poll)
    it.dark = set(it.of(0))
    drive.run(1_200, it.poll)
    (page,) = drive.pages
    assert (page.rule, page.severity.value, page.target_id) == ("row_stopped", "critical", "c0")
    assert page.title.startswith("row c0 has stopped: power lost")
    assert "Lost: 66 kW and 4 PH/s." in page.text
    it.dark = set()
    drive.run(600, it.poll)
    assert (drive.ends(), len(drive.pages)) == (["resolved"], 1)
    assert drive.watch.snapshot() == ()


def test_a_row_whose_meters_die_with_it_has_lost_its_power(kit, mine):
    it = mine()
    drive = kit.drive(it.site).run(900, it.poll)
    it.dark, it.mute_meters = set(it.of(0)), {"pdu-0"}
    drive.run(3_600, it.poll)
    (page,) = drive.pages
    assert page.title.startswith("row c0 has stopped: power lost")


def test_a_breaker_above_two_rows_is_one_page_about_the_rows(kit, mine):
    it = mine(rows=2)
    drive = kit.drive(it.site).run(900, it.poll)
    it.dark, it.mute_meters = {*it.of(0), *it.of(1)}, {"pdu-0", "pdu-1"}
    drive.run(1_800, it.poll)
    (page,) = drive.pages
    assert page.title.startswith("row c0 and row c1 have stopped: power lost")
    assert "Stopped together: row c0, row c1." in page.text


def test_a_row_out_of_sight_behind_no_known_switch_is_the_network(kit, mine):
    it = mine(via=False)
    drive = kit.drive(it.site).run(900, it.poll)
    it.unseen = set(it.of(0))
    drive.run(3_600, it.poll)
    (page,) = drive.pages
    assert page.title.startswith("row c0 is out of sight: network lost")
    assert "Out of sight:" in page.text
    it.unseen = set()
    drive.run(600, it.poll)
    assert drive.ends() == ["resolved"]


def test_a_row_lost_behind_its_switch_is_the_switchs_page(kit, mine):
    it = mine(miners=60)
    drive = kit.drive(it.site).run(900, it.poll)
    it.unseen = set(it.of(0))
    drive.run(3_600, it.poll)
    assert {(page.rule, page.target_kind) for page in drive.pages} == {("source_stale", "path")}
    it.unseen = set()
    drive.run(900, it.poll)
    assert set(drive.ends()) == {"resolved"}


def test_a_switch_that_lost_power_with_its_row_is_the_rows_page(kit, mine):
    it = mine()
    drive = kit.drive(it.site).run(900, it.poll)
    it.dark = set(it.of(0))
    drive.run(600, it.poll)
    assert rules_of(drive) == ["row_stopped"]


def test_a_row_that_idles_has_lost_its_pool(kit, mine):
    it = mine()
    drive = kit.drive(it.site).run(900, it.poll)
    it.idle = set(it.of(0))
    drive.run(3_600, it.poll)
    (page,) = drive.pages
    assert page.title.startswith("row c0 has stopped: pool, DNS or firmware")
    assert "20 answer and do not hash." in page.text
    it.idle = set()
    drive.run(900, it.poll)
    assert drive.ends() == ["resolved"]


def test_a_row_that_neither_answers_nor_draws_is_told_without_a_guess_where_nothing_measures_it(kit, mine):
    it = mine(metered=False, via=False)
    drive = kit.drive(it.site).run(900, it.poll)
    it.dark = set(it.of(0))
    drive.run(600, it.poll)
    (page,) = drive.pages
    assert page.title.startswith("row c0 has stopped: power or network")
    assert "Nothing measures this row." in page.text


def test_rows_that_stop_together_are_one_page_that_names_them(kit, mine):
    it = mine(rows=3, miners=12)
    drive = kit.drive(it.site).run(900, it.poll)
    it.idle = {name for row in range(3) for name in it.of(row)}
    drive.run(1_800, it.poll)
    (page,) = drive.pages
    assert page.rule == "row_stopped"
    assert page.title.startswith("row c0 and 2 other rows have stopped: pool, DNS or firmware")
    assert "Stopped together: row c0, row c1, row c2." in page.text
    it.idle = set()
    drive.run(900, it.poll)
    assert drive.ends() == ["resolved"]


def test_a_row_that_stops_an_hour_after_another_is_a_page_of_its_own(kit, mine):
    it = mine(rows=2, miners=12)
    drive = kit.drive(it.site).run(900, it.poll)
    it.dark = set(it.of(0))
    drive.run(3_600, it.poll)
    it.dark |= set(it.of(1))
    drive.run(1_200, it.poll)
    assert [page.target_id for page in drive.pages if page.rule == "row_stopped"] == ["c0", "c1"]


def test_a_restart_in_the_middle_pages_nobody_again_and_ends_when_the_row_is_back(kit, mine):
    it = mine()
    drive = kit.drive(it.site).run(900, it.poll)
    it.dark = set(it.of(0))
    drive.run(300, it.poll)
    later = kit.drive(it.site, restored=drive.watch.snapshot(), start_s=1_300)
    later.watch.recall(drive.watch.memory(), kit.at(1_300))
    later.run(600, it.poll)
    assert later.notices == []
    it.dark = set()
    later.run(600, it.poll)
    assert later.notices == [("resolve", "row_stopped", "c0")]


def test_a_row_that_stops_while_keeld_is_away_is_found_at_the_start(kit, mine):
    it = mine()
    notes = kit.drive(it.site).run(900, it.poll).watch.memory()
    it.dark = set(it.of(0))
    later = kit.drive(it.site, start_s=1_300)
    later.watch.recall(notes, kit.at(1_300))
    later.run(600, it.poll)
    assert rules_of(later) == ["row_stopped"]


@pytest.mark.parametrize("note", [b"", b"[]", b'{"c0": 3}', b'{"c0": [1, 2]}', b'{"c0": ["a", 1, 1, 1, 1]}', b"\xff"])
def test_notes_that_cannot_be_read_are_left_out(kit, mine, note):
    it = mine()
    drive = kit.drive(it.site)
    drive.watch.recall({"rows/normal": note}, kit.at(0))
    assert drive.run(300, it.poll).pages == []


def test_machines_that_were_told_to_rest_have_not_stopped(kit, mine):
    it = mine()
    drive = kit.drive(it.site).run(900, it.poll)
    it.asleep = set(it.of(0))
    assert drive.run(3_600, it.poll).pages == []


def test_a_row_that_was_ordered_to_draw_less_has_not_stopped(kit, mine):
    it = mine()
    drive = kit.drive(it.site).run(3_900, it.poll)
    begins_ns = kit.at(3_900).wall_ns
    order = CurtailOrder(
        id="o1", target_kind="rack", target_id="m0", most_watts=5_000.0, source="grid operator",
        begins_ns=begins_ns, met_by_ns=begins_ns + 300 * 10**9, ends_ns=begins_ns + 3_600 * 10**9,
    )  # fmt: skip
    assert drive.watch.curtail(order, kit.at(3_900))
    it.idle = set(it.of(0))
    drive.run(3_600, it.poll)
    it.idle = set()
    drive.run(1_800, it.poll)
    assert drive.pages == []


def test_a_hall_that_starts_again_pages_nobody(kit, mine):
    it = mine(rows=2, miners=20)
    it.idle = {name for row in range(2) for name in it.of(row)}
    drive = kit.drive(it.site)
    for row in range(2):
        for name in it.of(row):
            it.idle.discard(name)
            drive.run(20, it.poll)
    assert drive.run(900, it.poll).pages == []


def test_a_reload_in_the_middle_keeps_the_one_page(kit, mine):
    it = mine()
    drive = kit.drive(it.site).run(900, it.poll)
    it.dark = set(it.of(0))
    drive.run(300, it.poll)
    moves = drive.watch.reload(it.site, {}, kit.at(drive.now_s))
    drive.run(300, it.poll)
    assert [move for move in moves if move.notice is Notice.RESOLVE] == []
    assert rules_of(drive) == ["row_stopped"]


def slow(drive, it, kit) -> None:
    """Let three machines of twenty fall far behind, each for a reason that shows."""
    machines = it.of(0)
    it.factor = dict.fromkeys(machines[:8], 0.5)
    it.extra = {
        machines[0]: (Reading(BOARDS_FOUND, 2.0),),
        machines[1]: (Reading(FAN_SPEED, 0.0, "fan/1"), Reading(TEMPERATURE, 101.0, "chip/0")),
    }


def test_a_slow_row_is_a_warning_with_its_reasons(kit, mine):
    it = mine()
    drive = kit.drive(it.site).run(5_400, it.poll)
    slow(drive, it, kit)
    drive.run(2_400, it.poll)
    (page,) = drive.pages
    assert (page.rule, page.severity.value) == ("hashrate_low", "warning")
    assert "1 with a board missing: m-0-00." in page.text
    assert "1 with a fan that stands: m-0-01." in page.text
    assert "1 with chips over 95 °C: m-0-01." in page.text
    it.factor, it.extra = {}, {}
    drive.run(3_600, it.poll)
    assert drive.ends() == ["resolved"]


def test_a_slow_row_is_unknown_before_an_hour_has_been_seen(kit, mine):
    it = mine()
    drive = kit.drive(it.site).run(900, it.poll)
    slow(drive, it, kit)
    assert drive.run(1_500, it.poll).pages == []


def test_a_site_without_accepted_shares_is_one_page(kit, mine):
    it = mine(rows=2)
    drive = kit.drive(it.site).run(900, it.poll)
    it.no_shares = set(it.of(0)) | set(it.of(1))
    drive.run(290, it.poll)
    assert drive.pages == []
    drive.run(120, it.poll)
    (page,) = drive.pages
    assert (page.rule, page.severity.value, page.target_kind) == ("pool_lost", "critical", "site")
    assert "40 of 40 machines had no share accepted for 5 min" in page.text
    it.no_shares = set()
    drive.run(300, it.poll)
    assert drive.ends() == ["resolved"]


def test_a_quarter_of_the_site_without_shares_is_nothing(kit, mine):
    it = mine(rows=4, miners=10)
    drive = kit.drive(it.site).run(900, it.poll)
    it.no_shares = set(it.of(0))
    assert drive.run(1_200, it.poll).pages == []


def test_machines_that_are_silent_or_asleep_do_not_lose_the_pool(kit, mine):
    it = mine(rows=2)
    drive = kit.drive(it.site).run(900, it.poll)
    it.asleep = set(it.of(0))
    drive.run(1_200, it.poll)
    assert drive.pages == []


def test_a_pool_whose_shares_are_rare_is_given_longer(kit, mine):
    it = mine()
    for name in it.of(0):
        it.shares[name] = 0.0
    it.no_shares = set(it.of(0))
    drive = kit.drive(it.site).run(60, it.poll)
    for _ in range(6):  # one share in four minutes
        for name in it.of(0):
            it.shares[name] += 1.0
        drive.run(240, it.poll)
    assert drive.pages == []
    drive.run(300, it.poll)
    assert drive.pages == []


def test_rows_that_are_being_emptied_are_left_alone(kit, mine):
    it = mine()
    racks = {name: replace(rack, state="emptying") for name, rack in it.site.racks.items()}
    site = replace(it.site, racks=racks)
    drive = kit.drive(site).run(900, it.poll)
    it.dark = set(it.of(0))
    assert "row_stopped" not in rules_of(drive.run(900, it.poll))

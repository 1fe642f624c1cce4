"""The cases that must hold, at default timings, in simulated time."""

from __future__ import annotations

import dataclasses

import pytest

from keeld.errors import Outage
from keeld.metrics import FLOW, POWER, TEMPERATURE, VOLTAGE
from keeld.model import Device, RackBudget, Reading, Severity
from keeld.settings import RuleSettings

pytestmark = pytest.mark.usefixtures("first_rules")


def test_a_site_in_order_says_nothing(kit):
    drive = kit.drive(kit.site()).run(3600, kit.steady())
    assert drive.moves == []


def feed_b_of_r01_dies_at(kit, died_s, back_s=1e9, *, swing=False):
    def poll(device, at_s):
        total = 20_000.0
        if swing and at_s % 2 < 1:
            total *= 0.5
        dead = died_s <= at_s < back_s
        if device.id == "pdu-r01-b":
            return Outage.TIMEOUT if dead else kit.pdu(total / 2)
        if device.id == "pdu-r01-a":
            return kit.pdu(total if dead else total / 2)
        return kit.steady()(device, at_s)

    return poll


def test_a_pdu_silent_because_its_feed_died_is_one_page_that_says_so(kit):
    drive = kit.drive(kit.site()).run(4000, feed_b_of_r01_dies_at(kit, 1000, 2500))
    assert drive.notices == [("trigger", "feed_dead", "r01/b"), ("resolve", "feed_dead", "r01/b")]
    fired_s = next(at_s for at_s, move in drive.moves if move.notice)
    assert 1000 < fired_s < 1060
    page = drive.pages[0]
    assert page.severity is Severity.CRITICAL
    assert page.title == "R01 (hall 1) feed B is dead"
    assert "took over 10.0 kW" in page.text


def test_a_dead_feed_is_found_under_a_training_load_that_swings(kit):
    site = kit.site(pdu_interval_s=1.0)
    drive = kit.drive(site).run(1500, feed_b_of_r01_dies_at(kit, 1000, swing=True))
    assert [page.rule for page in drive.pages] == ["feed_dead"]


@pytest.mark.parametrize("interval_s", [1.0, 20.0, 60.0])
def test_a_dead_feed_is_found_however_often_its_pdus_are_polled(kit, interval_s):
    site = kit.site(racks=2, miners=0, pdu_interval_s=interval_s)
    drive = kit.drive(site).run(4000, feed_b_of_r01_dies_at(kit, 1000, 2500))
    assert drive.notices == [("trigger", "feed_dead", "r01/b"), ("resolve", "feed_dead", "r01/b")]
    fired_s = next(at_s for at_s, move in drive.moves if move.notice)
    assert fired_s - 1000 < 30 + 2.5 * interval_s


def test_a_dead_pdu_controller_is_no_dead_feed(kit):
    def poll(device, at_s):
        if device.id == "pdu-r01-b" and at_s > 1000:
            return Outage.TIMEOUT
        return kit.steady()(device, at_s)

    drive = kit.drive(kit.site()).run(1800, poll)
    assert drive.notices == [("trigger", "source_stale", "pdu-r01-b")]
    drive.run(600, poll)
    assert drive.notices[1:] == [("escalate", "source_stale", "pdu-r01-b")]
    drive.run(300, kit.steady())
    assert drive.notices[2:] == [("resolve", "source_stale", "pdu-r01-b")]


def test_all_pdus_under_one_panel_silent_is_one_page_for_the_panel(kit):
    def poll(device, at_s):
        if device.id.endswith("-b") and at_s > 1000:
            return Outage.UNREACHABLE
        if device.id.endswith("-a") and at_s > 1000:
            return kit.pdu(20_000.0)
        return kit.steady()(device, at_s)

    drive = kit.drive(kit.site()).run(2500, poll)
    assert len(drive.pages) == 1
    assert drive.notices[0][:2] == ("trigger", "feed_dead")
    assert drive.pages[0].target_kind == "power_node"
    drive.run(300, kit.steady())
    assert drive.notices[1:] == [("resolve", "feed_dead", drive.pages[0].target_id)]


def test_a_link_powered_pdu_reports_no_voltage(kit):
    def poll(device, at_s):
        if device.kind == "pdu":
            dead = device.id == "pdu-r01-b" and at_s > 1000
            volts = 0.0 if dead else 240.0
            lines = tuple(Reading(VOLTAGE, volts, f"L{n}") for n in (1, 2, 3))
            return (*kit.pdu(0.0 if dead else 10_000.0), *lines)
        return kit.steady()(device, at_s)

    drive = kit.drive(kit.site()).run(1300, poll)
    assert drive.notices == [("trigger", "feed_dead", "r01/b")]
    assert "less than half of the voltage" in drive.pages[0].text


def test_a_rack_over_its_power_budget_fires_grows_and_resolves(kit):
    def poll(device, at_s):
        if device.kind == "pdu" and device.rack == "r01" and 1000 <= at_s < 3000:
            return kit.pdu(17_500.0)
        return kit.steady()(device, at_s)

    drive = kit.drive(kit.site()).run(6000, poll)
    assert drive.notices == [
        ("trigger", "rack_density_power", "r01"),
        ("escalate", "rack_density_power", "r01"),
        ("resolve", "rack_density_power", "r01"),
    ]
    trigger, escalate = (move for _, move in drive.moves if move.notice and move.notice.value != "resolve")
    assert (trigger.severity, escalate.severity) == (Severity.WARNING, Severity.CRITICAL)
    assert escalate.text.startswith("OVER: R01 (hall 1) over its power budget")
    assert "35 of 33 kW budget" in drive.moves[-2][1].text or "33 kW budget" in escalate.text
    assert drive.ends() == ["resolved"]


def test_a_training_load_is_judged_by_its_mean_and_not_by_its_dips(kit):
    site = kit.site(pdu_interval_s=1.0, budget=RackBudget(power_watts=25_000.0))

    def poll(device, at_s):
        if device.kind == "pdu":
            return kit.pdu(17_500.0 if int(at_s * 2.1) % 2 else 10_000.0)
        return kit.steady()(device, at_s)

    drive = kit.drive(site).run(1200, poll)
    assert {page.target_id for page in drive.pages} == {"r01", "r02", "r03"}
    assert {page.rule for page in drive.pages} == {"rack_density_power"}


def air_rack(rack):
    return dataclasses.replace(rack, budget=RackBudget(power_watts=33_000.0, air_watts=22_000.0))


def test_a_rack_over_its_air_budget_fires_and_resolves(kit):
    def poll(device, at_s):
        if device.kind == "pdu" and device.rack == "r01" and 1000 <= at_s < 3500:
            return kit.pdu(13_000.0)
        return kit.steady(9_000.0)(device, at_s)

    drive = kit.drive(kit.site(rack=air_rack)).run(7000, poll)
    assert drive.notices[0] == ("trigger", "rack_density_air", "r01")
    assert drive.notices[-1] == ("resolve", "rack_density_air", "r01")
    assert {rule for _, rule, _ in drive.notices} == {"rack_density_air"}


def test_heat_that_liquid_takes_is_measured_and_the_rest_is_the_airs(kit):
    site = kit.site(
        racks=1,
        rack=lambda rack: dataclasses.replace(
            rack, budget=RackBudget(air_watts=5_000.0), cooling_liquid="cdu", liquid_ratio=(0.7, 0.9)
        ),
    )
    cooler = Device(id="cold", site="s", kind="cooling", driver="modbus", address="tcp://10.9.9.9:502", rack="r01")
    site = dataclasses.replace(site, devices={**site.devices, "cold": cooler})

    def poll(device, at_s):
        if device.kind == "cooling":
            return (Reading(FLOW, 20.0), Reading(TEMPERATURE, 30.0, "supply"), Reading(TEMPERATURE, 40.0, "return"))
        return kit.steady()(device, at_s)

    drive = kit.drive(site).run(600, poll)
    rack = drive.watch.view(kit.at(600)).racks[0]
    assert rack.liquid is not None
    assert rack.air is not None
    assert rack.liquid.lo < (rack.liquid.best or 0.0) < rack.liquid.hi  # flow and temperatures have their errors
    assert abs((rack.liquid.best or 0) - 13_891.0) < 20
    assert abs((rack.air.best or 0) + (rack.liquid.best or 0) - 20_000.0) < 1e-6


def test_an_assumed_split_keeps_both_ends_and_is_never_critical(kit):
    site = kit.site(
        racks=1,
        rack=lambda rack: dataclasses.replace(
            rack, budget=RackBudget(air_watts=1_000.0), cooling_liquid="cdu", liquid_ratio=(0.7, 0.9)
        ),
    )
    drive = kit.drive(site).run(4000, kit.steady())
    assert [page.severity for page in drive.pages] == [Severity.WARNING]
    assert all(move.severity is Severity.WARNING for _, move in drive.moves)
    air = drive.watch.view(kit.at(4000)).racks[0].air
    assert air is not None
    assert (round(air.lo), round(air.hi)) == (2000, 6000)


def overload(kit, ratio, from_s, to_s, interval_s=10.0):
    watts = 60.0 * 415.0 * 3**0.5

    def poll(device, at_s):
        if device.id == "pdu-r01-a":
            return kit.pdu(watts * (ratio if from_s <= at_s < to_s else 0.5))
        return kit.steady()(device, at_s)

    site = kit.site(pdu_interval_s=interval_s, budget=RackBudget(power_watts=80_000.0), nameplate_watts=None)
    return kit.drive(site), poll


def test_a_swing_between_50_and_102_percent_pages_nobody(kit):
    drive, _ = overload(kit, 1.0, 0, 0, interval_s=1.0)
    watts = 60.0 * 415.0 * 3**0.5

    def poll(device, at_s):
        if device.id == "pdu-r01-a":
            return kit.pdu(watts * (1.02 if int(at_s) % 2 else 0.5))
        return kit.steady()(device, at_s)

    drive.run(3600, poll)
    assert drive.pages == []


def test_a_feed_at_101_percent_for_20_s_is_at_most_one_page_that_clears(kit):
    drive, poll = overload(kit, 1.01, 600, 620, interval_s=2.0)
    drive.run(3600, poll)
    assert len(drive.pages) <= 1
    assert len(drive.ends()) == len(drive.pages)


def test_an_overloaded_breaker_is_critical_within_two_minutes_and_clears_below_its_derated_limit(kit):
    drive, poll = overload(kit, 1.06, 600, 1200, interval_s=2.0)
    drive.run(2400, poll)
    rules = {rule for _, rule, _ in drive.notices}
    assert rules == {"breaker_overload"}, drive.notices
    assert drive.notices[0] == ("trigger", "breaker_overload", "a-r01")
    fired_s = next(at_s for at_s, move in drive.moves if move.notice and move.severity is Severity.CRITICAL)
    assert 660 < fired_s < 720
    assert drive.notices[-1] == ("resolve", "breaker_overload", "a-r01")
    assert "60 A breaker" in drive.pages[0].text


def test_a_grave_overload_needs_no_minute(kit):
    drive, poll = overload(kit, 1.5, 600, 1200, interval_s=1.0)
    drive.run(700, poll)
    fired_s = next(at_s for at_s, move in drive.moves if move.severity is Severity.CRITICAL and move.notice)
    assert fired_s < 660


def test_44_amperes_split_60_to_40_on_two_60_ampere_feeds_is_nothing(kit):
    def poll(device, at_s):
        if device.kind == "pdu":
            share = 0.6 if device.feed == "a" else 0.4
            return kit.pdu(44.0 * 415.0 * 3**0.5 * share)
        return kit.steady()(device, at_s)

    site = kit.site(budget=RackBudget(power_watts=40_000.0), nameplate_watts=None)
    drive = kit.drive(site).run(14_400, poll)
    assert drive.moves == []


def test_a_circuit_over_its_continuous_limit_is_info_and_one_speaks_for_its_panel(kit):
    watts = 52.0 * 415.0 * 3**0.5

    def poll(device, at_s):
        if device.kind == "pdu" and device.feed == "a":
            return kit.pdu(watts)
        return kit.steady(1_000.0)(device, at_s)

    site = kit.site(budget=RackBudget(power_watts=80_000.0), nameplate_watts=None)
    drive = kit.drive(site).run(3000, poll)
    assert [(page.rule, page.severity) for page in drive.pages] == [("continuous_over", Severity.INFO)]
    drive.run(9000, poll)
    told = [(n, r) for n, r, _ in drive.notices]
    assert told == [("trigger", "continuous_over"), ("escalate", "continuous_over")]
    assert "48" in drive.pages[0].title


def test_two_percent_of_miners_down_is_nothing_and_a_lost_switch_is_one_page(kit):
    site = kit.site(miners=100)

    def two_down(device, at_s):
        if device.id in ("m-07", "m-31") and at_s > 600:
            return Outage.TIMEOUT
        return kit.steady()(device, at_s)

    drive = kit.drive(site).run(3600, two_down)
    assert drive.moves == []

    def switch_down(device, at_s):
        return Outage.UNREACHABLE if device.kind == "miner" else kit.steady()(device, at_s)

    drive.run(1800, switch_down)
    assert [(page.rule, page.target_kind, page.target_id) for page in drive.pages] == [
        ("source_stale", "path", "sw-c1")
    ]
    drive.run(600, kit.steady())
    words = [
        ("trigger", "source_stale", "sw-c1"),
        ("escalate", "source_stale", "sw-c1"),
        ("resolve", "source_stale", "sw-c1"),
    ]
    assert drive.notices == words


def test_a_tenth_of_a_row_down_is_one_warning_for_the_row(kit):
    site = kit.site(miners=60)

    def poll(device, at_s):
        if device.kind == "miner" and device.id <= "m-06" and at_s > 600:
            return Outage.TIMEOUT
        return kit.steady()(device, at_s)

    drive = kit.drive(site).run(3600, poll)
    assert drive.notices == [("trigger", "source_stale", "c")]
    assert "6 of 60 miners" in drive.pages[0].text


def test_a_rack_with_both_pdus_lost_is_blind_once(kit):
    def poll(device, at_s):
        if device.rack == "r01" and device.kind == "pdu" and at_s > 1000:
            return Outage.TIMEOUT
        return kit.steady()(device, at_s)

    drive = kit.drive(kit.site()).run(3600, poll)
    assert drive.notices == [("trigger", "blind", "r01")]
    assert drive.pages[0].severity is Severity.CRITICAL
    assert "CAN'T TELL" in drive.pages[0].text
    drive.run(600, kit.steady())
    assert drive.notices[-1] == ("resolve", "blind", "r01")


def test_a_dead_gateway_with_five_units_is_one_alert(kit):
    site = kit.site(racks=1)
    units = {
        f"unit-{n}": Device(
            id=f"unit-{n}", site="s", kind="meter", driver="modbus", address="tcp://10.4.0.9:502", unit=n, node="ups-a"
        )
        for n in range(1, 6)
    }
    site = dataclasses.replace(site, devices={**site.devices, **units})

    def poll(device, at_s):
        if device.id.startswith("unit"):
            return Outage.UNREACHABLE if at_s > 600 else (Reading(POWER, 1000.0),)
        return kit.steady()(device, at_s)

    drive = kit.drive(site).run(3600, poll)
    assert drive.notices == [("trigger", "source_stale", "tcp://10.4.0.9:502")]


def test_a_dead_worker_is_one_alert(kit):
    site = kit.site(racks=1)
    node = Device(
        id="node-1",
        site="s",
        kind="accelerator",
        driver="nvidia",
        address="local",
        rack="r01",
        nameplate_watts=10_200.0,
    )
    site = dataclasses.replace(site, devices={**site.devices, "node-1": node})

    def poll(device, at_s):
        if device.kind == "accelerator":
            return Outage.DRIVER_DOWN if at_s > 600 else tuple(Reading(POWER, 500.0, f"gpu/{n}") for n in range(8))
        return kit.steady()(device, at_s)

    drive = kit.drive(site).run(1500, poll)
    assert drive.notices == [("trigger", "source_stale", "node-1")]
    assert "driver_down" in drive.pages[0].text


def test_rules_are_switched_and_tuned_by_the_configuration(kit):
    def poll(device, at_s):
        return kit.pdu(17_500.0) if device.kind == "pdu" else kit.steady()(device, at_s)

    off = kit.drive(kit.site(), {"rack_density_power": RuleSettings(enabled=False)}).run(3600, poll)
    assert off.pages == []
    quick = RuleSettings(window_s=10.0, on_s=10.0, off_s=20.0, severity=Severity.WARNING)
    drive = kit.drive(kit.site(racks=1), {"rack_density_power": quick}).run(90, poll)
    assert [page.severity for page in drive.pages] == [Severity.WARNING]
    drive.run(90, kit.steady())
    assert drive.ends() == ["resolved"]
    higher = RuleSettings(limit=1.2)
    assert kit.drive(kit.site(), {"rack_density_power": higher}).run(3600, poll).pages == []


def test_keelds_own_network_lost_is_one_page(kit):
    def poll(device, at_s):
        return Outage.UNREACHABLE if at_s > 1000 else kit.steady()(device, at_s)

    drive = kit.drive(kit.site(miners=40)).run(3600, poll)
    assert [(page.rule, page.target_kind, page.target_id) for page in drive.pages] == [
        ("source_stale", "path", "network")
    ]
    assert "keeld's own network port" in drive.pages[0].text
    drive.run(900, kit.steady())
    assert drive.notices[-1] == ("resolve", "source_stale", "network")
    assert len(drive.ends()) == 1


def test_a_dead_gateway_of_all_b_pdus_is_no_dead_panel(kit):
    site = kit.site()
    devices = {
        name: dataclasses.replace(device, address="tcp://10.4.0.9:502", unit=number) if name.endswith("-b") else device
        for number, (name, device) in enumerate(site.devices.items(), start=1)
    }
    site = dataclasses.replace(site, devices=devices)

    def poll(device, at_s):
        return Outage.UNREACHABLE if device.id.endswith("-b") and at_s > 1000 else kit.steady()(device, at_s)

    drive = kit.drive(site).run(3600, poll)
    assert drive.notices == [("trigger", "source_stale", "tcp://10.4.0.9:502")]


def test_machines_carried_out_of_a_rack_that_is_being_emptied_are_not_missed(kit):
    site = kit.site(miners=20)
    racks = {**site.racks, "r21": dataclasses.replace(site.racks["r21"], state="emptying")}
    site = dataclasses.replace(site, racks=racks)

    def poll(device, at_s):
        if device.kind == "miner" and at_s > 600 and device.id < "m-15":
            return Outage.TIMEOUT
        return kit.steady()(device, at_s)

    assert kit.drive(site).run(3600, poll).pages == []

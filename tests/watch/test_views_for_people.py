"""What the page is told beside verdicts: until when an alarm is quiet, what the contract leaves, the day's peaks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeld.alerts.acts import GoLive, Maintain, Shelve, Unshelve
from keeld.alerts.selector import parse
from keeld.contract import Contract, DemandLimit
from keeld.errors import Outage
from keeld.metrics import POWER
from keeld.model import Device, RackBudget, Reading, RuleSettings
from keeld.watch import Watch

HOUR_NS = 3600 * 1_000_000_000
ALONE = {
    name: RuleSettings(enabled=False)
    for name in ("redundancy_lost_load", "redundancy_will_trip", "continuous_over", "breaker_overload")
}


def over_budget(kit):
    return lambda device, at_s: kit.pdu(17_500.0) if device.kind == "pdu" else kit.steady()(device, at_s)


def overloaded(drive, kit, span_s=1500):
    drive.run(span_s, over_budget(kit))
    return drive


def seen(drive, kit, rule="rack_density_power"):
    return next(each for each in drive.watch.view(kit.at(drive.now_s)).alarms if each.rule == rule)


def act(drive, kit, what):
    return drive.watch.act(what, kit.at(drive.now_s)).done


def test_a_shelved_alarm_names_its_shelf_and_its_end_and_forgets_both(kit):
    drive = overloaded(kit.drive(kit.site(racks=1), ALONE), kit)
    loud = seen(drive, kit)
    assert (loud.is_told, loud.quiet, loud.quiet_id, loud.quiet_until_ns) == (True, "", "", 0)
    until_ns = kit.at(drive.now_s).wall_ns + HOUR_NS
    shelf = act(drive, kit, Shelve(owner="eve", reason="known", until_ns=until_ns, alert=loud.key)).id
    drive.run(30, over_budget(kit))
    shelved = seen(drive, kit)
    assert (shelved.quiet, shelved.quiet_id, shelved.quiet_until_ns) == ("shelved", shelf, until_ns)
    act(drive, kit, Unshelve(shelf=shelf, owner="eve"))
    drive.run(30, over_budget(kit))
    assert (seen(drive, kit).quiet, seen(drive, kit).quiet_id) == ("", "")


def test_a_shelf_that_has_just_ended_is_not_named_any_more(kit):
    drive = overloaded(kit.drive(kit.site(racks=1), ALONE), kit)
    until_ns = kit.at(drive.now_s + 5).wall_ns
    act(drive, kit, Shelve(owner="eve", reason="known", until_ns=until_ns, alert=seen(drive, kit).key))
    later = drive.watch.view(kit.at(drive.now_s + 6)).alarms
    found = next(each for each in later if each.rule == "rack_density_power")
    assert (found.quiet, found.quiet_id, found.quiet_until_ns) == ("shelved", "", 0)


def test_an_alarm_under_work_names_the_work(kit):
    drive = kit.drive(kit.site(racks=1), ALONE).run(60, kit.steady())
    now_ns = kit.at(drive.now_s).wall_ns
    ends_ns = now_ns + 2 * HOUR_NS
    work = act(
        drive, kit,
        Maintain(target=parse("rack=r01"), owner="eve", reason="x", begins_ns=now_ns, ends_ns=ends_ns),
    ).id  # fmt: skip
    found = seen(overloaded(drive, kit), kit)
    assert (found.quiet, found.quiet_id, found.quiet_until_ns) == ("maintenance", work, ends_ns)
    assert not found.is_told


def test_a_new_site_says_until_when_it_is_observed_and_when_it_went_live(kit):
    drive = kit.drive(kit.site(racks=1), ALONE)
    drive.watch = Watch(drive.site, ALONE, now=kit.at(0), observe_s=72 * 3600.0)
    overloaded(drive, kit)
    view = drive.watch.view(kit.at(drive.now_s))
    assert 71 * HOUR_NS < view.observed_until_ns - view.time_ns < 72 * HOUR_NS
    observed = seen(drive, kit)
    assert (observed.quiet, observed.quiet_until_ns) == ("observed", view.observed_until_ns)
    assert not observed.is_told
    act(drive, kit, GoLive(selector=parse("all"), owner="eve"))
    assert drive.watch.view(kit.at(drive.now_s)).observed_until_ns == 0
    assert kit.drive(kit.site(racks=1)).watch.view(kit.at(0)).observed_until_ns == 0


def test_what_follows_names_what_it_follows_from(kit):
    budget = RackBudget(power_watts=60_000.0)
    site = kit.site(racks=2, miners=0, budget=budget)
    silent = {"pdu-r01-a"}

    def poll(device, at_s):
        if device.kind != "pdu":
            return None
        if at_s > 700 and device.id in silent:
            return Outage.TIMEOUT
        return kit.pdu(20_000.0 if at_s > 700 and device.rack == "r01" else 10_000.0)

    drive = kit.drive(site).run(1300, poll)
    dead = seen(drive, kit, "feed_dead")
    assert dead.is_told
    followers = [each for each in drive.watch.view(kit.at(drive.now_s)).alarms if each.held_by == dead.key]
    assert [each.rule for each in followers] == ["source_stale"]
    assert not any(each.is_told for each in followers)


def test_the_contract_is_told_with_its_limits_its_rest_and_its_peak(kit):
    site = kit.site(racks=1, miners=0)
    meter = Device(id="grid", site="s", kind="meter", driver="modbus", address="tcp://10.9.0.1:502", node="utility")
    tariff_limit = DemandLimit(limit_watts=9e6, interval_s=900, step_s=300)
    contract = Contract(node="utility", cap=DemandLimit(limit_watts=10e6), tariff=tariff_limit)
    site = replace(site, devices=dict(site.devices) | {"grid": meter}, contract=contract)
    poll = lambda device, at_s: (Reading(POWER, 9.5e6),) if device.id == "grid" else kit.pdu(10_000.0)  # noqa: E731 - a poll in a line
    drive = kit.drive(site).run(2400, poll)
    cap, tariff = drive.watch.view(kit.at(drive.now_s)).demands
    assert (cap.name, cap.limit_watts, cap.is_rolling, tariff.is_rolling) == ("cap", 10e6, False, True)
    assert cap.projected.best == pytest.approx(9.5e6, rel=0.01)
    assert not cap.last.is_estimated
    assert cap.allowed_watts > 10e6
    assert cap.shed_watts == 0.0
    assert tariff.shed_watts > 0.4e6
    assert 0 < cap.left_s <= 900
    assert tariff.peak.best == pytest.approx(9.5e6, rel=0.01)
    assert drive.watch.view(kit.at(drive.now_s)).figures["pue_power_ratio"] > 1.0


def test_a_site_without_a_contract_says_nothing_of_one(kit):
    view = kit.drive(kit.site(racks=1)).run(60, kit.steady()).watch.view(kit.at(60))
    assert (view.demands, dict(view.figures)) == ((), {})


def test_a_failover_case_has_the_day_s_peak_once_means_are_full(kit):
    drive = kit.drive(kit.site(racks=1, miners=0, budget=RackBudget(power_watts=60_000.0)))
    poll = lambda load: lambda device, at_s: kit.pdu(load) if device.kind == "pdu" else None  # noqa: E731 - a poll in a line

    def case():
        return next(each for each in drive.watch.failover(kit.at(drive.now_s), "r01") if each.target_id == "r01/a")

    drive.run(100, poll(20_000.0))
    assert case().peak_ratio is None
    drive.run(1200, poll(20_000.0))
    peak = case().peak_ratio
    assert peak == pytest.approx(40_000.0 / (415 * 3**0.5) / (60 * 0.8), rel=0.02)
    drive.run(1200, poll(8_000.0))
    assert case().peak_ratio == pytest.approx(peak)
    assert case().survivors[0].value.best < 30.0
    drive.watch.reload(drive.site, {}, kit.at(drive.now_s))
    drive.run(20, poll(8_000.0))
    assert case().peak_ratio == pytest.approx(peak), "a reload keeps the day's peak"


def test_usable_headroom_is_never_more_than_a_budget_leaves(kit):
    drive = kit.drive(kit.site(racks=1, miners=0), ALONE)
    assert drive.watch.view(kit.at(0)).racks[0].usable_watts is None
    drive.run(400, kit.steady(6_000.0))
    before = drive.watch.view(kit.at(drive.now_s)).racks[0]
    assert before.usable_watts == pytest.approx(21_000.0)
    poll = lambda device, at_s: kit.pdu(15_000.0) if device.kind == "pdu" else None  # noqa: E731 - a poll in a line
    for _ in range(30):
        drive.run(10, poll)
        rack = drive.watch.view(kit.at(drive.now_s)).racks[0]
        assert rack.usable_watts <= min(item.headroom for item in rack.judgements)

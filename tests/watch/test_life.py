"""Restarts, reloads, clocks, late data, ends: what happens to alarms when it is keeld that changes."""

from __future__ import annotations

import dataclasses

import pytest

from keeld.errors import Outage
from keeld.metrics import POWER
from keeld.model import OWN_DRIVER, AlertState, Batch, Moment, Rack, RackBudget, Reading
from keeld.settings import RuleSettings
from keeld.watch import RestoredAlarm, Watch

pytestmark = pytest.mark.usefixtures("first_rules")


def over_budget(kit):
    return lambda device, at_s: kit.pdu(17_500.0) if device.kind == "pdu" else kit.steady()(device, at_s)


@pytest.fixture
def fired(kit):
    """A site with one rack whose power alarm fires as critical."""
    drive = kit.drive(kit.site(racks=1)).run(1500, over_budget(kit))
    assert [notice for notice, *_ in drive.notices] == ["trigger", "escalate"]
    return drive


def restart(kit, drive, *, gap_s=30.0, site=None, rules=None):
    saved = tuple(RestoredAlarm.load(alarm.dump()) for alarm in drive.watch.snapshot())
    return kit.drive(site or drive.site, rules or {}, restored=saved, start_s=drive.now_s + gap_s)


def test_a_restart_tells_nothing_again_while_it_still_holds(kit, fired):
    again = restart(kit, fired).run(3600, over_budget(kit))
    assert again.notices == []
    [alarm] = again.watch.view(kit.at(again.now_s)).alarms
    [before] = fired.watch.view(kit.at(fired.now_s)).alarms
    assert alarm.state is AlertState.FIRING
    assert (alarm.key, alarm.alert_id, alarm.since_ns) == (before.key, before.alert_id, before.since_ns)


def test_a_restart_resolves_nothing_without_fresh_evidence(kit, fired):
    again = restart(kit, fired).run(7000, lambda device, at_s: None)
    assert [notice for notice, rule, _ in again.notices if rule == "rack_density_power"] == []
    again = restart(kit, fired).run(3600, kit.steady())
    assert again.notices == [("resolve", "rack_density_power", "r01")]
    assert again.ends() == ["resolved"]
    assert again.watch.snapshot() == ()


def test_many_restarts_forget_nothing(kit, fired):
    drive = fired
    for _ in range(20):
        drive = restart(kit, drive, gap_s=5.0).run(25, over_budget(kit))
        assert drive.notices == []
    assert len(drive.watch.snapshot()) == 1


def test_an_alarm_of_a_target_that_went_while_keeld_was_down_is_withdrawn(kit, fired):
    site = kit.site(racks=2)
    racks = {name: rack for name, rack in site.racks.items() if name != "r01"}
    site = dataclasses.replace(site, racks=racks)
    again = restart(kit, fired, site=site).run(30, kit.steady())
    assert again.notices == [("resolve", "rack_density_power", "r01")]
    assert again.ends() == ["withdrawn"]


def feed_a_of_r01_dead(kit, from_s, until_s):
    def poll(device, at_s):
        dead = from_s <= at_s < until_s
        if device.id == "pdu-r01-a" and dead:
            return Outage.TIMEOUT
        return kit.pdu(20_000.0 if device.id == "pdu-r01-b" and dead else 10_000.0) if device.kind == "pdu" else None

    return poll


FEED_STATES = [
    pytest.param(622, AlertState.PENDING, id="pending"),
    pytest.param(700, AlertState.FIRING, id="firing"),
    pytest.param(2420, AlertState.CLEARING, id="clearing"),
]


@pytest.mark.parametrize(("at_s", "state"), FEED_STATES)
@pytest.mark.parametrize("how", ["restart", "reload"])
def test_a_dead_feed_fires_once_and_ends_through_a_restart_or_reload(kit, at_s, state, how):
    poll = feed_a_of_r01_dead(kit, 600, 2400)
    drive = kit.drive(kit.site(racks=2, miners=0)).run(at_s, poll)
    assert [alarm.state for alarm in drive.watch.snapshot() if alarm.rule == "feed_dead"] == [state]
    if how == "reload":
        assert drive.watch.reload(drive.site, {}, kit.at(drive.now_s)) == ()
        again = drive.run(3000, poll)
        notices = drive.notices
    else:
        again = restart(kit, drive).run(3000, poll)
        notices = drive.notices + again.notices
    assert notices == [("trigger", "feed_dead", "r01/a"), ("resolve", "feed_dead", "r01/a")]
    assert again.watch.snapshot() == ()


def test_a_feed_that_came_back_while_keeld_was_down_is_resolved_by_its_first_answers_alone(kit):
    drive = kit.drive(kit.site(racks=2, miners=0)).run(700, feed_a_of_r01_dead(kit, 600, 800))
    not_yet = lambda device, at_s: None if device.id == "pdu-r01-a" else kit.steady()(device, at_s)  # noqa: E731 - a poll in a line
    again = restart(kit, drive, gap_s=600.0).run(50, not_yet)
    assert again.notices == []
    again.run(90, kit.steady())
    assert again.notices == [("resolve", "feed_dead", "r01/a")]


def test_a_reload_keeps_windows_and_alarms(kit):
    drive = kit.drive(kit.site(racks=1)).run(500, over_budget(kit))
    assert drive.notices == []
    assert drive.watch.reload(drive.site, {}, kit.at(500)) == ()
    drive.run(200, over_budget(kit))
    assert [notice for notice, *_ in drive.notices] == ["trigger", "escalate"]


def test_a_reload_withdraws_what_has_gone_and_what_changed_its_state(kit, fired):
    off = fired.watch.reload(fired.site, {"rack_density_power": RuleSettings(enabled=False)}, kit.at(fired.now_s))
    assert [(move.rule, move.ended, move.after) for move in off] == [("rack_density_power", "withdrawn", AlertState.OK)]
    drive = kit.drive(kit.site(racks=1)).run(1500, over_budget(kit))
    racks = {name: dataclasses.replace(rack, state="mining") for name, rack in drive.site.racks.items()}
    moved = drive.watch.reload(dataclasses.replace(drive.site, racks=racks), {}, kit.at(drive.now_s))
    assert [move.ended for move in moved] == ["withdrawn"]


def test_an_alarm_whose_source_died_ends_as_unverifiable(kit, fired):
    def gone(device, at_s):
        return Outage.TIMEOUT if device.kind == "pdu" else kit.steady()(device, at_s)

    fired.run(3600, gone)
    [alarm] = [alarm for alarm in fired.watch.view(kit.at(fired.now_s)).alarms if alarm.rule == "rack_density_power"]
    assert alarm.state is AlertState.FIRING
    fired.run(4800, gone)
    ends = [(move.rule, move.ended) for _, move in fired.moves if move.ended]
    assert ends == [("rack_density_power", "unverifiable")]
    text = next(move.text for _, move in fired.moves if move.ended)
    assert text.startswith("UNVERIFIABLE")
    assert "not an all-clear" in text


def test_20_s_of_pending_6_h_of_unknown_one_sample_is_nothing(kit):
    drive = kit.drive(kit.site(racks=1), {"blind": RuleSettings(enabled=False)}).run(300, over_budget(kit))
    assert [move.after for _, move in drive.moves][:1] == [AlertState.PENDING]
    drive.run(6 * 3600, lambda device, at_s: None)
    for name in ("pdu-r01-a", "pdu-r01-b"):
        drive.give(drive.site.devices[name], kit.pdu(17_500.0))
    drive.run(60, lambda device, at_s: None)
    assert [page for page in drive.pages if page.rule == "rack_density_power"] == []


def test_late_and_reordered_batches_judge_nothing(kit):
    drive = kit.drive(kit.site(racks=1)).run(600, kit.steady())
    for age_s in range(5000, 100, -1):
        drive.give(drive.site.devices["pdu-r01-a"], kit.pdu(90_000.0), age_s=float(age_s))
        drive.give(drive.site.devices["pdu-r01-b"], kit.pdu(90_000.0), age_s=float(age_s))
    drive.run(600, kit.steady())
    assert drive.moves == []


@pytest.mark.parametrize("skew_s", [0, 86_400])
def test_a_batch_that_is_delivered_again_is_one_sample(kit, skew_s):
    drive = kit.drive(kit.site(racks=2, miners=0)).run(300, kit.steady())
    now, pdu = kit.at(drive.now_s), drive.site.devices["pdu-r01-a"]
    for again in range(20):
        seen = kit.at(drive.now_s + again / 100)
        stamp_ns = now.wall_ns + skew_s * 1_000_000_000
        drive.watch.feed(Batch(pdu, stamp_ns, now.mono_ns, kit.pdu(60_000.0), interval_s=10.0), seen)
    drive.run(50, lambda device, at_s: None if device is pdu else kit.steady()(device, at_s))
    assert drive.notices == []


def test_own_batches_and_unknown_devices_are_no_input(kit):
    site = kit.site(racks=1)
    now = kit.at(0)
    watch = Watch(site, {}, now=now)
    pdu = site.devices["pdu-r01-a"]
    for device in (dataclasses.replace(pdu, driver=OWN_DRIVER), dataclasses.replace(pdu, id="stranger")):
        watch.feed(Batch(device, now.wall_ns, now.mono_ns, (Reading(POWER, 1e6),)), now)
    assert watch.view(now).racks[0].draw.lo == 0.0


@pytest.mark.parametrize("jump_s", [3600, -3600, 86_400 * 365])
def test_a_step_of_the_wall_clock_pages_nobody(kit, jump_s):
    site = kit.site(racks=1, miners=0, pdu_interval_s=1.0)
    watch = Watch(site, {}, now=kit.at(0))
    moves = []
    for second in range(1800):
        base = kit.at(second)
        now = Moment(base.wall_ns + (jump_s * 1_000_000_000 if second >= 900 else 0), base.mono_ns)
        for device in site.devices.values():
            if device.kind == "pdu":
                moves += watch.feed(Batch(device, now.wall_ns, now.mono_ns, kit.pdu(10_000.0), interval_s=1.0), now)
        while watch.next_wake() <= now.mono_ns:
            moves += watch.tick(now).transitions
    assert moves == []
    assert watch.view(now).racks[0].draw.lo == 20_000.0


def test_a_loop_that_stalled_satisfies_no_delay(kit):
    drive = kit.drive(kit.site(racks=1, miners=0)).run(320, over_budget(kit))
    assert drive.watch.snapshot()[0].state is AlertState.PENDING
    drive.now_s += 3000
    drive._due = dict.fromkeys(drive._due, drive.now_s)
    drive.run(60, over_budget(kit))
    assert drive.pages == []


def test_a_large_site_is_closed_in_slices_and_loses_no_batch(kit):
    site = kit.site(racks=120, miners=0)
    drive = kit.drive(site).run(61, kit.steady())
    racks = [batch.device.id for at_s, batch in drive.batches if batch.device.kind == "rack" and at_s > 50]
    assert len(racks) >= 120
    assert set(racks) == set(site.racks)
    now = kit.at(drive.now_s + 10)
    calls = 0
    while drive.watch.next_wake() <= now.mono_ns:
        drive.watch.tick(now)
        calls += 1
    assert calls > 3


def test_an_empty_site_ticks(kit):
    site = dataclasses.replace(
        kit.site(racks=0, miners=0), power={}, cooling={}, racks={"x": Rack(id="x", state="empty")}
    )
    drive = kit.drive(site).run(60, kit.steady())
    assert drive.moves == []
    view = drive.watch.view(kit.at(60))
    assert view.racks[0].draw.structural == ("x",)
    assert view.racks[0].judgements == ()


def test_held_back_alarms_speak_when_their_cause_has_gone(kit):
    """A rack over its budget behind an overloaded breaker: told a minute after the breaker is well again."""
    watts = 62.5 * 415.0 * 3**0.5

    def both(device, at_s):
        if device.id == "pdu-r01-a":
            return kit.pdu(watts if at_s < 2000 else watts * 0.7)
        if device.id == "pdu-r01-b":
            return kit.pdu(5_000.0 if at_s < 2000 else 5_000.0 + watts * 0.3)
        return kit.steady()(device, at_s)

    site = kit.site(racks=1, budget=RackBudget(power_watts=45_000.0), nameplate_watts=None, pdu_interval_s=2.0)
    drive = kit.drive(site).run(2000, both)
    assert {rule for _, rule, _ in drive.notices} == {"breaker_overload"}
    held = [alarm for alarm in drive.watch.view(kit.at(2000)).alarms if alarm.rule == "rack_density_power"]
    assert held[0].state is AlertState.FIRING
    assert held[0].cause == "s:breaker_overload:power_node:a-r01"
    drive.run(2000, both)
    tail = [(notice, rule) for notice, rule, _ in drive.notices][-2:]
    assert tail == [("resolve", "breaker_overload"), ("trigger", "rack_density_power")]


def test_meters_on_hot_circuits_are_named_as_urgent(kit):
    watts = 57.0 * 415.0 * 3**0.5

    def hot(device, at_s):
        if device.id == "pdu-r01-a":
            return kit.pdu(watts if at_s < 60 else 1_000.0)
        return kit.steady()(device, at_s)

    drive = kit.drive(kit.site(racks=1)).run(50, hot)
    assert drive.watch.urgent == {"pdu-r01-a"}
    drive.run(60, hot)
    assert drive.watch.urgent == frozenset()


def test_pending_credit_does_not_survive_hours_of_keeld_being_down(kit):
    drive = kit.drive(kit.site(racks=1)).run(500, over_budget(kit))
    assert drive.watch.snapshot()[0].levels[0].credit_s > 200.0
    soon, late = restart(kit, drive, gap_s=5.0), restart(kit, drive, gap_s=6 * 3600.0)
    assert soon.watch.snapshot()[0].levels[0].state is AlertState.PENDING
    assert all(level.state is AlertState.OK for level in late.watch.snapshot()[0].levels)
    assert late.run(120, over_budget(kit)).pages == []

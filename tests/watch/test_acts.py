"""Acts on a watched site: what is refused, what is quiet meanwhile, what a restart and a reload leave of it."""

from __future__ import annotations

import dataclasses

import pytest

from keeld.alerts.acts import Acknowledge, Close, EndMaintenance, GoLive, Maintain, RefusedError, Shelve, Unshelve
from keeld.alerts.selector import parse
from keeld.errors import Outage
from keeld.metrics import FAN_SPEED, TEMPERATURE
from keeld.model import OwnRule, Reading, RuleSettings, Severity
from keeld.watch import Watch

HOUR_NS = 3600 * 1_000_000_000
QUIET = {
    name: RuleSettings(enabled=False)
    for name in (
        "redundancy_lost_load",
        "redundancy_will_trip",
        "redundancy_peak",
        "continuous_over",
        "breaker_overload",
    )
}


def over_budget(kit):
    return lambda device, at_s: kit.pdu(17_500.0) if device.kind == "pdu" else kit.steady()(device, at_s)


@pytest.fixture
def fired(kit):
    drive = kit.drive(kit.site(racks=1), QUIET).run(1500, over_budget(kit))
    assert [notice for notice, *_ in drive.notices] == ["trigger", "escalate"]
    return drive


def alarm(drive, kit):
    (found,) = (each for each in drive.watch.view(kit.at(drive.now_s)).alarms if each.rule == "rack_density_power")
    return found


def act(drive, kit, act):
    acted = drive.watch.act(act, kit.at(drive.now_s))
    drive._note(acted.transitions)
    return acted.done


@pytest.mark.parametrize("name", ["id", "start of the id", "key", "end of the key"])
def test_an_alarm_is_found_by_any_of_its_names(fired, kit, name):
    found = alarm(fired, kit)
    word = {
        "id": found.alert_id, "start of the id": found.alert_id[:4], "key": found.key,
        "end of the key": "rack_density_power:rack:r01",
    }[name]  # fmt: skip
    done = act(fired, kit, Acknowledge(alert=word, owner="eve"))
    assert done.id == found.alert_id
    assert alarm(fired, kit).owner == "eve"
    assert fired.notices[-1][0] == "acknowledge"


@pytest.mark.parametrize(
    "wrong",
    [
        Acknowledge(alert="nothere1", owner="eve"),
        Acknowledge(alert="", owner="eve"),
        Close(alert="rack_density_power:rack:r01", owner="eve", reason=" "),
        Shelve(owner="eve", reason="x", until_ns=0, alert="rack_density_power:rack:r01"),
        Shelve(owner="eve", reason="x", until_ns=1 << 62, alert="rack_density_power:rack:r01"),
        Shelve(owner="eve", reason="x", until_ns=1 << 62),
        Unshelve(shelf="x", owner="eve"),
        EndMaintenance(work="x", owner="eve"),
        GoLive(selector=parse("rack=nowhere"), owner="eve"),
    ],
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(fired, kit, wrong):
    before = fired.watch.snapshot()
    with pytest.raises(RefusedError):
        act(fired, kit, wrong)
    assert fired.watch.snapshot() == before
    assert fired.watch.desk.holds(kit.at(fired.now_s)) == ()


@pytest.mark.parametrize(
    ("target", "hours", "days"),
    [("node=nowhere", 1, 0), ("node=ups-a", -1, 0), ("node=ups-a", 400, 0), ("node=ups-a", 30, 1)],
)
def test_work_that_cannot_be_is_refused(fired, kit, target, hours, days):
    now = kit.at(fired.now_s).wall_ns
    wrong = Maintain(
        target=parse(target), owner="eve", reason="x", begins_ns=now, ends_ns=now + hours * HOUR_NS, every_days=days
    )
    with pytest.raises(RefusedError):
        act(fired, kit, wrong)


def test_shelves_survive_a_restart_and_come_back_by_themselves(fired, kit):
    now = kit.at(fired.now_s).wall_ns
    done = act(fired, kit, Shelve(owner="eve", reason="known", until_ns=now + HOUR_NS, selector=parse("rack=r01")))
    (hold,) = fired.watch.desk.holds(kit.at(fired.now_s))
    assert (hold.id, hold.holds, hold.is_now) == (done.id, (alarm(fired, kit).alert_id,), True)
    again = kit.drive(fired.site, QUIET, restored=fired.watch.snapshot(), start_s=fired.now_s + 20)
    again.watch.recall(fired.watch.memory(), kit.at(again.now_s))
    again.run(3500, over_budget(kit))
    assert again.notices == []
    again.run(200, over_budget(kit))
    assert [notice for notice, *_ in again.notices] == ["trigger"]


def test_work_on_a_ups_silences_its_feeds_and_says_before_what_it_does(kit):
    drive = kit.drive(kit.site(racks=2)).run(120, kit.steady(8_000.0))
    now = kit.at(drive.now_s)
    preview = drive.watch.desk.work_preview(parse("node=ups-a"), now)
    assert preview is not None
    assert preview.text
    done = act(
        drive, kit,
        Maintain(
            target=parse("node=ups-a"), owner="eve", reason="battery",
            begins_ns=now.wall_ns, ends_ns=now.wall_ns + HOUR_NS,
        ),
    )  # fmt: skip

    def one_side(device, at_s):
        if device.id.endswith("-a"):
            return Outage.TIMEOUT
        return kit.pdu(16_000.0) if device.kind == "pdu" else kit.steady()(device, at_s)

    drive.run(900, one_side)
    about = {target for _, _, target in drive.notices}
    assert not {name for name in about if name in ("ups-a", "panel-a", "a-r01") or name.endswith("-a") or "/a" in name}
    assert any(move.quiet == "maintenance" for _, move in drive.moves)
    drive.run(3600, one_side)
    assert ("trigger", "redundancy_not_restored", "s") in drive.notices
    assert done.id in drive.moves[-1][1].text or any(done.id in move.text for _, move in drive.moves)


def test_work_whose_path_is_back_in_time_is_over_without_a_word(kit):
    drive = kit.drive(kit.site(racks=2)).run(120, kit.steady(8_000.0))
    now = kit.at(drive.now_s).wall_ns
    act(
        drive,
        kit,
        Maintain(target=parse("node=ups-a"), owner="eve", reason="x", begins_ns=now, ends_ns=now + HOUR_NS // 2),
    )
    assert drive.watch._board.holds.is_under_work("power_node", "a-r01")
    drive.run(2000, kit.steady(8_000.0))
    assert drive.notices == []
    assert not drive.watch._board.holds.is_under_work("power_node", "a-r01")


def test_a_new_site_is_observed_and_goes_live_by_selector(kit):
    drive = kit.drive(kit.site(racks=2), QUIET)
    drive.watch = Watch(drive.site, QUIET, now=kit.at(0), observe_s=72 * 3600.0)
    drive.run(1500, over_budget(kit))
    assert drive.notices == []
    entries = drive.watch.desk.would_have()
    assert {entry.target_id for entry in entries if entry.rule == "rack_density_power"} == {"r01", "r02"}
    assert any("limit_ratio" in entry.setting for entry in entries)
    act(drive, kit, GoLive(selector=parse("rack=r01"), owner="eve"))
    assert [(rule, target) for _, rule, target in drive.notices if rule == "rack_density_power"] == [
        ("rack_density_power", "r01")
    ]
    again = kit.drive(drive.site, QUIET)
    again.watch = Watch(
        drive.site, QUIET, now=kit.at(drive.now_s + 30), restored=drive.watch.snapshot(), observe_s=72 * 3600.0
    )
    again.watch.recall(drive.watch.memory(), kit.at(drive.now_s + 30))
    rules = {rule.name: rule for rule in again.watch.desk.rules(kit.at(drive.now_s + 30))}
    assert rules["rack_density_power"].observed == rules["rack_density_power"].targets - 1
    assert rules["leak"].observed == 0


def test_a_rule_is_changed_where_a_selector_says(kit):
    rules = QUIET | {
        "high-r01": RuleSettings(of="rack_density_power", select=(("rack", "r01"),), limit=1.5),
        "off-r02": RuleSettings(of="rack_density_power", select=(("rack", "r02"),), enabled=False),
        "mild-r03": RuleSettings(
            of="rack_density_power", select=(("rack", "r03"),), severity=Severity.WARNING, window_s=600.0
        ),
    }  # fmt: skip
    drive = kit.drive(kit.site(racks=4), rules).run(2400, over_budget(kit))
    found = [(notice, target) for notice, rule, target in drive.notices if rule == "rack_density_power"]
    assert sorted(found) == [("escalate", "r04"), ("trigger", "r03"), ("trigger", "r04")]
    view = {rule.name: rule for rule in drive.watch.desk.rules(kit.at(drive.now_s))}["rack_density_power"]
    assert "high-r01" in view.why
    assert view.targets == 4


def own(**more) -> RuleSettings:
    made = {
        "metric": FAN_SPEED,
        "part": "fan/*",
        "limit": 1000.0,
        "is_floor": True,
        "title": "turns slowly",
        "hysteresis": 200.0,
    }
    settings = {"select": (("row", "c"),), "severity": Severity.WARNING, "on_s": 30.0}
    return RuleSettings(own=OwnRule(**made), **(settings | more))


def fans(kit, speed):
    def poll(device, at_s):
        if device.kind != "miner":
            return kit.steady()(device, at_s)
        turning = [Reading(FAN_SPEED, 4000.0, "fan/0"), Reading(FAN_SPEED, speed(device, at_s), "fan/1")]
        return (*kit.steady()(device, at_s), *(reading for reading in turning if reading.value is not None))

    return poll


def test_a_rule_of_ones_own_fires_on_the_worst_part_and_clears_past_its_hysteresis(kit):
    def speed(device, at_s):
        return 4000.0 if device.id != "m-03" else 800.0 if at_s < 600 else 1100.0 if at_s < 1200 else 1300.0

    drive = kit.drive(kit.site(), {"slow-fan": own()}).run(1100, fans(kit, speed))
    told = [(notice, target) for notice, rule, target in drive.notices if rule == "slow-fan"]
    assert told == [("trigger", "m-03")]
    (page,) = (move for move in drive.pages if move.rule == "slow-fan")
    assert (page.severity, page.best, page.limit) == (Severity.WARNING, 800.0, 1000.0)
    assert "fan/1" in page.text
    drive.run(300, fans(kit, speed))
    assert ("resolve", "slow-fan", "m-03") in drive.notices


def test_a_rule_of_ones_own_survives_a_restart_and_ends_with_its_entry(kit):
    poll = fans(kit, lambda device, at_s: 800.0 if device.id == "m-03" else 4000.0)
    drive = kit.drive(kit.site(), {"slow-fan": own()}).run(300, poll)
    again = kit.drive(drive.site, {"slow-fan": own()}, restored=drive.watch.snapshot(), start_s=drive.now_s + 20)
    again.run(300, poll)
    assert again.notices == []
    moves = again.watch.reload(again.site, {}, kit.at(again.now_s))
    assert [(move.rule, move.ended) for move in moves if move.rule == "slow-fan"] == [("slow-fan", "withdrawn")]


def test_a_silent_part_neither_fires_nor_clears_a_rule_of_ones_own(kit):
    drive = kit.drive(kit.site(), {"slow-fan": own()})
    drive.run(300, fans(kit, lambda device, at_s: 800.0 if device.id == "m-03" else 4000.0))
    drive.run(600, fans(kit, lambda device, at_s: None if device.id == "m-03" else 4000.0))
    assert [notice for notice, rule, _ in drive.notices if rule == "slow-fan"] == ["trigger"]


def test_a_window_of_ones_own_looks_at_the_mean(kit):
    def speed(device, at_s):
        return 900.0 if int(at_s / 10) % 4 == 0 else 1500.0

    calm = kit.drive(kit.site(), {"slow-fan": own(window_s=120.0)}).run(900, fans(kit, speed))
    assert not [rule for _, rule, _ in calm.notices if rule == "slow-fan"]


def test_a_rule_without_what_it_needs_is_named(kit):
    hot = RuleSettings(own=OwnRule(metric=TEMPERATURE, part="*", limit=90.0, is_floor=False, title="is hot"))
    drive = kit.drive(kit.site(), {"hot": hot, "slow-fan": own(select=(("rack", "none"),))}).run(120, kit.steady())
    said = " ".join(drive.watch.findings())
    assert "rule hot is idle: none of its" in said
    assert "rule slow-fan is idle: no device is meant by its selector" in said


def test_rules_say_where_they_are_judged_and_why_nowhere(kit):
    drive = kit.drive(kit.site(racks=1, miners=0), {"blind": RuleSettings(enabled=False)}).run(30, kit.steady())
    rules = {rule.name: rule for rule in drive.watch.desk.rules(kit.at(30))}
    assert rules["blind"].why == "off: switched off"
    assert rules["row_stopped"].why.startswith("idle")
    assert rules["rack_density_power"].examples == ("rack r01",)
    assert [rule.number for rule in rules.values()] == sorted(rule.number for rule in rules.values())


def test_an_alarm_closed_by_hand_says_so_and_comes_back_if_it_holds(fired, kit):
    act(fired, kit, Close(alert="rack_density_power:rack:r01", owner="eve", reason="replaced the meter"))
    page = fired.moves[-1][1]
    assert (page.ended, "Closed by eve: replaced the meter" in page.text) == ("withdrawn", True)
    fired.run(1200, over_budget(kit))
    assert fired.notices[-1][:2] == ("trigger", "rack_density_power")


def test_a_lot_of_racks_at_once_is_a_flood_with_one_digest(kit):
    rules = QUIET | {"rack_density_power": RuleSettings(severity=Severity.WARNING)}
    drive = kit.drive(kit.site(racks=30, miners=0), rules).run(1200, over_budget(kit))
    told = [rule for notice, rule, _ in drive.notices if notice == "trigger"]
    assert told.count("rack_density_power") == 10
    assert told.count("alarm_quality") == 1
    digest = next(move for move in drive.pages if move.rule == "alarm_quality")
    assert digest.child_count == 20
    assert "first out" in digest.text


def test_every_kind_of_rack_word_selects(kit):
    site = kit.site(racks=1, rack=lambda rack: dataclasses.replace(rack, tenant="acme", thermal_class="A2"))
    drive = kit.drive(site, QUIET).run(1500, over_budget(kit))
    board = drive.watch._board
    tags = board.tags_of(next(a for a in board.alarms.values() if a.rule.name == "rack_density_power").target)
    for selector in ("rack=r01", "row=a", "class=A2", "state=ai", "tenant=acme", "kind=rack", "id=r01"):
        assert parse(selector).matches("rack_density_power", tags), selector

"""One cause, one page; floods, chatter, latches; what is quiet by somebody's will."""

from __future__ import annotations

import dataclasses

import pytest

from keeld.alerts.alarm import Evidence
from keeld.alerts.holds import Shelf
from keeld.alerts.machine import Span
from keeld.alerts.restored import RestoredAlarm
from keeld.alerts.rules import PLANT, Level
from keeld.alerts.selector import parse
from keeld.alerts.work import Reach, Work
from keeld.model import AlertState, Severity

HOUR_NS = 3600 * 1_000_000_000


def test_what_follows_from_a_cause_is_counted_and_listed_and_never_told(table):
    t = table()
    cause = t.rule("cause", inhibits=frozenset({"effect"}))
    t.see(cause, t.target("root", covers=("thing:a", "thing:b")), bad=True)
    for name in "ab":
        t.see(t.rule("effect"), t.target(name), bad=True)
    assert t.told == [("trigger", "root")]
    held = [move for move in t.moves if move.rule == "effect"]
    assert {move.cause for move in held} == {"s:cause:thing:root"}
    t.see(cause, t.target("root", covers=("thing:a", "thing:b")), bad=False)
    assert (t.last.child_count, t.last.children) == (2, ("a is odd", "b is odd"))
    assert "Follows from it (2): a is odd; b is odd." in t.last.text


def test_a_cause_that_is_explained_itself_hands_its_children_to_the_root(table):
    t = table()
    t.see(t.rule("gateway", inhibits=frozenset({"silent"})), t.target("gw", covers=("thing:pdu",)), bad=True)
    t.see(t.rule("silent", inhibits=frozenset({"blind"})), t.target("pdu", covers=("thing:rack",)), bad=True)
    t.see(t.rule("blind"), t.target("rack"), bad=True)
    assert t.told == [("trigger", "gw")]
    assert t.moves[-1].cause == "s:gateway:thing:gw"


def test_two_alarms_that_explain_one_another_do_not_hang_and_one_is_told(table):
    t = table()
    one, two = t.rule("one", inhibits=frozenset({"two"})), t.rule("two", inhibits=frozenset({"one"}))
    t.see(one, t.target("a", covers=("thing:b",)), bad=True)
    t.see(two, t.target("b", covers=("thing:a",)), bad=True)
    t.review(10.0)
    assert t.told == [("trigger", "a")]


@pytest.mark.parametrize(
    "name", ["breaker_overload", "breaker_severe", "leak", "breaker_tripped", "smoke", "inlet_rate"]
)
def test_some_are_told_whatever_explains_them(table, name):
    t = table()
    t.see(t.rule("cause", inhibits=frozenset({name})), t.target("root", covers=("thing:a",)), bad=True)
    t.see(t.rule(name), t.target("a"), bad=True)
    assert t.told == [("trigger", "root"), ("trigger", "a")]


def test_heat_is_held_as_a_warning_and_told_where_critical(table):
    t = table()
    t.see(
        t.rule("cause", inhibits=frozenset({"inlet_high"})), t.target("root", covers=("thing:a", "thing:b")), bad=True
    )
    t.see(t.rule("inlet_high"), t.target("a"), bad=True)
    t.see(t.rule("inlet_high", severity=Severity.CRITICAL), t.target("b"), bad=True)
    assert t.told == [("trigger", "root"), ("trigger", "b")]


def test_a_latched_alarm_stays_until_somebody_closes_it(table):
    t = table()
    leak, target = t.rule("leak", is_latched=True), t.target("rope")
    t.see(leak, target, bad=True)
    for _ in range(1000):
        t.now_s += 60.0
        t.see(leak, target, bad=None)
        t.review()
    t.see(leak, target, bad=False)
    assert t.told == [("trigger", "rope")]
    alarm = t.board.find(leak, target)
    t.board.close(alarm, "eve", "mopped up", t.now)
    t.take()
    assert t.told[-1] == ("resolve", "rope")
    assert (t.last.ended, "Closed by eve: mopped up" in t.last.text) == ("withdrawn", True)
    assert t.board.alarms == {}


def test_a_closed_alarm_that_still_holds_comes_back(table):
    t = table()
    rule, target = t.rule(), t.target("a")
    t.see(rule, target, bad=True)
    t.board.close(t.board.find(rule, target), "eve", "seen", t.now)
    t.now_s += 10.0
    t.see(rule, target, bad=True)
    assert [word for word, _ in t.told] == ["trigger", "resolve", "trigger"]


def test_a_flood_sends_ten_then_a_digest_and_what_is_critical(table):
    t = table()
    for number in range(30):
        t.now_s += 1.0
        t.see(t.rule(), t.target(f"t{number:02d}"), bad=True)
    t.see(t.rule("grave", severity=Severity.CRITICAL), t.target("core"), bad=True)
    assert [target for _, target in t.told] == [*(f"t{number:02d}" for number in range(10)), "core"]
    flood = t.board.floods[""]
    assert (flood.is_on, flood.count, flood.first) == (True, 20, "t00 is odd")
    digest = t.rule("alarm_quality")
    t.see(digest, dataclasses.replace(t.target("all"), kind="route"), bad=True)
    assert t.last.target_id == "all"
    assert t.last.child_count == 20
    t.review(601.0)
    assert not flood.is_on
    assert len(t.told) == 12, "what a digest told of is not told again"
    t.see(t.rule(), t.target("t29"), bad=False)
    assert len(t.told) == 12, "what was told in a digest ends in it"


def test_an_alarm_of_a_digest_that_gets_worse_is_told(table):
    t = table()
    for number in range(11):
        t.see(t.rule(), t.target(f"t{number}"), bad=True)
    worse = t.rule(severity=Severity.CRITICAL)
    t.see(worse, t.target("t10"), bad=False)
    t.see(worse, t.target("t10"), bad=True)
    assert t.told[-1] == ("trigger", "t10")


def test_floods_of_two_routes_are_two_floods(table):
    t = table()
    for number in range(20):
        t.see(t.rule(route="energy"), t.target(f"e{number}"), bad=True)
    t.see(t.rule("other"), t.target("x"), bad=True)
    assert t.told[-1] == ("trigger", "x")


def test_an_alarm_that_chatters_is_told_a_third_time_and_then_held(table):
    t = table()
    rule, target = t.rule(), t.target("a")
    for _ in range(20):
        t.see(rule, target, bad=True)
        t.now_s += 5.0
        t.see(rule, target, bad=False)
        t.now_s += 5.0
    assert [word for word, _ in t.told] == ["trigger", "resolve", "trigger", "resolve", "trigger"]
    assert "It chatters" in t.last.text
    for _ in range(40):
        t.now_s += 10.0
        t.see(rule, target, bad=False)
    assert t.told[-1] == ("resolve", "a")


def shelf(t, *, hours: float = 1.0, key: str = "", selector: str | None = None) -> Shelf:
    return Shelf(
        id="x", owner="eve", reason="known", begins_ns=t.now.wall_ns, until_ns=t.now.wall_ns + round(hours * HOUR_NS),
        key=key, selector=None if selector is None else parse(selector),
    )  # fmt: skip


def test_a_shelved_alarm_moves_untold_and_is_told_when_it_comes_back(table):
    t = table()
    rule, target = t.rule(off_s=60.0), t.target("a")
    t.holds.shelves["x"] = shelf(t, key="s:made_up:thing:a")
    t.see(rule, target, bad=True)
    assert t.told == []
    assert (t.moves[-1].after, t.moves[-1].quiet) == (AlertState.FIRING, "shelved")
    t.review(3599.0)
    assert t.told == []
    t.review(2.0)
    assert t.told == [("trigger", "a")]
    assert t.holds.shelves == {}


def test_an_alarm_that_was_told_before_it_was_shelved_rings_again_after_it(table):
    t = table()
    rule, target = t.rule(off_s=60.0), t.target("a")
    t.see(rule, target, bad=True)
    t.holds.shelves["x"] = shelf(t, selector="all")
    t.review(10.0)
    t.review(3600.0)
    assert t.told == [("trigger", "a"), ("trigger", "a")]


def test_the_end_of_a_told_alarm_is_told_from_the_shelf_too(table):
    t = table()
    rule, target = t.rule(), t.target("a")
    t.see(rule, target, bad=True)
    t.holds.shelves["x"] = shelf(t, selector="all")
    t.now_s += 20.0
    t.see(rule, target, bad=False)
    assert t.told == [("trigger", "a"), ("resolve", "a")]


@pytest.mark.parametrize("name", ["breaker_overload", "breaker_severe", "leak"])
def test_no_selector_shelves_an_overload_or_a_leak(table, name):
    t = table()
    t.holds.shelves["x"] = shelf(t, selector="all")
    t.see(t.rule(name), t.target("a"), bad=True)
    assert t.told == [("trigger", "a")]


def working(t, *, begins_s: float = 0.0, ends_s: float = 3600.0, days: int = 0) -> Work:
    base = t.now.wall_ns
    second = 1_000_000_000
    return Work(
        id="w", target=parse("node=ups-a"), owner="eve", reason="battery", begins_ns=base + round(begins_s * second),
        ends_ns=base + round(ends_s * second), every_days=days,
    )  # fmt: skip


def test_work_mutes_what_it_takes_out_and_never_an_overload_or_a_leak(table):
    t = table()
    t.holds.reach_of = lambda _: Reach(frozenset({"thing:a"}), frozenset({"thing:rack"}))
    t.holds.works["w"] = working(t)
    t.review()
    assert t.holds.is_under_work("thing", "a")
    t.see(t.rule(), t.target("a"), bad=True)
    t.see(t.rule("redundancy_lost_load"), t.target("rack"), bad=True)
    assert t.told == []
    t.see(t.rule("breaker_overload"), t.target("a"), bad=True)
    t.see(t.rule("leak"), t.target("a"), bad=True)
    t.see(t.rule("redundancy_will_trip"), t.target("rack"), bad=True)
    t.see(t.rule("inlet_high", severity=Severity.CRITICAL), t.target("a"), bad=True)
    assert [word for word, _ in t.told] == ["trigger"] * 4


def test_what_still_stands_half_an_hour_after_the_planned_end_is_told(table):
    t = table()
    t.holds.reach_of = lambda _: Reach(frozenset({"thing:a"}))
    t.holds.works["w"] = working(t)
    t.review()
    t.see(t.rule(), t.target("a"), bad=True)
    t.review(3600.0 + 1799.0)
    assert t.told == []
    t.review(2.0)
    assert t.told == [("trigger", "a")]
    assert t.holds.works == {}


def test_what_is_new_is_observed_and_told_once_it_is_not(table):
    t = table(observe_s=3600.0)
    t.see(t.rule(off_s=60.0), t.target("a"), bad=True)
    assert (t.told, t.moves[-1].quiet) == ([], "observed")
    (entry,) = t.board.ledger.entries()
    assert (entry.rule, entry.count, entry.setting.startswith("made_up: {")) == ("made_up", 1, True)
    t.holds.observing.note(["site", "rule:made_up"], t.now.wall_ns)
    t.review(3601.0)
    assert t.told == [("trigger", "a")]


@pytest.mark.parametrize("name", ["breaker_severe", "leak", "smoke"])
def test_some_are_live_at_once(table, name):
    t = table(observe_s=3600.0)
    t.see(t.rule(name), t.target("a"), bad=True)
    assert t.told == [("trigger", "a")]


def test_a_cause_that_is_only_observed_does_not_silence_what_is_live(table):
    t = table(observe_s=3600.0)
    t.see(t.rule("cause", inhibits=frozenset({"effect"})), t.target("root", covers=("thing:a",)), bad=True)
    t.holds.observing.go_live(parse("rule=effect"))
    t.see(t.rule("effect"), t.target("a"), bad=True)
    assert t.told == [("trigger", "a")]


def test_an_escalation_takes_an_acknowledgement_back(table):
    t = table()
    rule, target = t.rule(), t.target("a")
    t.see(rule, target, bad=True)
    t.board.acknowledge(t.board.find(rule, target), "eve", t.now)
    t.take()
    assert t.told[-1] == ("acknowledge", "a")
    assert (t.last.owner, "Acknowledged by: eve" in t.last.text) == ("eve", True)
    (mild,) = rule.levels[PLANT]
    two = dataclasses.replace(rule, levels={PLANT: (mild, dataclasses.replace(mild, severity=Severity.CRITICAL))})
    saved = dataclasses.replace(t.board.snapshot()[0])
    t.board.restore(saved, two, two.levels[PLANT], target, t.now)
    t.see(two, target, bad=True)
    assert t.told[-1] == ("escalate", "a")
    assert t.board.find(two, target).owner == ""


def test_a_restart_keeps_who_has_it_what_is_shelved_and_what_was_digested(table):
    t = table()
    rule, target = t.rule(off_s=60.0), t.target("a")
    t.see(rule, target, bad=True)
    t.board.acknowledge(t.board.find(rule, target), "eve", t.now)
    t.holds.shelves["x"] = shelf(t, selector="id=b")
    t.see(rule, t.target("b", tags=("id:b",)), bad=True)
    again = table()
    again.now_s = t.now_s + 30.0
    again.board.recall(t.board.notes(), again.now)
    for saved in t.board.snapshot():
        back = RestoredAlarm.load(saved.dump())
        again.board.restore(
            back, rule, rule.levels[PLANT], t.target(back.target_id, tags=(f"id:{back.target_id}",)), again.now
        )
    again.review(10.0)
    assert again.told == []
    assert [alarm.owner for alarm in again.board.alarms.values()] == ["eve", ""]
    again.review(3600.0)
    assert again.told == [("trigger", "b")]


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b"[1]", b'[{"id": 1}]', b"null", b'{"a": "b"}'])
def test_notes_that_make_no_sense_are_left_out(table, note):
    t = table()
    names = [*t.board.notes(), "holds/observing/live"]
    t.board.recall(dict.fromkeys(names, note), t.now)
    t.see(t.rule(), t.target("a"), bad=True)
    assert t.told == [("trigger", "a")]


def test_a_flood_goes_on_over_a_restart_and_ends_when_it_would_have(table):
    t = table()
    for number in range(15):
        t.now_s += 1.0
        t.see(t.rule(), t.target(f"t{number:02d}"), bad=True)
    notes = t.board.notes()
    after = table()
    after.now_s = t.now_s + 30.0
    after.board.recall(notes, after.now)
    flood = after.board.floods[""]
    assert (flood.is_on, flood.count, flood.first, flood.recent(after.now.mono_ns)) == (True, 5, "t00 is odd", 15)
    after.see(after.rule(), after.target("new"), bad=True)
    assert after.told == [], "it is told by the digest that stands already"
    after.review(560.0)
    assert flood.is_on
    after.review(60.0)
    assert not flood.is_on


@pytest.mark.parametrize("note", [b"", b"[]", b'{"": {}}', b'{"": {"times": ["x"], "is_on": 1, "count": 1}}'])
def test_floods_that_make_no_sense_are_none(table, note):
    t = table()
    t.board.recall({"floods/routes": note}, t.now)
    assert t.board.floods == {}


def test_what_is_pending_and_judged_no_more_ends_untold(table):
    t = table()
    level = dataclasses.replace(t.rule().levels[PLANT][0], on_s=60.0)
    rule = dataclasses.replace(t.rule(), levels={PLANT: (level,)})
    t.see(rule, t.target("a"), bad=True)
    t.review(299.0)
    assert [alarm.state for alarm in t.board.alarms.values()] == [AlertState.PENDING]
    t.review(2.0)
    assert not t.board.alarms
    assert t.told == []


def test_levels_of_one_severity_and_limit_come_back_each_as_itself(table):
    t = table()
    levels = tuple(
        Level(severity=severity, limit=0.5, on_s=on_s)
        for severity, on_s in ((Severity.WARNING, 0.0), (Severity.CRITICAL, 300.0), (Severity.CRITICAL, 600.0))
    )
    rule = dataclasses.replace(t.rule(), levels={PLANT: levels})
    bad, good = Span(1.0, 1.0), Span(0.0, 0.0)

    def see(on, spans):
        on.board.judge(rule, levels, on.target("a"), Evidence(spans=spans), now=on.now, cap_s=20.0)
        on.take()

    for _ in range(29):
        see(t, (bad, good, bad))
        t.now_s += 20.0
    after = table()
    after.now_s = t.now_s
    (saved,) = t.board.snapshot()
    after.board.restore(saved, rule, levels, after.target("a"), after.now)
    for _ in range(2):
        after.now_s += 20.0
        see(after, (bad, good, bad))
    assert after.told == [], "580 s are credited, 560 s of them before"
    assert t.told == [("trigger", "a")]
    after.now_s += 20.0
    see(after, (bad, good, bad))
    assert after.told == [("escalate", "a")]

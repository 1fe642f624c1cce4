"""What messages say beside an alarm: what happened before at the same things, and what stands there."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeld.alerts.alarm import Alarm, Evidence, Target
from keeld.alerts.context import Context
from keeld.alerts.machine import Span
from keeld.alerts.moves import withdrawal
from keeld.alerts.restored import RestoredAlarm
from keeld.alerts.rules import PLANT
from keeld.alerts.selector import parse
from keeld.alerts.shipped import SHIPPED
from keeld.alerts.work import Reach, Work
from keeld.message_urls import MessageUrls
from keeld.model import AlertState, Moment, Severity

SECOND = 1_000_000_000


def text_of(table) -> str:
    return table.last.text


def changes(table) -> str:
    return next((line for line in text_of(table).splitlines() if line.startswith("What changed: ")), "")


def test_what_happened_before_at_the_same_thing_is_told_and_nothing_else(table):
    it = table()
    rule = it.rule()
    near, far = it.target("b", covers=("thing:a",)), it.target("z", covers=("thing:y",))
    it.see(it.rule("first"), near, bad=True)
    it.see(it.rule("other"), far, bad=True)
    it.now_s += 30
    it.see(rule, it.target("a"), bad=True)
    assert changes(it) == "What changed: 04:53:20 b is odd."


def test_what_ended_is_told_as_well_and_an_alarm_is_no_news_to_itself(table):
    it = table()
    rule, target = it.rule(), it.target("a")
    it.see(it.rule("first"), target, bad=True)
    it.now_s += 20
    it.see(it.rule("first"), target, bad=False)
    it.now_s += 20
    it.see(rule, target, bad=True)
    assert changes(it) == "What changed: 04:53:20 a is odd; 04:53:40 a is odd: resolved."
    it.now_s += 20
    it.see(rule, target, bad=False)
    assert "What changed" not in text_of(it)


def test_what_is_older_than_ten_minutes_and_all_but_the_last_five_are_left_out(table):
    it = table()
    it.board.context.note("long ago", it.now.wall_ns)
    it.now_s += 601
    for number in range(7):
        it.board.context.note(f"change {number}", it.now.wall_ns, ["thing:a"])
    it.see(it.rule(), it.target("a"), bad=True)
    told = "; ".join(f"05:03:21 change {number}" for number in range(2, 7))
    assert changes(it) == f"What changed: {told}."


@given(st.text(max_size=300))
def test_no_change_breaks_out_of_its_line(words):
    context = Context("UTC")
    context.note(words, 0, ["thing:a"])
    target = Target("thing", "a", "a", frozenset({"thing:a"}))
    alarm = Alarm("k", SHIPPED["leak"], (), target, [])
    (said,) = context.of(alarm, frozenset(), works=(), but=()).happened
    assert said.isprintable()
    assert len(said) < 120


def test_a_cause_that_does_not_hold_an_alarm_back_is_named_in_it(table):
    it = table()
    feed = Target("feed", "r1/b", "R1 feed B", frozenset({"feed:r1/b"}), frozenset({"rack:r1"}))
    node = Target("power_node", "a-1", "a-1", frozenset({"power_node:a-1"}), frozenset({"rack:r1"}))
    other = Target("power_node", "a-2", "a-2", frozenset({"power_node:a-2"}), frozenset({"rack:r2"}))
    it.see(it.rule("feed_dead"), feed, bad=True)
    for target, expected in ((node, True), (other, False)):
        it.see(it.rule("breaker_overload"), target, bad=True)
        assert ("Likely cause: R1 feed B is odd since 04:53:20" in text_of(it)) is expected


def test_announced_work_at_the_same_thing_is_named(table):
    it = table()
    now_ns = it.now.wall_ns
    work = Work(id="w", target=parse("rack=r1"), owner="eve\n", reason="cords\x00", begins_ns=now_ns - SECOND,
                ends_ns=now_ns + 3600 * SECOND)  # fmt: skip
    it.holds.works["w"] = work
    it.holds.know("America/Toronto", lambda _: Reach(frozenset({"feed:r1/b"}), frozenset({"thing:a"})))
    it.review()
    it.see(it.rule(), it.target("a"), bad=True)
    assert "Announced work: rack=r1 by eve until 05:53:20: cords" in text_of(it).splitlines()
    it.see(it.rule(), it.target("b"), bad=True)
    assert "Announced work" not in text_of(it)


def test_an_escalation_says_what_was_told_before_and_how_the_value_went(table):
    it = table()
    rule, target = SHIPPED["kva_over"], it.target("ups")
    levels = (
        dataclasses.replace(rule.levels[PLANT][0], on_s=0.0),
        dataclasses.replace(rule.levels[PLANT][1], on_s=0.0),
    )
    for ratio in (1.05, 1.2):
        evidence = Evidence(spans=(Span(ratio, ratio),) * 2, lo=ratio * 1e5, best=ratio * 1e5, hi=ratio * 1e5,
                            limit=1e5, unit="VA", base="ups rating", what="apparent power")  # fmt: skip
        it.board.judge(rule, levels, target, evidence, now=it.now, cap_s=20.0)
        it.take()
        it.now_s += 120
    lines = text_of(it).splitlines()
    assert "Escalated: it was told as warning before, it is critical now." in lines
    assert "Trend: up 15 kVA in the 2 min since it began." in lines


def test_links_stand_last_and_only_where_they_are_configured(table):
    it = table()
    it.board.context.urls = MessageUrls(page="https://k.example", dashboard="https://g.example/{target}")
    it.see(it.rule(), it.target("a"), bad=True)
    lines = text_of(it).splitlines()
    assert lines[-2].startswith("Page: https://k.example/#alert=")
    assert lines[-1] == "Dashboard: https://g.example/a"
    assert lines[-3] == f"Acknowledge: keeld ack {it.last.alert_id}"


@pytest.mark.parametrize("title", ["R1 over its power budget: 34 of 33 kW = 103 %", "x" * 79, "", "a: b: c"])
def test_what_is_withdrawn_at_a_restart_has_a_title_that_fits(title):
    saved = RestoredAlarm(
        key="s:r:rack:x", rule="r", target_kind="rack", target_id="x", state=AlertState.FIRING,
        severity=Severity.CRITICAL, told=Severity.CRITICAL, since_ns=1, seen_ns=1, levels=(), lo=None, best=None,
        hi=None, limit=None, unit="", title=title, text="", cause="",
    )  # fmt: skip
    move = withdrawal(saved, Moment(2, 2))
    assert len(move.title) <= 79
    assert move.title.endswith(": withdrawn")

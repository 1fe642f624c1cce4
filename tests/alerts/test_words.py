"""What people read, and what survives a restart."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeld.alerts.alarm import Alarm, Evidence, Target, short_id
from keeld.alerts.figures import ratio_words
from keeld.alerts.machine import Machine, Span
from keeld.alerts.message import TITLE_MOST, compose
from keeld.alerts.restored import LevelState, RestoredAlarm
from keeld.alerts.rules import AI
from keeld.alerts.shipped import SHIPPED
from keeld.model import AlertState, Severity

SINCE_NS = 1_760_000_000_000_000_000


def alarm(rule="rack_density_power", label="R07 (old C-14)", **evidence):
    shipped = SHIPPED[rule]
    levels = shipped.levels[AI]
    made = Alarm(
        f"sherbrooke:{rule}:rack:r07", shipped, levels, Target("rack", "r07", label), [Machine() for _ in levels]
    )
    made.evidence = Evidence(spans=(Span(1.0, 1.0),) * len(levels), **evidence)
    made.state, made.severity, made.since_ns = AlertState.FIRING, Severity.CRITICAL, SINCE_NS
    return made


def words(made, **more):
    return compose(made, site="sherbrooke", timezone="America/Toronto", **more)


def test_a_breach_in_full():
    made = alarm(
        lo=34_900.0, best=34_900.0, hi=34_900.0, limit=33_000.0, unit="W", base="budget", what="power, 5-min mean",
        detail="Measured by inlet meter pdu-r07-a.",
    )  # fmt: skip
    message = words(made)
    assert message.title == "R07 (old C-14) over its power budget: 34.9 of 33 kW budget = 106 %"
    assert message.text.splitlines() == [
        "OVER: R07 (old C-14) over its power budget: 34.9 of 33 kW budget = 106 %",
        "Where: R07 (old C-14) (rack r07), site sherbrooke",
        "Value: 34.9 of 33 kW budget = 106 % (power, 5-min mean)",
        "Since: 2025-10-09 04:53:20-04:00",
        "Measured by inlet meter pdu-r07-a.",
        "Do: Lower the load of this rack, or raise its budget if its feeds and cooling allow it.",
        "Runbook: docs/runbooks.md#rack_density_power",
    ]


def test_an_early_level_does_not_say_over():
    message = words(alarm(lo=30_500.0, best=30_500.0, hi=30_500.0, limit=33_000.0, unit="W", base="budget"))
    assert message.title == "R07 (old C-14) near its power budget: 30.5 of 33 kW budget = 92 %"
    assert message.text.startswith("CRITICAL: ")


def test_a_wide_interval_is_shown():
    message = words(alarm(lo=34_000.0, best=36_000.0, hi=44_200.0, limit=33_000.0, unit="W", base="budget"))
    assert "known to lie between 34 and 44.2 kW" in message.text


def test_what_cannot_be_told_is_said_so():
    message = words(alarm(lo=0.0, hi=44_200.0, limit=33_000.0, unit="W", is_known=False))
    assert message.text.startswith("CAN'T TELL: ")


@pytest.mark.parametrize("ended", ["resolved", "unverifiable", "withdrawn"])
def test_an_end_says_which(ended):
    message = words(alarm(lo=1.0, best=1.0, hi=1.0, limit=33_000.0, unit="W"), ended=ended)
    assert message.title == f"R07 (old C-14) over its power budget: {ended}"
    assert message.text.startswith(f"{ended.upper()}: ")
    assert "Do: " not in message.text


@pytest.mark.parametrize("ended", ["resolved", "withdrawn"])
def test_an_end_says_when_and_nothing_that_is_no_longer_so(ended):
    made = alarm(rule="blind", cause="its meters", detail="Limits are NOT being checked.")
    made.seen_ns = SINCE_NS + 90_000_000_000
    lines = words(made, ended=ended).text.splitlines()
    assert lines[2:4] == ["Since: 2025-10-09 04:53:20-04:00", "Until: 2025-10-09 04:54:50-04:00, 2 min"]
    assert not [line for line in lines if "meters" in line or "NOT" in line]


def test_just_over_does_not_read_as_100_percent():
    evidence = Evidence(spans=(), lo=33_060.0, best=33_060.0, hi=33_060.0, limit=33_000.0, unit="W", base="budget")
    assert ratio_words(evidence) == "33.1 of 33 kW budget = 100.2 %"
    level = dataclasses.replace(evidence, best=33_000.0)
    assert ratio_words(level).endswith("= 100 %")


@pytest.mark.parametrize("rule", sorted(SHIPPED))
@pytest.mark.parametrize(("value", "limit", "unit", "base"), [(38_000.0, 12_345.0, "W", "budget"),
                                                              (68.9, 57.4, "A", "60 A breaker x 0.96 environment"),
                                                              (199.9, 100.0, "A", "100 A breaker")])  # fmt: skip
def test_a_long_label_gives_way_to_the_figures_and_keeps_its_end(rule, value, limit, unit, base):
    shipped = next(iter(SHIPPED[rule].levels.values()))
    made = alarm(label="R07 (old container C-14, hall 2 north-east corner) feed A", lo=value, best=value, hi=value,
                 limit=limit, unit=unit, base=base)  # fmt: skip
    made.rule, made.levels = SHIPPED[rule], shipped
    title = words(made).title
    assert len(title) <= TITLE_MOST
    assert title.startswith("R07 (old")
    assert "…" in title.split(" feed A ")[0]
    assert title.endswith(f"= {value / limit * 100:.0f} %")


@pytest.mark.parametrize("rule", sorted(SHIPPED))
@given(
    label=st.text(max_size=120), base=st.text(max_size=60), value=st.floats(0, 1e12), limit=st.floats(1, 1e9),
    unit=st.sampled_from(["W", "VA", "A", "°C", "K/min", "L/min", "%", "V", ""]), headline=st.text(max_size=200),
    ended=st.sampled_from(["", "resolved", "unverifiable", "withdrawn"]), best=st.booleans(),
)  # fmt: skip
@settings(max_examples=15)
def test_no_rule_and_no_name_makes_a_title_that_is_long_or_more_than_a_line(rule, label, ended, value, **shown):
    made = alarm(label=label, lo=value, best=value if shown.pop("best") else None, hi=value * 2, **shown)
    made.rule, made.levels = SHIPPED[rule], next(iter(SHIPPED[rule].levels.values()))
    message = words(made, ended=ended)
    assert 0 < len(message.title) <= TITLE_MOST
    assert message.title.isprintable()
    assert message.title.strip() == message.title
    assert message.text.splitlines()[1].startswith("Where: ")


def test_what_is_not_known_is_said_by_its_bounds():
    evidence = Evidence(spans=(), lo=12_000.0, best=None, hi=44_200.0, limit=33_000.0, unit="W", base="budget")
    assert ratio_words(evidence) == "12 to 44.2 of 33 kW budget = 36 to 134 %"


def test_amperes_name_their_breaker():
    evidence = Evidence(spans=(), lo=27.8, best=27.8, hi=27.8, limit=32.0, unit="A", base="32 A breaker")
    assert ratio_words(evidence) == "27.8 of 32 A breaker = 87 %"
    derated = dataclasses.replace(evidence, limit=25.6, base="32 A breaker x 0.8 continuous")
    assert ratio_words(derated) == "27.8 of 25.6 A (32 A breaker x 0.8 continuous) = 109 %"


def test_megawatts_read_as_megawatts():
    evidence = Evidence(spans=(), lo=11.9e6, best=11.9e6, hi=11.9e6, limit=12e6, unit="W", base="limit")
    assert ratio_words(evidence) == "11.9 of 12 MW limit = 99 %"


@given(label=st.text(max_size=200), value=st.floats(0, 1e9), limit=st.floats(1, 1e9))
def test_a_title_is_one_short_line_whatever_a_label_says(label, value, limit):
    made = alarm(label=label, lo=value, best=value, hi=value, limit=limit, unit="W", base="budget")
    message = words(made)
    assert len(message.title) <= TITLE_MOST
    assert message.title.isprintable()
    assert "e+" not in message.text.split("Where")[0]


def test_a_short_id_is_stable_and_typable():
    assert short_id("s:rack_density_power:rack:r01") == short_id("s:rack_density_power:rack:r01")
    assert short_id("a") != short_id("b")
    assert short_id("a").isalnum()
    assert len(short_id("a")) == 8


SAVED = RestoredAlarm(
    key="s:r:rack:x", rule="r", target_kind="rack", target_id="x", state=AlertState.FIRING, severity=Severity.CRITICAL,
    told=Severity.WARNING, since_ns=SINCE_NS, seen_ns=SINCE_NS,
    levels=(LevelState(Severity.WARNING, 0.9, AlertState.CLEARING, 12.5),),
    lo=1.0, best=None, hi=2.0, limit=3.0, unit="W", title="t", text="a\nb", cause="c",
)  # fmt: skip


@pytest.mark.parametrize("saved", [SAVED, dataclasses.replace(SAVED, told=None, levels=())])
def test_what_is_stored_comes_back_the_same(saved):
    assert RestoredAlarm.load(saved.dump()) == saved


@given(st.one_of(st.binary(max_size=60), st.sampled_from([b"[]", b"1", b"null", b'{"levels": 3}', SAVED.dump()[:-9]])))
def test_anything_else_is_refused_as_a_value_error(blob):
    with pytest.raises(ValueError, match=r".*"):
        RestoredAlarm.load(blob)

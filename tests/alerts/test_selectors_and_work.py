"""What selectors mean, when repeated work takes place over a change of clocks, and the figures about alarms."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeld.alerts.quality import Quality
from keeld.alerts.selector import KEYS, Selector, SelectorError, parse
from keeld.alerts.work import Work
from keeld.config.rulebook import SELECTABLE
from keeld.model import Severity

ZONE = "America/Toronto"
SECOND = 1_000_000_000
TAGS = frozenset({"kind:rack", "id:r07", "rack:r07", "row:c", "state:ai", "tenant:acme"})


def at(*local: int) -> int:
    return int(datetime(*local, tzinfo=ZoneInfo(ZONE)).timestamp()) * SECOND


@pytest.mark.parametrize(
    ("text", "is_meant"),
    [
        ("all", True),
        ("*", True),
        ("rack=r07", True),
        ("rack=r0*", True),
        ("rack=r0[1-6]", False),
        ("row=c, rule=leak", True),
        ("row=c rule=source_*", False),
        ("tenant=acme,state=mining", False),
        ("device=pdu-1", False),
    ],
)
def test_every_word_of_a_selector_must_match(text, is_meant):
    assert parse(text).matches("leak", TAGS) is is_meant


@pytest.mark.parametrize("text", ["", "r07", "rac=r07", "rack=", "rack=a,rack=b", "=", "rack=" + "x" * 300])
def test_what_is_no_selector_is_refused_with_a_remedy(text):
    with pytest.raises(SelectorError) as refused:
        parse(text)
    assert refused.value.wrong
    assert refused.value.remedy


@given(st.dictionaries(st.sampled_from(KEYS), st.text("abc019*?-/", min_size=1, max_size=9)))
def test_a_selector_is_read_back_as_it_is_written(patterns):
    selector = Selector(tuple((key, patterns[key]) for key in KEYS if key in patterns))
    assert parse(str(selector)) == selector


def test_the_configuration_knows_the_keys_of_selectors():
    assert set(SELECTABLE) == set(KEYS) - {"rule"}


def work(begins_ns: int, hours: float, days: int = 0, ended_ns: int = 0) -> Work:
    return Work(
        id="w", target=parse("node=a"), owner="eve", reason="x", begins_ns=begins_ns,
        ends_ns=begins_ns + round(hours * 3600 * SECOND), every_days=days, ended_ns=ended_ns,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("first", "when", "begins"),
    [
        pytest.param((2026, 3, 1, 2, 0), (2026, 3, 15, 2, 30), (2026, 3, 15, 2, 0), id="clocks went forward"),
        pytest.param((2026, 10, 25, 2, 0), (2026, 11, 8, 2, 30), (2026, 11, 8, 2, 0), id="clocks went back"),
        pytest.param((2026, 3, 1, 2, 0), (2026, 3, 2, 12, 0), (2026, 3, 8, 3, 0), id="an hour that is left out"),
        pytest.param((2026, 1, 4, 23, 0), (2026, 11, 22, 1, 0), (2026, 11, 22, 23, 0), id="many weeks later"),
    ],
)
def test_weekly_work_keeps_its_local_hour(first, when, begins):
    time = work(at(*first), 2.0, days=7).time_at(at(*when), ZONE)
    assert time is not None
    assert time[0] == at(*begins)
    assert time[1] - time[0] == 7200 * SECOND


def test_work_that_was_ended_by_hand_comes_again_the_next_time_only():
    begins = at(2026, 6, 1, 2, 0)
    time = work(begins, 2.0, days=1, ended_ns=begins + 60 * SECOND).time_at(begins + 120 * SECOND, ZONE)
    assert time == (at(2026, 6, 2, 2, 0), at(2026, 6, 2, 4, 0))


def test_work_that_takes_place_once_is_gone_half_an_hour_after_its_end():
    once = work(at(2026, 6, 1, 2, 0), 2.0)
    assert once.time_at(at(2026, 6, 1, 4, 29), ZONE) is not None
    assert once.time_at(at(2026, 6, 1, 4, 31), ZONE) is None


@given(st.integers(0, 400 * 24), st.sampled_from([1, 7, 14]))
def test_repeated_work_always_has_a_next_time(hours, days):
    begins = at(2026, 1, 1, 2, 0)
    now = begins + hours * 3600 * SECOND
    time = work(begins, 1.0, days=days).time_at(now, ZONE)
    assert time is not None
    assert now < time[1] + 1800 * SECOND
    assert time[0] - now <= (days * 24 + 2) * 3600 * SECOND


def test_the_figures_count_empty_spans_and_name_floods():
    quality = Quality()
    start = at(2026, 6, 1, 0, 0)
    quality.begin(start)
    for _ in range(12):
        quality.note("leak", Severity.CRITICAL, start + 60 * SECOND)
    quality.note("blind", Severity.WARNING, start + 3600 * SECOND)
    quality.note_chatter(start)
    figures = quality.figures((), start + 9 * 600 * SECOND, days=1)
    assert (figures.told, figures.most_in_ten_minutes, figures.chattering, figures.stale) == (13, 12, 1, 0)
    assert figures.per_ten_minutes == pytest.approx(1.3)
    assert figures.flood_ratio == pytest.approx(0.1)
    assert figures.by_rule == {"leak": 12, "blind": 1}
    assert figures.top_ratio == 1.0
    again = Quality()
    again.load(quality.dump())
    assert again.figures((), start + 9 * 600 * SECOND, days=1) == figures


def test_the_figures_of_nothing_are_no_numbers_of_something():
    figures = Quality().figures((), at(2026, 6, 1, 0, 0), days=30)
    assert (figures.told, figures.per_ten_minutes, figures.top_ratio) == (0, 0.0, None)


def test_counts_are_bounded_over_the_years():
    quality = Quality()
    start = at(2026, 1, 1, 0, 0)
    for number in range(60_000):
        quality.note("leak", Severity.INFO, start + number * 600 * SECOND)
    assert len(quality.dump()["counts"]) < 150_000

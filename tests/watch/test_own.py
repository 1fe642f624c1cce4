"""Keeld's own troubles (rules 36, 37, 51) are alarms like any other, and a database that is away is none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeld.health import OwnState
from keeld.model import Notice

GOOD = OwnState(
    channels={"pager": "", "mail": ""},
    clock_is_synchronised=True,
    disk_free_bytes=50 << 30,
    certificates_s={"influx.site:8086": 90 * 86400.0},
)
HOUR_S = 3600.0


class Self:
    """A quiet site whose keeld says how it does every ten seconds."""

    def __init__(self, kit, **drive) -> None:
        self.kit = kit
        self.site = replace(kit.site(racks=1, miners=0), channels=("pager", "mail"))
        self.drive = kit.drive(self.site, **drive)
        self.own: OwnState | None = GOOD

    def run(self, span_s: float, **changed) -> Self:
        self.own = replace(self.own, **changed)
        for _ in range(round(span_s / 10)):
            self.drive.watch.note_self(self.own, self.kit.at(self.drive.now_s))
            self.drive.run(10, self.kit.steady())
        return self

    @property
    def told(self) -> list[tuple[str, str, str, str]]:
        return [
            (move.notice.value, move.rule, move.target_id, move.severity.value)
            for _, move in self.drive.moves
            if move.notice
        ]


@pytest.fixture
def keeld(kit):
    return Self(kit)


def test_a_keeld_that_does_well_says_nothing(keeld):
    assert keeld.run(900).drive.moves == []


def test_a_spool_that_will_be_full_warns_and_then_pages(keeld):
    keeld.run(60).run(300, spool_full_s=20 * HOUR_S, spool_words="14 GiB wait for influx.")
    assert keeld.told == [("trigger", "keeld_delivery", "s", "warning")]
    keeld.run(300, spool_full_s=1.5 * HOUR_S)
    assert keeld.told[1:] == [("escalate", "keeld_delivery", "s", "critical")]
    (page,) = keeld.drive.pages
    assert page.title == "keeld will soon have to drop readings"
    assert "dropped in 20 h. 14 GiB wait for influx." in page.text
    keeld.run(300, spool_full_s=None, spool_words="")
    assert keeld.told[-1] == ("resolve", "keeld_delivery", "s", "critical")


def test_a_database_that_is_away_with_room_left_is_no_page(keeld):
    assert keeld.run(3_600, spool_full_s=100 * HOUR_S).drive.moves == []


def test_one_channel_that_fails_is_a_warning_about_it(keeld):
    keeld.run(60).run(110, channels={"pager": "http://p: 401", "mail": ""})
    assert keeld.told == []
    keeld.run(60)
    assert keeld.told == [("trigger", "keeld_delivery", "pager", "warning")]
    assert "http://p: 401." in keeld.drive.pages[0].text
    keeld.run(120, channels={"pager": "", "mail": ""})
    assert keeld.told[-1] == ("resolve", "keeld_delivery", "pager", "warning")


def test_all_channels_that_fail_are_one_page(keeld):
    keeld.run(60).run(600, channels={"pager": "away", "mail": "away"})
    assert keeld.told == [("trigger", "keeld_delivery", "s/channels", "critical")]
    assert "pager: away. mail: away." in keeld.drive.pages[0].text


def test_a_heartbeat_that_does_not_arrive_is_a_warning(keeld):
    keeld.run(60).run(300, heartbeat="https://hc: Connection refused")
    assert keeld.told == [("trigger", "keeld_heartbeat", "s/heartbeat", "warning")]
    keeld.run(120, heartbeat="")
    assert keeld.told[-1][0] == "resolve"


@pytest.mark.parametrize(
    ("changed", "target", "severity", "words"),
    [
        ({"clock_jump_s": -90.0}, "s/clock", "warning", "It was set back by 90 s."),
        ({"disk_free_bytes": 100 << 20}, "s/disk", "critical", "100 MiB are free."),
        ({"disk_full_s": 20 * HOUR_S}, "s/disk", "warning", "At this pace it is full in 20 h."),
        ({"state_trouble": "the disk of /x is full"}, "s/state", "warning", "the disk of /x is full"),
        ({"certificates_s": {"a:1": 86400.0}}, "s/certificates", "critical", "a:1: ends in 24 h."),
        ({"certificates_s": {"a:1": -5.0}}, "s/certificates", "critical", "a:1: has ended."),
        ({"certificates_s": {"a:1": 10 * 86400.0}}, "s/certificates", "warning", "a:1: ends in 10 d."),
    ],
)
def test_the_host_is_looked_after(keeld, changed, target, severity, words):
    keeld.run(60).run(120, **changed)
    ((_, rule, target_id, told),) = keeld.told
    assert (rule, target_id, told) == ("keeld_host", target, severity)
    assert words in keeld.drive.pages[0].text


@pytest.mark.parametrize(
    ("changed", "target", "patience_s"),
    [
        ({"clock_is_synchronised": False}, "s/clock", 600),
        ({"config_words": "keeld.yaml has changed since it was loaded"}, "s/configuration", 1_800),
    ],
)
def test_what_is_usual_for_a_while_is_told_only_when_it_lasts(keeld, changed, target, patience_s):
    keeld.run(60).run(patience_s - 60, **changed)
    assert keeld.told == []
    keeld.run(240)
    assert [told[2] for told in keeld.told] == [target]


def test_what_nobody_knows_is_no_alarm(keeld):
    keeld.own = OwnState()
    assert keeld.run(3_600).drive.moves == []


def test_without_news_nothing_ends(keeld):
    keeld.run(60).run(300, heartbeat="away")
    keeld.drive.run(1_200, keeld.kit.steady())
    assert [told[0] for told in keeld.told] == ["trigger"]


def test_a_restart_tells_nothing_again(kit, keeld):
    keeld.run(60).run(300, channels={"pager": "away", "mail": ""})
    later = Self(kit, restored=keeld.drive.watch.snapshot(), start_s=500)
    later.run(300, channels={"pager": "away", "mail": ""})
    assert later.told == []
    later.run(200, channels={"pager": "", "mail": ""})
    assert later.told == [("resolve", "keeld_delivery", "pager", "warning")]


def test_a_channel_that_is_taken_out_withdraws_its_alarm(kit, keeld):
    keeld.run(60).run(300, channels={"pager": "away", "mail": ""})
    moves = keeld.drive.watch.reload(replace(keeld.site, channels=("mail",)), {}, kit.at(keeld.drive.now_s))
    assert [(move.target_id, move.ended) for move in moves if move.notice is Notice.RESOLVE] == [("pager", "withdrawn")]

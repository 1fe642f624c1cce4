"""The messages of incidents word by word, against files that people can read; WRITE_GOLDEN=1 writes them anew."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml

from keeld import config
from keeld.alerts.alarm import Target
from keeld.alerts.message import TITLE_MOST
from keeld.alerts.shipped import SHIPPED
from keeld.drills import transitions
from keeld.model import Moment, Notice
from keeld.notify import words
from keeld.replay.forms import notice_kind
from keeld.state import Outgoing
from keeld.watch import Watch
from keeld.watch.subjects import Subject

GOLDEN = Path(__file__).parents[1] / "golden" / "messages"
SITUATIONS = yaml.safe_load((GOLDEN / "situations.yaml").read_text())
T0_NS = 1_795_348_800 * 1_000_000_000


def steps_of(situation):
    """The steps as the incidents have them; a climb is a step a minute."""
    if "climb" not in situation:
        return situation["steps"]
    rack, begin, end, over = situation["climb"]
    minutes = int(over.removesuffix("m"))
    return {f"{n}m": f"load {rack} {begin + (end - begin) * n / minutes:.0f}" for n in range(minutes)}


def told(stage, name):
    situation = SITUATIONS[name]
    kind, rule, target = situation["tells"]
    make = type(stage.incidents()[0])
    played = stage.play(make(name, situation.get("site", "colo"), situation["lasts"], steps_of(situation)))
    assert played.complaints == []
    mine = [move for move in played.moves if (move.rule, move.target_id) == (rule, target)]
    wanted = [move for move in mine if kind == "shown" or kind in (notice_kind(move), move.notice)]
    assert wanted, [(notice_kind(move), move.rule, move.target_id) for move in played.moves if move.notice]
    return wanted[-1]


def as_people_see_it(move) -> str:
    """The headline, and the text under it."""
    outgoing = Outgoing("", "", move.notice or Notice.TRIGGER, move.time_ns, move)
    return f"{words.headline(outgoing)}\n\n{words.facts(outgoing, 20_000)}\n"


def check(name: str, said: str) -> None:
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("WRITE_GOLDEN"):
        path.write_text(said)
    assert said == path.read_text()


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_message_says_what_the_file_says(stage, name):
    move = told(stage, name)
    assert len(move.title) <= TITLE_MOST
    check(name, as_people_see_it(move))


def test_a_drill_says_that_it_is_one():
    settings = config.rehearse(Path(__file__).parent / "sites" / "colo.yaml")
    watch = Watch(settings.site, settings.rules, now=Moment(T0_NS, 0))
    subject = next(each for each in watch.subjects() if each.key == ("leak", "device", "cdu-1-plc"))
    first = transitions(subject, settings.site.name, "ada", escalates=False)[0]
    check("drill", as_people_see_it(first))


@pytest.mark.parametrize("label", ["", "x" * 300, "a\nb\u202ec\x00" * 20, "\ud800", "  ", "é" * 90])
def test_a_drill_of_something_with_a_strange_name_fits_as_well(label):
    target = Target("rack", "r1", label)
    rule = SHIPPED["rack_density_power"]
    for move in transitions(Subject(rule, rule.levels["ai"], target), "dal1", "ada", escalates=True):
        assert len(move.title) <= TITLE_MOST
        assert move.title.isprintable()
        assert move.title.startswith("DRILL: ")


def test_every_file_belongs_to_a_situation():
    assert {path.stem for path in GOLDEN.glob("*.txt")} == {*SITUATIONS, "drill"}


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.txt")), ids=lambda path: path.stem)
def test_a_share_names_what_it_is_a_share_of(path):
    """After an equals sign stands what was divided; elsewhere the sentence goes on with its base."""
    for line in path.read_text().splitlines():
        for share in re.finditer(r"(\S+ )?\d %(?P<rest>[^.;,)]*)", line):
            before = line[: share.start()]
            assert " of " in before or " of " in share["rest"] or "rule" in share["rest"], line

"""Every incident of the suite through the replay: each real one is told once with its cause, no harmless one is."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).parent
NAMES = [
    entry["name"]
    for path in sorted(HERE.glob("*.yaml"))
    for entry in yaml.safe_load(path.read_text())["incidents"]
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_people_hear_of_it_what_they_must_and_nothing_else(stage, name):
    incident = next(each for each in stage.incidents() if each.name == name)
    played = stage.play(incident)
    assert len(played.complaints) == len(incident.complains)
    for (_, said), words in zip(played.complaints, incident.complains, strict=True):
        assert words in said
    assert played.heard() == list(incident.hears)
    for rule, words in incident.says.items():
        assert words in played.words(rule)


def test_there_are_many_and_each_has_a_name_of_its_own():
    assert len(NAMES) >= 50
    assert len(set(NAMES)) == len(NAMES)

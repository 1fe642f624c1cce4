"""Incidents of power: feeds, breakers, budgets, swings."""

from __future__ import annotations

import pytest

MINUTE = 60.0

INCIDENTS = [
    dict(name="a quiet day", site="hall", lasts="2h"),
    dict(name="a quiet day in the mine", site="mine", lasts="1h"),
    dict(
        name="a feed dies and its PDU with it",
        site="hall",
        lasts="50m",
        steps=(("10m", "lose", "b-01"), ("30m", "restore", "b-01")),
        hears=("firing critical feed_dead feed:r01/b", "resolved critical feed_dead feed:r01/b"),
        says={"feed_dead": "took over"},
    ),
    dict(
        name="a feed dies and its link-powered PDU reports no voltage",
        site="hall",
        lasts="50m",
        before=(("set", "link_powered", {"value": {"pdu-01-b"}}),),
        steps=(("10m", "lose", "b-01"), ("30m", "restore", "b-01")),
        hears=("firing critical feed_dead feed:r01/b", "resolved critical feed_dead feed:r01/b"),
        says={"feed_dead": "less than half of the voltage"},
    ),
    dict(
        name="a PDU's controller dies, its feed does not",
        site="hall",
        lasts="40m",
        steps=(("10m", "silence", "pdu-01-b"), ("30m", "heal", "pdu-01-b")),
        hears=(
            "firing info source_stale device:pdu-01-b",
            "escalated warning source_stale device:pdu-01-b",
            "resolved warning source_stale device:pdu-01-b",
        ),
    ),
]


@pytest.mark.parametrize("case", INCIDENTS, ids=lambda case: case["name"])
def test_each_incident_is_told_as_it_is(stage, case):
    incident = stage.incident(**case)
    played = stage.run(incident)
    assert played.complaints == []
    assert played.heard() == list(incident.hears)
    for rule, words in incident.says.items():
        assert words in played.words(rule)

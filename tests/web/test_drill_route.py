"""Asking for a drill: on the socket alone, by a form that says what it wants."""

from __future__ import annotations

import getpass

import pytest

from keeld.drills import Begun, DrillError
from keeld.model import Notice, Severity


@pytest.fixture
def asked(source):
    """What the daemon was asked for; it knows the rule `leak` alone."""
    calls = []

    def drill(rule, target, who, *, escalates, hold_s):
        if rule != "leak":
            raise DrillError(f"rule '{rule}' is judged nowhere at this site", "did you mean leak?")
        calls.append((rule, target, who, escalates, hold_s))
        return Begun("s:drill.leak:rack:r1", "abcdefgh", ((Notice.TRIGGER, Severity.CRITICAL),))

    source.drill = drill
    return calls


async def test_a_drill_is_asked_for_in_the_name_of_who_asks(local, asked):
    async with local.post("/api/v1/drill", json={"rule": "leak", "target": "rack:r1", "escalate": True}) as response:
        assert response.status == 200
        assert (await response.json())["says"] == [{"notice": "trigger", "severity": "critical"}]
    assert asked == [("leak", "rack:r1", getpass.getuser(), True, 10.0)]


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"rule": "leek", "target": "r1"}, 409),
        ({"rule": "leak"}, 400),
        ({"rule": 1, "target": "r1"}, 400),
        ({"rule": "leak", "target": "r1", "hold_s": -1}, 400),
        ({"rule": "leak", "target": "r1", "hold_s": True}, 400),
        ({"rule": "leak", "target": "r1", "escalate": "yes"}, 400),
        ([], 400),
    ],
)
async def test_what_is_no_drill_is_refused(local, asked, form, status):
    async with local.post("/api/v1/drill", json=form) as response:
        assert response.status == status
        assert (await response.json())["error"]
    assert asked == []


async def test_nobody_drills_over_tcp(client, asked):
    async with client.post("/api/v1/drill", json={"rule": "leak", "target": "r1"}) as response:
        assert response.status == 405
    assert asked == []

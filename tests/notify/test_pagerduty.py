"""PagerDuty gets events of its Events API v2, all about one alarm under one key."""

from __future__ import annotations

import hashlib

import orjson
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from keeld.credentials import Secret
from keeld.errors import DeliveryError
from keeld.model import AlertState, Notice, Severity, Transition
from keeld.notify import pagerduty
from keeld.settings import ChannelSettings
from keeld.state import Outgoing

KEY = "R0UTINGKEY0123456789abcdef012345"


@pytest.fixture
async def channel(receiver):
    opened = pagerduty.open_channel(
        ChannelSettings(
            kind="pagerduty",
            name="duty",
            url=Secret(f"http://127.0.0.1:{receiver.port}"),
            secrets={"routing_key": Secret(KEY)},
        ),
        "dal1",
    )
    yield opened
    await opened.close()


def sent(receiver) -> list[dict]:
    return [orjson.loads(body) for _, body in receiver.received]


async def test_a_trigger_is_an_event_with_all_its_facts(receiver, channel, message):
    receiver.always = 202
    await channel.send(message())
    (event,) = sent(receiver)
    details = event["payload"].pop("custom_details")
    assert event == {
        "routing_key": KEY,
        "event_action": "trigger",
        "dedup_key": "keeld:dal1:rack_density_power:rack:r08",
        "client": "keeld",
        "links": [{"href": "https://wiki.site/rack?a=1&b=2", "text": "Runbook"}],
        "payload": {
            "summary": "[CRIT] dal1 r08 power 33.9 kW of 30.0 kW limit (113%)",
            "source": "dal1 rack r08",
            "severity": "critical",
            "timestamp": "2026-11-23T02:53:00.123Z",
            "component": "rack r08",
            "group": "dal1",
            "class": "rack_density_power",
        },
    }
    assert (details["value"], details["limit"], details["unit"]) == (33900.0, 30000.0, "W")
    assert details["message_id"] == "0f" * 16
    assert "Likely cause: 4 nodes" in details["text"]


async def test_a_rise_and_the_end_keep_the_key(receiver, channel, message):
    await channel.send(message(severity=Severity.WARNING))
    await channel.send(message(Notice.ESCALATE, Severity.WARNING, before=AlertState.FIRING))
    await channel.send(message(Notice.RESOLVE, ended="unverifiable"))
    events = sent(receiver)
    assert [event["event_action"] for event in events] == ["trigger", "trigger", "resolve"]
    assert [event["payload"]["severity"] for event in events[:2]] == ["warning", "critical"]
    assert len({event["dedup_key"] for event in events}) == 1
    assert set(events[2]) == {"routing_key", "event_action", "dedup_key"}


async def test_the_path_of_the_events_api_is_added_to_a_host_alone(receiver, channel, message):
    paths = []

    async def note(request):
        paths.append(request.path)
        return web.Response(status=202)

    receiver.always = note
    await channel.send(message())
    assert paths == ["/v2/enqueue"]


async def test_a_key_that_is_too_long_is_hashed(message):
    long = message(key="dal1:rack_density_power:rack:" + "r" * 300)
    digest = hashlib.sha256(f"keeld:{long.transition.key}".encode()).hexdigest()
    assert pagerduty.dedup_key(long) == f"keeld:{digest}"


async def test_an_answer_that_repeats_the_key_is_shown_without_it(receiver, channel, message):
    async def invalid(request):
        return web.Response(status=400, text=f'{{"status":"invalid event","errors":["{KEY} is no key"]}}')

    receiver.always = invalid
    with pytest.raises(DeliveryError) as raised:
        await channel.send(message())
    assert raised.value.permanent
    assert "invalid event" in raised.value.detail
    assert KEY[:16] not in raised.value.detail
    assert KEY not in repr(vars(channel))


async def test_too_many_events_are_asked_to_wait(receiver, channel, message):
    receiver.always = (429, {"Retry-After": "30"})
    with pytest.raises(DeliveryError) as raised:
        await channel.send(message())
    assert (raised.value.permanent, raised.value.retry_after_s) == (False, 30.0)


@given(st.text(max_size=400), st.text(max_size=3000), st.text(max_size=20000), st.floats())
def test_any_transition_fits_the_api(key, title, text, value):
    move = Transition(
        key=key,
        alert_id="a",
        rule="leak",
        target_kind="rack",
        target_id="r1",
        before=AlertState.PENDING,
        after=AlertState.FIRING,
        severity=Severity.INFO,
        title=title,
        text=text,
        best=value,
    )
    event = pagerduty.event(Outgoing("id", "duty", Notice.TRIGGER, 1, move), "s")
    assert 0 < len(event["dedup_key"].encode()) <= 255
    assert 0 < len(event["payload"]["summary"]) <= 1024
    assert len(orjson.dumps(event)) < 512 << 10

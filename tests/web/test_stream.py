"""The event stream: what comes, in which form, for whom, and what a slow reader loses."""

from __future__ import annotations

import asyncio
import json

import pytest

from keeld.errors import Outage
from keeld.metrics import CURRENT, POWER
from keeld.model import OWN_DRIVER, Batch, Device, Reading
from keeld.web import stream

AT_NS = 1_795_402_380_123_000_000


def batch(source, name, *, watts=1000.0, outage=None):
    readings = () if outage else (Reading(POWER, watts), Reading(CURRENT, 1.5, "L1"))
    return Batch(source.settings.site.devices[name], AT_NS, 1, readings, outage)


def own_batch(kind="rack"):
    device = Device(id="r08", site="dal1", kind=kind, driver=OWN_DRIVER, address="", rack="r08")
    return Batch(device, AT_NS, 1, (Reading(POWER, 5.0),))


@pytest.fixture(autouse=True)
def _short_pulse(monkeypatch):
    """A reader that has gone shows at the next pulse: let the tests not wait for it."""
    monkeypatch.setattr(stream, "_STILL_HERE_S", 0.1)


async def first_line(response):
    async with asyncio.timeout(5):
        while not (line := await response.content.readline()).strip():
            pass
    return json.loads(line)


async def test_a_batch_comes_as_a_line_that_can_be_replayed(client, source):
    async with client.get("/api/v1/stream") as response:
        assert response.headers["Content-Type"] == "application/jsonl"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        source.fanout.publish(batch(source, "pdu-r08-a"))
        source.fanout.publish(batch(source, "pdu-r08-b", outage=Outage.TIMEOUT))
        line = await first_line(response)
        assert line.pop("received").endswith("Z")
        assert line == {
            "time": "2026-11-23T02:53:00.123Z",
            "device": "pdu-r08-a",
            "readings": {"power_watts": 1000.0, "current_amperes/L1": 1.5},
        }
        assert (await first_line(response))["outage"] == "timeout"


async def test_server_sent_events_on_request(client, source):
    async with client.get("/api/v1/stream", headers={"Accept": "text/event-stream"}) as response:
        source.fanout.publish(batch(source, "pdu-r08-a"))
        async with asyncio.timeout(5):
            while (line := await response.content.readline()) in (b":\n", b"\n"):
                pass
        assert line.startswith(b'data: {"time"')
        assert await response.content.readline() == b"\n"


@pytest.mark.parametrize(
    ("query", "comes"),
    [
        ("", ["pdu-r08-a", "pdu-r08-b"]),
        ("?device=pdu-r08-b", ["pdu-r08-b"]),
        ("?kind=rack", ["r08"]),
        ("?kind=rack&kind=pdu", ["pdu-r08-a", "r08", "pdu-r08-b"]),
        ("?kind=pdu&device=pdu-r08-a", ["pdu-r08-a"]),
    ],
)
async def test_only_what_was_asked_for_comes(client, source, query, comes):
    async with client.get(f"/api/v1/stream{query}") as response:
        for each in (batch(source, "pdu-r08-a"), own_batch(), batch(source, "pdu-r08-b")):
            source.fanout.publish(each)
        assert [(await first_line(response))["device"] for _ in comes] == comes


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("?device=pdu-r08-x", "did you mean pdu-r08-"),
        ("?rack=zz", "no rack 'zz'"),
        ("?kind=pduu", "did you mean pdu?"),
        ("?since=1h", "not filtered by 'since'"),
    ],
)
async def test_a_filter_that_selects_nothing_is_refused(client, query, says):
    async with client.get(f"/api/v1/stream{query}") as response:
        assert response.status == 400
        assert says in await response.text()


async def test_a_slow_reader_loses_its_oldest_and_is_told(client, source, monkeypatch):
    monkeypatch.setattr(stream, "_WAITING_MOST", 3)
    async with client.get("/api/v1/stream") as response:
        for watts in range(10):
            source.fanout.publish(batch(source, "pdu-r08-a", watts=float(watts)))
        assert await first_line(response) == {"dropped": 7}
        assert [(await first_line(response))["readings"]["power_watts"] for _ in range(3)] == [7.0, 8.0, 9.0]


async def test_readers_are_few_and_leave_nothing_behind(client, source):
    open_streams = [await client.get("/api/v1/stream") for _ in range(8)]
    async with client.get("/api/v1/stream") as response:
        assert response.status == 503
    for each in open_streams:
        each.close()
    source.fanout.publish(batch(source, "pdu-r08-a"))
    async with asyncio.timeout(5):
        while source.fanout.subscriptions:
            source.fanout.publish(batch(source, "pdu-r08-a"))
            await asyncio.sleep(0.01)
    async with client.get("/api/v1/stream") as response:
        assert response.status == 200


async def test_the_stream_ends_with_keeld(client, source):
    async with client.get("/api/v1/stream") as response:
        source.fanout.publish(batch(source, "pdu-r08-a"))
        source.fanout.close()
        rest = await asyncio.wait_for(response.content.read(), 5)
        assert len(rest.split()) == 1


async def test_a_quiet_stream_shows_that_keeld_is_there(client):
    async with client.get("/api/v1/stream") as response:
        assert await asyncio.wait_for(response.content.readline(), 5) == b"\n"

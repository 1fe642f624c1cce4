"""The sign of life goes out while every part moves, and at no other time."""

from __future__ import annotations

import asyncio

import orjson

from keeld.credentials import Secret
from keeld.health import Health
from keeld.notify import heartbeat
from keeld.notify.alertmanager import Alertmanager
from keeld.settings import ChannelSettings, HeartbeatSettings


def beat(url: str, health: Health, stalled: list[str], interval_s: float = 0.05) -> heartbeat.Heartbeat:
    settings = HeartbeatSettings(url=Secret(url), interval_s=interval_s)
    return heartbeat.Heartbeat(settings, health, stalled=lambda: stalled, status=lambda: "40 devices, 0 out")


async def test_signs_go_out_at_once_and_at_a_steady_pace(receiver, run):
    health = Health()
    one = beat(f"{receiver.url}/ping/uuid", health, [])
    async with run(one.run()):
        await receiver.count(4)
    await one.close()
    headers, body = receiver.received[0]
    assert (headers["Content-Type"], body) == ("text/plain", b"40 devices, 0 out")
    assert health.notifications["heartbeat"] >= 3


async def test_while_a_part_stands_still_there_is_no_sign(receiver, run, until, monkeypatch):
    monkeypatch.setattr(heartbeat, "_STILL_S", 0.02)
    stalled = ["judge"]
    one = beat(receiver.url, Health(), stalled)
    async with run(one.run()):
        await asyncio.sleep(0.2)
        assert receiver.received == []
        stalled.clear()
        await receiver.count(1)
    await one.close()


async def test_a_receiver_that_is_away_is_tried_again_and_named_once(run, until, receiver):
    health = Health()
    one = beat("http://127.0.0.1:9/secret-path", health, [])
    async with run(one.run()):
        await until(lambda: health.notification_failures["heartbeat"] >= 2)
        assert "refused" in one.trouble
        assert "secret" not in one.trouble
    await one.close()


async def test_an_alertmanager_is_told_that_keeld_works(receiver):
    options = {"watchdog": "true"}
    settings = ChannelSettings(kind="alertmanager", name="am", url=Secret(receiver.url), options=options)
    channel = Alertmanager(settings, "dal1", clock_ns=lambda: 1_795_402_400_000_000_000)
    assert await channel.again([])
    await channel.close()
    (alert,) = orjson.loads(receiver.received[0][1])
    assert alert["labels"] == {"alertname": "Watchdog", "site": "dal1", "severity": "none"}
    assert (alert["startsAt"], alert["endsAt"]) == ("2026-11-23T02:53:20.000Z", "2026-11-23T02:56:20.000Z")

"""The MQTT channel on a real Mosquitto: what stands is retained, an end clears it, and nothing is left open."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import aiomqtt
import orjson
import pytest

from keeld.credentials import Secret
from keeld.errors import DeliveryError
from keeld.model import Notice
from keeld.notify import mqtt
from keeld.settings import ChannelSettings


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def settings(url: str, **changed) -> ChannelSettings:
    options = {"topic": "keeld/alerts"} | changed.pop("options", {})
    return ChannelSettings(kind="mqtt", name="it", url=Secret(url), options=options, **changed)


@pytest.fixture
def broker(start_engine, tmp_path):
    port = free_port()
    passwords = tmp_path / "passwords"
    passwords.write_text("")
    conf = tmp_path / "mosquitto.conf"
    conf.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nset_tcp_nodelay true\n")
    return start_engine(["/usr/sbin/mosquitto", "-c", str(conf)], port)


async def retained(port: int, topic: str = "keeld/#", wait_s: float = 0.3) -> dict[str, dict]:
    """What a subscriber is given at once."""
    found = {}
    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe(topic)
        try:
            async with asyncio.timeout(wait_s):
                async for message in client.messages:
                    found[str(message.topic)] = orjson.loads(message.payload)
        except TimeoutError:
            return found
    return found


@pytest.mark.engine("mosquitto")
async def test_what_stands_is_retained_and_an_end_clears_it(broker, message):
    channel = mqtt.open_channel(settings(f"mqtt://127.0.0.1:{broker.port}"), "dal1")
    await channel.send(message())
    kept = await retained(broker.port)
    assert list(kept) == ["keeld/alerts/dal1/rack_density_power/a8"]
    (body,) = kept.values()
    assert (body["notice"], body["severity"], body["value"], body["limit"]) == ("trigger", "critical", 33900.0, 30000.0)
    assert "id" not in body
    async with aiomqtt.Client("127.0.0.1", broker.port) as client:
        await client.subscribe("keeld/alerts/+/rack_density_power/#")
        heard = client.messages
        assert (await anext(heard)).retain
        await channel.send(message(Notice.RESOLVE))
        end, cleared = await anext(heard), await anext(heard)
    assert (orjson.loads(end.payload)["ended"], end.retain) == ("resolved", False)
    assert cleared.payload == b""
    assert await retained(broker.port) == {}


@pytest.mark.engine("mosquitto")
async def test_what_a_broker_forgot_is_published_again(broker, message, move):
    channel = mqtt.open_channel(settings(f"mqtt://127.0.0.1:{broker.port}"), "dal1")
    assert not await channel.again([])
    assert await channel.again([move(3), move(4)])
    assert [topic.rpartition("/")[2] for topic in await retained(broker.port)] == ["a3", "a4"]


@pytest.mark.engine("mosquitto")
async def test_a_name_that_could_be_a_wildcard_is_no_level_of_its_own(broker, message):
    channel = mqtt.open_channel(settings(f"mqtt://127.0.0.1:{broker.port}"), "dal1/#")
    await channel.send(message(rule="my+rule/x"))
    assert list(await retained(broker.port)) == ["keeld/alerts/dal1--/my-rule-x/a8"]


async def test_a_broker_that_is_away_is_a_failure_in_one_line(message):
    channel = mqtt.open_channel(settings(f"mqtt://127.0.0.1:{free_port()}"), "dal1")
    with pytest.raises(DeliveryError, match=r"^mqtt://127\.0\.0\.1: .*refused"):
        await channel.send(message())


async def test_a_broker_that_never_answers_costs_no_open_socket(message, monkeypatch):
    monkeypatch.setattr(mqtt, "_STEP_S", 0.1)

    def sockets() -> int:
        return sum(path.is_socket() for path in Path("/proc/self/fd").iterdir())

    with socket.create_server(("127.0.0.1", 0)) as silent:
        channel = mqtt.open_channel(settings(f"mqtt://127.0.0.1:{silent.getsockname()[1]}"), "dal1")
        before = sockets()
        for _ in range(4):
            with pytest.raises(DeliveryError):
                await channel.send(message())
            await asyncio.sleep(0.05)
        assert sockets() == before


@pytest.mark.engine("mosquitto")
async def test_a_login_that_is_refused_shows_no_password(start_engine, tmp_path, message):
    port = free_port()
    (tmp_path / "conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous false\npersistence false\n")
    start_engine(["/usr/sbin/mosquitto", "-c", str(tmp_path / "conf")], port)
    login = {"options": {"username": "keeld"}, "secrets": {"password": Secret("correct horse")}}
    channel = mqtt.open_channel(settings(f"mqtt://127.0.0.1:{port}", **login), "dal1")
    with pytest.raises(DeliveryError) as failure:
        await channel.send(message())
    assert "uthori" in failure.value.detail
    assert "horse" not in failure.value.detail


@pytest.mark.parametrize("url", ["", "http://127.0.0.1", "mqtt:"])
async def test_what_is_no_broker_is_a_failure(url, message):
    with pytest.raises(DeliveryError, match="no mqtt or mqtts address"):
        await mqtt.open_channel(settings(url), "dal1").send(message())

"""What the webhook puts on the wire, and what it refuses to do."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import socket
import time

import orjson
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from keeld.credentials import Secret
from keeld.errors import DeliveryError
from keeld.model import Notice
from keeld.notify import post, webhook
from keeld.notify.post import retry_after_s
from keeld.notify.webhook import Webhook
from keeld.settings import ChannelSettings
from keeld.state import Outgoing


@pytest.fixture
def outgoing(move):
    return Outgoing("0f" * 16, "hook", Notice.TRIGGER, 1, move(8, time_ns=1_795_402_380_123_000_000))


@pytest.fixture
async def channel():
    opened = []

    def make(url: str, **changed) -> Webhook:
        opened.append(Webhook(ChannelSettings(kind="webhook", name="hook", url=Secret(url), **changed), "dal1"))
        return opened[-1]

    yield make
    for it in opened:
        await it.close()


async def test_body_is_as_documented(receiver, channel, outgoing):
    await channel(receiver.url).send(outgoing)
    assert orjson.loads(receiver.received[0].body) == {
        "id": "0f" * 16,
        "time": "2026-11-23T02:53:00.123Z",
        "site": "dal1",
        "key": "dal1:rack_density_power:rack:r08",
        "alert_id": "a8",
        "rule": "rack_density_power",
        "target": {"kind": "rack", "id": "r08"},
        "notice": "trigger",
        "severity": "critical",
        "state": {"from": "pending", "to": "firing"},
        "ended": "",
        "since": "2026-11-23T02:47:00.000Z",
        "value": 33900.0,
        "lo": 33500.0,
        "hi": 34100.0,
        "limit": 30000.0,
        "unit": "W",
        "title": "[CRIT] dal1 r08 power 33.9 kW of 30.0 kW limit (113%)",
        "text": "Where: dal1 / r08\nSince: 02:47",
        "cause": "4 nodes moved to full load",
    }
    headers = receiver.received[0].headers
    assert headers["Content-Type"] == "application/json"
    assert headers["Idempotency-Key"] == "0f" * 16
    assert "Keeld-Signature" not in headers


async def test_what_was_not_measured_is_null(receiver, channel, move):
    unknown = move(1, best=None, lo=0.0, hi=float("inf"), since_ns=0)
    await channel(receiver.url).send(Outgoing("id", "hook", Notice.TRIGGER, 1, unknown))
    body = orjson.loads(receiver.received[0].body)
    assert (body["value"], body["lo"], body["hi"], body["since"]) == (None, 0.0, None, None)


async def test_signature_covers_time_and_body(receiver, channel, outgoing):
    it = channel(receiver.url, secrets={"secret": Secret("s3cret"), "token": Secret("t0ken")})
    await it.send(outgoing)
    headers, body = receiver.received[0]
    expected = hmac.new(b"s3cret", headers["Keeld-Timestamp"].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers["Keeld-Signature"] == f"sha256={expected}"
    assert abs(int(headers["Keeld-Timestamp"]) - time.time()) < 5
    assert headers["Authorization"] == "Bearer t0ken"


@pytest.mark.parametrize(
    ("status", "permanent"),
    [(400, True), (413, True), (422, True), (401, False), (403, False), (404, False), (429, False), (500, False)],
)
async def test_answers_other_than_2xx_raise(receiver, channel, outgoing, status, permanent):
    receiver.answers = [(status, {"Retry-After": "7"})]
    with pytest.raises(DeliveryError) as raised:
        await channel(receiver.url).send(outgoing)
    assert raised.value.permanent is permanent
    assert raised.value.retry_after_s == 7.0
    assert raised.value.detail == f"http://127.0.0.1: {status} said [31m so"


async def test_redirects_are_not_followed(receiver, channel, outgoing):
    receiver.answers = [(302, {"Location": receiver.url})]
    with pytest.raises(DeliveryError, match="redirects are refused"):
        await channel(receiver.url).send(outgoing)
    assert len(receiver.received) == 1


async def test_errors_never_tell_the_path_or_userinfo(receiver, channel, outgoing):
    receiver.always = 500
    for url in (receiver.url, "http://user:hunter2@127.0.0.1:1/hook/k3y", "k3y", "ftp://h/k3y", "http://[k3y", ""):
        with pytest.raises(DeliveryError) as raised:
            await channel(url).send(outgoing)
        assert "k3y" not in str(raised.value)
        assert "hunter2" not in str(raised.value)
        assert raised.value.__cause__ is None


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "[fe80::1]",
        "[fe80::1%25lo]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "0.0.0.0",
        "2852039166",
        "0xa9fea9fe",
        "169.254.43518",
    ],
)
async def test_link_local_and_metadata_are_refused(channel, outgoing, host):
    with pytest.raises(DeliveryError, match=r"are refused|no http|no usable"):
        await channel(f"http://{host}/latest").send(outgoing)


async def test_a_name_that_leads_to_metadata_is_refused(channel, outgoing, monkeypatch):
    asked = []

    async def resolve(self, host, port=0, family=socket.AF_INET):
        asked.append(host)
        return [{"hostname": host, "host": "169.254.169.254", "port": port, "family": 2, "proto": 0, "flags": 0}]

    monkeypatch.setattr(post.aiohttp.ThreadedResolver, "resolve", resolve)
    with pytest.raises(DeliveryError, match="refused"):
        await channel("http://innocent.test/").send(outgoing)
    assert asked == ["innocent.test"]


async def test_link_local_may_be_allowed(monkeypatch):
    async def resolve(self, host, port=0, family=socket.AF_INET):
        return [{"hostname": host, "host": "169.254.0.1", "port": port, "family": 2, "proto": 0, "flags": 0}]

    monkeypatch.setattr(post.aiohttp.ThreadedResolver, "resolve", resolve)
    opened = webhook.open_channel(
        ChannelSettings(kind="webhook", name="hook", options={"allow_link_local": "true"}), "dal1"
    )
    assert opened._post._guards is False
    assert (await post._Resolver(guards=False).resolve("near.test"))[0]["host"] == "169.254.0.1"
    with pytest.raises(OSError, match="refused"):
        await post._Resolver(guards=True).resolve("near.test")


async def test_a_receiver_that_repeats_its_request_gives_no_secret_away(receiver, channel, outgoing):
    async def echo(request):
        said = f"Cannot POST {request.raw_path} with {request.headers['Authorization']}"
        return web.Response(status=404, text=said)

    receiver.answers = [echo]
    with pytest.raises(DeliveryError) as raised:
        await channel(receiver.url, secrets={"token": Secret("t0ken" * 600)}).send(outgoing)
    assert raised.value.detail == "http://127.0.0.1: 404 Cannot POST *** with Bearer ***"


async def test_a_dripping_answer_ends_at_the_total(receiver, channel, outgoing, monkeypatch):
    async def drip(request):
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b".")
            await asyncio.sleep(0.02)

    monkeypatch.setattr(post, "_TOTAL_S", 0.2)
    receiver.answers = [drip]
    began = time.monotonic()
    await channel(receiver.url).send(outgoing)
    assert time.monotonic() - began < 2


async def test_a_silent_receiver_ends_at_the_total(receiver, channel, outgoing, monkeypatch):
    async def silent(request):
        await asyncio.sleep(30)

    monkeypatch.setattr(post, "_TOTAL_S", 0.1)
    receiver.answers = [silent]
    with pytest.raises(DeliveryError, match=r"no answer within 0\.1 s"):
        await channel(receiver.url).send(outgoing)


async def test_a_closed_port_and_a_cut_answer_are_delivery_errors(receiver, channel, outgoing):
    async def cut(request):
        request.transport.abort()
        return web.Response()

    receiver.answers = [cut]
    with pytest.raises(DeliveryError, match=r"connection closed|ClientOSError"):
        await channel(receiver.url).send(outgoing)
    with pytest.raises(DeliveryError, match="Connection refused"):
        await channel("http://127.0.0.1:1/x").send(outgoing)


async def test_a_huge_answer_is_not_read(receiver, channel, outgoing):
    async def huge(request):
        response = web.StreamResponse(status=500)
        await response.prepare(request)
        for _ in range(2000):
            await response.write(b"x" * 65536)
        return response

    receiver.answers = [huge]
    with pytest.raises(DeliveryError) as raised:
        await channel(receiver.url).send(outgoing)
    assert len(raised.value.detail) < 200


async def test_a_rotated_url_is_used_without_a_reload(receiver, tmp_path, outgoing):
    file = tmp_path / "url"
    file.write_text("http://127.0.0.1:1/")
    it = Webhook(ChannelSettings(kind="webhook", name="hook", url=Secret.from_file(file)), "dal1")
    with pytest.raises(DeliveryError):
        await it.send(outgoing)
    file.write_text(receiver.url)
    await it.send(outgoing)
    await it.close()
    assert len(receiver.received) == 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        ("-7", None),
        ("soon", None),
        ("9" * 5000, 999999999.0),
        ("Sun, 06 Nov 1994 08:49:47 GMT", 10.0),
        ("Sun, 06 Nov 1994 08:40:00 GMT", 0.0),
    ],
)
def test_retry_after(header, seconds):
    assert retry_after_s(header, 784111777.0) == seconds


@given(st.text())
def test_retry_after_takes_anything(header):
    seconds = retry_after_s(header, 0.0)
    assert seconds is None or seconds >= 0

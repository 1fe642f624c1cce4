"""What the API answers, to whom, and what it refuses."""

from __future__ import annotations

import asyncio
import dataclasses
import stat
import time
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from keeld.errors import ConfigError
from keeld.health import Health
from keeld.metrics import POWER
from keeld.settings import HttpSettings
from keeld.web import Server, guard
from keeld.web.guard import is_local

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics.txt"


async def ask(client, path, status=200):
    async with client.get(path) as answer:
        assert answer.status == status, await answer.text()
        assert answer.content_type == "application/json"
        return await answer.json()


async def test_live_and_ready_say_what_is_wrong(client, source):
    assert await ask(client, "/livez") == {"alive": True, "stuck": []}
    assert await ask(client, "/readyz") == {"ready": True, "not_ready": []}
    source.stuck, source.waiting = ["spool"], ["no sink answers"]
    assert await ask(client, "/livez", 503) == {"alive": False, "stuck": ["spool"]}
    assert await ask(client, "/readyz", 503) == {"ready": False, "not_ready": ["no sink answers"]}


async def test_site_is_whole(client):
    site = await ask(client, "/api/v1/site")
    assert (site["site"], site["timings_note"], site["timezone"]) == ("dal1", "demo timings", "America/Toronto")
    assert site["time"].endswith("Z")
    assert site["age_s"] < 1
    assert site["draw_watts"]["best"] is None
    assert [rack["verdict"] for rack in site["racks"]] == ["OK", "CAN'T TELL", "OVER", "CAN'T TELL", "OK"]
    assert site["balance"]["points_stored"] == {"influx": 4567}
    assert site["balance"]["outages"] == 7
    assert site["findings"] == ["2 racks with power that nothing measures: r03, <b>r04</b>"]


async def test_a_rack_names_what_binds_and_why(client):
    rack = await ask(client, "/api/v1/racks/r08")
    assert rack["binding"]["constraint"] == "power"
    assert rack["binding"]["load_ratio"] == pytest.approx(1.13)
    assert rack["binding"]["headroom"] == -4100.0
    assert rack["binding"]["base"] == "budget"
    doubtful = await ask(client, "/api/v1/racks/r02")
    assert (doubtful["verdict"], doubtful["why"]) == ("CAN'T TELL", "no data from pdu-r02-b")
    assert doubtful["draw_watts"]["lost"] == ["pdu-r02-b"]
    assert not doubtful["is_structural"]


async def test_a_rack_says_what_would_happen_if_a_feed_died(client):
    (case,) = (await ask(client, "/api/v1/racks/r08"))["failover"]
    assert case["target"] == {"kind": "feed", "id": "r08/a"}
    assert (case["survival"], case["dead_watts"]["best"], case["racks"]) == ("WILL TRIP", 1000.0, 1)
    assert case["text"].startswith("If feed A dies now, phase L2 of b3-12 goes to 104 %")
    assert (len(case["survivors"]), case["survivors_total"]) == (16, 20)
    line = case["survivors"][0]
    assert (line["node"], line["constraint"], line["unit"], line["limit"]) == ("b3-12", "current/L2", "A", 60.0)
    assert line["load_ratio"] == pytest.approx(1.04)
    assert (await ask(client, "/api/v1/racks/r01"))["failover"] == []


async def test_unknown_is_null_and_never_a_number(client):
    never = await ask(client, "/api/v1/racks/r10")
    assert never["draw_watts"]["best"] is None
    assert never["judgements"][0]["load_ratio"] is None
    assert never["is_structural"]
    endless = await ask(client, "/api/v1/racks/r11")
    assert endless["draw_watts"]["hi"] is None
    assert endless["binding"] is None
    assert endless["is_structural"]


async def test_devices_of_a_rack_tell_age_and_outage(client):
    well, ill, silent = (await ask(client, "/api/v1/racks/r08"))["devices"]
    assert (well["is_out"], well["outage_reason"]) == (False, None)
    assert 2 <= well["readings_age_s"] < 10
    assert (ill["is_out"], ill["outage_reason"], ill["outage_detail"]) == (True, "timeout", "no answer in 3 s")
    assert ill["readings_age_s"] > 90
    assert (silent["is_out"], silent["readings_age_s"], silent["readings_time"]) == (None, None, None)


async def test_a_device_has_its_last_batch_and_its_last_outage(client):
    ill = await ask(client, "/api/v1/devices/pdu-r08-b")
    assert ill["batches"] == {
        "fast": {
            "time": "2026-11-23T02:53:00.123Z",
            "device": "pdu-r08-b",
            "readings": {"power_watts": 16900.0, "current_amperes/L2": 27.8},
            "group": "fast",
            "interval_s": 10.0,
        }
    }
    assert ill["outage"]["reason"] == "timeout"
    silent = await ask(client, "/api/v1/devices/pdu-r08-c")
    assert (silent["batches"], silent["outage"]) == ({}, None)


async def test_lists(client):
    assert len((await ask(client, "/api/v1/racks"))["racks"]) == 5
    assert len((await ask(client, "/api/v1/devices"))["devices"]) == 3
    (alarm,) = (await ask(client, "/api/v1/alerts"))["alerts"]
    assert (alarm["alert_id"], alarm["since"], alarm["value"]) == ("7f3a", "2026-11-23T02:47:00.000Z", 33900.0)


async def test_transitions(client, source):
    (move,) = (await ask(client, "/api/v1/transitions?limit=5&since=2026-11-22T17:00:00Z"))["transitions"]
    assert move["state"] == {"from": "pending", "to": "firing"}
    assert move["lo"] is None
    assert source.asked == [(5, 1_795_366_800_000_000_000)]


async def test_history(client, source):
    query = "kind=rack&id=r08&metric=power_watts&part=&since=1795366800"
    series = await ask(client, f"/api/v1/history?{query}")
    assert series["minutes"] == [{"time": "2026-11-23T02:53:00.000Z", "min": 1.0, "mean": 2.0, "max": 3.0}]
    assert source.asked == [("rack", "r08", POWER, "", 1_795_366_800_000_000_000)]


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("/api/v1/transitions?limit=0", "1 to 1000"),
        ("/api/v1/transitions?limit=99999999999999999999", "1 to 1000"),
        ("/api/v1/transitions?limit=%D9%A3", "1 to 1000"),
        ("/api/v1/transitions?since=yesterday", "write 15m"),
        ("/api/v1/transitions?since=nan", "write 15m"),
        ("/api/v1/transitions?since=-1", "write 15m"),
        ("/api/v1/transitions?since=1e300", "write 15m"),
        ("/api/v1/transitions?since=2026-11-22T17:00:00", "write 15m"),
        ("/api/v1/transitions?since=0001-01-01T00:00:00Z", "write 15m"),
        ("/api/v1/history?kind=miner&id=x&metric=power_watts", "one of rack"),
        ("/api/v1/history?kind=rack&id=&metric=power_watts", "write the id"),
        ("/api/v1/history?kind=rack&id=x&metric=power_wats", "did you mean power_watts?"),
        ("/api/v1/history", "one of rack"),
    ],
)
async def test_bad_queries_are_400_with_the_remedy(client, path, remedy):
    answer = await ask(client, path, 400)
    assert remedy in answer["remedy"]


async def test_unknown_names_are_404_with_the_nearest(client):
    assert (await ask(client, "/api/v1/racks/r8", 404))["remedy"] == "did you mean r08?"
    assert (await ask(client, "/api/v1/devices/pdu-r08-d", 404))["remedy"].startswith("did you mean pdu-r08-")
    assert "error" in await ask(client, "/api/v2/site", 404)
    assert "error" in await ask(client, "/api/v1/racks/", 404)
    assert "error" in await ask(client, "/../../etc/passwd", 404)
    assert "error" in await ask(client, "/static/page.js", 404)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "LOCK"])
async def test_tcp_changes_nothing(client, source, method):
    for path in ("/api/v1/reload", "/api/v1/site", "/nowhere"):
        async with client.request(method, path, data=b"x" * 10_000) as answer:
            assert answer.status == 405
            assert answer.headers["Allow"] == "GET, HEAD"
            assert "api.sock" in (await answer.json())["remedy"]
    assert source.reloads == 0


async def test_reload_on_the_socket(local, source):
    async with local.post("/api/v1/reload") as answer:
        assert (answer.status, await answer.json()) == (200, {"reloaded": True})
    source.reload_problem = "no such rack"
    async with local.post("/api/v1/reload") as answer:
        assert answer.status == 422
        assert (await answer.json())["problems"] == ["keeld.yaml:3:5: no such rack; write it right"]
    async with local.get("/api/v1/reload") as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    assert (await ask(local, "/api/v1/site"))["site"] == "dal1"
    mode = source.settings.http.socket.stat().st_mode
    assert stat.S_IMODE(mode) == 0o660


async def test_every_answer_carries_the_security_headers(client):
    for path in ("/", "/api/v1/site", "/metrics", "/nowhere", "/page.js"):
        async with client.get(path) as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["X-Frame-Options"] == "DENY"
            assert answer.headers["Server"] == "keeld"
            assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:9780", "127.0.0.1.evil.example", "", "[::ffff:8.8.8.8]"]
)
async def test_foreign_host_names_are_refused(client, host):
    async with client.get("/api/v1/site", headers={"Host": host}) as answer:
        assert answer.status == 403


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:9780", "localhost.:1", "127.0.0.1", "127.8.9.1:80", "[::1]", "[::1]:9780"]
)
def test_loopback_names_are_local(host):
    assert is_local(host)


@pytest.mark.parametrize("host", ["::1", "localhost.evil", "0.0.0.0", "10.0.0.1", "[", "[]", ":", "127.1"])
def test_other_names_are_not_local(host):
    assert not is_local(host) or host == "::1"


async def test_other_addresses_take_any_host_name(source):
    source.settings = dataclasses.replace(source.settings, http=HttpSettings(host="0.0.0.0", port=0))
    server = Server(source)
    await server.start()
    assert server.url == f"http://127.0.0.1:{server.port}/"
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{server.port}/livez", headers={"Host": "keeld.site:9780"}) as answer,
    ):
        assert answer.status == 200
    await server.stop()


async def test_a_taken_port_and_an_unusable_socket_are_one_clear_line(server, source, tmp_path):
    http = source.settings.http
    source.settings = dataclasses.replace(source.settings, http=dataclasses.replace(http, port=server.port))
    with pytest.raises(ConfigError, match=r"http\.listen 127\.0\.0\.1:\d+: Address already in use; stop what"):
        await Server(source).start()
    source.settings = dataclasses.replace(source.settings, http=dataclasses.replace(http, port=0))
    with pytest.raises(ConfigError, match=r"api\.sock: another keeld answers on it"):
        await Server(source).start()
    nowhere = dataclasses.replace(http, port=0, socket=tmp_path / "no" / "api.sock")
    source.settings = dataclasses.replace(source.settings, http=nowhere)
    with pytest.raises(ConfigError, match=r"api\.sock: No such file or directory; make its folder"):
        await Server(source).start()


async def test_a_socket_left_by_a_killed_keeld_is_replaced(source):
    import socket

    path = source.settings.http.socket
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    server = Server(source)
    await server.start()
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(path))  # refused where nobody listens
    await server.stop()
    with socket.socket(socket.AF_UNIX) as caller, pytest.raises(ConnectionRefusedError):
        caller.connect(str(path))


async def test_rubbish_on_the_port_is_answered_and_not_logged(server, caplog):
    for rubbish in (
        b"\x16\x03\x01\x02\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(rubbish + b"\r\n\r\n")
        assert b" 400 " in await reader.readline()
        writer.close()
    assert "Traceback" not in caplog.text


async def test_a_crowd_is_asked_to_come_back(client, source, monkeypatch):
    monkeypatch.setattr(guard, "_REQUESTS_MOST", 3)
    gate = asyncio.Event()

    async def slow(limit, since_ns):
        await gate.wait()
        return []

    monkeypatch.setattr(source, "transitions", slow)
    waiting = [asyncio.create_task(client.get("/api/v1/transitions")) for _ in range(3)]
    await asyncio.sleep(0.1)
    async with client.get("/livez") as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    gate.set()
    assert [(await task).status for task in waiting] == [200, 200, 200]
    assert await ask(client, "/livez")


async def test_many_pages_cost_one_view(client, source, monkeypatch):
    views = []
    view = source.site_view
    monkeypatch.setattr(source, "site_view", lambda: views.append(1) or view())
    for _ in range(20):
        await ask(client, "/api/v1/site")
    assert len(views) <= 2


async def test_the_site_is_packed_for_who_can_unpack_it(client):
    async with client.get("/api/v1/site", headers={"Accept-Encoding": "identity"}) as answer:
        assert "Content-Encoding" not in answer.headers
        plain = await answer.json()
    async with client.get("/api/v1/site", headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert (await answer.json())["racks"] == plain["racks"]


async def test_head_asks_without_a_body(client):
    async with client.head("/api/v1/site") as answer:
        assert (answer.status, await answer.read()) == (200, b"")


async def test_metrics_have_the_published_names(client, source):
    async with client.get("/metrics") as answer:
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        text = await answer.text()
    lines = [line for line in text.splitlines() if line.startswith("# ") and "keeld_process" not in line]
    assert "\n".join(lines) + "\n" == GOLDEN.read_text()
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["keeld_polls_total",] == 1234
    assert samples["keeld_outages_total", "timeout"] == 7
    assert samples["keeld_racks", "cant_tell"] == 2
    assert samples["keeld_alerts", "critical", "firing"] == 1
    assert samples["keeld_devices", "out"] == 1
    assert samples["keeld_devices", "not_yet"] == 1
    assert samples["keeld_messages_waiting", "hook"] == 1
    assert all(name.startswith("keeld_") for name, *_ in samples)


def test_nothing_that_health_counts_is_missing_from_metrics(source):
    from keeld.web import exposition

    shown = Path(exposition.__file__).read_text()
    for item in dataclasses.fields(Health):
        assert f"health.{item.name}" in shown, item.name


async def test_a_site_that_is_dear_to_show_is_shown_less_often(client, source, monkeypatch):
    views = []
    view = source.site_view

    def slowly():
        views.append(1)
        time.sleep(0.1)  # as long as a very large site takes the loop
        return view()

    monkeypatch.setattr(source, "site_view", slowly)
    for _ in range(4):
        await ask(client, "/api/v1/site")
        await asyncio.sleep(0.3)
    assert len(views) == 1

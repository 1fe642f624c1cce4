"""Against the real databases of Debian: what was polled is what is found, to the last point."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import socket
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from keeld.metrics import POWER
from keeld.model import AlertState, Batch, Device, Reading, Severity, Transition
from keeld.sinks.reply import Answer

HOSTILE = [
    "a,b", "a b", "a=b", 'a"b', "a\\,b", "a\\ b", "ends\\", "a\nb", "a\r\nb", "a\tb", "nul\x00", "#a", "a'b",
    "é\u2028x", "a,x=1 up=0.0 1\npdu,device=forged up=1.0 1", "🔥",
    "\u202egnp", "x" * 70_000, "\ud800", "%s%d", "{}", "a\\\\ b",
]  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetch(url: str, **form: str) -> bytes:
    data = urllib.parse.urlencode(form).encode() if form else None
    with urllib.request.urlopen(url, data=data, timeout=10) as response:
        return response.read()


class Influxd:
    """A real InfluxDB 1 that can be stopped and started again on its port and folder."""

    api = "v1"

    def __init__(self, start_engine, directory: Path) -> None:
        self._start = start_engine
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._config = directory / "influxd.toml"
        places = {"meta": "dir", "data": "dir"}
        text = f'reporting-disabled = true\nbind-address = "127.0.0.1:{free_port()}"\n'
        text += "".join(f'[{section}]\n{key} = "{directory}/{section}"\n' for section, key in places.items())
        text += f'wal-dir = "{directory}/wal"\n[http]\nbind-address = "127.0.0.1:{self.port}"\nlog-enabled = false\n'
        text += "[monitor]\nstore-enabled = false\n"
        self._config.write_text(text)
        self.begin()

    def begin(self) -> None:
        self.engine = self._start(["influxd", "-config", str(self._config)], self.port)
        fetch(f"{self.url}/query", q="CREATE DATABASE keeld")

    def rows(self, field: str = "power_watts", measurement: str = "pdu") -> list[list[object]]:
        said = fetch(f"{self.url}/query?db=keeld&epoch=ms", q=f'SELECT "{field}","device" FROM "{measurement}"')
        (result,) = json.loads(said)["results"]
        return result["series"][0]["values"] if "series" in result else []

    def points(self) -> set[tuple[int, float]]:
        return {(int(row[0]), float(row[1])) for row in self.rows()}


class Victoria:
    """A real VictoriaMetrics."""

    api = "v2"

    def __init__(self, start_engine, directory: Path) -> None:
        self._start = start_engine
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._directory = directory
        self.begin()

    def begin(self) -> None:
        self.engine = self._start(
            [
                "victoria-metrics", f"-storageDataPath={self._directory}/vm", f"-httpListenAddr=127.0.0.1:{self.port}",
                "-retentionPeriod=100y", "-dedup.minScrapeInterval=1ms", "-search.latencyOffset=0s",
            ],
            self.port,
        )  # fmt: skip

    def exported(self, name: str) -> list[dict[str, object]]:
        fetch(f"{self.url}/internal/force_flush")
        query = urllib.parse.urlencode({"match[]": name, "reduce_mem_usage": "0"})
        said = fetch(f"{self.url}/api/v1/export?{query}")
        return [json.loads(line) for line in said.splitlines()]

    def points(self) -> set[tuple[int, float]]:
        return {
            (time_ms, value)
            for series in self.exported("pdu_power_watts")
            for time_ms, value in zip(series["timestamps"], series["values"], strict=True)
        }


@pytest.fixture(
    params=[
        pytest.param(Influxd, marks=pytest.mark.engine("influxd")),
        pytest.param(Victoria, marks=pytest.mark.engine("victoria-metrics")),
    ]
)
def engine(request, start_engine, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", os.environ["PATH"] + os.pathsep + "/usr/sbin")
    return request.param(start_engine, tmp_path)


def expected(numbers: range) -> set[tuple[int, float]]:
    return {(1_700_000_000_000 + number, float(number)) for number in numbers}


async def test_what_is_polled_is_what_is_found_after_the_database_was_down(engine, start, influx):
    run = await start(influx(engine.url, api=engine.api))
    run.publish(500)
    await run.until(lambda: run.health.points_stored["main"] == 500)
    engine.engine.process.terminate()
    await asyncio.to_thread(engine.engine.process.wait, 20)
    for first in range(500, 1500, 250):
        run.publish(250, first=first)
        await asyncio.sleep(0.12)
    await run.until(lambda: run.health.points_acknowledged == 1500)
    assert run.health.points_stored["main"] == 500
    await asyncio.to_thread(engine.begin)
    await run.until(lambda: run.health.points_stored["main"] == 1500)
    assert await asyncio.to_thread(engine.points) == expected(range(1500))
    run.assert_balanced()


async def test_what_a_killed_database_had_confirmed_is_sent_again(engine, start, influx):
    run = await start(influx(engine.url, api=engine.api))
    for first in range(0, 1000, 250):
        run.publish(250, first=first)
        await asyncio.sleep(0.12)
    await run.until(lambda: run.health.points_stored["main"] == 1000)
    engine.engine.kill()
    run.publish(10, first=1000)
    await run.until(lambda: run.health.send_failures["main"] > 0)
    await asyncio.to_thread(engine.begin)
    await run.until(lambda: not run.store._spool.has_backlog("main") and run.health.points_stored["main"] == 1010)
    await asyncio.sleep(0.3)
    assert await asyncio.to_thread(engine.points) == expected(range(1010))
    run.assert_balanced()


@pytest.mark.engine("victoria-metrics")
async def test_without_the_linger_a_killed_database_does_lose(start_engine, tmp_path, start, influx):
    """The control: if this fails, the test above proves nothing."""
    engine = Victoria(start_engine, tmp_path)
    run = await start(influx(engine.url), linger_s=0.0)
    run.publish(500)
    await run.until(lambda: run.health.points_stored["main"] == 500)
    engine.engine.kill()
    run.publish(1, first=500)
    await run.until(lambda: run.health.send_failures["main"] > 0)
    await asyncio.to_thread(engine.begin)
    await run.until(lambda: run.health.points_stored["main"] == 501)
    assert await asyncio.to_thread(engine.points) != expected(range(501))


async def test_whatever_a_thing_is_called_it_is_one_point(engine, start, influx):
    run = await start(influx(engine.url, api=engine.api))
    for number, name in enumerate(HOSTILE):
        device = Device(id=f"{number}{name}", site="s", kind="pdu", driver="modbus", address="x", rack=name)
        time_ns = (1_700_000_000_000 + number) * 1_000_000
        run.fanout.publish(Batch(device, time_ns, 0, (Reading(POWER, float(number)),)))
        run.fanout.publish(Batch(device, time_ns, 0, (Reading(POWER, float(number), name),)))
    await run.until(lambda: run.health.points_stored["main"] == 3 * len(HOSTILE))
    assert run.health.points_dead["main"] == 0
    assert await asyncio.to_thread(engine.points) == expected(range(len(HOSTILE)))
    if engine.api == "v1":
        assert len(await asyncio.to_thread(engine.rows)) == 2 * len(HOSTILE)


def alert(number: int, words: str) -> Transition:
    return Transition(
        key=f"s:r:rack:{number}", alert_id="a", rule="r", target_kind="rack", target_id=str(number),
        before=AlertState.OK, after=AlertState.FIRING, severity=Severity.WARNING,
        time_ns=1_700_000_000_000_000_000 + number * 1_000_000, title=words, cause=words, best=float(number),
    )  # fmt: skip


async def test_whatever_an_alert_says_it_is_one_point(engine, start, influx):
    run = await start(influx(engine.url, api=engine.api))
    for number, words in enumerate(HOSTILE):
        run.store.offer_transition(alert(number, words))
    await run.until(lambda: run.health.points_stored["main"] == len(HOSTILE))
    if engine.api == "v1":
        rows = await asyncio.to_thread(engine.rows, "value", "alert")
        assert [row[1] for row in rows] == [float(number) for number in range(len(HOSTILE))]
    else:
        values = {series["values"][0] for series in await asyncio.to_thread(engine.exported, "alert_value")}
        assert values == {float(number) for number in range(len(HOSTILE))}


@pytest.mark.engine("influxd")
async def test_a_real_database_names_the_line_whose_type_conflicts(start_engine, tmp_path, start, influx):
    engine = Influxd(start_engine, tmp_path)
    line = gzip.compress(b'pdu,device=earlier power_watts="text" 1700000000000\n')
    sink = influx(engine.url, api="v1", name="earlier")
    assert (await sink.write(line)).answer is Answer.STORED
    await sink.close()
    run = await start(influx(engine.url, api="v1"))
    run.publish(50)
    await run.until(lambda: run.health.send_failures["main"] >= 1)
    run.store.offer_transition(alert(0, "over"))
    await run.until(lambda: run.health.points_dead["main"] == 50)
    assert run.health.points_stored["main"] == 1
    (dead,) = (tmp_path / "spool/main/dead").iterdir()
    assert "field type conflict" in dead.read_text()
    run.assert_balanced()


@pytest.mark.engine("influxd")
async def test_a_missing_database_keeps_everything_until_it_is_there(start_engine, tmp_path, start, influx, logged):
    engine = Influxd(start_engine, tmp_path)
    fetch(f"{engine.url}/query", q="DROP DATABASE keeld")
    run = await start(influx(engine.url, api="v1"))
    run.publish(50)
    await run.until(lambda: run.health.send_failures["main"] >= 2)
    assert [line["event"] for line in logged] == ["sink refuses keeld, everything is kept"]
    assert "database not found" in str(logged[0]["reason"])
    fetch(f"{engine.url}/query", q="CREATE DATABASE keeld")
    await run.until(lambda: run.health.points_stored["main"] == 50)
    assert await asyncio.to_thread(engine.points) == expected(range(50))


@pytest.mark.engine("victoria-metrics")
async def test_a_backlog_drains_faster_than_it_grew_while_live_readings_pass(start_engine, tmp_path, start, influx):
    engine = Victoria(start_engine, tmp_path)
    engine.engine.process.terminate()
    engine.engine.process.wait(20)
    run = await start(influx(engine.url), senders=True)
    for first in range(0, 4000, 100):
        run.publish(100, first=first)
        await asyncio.sleep(0.03)
    await run.until(lambda: run.health.points_acknowledged == 4000)
    parcels = run.store.backlog_files
    await asyncio.to_thread(engine.begin)
    began_s = time.monotonic()
    await run.until(lambda: run.health.points_stored["main"] == 4000)
    drained_each_s = parcels / (time.monotonic() - began_s)
    assert drained_each_s > 20  # a parcel is a second of polling

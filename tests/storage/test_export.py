"""Stored readings become a recording again, out of a real InfluxDB, by the command that people use."""

from __future__ import annotations

import json
import os
import socket
import urllib.parse
import urllib.request

import pytest
from aiohttp import web
from click.testing import CliRunner

from keeld.batch_json import BatchReader, batch_form
from keeld.cli import keeld
from keeld.errors import DeliveryError, Outage
from keeld.metrics import CURRENT, ENERGY, POWER
from keeld.model import Batch, Device, Group, Reading, Site
from keeld.settings import InfluxSettings
from keeld.sinks.export import batches, export, question
from keeld.sinks.line_protocol import Encoder

T0_NS = 1_795_348_800_000_000_000
PDU = Device(id="pdu-1", site="hall", kind="pdu", driver="modbus", address="", rack="r01", feed="a")
MINER = Device(id="m-1", site="hall", kind="miner", driver="antminer", address="", rack="r02", feed="a")
OTHER = Device(id="pdu-1", site="elsewhere", kind="pdu", driver="modbus", address="")
SITE = Site(name="hall", devices={"pdu-1": PDU, "m-1": MINER})


def batch(device, at_s, *readings, outage=None, group=Group.FAST):
    return Batch(device, T0_NS + round(at_s * 1e9), 0, readings, outage, group, device.interval_of(group))


STORED = [
    batch(PDU, 0.0, Reading(POWER, 8123.0), Reading(CURRENT, 12.3, "L1"), Reading(CURRENT, 0.0, "L2")),
    batch(MINER, 0.25, Reading(POWER, 3300.0)),
    batch(PDU, 3.0, Reading(ENERGY, 55_123.0), group=Group.SLOW),
    batch(MINER, 10.25, outage=Outage.UNREACHABLE),
    batch(PDU, 400.0, Reading(POWER, 8200.0), outage=Outage.PARTIAL),
]


@pytest.fixture
def database(start_engine, tmp_path):
    """A real InfluxDB 1 that holds what keeld would have written."""
    port, side = free_port(), free_port()
    config = tmp_path / "influxd.toml"
    text = f'reporting-disabled = true\nbind-address = "127.0.0.1:{side}"\n[meta]\ndir = "{tmp_path}/meta"\n'
    text += f'[data]\ndir = "{tmp_path}/data"\nwal-dir = "{tmp_path}/wal"\n[monitor]\nstore-enabled = false\n'
    config.write_text(text + f'[http]\nbind-address = "127.0.0.1:{port}"\nlog-enabled = false\n')
    path = os.environ["PATH"] + os.pathsep + "/usr/sbin"
    start_engine(["env", f"PATH={path}", "influxd", "-config", str(config)], port)
    url = f"http://127.0.0.1:{port}"
    _post(f"{url}/query", urllib.parse.urlencode({"q": "CREATE DATABASE telemetry"}).encode())
    encoder = Encoder()
    lines = "".join(encoder.lines(each)[0] for each in [*STORED, batch(OTHER, 1.0, Reading(POWER, 1.0))])
    _post(f"{url}/write?db=telemetry&precision=ms", lines.encode())
    return url


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _post(url, body):
    with urllib.request.urlopen(url, data=body, timeout=10) as response:
        return response.read()


@pytest.mark.engine("influxd")
def test_what_was_stored_is_recorded_again(database, tmp_path):
    config = tmp_path / "keeld.yaml"
    config.write_text(
        "site: {name: hall}\nracks: {r01: {budget: {power_kw: 30}}, r02: {state: mining, budget: {power_kw: 30}}}\n"
        "devices:\n"
        "  - {name: pdu-1, driver: antminer, kind: pdu, address: 10.0.0.1, rack: r01, nameplate_w: 9000}\n"
        "  - {name: m-1, driver: antminer, address: 10.0.0.2, rack: r02, nameplate_w: 3500}\n"
    )
    recording = tmp_path / "day.jsonl"
    asked = ["record", str(recording), "--config", str(config), "--influx", database]
    done = CliRunner().invoke(keeld, [*asked, "--from", "2026-11-22T12:00:00Z", "--to", "2026-11-22T12:10:00Z"])
    assert done.exit_code == 0, done.output
    reader = BatchReader(SITE.devices)
    read = [reader.read(json.loads(line)) for line in recording.read_text().splitlines()]
    assert [batch_form(each) for each in read] == [batch_form(each) for each in STORED]
    again = CliRunner().invoke(keeld, [*asked, "--from", "6h"])
    assert again.exit_code == 2
    assert "is there already" in again.output


@pytest.mark.engine("influxd")
async def test_a_span_ends_before_its_end(database):
    influx = InfluxSettings(name="it", url=database, api="v1")
    forms = export(influx, SITE, since_ns=T0_NS + 250_000_000, until_ns=T0_NS + 10_250_000_000)
    assert [form["device"] for form in [each async for each in forms]] == ["m-1", "pdu-1"]


async def test_what_a_database_says_instead_is_one_line(aiohttp_answers):
    for status, body, words in (
        (401, b'{"error":"authorization failed"}', "401: authorization failed"),
        (200, b'{"results":[{"error":"database not found: x"}]}', "refused the question: database not found: x"),
        (200, b"<html>", "is none of InfluxQL's"),
        (200, b"[]", "is none of InfluxQL's"),
        (302, b"", "answered 302"),
    ):
        influx = InfluxSettings(name="it", url=await aiohttp_answers(status, body), api="v1")
        with pytest.raises(DeliveryError, match=words):
            await anext(export(influx, SITE, since_ns=T0_NS, until_ns=T0_NS + 10**9))


@pytest.fixture
async def aiohttp_answers():
    """A server that gives one answer to everything."""
    runners = []

    async def start(status, body):
        async def handle(_):
            return web.Response(status=status, body=body)

        app = web.Application()
        app.router.add_route("*", "/{any:.*}", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    yield start
    for runner in runners:
        await runner.cleanup()


def test_names_cannot_leave_their_place_in_the_question():
    asked = question(["pdu"], "it's \\ here", 1, 2)
    assert asked == (
        'SELECT * FROM "pdu" WHERE time >= 1ms AND time < 2ms AND "site" = \'it\\\'s \\\\ here\' '
        'GROUP BY "device", "part"'
    )


def test_rows_of_strangers_and_fields_of_nobody_are_left_out():
    series = [
        {"tags": {"device": "stranger", "part": ""}, "columns": ["time", "power_watts"], "values": [[1, 2.0]]},
        {
            "tags": {"device": "pdu-1", "part": "L1"},
            "columns": ["time", "current_amperes", "colour", "rack", "up"],
            "values": [[1000, 2, 3.0, "r01", None]],
        },
    ]
    assert batches(series, SITE) == [
        {
            "time": "1970-01-01T00:00:01.000Z",
            "device": "pdu-1",
            "readings": {"current_amperes/L1": 2.0},
            "group": "slow",
        }
    ]

"""The simulator as its users meet it: a process with a control port, a derived configuration and a clean end."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from keeld import config
from keeld.cli.simulate import command
from keeld.drivers import load
from keeld.model import Group
from keeld.simulate.accelerators import state_path, write_state
from keeld.simulate.control import Control
from keeld.simulate.derive import derive
from keeld.simulate.faults import Fault, FaultKind
from keeld.simulate.fleet import fleet_config, parse_fleet
from keeld.simulate.network import SimulatorError, claim_subnet, raise_file_limit
from keeld.simulate.script import Incident, IncidentKind
from keeld.simulate.site import SimulatedSite

DEMO = Path(__file__).parents[2] / "config" / "demo"
KEELD = [sys.executable, "-m", "keeld", "simulate", "--json"]


def start(*arguments, **options):
    process = subprocess.Popen(
        [*KEELD, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **{"stdin": subprocess.DEVNULL} | options,
    )
    line = process.stdout.readline()
    assert line, process.stderr.read()
    return process, json.loads(line)


def finish(process):
    output, errors = process.communicate(timeout=15)
    assert errors == ""
    assert process.returncode == 0
    return json.loads(output.splitlines()[-1])


def tell(ready, **request):
    host, port = ready["control"].split(":")
    with socket.create_connection((host, int(port)), 5) as link, link.makefile("rwb") as lines:
        lines.write(json.dumps(request).encode() + b"\n")
        lines.flush()
        return json.loads(lines.readline())


def test_demo_site_from_start_to_end(tmp_path):
    out, record = tmp_path / "keeld.yaml", tmp_path / "record.jsonl"
    process, ready = start(
        *("--site", DEMO / "keeld.yaml", "--script", DEMO / "plant.yaml", "--write-config", out, "--record", record)
    )
    try:
        assert ready["devices"] == 139
        site = config.load(out).site
        prefix = ready["subnet"].removesuffix("0.0/16")
        assert site.devices["m1-01"].address == f"{prefix}1.1:4028"
        assert sys.executable in site.devices["gpu-1"].address
        assert tell(ready, do="fault", kind="stop", target="m1-01") == {"done": True}
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((f"{prefix}1.1", 4028), 5)
        assert "there is no device" in tell(ready, do="fault", kind="stop", target="m9")["error"]
        with socket.create_connection((f"{prefix}1.2", 4028), 5) as miner:
            miner.sendall(b'{"command":"restart"}')
            assert b'"E"' in miner.recv(4096)
        assert tell(ready, do="totals")["writes"] == 1
        assert [entry["what"] for entry in tell(ready, do="others")["received"]] == ["restart"]
    finally:
        process.send_signal(signal.SIGTERM)
    totals = finish(process)
    assert (totals["ended"], totals["writes"], totals["kinds"]) == (True, 1, {"restart": 1})
    assert [json.loads(line)["device"] for line in record.read_text().splitlines()] == ["m1-02"]
    assert not Path(ready["directory"]).exists()


def test_ends_with_its_input(tmp_path):
    process, _ = start("--fleet", "pdus=2", "--until-eof", stdin=subprocess.PIPE)
    process.stdin.write("ignored\n")
    process.stdin.flush()
    time.sleep(0.2)
    assert process.poll() is None
    process.stdin.close()
    process.stdin = None
    assert finish(process)["requests"] == 0


def test_ends_with_its_parent():
    script = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-m', 'keeld', 'simulate', '--json', "
        "'--fleet', 'pdus=1', '--with-parent'], stdout=subprocess.PIPE); p.stdout.readline(); print(p.pid)"
    )
    pid = int(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, timeout=20).stdout)
    end = time.monotonic() + 5
    while time.monotonic() < end and _runs(pid):
        time.sleep(0.05)
    assert not _runs(pid)


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_two_runs_never_share_a_network():
    first, second = claim_subnet(), claim_subnet()
    assert first[0] != second[0]
    for _, held in (first, second):
        held.close()


def test_no_free_network_is_one_clear_line(monkeypatch):
    def bind(*_):
        raise OSError(98, "in use")

    monkeypatch.setattr(socket.socket, "bind", bind)
    with pytest.raises(SimulatorError, match=r"no free 127\.A\.0\.0/16"):
        claim_subnet()


def test_too_few_open_files_is_one_clear_line(monkeypatch):
    limits = []
    monkeypatch.setattr("resource.getrlimit", lambda _: (256, 4096))
    monkeypatch.setattr("resource.setrlimit", lambda _, limit: limits.append(limit))
    raise_file_limit(100)
    assert limits == [(556, 4096)]
    with pytest.raises(SimulatorError, match=r"5000 devices need 15256 open files, the hard limit is 4096"):
        raise_file_limit(5000)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 2, "give either --site FILE or --fleet COUNTS"),
        (["--site", "/nowhere.yaml"], 2, "/nowhere.yaml: cannot be read"),
        (["--site", "/tmp"], 2, "cannot be read: Is a directory"),
        (["--fleet", "pdus=x"], 1, "--fleet: 'pdus=x' is not one of"),
        (["--fleet", "pdus=0"], 1, "--fleet: no devices"),
        (["--fleet", "pdus=1", "--script", "/nowhere.yaml"], 2, "/nowhere.yaml"),
        (["--fleet", "pdus=1", "--write-config", "/nowhere/x.yaml"], 1, "/nowhere/x.yaml cannot be written"),
        (["--fleet", "pdus=1", "--record", "/nowhere/x"], 1, "/nowhere/x cannot be written"),
    ],
)
def test_what_cannot_be_served_is_one_clear_line(arguments, code, says):
    done = subprocess.run([*KEELD, *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_the_help_shows_how_to_begin():
    result = CliRunner().invoke(command, ["--help"])
    assert "keeld run --config /tmp/demo.yaml" in result.output


def test_a_fleet_is_a_valid_configuration(tmp_path):
    path = tmp_path / "fleet.yaml"
    text = fleet_config(parse_fleet("pdus=500, antminers=1000, whatsminers=1000"))
    path.write_text(derive(text, prefix="127.9.", directory=tmp_path))
    site = config.load(path).site
    drivers = [device.driver for device in site.devices.values()]
    assert [drivers.count(name) for name in ("modbus", "antminer", "whatsminer")] == [500, 1000, 1000]
    assert {device.interval_s for device in site.devices.values()} == {1.0, 10.0}
    assert len({device.address for device in site.devices.values()}) == 2500
    assert all("127.9." in device.address for device in site.devices.values())


async def test_the_drivers_read_the_plant(site, tmp_path):
    """Every device of the site, by the daemon's own drivers; nothing else may arrive."""
    async with SimulatedSite(site) as served:
        for device in site.devices.values():
            if device.driver == "nvidia":
                continue
            driver = load(device.driver)
            link = driver.open_link(device)
            answer = await driver.poll(link, device, Group.FAST)
            await link.close()
            found = {(reading.metric.name, reading.part): reading.value for reading in answer.readings}
            assert found, device.id
            assert answer.outage is None, device.id
            if device.id in {"pdu-a", "meter", "top"}:
                lines = next(served.plant.watched(device))
                assert found["power_watts", ""] == pytest.approx(lines.watts, rel=0.6 if device.id == "pdu-a" else 0.03)
        assert served.recorder.totals()["writes"] == 0


async def test_gpu_nodes_write_their_state(site):
    async with SimulatedSite(site) as served:
        path = state_path(site.devices["node"])
        await served.advance(1)
        state = json.loads(path.read_text())
        assert state["driver"] == "ok"
        assert [gpu["limit_watts"] for gpu in state["gpus"]] == [700.0] * 8
        node = served.plant.loads["node"].machine
        node.gpus[3].lost = True
        write_state(path, node)
        assert json.loads(path.read_text())["gpus"][3] == {"state": "lost"}


@pytest.mark.parametrize(
    ("fault", "key", "value"),
    [
        (Fault(FaultKind.STOP), "driver", "unloaded"),
        (Fault(FaultKind.SILENCE), "hang_s", 60.0),
        (Fault(FaultKind.DELAY, 0.5), "hang_s", 0.5),
        (Fault(FaultKind.DELAY), "hang_s", 2.0),
    ],
)
async def test_faults_of_gpu_nodes(site, fault, key, value):
    async with SimulatedSite(site) as served:
        path = state_path(site.devices["node"])
        await served.fail("node", fault)
        assert json.loads(path.read_text())[key] == value
        await served.fail("node", Fault(FaultKind.EXCEPTION, 5))
        state = json.loads(path.read_text())
        assert (state["driver"], state["hang_s"]) == ("ok", 0)
        assert [gpu["state"] for gpu in state["gpus"]].index("lost") == 5


async def test_a_node_without_power_has_no_driver(site):
    async with SimulatedSite(site) as served:
        await served.add(Incident(kind=IncidentKind.FEED_LOSS, target="utility", start_s=0, duration_s=60))
        await served.advance(1)
        assert json.loads(state_path(site.devices["node"]).read_text())["driver"] == "unloaded"


def test_a_worker_elsewhere_has_no_state_file(site):
    device = site.devices["node"]
    for address in ("local", "exec:ssh gpu-1 keeld-worker", "exec:python3 x --state"):
        assert state_path(type(device)(**{**_fields(device), "address": address})) is None


def _fields(device):
    return {name: getattr(device, name) for name in device.__slots__}


@pytest.mark.parametrize("address", ["10.0.0.1:4028", "miner.site:4028", "[::1]:4028"])
def test_nothing_but_loopback_is_served(site, address):
    device = type(site.devices["ant-1"])(**{**_fields(site.devices["ant-1"]), "address": address})
    with pytest.raises(SimulatorError, match=r"only 127\.0\.0\.0/8 is served"):
        SimulatedSite(replace(site, devices={"ant-1": device}))


async def test_a_port_that_is_taken_is_one_clear_line(site):
    async with SimulatedSite(site):
        with pytest.raises(SimulatorError, match="cannot be served: "):
            async with SimulatedSite(site):
                pass


@pytest.fixture
async def control(site, subnet):
    async with SimulatedSite(site) as served:
        control = Control(served, subnet[1])
        await control.open()
        yield control
        await control.close()


async def do(control, **request):
    return await control.answer(json.dumps(request).encode())


async def test_control_steers_faults_and_incidents(control):
    served = control._served
    assert await do(control, do="incident", kind="feed-loss", target="g-a", duration="60s") == {"done": True}
    assert served.plant.effects.dead_nodes == {"g-a"}
    assert await do(control, do="fault", kind="delay", target="pdu-b", amount=2) == {"done": True}
    assert served.fault_of("pdu-b").amount == 2
    assert await do(control, do="clear") == {"done": True}
    assert (served.plant.effects.dead_nodes, served.fault_of("pdu-b")) == (frozenset(), None)
    truth = await do(control, do="plant")
    assert truth["watts"].keys() == {"node", "ant-1", "ant-2", "ant-3", "what-1", "what-2"}
    served.recorder.received("pdu-a", "modbus 6", b"\1\2", is_read=False)
    assert [entry["data"] for entry in (await do(control, do="record", most=1))["received"]] == ["0102"]


@pytest.mark.parametrize(
    "line", [b"", b"[]", b"{}", b"\xff", b'{"do":"boom"}', b'{"do":"fault"}', b'{"do":"fault","kind":[]}']
)
async def test_control_answers_nonsense_with_an_error(control, line):
    assert "error" in await control.answer(line)


async def test_control_survives_a_line_without_end(control, subnet):
    _, writer = await asyncio.open_connection(f"{subnet[0]}255.254", 4029)
    writer.write(b"x" * 200_000)
    await asyncio.sleep(0.1)
    writer.close()
    reader, writer = await asyncio.open_connection(f"{subnet[0]}255.254", 4029)
    writer.write(b'{"do":"totals"}\n')
    assert json.loads(await reader.readline())["writes"] == 0
    writer.close()


@given(st.dictionaries(st.text(), st.none() | st.text() | st.integers() | st.lists(st.text())))
def test_derived_text_never_points_at_the_written_network(extra):
    text = json.dumps({"address": "tcp://127.77.1.1:1502", "extra": extra})
    assert "127.77." not in derive(text, prefix="127.9.", directory=Path("/d"))

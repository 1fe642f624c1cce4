"""The simulated driver under the same worker main, and what may be called of NVML at all."""

from __future__ import annotations

import ast
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

import keeld.workers
from keeld import metrics
from keeld.drivers import nvidia
from keeld.errors import Outage
from keeld.links.worker import Patience
from keeld.model import Group

SIMULATED = f"exec:{sys.executable} -P -m keeld.simulate.nvml"


class StateFile:
    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def address(self) -> str:
        return f"{SIMULATED} --state '{self.path}'"

    def write(self, *gpus: dict[str, Any], **node: Any) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps({"gpus": list(gpus), **node}))
        fresh.replace(self.path)


@pytest.fixture
def state(tmp_path: Path) -> StateFile:
    return StateFile(tmp_path / "node 1.json")


async def test_eight_gpus_swing_by_themselves(attach) -> None:
    host = attach(SIMULATED)
    values = await host.values()
    watts = [values[f"power_watts/gpu/{rank}"] for rank in range(8)]
    assert all(350 <= power <= 700 for power in watts)
    assert values["accelerators_found"] == 8
    assert (await host.values(Group.SLOW))["links_up/gpu/7"] == 18
    assert dict((await host.poll(Group.ONCE)).info)["gpu/0 model"] == "Simulated GPU"


async def test_the_state_file_is_what_is_read(attach, state: StateFile) -> None:
    full = {
        "power_watts": 640.5,
        "temp_celsius": 62,
        "memory_temp_celsius": 80,
        "utilisation": 0.98,
        "limit_watts": 700,
    }
    state.write(full | {"throttle_brake_seconds": 1.5}, {"power_watts": 75})
    host = attach(state.address)
    assert await host.values() == {
        "up/gpu/0": 1,
        "power_watts/gpu/0": 640.5,
        "temperature_celsius/gpu/0": 62,
        "temperature_celsius/gpu/0/memory": 80,
        "utilisation_ratio/gpu/0": 0.98,
        "power_limit_watts/gpu/0": 700,
        "throttle_brake_seconds/gpu/0": 1.5,
        "up/gpu/1": 1,
        "power_watts/gpu/1": 75,
        "accelerators_found": 2,
    }
    state.write(full | {"power_watts": 350}, {"power_watts": 75, "state": "lost"})
    answer = await host.poll()
    assert answer.outage is Outage.PARTIAL
    assert (metrics.POWER, 350.0, "gpu/0") in answer.readings
    assert (metrics.UP, 0.0, "gpu/1") in answer.readings


@pytest.mark.parametrize("driver", ["unloaded", "mismatch"])
async def test_a_simulated_driver_goes_and_comes_back(attach, state: StateFile, driver: str) -> None:
    state.write({"power_watts": 100})
    host = attach(state.address)
    await host.poll()
    state.write({"power_watts": 100}, driver=driver)
    assert (await host.outage()).outage is Outage.DRIVER_DOWN
    state.write({"power_watts": 100})
    assert (await host.recovered()).outage is None


async def test_a_simulated_hang(attach, state: StateFile) -> None:
    state.write({"power_watts": 100})
    host = attach(state.address, patience=Patience(answer_s=0.3, restart_least_s=0.05, kill_after_s=1.0, leave_s=0.05))
    await host.recovered()
    state.write({"power_watts": 100}, hang_s=60)
    assert (await host.outage()).outage is Outage.HUNG
    state.write({"power_watts": 100})
    assert (await host.recovered()).outage is None


async def test_a_simulated_xid(attach, state: StateFile) -> None:
    state.write({"power_watts": 100, "xids": [31]})
    host = attach(state.address)
    assert "xid/gpu/0" not in await host.values(), "it was there before"
    state.write({"power_watts": 100, "xids": [31, 79]})
    await asyncio.sleep(0.3)
    assert (await host.values())["xid/gpu/0"] == 79


async def test_inspect_shows_raw_beside_decoded_and_a_fixture_without_names(attach) -> None:
    host = attach(SIMULATED + " --gpus 2", patience=Patience(answer_s=0.05, misses=99, leave_s=0.05))
    inspection = await nvidia.DRIVER.inspect(host.link, host.device)
    assert [exchange.request for exchange in inspection.exchanges] == ["read fast", "read slow", "read once"]
    assert '"power_average_mw"' in inspection.exchanges[0].raw
    assert {reading.metric for reading in inspection.answer.readings} >= {metrics.POWER, metrics.ENERGY}
    assert "GPU-0000" in inspection.exchanges[0].raw
    assert "GPU-0000" not in json.dumps(inspection.fixture)


async def test_a_defect_ends_the_worker_with_one_line(attach, state: StateFile) -> None:
    state.write({"power_watts": "no number"})
    error = await attach(state.address).outage()
    assert error.outage is Outage.UNREACHABLE
    assert error.detail.startswith("worker ended with exit code 70: defect in the worker: ValueError: ")


@pytest.mark.parametrize(("source", "words"), [("", "uninstall pynvml"), ("raise ImportError", "not installed")])
async def test_the_wrong_binding_is_named(attach, tmp_path: Path, monkeypatch, source: str, words: str) -> None:
    (tmp_path / "pynvml.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    error = await attach("local").outage()
    assert error.outage is Outage.DRIVER_DOWN
    assert words in error.detail


def test_nothing_but_reads_is_called() -> None:
    """Every name that the workers take from pynvml either reads, or opens, closes and listens."""
    allowed = ("nvmlDeviceGet", "nvmlSystemGet", "nvmlEventSet", "NVML", "nvmlMemory_v2")
    exact = {"nvmlInit", "nvmlShutdown", "nvmlDeviceRegisterEvents"}
    used = set()
    for path in Path(keeld.workers.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "pynvml":
                used.add(node.attr)
    assert "nvmlDeviceGetFieldValues" in used
    assert not {name for name in used if not name.startswith(allowed) and name not in exact}
    assert not {name for name in used if "Gpm" in name or "PcieThroughput" in name}

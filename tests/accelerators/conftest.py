"""A fake NVIDIA driver under the real nvidia-ml-py, and links to workers that are always ended."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from keeld.drivers import Answer, nvidia
from keeld.errors import PollError
from keeld.links.worker import Patience, WorkerLink
from keeld.model import Device, Group, Identity

SOURCE = Path(__file__).parent.parent / "fakes" / "fakenvml.c"
QUICK = Patience(answer_s=2.0, opening_s=10.0, restart_least_s=0.05, restart_most_s=0.2, kill_after_s=0.5, leave_s=0.05)

H100 = {
    "name": "NVIDIA H100 80GB HBM3",
    "persistence": 1,
    "mig": 0,
    "temp": 59,
    "margin": 26,
    "util": 97,
    "clock": 1755,
    "memory": 70 << 30,
    "width": 16,
    "links": 18,
    "links_up": 18,
    "f185": 629450,
    "f186": 588390,
    "f190": 700000,
    "f82": 77,
    "f74": 12_500_000_000,
    "f75": 9_000_000_000,
    "f269": 3_000_000_000,
    "f270": 1_000_000_000,
    "f271": 0,
    "f83": 7_200_000_000,
    "f3": 1,
    "f4": 0,
    "f5": 12,
    "f6": 2,
    "f144": 0,
    "f145": 0,
    "f230": 0,
    "f94": 9,
}


class FakeDriver:
    """The world of tests/fakes/fakenvml.c: change `state` and it is what the next call sees."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "state"
        self.state: dict[str, Any] = {}

    def build(self, *definitions: str) -> None:
        """Compile the library and put it in place at once, as a package manager replaces a file."""
        fresh = self.directory / "fresh.so"
        flags = ["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-Wl,-soname,libnvidia-ml.so.1"]
        subprocess.run(["cc", *flags, *definitions, "-o", fresh, SOURCE], check=True)
        fresh.replace(self.directory / "libnvidia-ml.so.1")

    def gpu(self, index: int, **values: Any) -> None:
        self.change(**{f"{index}.{key}": value for key, value in values.items()})

    def drop(self, *keys: str) -> None:
        for key in keys:
            self.state.pop(key, None)
        self.change()

    def change(self, **values: Any) -> None:
        self.state.update(values)
        fresh = self.path.with_suffix(".new")
        fresh.write_text("".join(f"{key} {value}\n" for key, value in self.state.items()))
        fresh.replace(self.path)

    def h100s(self, count: int) -> None:
        for index in range(count):
            self.gpu(index, **H100, bus=0x18 + index, uuid=f"GPU-{index:04d}", serial=f"165000{index}")
        self.change(count=count)


@pytest.fixture(scope="session")
def built_driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("nvml")
    FakeDriver(directory).build()
    return directory / "libnvidia-ml.so.1"


@pytest.fixture
def driver(built_driver: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    """The fake library where the dynamic linker of a process started from here finds it."""
    (tmp_path / "libnvidia-ml.so.1").write_bytes(built_driver.read_bytes())
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    monkeypatch.setenv("FAKENVML_STATE", str(tmp_path / "state"))
    return FakeDriver(tmp_path)


class Host:
    """One accelerator device behind a link, polled as the poller would."""

    def __init__(self, link: WorkerLink, device: Device) -> None:
        self.link = link
        self.device = device

    async def poll(self, group: Group = Group.FAST) -> Answer:
        return await nvidia.DRIVER.poll(self.link, self.device, group)

    async def values(self, group: Group = Group.FAST) -> dict[str, float]:
        return by_name(await self.poll(group))

    async def outage(self, group: Group = Group.FAST) -> PollError:
        with pytest.raises(PollError) as caught:
            await self.poll(group)
        return caught.value

    async def recovered(self, group: Group = Group.FAST, *, within_s: float = 8.0) -> Answer:
        """Poll until it answers again."""
        end = time.monotonic() + within_s
        while True:
            try:
                return await self.poll(group)
            except PollError:
                assert time.monotonic() < end, "the worker did not heal"
                await asyncio.sleep(0.05)


def by_name(answer: Answer) -> dict[str, float]:
    """`metric/part` -> value; a reading given twice is an error."""
    named = {f"{r.metric.name}/{r.part}".rstrip("/"): r.value for r in answer.readings}
    assert len(named) == len(answer.readings)
    return named


@pytest.fixture
async def attach() -> AsyncIterator[Callable[..., Host]]:
    """`attach(address)` gives a host; its worker is ended after the test."""
    links: list[WorkerLink] = []

    def start(address: str = "local", *, patience: Patience = QUICK, serial: str | None = None) -> Host:
        link = WorkerLink(address, "keeld.workers.nvml", patience)
        links.append(link)
        identity = Identity(serial=serial)
        return Host(
            link, Device(id="g1", site="s", kind="accelerator", driver="nvidia", address=address, identity=identity)
        )

    yield start
    for link in links:
        await link.close()


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], str]:
    """Write a worker of a few lines; gives the address that runs it. `hello()`, `ask()`, `say()` are there."""

    def write(body: str) -> str:
        path = tmp_path / f"worker{len(list(tmp_path.iterdir()))}.py"
        path.write_text(PRELUDE + body)
        return f"exec:{sys.executable} {path}"

    return write


PRELUDE = """
import json, os, signal, sys, time
def say(**message): print(json.dumps(message), flush=True)
def hello(): say(id=0)
def ask():
    line = sys.stdin.readline()
    if not line: sys.exit(0)
    return json.loads(line)
"""

"""From the change of a PDU's register to the receipt of the webhook, at 2,000 devices on their own connections.

The devices and the receiver are here, keeld is a process of its own with its disk. A PDU begins to show 140 % of its
breaker; rule 2 asks for two distinct samples, which is its own delay; the second answer that shows it is therefore the
moment from which keeld is to blame. That part may take 250 ms, the whole one poll interval and the rule's delay more.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

DEVICES = 2_000
_INTERVAL_S = 10.0
_OWN_MOST_S = 0.25
_CHANGE_EVERY_S = 0.25
_WARM_UP_MOST_S = 180.0
_REMEMBERED_S = 60
_BREAKER_AMPERES, _VOLTS = 60.0, 240.0
_PROFILE = Path(__file__).with_name("pdu100.yaml")


@dataclass(slots=True)
class Change:
    """One PDU that went over its breaker: when, when keeld read it since, and when the receiver heard of it."""

    at_s: float
    read_s: list[float] = field(default_factory=list)
    heard_s: float | None = None

    @property
    def total_s(self) -> float:
        """From the register to the receiver."""
        return (self.heard_s or 0.0) - self.at_s

    @property
    def own_s(self) -> float:
        """From the second answer, which proves it, to the receiver."""
        return (self.heard_s or 0.0) - self.read_s[1]


class Plant:
    """2,000 PDUs behind one listening socket: the address that was called says which one answers."""

    def __init__(self) -> None:
        self.over: dict[int, Change] = {}
        self.done: dict[int, Change] = {}
        self.answers = [0] * DEVICES
        self.port = 0
        self._bodies = {share: _body(share * _BREAKER_AMPERES) for share in (0.5, 1.4)}

    async def open(self) -> None:
        """Begin to answer."""
        server = await asyncio.start_server(self._serve, "0.0.0.0", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = number_of(writer.get_extra_info("sockname")[0])
        try:
            while True:
                request = await reader.readexactly(12)
                writer.write(request[:4] + self._answer(number, request[6], request[7]))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _answer(self, number: int, unit: int, function: int) -> bytes:
        change = self.over.get(number)
        if change is not None:
            change.read_s.append(time.monotonic())
        self.answers[number] += 1
        body = self._bodies[0.5 if change is None else 1.4]
        return struct.pack(">HBBB", len(body) + 3, unit, function, len(body)) + body

    async def hear(self, request: web.Request) -> web.Response:
        """Take a webhook call."""
        message = json.loads(await request.read())
        kind, _, target = message["key"].partition(":breaker_severe:power_node:f-")
        change = self.over.pop(int(target), None) if target and kind and message["notice"] == "trigger" else None
        if change is not None:
            change.heard_s = time.monotonic()
            self.done[int(target)] = change
        return web.Response(status=204)


def _body(amperes: float) -> bytes:
    """Give 50 floats in the order of the profile: volts and amperes of three lines, W, VA, branches."""
    watts = 3.0 * _VOLTS * amperes
    return struct.pack(">50f", *(_VOLTS,) * 3, *(amperes,) * 3, watts, watts, *(amperes / 14.0,) * 42)


def address_of(number: int) -> str:
    """Give each device an address of its own on the loopback."""
    return f"127.90.{number // 250}.{number % 250 + 1}"


def number_of(address: str) -> int:
    """Give the device that has an address."""
    _, _, high, low = map(int, address.split("."))
    return high * 250 + low - 1


def _configuration(folder: Path, port: int, hook: str) -> Path:
    """Write a site of single-fed racks, each with its PDU and its breaker."""
    breaker = {"breaker_a": _BREAKER_AMPERES, "voltage_v": 415, "phases": 3, "parent": "utility"}
    site: Mapping[str, Any] = {
        "site": {"name": "bench", "timezone": "UTC"},
        "observe": "off",
        "poll": {"interval": f"{_INTERVAL_S:g}s"},
        "storage": {"directory": str(folder / "data")},
        "http": {"listen": f"127.0.0.1:{_free_port()}"},
        "power": {"utility": {"limit_kw": 1e6}} | {f"f-{number}": breaker for number in range(DEVICES)},
        "racks": {f"r{number}": {"feeds": {"a": f"f-{number}"}, "state": "mining"} for number in range(DEVICES)},
        "devices": [
            {
                "name": f"pdu-{number}", "driver": "modbus", "profile": str(_PROFILE), "rack": f"r{number}",
                "feed": "a", "address": f"tcp://{address_of(number)}:{port}",
            }
            for number in range(DEVICES)
        ],
        "notify": [{"kind": "webhook", "name": "hook", "url": hook}],
    }  # fmt: skip
    path = folder / "keeld.yaml"
    path.write_text(json.dumps(site))
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def run(changes: int = 200) -> bool:
    """Change so many registers at random moments; print the delays and tell whether they are within their bounds."""
    plant = Plant()
    await plant.open()
    hook = web.Application()
    hook.router.add_post("/", plant.hear)
    runner = web.AppRunner(hook, access_log=None)
    await runner.setup()
    port = _free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    with tempfile.TemporaryDirectory(prefix="keeld-bench-") as name:
        folder = Path(name)
        (folder / "data").mkdir()
        config = _configuration(folder, plant.port, f"http://127.0.0.1:{port}/")
        argv = [sys.executable, "-m", "keeld", "run", "--config", str(config)]
        with (folder / "keeld.log").open("wb") as log:
            daemon = await asyncio.create_subprocess_exec(*argv, stderr=log)
        try:
            await _warm_up(plant)
            lost = await _change(plant, changes)
        finally:
            daemon.terminate()
            await daemon.wait()
            await runner.cleanup()
    return _tell(plant, lost)


async def _warm_up(plant: Plant) -> None:
    """Wait until every device was polled twice."""
    end_s = time.monotonic() + _WARM_UP_MOST_S
    while min(plant.answers) < 2:
        if time.monotonic() > end_s:
            raise RuntimeError(f"{sum(count < 2 for count in plant.answers)} devices were not polled twice")
        await asyncio.sleep(0.5)


async def _change(plant: Plant, changes: int) -> int:
    """Change registers one after the other; give how many nobody was told of in time."""
    draw = random.Random(2)
    for number in draw.sample(range(DEVICES), changes):
        await asyncio.sleep(draw.uniform(0.5, 1.5) * _CHANGE_EVERY_S)
        plant.over[number] = Change(time.monotonic())
    for _ in range(_REMEMBERED_S):
        if plant.over:
            await asyncio.sleep(1.0)
    return len(plant.over)


def _tell(plant: Plant, lost: int) -> bool:
    found = list(plant.done.values())
    own_s, total_s = (sorted(values) for values in zip(*((c.own_s, c.total_s) for c in found), strict=True))
    rule_s = [change.read_s[1] - change.read_s[0] for change in found]
    print(f"\nalarm latency at {DEVICES} devices polled every {_INTERVAL_S:g} s, {len(found)} changes, {lost} lost")
    for what, values in (("register to webhook", total_s), ("second reading to webhook", own_s)):
        print(
            f"{what:<26} median {statistics.median(values):7.3f} s, p99 {_p99(values):7.3f} s, max {values[-1]:7.3f} s"
        )
    most_s = _INTERVAL_S + max(rule_s) + _OWN_MOST_S
    print(f"rule 2's own delay, two samples: at most {max(rule_s):.3f} s; so the whole may take {most_s:.3f} s")
    return not lost and _p99(own_s) <= _OWN_MOST_S and _p99(total_s) <= most_s


def _p99(values: list[float]) -> float:
    return values[min(len(values) - 1, round(0.99 * len(values)))]

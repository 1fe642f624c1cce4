"""Run keeld against the simulated site, as a person would, and show what it says.

Both are processes of their own that meet over loopback sockets only: what is shown is what the daemon's API answers,
messages are what its webhook delivers, and the count of writes is what the simulated devices received.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from keeld.errors import DeliveryError

_READY_S = 30.0
_STOP_S = 15.0


@dataclass(slots=True)
class Receiver:
    """Takes the daemon's webhooks, as a chat or a pager would."""

    titles: list[str] = field(default_factory=list)
    """The latest messages, bounded; `count` has them all."""
    count: int = 0

    async def take(self, request: web.Request) -> web.Response:
        """Accept one message."""
        message = await request.json()
        self.count += 1
        self.titles = [*self.titles, f"{message['notice']}: {message['title']}"][-20:]
        return web.Response(status=204)


@dataclass(frozen=True, slots=True)
class Running:
    """The processes of one demo, and how to ask the daemon."""

    daemon: asyncio.subprocess.Process
    simulator: asyncio.subprocess.Process
    session: aiohttp.ClientSession
    url: str
    receiver: Receiver
    started_s: float
    log_path: Path

    async def ask(self, path: str) -> dict[str, Any]:
        """Ask the daemon's API; raises DeliveryError when it does not answer."""
        try:
            async with self.session.get(self.url + path) as response:
                answer: dict[str, Any] = await response.json()
                return answer
        except (aiohttp.ClientError, TimeoutError) as error:
            raise DeliveryError(f"the daemon does not answer ({error}); its log: {self.last_words()}") from None

    def last_words(self) -> str:
        """Give the end of the daemon's log."""
        return " | ".join(self.log_path.read_text(errors="replace").splitlines()[-3:])[-600:] or "empty"


def site_folder() -> Path:
    """Where the demo site's configuration stands: in a checkout, or inside the installed package."""
    checkout = Path(__file__).parents[2] / "config" / "demo"
    return checkout if checkout.is_dir() else Path(__file__).parent / "site"


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Running]:
    """Start the simulated site, the receiver and the daemon; end all of them, whatever happens in between."""
    receiver = Receiver()
    with tempfile.TemporaryDirectory(prefix="keeld-demo-") as name:
        folder = Path(name)
        async with contextlib.AsyncExitStack() as stack:
            simulator = await stack.enter_async_context(_simulator(folder / "site.yaml"))
            hook = await stack.enter_async_context(_listening(receiver))
            port = _free_port()
            _complete(folder / "site.yaml", folder / "keeld.yaml", port=port, hook=hook)
            session = await stack.enter_async_context(
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5), raise_for_status=False)
            )
            started_s = time.monotonic()
            daemon = await stack.enter_async_context(_daemon(folder))
            yield Running(
                daemon, simulator, session, f"http://127.0.0.1:{port}/", receiver, started_s, folder / "keeld.log"
            )


async def wait_until_up(demo: Running) -> None:
    """Wait for the daemon's first answer; raises DeliveryError with its last words when it gives none."""
    deadline_s = time.monotonic() + _READY_S
    while True:
        try:
            await demo.ask("livez")
        except DeliveryError:
            if demo.daemon.returncode is not None or time.monotonic() > deadline_s:
                raise
            await asyncio.sleep(0.05)
        else:
            return


async def wait_until_stored(demo: Running) -> float:
    """Wait for the first reading on disk; give the seconds from the daemon's start, interpreter included."""
    while True:
        balance = (await demo.ask("api/v1/site"))["balance"]
        if balance["points_in_history"]:
            return time.monotonic() - demo.started_s
        await asyncio.sleep(0.05)


async def end(demo: Running) -> dict[str, int]:
    """Take the books, stop both processes in the order of a real site, and sum up what happened."""
    site = await demo.ask("api/v1/site")
    moves = (await demo.ask("api/v1/transitions?limit=1000"))["transitions"]
    await _stop(demo.daemon)
    received = await _totals(demo.simulator)
    balance = site["balance"]
    return {
        "devices": balance["devices"],
        "polls": balance["polls"],
        "outages": balance["outages"],
        "points_stored": sum(balance["points_stored"].values()) or balance["points_in_history"],
        "points_spooled": balance["points_acknowledged"],
        "alerts_fired": sum(move["notice"] == "trigger" for move in moves),
        "alerts_resolved": sum(move["notice"] == "resolve" for move in moves),
        "notifications_sent": balance["messages_sent"],
        "writes_to_devices": received["writes"],
    }


@contextlib.asynccontextmanager
async def _simulator(config_path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    folder = site_folder()
    argv: list[str | Path] = ["simulate", "--site", folder / "keeld.yaml", "--script", folder / "plant.yaml"]
    argv += ["--write-config", config_path, "--with-parent", "--json"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "keeld", *argv, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    try:
        await _line(process, "ready")
        yield process
    finally:
        await _stop(process)


@contextlib.asynccontextmanager
async def _daemon(folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    with (folder / "keeld.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "keeld", "run", "--config", folder / "keeld.yaml", stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        await _stop(process)


@contextlib.asynccontextmanager
async def _listening(receiver: Receiver) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/", receiver.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


def _complete(derived: Path, target: Path, *, port: int, hook: str) -> None:
    """Give the simulator's configuration an address for the page and a receiver for messages."""
    text = derived.read_text().replace("127.0.0.1:9780", f"127.0.0.1:{port}")
    target.write_text(f'{text}\nnotify:\n  - {{kind: webhook, name: demo, url: "{hook}"}}\n')


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _line(process: asyncio.subprocess.Process, key: str) -> dict[str, Any]:
    """Read the simulator's lines up to the one that has `key`."""
    if process.stdout is None:
        raise AssertionError("the simulator is started with a pipe")
    try:
        async with asyncio.timeout(_READY_S):
            while line := await process.stdout.readline():
                with contextlib.suppress(ValueError):
                    found: dict[str, Any] = json.loads(line)
                    if key in found:
                        return found
    except TimeoutError:
        pass
    raise DeliveryError(f"the simulated site did not say '{key}'")


async def _totals(simulator: asyncio.subprocess.Process) -> dict[str, Any]:
    simulator.send_signal(signal.SIGTERM)
    return await _line(simulator, "ended")


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()

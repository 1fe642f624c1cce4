from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import structlog
from aiohttp import web

from keeld.fanout import Fanout
from keeld.health import Health
from keeld.metrics import POWER
from keeld.model import Batch, Device, Reading
from keeld.sender import Pace, Store
from keeld.settings import InfluxSettings, StorageSettings
from keeld.sinks.influx import InfluxSink
from keeld.sinks.reply import Sink

Script = Callable[[list[str], web.Request], web.StreamResponse | None]


class FakeDatabase:
    """An InfluxDB of which the test writes the answers; `lines` is what it stored, `requests` all that came."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.requests: list[list[str]] = []
        self.headers: list[dict[str, str]] = []
        self.script: Script = lambda _lines, _request: None
        self.after: str = ""
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        lines = body.decode().splitlines()
        self.requests.append(lines)
        self.headers.append(dict(request.headers))
        if self.after == "hang":
            await asyncio.sleep(60)
        told = self.script(lines, request)
        if told is not None:
            return told
        self.lines.extend(lines)
        if self.after == "reset":
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=204)


@pytest.fixture
async def database() -> AsyncIterator[FakeDatabase]:
    fake = FakeDatabase()
    app = web.Application(client_max_size=64 << 20)
    app.router.add_route("*", "/{anything:.*}", fake.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    fake.url = f"http://127.0.0.1:{port}"
    yield fake
    await runner.cleanup()


@pytest.fixture
def influx() -> Callable[..., InfluxSink]:
    def build(url: str, *, api: str = "v2", timeout_s: float = 2.0, name: str = "main", **more: object) -> InfluxSink:
        return InfluxSink(InfluxSettings(name=name, url=url, api=api, bucket="keeld", timeout_s=timeout_s, **more))

    return build


class Running:
    """A store at work: publish batches, and wait until its account says what the test expects."""

    def __init__(self, store: Store, health: Health, fanout: Fanout) -> None:
        self.store = store
        self.health = health
        self.fanout = fanout
        self.senders: list[asyncio.Task[None]] = []
        self.batcher: asyncio.Task[None] | None = None

    def publish(self, count: int, *, first: int = 0, device: str = "pdu-1") -> None:
        pdu = Device(id=device, site="s", kind="pdu", driver="modbus", address="x", rack="r07")
        for number in range(first, first + count):
            time_ns = (1_700_000_000_000 + number) * 1_000_000
            self.fanout.publish(Batch(pdu, time_ns, 0, (Reading(POWER, float(number)),)))

    async def until(self, true: Callable[[], bool], *, within_s: float = 15.0) -> None:
        async with asyncio.timeout(within_s):
            while not true():
                await asyncio.sleep(0.01)
                for task in self.senders:
                    if task.done():
                        task.result()

    def assert_balanced(self) -> None:
        for sink, tally in self.store.tallies().items():
            assert tally.difference == 0, (sink, tally)

    async def stop(self) -> None:
        for task in self.senders:
            task.cancel()
        await asyncio.gather(*self.senders, return_exceptions=True)
        self.fanout.close()
        if self.batcher is not None:
            await self.batcher
        await self.store.close()


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Callable[..., Running]]:
    """Start a store with its sinks: `await start(sink, …)`; quick retries, everything else as shipped."""
    running: list[Running] = []

    async def begin(
        *sinks: Sink, directory: Path = tmp_path, linger_s: float = 60.0, senders: bool = True, **settings: object
    ) -> Running:
        health = Health()
        storage = StorageSettings(directory=directory, linger_s=linger_s, keep_free_bytes=0, **settings)
        pace = Pace(gather_s=0.1, first_s=0.05, most_s=0.2, fault_s=0.1)
        run = Running(Store(storage, sinks, health, pace=pace), health, Fanout())
        await run.store.open()
        running.append(run)
        run.batcher = asyncio.create_task(run.store.run_batcher(run.fanout.subscribe("spool", 100_000)))
        if senders:
            run.senders = [asyncio.create_task(run.store.run_sender(sink)) for sink in sinks]
        return run

    yield begin
    for run in running:
        await run.stop()


@pytest.fixture
def logged() -> Iterator[list[dict[str, object]]]:
    """What was logged during the test, one mapping a line."""
    with structlog.testing.capture_logs() as lines:
        yield lines

"""A receiver that records and answers as told, and a state with its writer for the length of a test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import web

from keeld.model import AlertState, Notice, Severity, Transition
from keeld.state import Outgoing, State

TEXT = """OVER: [CRIT] dal1 r08 power 33.9 kW of 30.0 kW limit (113%)
Where: R08 <old & cold> *C-14* (rack r08), site dal1
Value: 33.9 of 30 kW budget = 113 %
Likely cause: 4 nodes moved to full load
Runbook: https://wiki.site/rack?a=1&b=2"""


class Received(NamedTuple):
    headers: Any
    body: bytes


class Receiver:
    """Answers each POST with the next of `answers` (then 204): a status, (status, headers), or a coroutine function."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: list[Any] = []
        self.always: Any = 204
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook/k3y"

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.received.append(Received(request.headers, await request.read()))
        answer = self.answers.pop(0) if self.answers else self.always
        if callable(answer):
            return await answer(request)
        status, headers = answer if isinstance(answer, tuple) else (answer, {})
        return web.Response(status=status, headers=headers, text="" if status == 204 else "said\x1b[31m so")

    async def count(self, wanted: int, deadline_s: float = 5.0) -> None:
        await becomes(lambda: len(self.received) >= wanted, deadline_s)


async def becomes(condition: Callable[[], object], deadline_s: float = 5.0) -> None:
    """Wait until a condition holds; fail when it does not in time."""
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110 - the thing watched has no event of its own
            await asyncio.sleep(0.01)


@pytest.fixture
def until() -> Callable[..., Any]:
    return becomes


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    it = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", it.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    it.port = runner.addresses[0][1]
    yield it
    await runner.cleanup()


@contextlib.asynccontextmanager
async def running(coroutine: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(coroutine)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def run() -> Callable[[Any], Any]:
    return running


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[State]:
    it = State(tmp_path / "state.db")
    async with running(it.run()):
        yield it
    await it.close()


@pytest.fixture
def move() -> Callable[..., Transition]:
    def make(number: int = 1, **changed: Any) -> Transition:
        facts: dict[str, Any] = {
            "key": f"dal1:rack_density_power:rack:r{number:02}",
            "alert_id": f"a{number}",
            "rule": "rack_density_power",
            "target_kind": "rack",
            "target_id": f"r{number:02}",
            "before": AlertState.PENDING,
            "after": AlertState.FIRING,
            "severity": Severity.CRITICAL,
            "notice": Notice.TRIGGER,
            "time_ns": 1_795_402_380_123_000_000 + number,
            "since_ns": 1_795_402_020_000_000_000,
            "lo": 33_500.0,
            "best": 33_900.0,
            "hi": 34_100.0,
            "limit": 30_000.0,
            "unit": "W",
            "title": "[CRIT] dal1 r08 power 33.9 kW of 30.0 kW limit (113%)",
            "text": "Where: dal1 / r08\nSince: 02:47",
            "cause": "4 nodes moved to full load",
        }
        return Transition(**(facts | changed))

    return make


@pytest.fixture
def message(move: Callable[..., Transition]) -> Callable[..., Outgoing]:
    """A message about rack r08 as a channel gets it; what is changed, is changed in its transition."""

    def make(notice: Notice = Notice.TRIGGER, heard: Severity | None = None, **changed: Any) -> Outgoing:
        if notice is Notice.RESOLVE:
            changed = {"before": AlertState.CLEARING, "after": AlertState.OK, "ended": "resolved"} | changed
        about = move(8, **({"time_ns": 1_795_402_380_123_000_000, "notice": notice, "text": TEXT} | changed))
        return Outgoing("0f" * 16, "it", notice, about.time_ns, about, heard)

    return make

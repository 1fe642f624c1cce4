"""Keep three days of minutes of racks, nodes and meters on the site host, whether or not there is a database.

Page and commands draw from it, and without `influx:` it is what "stored" means. It is a convenience and not the
durable path: on a full disk it drops and counts, says so once, and goes on when it can.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog

from keeld.fanout import Subscription
from keeld.health import Health
from keeld.history.gather import Gatherer, wants
from keeld.history.minutes import Minutes, Point, read_series
from keeld.settings import StorageSettings

__all__ = ["History", "Point", "wants"]

_COMMIT_S = 0.9
_BATCHES_AT_ONCE = 64
_COALESCE_S = 0.05
_CLOSE_S = 5.0
_NS_PER_MINUTE = 60_000_000_000

log = structlog.get_logger()


class History:
    """Gathers minutes on the loop, commits them in one thread, reads them in another."""

    def __init__(self, path: Path, settings: StorageSettings, health: Health) -> None:
        self._path = path
        self._minutes = Minutes(path, most_bytes=settings.history_max_bytes, most_age_s=settings.history_max_age_s)
        self._health = health
        self._gatherer = Gatherer()
        self._writer = ThreadPoolExecutor(1, "keeld-history")
        self._reader = ThreadPoolExecutor(1, "keeld-history-read")

    async def run(self, subscription: Subscription) -> None:
        """Keep what the subscription brings until it is closed and drained."""
        is_open = True
        try:
            while is_open:
                is_open = await self._gather(subscription)
                await self._commit(everything=not is_open)
                self._health.progress["history"] = time.monotonic_ns()
        except asyncio.CancelledError:
            await self._commit(everything=True)
            raise

    async def close(self) -> None:
        """Let the file go."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CLOSE_S):
                await asyncio.shield(loop.run_in_executor(self._writer, self._minutes.close))
        except TimeoutError:
            log.warning("history did not close in time", seconds=_CLOSE_S)
        self._writer.shutdown(wait=False)
        self._reader.shutdown(wait=False)

    async def series(self, kind: str, device_id: str, metric: str, part: str = "", *, since_ns: int = 0) -> list[Point]:
        """Give the minutes of one series from `since_ns` (wall clock) on, oldest first; a gap has no points."""
        loop = asyncio.get_running_loop()
        key = (kind, device_id, metric, part)
        return await loop.run_in_executor(self._reader, read_series, self._path, key, since_ns // _NS_PER_MINUTE)

    async def _gather(self, subscription: Subscription) -> bool:
        until_s = asyncio.get_running_loop().time() + _COMMIT_S
        try:
            async with asyncio.timeout_at(until_s):
                while batches := await subscription.take(_BATCHES_AT_ONCE):
                    for batch in batches:
                        self._gatherer.add(batch)
                    await asyncio.sleep(_COALESCE_S)
        except TimeoutError:
            return True
        return False

    async def _commit(self, *, everything: bool) -> None:
        due = self._gatherer.due(time.monotonic(), everything=everything)
        loop = asyncio.get_running_loop()
        wall_minute = time.time_ns() // _NS_PER_MINUTE
        done = loop.run_in_executor(self._writer, self._minutes.commit, due, wall_minute)
        if await asyncio.shield(done):
            self._health.points_in_history += sum(row.count for row in due.values())
        else:
            self._gatherer.put_back(due)
        self._health.points_dropped_from_history = self._gatherer.dropped

"""Take batches and transitions to every configured database, without losing one that was acknowledged.

`Store` is what the rest of keeld knows of this: batches in by `run_batcher`, out by `run_sender`, one for each sink.
Lines gather for at most a second or 5,000 of them, then they are compressed and spooled in the spool's own thread.
"""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Iterable, Sequence

import structlog

from keeld.fanout import Subscription
from keeld.health import Health
from keeld.model import Batch, Transition
from keeld.sender.delivery import COMPRESSION, Delivery, Desk, Pace
from keeld.settings import StorageSettings
from keeld.sinks.line_protocol import Encoder
from keeld.sinks.reply import Sink
from keeld.spool import Limits, Spool, Tally

__all__ = ["Pace", "Store"]

_LINES_MOST = 5_000
_BATCHES_AT_ONCE = 64
_COALESCE_S = 0.02
"""Batches come one by one; taking what a short pause has gathered costs a tenth of waking up for each."""
_CLOSE_S = 5.0

log = structlog.get_logger()


class Store:
    """The durable way to the sinks. Without sinks nothing is spooled and nothing is ever behind."""

    def __init__(
        self, settings: StorageSettings, sinks: Sequence[Sink], health: Health, *, pace: Pace | None = None
    ) -> None:
        limits = Limits(
            max_bytes=settings.spool_max_bytes,
            max_age_s=settings.spool_max_age_s,
            keep_free_bytes=settings.keep_free_bytes,
            linger_s=settings.linger_s,
        )
        self._health = health
        self._pace = pace or Pace()
        self._spool = Spool(settings.directory / "spool", [sink.name for sink in sinks], limits=limits, health=health)
        self._desk = Desk(self._spool)
        self._deliveries = {sink.name: Delivery(sink, self._desk, pace=self._pace, health=health) for sink in sinks}
        self._encoder = Encoder()
        self._texts: list[str] = []
        self._lines = 0
        self._subscription: Subscription | None = None
        self._backlog_age_s = 0.0
        self._is_open = False

    async def open(self) -> None:
        """Take the spool's directory; raise ConfigError when it is not ours to use."""
        if self._deliveries:
            await self._desk.call(self._spool.open, time.monotonic())
            self._is_open = True

    def offer_transition(self, move: Transition) -> None:
        """Take one transition; it is acknowledged with the batches of its second."""
        if self._deliveries:
            self._texts.append(self._encoder.transition(move))
            self._lines += 1

    async def run_batcher(self, subscription: Subscription) -> None:
        """Spool what the subscription brings until it is closed and drained."""
        if not self._deliveries:
            while await subscription.take():
                pass
            return
        self._subscription = subscription
        is_open = True
        while is_open:
            is_open = await self._gather(subscription)
            await self._flush()
            self._health.progress["spool"] = time.monotonic_ns()

    async def run_sender(self, sink: Sink) -> None:
        """Send a sink its parcels until cancelled."""
        await self._deliveries[sink.name].run()

    async def close(self) -> None:
        """Spool what has been taken so far, and let the directory go; bounded, the backlog waits for the next start."""
        if self._is_open:
            self._is_open = False
            if self._subscription is not None:
                while len(self._subscription):
                    self._encode(await self._subscription.take(_BATCHES_AT_ONCE))
            try:
                async with asyncio.timeout(_CLOSE_S):
                    await self._flush()
                    await self._desk.call(self._spool.close)
            except TimeoutError:
                log.error("spool did not finish in time", seconds=_CLOSE_S)  # noqa: TRY400  # no traceback for operators
        self._desk.close()

    @property
    def backlog_files(self) -> int:
        """Parcels that the sink furthest behind still has to get."""
        return self._spool.waiting_files

    @property
    def backlog_bytes(self) -> int:
        """Disk space that they take, with what lingers after it was confirmed."""
        return self._spool.kept_bytes

    @property
    def oldest_age_s(self) -> float:
        """Age of the oldest of them about a second ago; 0 when there is none."""
        return self._backlog_age_s

    def tallies(self) -> dict[str, Tally]:
        """Every sink's account: found at start + taken = stored + queued + dead + evicted, in lines."""
        return {sink: self._spool.tally(sink) for sink in self._deliveries}

    async def _gather(self, subscription: Subscription) -> bool:
        """Encode what comes within the time or up to the size of one parcel; False once the subscription is closed."""
        until_s = asyncio.get_running_loop().time() + self._pace.gather_s
        while self._lines < _LINES_MOST:
            try:
                async with asyncio.timeout_at(until_s):
                    batches = await subscription.take(_BATCHES_AT_ONCE)
                    if not batches:
                        return False
                    self._encode(batches)
                    await asyncio.sleep(_COALESCE_S if len(batches) < _BATCHES_AT_ONCE else 0)
            except TimeoutError:
                break
        return True

    def _encode(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            text, lines = self._encoder.lines(batch)
            if lines:
                self._texts.append(text)
                self._lines += lines

    async def _flush(self) -> None:
        texts, lines = self._texts, self._lines
        self._texts, self._lines = [], 0
        await self._desk.call(self._store, texts, lines)
        for delivery in self._deliveries.values():
            delivery.stirred.set()

    def _store(self, texts: list[str], lines: int) -> None:
        """Compress and spool, in the spool's thread."""
        now_s = time.monotonic()
        if lines:
            body = gzip.compress("".join(texts).encode(), COMPRESSION, mtime=0)
            self._spool.append(body, lines, now_s=now_s)
        self._spool.tend(now_s)
        self._backlog_age_s = self._spool.oldest_age_s(now_s)

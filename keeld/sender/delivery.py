"""Send one sink what the spool holds for it: the live lane first, then what is left over, at half the sink's time.

What a reply means is decided in `sinks.reply`; here is what is done about it:

    stored            to `sent/`; if the connection had been lost, all of `sent/` is sent again first
    later, lost       keep; wait (full jitter, growing), at least as long as the sink asked for
    rejected          sift out the bad lines into `dead/`
    too large         the same in halves: nothing is lost unless one single line is too large
    fault             keep everything; say so once; try again every half minute
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Never, ParamSpec, TypeVar

import structlog

from keeld.health import Health
from keeld.sender.sift import sift
from keeld.sinks.reply import Answer, Reply, Sink
from keeld.spool import Lane, Parcel, Spool

P = ParamSpec("P")
T = TypeVar("T")

COMPRESSION = 1
_EVENTS = {
    Answer.LATER: "sink is busy",
    Answer.LOST: "sink lost",
    Answer.FAULT: "sink refuses keeld, everything is kept",
    Answer.REJECTED: "sink rejects every line, everything is kept",
    Answer.TOO_LARGE: "sink finds every line too large, everything is kept",
}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long lines gather for one parcel, and how long to wait before the next try, in seconds."""

    gather_s: float = 0.9
    first_s: float = 0.5
    most_s: float = 60.0
    fault_s: float = 30.0


class Desk:
    """The one thread in which the spool lives. A call that has begun is finished even if nobody waits for it."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self._thread = ThreadPoolExecutor(1, "keeld-spool")

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking function there."""
        done = asyncio.get_running_loop().run_in_executor(self._thread, partial(function, *args, **kwargs))
        return await asyncio.shield(done)

    def leave(self, function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Have it run there, without waiting."""
        with contextlib.suppress(RuntimeError):  # closed: the next start finds the files as they are
            self._thread.submit(function, *args, **kwargs)

    def close(self) -> None:
        """Take no more calls; those that were taken are finished."""
        self._thread.shutdown(wait=False)


class Delivery:
    """One sink's sender: one request in flight."""

    def __init__(self, sink: Sink, desk: Desk, *, pace: Pace, health: Health) -> None:
        self.stirred = asyncio.Event()
        """Set by whoever puts a parcel into the spool."""
        self._sink = sink
        self._desk = desk
        self._spool = desk.spool
        self._pace = pace
        self._health = health
        self._trouble: Answer | None = None
        self._failures = 0
        self._was_lost = False
        self._proven = False
        """Whether the sink has taken a line since it last refused a whole parcel."""
        self._backlog_from_s = 0.0
        self._in_hand: Parcel | None = None

    async def run(self) -> Never:
        """Send until cancelled; what is in hand then goes back into the spool."""
        try:
            while True:
                self._in_hand = parcel = await self._next()
                began_s = time.monotonic()
                wait_s = await self._deliver(parcel)
                ended_s = time.monotonic()
                if parcel.lane is not Lane.LIVE:
                    # a backlog takes no more than half of the sink's time, however long it is
                    self._backlog_from_s = ended_s + (ended_s - began_s)
                await asyncio.sleep(wait_s)
        finally:
            self._put_back()
            await self._sink.close()

    async def _next(self) -> Parcel:
        name = self._sink.name
        while True:
            self.stirred.clear()
            with_backlog = time.monotonic() >= self._backlog_from_s
            parcel = await self._desk.call(self._spool.take, name, with_backlog=with_backlog)
            if parcel is not None:
                return parcel
            wait_s = self._pace.first_s if with_backlog else max(0.0, self._backlog_from_s - time.monotonic())
            await self._wait(wait_s if self._spool.has_backlog(name) else None)

    async def _wait(self, wait_s: float | None) -> None:
        try:
            async with asyncio.timeout(wait_s):
                await self.stirred.wait()
        except TimeoutError:
            return

    async def _deliver(self, parcel: Parcel) -> float:
        """Send one parcel and close or return it; give the seconds to wait before the next."""
        reply = await self._sink.write(parcel.body)
        if reply.answer in {Answer.REJECTED, Answer.TOO_LARGE}:
            return await self._sift(parcel, reply)
        if reply.answer is not Answer.STORED:
            return self._keep(reply)
        await self._accept(reply)
        await self._confirm(parcel)
        return 0.0

    async def _accept(self, reply: Reply) -> None:
        """Note that the sink has taken lines; if it was away, have it sent again what it may have forgotten."""
        if self._was_lost or reply.reconnected:
            await self._desk.call(self._spool.recall, self._sink.name)
        if self._trouble is not None:
            log.info("sink back", sink=self._sink.name)
        self._trouble = None
        self._was_lost = False
        self._proven = True
        self._failures = 0

    async def _confirm(self, parcel: Parcel, refusals: Sequence[tuple[str, bytes]] = ()) -> None:
        self._in_hand = None
        now_s = time.monotonic()
        await self._desk.call(self._spool.confirm, self._sink.name, parcel, now_s=now_s, refusals=refusals)

    async def _sift(self, parcel: Parcel, reply: Reply) -> float:
        """Sort out a rejected parcel; give the seconds to wait before the next."""
        if parcel.lane is Lane.RESEND:
            # it was confirmed once: what is refused now was dealt with then, or has grown too old to be wanted
            await self._confirm(parcel)
            return 0.0
        lines = (await self._desk.call(gzip.decompress, parcel.body)).splitlines(keepends=True)
        sifted = await sift(lines, reply, self._post)
        if sifted.interrupted is not None:
            return self._keep(sifted.interrupted)
        if sifted.accepted:
            await self._accept(reply)
        elif not self._proven:
            # one parcel may be all bad, but a sink that has taken nothing yet is more likely set up wrongly
            return self._keep(reply, behind=True)
        await self._confirm(parcel, sifted.refusals)
        self._proven = sifted.accepted > 0
        return 0.0

    async def _post(self, lines: list[bytes]) -> Reply:
        body = await self._desk.call(gzip.compress, b"".join(lines), COMPRESSION, mtime=0)
        return await self._sink.write(body)

    def _keep(self, reply: Reply, *, behind: bool = False) -> float:
        """Return the parcel in hand to the spool, say what has changed, and give the seconds to wait."""
        self._put_back(behind=behind)
        self._health.send_failures[self._sink.name] += 1
        self._was_lost |= reply.answer is Answer.LOST
        if self._trouble is not reply.answer:
            tell = log.error if reply.answer in {Answer.FAULT, Answer.REJECTED} else log.warning
            tell(_EVENTS[reply.answer], sink=self._sink.name, reason=reply.words)
            self._trouble = reply.answer
        if reply.answer is Answer.FAULT:
            return self._pace.fault_s
        most_s = min(self._pace.most_s, self._pace.first_s * 2.0 ** min(self._failures, 30))
        self._failures += 1
        return max(reply.retry_after_s, random.uniform(0.0, most_s))  # noqa: S311  # spreads retries, guards nothing

    def _put_back(self, *, behind: bool = False) -> None:
        parcel, self._in_hand = self._in_hand, None
        if parcel is not None:
            back = self._spool.postpone if behind else self._spool.give_back
            self._desk.leave(back, self._sink.name, parcel)

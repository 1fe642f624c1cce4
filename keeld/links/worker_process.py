"""One worker process: what it was asked, what it said, and how it is ended.

No task reads its pipes: asyncio calls the process object, which keeps one answer and bounded text. So a poll that is
cancelled half-way leaves nothing half-read.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import time
from collections.abc import Callable
from typing import Any, cast

import orjson

from keeld.errors import Outage, PollError
from keeld.text import clean

HELLO = 0
"""Id of the line that a worker says by itself once it is ready."""
_STDIN, _STDOUT = 0, 1
_MOST_ANSWER_BYTES = 1 << 20
_MOST_WORDS_BYTES = 2048
_MOST_DETAIL = 160
_LAST_WORDS_S = 0.5
_KILL_AFTER_S = 1.0
_OUTAGES = {str(outage): outage for outage in Outage}


class WorkerProcess(asyncio.SubprocessProtocol):
    """One worker process from start to end. Holds at most one unanswered question, one answer, and bounded text."""

    def __init__(self) -> None:
        self.pid = 0
        self.started_s = time.monotonic()
        self.ended_s: float | None = None
        self.owed: int | None = HELLO
        """Id of the answer that has not come yet."""
        self.answer: dict[str, Any] = {}
        self.obituary: PollError | None = None
        """Why it will not be asked again; known before it has ended when it was told to end."""
        self.told = False
        """Whether a poll has reported the obituary."""
        self.misses = 0
        self._transport: asyncio.SubprocessTransport | None = None
        self._line = b""
        self._words = b""
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport of the process that has just started."""
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self.pid = self._transport.get_pid()

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        """Take stdout line by line, and keep the end of stderr."""
        received = cast("bytes", data)
        if fd != _STDOUT:
            self._words = (self._words + received)[-_MOST_WORDS_BYTES:]
            return
        *lines, self._line = (self._line + received).split(b"\n")
        for line in lines:
            self._take(line)
        if len(self._line) > _MOST_ANSWER_BYTES:
            self._line = b""
            self._distrust(f"an answer longer than {_MOST_ANSWER_BYTES >> 10} KiB")

    def process_exited(self) -> None:
        """Wait a moment for its last words; a grandchild may hold the pipes open, and goes as well."""
        self._set_timer(_LAST_WORDS_S, self.kill)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Note the end, with its reason; whoever waits is woken."""
        self._end()

    def _end(self) -> None:
        if self.ended_s is not None:
            return
        self.ended_s = time.monotonic()
        if self._timer:
            self._timer.cancel()
        code = None
        if self._transport:
            code = self._transport.get_returncode()
            self._transport.close()
        self.obituary = self.obituary or PollError(Outage.UNREACHABLE, _cause_of_death(code, self._words))
        self._changed.set()

    def _take(self, line: bytes) -> None:
        if self.obituary:
            return
        message = _parse(line)
        if message is None:
            self._distrust(f"a line that is no answer: {clean(line[:60].decode(errors='replace'), 60)}")
        elif "fatal" in message:
            outage = _OUTAGES.get(str(message["fatal"]), Outage.DRIVER_DOWN)
            self.obituary = PollError(outage, clean(message.get("detail", ""), _MOST_DETAIL))
            self._set_timer(_KILL_AFTER_S, self.kill)  # it ends by itself, unless it cannot
        elif self.owed is None or message.get("id") != self.owed:
            self._distrust("an answer that nobody asked for")
        else:
            self.owed, self.answer, self.misses = None, message, 0
        self._changed.set()

    def _distrust(self, what: str) -> None:
        self.condemn(PollError(Outage.GARBLED, f"worker gave {what}"), _KILL_AFTER_S)
        pipe = self._transport.get_pipe_transport(_STDOUT) if self._transport else None
        if pipe:
            pipe.close()

    def ask(self, question: dict[str, Any]) -> None:
        """Write a question; its answer is owed from now on."""
        self.owed = question["id"]
        stdin = self._stdin()
        if stdin and not stdin.is_closing():
            stdin.write(orjson.dumps(question) + b"\n")

    async def settled(self) -> None:
        """Wait until no answer is owed. Raises the reason when none will come any more."""
        while self.owed is not None:
            if self.obituary:
                raise self.last_report()
            self._changed.clear()
            await self._changed.wait()

    async def gone(self) -> None:
        """Wait until the process has ended."""
        while self.ended_s is None:
            self._changed.clear()
            await self._changed.wait()

    def last_report(self) -> PollError:
        """Give the reason of the end as a fresh error, so that no traceback grows from poll to poll."""
        self.told = True
        reason = self.obituary or PollError(Outage.UNREACHABLE, "worker ended")
        return PollError(reason.outage, reason.detail)

    def condemn(self, reason: PollError, kill_after_s: float) -> None:
        """Send SIGTERM now and SIGKILL later, for this reason; the first reason stays."""
        if self.obituary or self.ended_s is not None:
            return
        self.obituary = reason
        self._signal(signal.SIGTERM)
        self._set_timer(kill_after_s, functools.partial(self._signal, signal.SIGKILL))
        self._changed.set()

    def release(self) -> None:
        """Close its stdin, the polite way to end it."""
        stdin = self._stdin()
        if stdin:
            stdin.close()

    def kill(self) -> None:
        """Send SIGKILL and let go of the pipes."""
        self._signal(signal.SIGKILL)
        if self._transport:
            self._transport.close()

    def _set_timer(self, delay_s: float, action: Callable[[], None]) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(delay_s, action)

    def _signal(self, number: signal.Signals) -> None:
        if self.ended_s is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)  # it leads a session of its own, so a wrapper's children get it too

    def _stdin(self) -> asyncio.WriteTransport | None:
        pipe = self._transport.get_pipe_transport(_STDIN) if self._transport else None
        return cast("asyncio.WriteTransport | None", pipe)


def _parse(line: bytes) -> dict[str, Any] | None:
    if len(line) > _MOST_ANSWER_BYTES:
        return None
    try:
        message = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return message if isinstance(message, dict) else None


def _cause_of_death(code: int | None, words: bytes) -> str:
    """Say how a process ended that did not say so itself, with the last line it wrote to stderr."""
    if code in {-signal.SIGKILL, -signal.SIGTERM}:
        return f"worker was ended from outside by {signal.Signals(-code).name}"
    end = f"by signal {-code}" if code is not None and code < 0 else f"with exit code {code}"
    last = words.strip().rpartition(b"\n")[2]
    said = clean(last.decode(errors="replace"), _MOST_DETAIL)
    return f"worker ended {end}: {said}" if said else f"worker ended {end}"

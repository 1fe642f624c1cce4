"""A supervised process that answers for devices whose driver could hang: accelerators.

Theory of operation
    absent ─first ask─► opening ─hello─► idle ◄─answer─ asked ─deadline─► late ─answer (thrown away)─► idle
    A deadline that passes is a miss. After three in a row the process gets SIGTERM, ten seconds later SIGKILL. A
    process that survives even that (a driver call that cannot be interrupted) stays the only one: no other is started
    until it is gone. After every end the next start waits, longer each time, until an answer arrives.

One question is under way at a time, and an answer is taken only for the question it belongs to: a poll that was
cancelled leaves its answer owed, and the next poll first waits for that one and throws it away.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shlex
import sys
import time
from dataclasses import dataclass
from typing import Any

from keeld.errors import Outage, PollError
from keeld.links.worker_process import HELLO, WorkerProcess
from keeld.text import clean

_WITHHELD = frozenset({"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "CREDENTIALS_DIRECTORY"})
"""Variables of systemd that are the daemon's own business."""

_REAP_S = 1.0
_MOST_DOUBLINGS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a worker is waited for."""

    answer_s: float = 2.4
    opening_s: float = 30.0
    """A driver without persistence mode takes about 1.5 s to open each GPU."""
    misses: int = 3
    kill_after_s: float = 10.0
    restart_least_s: float = 5.0
    restart_most_s: float = 300.0
    leave_s: float = 3.0
    """Time to end by itself at close, before it is killed."""


def worker_argv(address: str, module: str) -> list[str]:
    """Give the command of `local` (this Python runs `module`) or `exec:ARGV`; raise ValueError for anything else."""
    if address == "local":
        return [sys.executable, "-P", "-m", module]
    scheme, colon, command = address.partition(":")
    argv = shlex.split(command) if scheme == "exec" and colon else []
    if not argv:
        raise ValueError(f"{address!r} is neither `local` nor `exec:COMMAND`")
    return argv


class WorkerLink:
    """Asks one worker, and replaces it when it ends, hangs or lies. Owned by one task; starts with the first question.

    `address` is `local` (this Python runs `module`) or `exec:COMMAND`.
    """

    def __init__(self, address: str, module: str, patience: Patience) -> None:
        self._address = address
        self._module = module
        self._patience = patience
        self._process: WorkerProcess | None = None
        self._last_id = HELLO
        self._memory: Any = None
        self._failures = 0
        self._start_after_s = 0.0
        self._reason: PollError | None = None

    @property
    def pid(self) -> int | None:
        """The worker's process id, None while there is none."""
        return self._process.pid if self._process and self._process.ended_s is None else None

    async def ask(self, what: str) -> dict[str, Any]:
        """Give the worker's answer to `{"read": what}`. Raises PollError."""
        process = await self._living()
        process.misses += 1  # any answer takes it back; a poll cancelled from outside stays counted
        try:
            async with asyncio.timeout(self._patience.answer_s):
                await process.settled()  # an answer still owed from an earlier poll is thrown away
                self._last_id += 1
                process.ask({"id": self._last_id, "read": what, "memory": self._memory})
                await process.settled()
        except TimeoutError:
            raise _overdue(process) from None
        finally:
            self._lose_patience(process)
        self._failures = 0
        self._memory = process.answer.get("memory")
        return process.answer

    async def close(self) -> None:
        """End the worker within a bound, politely first; never raises."""
        process, self._process = self._process, None
        if process is None:
            return
        process.release()
        await _gone_within(process, self._patience.leave_s)
        process.kill()
        await _gone_within(process, _REAP_S)

    async def _living(self) -> WorkerProcess:
        """Give a process that can be asked; start one when it is time. Raises PollError otherwise."""
        process = self._process
        if process is None:
            return await self._start()
        if process.ended_s is None and process.obituary is None:
            return process
        if process.ended_s is not None:
            self._bury(process, process.ended_s)
            if process.told:
                return await self._start()
        raise process.last_report()  # an end is reported once, however fast the next process would be

    def _bury(self, process: WorkerProcess, ended_s: float) -> None:
        self._process = None
        self._reason = process.obituary
        self._postpone(ended_s)

    def _postpone(self, since_s: float) -> None:
        patience = self._patience
        wait_s = min(patience.restart_least_s * 2**self._failures, patience.restart_most_s)
        self._failures = min(self._failures + 1, _MOST_DOUBLINGS)
        self._start_after_s = since_s + wait_s * random.uniform(0.8, 1.0)  # noqa: S311 - spreads restarts, no secret

    async def _start(self) -> WorkerProcess:
        if self._reason and time.monotonic() < self._start_after_s:
            raise PollError(self._reason.outage, self._reason.detail)
        try:
            argv = worker_argv(self._address, self._module)
            loop = asyncio.get_running_loop()
            _, process = await loop.subprocess_exec(WorkerProcess, *argv, start_new_session=True, env=_environment())
        except (OSError, ValueError) as error:
            words = error.strerror if isinstance(error, OSError) else str(error)
            self._reason = PollError(Outage.UNREACHABLE, f"worker cannot be started: {clean(words)}")
            self._postpone(time.monotonic())
            raise PollError(self._reason.outage, self._reason.detail) from None
        self._process = process
        return process

    def _lose_patience(self, process: WorkerProcess) -> None:
        """End a process that opens for too long or has missed too often."""
        if process.owed is None:
            return
        open_s = time.monotonic() - process.started_s
        late = open_s > self._patience.opening_s if process.owed == HELLO else process.misses >= self._patience.misses
        if late:
            process.condemn(_overdue(process, "; the worker is being replaced"), self._patience.kill_after_s)


async def _gone_within(process: WorkerProcess, most_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(most_s):
            await process.gone()


def _overdue(process: WorkerProcess, more: str = "") -> PollError:
    if process.owed == HELLO and not more:
        return PollError(Outage.BUSY, "the worker is still opening the accelerators")
    return PollError(Outage.HUNG, f"a driver call in worker process {process.pid} does not return{more}")


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _WITHHELD}

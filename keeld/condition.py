"""Gather how keeld itself does, for the rules about it: every ten seconds, from its parts and from the host.

Nothing here judges. What the host does not tell (a container's clock, a disk that cannot be asked) is not known.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from keeld import certificates, config, host
from keeld.health import OwnState
from keeld.settings import Settings

LOOK_S = 10.0
_SLOPE_S = 600.0
_DISK_SLOPE_S = 3600.0
_SLOPE_LEAST_S = 300.0
"""A pace that was seen for less than this is none."""
_AWAY_S = 120.0
"""A database that has not taken anything for so long is away."""
_JUMP_LEAST_S = 1.0
_JUMP_SHOWN_S = 900.0
_CERTIFICATES_EVERY_S = 6 * 3600.0
_CERTIFICATES_FIRST_S = 60.0


class Parts(NamedTuple):
    """What of the running daemon is looked at; functions, because a reload replaces the things themselves."""

    settings: Callable[[], Settings]
    channels: Callable[[], Mapping[str, str]]
    """Every channel with the trouble of its last attempt."""
    heartbeat: Callable[[], str]
    backlog: Callable[[], tuple[int, float]]
    """Bytes on disk that wait, and the age of the oldest in seconds."""
    state_trouble: Callable[[], str]


class Slope:
    """How fast a figure moves, from samples of the last `span_s` seconds."""

    def __init__(self, span_s: float) -> None:
        self._span_s = span_s
        self._samples: deque[tuple[float, float]] = deque()

    def add(self, value: float, now_s: float) -> None:
        """Take a sample."""
        self._samples.append((now_s, value))
        while self._samples[0][0] < now_s - self._span_s:
            self._samples.popleft()

    @property
    def per_s(self) -> float | None:
        """Change per second; None before there is enough to tell."""
        (first_s, first), (last_s, last) = self._samples[0], self._samples[-1]
        return (last - first) / (last_s - first_s) if last_s - first_s >= _SLOPE_LEAST_S else None


class Condition:
    """Keeps what must be compared with the look before."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._backlog = Slope(_SLOPE_S)
        self._free = Slope(_DISK_SLOPE_S)
        self._offset_ns: int | None = None
        self._jump_s = 0.0
        self._jumped_s = 0.0
        self._file: tuple[Settings, object] | None = None
        """The settings and the stamp of their file that were compared last."""
        self._config_words = ""
        self._certificates: Mapping[str, float] = MappingProxyType({})
        self._certificates_s = 0.0
        """Monotonic time at which they were asked for."""

    async def run(self, tell: Callable[[OwnState], None]) -> None:
        """Look and tell every ten seconds, for ever."""
        async with asyncio.TaskGroup() as work:
            work.create_task(self._watch_certificates(), name="certificates")
            while True:
                tell(await self.look())
                await asyncio.sleep(LOOK_S)

    async def look(self) -> OwnState:
        """Gather everything once."""
        parts, now_s = self._parts, time.monotonic()
        settings = parts.settings()
        directory = settings.storage.directory
        free_bytes = await asyncio.to_thread(host.free_bytes, directory)
        spool_full_s, spool_words = self._spool(settings, free_bytes, now_s)
        self._note_clock(time.time_ns() - time.monotonic_ns(), now_s)
        await self._compare_file(settings)
        aged_s = now_s - self._certificates_s
        return OwnState(
            channels=parts.channels(),
            heartbeat=parts.heartbeat(),
            spool_full_s=spool_full_s,
            spool_words=spool_words,
            state_trouble=parts.state_trouble(),
            clock_is_synchronised=host.is_clock_synchronised(),
            clock_jump_s=self._jump_s,
            disk_free_bytes=free_bytes,
            disk_full_s=self._disk_full_s(free_bytes, now_s),
            certificates_s={name: left_s - aged_s for name, left_s in self._certificates.items()},
            config_words=self._config_words,
        )

    def _spool(self, settings: Settings, free_bytes: int | None, now_s: float) -> tuple[float | None, str]:
        """Say in how many seconds acknowledged readings are dropped; None while the databases take what comes."""
        waiting_bytes, age_s = self._parts.backlog()
        self._backlog.add(waiting_bytes, now_s)
        pace, storage = self._backlog.per_s, settings.storage
        if not settings.influx or age_s < _AWAY_S or pace is None or pace <= 0.0:
            return None, ""
        room_bytes = storage.spool_max_bytes // len(settings.influx) - waiting_bytes
        if free_bytes is not None:
            room_bytes = min(room_bytes, free_bytes - storage.keep_free_bytes)
        left_s = min(max(0, room_bytes) / pace, max(0.0, storage.spool_max_age_s - age_s))
        return left_s, f"{waiting_bytes / (1 << 20):.0f} MiB wait, the oldest for {age_s / 60:.0f} min."

    def _disk_full_s(self, free_bytes: int | None, now_s: float) -> float | None:
        if free_bytes is None:
            return None
        self._free.add(free_bytes, now_s)
        pace = self._free.per_s
        return free_bytes / -pace if pace is not None and pace < 0.0 else None

    def _note_clock(self, offset_ns: int, now_s: float) -> None:
        before_ns, self._offset_ns = self._offset_ns, offset_ns
        moved_s = 0.0 if before_ns is None else (offset_ns - before_ns) / 1e9
        if abs(moved_s) >= _JUMP_LEAST_S:
            self._jump_s, self._jumped_s = moved_s, now_s
        elif now_s - self._jumped_s > _JUMP_SHOWN_S:
            self._jump_s = 0.0

    async def _compare_file(self, settings: Settings) -> None:
        """Read the file again when it, or what runs, has changed since the last time."""
        if settings.source is None:
            return
        stamp = await asyncio.to_thread(_stamp, settings.source)
        if self._file is not None and self._file[0] is settings and self._file[1] == stamp:
            return
        is_first, self._file = self._file is None or self._file[0] is not settings, (settings, stamp)
        self._config_words = "" if is_first else await asyncio.to_thread(_difference, settings, settings.source)

    async def _watch_certificates(self) -> None:
        wait_s = _CERTIFICATES_FIRST_S
        while True:
            await asyncio.sleep(wait_s)
            self._certificates = await certificates.look(self._parts.settings())
            self._certificates_s = time.monotonic()
            wait_s = _CERTIFICATES_EVERY_S


def _stamp(source: Path) -> object:
    """Give what changes when the file or a table beside it does; None for what cannot be asked."""
    stamps: list[tuple[str, int, int] | None] = []
    for path in (source, *sorted(source.parent.glob("*.csv"))):
        try:
            status = path.stat()
        except OSError:
            stamps.append(None)
        else:
            stamps.append((path.name, status.st_mtime_ns, status.st_size))
    return tuple(stamps)


def _difference(settings: Settings, source: Path) -> str:
    """Say how the file differs from what runs; empty where it says the same."""
    checked = config.check(source, credentials_required=True)
    if checked.settings is None:
        return f"The file cannot be loaded any more: {checked.problems[0]}"
    return "" if checked.settings == settings else "The file has changed since it was loaded."

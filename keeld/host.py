"""What keeld needs of the host: a storage directory of its own, enough open files, room on the disk, a clock."""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import gc
import os
import resource
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keeld.errors import ConfigError, Problem

_SPARE_FILES = 256
"""For databases, channels, the page and what Python itself holds open."""

_TIMEX_BYTES = 512
"""More than struct timex has on any platform; all zero asks and sets nothing."""
_TIMEX_STATUS = 5 * struct.calcsize("@l")
"""Behind modes (padded), offset, freq, maxerror and esterror."""
_STA_UNSYNC = 0x40
_TIMESYNCD = Path("/run/systemd/timesync/synchronized")
"""Made by systemd's own time service once the clock was set."""

_SETTLED_S = (0.0, 30.0)
_MIDDLE_S = 60.0
COLLECT_EVERY = (5_000, 20, 50)
"""Allocations before a young collection, young ones before a middle one, middle ones before a full one."""


async def settle_memory() -> None:
    """Take what lives as long as the process out of the garbage collector's sight; look through the rest, for ever.

    A full collection walks every object there is, 0.2 s at 2,500 devices, and stops every poll meanwhile. The site's
    own objects never become garbage: they are set aside once they are there, and again when the first polls have been.
    """
    gc.set_threshold(*COLLECT_EVERY)
    for wait_s in _SETTLED_S:
        await asyncio.sleep(wait_s)
        gc.collect()
        gc.freeze()
    while True:
        await asyncio.sleep(_MIDDLE_S)
        gc.collect(1)


def collect_young() -> None:
    """Look through what was made just now, which is little and quick.

    Judging replaces what it made a slot ago, so the count of objects, by which the collector would start by itself,
    hardly moves while young ones pile up: it would start seldom, and then stop every poll for 20 ms at 10,000 devices.
    """
    gc.collect(0)


@contextmanager
def nothing_collected() -> Iterator[None]:
    """Put garbage collection off while much is built at once that stays: it would walk all of it again and again."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def claim(directory: Path) -> int:
    """Make the storage directory and lock it for the life of this process; raise ConfigError when it is not ours."""
    remedy = "make it a directory that keeld may write to (storage: {directory: PATH})"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory / "keeld.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError([Problem(str(directory), f"cannot be used for storage: {error.strerror}", remedy)]) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        remedy = "stop that one, or give this one a storage directory of its own"
        raise ConfigError([Problem(str(directory), "another keeld is running here", remedy)]) from None
    return descriptor


def raise_file_limit(devices: int) -> None:
    """Raise the soft limit of open files to what so many devices need; raise ConfigError when the host forbids it."""
    needed = devices + _SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= needed or soft == resource.RLIM_INFINITY:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        wrong = f"{devices} devices need {needed} open files, this host allows {hard}"
        raise ConfigError([Problem("limits", wrong, "set LimitNOFILE= in the unit, or ulimit -n")])
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def free_bytes(directory: Path) -> int | None:
    """Say how much keeld may still write to the directory's disk; None where nobody can tell."""
    try:
        status = os.statvfs(directory)
    except OSError:
        return None
    return status.f_bavail * status.f_frsize


def is_clock_synchronised() -> bool | None:
    """Whether the kernel's clock is kept right (adjtimex(2), STA_UNSYNC); None where the kernel may not be asked."""
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
    if adjtimex(buffer) < 0:  # a service without the system call for clocks
        return _TIMESYNCD.exists() or None
    (status,) = struct.unpack_from("@i", buffer, _TIMEX_STATUS)
    return not status & _STA_UNSYNC

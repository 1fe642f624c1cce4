"""What keeld needs of the host before it starts: a storage directory of its own, and enough open files."""

from __future__ import annotations

import fcntl
import os
import resource
from pathlib import Path

from keeld.errors import ConfigError, Problem

_SPARE_FILES = 256
"""For databases, channels, the page and what Python itself holds open."""


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

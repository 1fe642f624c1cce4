"""The few things the spool does to a file system, each with its one promise."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import zlib
from pathlib import Path

from keeld.errors import ConfigError, Problem

FULL_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT})


def claim(directory: Path) -> int:
    """Make the directory and lock it for this process; give the lock's descriptor, or raise ConfigError."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise unusable(directory, error) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        remedy = "stop that one, or give this one a storage directory of its own"
        raise ConfigError([Problem(str(directory), "another keeld is using this spool", remedy)]) from None
    return descriptor


def unusable(directory: Path, error: OSError) -> ConfigError:
    """Say why the directory does not serve as a spool."""
    remedy = "make it a directory that keeld may write to"
    return ConfigError([Problem(str(directory), f"spool cannot be used: {error.strerror}", remedy)])


def folder_name(sink: str) -> str:
    """Name a sink's folder: as the sink where that is plain, else made plain and told apart by a checksum."""
    plain = re.sub(r"[^a-z0-9_-]", "_", sink.lower())[:64]
    return plain if plain == sink else f"{plain}-{zlib.crc32(sink.encode()):08x}"


def write_durably(path: Path, data: bytes) -> None:
    """Create `path` with `data` on the disk, or leave nothing and raise OSError.

    A file whose flush failed is never used: the kernel may have dropped the pages and call the next flush a success.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        _write_all(descriptor, data)
        os.fdatasync(descriptor)
    except OSError:
        remove(path)
        raise
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    """Write everything: a disk that fills up takes a part first and complains at the next call."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def sync_folder(folder: Path) -> None:
    """Make the folder's names durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file; one that is gone, or cannot go now, is no reason to stop."""
    with contextlib.suppress(OSError):
        path.unlink()


def free_bytes(folder: Path) -> int:
    """Tell how much an unprivileged process may still write to this file system."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def trim(folder: Path, *, most_files: int, most_bytes: int) -> int:
    """Remove the oldest files (by name) of a folder until it is within both caps; give how many."""
    with os.scandir(folder) as entries:
        sizes = sorted((entry.name, entry.stat(follow_symlinks=False).st_size) for entry in entries if entry.is_file())
    total = sum(size for _, size in sizes)
    removed = 0
    for name, size in sizes:
        if len(sizes) - removed <= most_files and total <= most_bytes:
            break
        remove(folder / name)
        total -= size
        removed += 1
    return removed

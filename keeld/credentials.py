"""Secrets that never show: not in a repr, a log, an error or a metric.

A secret stands in a file. A name without a slash is looked up in `$CREDENTIALS_DIRECTORY` (systemd's LoadCredential,
which is fixed until restart); another path is read again when it changes, so a rotated token needs no reload.
"""

from __future__ import annotations

import errno
import hmac
import os
import stat
from pathlib import Path
from typing import NoReturn

from keeld.errors import ConfigError, Problem

_MAX_BYTES = 64 << 10

Stamp = tuple[int, int, int]


def credentials_directory() -> Path | None:
    """Where systemd put this service's credentials; None outside of it."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(directory) if directory else None


def credential_path(name: str, folder: Path = Path()) -> Path:
    """Where the secret called `name` stands.

    A bare name stands in systemd's directory, outside systemd in `folder`; a relative path starts from `folder`.
    """
    directory = credentials_directory()
    return directory / name if directory and "/" not in name else folder / name


class Secret:
    """A value that shows as `***`; `reveal` is the only way to it, called where it goes on the wire."""

    __slots__ = ("_path", "_stamp", "_value")

    def __init__(self, value: str = "", *, path: Path | None = None) -> None:
        self._value = value
        self._path = path
        self._stamp: Stamp | None = None

    @classmethod
    def from_file(cls, path: Path) -> Secret:
        """Read the secret at `path` now; raise ConfigError when it cannot be read or holds no one-line text."""
        secret = cls(path=path)
        try:
            secret._refresh(path)
        except (OSError, ValueError) as error:
            problem = Problem(str(path), f"secret cannot be read: {_reason(error)}", "check path and permissions")
            raise ConfigError([problem]) from None
        return secret

    def reveal(self) -> str:
        """Give the value; a file that has changed is read again, one that is gone or unusable keeps its last value."""
        if self._path is not None:
            try:
                self._refresh(self._path)
            except (OSError, ValueError):
                return self._value
        return self._value

    @property
    def is_world_readable(self) -> bool:
        """Whether every user of this host can read the file."""
        try:
            return self._path is not None and bool(self._path.stat().st_mode & stat.S_IROTH)
        except OSError:
            return False

    def _refresh(self, path: Path) -> None:
        stamp = _stamp(path)
        if stamp == self._stamp:
            return
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
        # Only a value that could be used replaces the last one: a rotation may be seen half written.
        self._value = _usable(raw)
        self._stamp = stamp

    def __eq__(self, other: object) -> bool:
        """Whether both have the same value; a reload asks what has changed."""
        if not isinstance(other, Secret):
            return NotImplemented
        return self._path == other._path and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        """Hash by where it stands, never by the value."""
        return hash(self._path)

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied into another process."""
        raise TypeError("a secret stays in its process")

    def __repr__(self) -> str:
        """Never the value."""
        return "***"

    __str__ = __repr__

    def __bool__(self) -> bool:
        """Whether there is anything in it."""
        return bool(self._value)


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a directory")
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    return status.st_mtime_ns, status.st_size, status.st_ino


def _usable(raw: bytes) -> str:
    """Give the text without the line end an editor leaves; raise ValueError for what no header or login could carry."""
    if len(raw) > _MAX_BYTES:
        raise OSError(errno.EFBIG, "larger than any secret")
    value = raw.decode("utf-8-sig").strip()
    if not value:
        raise ValueError("it is empty")
    if not value.isprintable():
        raise ValueError("it has more than one line or control characters")
    return value


def _reason(error: OSError | ValueError) -> str:
    """Say why in words of our own: an exception's text may quote what it could not read."""
    if isinstance(error, OSError):
        return (error.strerror or "input or output error").lower()
    return "not UTF-8 text" if isinstance(error, UnicodeError) else str(error)

"""Secrets that never show: not in a repr, a log, an error or a metric.

A secret stands in a file. A name without a slash is looked up in `$CREDENTIALS_DIRECTORY` (systemd's LoadCredential,
which is fixed until restart); another path is read again when it changes, so a rotated token needs no reload.
"""

from __future__ import annotations

import os
from pathlib import Path

from keeld.errors import ConfigError, Problem

_MAX_BYTES = 64 << 10


def credential_path(name: str) -> Path:
    """Where the secret called `name` stands; a bare name outside systemd is taken relative to the working directory."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(directory) / name if directory and "/" not in name else Path(name)


class Secret:
    """A value that shows as `***`; `reveal` is the only way to it, called where it goes on the wire."""

    __slots__ = ("_path", "_stamp", "_value")

    def __init__(self, value: str = "", *, path: Path | None = None) -> None:
        self._value = value
        self._path = path
        self._stamp: tuple[int, int] | None = None

    @classmethod
    def from_file(cls, path: Path) -> Secret:
        """Read the secret at `path` now; raise ConfigError when it cannot be read."""
        secret = cls(path=path)
        try:
            secret._read()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise ConfigError(
                [Problem(str(path), f"secret cannot be read: {reason}", "check path and permissions")]
            ) from None
        return secret

    def reveal(self) -> str:
        """Give the value; a file that has changed is read again, one that has gone keeps its last value."""
        if self._path is not None:
            try:
                self._read()
            except (OSError, UnicodeDecodeError):
                return self._value
        return self._value

    def _read(self) -> None:
        path = self._path
        if path is None:
            return
        status = path.stat()
        stamp = (status.st_mtime_ns, status.st_size)
        if stamp == self._stamp:
            return
        if not path.is_file():
            raise IsADirectoryError(21, "not a regular file")
        if status.st_size > _MAX_BYTES:
            raise OSError(27, "larger than any secret")
        self._value = path.read_text("utf-8").strip()
        self._stamp = stamp

    def __repr__(self) -> str:
        """Never the value."""
        return "***"

    __str__ = __repr__

    def __bool__(self) -> bool:
        """Whether there is anything in it."""
        return bool(self._value)

"""Notes that the watch keeps over a restart: windows, baselines, running blocks. Table `window`, a row for each note.

Unlike a transition, a note may be a minute old: what is lost with the process is the last minute of learning.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping


def read_notes(connection: sqlite3.Connection) -> dict[str, bytes]:
    """Give every note by key."""
    return dict(connection.execute("SELECT key, body FROM window"))


def write_notes(connection: sqlite3.Connection, changes: Mapping[str, bytes | None], time_ns: int) -> None:
    """Write what changed, in one transaction; None takes a note away."""
    kept = [(key, time_ns, body) for key, body in changes.items() if body is not None]
    gone = [(key,) for key, body in changes.items() if body is None]
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT OR REPLACE INTO window VALUES (?, ?, ?)", kept)
    connection.executemany("DELETE FROM window WHERE key = ?", gone)
    connection.execute("COMMIT")

"""The file of minutes: SQLite, one row for each (minute, series), the oldest minutes removed first.

Rows are ordered by minute, so that writing appends, and removing the oldest frees whole pages. A series of three days
is then 4,320 small look-ups, along the minutes that exist.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import NamedTuple

import structlog

from keeld.history.gather import Row, RowKey, SeriesKey

_SCHEMA = """
CREATE TABLE IF NOT EXISTS series (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, device TEXT NOT NULL, metric TEXT NOT NULL, part TEXT NOT NULL,
    UNIQUE (kind, device, metric, part)
) STRICT;
CREATE TABLE IF NOT EXISTS minute (
    minute INTEGER NOT NULL, series INTEGER NOT NULL,
    low REAL NOT NULL, high REAL NOT NULL, total REAL NOT NULL, count INTEGER NOT NULL, last REAL NOT NULL,
    PRIMARY KEY (minute, series)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 1;
"""
_ADD = """
INSERT INTO minute VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (minute, series) DO UPDATE SET
    low = min(low, excluded.low), high = max(high, excluded.high), total = total + excluded.total,
    count = count + excluded.count, last = excluded.last
"""
_READ = """
WITH RECURSIVE grid(minute) AS (
    SELECT min(minute) FROM minute WHERE minute >= ?
    UNION ALL
    SELECT (SELECT min(minute) FROM minute WHERE minute > grid.minute) FROM grid WHERE grid.minute IS NOT NULL
)
SELECT grid.minute, low, total / count, high FROM grid CROSS JOIN minute
    ON minute.minute = grid.minute
    AND minute.series = (SELECT id FROM series WHERE kind = ? AND device = ? AND metric = ? AND part = ?)
ORDER BY grid.minute
"""
_EVERY_COMMITS = 30
_REMOVE_MINUTES = 10
_KEEP_RATIO = 0.9
"""Minutes are removed from nine tenths of the cap on: the rest is room for the write-ahead log."""
_NS_PER_MINUTE = 60_000_000_000
_BUSY_S = 5.0

log = structlog.get_logger()


class Point(NamedTuple):
    """One minute of one series."""

    minute_ns: int
    min: float
    mean: float
    max: float


class Minutes:
    """The writing side. Never raises over the disk: what fails is said once and reported to the caller as False."""

    def __init__(self, path: Path, *, most_bytes: int, most_age_s: float) -> None:
        self._path = path
        self._most_bytes = most_bytes
        self._most_minutes = int(most_age_s // 60)
        self._connection: sqlite3.Connection | None = None
        self._ids: dict[SeriesKey, int] = {}
        self._writable = True
        self._commits = 0

    def commit(self, due: dict[RowKey, Row], wall_minute: int) -> bool:
        """Add rows to the file, and remove what is too old or too much; whether that worked."""
        try:
            connection = self._connection or self._connect()
            with connection:
                self._add(connection, due)
                if self._commits % _EVERY_COMMITS == 0:
                    self._trim(connection, wall_minute)
            self._commits += 1
        except (sqlite3.Error, OSError) as error:
            self._fail(error)
            return False
        if not self._writable:
            log.info("history is written again")
            self._writable = True
        return True

    def close(self) -> None:
        """Let the file go."""
        connection, self._connection = self._connection, None
        self._ids.clear()
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=_BUSY_S)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA journal_size_limit = 8388608")
            connection.executescript(_SCHEMA)
        except sqlite3.Error:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _add(self, connection: sqlite3.Connection, due: dict[RowKey, Row]) -> None:
        connection.executemany(
            _ADD,
            [
                (minute, self._id(connection, series), row.low, row.high, row.total, row.count, row.last)
                for (series, minute), row in due.items()
            ],
        )

    def _id(self, connection: sqlite3.Connection, series: SeriesKey) -> int:
        known = self._ids.get(series)
        if known is None:
            connection.execute("INSERT OR IGNORE INTO series (kind, device, metric, part) VALUES (?, ?, ?, ?)", series)
            known = self._ids[series] = int(
                connection.execute(
                    "SELECT id FROM series WHERE kind = ? AND device = ? AND metric = ? AND part = ?", series
                ).fetchone()[0]
            )
        return known

    def _trim(self, connection: sqlite3.Connection, wall_minute: int) -> None:
        """Remove a few of the oldest minutes: in slices, so that a clock that jumps for a moment costs little."""
        (oldest,) = connection.execute("SELECT min(minute) FROM minute").fetchone()
        if oldest is None:
            return
        if self._used_bytes(connection) > self._most_bytes * _KEEP_RATIO:
            before = oldest + _REMOVE_MINUTES
        else:
            before = min(oldest + _REMOVE_MINUTES, wall_minute - self._most_minutes)
        connection.execute("DELETE FROM minute WHERE minute < ?", (before,))

    def _used_bytes(self, connection: sqlite3.Connection) -> int:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (free,) = connection.execute("PRAGMA freelist_count").fetchone()
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
        return int((pages - free) * page_bytes)

    def _fail(self, error: sqlite3.Error | OSError) -> None:
        if self._writable:
            log.error("history cannot be written", reason=str(error))
            self._writable = False
        self.close()
        if getattr(error, "sqlite_errorcode", None) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            self._set_aside()

    def _set_aside(self) -> None:
        """Begin anew beside a file that is damaged: three days of minutes are not worth a daemon that has none."""
        log.warning("damaged history set aside", file=self._path.name)
        with contextlib.suppress(OSError):
            self._path.rename(self._path.with_name(self._path.name + ".damaged"))
        for suffix in ("-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)


def read_series(path: Path, series: SeriesKey, since_minute: int) -> list[Point]:
    """Read the minutes of a series; [] where there is no history yet, or none that can be read."""
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)
        ) as connection:
            rows = connection.execute(_READ, (since_minute, *series)).fetchall()
    except sqlite3.Error:
        return []
    return [Point(minute * _NS_PER_MINUTE, low, mean, high) for minute, low, mean, high in rows]

"""The SQLite file behind the state: opened, mended, read and written by one thread at a time.

Durability: write-ahead log with synchronous FULL, so a commit that returned has been flushed. A file that SQLite calls
damaged is renamed to `state.db.damaged-N` (the newest three are kept) and a new one is begun. Every statement may be
repeated without harm, because a commit that failed may still have happened.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import orjson
import structlog

from keeld.errors import ConfigError, DeliveryError, Problem
from keeld.model import AlertState, Notice, Severity, Transition
from keeld.state.audit import Audited, read_audited, write_audited
from keeld.state.notes import read_notes, write_notes

_log = structlog.get_logger()
_Result = TypeVar("_Result")

_TRANSITIONS_MOST = 50_000
_OF_OPEN_ALARM_MOST = 50
"""Newest transitions of an open alarm that stay, however old they are."""
_PRUNE_EVERY = 1000
_ASIDE_MOST = 3
_BUSY_S = 2.0
_FULL_BYTES = 256 << 10

# One script for each version; a file of version n has had the first n. Released scripts are never edited.
_MIGRATIONS = (
    """
    CREATE TABLE alarm (key TEXT PRIMARY KEY, snapshot BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE transition (
        id INTEGER PRIMARY KEY, uid TEXT NOT NULL UNIQUE, time_ns INTEGER NOT NULL, key TEXT NOT NULL,
        rule TEXT NOT NULL, after TEXT NOT NULL, severity TEXT NOT NULL, body BLOB NOT NULL);
    CREATE INDEX transition_time ON transition (time_ns);
    CREATE INDEX transition_key ON transition (key);
    CREATE TABLE outbox (
        position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, channel TEXT NOT NULL, notice TEXT NOT NULL,
        created_ns INTEGER NOT NULL, body BLOB NOT NULL);
    CREATE TABLE told (channel TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (channel, key)) WITHOUT ROWID;
    CREATE TABLE hold (
        id INTEGER PRIMARY KEY, kind TEXT NOT NULL, target TEXT NOT NULL, owner TEXT NOT NULL, reason TEXT NOT NULL,
        begins_ns INTEGER NOT NULL, ends_ns INTEGER, body BLOB);
    CREATE TABLE rack_state (rack TEXT PRIMARY KEY, state TEXT NOT NULL, since_ns INTEGER NOT NULL, owner TEXT NOT NULL)
        WITHOUT ROWID;
    CREATE TABLE curtail (
        id INTEGER PRIMARY KEY, target TEXT NOT NULL, begins_ns INTEGER NOT NULL, ends_ns INTEGER, body BLOB);
    CREATE TABLE window (key TEXT PRIMARY KEY, time_ns INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
    """,
    """
    ALTER TABLE told ADD COLUMN body BLOB NOT NULL DEFAULT x'';
    ALTER TABLE outbox ADD COLUMN heard TEXT;
    """,
    """
    CREATE TABLE audit (
        id INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, who TEXT NOT NULL, act TEXT NOT NULL, about TEXT NOT NULL,
        was_done INTEGER NOT NULL, result TEXT NOT NULL);
    """,
    """
    CREATE TABLE rack_move (
        id INTEGER PRIMARY KEY, rack TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL,
        time_ns INTEGER NOT NULL, owner TEXT NOT NULL, reason TEXT NOT NULL, configured TEXT NOT NULL);
    CREATE INDEX rack_move_rack ON rack_move (rack, id);
    ALTER TABLE curtail ADD COLUMN name TEXT NOT NULL DEFAULT '';
    CREATE UNIQUE INDEX curtail_name ON curtail (name);
    """,
)

_PRUNE = """
    DELETE FROM transition WHERE id <= (SELECT max(id) FROM transition) - ? AND id NOT IN (
        SELECT id FROM (
            SELECT id, row_number() OVER (PARTITION BY key ORDER BY id DESC) AS place
            FROM transition WHERE key IN (SELECT key FROM alarm))
        WHERE place <= ?)
"""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to one channel. `id` is the same for every attempt, so that a receiver can drop a repeat."""

    id: str
    channel: str
    notice: Notice
    """What this channel is told: its first word on an alarm is a trigger, even where others hear of an escalation."""
    created_ns: int
    transition: Transition
    heard: Severity | None = None
    """Severity that this channel was last told of the alarm; None for its first word."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What the file held at the start."""

    alarms: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}))
    outbox: Sequence[Outgoing] = ()
    told: Mapping[tuple[str, str], bytes] = field(default_factory=lambda: MappingProxyType({}))


class Plan(NamedTuple):
    """What brings the file level with the memory; None takes a row away.

    `whole` means that nothing is known of what the file holds: everything but the transitions is written anew.
    """

    transitions: Sequence[Transition]
    alarms: Mapping[str, bytes | None]
    outbox: Mapping[str, Outgoing | None]
    told: Mapping[tuple[str, str], bytes | None]
    whole: bool

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.transitions or self.alarms or self.outbox or self.told or self.whole)


class Database:
    """One connection, made anew after any failure. Its methods raise DeliveryError; the caller keeps the data."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_known = False
        """Whether the file holds what this process last read or wrote; False asks for a whole plan."""
        self._connection: sqlite3.Connection | None = None
        self._inserted = 0

    def load(self) -> Contents:
        """Read everything but the transitions, once, at the start. Raises ConfigError for a newer keeld's file."""
        with self._use() as connection:
            contents = _contents(connection)
        self.is_known = True
        return contents

    def load_read_only(self) -> Contents:
        """Read a file that cannot be opened for writing (a full disk has no room even for the log's index)."""
        try:
            with closing(
                sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
            ) as connection:
                return _contents(connection)
        except sqlite3.Error as error:
            raise DeliveryError(_cause(self.path, error)) from None

    def apply(self, plan: Plan) -> None:
        """Write a plan in one transaction; when it returns, the plan is on the disk."""
        with self._use() as connection:
            if not (self.is_known or plan.whole):
                raise DeliveryError("the file was replaced")
            connection.execute("BEGIN IMMEDIATE")
            if plan.whole:
                for table in ("alarm", "outbox", "told"):
                    connection.execute(f"DELETE FROM {table}")  # noqa: S608 - the names stand one line above
            self._write(connection, plan)
            connection.execute("COMMIT")
        self.is_known = True

    def work(self, task: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """Let a task of another module have the open file."""
        with self._use() as connection:
            return task(connection)

    def notes(self) -> dict[str, bytes]:
        """Give the notes of the watch, by key."""
        with self._use() as connection:
            return read_notes(connection)

    def keep_notes(self, changes: Mapping[str, bytes | None], time_ns: int) -> None:
        """Write the notes that changed; None takes one away."""
        with self._use() as connection:
            write_notes(connection, changes, time_ns)

    def record(self, entry: Audited) -> None:
        """Append an act to the audit."""
        with self._use() as connection:
            write_audited(connection, entry)

    def audited(self, limit: int) -> list[Audited]:
        """Give the newest acts first."""
        with self._use() as connection:
            return read_audited(connection, limit)

    def transitions(self, limit: int, since_ns: int) -> list[Transition]:
        """Give the newest transitions first."""
        query = "SELECT body FROM transition WHERE time_ns >= ? ORDER BY id DESC LIMIT ?"
        with self._use() as connection:
            rows = connection.execute(query, (since_ns, limit)).fetchall()
        return [move for (body,) in rows if (move := read_move(body)) is not None]

    def close(self) -> None:
        """Let go of the file; never raises."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except sqlite3.Error as error:
                _log.warning("state not closed cleanly", reason=str(error))

    def _write(self, connection: sqlite3.Connection, plan: Plan) -> None:
        _each(connection, "INSERT OR IGNORE INTO transition VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)", plan.transitions, _row)
        kept = {key: snapshot for key, snapshot in plan.alarms.items() if snapshot is not None}
        gone = plan.alarms.keys() - kept.keys()
        _each(connection, "INSERT OR REPLACE INTO alarm VALUES (?, ?)", kept.items(), tuple)
        _each(connection, "DELETE FROM alarm WHERE key = ?", gone, lambda key: (key,))
        queued = [outgoing for outgoing in plan.outbox.values() if outgoing is not None]
        sent = [uid for uid, outgoing in plan.outbox.items() if outgoing is None]
        _each(connection, "INSERT OR IGNORE INTO outbox VALUES (NULL, ?, ?, ?, ?, ?, ?)", queued, _outbox_row)
        _each(connection, "DELETE FROM outbox WHERE id = ?", sent, lambda uid: (uid,))
        told = [(*pair, body) for pair, body in plan.told.items() if body is not None]
        untold = [pair for pair, body in plan.told.items() if body is None]
        _each(connection, "INSERT OR REPLACE INTO told VALUES (?, ?, ?)", told, tuple)
        _each(connection, "DELETE FROM told WHERE channel = ? AND key = ?", untold, tuple)
        self._inserted += len(plan.transitions)
        if self._inserted >= _PRUNE_EVERY:
            self._inserted = 0
            connection.execute(_PRUNE, (_TRANSITIONS_MOST, _OF_OPEN_ALARM_MOST))

    @contextmanager
    def _use(self) -> Iterator[sqlite3.Connection]:
        """Lend the open connection; on any failure close it, set a damaged file aside and raise DeliveryError."""
        try:
            if self._connection is not None and not self.path.exists():
                self._forget()  # somebody removed the file: what we would write now is lost with it
            if self._connection is None:
                self._connection = _open(self.path)
            yield self._connection
        except sqlite3.OperationalError as error:  # full, locked, unwritable: the file itself may be sound
            self._rollback()
            raise DeliveryError(_cause(self.path, error)) from None
        except sqlite3.DatabaseError as error:
            self._forget()
            _set_aside(self.path, str(error))
            raise DeliveryError(str(error)) from None
        except OSError as error:
            self._forget()
            raise DeliveryError(error.strerror or str(error)) from None

    def _rollback(self) -> None:
        try:
            if self._connection is not None and self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._forget()

    def _forget(self) -> None:
        self.is_known = False
        self.close()


def _contents(connection: sqlite3.Connection) -> Contents:
    return Contents(
        alarms=dict(connection.execute("SELECT key, snapshot FROM alarm")),
        outbox=tuple(_outgoing(connection.execute("SELECT * FROM outbox ORDER BY position"))),
        told={(channel, key): body for channel, key, body in connection.execute("SELECT channel, key, body FROM told")},
    )


def _each(connection: sqlite3.Connection, statement: str, items: Any, row: Callable[[Any], Any]) -> None:
    connection.executemany(statement, [row(item) for item in items])


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA wal_autocheckpoint=1")  # the file alone is complete, for a start on a full disk
        connection.execute("PRAGMA journal_size_limit=4194304")
        _check(connection)
        _migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection) -> None:
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(_MIGRATIONS):
        remedy = "run that version, or move the file away to begin without its alarms"
        raise ConfigError([Problem(str(path), f"written by a newer keeld (schema {version})", remedy)])
    for number, script in enumerate(_MIGRATIONS[version:], start=version + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;")


def _cause(path: Path, error: sqlite3.Error) -> str:
    """Say what an operator can see and mend; SQLite calls most of it an I/O error."""
    if not path.parent.is_dir():
        return f"{path.parent} does not exist"
    if path.is_dir():
        return f"{path} is a directory"
    if shutil.disk_usage(path.parent).free < _FULL_BYTES:
        return f"the disk of {path.parent} is full"
    return f"{path}: {error}"


def _set_aside(path: Path, reason: str) -> None:
    aside = sorted(path.parent.glob(f"{path.name}.damaged-*"), key=lambda file: int(file.suffix.rpartition("-")[2]))
    number = int(aside[-1].suffix.rpartition("-")[2]) + 1 if aside else 1
    kept = path.with_name(f"{path.name}.damaged-{number}")
    path.replace(kept)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    for old in aside[: max(0, len(aside) + 1 - _ASIDE_MOST)]:
        old.unlink(missing_ok=True)
    _log.error("state file damaged", file=str(path), reason=reason, kept_as=kept.name, effect="alarms begin anew")


def _row(move: Transition) -> tuple[Any, ...]:
    return uid(move), move.time_ns, move.key, move.rule, move.after, move.severity, dump_move(move)


def _outbox_row(outgoing: Outgoing) -> tuple[Any, ...]:
    body = dump_move(outgoing.transition)
    return outgoing.id, outgoing.channel, outgoing.notice, outgoing.created_ns, body, outgoing.heard


def _outgoing(rows: Iterable[Any]) -> Iterator[Outgoing]:
    for _, message, channel, notice, created_ns, body, heard in rows:
        move = read_move(body)
        if move is not None:
            known = Severity(heard) if heard in set(Severity) else None
            yield Outgoing(message, channel, Notice(notice), created_ns, move, known)


def uid(move: Transition, channel: str = "") -> str:
    """Name a move, or the message about it to one channel: the same for ever, whatever the process."""
    facts = (channel, move.key, move.time_ns, move.before, move.after, move.severity, move.notice or "")
    return hashlib.sha256("\x1f".join(map(str, facts)).encode()).hexdigest()[:32]


_FIELDS = frozenset(item.name for item in fields(Transition))


def dump_move(move: Transition) -> bytes:
    """Give a move as it is stored."""
    return orjson.dumps(move)


def read_move(body: bytes) -> Transition | None:
    """Read a stored move; None for one that another version wrote in a way this one cannot read."""
    try:
        stored = {name: value for name, value in orjson.loads(body).items() if name in _FIELDS}
        stored["before"] = AlertState(stored["before"])
        stored["after"] = AlertState(stored["after"])
        stored["severity"] = Severity(stored["severity"])
        stored["notice"] = Notice(stored["notice"]) if stored.get("notice") else None
        stored["children"] = tuple(stored.get("children", ()))
        return Transition(**stored)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        _log.warning("stored transition not readable", reason=type(error).__name__)
        return None

"""Who asked keeld for what, and what came of it: append-only, a row for each act, refused ones included."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

_MOST = 100_000
_PRUNE_EVERY = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """One act. `who` is the user as the system knows him, `result` a sentence, `was_done` whether it was."""

    time_ns: int
    who: str
    act: str
    about: str
    was_done: bool
    result: str


def write_audited(connection: sqlite3.Connection, entry: Audited) -> None:
    """Append an act; the oldest are dropped beyond a hundred thousand."""
    row = (entry.time_ns, entry.who, entry.act, entry.about, entry.was_done, entry.result)
    connection.execute("BEGIN IMMEDIATE")
    cursor = connection.execute("INSERT INTO audit VALUES (NULL, ?, ?, ?, ?, ?, ?)", row)
    if cursor.lastrowid is not None and cursor.lastrowid % _PRUNE_EVERY == 0:
        connection.execute("DELETE FROM audit WHERE id <= ?", (cursor.lastrowid - _MOST,))
    connection.execute("COMMIT")


def read_audited(connection: sqlite3.Connection, limit: int) -> list[Audited]:
    """Give the newest acts first."""
    query = "SELECT time_ns, who, act, about, was_done, result FROM audit ORDER BY id DESC LIMIT ?"
    return [
        Audited(time_ns=time_ns, who=who, act=act, about=about, was_done=bool(was_done), result=result)
        for time_ns, who, act, about, was_done, result in connection.execute(query, (limit,))
    ]

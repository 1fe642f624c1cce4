"""Each channel's last word on each alarm is known, also after a restart and in a file of the first version."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from keeld.model import AlertState, Notice, Severity
from keeld.state import State
from keeld.state import database as files


@dataclass
class Kept:
    key: str

    def dump(self) -> bytes:
        return b"{}"


async def test_a_message_says_what_its_channel_heard_before(opened, db, move, channels):
    warning = move(severity=Severity.WARNING)
    worse = move(notice=Notice.ESCALATE, before=AlertState.FIRING, time_ns=warning.time_ns + 1)
    end = move(notice=Notice.RESOLVE, after=AlertState.OK, time_ns=warning.time_ns + 2)
    async with opened(db) as state:
        for step in (warning, worse, end):
            await state.commit([step], [Kept(step.key)], channels=channels)
    async with opened(db) as state:
        told_all = [(message.notice, message.heard) for message in state.waiting("all")]
        told_pager = [(message.notice, message.heard) for message in state.waiting("pager")]
    assert told_all == [("trigger", None), ("escalate", "warning"), ("resolve", "critical")]
    assert told_pager == [("trigger", None), ("resolve", "critical")]


async def test_what_stands_is_the_last_word_of_alarms_that_are_not_over(opened, db, move, channels):
    first, second, over = move(1, severity=Severity.WARNING), move(2), move(3)
    worse = move(1, notice=Notice.ESCALATE, before=AlertState.FIRING, time_ns=first.time_ns + 9)
    end = move(3, notice=Notice.RESOLVE, after=AlertState.OK)
    async with opened(db) as state:
        await state.commit([first, second, over], [Kept(step.key) for step in (first, second, over)], channels=channels)
        await state.commit([worse, end], [Kept(first.key), Kept(second.key)], channels=channels)
        assert set(state.standing("all")) == {worse, second}
    async with opened(db) as state:
        assert set(state.standing("all")) == {worse, second}
        assert set(state.standing("pager")) == {worse, second}
        assert state.standing("nobody") == ()
        await state.commit([], [Kept(second.key)], channels=channels)
        assert state.standing("all") == (second,)


async def test_a_file_of_the_first_version_is_taken_over(opened, db, move, channels):
    connection = sqlite3.connect(db)
    connection.executescript(files._MIGRATIONS[0])
    connection.execute("PRAGMA user_version = 1")
    connection.execute("INSERT INTO told VALUES ('all', ?)", (move().key,))
    connection.execute("INSERT INTO alarm VALUES (?, x'7b7d')", (move().key,))
    connection.commit()
    connection.close()
    async with opened(db) as state:
        assert state.standing("all") == ()
        await state.commit([move(notice=Notice.RESOLVE, after=AlertState.OK)], [], channels=channels)
        (end,) = state.waiting("all")
        assert (end.notice, end.heard) == ("resolve", None)
        assert not state.waiting("pager")
    assert State(db).queued == {"all": 1}

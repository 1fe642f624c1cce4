"""The audit: append-only, newest first, there after a restart."""

from __future__ import annotations

import sqlite3

from keeld.state import Audited, State


def entry(number: int) -> Audited:
    return Audited(time_ns=number, who="eve", act="shelve", about="rack=r1", was_done=number % 2 == 0, result="x")


async def test_acts_are_there_after_a_restart_newest_first(tmp_path):
    state = State(tmp_path / "state.db")
    for number in range(5):
        await state.record(entry(number))
    await state.close()
    again = State(tmp_path / "state.db")
    assert await again.audited(3) == [entry(4), entry(3), entry(2)]
    await again.close()


async def test_an_unwritable_disk_does_not_keep_an_act_from_being_done(tmp_path):
    state = State(tmp_path / "state.db")
    with sqlite3.connect(tmp_path / "state.db") as other:
        other.execute("DROP TABLE audit")
    await state.record(entry(1))
    await state.close()

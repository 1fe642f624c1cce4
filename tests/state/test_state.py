"""What was committed is there after any restart; what the disk refuses lives on in memory."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest
import structlog

import keeld.state
from keeld.errors import ConfigError
from keeld.model import AlertState, Notice, Severity
from keeld.state import State
from keeld.state.database import Database


async def test_all_of_a_commit_is_there_after_a_restart(db, opened, move, channels):
    alarms = {"lab:rack_density_power:rack:r01": b'{"state": "firing"}'}
    async with opened(db) as state:
        await state.commit([move(1), move(2, notice=None)], kept(alarms), channels=channels)
    async with opened(db) as state:
        assert dict(state.alarms) == alarms
        assert state.queued == {"all": 1, "pager": 1}
        assert state.waiting("all")[0].transition == move(1)
        assert await state.transitions() == [move(2, notice=None), move(1)]


async def test_commit_returns_only_when_it_is_on_the_disk(db, opened, move, channels):
    async with opened(db) as state:
        await state.commit([move()], kept({"k": b"v"}), channels=channels)
        with sqlite3.connect(f"file:{db}?mode=ro", uri=True) as reader:
            counts = [
                reader.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("transition", "alarm", "outbox")
            ]
        reader.close()
        assert counts == [1, 1, 2]


async def test_file_is_flushed_at_each_commit(db, opened):
    async with opened(db) as state:
        connection = state._database._connection
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


async def test_snapshot_is_the_whole_of_it(db, opened):
    async with opened(db) as state:
        await state.commit([], kept({"a": b"1", "b": b"1"}))
        await state.commit([], kept({"b": b"2"}))
    async with opened(db) as state:
        assert dict(state.alarms) == {"b": b"2"}


async def test_settled_messages_do_not_come_back(db, opened, move, channels):
    async with opened(db) as state:
        await state.commit([move(1), move(2)], (), channels=channels)
        await state.settle(state.waiting("all")[0])
    async with opened(db) as state:
        assert [m.transition.key[-3:] for m in state.waiting("all")] == ["r02"]
        assert len(state.waiting("pager")) == 2


async def test_order_of_messages_survives(db, opened, move, channels):
    async with opened(db) as state:
        for number in (3, 1, 2):
            await state.commit([move(number)], (), channels=channels)
    async with opened(db) as state:
        assert [m.transition.alert_id for m in state.waiting("all")] == ["a3", "a1", "a2"]


async def test_a_message_keeps_its_id_over_restarts_and_differs_between_channels(db, opened, move, channels):
    async with opened(db) as state:
        await state.commit([move()], (), channels=channels)
        before = {m.id for name in ("all", "pager") for m in state.waiting(name)}
    async with opened(db) as state:
        assert {m.id for name in ("all", "pager") for m in state.waiting(name)} == before
        await state.commit([move()], (), channels=channels)
        assert state.queued == {"all": 1, "pager": 1}
    assert len(before) == 2


async def test_a_channel_hears_the_end_of_what_it_heard_and_of_nothing_else(db, opened, move, channels):
    async with opened(db) as state:
        await state.commit([move(1, severity=Severity.WARNING)], (), channels=channels)
        assert state.queued == {"all": 1}
    async with opened(db) as state:
        await state.commit([move(1, time_ns=7, notice=Notice.ESCALATE)], (), channels=channels)
        assert state.waiting("pager")[0].notice is Notice.TRIGGER
        assert state.waiting("all")[1].notice is Notice.ESCALATE
        end = move(1, time_ns=8, notice=Notice.RESOLVE, after=AlertState.OK, severity=Severity.WARNING)
        await state.commit([end], (), channels=channels)
        assert state.waiting("pager")[-1].notice is Notice.RESOLVE
        await state.commit([move(2, time_ns=9, notice=Notice.RESOLVE, after=AlertState.OK)], (), channels=channels)
        assert state.queued == {"all": 3, "pager": 2}


async def test_transitions_since(db, opened, move):
    async with opened(db) as state:
        await state.commit([move(number) for number in range(10)], ())
        since = move(7).time_ns
        assert [m.alert_id for m in await state.transitions(2)] == ["a9", "a8"]
        assert [m.alert_id for m in await state.transitions(100, since)] == ["a9", "a8", "a7"]


@pytest.mark.parametrize(
    "damage",
    [b"this is no database, it is a letter", b"SQLite format 3\0" + b"\xff" * 5000, b"\0" * 8192],
    ids=["text", "torn header", "zeros"],
)
async def test_a_damaged_file_is_set_aside_with_one_line(db, opened, move, damage):
    db.write_bytes(damage)
    with structlog.testing.capture_logs() as logs:
        async with opened(db) as state:
            assert not state.trouble
            await state.commit([move()], kept({"k": b"v"}))
            assert await state.transitions() == [move()]
    assert [line["event"] for line in logs if line["log_level"] == "error"] in (
        ["state file damaged", "state not on disk"],
        ["state file damaged"],
    )
    assert (db.parent / "state.db.damaged-1").read_bytes() == damage


async def test_damage_in_the_middle_is_found_and_memory_is_written_anew(db, opened, move, channels):
    async with opened(db) as state:
        await state.commit([move(n) for n in range(300)], kept({"k": b"v"}), channels=channels)
    whole = bytearray(db.read_bytes())
    whole[8192:40960] = os.urandom(32768)
    db.write_bytes(whole)
    async with opened(db) as state:
        assert not state.trouble
        await state.commit([move(1)], kept({"k": b"w"}), channels=channels)
    async with opened(db) as state:
        assert dict(state.alarms) == {"k": b"w"}


async def test_only_three_damaged_files_are_kept(db, opened):
    for number in range(6):
        db.write_bytes(b"letter %d" % number)
        async with opened(db):
            pass
    kept = sorted(file.read_bytes() for file in db.parent.glob("state.db.damaged-*"))
    assert kept == [b"letter 3", b"letter 4", b"letter 5"]


async def test_a_newer_schema_is_refused_in_one_line(db, opened):
    async with opened(db):
        pass
    with sqlite3.connect(db) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ConfigError, match=r"state\.db: written by a newer keeld \(schema 99\); run that version"):
        State(db)


async def test_all_tables_of_the_design_exist(db, opened):
    async with opened(db) as state:
        rows = state._database._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        names = {name for (name,) in rows}
    assert names >= {"alarm", "transition", "outbox", "hold", "rack_state", "curtail", "window"}


async def test_a_full_disk_costs_one_line_and_heals(small_disk, opened, move, channels, monkeypatch):
    monkeypatch.setattr(keeld.state, "_RETRY_S", 0.05)
    db = small_disk / "state.db"
    with structlog.testing.capture_logs() as logs:
        async with opened(db) as state:
            await state.commit([move(1)], kept({"k": b"1"}), channels=channels)
            fill(small_disk)
            for number in range(2, 40):
                await state.commit([move(number, text="x" * 4000)], kept({"k": b"%d" % number}), channels=channels)
            assert state.trouble == f"the disk of {small_disk} is full"
            assert state.queued == {"all": 39, "pager": 39}
            assert len(await state.transitions()) == 39
            await asyncio.sleep(0.3)
            (small_disk / "filler").unlink()
            await healed(state)
    assert [line["event"] for line in logs if line["event"] != "alarm moved"] == [
        "state not on disk",
        "state on disk again",
    ]
    async with opened(db) as state:
        assert dict(state.alarms) == {"k": b"39"}
        assert len(state.waiting("all")) == 39
        assert len(await state.transitions()) == 39


async def test_a_start_on_a_full_disk_forgets_nothing(small_disk, opened, move, channels, monkeypatch):
    monkeypatch.setattr(keeld.state, "_RETRY_S", 0.05)
    db = small_disk / "state.db"
    async with opened(db) as state:
        await state.commit([move(1)], kept({"k": b"1"}), channels=channels)
    fill(small_disk)
    async with opened(db) as state:
        assert state.trouble
        assert dict(state.alarms) == {"k": b"1"}
        await state.commit([move(2)], kept({"k": b"2"}), channels=channels)
        (small_disk / "filler").unlink()
        await healed(state)
    async with opened(db) as state:
        assert dict(state.alarms) == {"k": b"2"}
        assert [m.alert_id for m in await state.transitions()] == ["a2", "a1"]
        assert len(state.waiting("pager")) == 2


async def test_a_folder_that_comes_late_is_used(tmp_path, opened, move, monkeypatch):
    monkeypatch.setattr(keeld.state, "_RETRY_S", 0.05)
    db = tmp_path / "late" / "state.db"
    async with opened(db) as state:
        assert state.trouble
        await state.commit([move()], kept({"k": b"v"}))
        db.parent.mkdir()
        await healed(state)
    async with opened(db) as state:
        assert dict(state.alarms) == {"k": b"v"}
        assert await state.transitions() == [move()]


async def test_a_removed_file_is_written_anew(db, opened, move, channels, monkeypatch):
    monkeypatch.setattr(keeld.state, "_RETRY_S", 0.05)
    async with opened(db) as state:
        await state.commit([move(1)], kept({"k": b"v", "l": b"w"}), channels=channels)
        for file in db.parent.glob("state.db*"):
            file.unlink()
        await state.commit([move(2)], kept({"k": b"v"}), channels=channels)
        await healed(state)
    async with opened(db) as state:
        assert dict(state.alarms) == {"k": b"v"}
        assert len(state.waiting("all")) == 2


async def test_a_file_locked_by_another_program_is_waited_for(db, opened, move, channels, monkeypatch):
    monkeypatch.setattr(keeld.state, "_RETRY_S", 0.05)
    monkeypatch.setattr(keeld.state.database, "_BUSY_S", 0.05)
    async with opened(db) as state:
        await state.commit([move(1)], kept({"k": b"1"}), channels=channels)
        other = sqlite3.connect(db, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await state.commit([move(2)], kept({"k": b"2"}), channels=channels)
        assert "locked" in state.trouble
        assert len(state.waiting("all")) == 2
        other.execute("COMMIT")
        other.close()
        await healed(state)
    async with opened(db) as state:
        assert dict(state.alarms) == {"k": b"2"}
        assert len(await state.transitions()) == 2


async def test_a_folder_in_its_place_leaves_alerting_alive(db, opened, move, channels):
    db.mkdir()
    async with opened(db) as state:
        await state.commit([move(1)], kept({"k": b"1"}), channels=channels)
        assert state.trouble == f"{db} is a directory"
        assert len(state.waiting("pager")) == 1
        assert await state.transitions() == [move(1)]


async def test_a_hanging_disk_delays_a_message_no_longer_than_its_patience(db, opened, move, channels, monkeypatch):
    monkeypatch.setattr(keeld.state, "_PATIENCE_S", 0.05)
    async with opened(db) as state:
        hang = asyncio.Event()
        apply = state._database.apply

        async def stuck(work, *args):
            if work is apply:
                await hang.wait()
            return work(*args)

        monkeypatch.setattr(state._database, "apply", apply)
        monkeypatch.setattr(state, "_in_thread", stuck)
        await state.commit([move(1)], (), channels=channels)
        assert "not answered" in state.trouble
        await state.commit([move(2)], (), channels=channels)
        assert len(state.waiting("all")) == 2
        hang.set()
        await healed(state)


async def test_memory_is_bounded_while_the_disk_is_away(tmp_path, opened, move, channels, monkeypatch):
    monkeypatch.setattr(keeld.state, "_PENDING_MOST", 10)
    monkeypatch.setattr(keeld.state, "_WAITING_MOST", 5)
    with structlog.testing.capture_logs() as logs:
        async with opened(tmp_path / "nowhere" / "state.db") as state:
            await state.commit([move(number) for number in range(30)], (), channels=channels)
            assert state.dropped == 20
            assert [m.transition.alert_id for m in state.waiting("pager")] == ["a25", "a26", "a27", "a28", "a29"]
            assert len(state._outbox) == 10
    assert [line["channel"] for line in logs if line["event"].startswith("messages dropped")] == ["all", "pager"]


def test_history_is_bounded_and_spares_open_alarms(db, move, monkeypatch):
    monkeypatch.setattr("keeld.state.database._PRUNE_EVERY", 100)
    monkeypatch.setattr("keeld.state.database._TRANSITIONS_MOST", 200)
    from keeld.state.database import Plan

    database = Database(db)
    database.load()
    database.apply(Plan([move(0)], {move(0).key: b"open"}, {}, {}, whole=False))
    for start in range(1, 1000, 50):
        database.apply(Plan([move(n) for n in range(start, start + 50)], {}, {}, {}, whole=False))
    kept = database.transitions(10_000, 0)
    database.close()
    assert 200 <= len(kept) <= 301
    assert kept[-1].alert_id == "a0"
    assert kept[0].alert_id == "a1000"


def test_a_row_of_another_version_is_skipped_and_unknown_fields_are_ignored(db, move):
    from keeld.state.database import Plan

    database = Database(db)
    database.load()
    database.apply(Plan([move(1), move(2), move(3)], {}, {}, {}, whole=False))
    with sqlite3.connect(db) as connection:
        connection.execute("UPDATE transition SET body = '{\"after\": \"molten\"}' WHERE key LIKE '%r01'")
        connection.execute("UPDATE transition SET body = json_set(body, '$.later', 1) WHERE key LIKE '%r02'")
    connection.close()
    assert [m.alert_id for m in database.transitions(10, 0)] == ["a3", "a2"]
    database.close()


def test_nothing_committed_is_lost_by_kill(tmp_path):
    """A child says each number once its commit has returned; it is killed at random points."""
    program = textwrap.dedent("""
        import asyncio, sys
        from pathlib import Path
        from keeld.model import AlertState, Notice, Severity, Transition
        from keeld.settings import ChannelSettings
        from keeld.state import State
        from typing import NamedTuple

        class Kept(NamedTuple):
            key: str
            blob: bytes
            def dump(self):
                return self.blob

        async def main():
            state = State(Path(sys.argv[1]))
            writer = asyncio.create_task(state.run())
            first = int(sys.argv[2])
            for number in range(first, first + 100000):
                move = Transition(key=f"k{number}", alert_id=str(number), rule="r", target_kind="rack", target_id="r",
                    before=AlertState.PENDING, after=AlertState.FIRING, severity=Severity.CRITICAL,
                    notice=Notice.TRIGGER, time_ns=number)
                await state.commit([move], [Kept("last", str(number).encode())],
                    channels=[ChannelSettings(kind="webhook", name="w")])
                sys.stderr.write(f"{number}\\n")
                sys.stderr.flush()
        asyncio.run(main())
    """)
    db = tmp_path / "state.db"
    said = 0
    for cut in range(6):
        child = subprocess.Popen(
            [sys.executable, "-c", program, str(db), str(said + 1)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        for _ in range(3 + cut * 7):
            said = int(child.stderr.readline())
        child.send_signal(signal.SIGKILL)
        said = max([said, *(int(line) for line in child.stderr.read().split())])
        child.stderr.close()
        child.wait()
        database = Database(db)
        contents = database.load()
        moves = {int(move.alert_id) for move in database.transitions(100_000, 0)}
        database.close()
        assert moves >= set(range(1, said + 1))
        assert int(contents.alarms["last"]) in (said, said + 1)
        assert {int(m.transition.alert_id) for m in contents.outbox} == moves
        said = int(contents.alarms["last"])


class Alarm(NamedTuple):
    key: str
    blob: bytes

    def dump(self) -> bytes:
        return self.blob


def kept(blobs: dict[str, bytes]) -> list[Alarm]:
    return [Alarm(*item) for item in blobs.items()]


def fill(place: Path) -> None:
    with (place / "filler").open("wb", buffering=0) as filler:
        for size in (65536, 1024, 16):
            try:
                while True:
                    filler.write(b"\0" * size)
            except OSError:
                continue


async def healed(state: State) -> None:
    async with asyncio.timeout(5):
        while state.trouble or state._pending:
            state._dirty.set()
            await asyncio.sleep(0.02)

from __future__ import annotations

import asyncio
import math
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from keeld.errors import Outage
from keeld.fanout import Fanout
from keeld.health import Health
from keeld.history import History, Point, wants
from keeld.history.gather import Gatherer, Row
from keeld.history.minutes import Minutes, read_series
from keeld.metrics import CURRENT, ENERGY, FEED, POWER, TEMPERATURE
from keeld.model import OWN_DRIVER, Batch, Device, Reading
from keeld.settings import StorageSettings

PDU = Device(id="pdu-1", site="s", kind="pdu", driver="modbus", address="x")
MINER = Device(id="m-1", site="s", kind="miner", driver="antminer", address="x")
RACK = Device(id="r07", site="s", kind="rack", driver=OWN_DRIVER, address="")
PDU_POWER = ("pdu", "pdu-1", "power_watts", "")
MINUTE = 60_000_000_000
NOW_MINUTE = time.time_ns() // MINUTE - 10


def power(minute: float, watts: float, device: Device = PDU) -> Batch:
    return Batch(device, int((NOW_MINUTE + minute) * MINUTE), 0, (Reading(POWER, watts),))


def commit(minutes: Minutes, *batches: Batch, wall_minute: int = NOW_MINUTE) -> bool:
    gatherer = Gatherer()
    for batch in batches:
        gatherer.add(batch)
    return minutes.commit(gatherer.due(0.0, everything=True), wall_minute)


async def stored(history: History, count: int) -> None:
    async with asyncio.timeout(5):
        while history._health.points_in_history < count:  # noqa: ASYNC110  # the count is a plain integer
            await asyncio.sleep(0.01)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.db"


@pytest.fixture
async def begin(path: Path) -> AsyncIterator[Callable[..., tuple[History, Fanout]]]:
    started: list[tuple[History, Fanout, asyncio.Task[None]]] = []

    def start() -> tuple[History, Fanout]:
        fanout = Fanout()
        history = History(path, StorageSettings(), Health())
        task = asyncio.create_task(history.run(fanout.subscribe("history", 1000, wants)))
        started.append((history, fanout, task))
        return history, fanout

    yield start
    for history, fanout, task in started:
        fanout.close()
        await task
        await history.close()


async def test_the_first_reading_is_there_within_a_second(begin):
    history, fanout = begin()
    await asyncio.sleep(0.05)
    began_s = time.monotonic()
    fanout.publish(power(0, 5.0))
    await stored(history, 1)
    assert time.monotonic() - began_s < 1.2
    assert await history.series(*PDU_POWER) == [Point(NOW_MINUTE * MINUTE, 5.0, 5.0, 5.0)]


async def test_a_minute_goes_on_after_a_restart(begin):
    history, fanout = begin()
    for watts in (10.0, 30.0):
        fanout.publish(power(0.1, watts))
    fanout.close()
    await stored(history, 2)
    again, fanout = begin()
    fanout.publish(power(0.5, 80.0))
    await stored(again, 1)
    assert await again.series(*PDU_POWER) == [Point(NOW_MINUTE * MINUTE, 10.0, 40.0, 80.0)]


async def test_a_series_that_nobody_knows_is_empty(begin):
    history, _ = begin()
    assert await history.series("pdu", "none", "power_watts", "") == []


def test_a_gap_stays_a_gap(path):
    minutes = Minutes(path, most_bytes=1 << 30, most_age_s=1e9)
    outage = Batch(PDU, (NOW_MINUTE + 1) * MINUTE, 0, (Reading(POWER, 7.0),), outage=Outage.TIMEOUT)
    assert commit(minutes, power(0, 1.0), outage, power(2, 3.0))
    assert [point.minute_ns // MINUTE - NOW_MINUTE for point in read_series(path, PDU_POWER, 0)] == [0, 2]
    assert len(read_series(path, PDU_POWER, NOW_MINUTE + 1)) == 1
    minutes.close()


def test_only_gauges_of_whole_meters_and_own_sums_are_kept():
    readings = (
        Reading(POWER, 1.0), Reading(CURRENT, 2.0, "outlet/1"), Reading(ENERGY, 3.0), Reading(FEED, 1.0),
        Reading(TEMPERATURE, 20.0, "supply"), Reading(TEMPERATURE, math.nan, "return"),
    )  # fmt: skip
    gatherer = Gatherer()
    for device in (PDU, MINER, RACK):
        batch = Batch(device, 0, 0, readings)
        assert wants(batch) == (device is not MINER)
        gatherer.add(batch)
    kept = {(key[0], key[2], key[3]) for key, _ in gatherer.due(0.0)}
    assert kept == {
        ("pdu", "power_watts", ""),
        ("pdu", "temperature_celsius", "supply"),
        ("rack", "power_watts", ""),
        ("rack", "current_amperes", "outlet/1"),
        ("rack", "temperature_celsius", "supply"),
    }
    assert not wants(Batch(PDU, 0, 0, outage=Outage.TIMEOUT))


def test_an_open_minute_is_written_at_once_and_then_every_ten_seconds():
    gatherer = Gatherer()
    written = []
    for second in range(130):
        gatherer.add(power(second / 60, float(second)))
        written += [second] if gatherer.due(float(second)) else []
    assert written == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120]


def test_a_minute_that_is_over_is_written_without_waiting():
    gatherer = Gatherer()
    gatherer.add(power(0, 1.0))
    gatherer.due(0.0)
    gatherer.add(power(0.9, 2.0))
    gatherer.add(power(1.0, 3.0))
    assert sorted(minute - NOW_MINUTE for _, minute in gatherer.due(1.0)) in ([1], [0, 1])
    assert sorted(minute - NOW_MINUTE for _, minute in gatherer.due(11.5)) in ([], [0])


def test_what_could_not_be_written_is_added_to_what_came_since():
    gatherer = Gatherer()
    gatherer.add(power(0, 1.0))
    due = gatherer.due(0.0)
    gatherer.add(power(0, 9.0))
    gatherer.put_back(due)
    (row,) = gatherer.due(1.0).values()
    assert row == Row(low=1.0, high=9.0, total=10.0, last=9.0, count=2)


def test_memory_has_a_bound_and_what_is_dropped_is_counted():
    gatherer = Gatherer()
    for minute in range(100_500):
        gatherer.add(power(minute, 1.0))
    due = gatherer.due(0.0)
    assert len(due) <= 100_000
    assert len(due) + gatherer.dropped == 100_500
    assert min(minute for _, minute in due) > NOW_MINUTE


async def test_what_history_lost_shows_in_keelds_own_books(path, monkeypatch):
    monkeypatch.setattr("keeld.history.gather._ROWS_MOST", 10)
    path.mkdir()  # nothing can be written here
    fanout, health = Fanout(), Health()
    history = History(path, StorageSettings(), health)
    subscription = fanout.subscribe("history", 1000, wants)
    for minute in range(40):
        fanout.publish(power(minute, 1.0))
    fanout.close()
    await history.run(subscription)
    await history.close()
    assert (health.points_in_history, health.points_dropped_from_history) == (0, 30)


def test_the_size_cap_removes_the_oldest_minutes(path):
    minutes = Minutes(path, most_bytes=150_000, most_age_s=1e9)
    devices = [Device(id=f"pdu-{n}", site="s", kind="pdu", driver="modbus", address="x") for n in range(50)]
    for minute in range(400):
        assert commit(minutes, *(power(minute, 1.0, device) for device in devices))
        assert all(commit(minutes) for _ in range(6))
    kept = read_series(path, ("pdu", "pdu-3", "power_watts", ""), 0)
    assert kept[-1].minute_ns // MINUTE == NOW_MINUTE + 399
    assert 20 < len(kept) < 350
    minutes.close()
    assert path.stat().st_size < 2 * 150_000


def test_the_age_cap_removes_in_slices(path):
    minutes = Minutes(path, most_bytes=1 << 30, most_age_s=3600)
    commit(minutes, *(power(minute, 1.0) for minute in range(200)), wall_minute=NOW_MINUTE)
    for _ in range(30):
        commit(minutes, wall_minute=NOW_MINUTE + 200)
    assert read_series(path, PDU_POWER, 0)[0].minute_ns // MINUTE == NOW_MINUTE + 10
    for _ in range(30 * 20):
        commit(minutes, wall_minute=NOW_MINUTE + 200)
    assert read_series(path, PDU_POWER, 0)[0].minute_ns // MINUTE == NOW_MINUTE + 140
    minutes.close()


def test_a_disk_that_is_full_is_said_once_and_loses_nothing_when_it_is_back(path, logged):
    minutes = Minutes(path, most_bytes=1 << 30, most_age_s=1e9)
    assert commit(minutes, power(0, 1.0))
    minutes._connection.execute("PRAGMA max_page_count = 1")
    (pages,) = minutes._connection.execute("PRAGMA page_count").fetchone()
    minutes._connection.execute(f"PRAGMA max_page_count = {pages}")
    gatherer = Gatherer()
    for number in range(2000):
        gatherer.add(power(number, 2.0))
    due = gatherer.due(0.0)
    assert not minutes.commit(due, NOW_MINUTE)
    gatherer.put_back(due)
    assert minutes.commit(gatherer.due(1.0), NOW_MINUTE)  # the connection is new, and its limit gone
    assert [line["event"] for line in logged] == ["history cannot be written", "history is written again"]
    points = read_series(path, PDU_POWER, 0)
    assert len(points) == 2000
    assert points[0] == Point(NOW_MINUTE * MINUTE, 1.0, 1.5, 2.0)
    minutes.close()


@pytest.mark.parametrize("content", [b"this is no database at all" * 400, b"SQLite format 3\x00" + bytes(5000)])
def test_a_file_that_is_no_database_is_set_aside(path, logged, content):
    path.write_bytes(content)
    minutes = Minutes(path, most_bytes=1 << 30, most_age_s=1e9)
    assert not commit(minutes, power(0, 1.0))
    assert commit(minutes, power(0, 1.0))
    assert path.with_name("history.db.damaged").read_bytes() == content
    assert len(read_series(path, PDU_POWER, 0)) == 1
    minutes.close()


def test_a_directory_in_its_place_does_not_stop_the_daemon(path, logged):
    path.mkdir()
    minutes = Minutes(path, most_bytes=1 << 30, most_age_s=1e9)
    assert not commit(minutes, power(0, 1.0))
    assert not commit(minutes, power(0, 1.0))
    assert [line["event"] for line in logged] == ["history cannot be written"]


def test_a_clock_that_once_stood_at_1970_does_not_slow_reading(path):
    minutes = Minutes(path, most_bytes=1 << 30, most_age_s=1e12)
    commit(minutes, Batch(PDU, 0, 0, (Reading(POWER, 1.0),)), power(0, 2.0))
    began_s = time.monotonic()
    assert len(read_series(path, PDU_POWER, 0)) == 2
    assert time.monotonic() - began_s < 0.5
    minutes.close()


def test_it_is_plain_sqlite(path):
    minutes = Minutes(path, most_bytes=1 << 30, most_age_s=1e9)
    commit(minutes, power(0, 1.0), power(0, 3.0))
    minutes.close()
    with sqlite3.connect(path) as connection:
        (row,) = connection.execute("SELECT minute, low, high, total, count, last FROM minute").fetchall()
    connection.close()
    assert row == (NOW_MINUTE, 1.0, 3.0, 4.0, 2, 3.0)

"""Notes of the watch over a restart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


async def test_notes_are_found_again_and_those_that_went_are_gone(db: Path, opened: Callable[[Path], Any]) -> None:
    async with opened(db) as state:
        await state.keep_notes({"demand/block": b"1", "forecast/r07": b"2"}, 1)
        await state.keep_notes({"demand/block": b"3"}, 2)

    async with opened(db) as again:
        assert again.notes == {"demand/block": b"3"}


async def test_notes_wait_while_the_disk_refuses(db: Path, opened: Callable[[Path], Any]) -> None:
    async with opened(db) as state:
        state.trouble = "the disk is full"
        await state.keep_notes({"demand/block": b"1"}, 1)
        assert state.notes == {}

        state.trouble = ""
        await state.keep_notes({"demand/block": b"1"}, 2)
        assert state.notes == {"demand/block": b"1"}


@pytest.fixture
def taken(db: Path) -> Path:
    db.mkdir()
    return db


async def test_an_unreadable_file_has_no_notes_and_the_start_goes_on(
    taken: Path, opened: Callable[[Path], Any]
) -> None:
    async with opened(taken) as state:
        assert state.notes == {}

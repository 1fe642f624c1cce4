"""Moves of alarms, channels, and a state whose writer runs for the length of a test."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from keeld.model import AlertState, Notice, Severity, Transition
from keeld.settings import ChannelSettings
from keeld.state import State


@pytest.fixture
def move() -> Callable[..., Transition]:
    def make(number: int = 1, **changed: Any) -> Transition:
        facts: dict[str, Any] = {
            "key": f"lab:rack_density_power:rack:r{number:02}",
            "alert_id": f"a{number}",
            "rule": "rack_density_power",
            "target_kind": "rack",
            "target_id": f"r{number:02}",
            "before": AlertState.PENDING,
            "after": AlertState.FIRING,
            "severity": Severity.CRITICAL,
            "notice": Notice.TRIGGER,
            "time_ns": 1_800_000_000_000_000_000 + number,
            "since_ns": 1_800_000_000_000_000_000,
            "lo": 33_000.0,
            "best": 33_900.0,
            "limit": 30_000.0,
            "unit": "W",
            "title": "[CRIT] lab r01 power 33.9 kW of 30.0 kW limit (113%)",
            "text": "Where: r01",
        }
        return Transition(**(facts | changed))

    return make


@pytest.fixture
def channels() -> tuple[ChannelSettings, ...]:
    return (
        ChannelSettings(kind="webhook", name="all"),
        ChannelSettings(kind="webhook", name="pager", severities=frozenset({Severity.CRITICAL})),
    )


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def opened() -> Callable[[Path], Any]:
    @contextlib.asynccontextmanager
    async def opening(path: Path) -> Any:
        state = State(path)
        writer = asyncio.create_task(state.run())
        try:
            yield state
        finally:
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer
            await state.close()

    return opening


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB, so that a full disk is a real one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "keeld-test", place], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("NEEDS ROOT: cannot mount a small file system to fill")
    yield place
    subprocess.run(["umount", "-l", place], check=True)

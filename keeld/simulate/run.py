"""One run of the simulated site as a process: from a configuration to servers, until something ends it."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from keeld import config
from keeld.simulate import derive, script
from keeld.simulate.control import Control
from keeld.simulate.fleet import fleet_config, parse_fleet
from keeld.simulate.network import CONTROL_PORT, SimulatorError, claim_subnet, raise_file_limit
from keeld.simulate.recorder import Recorder
from keeld.simulate.site import SimulatedSite

_DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of prctl(2)."""
_FLEET_STEP_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the operator asked for; either `site` or `fleet` is given."""

    site: Path | None = None
    fleet: str | None = None
    script: Path | None = None
    config: Path | None = None
    record: Path | None = None
    duration_s: float | None = None
    until_eof: bool = False
    with_parent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """Where everything is, once it answers."""

    config: str
    subnet: str
    control: str
    devices: int
    directory: str

    def as_dict(self) -> dict[str, Any]:
        """Give the fields by name."""
        return asdict(self)


def simulate(order: Order, announce: Callable[[Ready], None]) -> dict[str, object]:
    """Serve until SIGTERM, SIGINT or what the order says; give what was received.

    Raises ConfigError for what a file says, SimulatorError for what this machine does not allow.
    """
    if order.with_parent:
        _die_with_parent()
    with _directory() as directory, _record_file(order.record) as record:
        return asyncio.run(_serve(order, announce, directory, record))


async def _serve(
    order: Order, announce: Callable[[Ready], None], directory: Path, record: IO[str] | None
) -> dict[str, object]:
    text = derive.read(order.site) if order.site is not None else fleet_config(parse_fleet(order.fleet or ""))
    prefix, held = claim_subnet()
    path = order.config or directory / "keeld.yaml"
    _write(path, derive.derive(text, prefix=prefix, directory=directory))
    site = config.load(path).site
    raise_file_limit(len(site.devices))
    plan = script.Script(step_s=_FLEET_STEP_S) if order.site is None else script.QUIET_DAY
    if order.script is not None:
        plan = script.load(order.script, site)
    recorder = Recorder(record)
    async with SimulatedSite(site, plan, recorder=recorder) as served:
        control = Control(served, held)
        await control.open()
        announce(
            Ready(
                config=str(path.resolve()),
                subnet=f"{prefix}0.0/16",
                control=f"{prefix}255.254:{CONTROL_PORT}",
                devices=len(site.devices),
                directory=str(directory),
            )
        )
        sys.stdout.flush()
        await _until_told(served, order)
        await control.close()
    return recorder.totals()


async def _until_told(served: SimulatedSite, order: Order) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    if order.until_eof:
        loop.add_reader(sys.stdin.fileno(), _watch_input, told)
    ended, stopped = asyncio.create_task(served.ended()), asyncio.create_task(told.wait())
    try:
        done, _ = await asyncio.wait({ended, stopped}, timeout=order.duration_s, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in (ended, stopped):
            task.cancel()
        if order.until_eof:
            loop.remove_reader(sys.stdin.fileno())


def _watch_input(told: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        told.set()


def _die_with_parent() -> None:
    """Ask the kernel for SIGTERM when the parent ends, and look whether it already has."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_DIE_WITH_PARENT, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        raise SimulatorError("the process that started this one has ended")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise SimulatorError(f"{path} cannot be written: {error.strerror}") from None


@contextlib.contextmanager
def _directory() -> Iterator[Path]:
    """Give a directory for this run, which ends with it."""
    with tempfile.TemporaryDirectory(prefix="keeld-simulated-") as name:
        yield Path(name)


@contextlib.contextmanager
def _record_file(path: Path | None) -> Iterator[IO[str] | None]:
    if path is None:
        yield None
        return
    try:
        file = path.open("w", encoding="utf-8")
    except OSError as error:
        raise SimulatorError(f"{path} cannot be written: {error.strerror}") from None
    with file:
        yield file

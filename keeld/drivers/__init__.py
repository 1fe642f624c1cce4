"""One file for each protocol family; the file's name is the driver's name in the configuration.

A driver makes one pass over the device and raises PollError or lets the link's through. It keeps no state, does not
sleep, retry or log: the poller gives it its deadline, its backoff and its place in the log. What the answer means is
decided in pure functions (`decode`), which take bytes or words and give readings; a field that is missing, out of range
or a sentinel is left out.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from keeld.errors import Outage
from keeld.links import Link
from keeld.model import Device, Group, Reading


class Answer(NamedTuple):
    """What one poll gave. `outage` is None, or PARTIAL when some of the device failed and the rest is here."""

    readings: tuple[Reading, ...]
    outage: Outage | None = None
    detail: str = ""
    info: tuple[tuple[str, str], ...] = ()


class Exchange(NamedTuple):
    """One request and its raw answer, as `keeld poll` shows them."""

    request: str
    raw: Any
    """Words of a Modbus read as a list of int, or the answer as text."""


class Inspection(NamedTuple):
    """A poll laid open: every exchange beside what was made of them. `fixture` is safe to publish."""

    exchanges: tuple[Exchange, ...]
    answer: Answer
    fixture: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """A protocol family: how to reach its devices and how to read them."""

    title: str
    kind: Callable[[Device], str] | str
    """Default measurement of its devices (miner, pdu, …), or how to tell from the device (its profile)."""
    link_key: Callable[[Device], str]
    """Devices with equal keys share one link and are polled one after another."""
    open_link: Callable[[Device], Link]
    groups: Callable[[Device], tuple[Group, ...]]
    """The groups this device has; FAST is always among them."""
    poll: Callable[[Any, Device, Group], Awaitable[Answer]]
    inspect: Callable[[Any, Device], Awaitable[Inspection]]


@functools.cache
def load(name: str) -> Driver:
    """Give the driver of that name; only the drivers in use are imported. Raises KeyError for an unknown name."""
    if name not in names():
        raise KeyError(name)
    driver: Driver = importlib.import_module(f"keeld.drivers.{name}").DRIVER
    return driver


@functools.cache
def names() -> tuple[str, ...]:
    """List the drivers there are, without importing any of them."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))

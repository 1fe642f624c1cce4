"""Every byte the simulated site receives, by device, and whether it could only read.

The table of what counts as a read stands here and is not the drivers': a driver that learnt to write would not thereby
make its writes look harmless. Counts are exact; distinct requests and the list of recent ones are bounded.
"""

from __future__ import annotations

import collections
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, NamedTuple

_RECENT_LIMIT = 10_000
_DISTINCT_LIMIT = 256
_SHOWN_BYTES = 300

MODBUS_READS = frozenset({1, 2, 3, 4, 0x2B})
"""Read coils, discrete inputs, holding and input registers; read device identification (0x2B with type 0x0E)."""

MINER_READS = frozenset(
    {
        *("summary", "devs", "edevs", "stats", "estats", "litestats", "pools", "version", "coin", "config"),
        *("notify", "devdetails", "status", "check", "lcd", "asccount", "fans", "temps", "power", "events", "tuner"),
        *("get_psu", "get_version", "get_miner_info", "get_error_code", "psu", "fan", "mode", "temperature"),
    }
)
"""Commands that answer with state and change none."""


class Received(NamedTuple):
    """One request, or bytes that were none."""

    time_s: float
    device: str
    what: str
    """`modbus 3`, `stats`, `garbage`: what the bytes asked for."""
    is_read: bool
    data: bytes


@dataclass(slots=True)
class Tally:
    """What one device received."""

    connections: int = 0
    open_now: int = 0
    open_most: int = 0
    received_bytes: int = 0
    reads: int = 0
    others: int = 0
    distinct: collections.Counter[str] = field(default_factory=collections.Counter)


class Recorder:
    """Counts and keeps what arrives; with a file, writes every request there as one JSON line."""

    def __init__(self, file: IO[str] | None = None) -> None:
        self.tallies: dict[str, Tally] = {}
        self.recent: collections.deque[Received] = collections.deque(maxlen=_RECENT_LIMIT)
        self._file = file

    def opened(self, device: str) -> None:
        """Count a connection."""
        tally = self.tally(device)
        tally.connections += 1
        tally.open_now += 1
        tally.open_most = max(tally.open_most, tally.open_now)

    def closed(self, device: str) -> None:
        """Count its end."""
        self.tally(device).open_now -= 1

    def received(self, device: str, what: str, data: bytes, *, is_read: bool) -> None:
        """Record one request, or bytes that were none."""
        tally = self.tally(device)
        tally.received_bytes += len(data)
        if is_read:
            tally.reads += 1
        else:
            tally.others += 1
        if what in tally.distinct or len(tally.distinct) < _DISTINCT_LIMIT:
            tally.distinct[what] += 1
        else:
            tally.distinct["(more)"] += 1
        entry = Received(time.time(), device, what, is_read, data[:_SHOWN_BYTES])
        self.recent.append(entry)
        if self._file is not None:
            self._file.write(as_line(entry) + "\n")

    def tally(self, device: str) -> Tally:
        """Give a device's counts, empty before its first byte."""
        found = self.tallies.get(device)
        if found is None:
            found = self.tallies[device] = Tally()
        return found

    def others(self) -> Iterator[Received]:
        """Give recent requests that were no reads."""
        return (entry for entry in self.recent if not entry.is_read)

    def totals(self) -> dict[str, object]:
        """Add everything up."""
        kinds: collections.Counter[str] = collections.Counter()
        for tally in self.tallies.values():
            kinds.update(tally.distinct)
        reads = sum(tally.reads for tally in self.tallies.values())
        others = sum(tally.others for tally in self.tallies.values())
        return {
            "devices": len(self.tallies),
            "connections": sum(tally.connections for tally in self.tallies.values()),
            "most_at_once": max((tally.open_most for tally in self.tallies.values()), default=0),
            "received_bytes": sum(tally.received_bytes for tally in self.tallies.values()),
            "requests": reads + others,
            "reads": reads,
            "writes": others,
            "kinds": dict(kinds.most_common(_DISTINCT_LIMIT)),
        }


def as_line(entry: Received) -> str:
    """Write one entry as JSON, its bytes in hex."""
    return json.dumps(
        {
            "time": round(entry.time_s, 3),
            "device": entry.device,
            "what": entry.what,
            "read": entry.is_read,
            "data": entry.data.hex(),
        }
    )


def modbus_is_read(function: int, data: bytes) -> bool:
    """Whether a Modbus request can only read; `data` follows the function code."""
    if function == 0x2B:  # noqa: PLR2004  encapsulated interface: only type 0x0E is identification
        return data[:1] == b"\x0e"
    return function in MODBUS_READS


def miner_is_read(commands: list[str]) -> bool:
    """Whether all of a request's joined commands only read; none at all is not a read."""
    return bool(commands) and MINER_READS.issuperset(commands)

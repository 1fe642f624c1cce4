"""The largest value of each of many quantities in the last 24 hours: one float for each hour, whatever their number.

What is kept are maxima of values that were sums already at the time, so a peak of two loads together is one that they
had together: peaks are never added (specification part (a), failover rule).
"""

from __future__ import annotations

import hashlib
import math
import struct
from array import array
from collections.abc import Iterable, Mapping

_HOURS = 24
_HOUR_NS = 3_600_000_000_000
_KEY_BYTES = 8
_ENTRY = struct.Struct(f"<{_KEY_BYTES}sf")
LEAST_KEPT = 0.5
"""Smaller values are not worth keeping over a restart."""


class DayMaxima:
    """Maxima by the hour of the wall clock. A quantity is known by its place; over a restart, by its name."""

    def __init__(self, names: Iterable[str]) -> None:
        self._keys = [hashlib.blake2b(name.encode(), digest_size=_KEY_BYTES).digest() for name in names]
        self._hours: dict[int, array[float]] = {}
        """Hours that are over."""
        self._past = self._nothing()
        """Largest of them."""
        self._hour: int | None = None
        self._now = self._nothing()
        self._notes: dict[int, bytes] = {}

    def _nothing(self) -> array[float]:
        return array("f", bytes(4 * len(self._keys)))

    def note(self, values: Iterable[float], wall_ns: int) -> None:
        """Take the values of this moment, in the order of the names."""
        hour = wall_ns // _HOUR_NS
        if hour != self._hour:
            self._turn(hour)
        now = self._now
        for place, value in enumerate(values):
            if value > now[place]:  # noqa: PLR1730 - half as fast with max(), and this runs for thousands
                now[place] = value

    def _turn(self, hour: int) -> None:
        """Begin an hour, or go on with it where the clock was set back or keeld was restarted in it."""
        if self._hour is not None:
            self._hours[self._hour] = self._now
        self._hours = {kept: row for kept, row in self._hours.items() if 0 <= hour - kept < _HOURS}
        self._notes = {kept: note for kept, note in self._notes.items() if kept in self._hours and kept != hour}
        self._now = self._hours.pop(hour, self._nothing())
        self._hour = hour
        self._past = array("f", map(max, self._nothing(), *self._hours.values())) if self._hours else self._nothing()

    def peak(self, place: int) -> float:
        """Give the largest value of the last 24 hours; nothing where none was seen."""
        return max(self._now[place], self._past[place])

    def dump(self) -> Mapping[str, bytes]:
        """Give what must survive a restart: a note for each hour; those of hours that are over do not change."""
        for hour in self._hours.keys() - self._notes.keys():
            self._notes[hour] = self._packed(self._hours[hour])
        notes = {str(hour): note for hour, note in self._notes.items()}
        return notes if self._hour is None else notes | {str(self._hour): self._packed(self._now)}

    def load(self, notes: Mapping[str, bytes]) -> None:
        """Take back what `dump` gave, before the first value; what is of a quantity that is no more is left out."""
        places = {key: place for place, key in enumerate(self._keys)}
        for name, note in notes.items():
            if name.isdecimal():
                self._hours[int(name)] = self._unpacked(note, places)

    def keep(self, before: DayMaxima) -> None:
        """Take over, before the first value, from the same quantities as they stood before a reload."""
        places = {key: place for place, key in enumerate(before._keys)}
        same = [(place, places[key]) for place, key in enumerate(self._keys) if key in places]
        rows = dict(before._hours)
        if before._hour is not None:
            rows[before._hour] = before._now
        for hour, row in rows.items():
            mine = self._hours[hour] = self._nothing()
            for place, old in same:
                mine[place] = row[old]

    def _packed(self, row: array[float]) -> bytes:
        pairs = zip(self._keys, row, strict=True)
        return b"".join(_ENTRY.pack(key, value) for key, value in pairs if value >= LEAST_KEPT)

    def _unpacked(self, note: bytes, places: Mapping[bytes, int]) -> array[float]:
        row = self._nothing()
        for key, value in _ENTRY.iter_unpack(note[: len(note) // _ENTRY.size * _ENTRY.size]):
            if key in places and math.isfinite(value):
                row[places[key]] = max(0.0, value)
        return row

"""The 24-hour p99 of a source in about a kilobyte: hourly histograms with logarithmic buckets.

Each entry packs hour, bucket and count into one 64-bit integer; a source that hardly moves has one entry an hour.
The p99 is the upper edge of its bucket (4 % wide), so it never understates.
"""

from __future__ import annotations

import math
from array import array

_HOUR_NS = 3_600_000_000_000
_HOURS = 24
_STEP = math.log(1.04)
_SHARE = 0.99
_BUCKET_BITS = 16
_COUNT_BITS = 20
_BUCKET_MASK = (1 << _BUCKET_BITS) - 1
_COUNT_MASK = (1 << _COUNT_BITS) - 1


class Peaks:
    """A sliding histogram of positive samples; what is not positive has no peak and is left out."""

    __slots__ = ("_entries", "_hour", "_hour_start")

    def __init__(self) -> None:
        self._entries = array("q")
        self._hour = -1
        self._hour_start = 0

    def add(self, value: float, mono_ns: int) -> None:
        """Count a sample in the hour it belongs to."""
        if value <= 0.0:
            return
        hour = mono_ns // _HOUR_NS
        if hour != self._hour:
            self._begin(hour)
        bucket = math.ceil(math.log(value) / _STEP) & _BUCKET_MASK if value > 1.0 else 0
        head = (hour << _BUCKET_BITS | bucket) << _COUNT_BITS
        entries = self._entries
        for index in range(len(entries) - 1, self._hour_start - 1, -1):
            if entries[index] & ~_COUNT_MASK == head:
                if entries[index] & _COUNT_MASK < _COUNT_MASK:
                    entries[index] += 1
                return
        entries.append(head | 1)

    def _begin(self, hour: int) -> None:
        oldest = (hour - _HOURS + 1) << _BUCKET_BITS + _COUNT_BITS
        self._entries = array("q", (entry for entry in self._entries if entry >= oldest))
        self._hour = hour
        self._hour_start = len(self._entries)

    def p99(self, mono_ns: int) -> float:
        """Give the value that 99 % of the last 24 hours' samples do not exceed; 0 where there were none."""
        oldest = (mono_ns // _HOUR_NS - _HOURS + 1) << _BUCKET_BITS + _COUNT_BITS
        counts: dict[int, int] = {}
        for entry in self._entries:
            if entry >= oldest:
                bucket = entry >> _COUNT_BITS & _BUCKET_MASK
                counts[bucket] = counts.get(bucket, 0) + (entry & _COUNT_MASK)
        needed = _SHARE * sum(counts.values())
        seen = 0
        for bucket in sorted(counts):
            seen += counts[bucket]
            if seen >= needed:
                return math.exp(bucket * _STEP)
        return 0.0

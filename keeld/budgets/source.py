"""One measured quantity over time, and what it is worth as it ages.

Theory of operation. A sample is good for 2.5 intervals. After that the quantity is held: it may have moved as far as it
did in the last five minutes. Past max(6 intervals, 60 s) it is estimated: anything from nothing to a little over its
24-hour p99. After 15 minutes, or without any sample, it is unknown: anything from nothing to its ceiling. A failed poll
adds no sample, so it ages the quantity and can never become a number. Ages are monotonic.

A sample outside of what is physically possible is refused: it is counted and is no sample. A source in doubt keeps its
`lo` and its place, but nothing under it is certain any more: its `hi` opens up to what a lost source could be, and its
quality is at best held. Doubt therefore never hides an excess, and never makes anybody blind.

Samples are also summed per 10-s slot, for the current slot and the one before it, so that a slot can be closed a
moment after its end without mixing in what came later.
"""

from __future__ import annotations

import math
from array import array
from typing import NamedTuple

from keeld.budgets.peaks import Peaks
from keeld.model import Quality

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
GOOD_INTERVALS = 2.5
HELD_INTERVALS = 6.0
HELD_LEAST_NS = 60 * SECOND_NS
ESTIMATED_NS = 15 * MINUTE_NS
ESTIMATE_MARGIN = 1.1

GOOD, HELD, ESTIMATED, UNKNOWN = range(4)
QUALITIES = (Quality.GOOD, Quality.HELD, Quality.ESTIMATED, Quality.UNKNOWN)

_BUCKETS = 6  # the minute that runs and five whole ones before it: never less than five minutes
_NEVER = -1


class Value(NamedTuple):
    """A quantity between `lo` and `hi`; `rank` indexes QUALITIES, best first. `best` is None if never measured."""

    lo: float
    best: float | None
    hi: float
    rank: int


class Refusal(NamedTuple):
    """Samples that were refused: how many, and the last of them."""

    samples: int
    value: float
    mono_ns: int


class Look(NamedTuple):
    """When to look at sources: at an instant, or over the slot that ended then."""

    mono_ns: int
    slot: int | None = None


class Source:
    """Samples of one quantity. Invariant: nothing but `add` makes it younger."""

    __slots__ = (
        "_bucket",
        "_count",
        "_estimate",
        "_highs",
        "_lows",
        "_past_count",
        "_past_slot",
        "_past_sum",
        "_slot",
        "_sum",
        "doubt",
        "interval_ns",
        "least",
        "mono_ns",
        "most",
        "peaks",
        "recent",
        "refusal",
        "value",
    )

    def __init__(self, *, keep_recent: bool = False, keep_peaks: bool = True) -> None:
        self.value: float | None = None
        self.mono_ns = 0
        self.interval_ns = 10 * SECOND_NS
        self.recent = Recent() if keep_recent else None
        self.peaks = Peaks() if keep_peaks else None
        self.least, self.most = -math.inf, math.inf
        """What is physically possible; samples outside are refused."""
        self.refusal: Refusal | None = None
        self.doubt: float | None = None
        """While it is not believed: what it might be instead, at least as an upper end; None while it is believed."""
        self._slot = self._past_slot = _NEVER
        self._sum = self._past_sum = 0.0
        self._count = self._past_count = 0
        self._bucket = 0
        self._lows = array("d")
        self._highs = array("d")
        self._estimate: float | None = None

    def add(self, value: float, mono_ns: int, *, slot: int, interval_ns: int) -> None:
        """Take a sample. One that is older than the newest is ignored, one that cannot be is refused."""
        if not self.least <= value <= self.most:
            self.refusal = Refusal(1 if self.refusal is None else self.refusal.samples + 1, value, mono_ns)
            return
        if self.value is None:
            self._lows = array("d", [value] * _BUCKETS)
            self._highs = array("d", [value] * _BUCKETS)
            self._bucket = mono_ns // MINUTE_NS
        elif mono_ns < self.mono_ns:
            return
        self.value = value
        self.mono_ns = mono_ns
        self.interval_ns = interval_ns
        self._estimate = None
        if slot != self._slot:
            self._past_slot, self._past_sum, self._past_count = self._slot, self._sum, self._count
            self._slot, self._sum, self._count = slot, value, 1
            if self.peaks is not None:
                self.peaks.add(value, mono_ns)
        else:
            self._sum += value
            self._count += 1
        bucket = mono_ns // MINUTE_NS
        if bucket != self._bucket:
            self._open_bucket(bucket, value)
        else:
            index = bucket % _BUCKETS
            if value < self._lows[index]:
                self._lows[index] = value
            elif value > self._highs[index]:
                self._highs[index] = value
        if self.recent is not None:
            self.recent.add(value, mono_ns, interval_ns)

    def _open_bucket(self, bucket: int, value: float) -> None:
        for minute in range(max(self._bucket, bucket - _BUCKETS) + 1, bucket + 1):
            self._lows[minute % _BUCKETS] = value
            self._highs[minute % _BUCKETS] = value
        self._bucket = bucket

    def forget(self) -> None:
        """Drop every sample: what was measured was not the thing that it was taken for."""
        self.value = self.doubt = None
        self._slot = self._past_slot = _NEVER
        self._estimate = None
        if self.recent is not None:
            self.recent = Recent()
        if self.peaks is not None:
            self.peaks = Peaks()

    @property
    def spread(self) -> float | None:
        """Give how far it moved in the last five minutes; None before its first sample."""
        return max(self._highs) - min(self._lows) if self._highs else None

    def rank_at(self, mono_ns: int) -> int:
        """Give the quality at that instant, as an index of QUALITIES."""
        if self.value is None:
            return UNKNOWN
        age_ns = mono_ns - self.mono_ns
        if age_ns <= GOOD_INTERVALS * self.interval_ns:
            return GOOD
        if age_ns <= max(HELD_INTERVALS * self.interval_ns, HELD_LEAST_NS):
            return HELD
        return ESTIMATED if age_ns <= ESTIMATED_NS else UNKNOWN

    def look(self, look: Look, ceiling: float) -> Value:
        """Give the slot's mean where it has samples, else what the last sample is worth at that instant."""
        if look.slot is not None:
            if look.slot == self._slot:
                mean = self._sum / self._count
                return self._believed(Value(mean, mean, mean, GOOD), ceiling)
            if look.slot == self._past_slot:
                mean = self._past_sum / self._past_count
                return self._believed(Value(mean, mean, mean, GOOD), ceiling)
        return self.at(look.mono_ns, ceiling)

    def at(self, mono_ns: int, ceiling: float) -> Value:
        """Give what the last sample is worth at that instant; `ceiling` bounds what was not measured."""
        value = self.value
        if value is None:
            return Value(0.0, None, ceiling, UNKNOWN)
        rank = self.rank_at(mono_ns)
        if rank == GOOD:
            return self._believed(Value(value, value, value, GOOD), ceiling)
        if rank == HELD:
            return self._believed(Value(min(self._lows), value, max(self._highs), HELD), ceiling)
        if rank == ESTIMATED:
            return Value(0.0, min(value, ceiling), min(self._estimated_most(), ceiling), ESTIMATED)
        return Value(0.0, min(value, ceiling), ceiling, UNKNOWN)

    def _believed(self, value: Value, ceiling: float) -> Value:
        """Open the upper end of what is in doubt: power and current as if lost, all else to what it might be."""
        if self.doubt is None:
            return value
        lost = value.hi if self.peaks is None else min(self._estimated_most(), ceiling)
        return value._replace(hi=max(value.hi, self.doubt, lost), rank=max(value.rank, HELD))

    def _estimated_most(self) -> float:
        if self._estimate is None:
            value = self.value or 0.0
            peak = value if self.peaks is None else self.peaks.p99(self.mono_ns)
            self._estimate = max(peak, value) * ESTIMATE_MARGIN
        return self._estimate


class Recent:
    """The last half minute of samples, at least six: what rules that run on arrival average."""

    __slots__ = ("_next", "_times", "_values")

    LEAST_SAMPLES = 6
    WINDOW_NS = 30 * SECOND_NS
    _LEAST_KEPT, _MOST = 18, 32

    def __init__(self) -> None:
        self._values = array("d")
        self._times = array("q")
        self._next = 0

    def add(self, value: float, mono_ns: int, interval_ns: int) -> None:
        """Keep a sample at the cost of the oldest: enough for half a minute at the interval, and at 2 s."""
        kept = max(self._LEAST_KEPT, (self.WINDOW_NS // interval_ns + 1) * 2)
        if len(self._values) < min(self._MOST, kept):
            self._values.append(value)
            self._times.append(mono_ns)
            return
        index = self._next % len(self._values)
        self._values[index] = value
        self._times[index] = mono_ns
        self._next = index + 1

    def mean(self, since_ns: int, until_ns: int, *, least: int) -> float | None:
        """Average the samples of a span of monotonic time; None with fewer than `least` of them."""
        chosen = self._between(since_ns, until_ns)
        return sum(chosen) / len(chosen) if len(chosen) >= least else None

    def mean_square(self, since_ns: int, until_ns: int) -> float | None:
        """Average the squares of the samples of a span; None without any."""
        chosen = self._between(since_ns, until_ns)
        return sum(value * value for value in chosen) / len(chosen) if chosen else None

    def _between(self, since_ns: int, until_ns: int) -> list[float]:
        return [value for value, at_ns in zip(self._values, self._times, strict=True) if since_ns <= at_ns <= until_ns]

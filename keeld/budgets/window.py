"""Means over slots of 10 seconds on the wall grid.

A slot that keeld lived through without data counts as anything from nothing to the ceiling. Slots from before keeld
started count as nothing in `lo` (so a short past proves no breach) and are left out of `hi` and `best` (so a fresh
start is not shown as ignorance).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import NamedTuple

SLOT_S = 10.0
_MOST_ENTRIES = 60
_NAN = math.nan


class Mean(NamedTuple):
    """A window's mean as an interval; `fill` is the share of the window that keeld has lived through."""

    lo: float
    best: float | None
    hi: float
    fill: float
    provenance: str = ""
    """What told it, where that was not the slots."""

    @property
    def seen_lo(self) -> float:
        """Mean of what is certain over the slots that keeld has lived through alone; rounding never lifts it."""
        return min(self.lo / self.fill, self.hi if self.best is None else self.best)


def slots_of(window_s: float) -> int:
    """How many slots make up a window, at least one."""
    return max(1, round(window_s / SLOT_S))


class Window:
    """The last `size` slots of one quantity; long windows keep means of a few slots, never more than 60 entries."""

    __slots__ = ("_bests", "_exact", "_group", "_his", "_known", "_los", "_mean", "_next", "_part", "entries")

    def __init__(self, size: int) -> None:
        self._group = math.ceil(size / _MOST_ENTRIES)
        self.entries = math.ceil(size / self._group)
        self._los = array("d")
        self._bests = array("d")
        self._his = array("d")
        self._known = 0
        """Entries whose likeliest value is known."""
        self._exact = 0
        """Entries that are one value and no interval: where all are, one sum serves for three."""
        self._next = 0
        self._part: list[tuple[float, float, float]] = []
        self._mean: Mean | None = None
        """The mean of the entries, worked out once for each of them."""

    def push(self, lo: float, best: float | None, hi: float) -> None:
        """Close a slot."""
        if self._group == 1:
            self._keep(lo, _NAN if best is None else best, hi)
            return
        self._part.append((lo, math.nan if best is None else best, hi))
        if len(self._part) == self._group:
            los, bests, his = zip(*self._part, strict=True)
            self._part.clear()
            self._keep(_mean(los), _mean_known(bests), _mean(his))

    def skip(self, slots: int, hi: float, *, lo: float = 0.0) -> None:
        """Close slots that nobody looked at: anything between two ends. No more of them count than it is long."""
        groups, rest = divmod(min(slots, self.entries * self._group), self._group)
        for _ in range(groups):
            self._keep(lo, math.nan, hi)
        for _ in range(rest):
            self.push(lo, None, hi)

    def _keep(self, lo: float, best: float, hi: float) -> None:
        self._mean = None
        if best == best:  # noqa: PLR0124 - only NaN differs from itself; a call for each of ten thousands shows
            self._known += 1
            if lo == best == hi:
                self._exact += 1
        if len(self._los) < self.entries:
            self._los.append(lo)
            self._bests.append(best)
            self._his.append(hi)
            return
        index = self._next
        past = self._bests[index]
        if past == past:  # noqa: PLR0124 - as above
            self._known -= 1
            if self._los[index] == past == self._his[index]:
                self._exact -= 1
        self._los[index], self._bests[index], self._his[index] = lo, best, hi
        self._next = (index + 1) % self.entries

    def mean(self) -> Mean | None:
        """Average the window; None before its first slot. Exact sums: a steady value at its limit is not over it."""
        count = len(self._los)
        if self._mean is not None or not count:
            return self._mean
        total = math.fsum(self._los)
        lo = total / self.entries
        best: float | None
        if self._exact == count:
            best, hi = total / count, total / count
        else:
            best, hi = self._best(count), math.fsum(self._his) / count
        self._mean = Mean(lo, best, max(lo, hi), count / self.entries)
        return self._mean

    def _best(self, count: int) -> float | None:
        if not self._known:
            return None
        return math.fsum(self._bests) / count if self._known == count else _mean_known(self._bests)


def _mean(numbers: Sequence[float]) -> float:
    return math.fsum(numbers) / len(numbers)


def _mean_known(numbers: Sequence[float]) -> float:
    """Average what is known; NaN stands for what is not, inside this module only."""
    known = [number for number in numbers if not math.isnan(number)]
    return _mean(known) if known else math.nan

"""Means over slots of 10 seconds on the wall grid.

A slot that keeld lived through without data counts as anything from nothing to the ceiling. Slots from before keeld
started count as nothing in `lo` (so a short past proves no breach) and are left out of `hi` and `best` (so a fresh
start is not shown as ignorance).
"""

from __future__ import annotations

import math
from array import array
from typing import NamedTuple

SLOT_S = 10.0


class Mean(NamedTuple):
    """A window's mean as an interval; `fill` is the share of the window that keeld has lived through."""

    lo: float
    best: float | None
    hi: float
    fill: float


def slots_of(window_s: float) -> int:
    """How many slots make up a window, at least one."""
    return max(1, round(window_s / SLOT_S))


class Window:
    """The last `size` slots of one quantity."""

    __slots__ = ("_bests", "_his", "_los", "_next", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self._los = array("d")
        self._bests = array("d")
        self._his = array("d")
        self._next = 0

    def push(self, lo: float, best: float | None, hi: float) -> None:
        """Close a slot."""
        likely = math.nan if best is None else best
        if len(self._los) < self.size:
            self._los.append(lo)
            self._bests.append(likely)
            self._his.append(hi)
            return
        index = self._next
        self._los[index], self._bests[index], self._his[index] = lo, likely, hi
        self._next = (index + 1) % self.size

    def mean(self) -> Mean | None:
        """Average the window; None before its first slot."""
        count = len(self._los)
        if not count:
            return None
        bests = [best for best in self._bests if not math.isnan(best)]
        hi = math.fsum(self._his) / count
        best = math.fsum(bests) / len(bests) if bests else None
        lo = math.fsum(self._los) / self.size
        return Mean(lo, best, max(lo, hi), count / self.size)

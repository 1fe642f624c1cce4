"""How unevenly three lines are loaded, where each is only known to lie between two ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from keeld.budgets.electrical import unbalance_ratio

_LINES = ("L1", "L2", "L3")


class Unbalance(NamedTuple):
    """Largest deviation from the mean, over the mean: between two ends, and of which line."""

    lo: float
    best: float
    hi: float
    phase: str


def unbalance_of(lines: Sequence[tuple[float, float | None, float]]) -> Unbalance | None:
    """Bound the unbalance of three currents (lo, best, hi); None where nothing flows for certain."""
    mean_lo = sum(lo for lo, _, _ in lines) / len(lines)
    mean_hi = sum(hi for _, _, hi in lines) / len(lines)
    bests = [(lo + hi) / 2 if best is None else best for lo, best, hi in lines]
    best = unbalance_ratio(bests)
    if mean_lo <= 0.0 or best is None:
        return None
    apart = max(max(0.0, lo - mean_hi, mean_lo - hi) for lo, _, hi in lines) / mean_hi
    far = max(max(hi - mean_lo, mean_hi - lo) for lo, _, hi in lines) / mean_lo
    mean = sum(bests) / len(bests)
    farthest = max(range(len(bests)), key=lambda index: abs(bests[index] - mean))
    return Unbalance(min(apart, best), best, max(far, best), _LINES[farthest])

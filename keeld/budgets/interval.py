"""Arithmetic of what is only known to lie between two numbers."""

from __future__ import annotations

from collections.abc import Iterable

from keeld.budgets.source import ESTIMATED, QUALITIES, UNKNOWN, Value
from keeld.model import Interval
from keeld.views import Verdict

NAMES_SHOWN = 16


def total(values: Iterable[Value]) -> Value:
    """Add quantities up; the sum is only as good as its worst term."""
    lo = hi = best = 0.0
    rank = 0
    measured = False
    for least, likely, most, quality in values:
        lo += least
        hi += most
        if likely is not None:
            best += likely
            measured = True
        if quality > rank:  # noqa: PLR1730 - ten thousands of sums a slot: a call of max() shows
            rank = quality
    return Value(lo, best if measured else None, hi, rank)


def cross(first: Value, second: Value) -> Value:
    """Give what both allow; where they contradict each other the first, which is the better source, stands."""
    lo, hi = max(first.lo, second.lo), min(first.hi, second.hi)
    if lo > hi:
        return first
    best = first.best if first.best is not None else second.best
    if second.best is not None and second.rank < first.rank:
        best = second.best
    return Value(lo, clamp(best, lo, hi), hi, max(min(first.rank, second.rank), ESTIMATED))


def widen(value: Value, ratio: float) -> Value:
    """Stretch both ends by a share of themselves: the error of that class of source."""
    return Value(value.lo * (1 - ratio), value.best, value.hi * (1 + ratio), value.rank)


def scaled(value: Value, ratio: float) -> Value:
    """Take a quantity in proportion."""
    if ratio == 1.0:
        return value
    return Value(value.lo * ratio, None if value.best is None else value.best * ratio, value.hi * ratio, value.rank)


def cap(value: Value, ceiling: float) -> Value:
    """Bound what was not measured by a ceiling; one that the measurements have disproved bounds nothing."""
    if value.lo > ceiling or value.hi <= ceiling:
        return value
    hi = ceiling
    return Value(value.lo, clamp(value.best, value.lo, hi), hi, value.rank)


def clamp(best: float | None, lo: float, hi: float) -> float | None:
    """Bring the likeliest value inside its interval."""
    return None if best is None else min(max(best, lo), hi)


def unknown(ceiling: float) -> Value:
    """Give what is known of a quantity without any source."""
    return Value(0.0, None, ceiling, UNKNOWN)


def published(
    value: Value,
    *,
    coverage: float,
    provenance: str = "",
    lost: Iterable[str] = (),
    structural: Iterable[str] = (),
) -> Interval:
    """Make the Interval that leaves the budgets; long lists of names are cut."""
    return Interval(
        value.lo,
        value.best,
        value.hi,
        min(1.0, max(0.0, coverage)),
        QUALITIES[value.rank],
        provenance,
        tuple(lost)[:NAMES_SHOWN],
        tuple(structural)[:NAMES_SHOWN],
    )


def verdict(lo: float, hi: float, limit: float) -> Verdict:
    """Say whether a limit is certainly, possibly or not exceeded; equality is no breach."""
    if lo > limit:
        return Verdict.OVER
    return Verdict.CANT_TELL if hi > limit else Verdict.OK

"""Energy over a span as far as it is known: between two bounds, with the time that stands on measurements."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass, replace
from typing import NamedTuple

from keeld.budgets.counter import HOUR_S

_MEASURED_SHARE = 0.999
"""What is measured for less of its time than this counts as estimated."""
_KNOWN_SHARE = 0.5
"""What is known for less of its time than this has no likeliest value."""
_FINE_RATIO = 0.02
"""A counter whose step is a smaller share of the energy than this tells better than spot readings do."""


class Load(NamedTuple):
    """Power over a span, in W: its bounds, the likeliest where there is one, and whether it is measured in full."""

    lo: float
    best: float | None
    hi: float
    is_measured: bool


@dataclass(slots=True)
class Energy:
    """Energy between its bounds, in W s, of which `best` over `best_s` is known, and `measured_s` measured in full."""

    lo: float = 0.0
    best: float = 0.0
    hi: float = 0.0
    seen_s: float = 0.0
    best_s: float = 0.0
    measured_s: float = 0.0

    def add(self, load: Load, span_s: float) -> None:
        """Add what was drawn over a span."""
        self.lo += load.lo * span_s
        self.hi += load.hi * span_s
        self.seen_s += span_s
        if load.best is not None:
            self.best += load.best * span_s
            self.best_s += span_s
        if load.is_measured:
            self.measured_s += span_s

    def filled(self, whole_s: float, ceiling_watts: float) -> Energy:
        """Give the energy of a whole span: what was not seen of it may have been anything up to a ceiling."""
        missing_s = whole_s - self.seen_s
        if missing_s <= 0.0:
            return self
        return replace(self, hi=self.hi + ceiling_watts * missing_s, seen_s=whole_s)

    def less(self, part: Energy) -> Energy:
        """Give what is left without a part that is in it."""
        return Energy(*(max(0.0, mine - theirs) for mine, theirs in zip(astuple(self), astuple(part), strict=True)))

    def counted(self, watt_hours: float, step_watt_hours: float, span_s: float) -> Energy:
        """Give the same energy as a counter tells it, which has seen all of the span.

        Where the counter's step is coarse, it only bounds what was added up.
        """
        told, step = watt_hours * HOUR_S, step_watt_hours * HOUR_S
        lo, hi = max(0.0, told - step), told + step
        if step <= _FINE_RATIO * told or self.best_s < _KNOWN_SHARE * span_s:
            return Energy(lo, told, hi, span_s, span_s, span_s)
        best = self.best / self.best_s * span_s
        return Energy(_within(self.lo, lo, hi), _within(best, lo, hi), _within(self.hi, lo, hi), span_s, span_s, span_s)

    @property
    def best_watts(self) -> float | None:
        """Likeliest mean power; None where most of it is not known."""
        if not self.best_s or self.best_s < _KNOWN_SHARE * self.seen_s:
            return None
        return self.best / self.best_s

    @property
    def is_estimated(self) -> bool:
        """Whether part of it is not measured."""
        return self.measured_s < _MEASURED_SHARE * self.seen_s


def together(parts: Iterable[Energy]) -> Energy:
    """Add energies up."""
    return Energy(*(sum(values) for values in zip(*(astuple(part) for part in (Energy(), *parts)), strict=True)))


def _within(value: float, lo: float, hi: float) -> float:
    return min(max(value, lo), hi)

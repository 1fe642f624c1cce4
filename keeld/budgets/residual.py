"""What a meter shows beyond what is known below it, and how much of that its class and theirs explain.

Errors of independent meters add as the root of their squares: 1 % of 2 MW is a rack, so a residual without its error
says nothing (rules, semantics 10).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple


class Part(NamedTuple):
    """A measured load in W, with the square of its error."""

    watts: float
    error_squared: float


class Residual(NamedTuple):
    """What is left of a meter's reading, in W (negative where the parts claim more), and what meters may err by."""

    watts: float
    error_watts: float

    @property
    def is_noise(self) -> bool:
        """Whether the meters' errors explain all of it."""
        return abs(self.watts) <= self.error_watts


def measured(watts: float, class_ratio: float) -> Part:
    """Give a meter's reading with its error."""
    return Part(watts, (watts * class_ratio) ** 2)


def add_parts(parts: Iterable[Part]) -> Part:
    """Add measured loads up; their errors are independent."""
    known = list(parts)
    return Part(math.fsum(part.watts for part in known), math.fsum(part.error_squared for part in known))


def residual(meter: Part, parts: Iterable[Part], efficiency: float = 1.0) -> Residual:
    """Take what hangs on a meter, and the losses on the way, out of its reading."""
    below = add_parts(parts)
    error = math.sqrt(meter.error_squared + below.error_squared / efficiency**2)
    return Residual(meter.watts - below.watts / efficiency, error)

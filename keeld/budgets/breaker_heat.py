"""How warm a breaker is and when it may trip: an estimate to show beside an overload, never a trip curve.

Theory of operation. What heats a breaker is the square of its current, so a load that swings heats more than its mean
tells. The model is of first order: heat follows the squared load ratio m2 with one time constant, heat' = (m2 - heat) /
tau, and the breaker trips when heat reaches `trip_ratio` squared (power-cooling-alarms.md 1.4). Both figures are
pessimistic placeholders and stand for no real breaker; whatever shows a result says that it is an estimate.
"""

from __future__ import annotations

import math
from typing import NamedTuple


class HeatModel(NamedTuple):
    """Parameters of the estimate: its time constant and the load ratio that it carries for ever."""

    tau_s: float = 120.0
    trip_ratio: float = 1.10


PESSIMISTIC = HeatModel()


def warmed(heat: float, square_ratio: float, span_s: float, model: HeatModel = PESSIMISTIC) -> float:
    """Give the heat after `span_s` at a mean squared load ratio."""
    return square_ratio + (heat - square_ratio) * math.exp(-span_s / model.tau_s)


def trip_estimate_s(heat: float, load_ratio: float, model: HeatModel = PESSIMISTIC) -> float | None:
    """Give the time to the trip if the load stays as it is, 0 where the heat is there already; None for never."""
    trip_heat = model.trip_ratio**2
    square = load_ratio**2
    if heat >= trip_heat:
        return 0.0
    if square <= trip_heat:
        return None
    return model.tau_s * math.log((square - heat) / (square - trip_heat))


def heat_share(heat: float, model: HeatModel = PESSIMISTIC) -> float:
    """Give the heat as a share of that at which the breaker would trip."""
    return heat / model.trip_ratio**2

"""Whether a load keeps to an order to draw less: judged as an interval, after the ramp and what the meters lag behind.

What is ordered is told by people and programmes; keeld watches that it is done and switches nothing
(power-cooling-alarms.md section 6).
"""

from __future__ import annotations

import enum

from keeld.contract import CurtailOrder

_SECOND_NS = 1_000_000_000


class Compliance(enum.StrEnum):
    """How a load stands to its order."""

    AHEAD = "ahead"
    """The order has not begun."""
    RAMP = "ramp"
    """The load is on its way down, or the meters cannot show yet that it has arrived."""
    COMPLIED = "complied"
    CANT_TELL = "can't tell"
    OVER = "over"
    ENDED = "ended"


def due_ns(order: CurtailOrder, grace_s: float) -> int:
    """Give the time from which the load must be seen to be down: the deadline, and what its figures lag behind."""
    return order.met_by_ns + round(grace_s * _SECOND_NS)


def allowed_watts(order: CurtailOrder, before_watts: float, time_ns: int) -> float:
    """Give what may be drawn at a time: on the ramp, a line from the load before it down to what is ordered."""
    if time_ns >= order.met_by_ns:
        return order.most_watts
    span_ns = order.met_by_ns - order.begins_ns
    passed = max(0, time_ns - order.begins_ns) / span_ns if span_ns > 0 else 0.0
    return max(order.most_watts, before_watts + (order.most_watts - before_watts) * passed)


def compliance(order: CurtailOrder, lo: float, hi: float, *, time_ns: int, grace_s: float) -> Compliance:
    """Judge a mean load, in W between its bounds, at a time."""
    if time_ns >= order.ends_ns:
        return Compliance.ENDED
    if time_ns < order.begins_ns:
        return Compliance.AHEAD
    if time_ns < due_ns(order, grace_s):
        return Compliance.COMPLIED if hi <= order.most_watts else Compliance.RAMP
    if lo > order.most_watts:
        return Compliance.OVER
    return Compliance.COMPLIED if hi <= order.most_watts else Compliance.CANT_TELL

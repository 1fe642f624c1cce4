"""What a site has agreed with those who supply it: how much it may draw, and the orders to draw less that it takes.

Values like those of `model`: frozen, in W and seconds.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandLimit:
    """A limit on mean power. Demand is by the block, or rolls on by `step_s` where that is shorter."""

    limit_watts: float
    interval_s: int = 900
    step_s: int = 900

    @property
    def is_rolling(self) -> bool:
        """Whether an interval begins before the one before it has ended."""
        return self.step_s < self.interval_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """Where demand is measured, what the connection allows, and what the tariff makes dear."""

    node: str
    """The power node through which all of the site is supplied."""
    cap: DemandLimit | None = None
    tariff: DemandLimit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CurtailOrder:
    """An order to draw no more than `most_watts`. Times are wall clock; it counts from `met_by_ns` to `ends_ns`.

    The load may come down along a line from `begins_ns` to `met_by_ns`.
    """

    id: str
    target_kind: str
    """site, power_node, rack, row or tenant."""
    target_id: str
    most_watts: float
    begins_ns: int
    met_by_ns: int
    ends_ns: int
    source: str
    """Who ordered it: a person's name, a programme, the broker."""
    note: str = ""

    def stands(self, time_ns: int) -> bool:
        """Whether the order has begun and not ended."""
        return self.begins_ns <= time_ns < self.ends_ns

"""The orders to draw less that stand over a site: whom they concern, and for whom a low load is therefore expected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from keeld.budgets.topology import Topology
from keeld.contract import CurtailOrder

_MINUTE_NS = 60_000_000_000
RECOVERY_NS = 15 * _MINUTE_NS
"""How long after its end an order still explains a low load: machines that were off come back one by one."""
KEPT_NS = 60 * _MINUTE_NS
"""How long an ended order is still listed."""
MOST_ORDERS = 1000


class Orders:
    """Orders by id. Invariant: each concerns something that the configuration has."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._orders: dict[str, CurtailOrder] = {}
        self._racks: dict[str, frozenset[str]] = {}
        for order in topology.site.orders:
            self.add(order)

    @property
    def all(self) -> Mapping[str, CurtailOrder]:
        """Every order that is known, ended ones for an hour."""
        return self._orders

    def add(self, order: CurtailOrder) -> bool:
        """Take an order, in place of an older one with its id; False where it concerns nothing that is here."""
        if not self._exists(order.target_kind, order.target_id) or len(self._orders) >= MOST_ORDERS:
            return False
        self._orders[order.id] = order
        self._racks[order.id] = self.racks_of(order.target_kind, order.target_id)
        return True

    def drop(self, order_id: str) -> CurtailOrder | None:
        """Forget an order; gives it back where there was one."""
        self._racks.pop(order_id, None)
        return self._orders.pop(order_id, None)

    def keep(self, before: Orders) -> None:
        """Take over the orders from before a reload; those about what has gone are left out."""
        for order in before.all.values():
            self.add(order)

    def forget_ended(self, time_ns: int) -> None:
        """Forget what ended more than an hour ago."""
        for order in [order for order in self._orders.values() if order.ends_ns + KEPT_NS < time_ns]:
            self.drop(order.id)

    def is_curtailed(self, rack_id: str, time_ns: int) -> bool:
        """Whether an order concerns a rack at a wall time, or ended so lately that its machines still come back."""
        return any(
            rack_id in self._racks[order.id] and order.begins_ns <= time_ns < order.ends_ns + RECOVERY_NS
            for order in self._orders.values()
        )

    def racks_of(self, kind: str, name: str) -> frozenset[str]:
        """List the racks that a target covers."""
        site = self._topology.site
        if kind == "site":
            return frozenset(site.racks)
        if kind == "power_node":
            return frozenset(
                rack.id
                for rack in site.racks.values()
                if any(name in self._topology.ancestors(node) for node in rack.feeds.values())
            )
        return frozenset(rack.id for rack in site.racks.values() if {"rack": rack.id, "row": rack.row}.get(
            kind, rack.tenant) == name)  # fmt: skip

    def _exists(self, kind: str, name: str) -> bool:
        site = self._topology.site
        known: dict[str, Iterable[str | None]] = {
            "site": (site.name,),
            "power_node": site.power,
            "rack": site.racks,
            "row": (rack.row for rack in site.racks.values()),
            "tenant": (rack.tenant for rack in site.racks.values()),
        }
        return name in known.get(kind, ())

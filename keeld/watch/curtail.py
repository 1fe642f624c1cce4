"""Orders to draw less (rule 28): whether the load came down in time, and stays down while the order stands.

A load is judged by its mean over a minute, and only once that minute and the meters' own lag have passed since the
deadline. When an order ends its alarm ends with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import ClassVar
from zoneinfo import ZoneInfo

from keeld.alerts.alarm import Evidence, Target
from keeld.alerts.board import Board
from keeld.alerts.machine import Span
from keeld.alerts.rules import MINUTE_S, PLANT
from keeld.budgets.curtail import Compliance, allowed_watts, compliance
from keeld.budgets.energy import Load
from keeld.budgets.interval import published
from keeld.budgets.source import GOOD, UNKNOWN, Look, Value
from keeld.contract import CurtailOrder
from keeld.metrics import CURTAIL_LIMIT
from keeld.model import Interval, Moment, Reading
from keeld.views import OrderView
from keeld.watch.demand import load_of, power_words, supplied
from keeld.watch.derived import site_draw
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.nodes import NodeState
from keeld.watch.racks import SLOT_CAP_S
from keeld.watch.rulebook import NOT_OVER, Windows
from keeld.watch.subjects import Subject

RULE = "curtail_noncompliance"
_LEAST_LIMIT_WATTS = 1.0
"""Stands for an order to draw nothing, so that every ratio stays finite."""
_USUAL_LAG_S = 10.0


class _Followed:
    """One order with the load that it is about."""

    __slots__ = ("before_watts", "grace_s", "target", "window")

    def __init__(self, target: Target, grace_s: float) -> None:
        self.target = target
        self.grace_s = grace_s
        self.window = Windows((), default_s=MINUTE_S)
        self.before_watts: float | None = None
        """Load when the order began: where its ramp starts."""


class Curtailment(Duty):
    """Every order that stands, and its load."""

    name: ClassVar[str] = "curtail"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        contract = ground.topology.site.contract
        self._node = None if contract is None else ground.nodes.get(contract.node)
        self._followed: dict[str, _Followed] = {}
        self._standing: dict[tuple[str, str], float] = {}
        """Target to the least that the orders which stand allow it."""

    def subjects(self) -> Iterator[Subject]:
        """List the rule at every order."""
        for order in self.ground.orders.all.values():
            target = self._target(order)
            levels = self.ground.rules.levels(RULE, PLANT, target)
            if levels:
                yield Subject(self.ground.rules.rule(RULE), levels, target)

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Follow the load of every order."""
        orders = self.ground.orders
        wall_ns = slot.now.wall_ns
        orders.forget_ended(wall_ns)
        self._standing.clear()
        for gone in self._followed.keys() - orders.all.keys():
            del self._followed[gone]
        for order in list(orders.all.values()):
            if order.stands(wall_ns):
                key = order.target_kind, order.target_id
                self._standing[key] = min(order.most_watts, self._standing.get(key, order.most_watts))
            self._follow(order, slot)
            self._judge(order, board, slot.now)
            yield 5

    def _follow(self, order: CurtailOrder, slot: Slot) -> None:
        followed = self._of(order)
        load = self._load(order, slot.look)
        followed.window.skip(slot.missed, self._ceiling_watts(order))
        followed.window.push(load.lo, load.best, load.hi)
        if followed.before_watts is None and order.stands(slot.now.wall_ns):
            followed.before_watts = load.best

    def _of(self, order: CurtailOrder) -> _Followed:
        followed = self._followed.get(order.id)
        if followed is None:
            followed = self._followed[order.id] = _Followed(self._target(order), MINUTE_S + self._lag_s(order))
        return followed

    def _judge(self, order: CurtailOrder, board: Board, now: Moment) -> None:
        rule, target = self.ground.rules.rule(RULE), self._target(order)
        levels = self.ground.rules.levels(RULE, PLANT, target)
        if not levels:
            return
        word, mean = self._compliance(order, now.wall_ns)
        limit = max(order.most_watts, _LEAST_LIMIT_WATTS)
        span: Span | None = NOT_OVER
        if word in (Compliance.OVER, Compliance.CANT_TELL, Compliance.COMPLIED):
            span = Span(mean.lo / limit, mean.hi / limit)
        evidence = Evidence(
            spans=(span,) * len(levels),
            lo=mean.lo,
            best=mean.best,
            hi=mean.hi,
            limit=limit,
            unit="W",
            base="order",
            what="power, 1-min mean",
            detail=self._words(order),
            is_known=mean.quality.value in ("good", "held"),
        )
        board.judge(rule, levels, target, evidence, now=now, cap_s=SLOT_CAP_S)

    def _compliance(self, order: CurtailOrder, time_ns: int) -> tuple[Compliance, Interval]:
        followed = self._of(order)
        mean = followed.window.mean()
        if mean is None:
            value = Value(0.0, None, self._ceiling_watts(order), UNKNOWN)
        else:
            value = Value(mean.seen_lo, mean.best, mean.hi, GOOD if mean.best is not None else UNKNOWN)
        word = compliance(order, value.lo, value.hi, time_ns=time_ns, grace_s=followed.grace_s)
        return word, published(value, coverage=1.0 if value.rank == GOOD else 0.0)

    def views(self, time_ns: int) -> tuple[OrderView, ...]:
        """List every order with how its load stands to it."""
        return tuple(self._view(order, time_ns) for order in self.ground.orders.all.values())

    def _view(self, order: CurtailOrder, time_ns: int) -> OrderView:
        word, mean = self._compliance(order, time_ns)
        before = self._of(order).before_watts
        allowed = None if before is None else allowed_watts(order, before, time_ns)
        return OrderView(order=order, compliance=word.value, draw=mean, allowed_watts=allowed)

    def _load(self, order: CurtailOrder, look: Look) -> Load:
        node = self._node_of(order)
        if node is not None:
            return supplied(node, look)
        racks = self.ground.orders.racks_of(order.target_kind, order.target_id)
        return load_of(site_draw([self.ground.racks[name] for name in sorted(racks)]))

    def _node_of(self, order: CurtailOrder) -> NodeState | None:
        """Give the power node whose load the order is about; None where it is a sum of racks."""
        return self._node if order.target_kind == "site" else self.ground.nodes.get(_node_name(order))

    def _ceiling_watts(self, order: CurtailOrder) -> float:
        node = self._node_of(order)
        if node is not None:
            return node.plan.ceiling_watts
        racks = self.ground.orders.racks_of(order.target_kind, order.target_id)
        return sum(self.ground.racks[name].plan.ceiling_watts for name in racks)

    def _lag_s(self, order: CurtailOrder) -> float:
        """Give how long the slowest meter of the load takes to show a change."""
        node = self._node_of(order)
        if node is not None and node.plan.meters:
            return max(meter.intake.device.interval_s for meter in node.plan.meters)
        racks = self.ground.orders.racks_of(order.target_kind, order.target_id)
        devices = self.ground.topology.site.devices.values()
        return max((device.interval_s for device in devices if device.rack in racks), default=_USUAL_LAG_S)

    def _target(self, order: CurtailOrder) -> Target:
        racks = self.ground.topology.site.racks
        label = order.target_id
        if order.target_kind == "rack" and order.target_id in racks:
            label = racks[order.target_id].label or label
        kind = {"site": "site ", "row": "row ", "tenant": "tenant "}.get(order.target_kind, "")
        scopes = frozenset({f"{order.target_kind}:{order.target_id}"})
        return Target("curtail", order.id, f"{kind}{label}", scopes)

    def _words(self, order: CurtailOrder) -> str:
        zone = ZoneInfo(self.ground.topology.site.timezone)
        met, ends = (f"{datetime.fromtimestamp(at // 10**9, UTC).astimezone(zone):%H:%M}" for at in
                     (order.met_by_ns, order.ends_ns))  # fmt: skip
        note = f" {order.note}" if order.note else ""
        return (
            f"{order.source} ordered no more than {power_words(order.most_watts)} from {met} to {ends} "
            f"(order {order.id}).{note}"
        )

    def readings(self, kind: str, name: str) -> Iterable[Reading]:
        """Give the least that the orders which stand allow a target."""
        least = self._standing.get((kind, name))
        return [] if least is None else [Reading(CURTAIL_LIMIT, least)]

    def keep(self, before: Curtailment) -> None:
        """Take over the loads of orders that stay."""
        for order_id, followed in before._followed.items():
            order = self.ground.orders.all.get(order_id)
            if order is not None:
                followed.target = self._target(order)
                self._followed[order_id] = followed


def _node_name(order: CurtailOrder) -> str:
    return order.target_id if order.target_kind == "power_node" else ""

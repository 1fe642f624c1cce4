"""What people change at a site, noted for the messages about what happens next."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from keeld.alerts.context import Context
from keeld.contract import CurtailOrder
from keeld.model import Moment
from keeld.watch.demand import power_words
from keeld.watch.orders import Orders
from keeld.watch.racks import RackState


def note_order(context: Context, order: CurtailOrder, orders: Orders, now: Moment) -> None:
    """Note an order to draw less, at all that it is about."""
    racks = orders.racks_of(order.target_kind, order.target_id)
    scopes = {f"{order.target_kind}:{order.target_id}", *(f"rack:{name}" for name in racks)}
    words = f"{order.source} ordered {power_words(order.most_watts)} at most for {order.target_kind} {order.target_id}"
    context.note(words, now.wall_ns, scopes)


def note_reload(context: Context, turned: Collection[str], racks: Mapping[str, RackState], now: Moment) -> None:
    """Note what a reload changed: the states of the racks that `turned`, else the configuration as such."""
    for name in turned:
        rack = racks[name].plan.rack
        context.note(f"{rack.label or name} is under the state {rack.state}", now.wall_ns, [f"rack:{name}"])
    if not turned:
        context.note("the configuration was read again", now.wall_ns)


def note_restart(context: Context, now: Moment) -> None:
    """Note that keeld runs anew: what happened before is not listed."""
    context.note("keeld started again", now.wall_ns)

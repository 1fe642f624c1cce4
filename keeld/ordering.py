"""Carry out what people order while keeld runs, and keep it: orders to draw less, and the states of racks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from keeld import host
from keeld.contract import CurtailOrder
from keeld.judge import Judge, moment_now
from keeld.settings import Settings
from keeld.state.orders import OrderDesk, RackMove


class Ordering:
    """Brings orders to the watch at once and to the disk after; an order counts although the disk refuses it."""

    def __init__(self, desk: OrderDesk, judge: Judge, settings: Callable[[], Settings]) -> None:
        self._desk = desk
        self._judge = judge
        self._settings = settings

    async def curtail(self, order: CurtailOrder) -> bool | None:
        """Take an order; says whether it is on the disk, None where it concerns nothing here or is over."""
        now = moment_now()
        if not self._judge.watch.curtail(order, now):
            return None
        self._desk.book.note_order(order)
        return await self._desk.save(now.wall_ns)

    async def cancel(self, order_id: str) -> bool | None:
        """End an order; says whether that is on the disk, None for one that is not known."""
        now = moment_now()
        if not self._desk.book.end_order(order_id, now.wall_ns):
            return None
        self._judge.note(self._judge.watch.cancel_order(order_id, now))
        return await self._desk.save(now.wall_ns)

    async def move_rack(self, rack: str, state: str, *, owner: str, reason: str) -> bool | None:
        """Put a rack into another state; says whether that is on the disk, None where it is in that state already.

        Alarms of the rack are withdrawn, as its rules and budget may be others now; what was measured stays.
        """
        now, settings, book = moment_now(), self._settings(), self._desk.book
        configured = settings.site.racks[rack].state
        before = book.applied(settings.site, now.wall_ns).racks[rack].state
        if before == state:
            return None
        book.note_move(
            RackMove(
                rack=rack, before=before, after=state, time_ns=now.wall_ns, owner=owner, reason=reason,
                configured=configured,
            )
        )  # fmt: skip
        self.follow(settings)
        return await self._desk.save(now.wall_ns)

    async def moves(self, rack: str, limit: int) -> Sequence[RackMove]:
        """Give a rack's changes of state, newest first."""
        return await self._desk.moves(rack, limit)

    def follow(self, settings: Settings) -> None:
        """Let the watch follow a configuration with the orders and rack states that hold."""
        now = moment_now()
        site = self._desk.book.applied(settings.site, now.wall_ns)
        with host.nothing_collected():
            self._judge.note(self._judge.watch.reload(site, settings.rules, now, observe_s=settings.observe_s))

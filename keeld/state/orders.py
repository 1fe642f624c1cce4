"""What was ordered while keeld ran and must hold after a restart: orders to draw less, and the states of racks.

As with alarms the memory is the truth and the file its mirror: what the disk refuses holds all the same, and is written
when it can be. A rack's state in the configuration is where it begins; it counts again once it is changed there.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from types import MappingProxyType
from typing import Any

import orjson
import structlog

from keeld.contract import CurtailOrder
from keeld.errors import DeliveryError
from keeld.model import Rack, Site
from keeld.state import State

_log = structlog.get_logger()

_KEPT_NS = 90 * 86_400 * 1_000_000_000
"""How long ended orders stay in the file."""
_MOVES_MOST = 1000
"""Newest moves that stay of each rack."""
_PENDING_MOST = 10_000
_RETRY_S = 5.0
CONFIGURATION = "configuration"
"""Owner of a move that was made by editing the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RackMove:
    """One change of a rack's state."""

    rack: str
    before: str
    after: str
    time_ns: int
    owner: str
    reason: str
    configured: str
    """What the configuration said at that time."""


@dataclass(slots=True)
class OrderBook:
    """Orders and rack states in force, and what of them is not on the disk yet."""

    orders: dict[str, CurtailOrder]
    """By id, ended ones included until the restart."""
    states: dict[str, RackMove]
    """The last move of each rack that was ever moved."""
    pending: list[RackMove]
    """Moves that are not on the disk yet."""
    is_unsaved: bool = False

    def note_order(self, order: CurtailOrder) -> None:
        """Take an order, in place of an older one with its id."""
        self.orders[order.id] = order
        self.is_unsaved = True

    def end_order(self, order_id: str, time_ns: int) -> bool:
        """End an order before its time; False for one that is not known."""
        order = self.orders.get(order_id)
        if order is None:
            return False
        self.note_order(replace(order, ends_ns=min(order.ends_ns, time_ns)))
        return True

    def note_move(self, move: RackMove) -> None:
        """Take a change of a rack's state."""
        self.states[move.rack] = move
        self.pending = [*self.pending[-_PENDING_MOST + 1 :], move]
        self.is_unsaved = True

    def applied(self, site: Site, time_ns: int) -> Site:
        """Give the configured site with the rack states and orders that hold now.

        Where the configuration of a rack's state was changed since its last move, the configuration counts, and that
        is noted as a move.
        """
        racks = {name: self._rack(rack, time_ns) for name, rack in site.racks.items()}
        orders = tuple(order for order in self.orders.values() if order.ends_ns > time_ns)
        return replace(site, racks=MappingProxyType(racks), orders=orders)

    def _rack(self, rack: Rack, time_ns: int) -> Rack:
        move = self.states.get(rack.id)
        if move is None:
            return rack
        if move.configured == rack.state:
            return rack if move.after == rack.state else rack.in_state(move.after)
        if move.after != rack.state:
            self.note_move(
                RackMove(
                    rack=rack.id, before=move.after, after=rack.state, time_ns=time_ns, owner=CONFIGURATION,
                    reason=f"the file says {rack.state} where it said {move.configured}", configured=rack.state,
                )
            )  # fmt: skip
        return rack


class OrderDesk:
    """Keeps the book durable. `run` must be running for what the disk refused to be written later."""

    def __init__(self, state: State, time_ns: int) -> None:
        self._state = state
        self.book = state.at_start(lambda connection: read_book(connection, time_ns), OrderBook({}, {}, []))

    async def save(self, time_ns: int) -> bool:
        """Write what is not on the disk; False where it refuses, and then it holds in memory."""
        book = self.book
        if not book.is_unsaved:
            return True
        orders, moves = list(book.orders.values()), list(book.pending)
        try:
            await self._state.on_disk(lambda connection: write_book(connection, orders, moves, time_ns))
        except DeliveryError as error:
            _log.error("orders not on disk", reason=error.detail, effect="they hold until keeld ends")
            return False
        book.pending = book.pending[len(moves) :]
        book.is_unsaved = bool(book.pending) or orders != list(book.orders.values())
        return True

    async def moves(self, rack: str, limit: int) -> list[RackMove]:
        """Give a rack's moves, newest first, those that are not on the disk included."""
        unsaved = [move for move in reversed(self.book.pending) if move.rack == rack]
        try:
            saved = await self._state.on_disk(lambda connection: read_moves(connection, rack, limit))
        except DeliveryError:
            saved = []
        return (unsaved + [move for move in saved if move not in unsaved])[:limit]

    async def run(self) -> None:
        """Write what the disk refused, for ever."""
        while True:
            await asyncio.sleep(_RETRY_S)
            await self.save(time.time_ns())


def read_book(connection: sqlite3.Connection, time_ns: int) -> OrderBook:
    """Give orders that have not ended and the last move of every rack."""
    rows = connection.execute("SELECT body FROM curtail WHERE ends_ns > ? ORDER BY id", (time_ns,))
    orders = [order for (body,) in rows if (order := _order(body)) is not None]
    moves = connection.execute(
        "SELECT rack, before, after, time_ns, owner, reason, configured FROM rack_move "
        "WHERE id IN (SELECT max(id) FROM rack_move GROUP BY rack)"
    )
    states = {move.rack: move for move in map(_move, moves)}
    return OrderBook({order.id: order for order in orders}, states, [])


def write_book(
    connection: sqlite3.Connection, orders: Iterable[CurtailOrder], moves: Iterable[RackMove], time_ns: int
) -> None:
    """Write orders and moves in one transaction, and take away what is long over."""
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(
        "INSERT INTO curtail (name, target, begins_ns, ends_ns, body) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (name) DO UPDATE SET target = excluded.target, begins_ns = excluded.begins_ns, "
        "ends_ns = excluded.ends_ns, body = excluded.body",
        [_order_row(order) for order in orders],
    )
    connection.execute("DELETE FROM curtail WHERE ends_ns < ?", (time_ns - _KEPT_NS,))
    for move in moves:
        row = asdict(move)
        connection.execute(
            "INSERT INTO rack_move (rack, before, after, time_ns, owner, reason, configured) "
            "VALUES (:rack, :before, :after, :time_ns, :owner, :reason, :configured)",
            row,
        )
        connection.execute(
            "INSERT OR REPLACE INTO rack_state (rack, state, since_ns, owner) VALUES (?, ?, ?, ?)",
            (move.rack, move.after, move.time_ns, move.owner),
        )
        connection.execute(
            "DELETE FROM rack_move WHERE rack = ? AND id <= "
            "(SELECT id FROM rack_move WHERE rack = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
            (move.rack, move.rack, _MOVES_MOST),
        )
    connection.execute("COMMIT")


def read_moves(connection: sqlite3.Connection, rack: str, limit: int) -> list[RackMove]:
    """Give a rack's moves, newest first."""
    rows = connection.execute(
        "SELECT rack, before, after, time_ns, owner, reason, configured FROM rack_move "
        "WHERE rack = ? ORDER BY id DESC LIMIT ?",
        (rack, limit),
    )
    return [_move(row) for row in rows]


def _move(row: tuple[Any, ...]) -> RackMove:
    return RackMove(**dict(zip((item.name for item in fields(RackMove)), row, strict=True)))


def _order_row(order: CurtailOrder) -> tuple[Any, ...]:
    target = f"{order.target_kind}:{order.target_id}"
    return order.id, target, order.begins_ns, order.ends_ns, orjson.dumps(asdict(order))


def _order(body: bytes) -> CurtailOrder | None:
    try:
        stored: Mapping[str, Any] = orjson.loads(body)
        return CurtailOrder(**stored)
    except (ValueError, TypeError) as error:
        _log.warning("stored order not readable", reason=type(error).__name__)
        return None

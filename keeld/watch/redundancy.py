"""Redundancy: keeps the failover cases up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from keeld.alerts.board import Board
from keeld.watch.duty import Duty, Slot


class Redundancy(Duty):
    """Keeps up what would happen if something died now."""

    name: ClassVar[str] = "redundancy"

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Work out the cases of the slot that has ended."""
        del board
        yield from self.ground.failover.refresh(slot.look)

"""Parcels that the disk did not take: a ring with a bound in bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from keeld.spool.parcel import Ticket


@dataclass(slots=True)
class Held:
    """A parcel in memory and the sinks that still want it."""

    ticket: Ticket
    framed: bytes
    waiting: set[str]


class Memory:
    """Held parcels by sequence. Full policy: the oldest go, and are given to the caller to be counted."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._held: dict[int, Held] = {}
        self._bytes = 0

    def __contains__(self, ticket: Ticket) -> bool:
        """Whether the parcel is here."""
        return ticket.seq in self._held

    def parcels(self) -> list[Held]:
        """All parcels, oldest first."""
        return list(self._held.values())

    def framed(self, ticket: Ticket) -> bytes | None:
        """Give a parcel's bytes; None when it is not here."""
        held = self._held.get(ticket.seq)
        return None if held is None else held.framed

    def hold(self, ticket: Ticket, framed: bytes, sinks: Iterable[str]) -> list[Held]:
        """Keep a parcel; give those that had to go for it."""
        self._held[ticket.seq] = Held(ticket, framed, set(sinks))
        self._bytes += len(framed)
        gone = []
        while self._bytes > self._most_bytes:
            gone.append(self.drop(next(iter(self._held.values())).ticket))
        return gone

    def drop(self, ticket: Ticket) -> Held:
        """Let a parcel go for every sink."""
        held = self._held.pop(ticket.seq)
        self._bytes -= len(held.framed)
        return held

    def settle(self, ticket: Ticket, sink: str) -> bool:
        """Let a parcel go for one sink; True when no other sink waits for it."""
        held = self._held[ticket.seq]
        held.waiting.discard(sink)
        if held.waiting:
            return False
        self.drop(ticket)
        return True

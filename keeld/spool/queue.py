"""What one sink still has to get: its folders, its three lanes and its account."""

from __future__ import annotations

import collections
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from keeld.spool.files import remove
from keeld.spool.parcel import Lane, Ticket

_LIVE_MOST = 30
"""Parcels in the live lane; after an outage the newest half minute goes first and the rest is backlog."""


@dataclass(slots=True)
class Tally:
    """One sink's account since the start, in lines. `difference` is 0 or there is a bug."""

    found: int = 0
    taken: int = 0
    stored: int = 0
    queued: int = 0
    dead: int = 0
    evicted: collections.Counter[str] = field(default_factory=collections.Counter)

    @property
    def difference(self) -> int:
        """Lines that came in and are nowhere."""
        return self.found + self.taken - self.stored - self.queued - self.dead - self.evicted.total()


class Queue:
    """One sink's parcels. A parcel is in one lane, or taken out by the sender, or in `sent`, never in two places."""

    def __init__(self, sink: str, folder: Path) -> None:
        self.sink = sink
        self.folder = folder / "queue"
        self.sent_folder = folder / "sent"
        self.dead_folder = folder / "dead"
        self.tally = Tally()
        self.files = 0
        self.blocks = 0
        """Blocks of what waits and of what lingers."""
        self._live: collections.deque[int] = collections.deque()
        self._backlog: collections.deque[int] = collections.deque()
        self._resend: collections.deque[int] = collections.deque()
        self._sent: collections.deque[tuple[int, float]] = collections.deque()

    def load(self) -> Iterator[Path]:
        """Make the folders, list what waits, and give the entries that are no parcels.

        What was sent before the stop is sent again: whatever stopped keeld may have stopped the sink too.
        """
        for folder in (self.folder, self.sent_folder, self.dead_folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder, lane in ((self.folder, self._backlog), (self.sent_folder, self._resend)):
            with os.scandir(folder) as entries:
                for entry in entries:
                    ticket = Ticket.parse(entry.name)
                    if ticket is None:
                        yield folder / entry.name
                        continue
                    lane.append(ticket.packed)
                    self.blocks += ticket.blocks
        self._backlog = collections.deque(sorted(self._backlog))
        self._resend = collections.deque(sorted(self._resend))
        self.files = len(self._backlog)
        self.tally.found = self.tally.queued = sum(Ticket.unpack(packed).points for packed in self._backlog)

    @property
    def last_seq(self) -> int:
        """The highest sequence number that its folders hold, 0 for none."""
        lanes = (self._live, self._backlog, self._resend)
        highest = max((Ticket.unpack(lane[-1]).seq for lane in lanes if lane), default=0)
        buried = (int(path.stem) for path in self.dead_folder.glob("*.lp") if path.stem.isdecimal())
        return max(highest, *buried, 0)

    @property
    def oldest(self) -> Ticket | None:
        """The first that would be evicted, None when nothing waits."""
        for lane in (self._backlog, self._live):
            if lane:
                return Ticket.unpack(lane[0])
        return None

    @property
    def newest_found(self) -> Ticket | None:
        """The newest of what an earlier run left; None when it left nothing."""
        return Ticket.unpack(self._backlog[-1]) if self._backlog else None

    @property
    def has_backlog(self) -> bool:
        """Whether anything waits behind the live lane."""
        return bool(self._backlog or self._resend)

    def path(self, ticket: Ticket, lane: Lane) -> Path:
        """Where the parcel's file is."""
        return (self.sent_folder if lane is Lane.RESEND else self.folder) / ticket.name

    def push(self, ticket: Ticket) -> None:
        """Take a new parcel into the live lane."""
        self.tally.taken += ticket.points
        self.tally.queued += ticket.points
        self.files += 1
        self.blocks += ticket.blocks
        self._live.append(ticket.packed)
        if len(self._live) > _LIVE_MOST:
            self._backlog.append(self._live.popleft())

    def pop(self, *, with_backlog: bool) -> tuple[Ticket, Lane] | None:
        """Take out the newest live parcel, else (if wanted) what is to be sent again, else the oldest of the rest."""
        if self._live:
            return Ticket.unpack(self._live.pop()), Lane.LIVE
        if with_backlog and self._resend:
            return Ticket.unpack(self._resend.popleft()), Lane.RESEND
        if with_backlog and self._backlog:
            return Ticket.unpack(self._backlog.popleft()), Lane.BACKLOG
        return None

    def put_back(self, ticket: Ticket, lane: Lane) -> None:
        """Undo `pop`."""
        if lane is Lane.LIVE:
            self._live.append(ticket.packed)
        elif lane is Lane.BACKLOG:
            self._backlog.appendleft(ticket.packed)
        else:
            self._resend.appendleft(ticket.packed)

    def postpone(self, ticket: Ticket, lane: Lane) -> None:
        """Undo `pop`, but behind all others, so that a parcel the sink refuses does not hold them up."""
        (self._resend if lane is Lane.RESEND else self._backlog).append(ticket.packed)

    def settle(self, ticket: Ticket, *, stored: int = 0, dead: int = 0, evicted: str = "") -> None:
        """Close the account of a parcel that was taken out of a lane; it no longer waits."""
        self.tally.queued -= ticket.points
        self.tally.stored += stored
        self.tally.dead += dead
        if evicted:
            self.tally.evicted[evicted] += ticket.points - stored - dead
        self.files -= 1

    def release(self, ticket: Ticket) -> None:
        """Note that the parcel's file is gone from this sink's folders."""
        self.blocks -= ticket.blocks

    def linger(self, ticket: Ticket, now_s: float) -> None:
        """Note a confirmed file that now lies in `sent/`."""
        self._sent.append((ticket.packed, now_s))

    def expire(self, before_s: float) -> None:
        """Remove what was confirmed before this time."""
        while self._sent and self._sent[0][1] <= before_s:
            self._drop_sent(self._sent.popleft()[0])

    def recall(self) -> None:
        """Have everything in `sent/` sent again."""
        self._resend.extend(packed for packed, _ in self._sent)
        self._sent.clear()

    def pop_spare(self) -> bool:
        """Remove the oldest file that was already confirmed; whether there was one."""
        if self._sent:
            self._drop_sent(self._sent.popleft()[0])
        elif self._resend:
            self._drop_sent(self._resend.popleft())
        else:
            return False
        return True

    def pop_oldest(self) -> Ticket | None:
        """Take out the parcel that waits longest, to evict it."""
        for lane in (self._backlog, self._live):
            if lane:
                return Ticket.unpack(lane.popleft())
        return None

    def discard(self, ticket: Ticket) -> bool:
        """Take one particular parcel out of its lane; False when the sender has it."""
        for lane in (self._live, self._backlog):
            if ticket.packed in lane:
                lane.remove(ticket.packed)
                return True
        return False

    def _drop_sent(self, packed: int) -> None:
        ticket = Ticket.unpack(packed)
        self.release(ticket)
        remove(self.sent_folder / ticket.name)

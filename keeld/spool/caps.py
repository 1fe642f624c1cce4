"""Keep the spool within its caps: whole parcels go, the oldest first, counted by cause."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from keeld.health import Health
from keeld.spool import files
from keeld.spool.ages import Ages
from keeld.spool.memory import Memory
from keeld.spool.parcel import BLOCK_BYTES, Lane, Ticket, blocks_of
from keeld.spool.queue import Queue

TELL_AGAIN_S = 300.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much the spool may keep, and for how long."""

    max_bytes: int = 4 << 30
    max_age_s: float = 14 * 86400.0
    keep_free_bytes: int = 256 << 20
    linger_s: float = 60.0
    memory_bytes: int = 16 << 20
    """Of parcels that could not be written to disk."""


class Caps:
    """Evicts from the queues. What was confirmed already goes before what still waits."""

    def __init__(self, queues: Mapping[str, Queue], *, memory: Memory, limits: Limits, health: Health) -> None:
        self.ages = Ages()
        self._queues = queues
        self._memory = memory
        self._limits = limits
        self._health = health
        self._told_s: dict[str, float] = {}
        # every sink gets an equal share, so that a dead one cannot push out what another still needs
        self._share_blocks = max(1, limits.max_bytes // BLOCK_BYTES // max(1, len(queues)))

    def make_room(self, directory: Path, blocks: int, now_s: float) -> None:
        """Make room for a parcel of this size under the byte cap, and above the space that is to stay free."""
        for queue in self._queues.values():
            while queue.blocks + blocks > self._share_blocks and self._evict_from(queue, "bytes", now_s):
                pass
        try:
            short_bytes = self._limits.keep_free_bytes + blocks * BLOCK_BYTES - files.free_bytes(directory)
        except OSError:
            return
        if short_bytes > 0:
            self.free(blocks_of(short_bytes), now_s)

    def free(self, blocks: int, now_s: float) -> bool:
        """Give up the oldest parcels of all sinks alike (they share files) for `blocks`; whether there were any."""
        freed = 0
        while freed < blocks:
            before = self._blocks
            self._evict_oldest(now_s)
            if self._blocks == before:
                break
            freed += max(1, (before - self._blocks) // len(self._queues))
        return freed > 0

    def evict_aged(self, now_s: float) -> None:
        """Give up what has waited for too long."""
        for queue in self._queues.values():
            while self.age_s(queue, now_s) > self._limits.max_age_s:
                ticket = queue.pop_oldest()
                if ticket is not None:
                    self._evict(queue, ticket, "age", now_s)

    def age_s(self, queue: Queue, now_s: float) -> float:
        """Seconds that the oldest parcel of a queue has waited; 0 when none waits."""
        oldest = queue.oldest
        if oldest is None:
            return 0.0
        try:
            mtime_s = queue.path(oldest, Lane.BACKLOG).stat().st_mtime
        except OSError:
            return 0.0
        return self.ages.age_s(oldest.seq, mtime_s, now_s)

    def count(self, queue: Queue, ticket: Ticket, cause: str) -> None:
        """Enter a parcel that is lost to a sink into the accounts."""
        queue.settle(ticket, evicted=cause)
        queue.release(ticket)
        self._health.points_evicted[cause] += ticket.points

    @property
    def _blocks(self) -> int:
        return sum(queue.blocks for queue in self._queues.values())

    def _evict_oldest(self, now_s: float) -> None:
        spared = [queue.pop_spare() for queue in self._queues.values()]
        if any(spared):
            return
        heads = {queue: queue.oldest for queue in self._queues.values()}
        oldest = min((head.seq for head in heads.values() if head is not None), default=0)
        for queue, head in heads.items():
            if head is not None and head.seq == oldest and head not in self._memory:
                self._evict_from(queue, "disk", now_s)

    def _evict_from(self, queue: Queue, cause: str, now_s: float) -> bool:
        if queue.pop_spare():
            return True
        ticket = queue.pop_oldest()
        if ticket is None:
            return False
        self._evict(queue, ticket, cause, now_s)
        return True

    def _evict(self, queue: Queue, ticket: Ticket, cause: str, now_s: float) -> None:
        if ticket in self._memory:
            self._memory.settle(ticket, queue.sink)
        files.remove(queue.path(ticket, Lane.BACKLOG))
        self.count(queue, ticket, cause)
        if now_s - self._told_s.get(cause, -TELL_AGAIN_S) >= TELL_AGAIN_S:
            log.error("oldest readings dropped", sink=queue.sink, cause=cause, lines=queue.tally.evicted[cause])
            self._told_s[cause] = now_s

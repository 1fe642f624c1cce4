"""The spool itself: takes parcels in, hands them to each sink's sender, and closes them when they are confirmed."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import structlog

from keeld.health import Health
from keeld.spool import files
from keeld.spool.asides import Refusal, bury, set_aside
from keeld.spool.caps import TELL_AGAIN_S, Caps, Limits
from keeld.spool.memory import Memory
from keeld.spool.parcel import BLOCK_BYTES, DamagedError, Lane, Parcel, Ticket, blocks_of, frame, unframe
from keeld.spool.queue import Queue, Tally
from keeld.text import clean

_GONE_ERRORS = frozenset({errno.ENOENT, errno.EIO, errno.EISDIR, errno.ELOOP, errno.ENOTDIR})
_FULL_TRIES = 4
"""How often a full disk is made room on for one parcel; if that does not help, somebody else takes what is freed."""

log = structlog.get_logger()


class Spool:
    """See the package's theory of operation. Not thread-safe: one thread makes all calls."""

    def __init__(self, directory: Path, sinks: Sequence[str], *, limits: Limits, health: Health) -> None:
        self._directory = directory
        self._limits = limits
        self._health = health
        self._queues = {sink: Queue(sink, directory / files.folder_name(sink)) for sink in sinks}
        self._memory = Memory(limits.memory_bytes)
        self._caps = Caps(self._queues, memory=self._memory, limits=limits, health=health)
        self._writable = True
        self._readable = True
        self._told_refused_s = -TELL_AGAIN_S
        self._next_seq = 1
        self._lock: int | None = None

    def open(self, now_s: float) -> None:
        """Lock the directory and list what waits; raise ConfigError when it is not ours to use."""
        self._lock = files.claim(self._directory)
        try:
            for path in self._directory.glob("*.tmp"):
                files.remove(path)
            foreign = [path for queue in self._queues.values() for path in queue.load()]
            strangers = self._strangers()
        except OSError as error:
            self.close()
            raise files.unusable(self._directory, error) from None
        for path in foreign:
            set_aside(self._directory, path, "not a batch")
        for folder in strangers:
            log.warning("readings wait for a sink that is not configured", folder=clean(str(folder)))
        self._next_seq = 1 + max((queue.last_seq for queue in self._queues.values()), default=0)
        self._caps.ages.open(self._next_seq, newest_mtime_s=self._newest_mtime_s(), now_s=now_s)

    def close(self) -> None:
        """Release the directory."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def append(self, body: bytes, points: int, *, now_s: float) -> bool:
        """Take gzipped lines for every sink. True when they are safe on disk, False when they wait in memory."""
        framed = frame(body, points, created_ms=time.time_ns() // 1_000_000)
        ticket = Ticket(self._next_seq, points, blocks_of(len(framed)))
        self._next_seq += 1
        self._caps.make_room(self._directory, ticket.blocks, now_s)
        durable = self._persist(ticket, framed, self._queues.values(), now_s=now_s)
        for queue in self._queues.values():
            queue.push(ticket)
        self._caps.ages.note(ticket.seq, now_s)
        if durable:
            self._health.points_acknowledged += points
        else:
            self._hold(ticket, framed)
        return durable

    def take(self, sink: str, *, with_backlog: bool = True) -> Parcel | None:
        """Take out the next parcel of a sink, None when nothing (wanted) waits; what is damaged is passed over."""
        queue = self._queues[sink]
        while (taken := queue.pop(with_backlog=with_backlog)) is not None:
            ticket, lane = taken
            try:
                body = unframe(self._read(queue, ticket, lane), ticket.points)
            except DamagedError as damage:
                self._discard(queue, ticket, lane, why=str(damage))
            except OSError as error:
                queue.put_back(ticket, lane)
                self._tell_read(error)
                return None
            else:
                self._tell_read(None)
                return Parcel(ticket, body, lane)
        return None

    def give_back(self, sink: str, parcel: Parcel) -> None:
        """Return a parcel that the sink did not take."""
        self._queues[sink].put_back(parcel.ticket, parcel.lane)

    def postpone(self, sink: str, parcel: Parcel) -> None:
        """Return a parcel behind all others."""
        self._queues[sink].postpone(parcel.ticket, parcel.lane)

    def confirm(self, sink: str, parcel: Parcel, *, now_s: float, refusals: Sequence[Refusal] = ()) -> None:
        """Close a parcel that the sink has taken, all but the lines it refused.

        What has lingered is removed here and nowhere else: only a sink that answers has proven that it still lives.
        """
        queue = self._queues[sink]
        if parcel.lane is not Lane.RESEND:
            self._settle(queue, parcel.ticket, refusals)
            self._tell_refused(queue, refusals, now_s)
        if self._keep_sent(queue, parcel):
            queue.linger(parcel.ticket, now_s)
        else:
            files.remove(queue.path(parcel.ticket, parcel.lane))
            queue.release(parcel.ticket)
        queue.expire(now_s - self._limits.linger_s)

    def recall(self, sink: str) -> None:
        """Have what was confirmed within the linger sent again: the sink may have forgotten it."""
        self._queues[sink].recall()

    def tend(self, now_s: float) -> None:
        """Do what is due without a new parcel: back to disk from memory, caps by age and by free space."""
        self._caps.make_room(self._directory, 0, now_s)
        self._caps.evict_aged(now_s)
        for held in self._memory.parcels():
            waiting = [self._queues[sink] for sink in held.waiting]
            if not self._persist(held.ticket, held.framed, waiting, now_s=now_s):
                return
            self._memory.drop(held.ticket)
            self._health.points_acknowledged += held.ticket.points

    def tally(self, sink: str) -> Tally:
        """Give a sink's account."""
        return self._queues[sink].tally

    def has_backlog(self, sink: str) -> bool:
        """Whether anything waits behind the live lane."""
        return self._queues[sink].has_backlog

    @property
    def waiting_files(self) -> int:
        """Parcels that wait for the sink that is furthest behind."""
        return max((queue.files for queue in self._queues.values()), default=0)

    @property
    def kept_bytes(self) -> int:
        """Disk space of what waits or lingers, for the sink that has most."""
        return max((queue.blocks for queue in self._queues.values()), default=0) * BLOCK_BYTES

    def oldest_age_s(self, now_s: float) -> float:
        """Age of the parcel that waits longest, 0 when none waits."""
        return max((self._caps.age_s(queue, now_s) for queue in self._queues.values()), default=0.0)

    def _persist(self, ticket: Ticket, framed: bytes, queues: Iterable[Queue], *, now_s: float) -> bool:
        """Write a parcel into these queues' folders; a full disk costs the oldest parcels before it costs this one."""
        folders = [queue.folder for queue in queues]
        for _ in range(_FULL_TRIES):
            try:
                self._write(ticket, framed, folders)
            except OSError as error:
                if error.errno not in files.FULL_ERRORS or not self._caps.free(ticket.blocks, now_s):
                    self._tell_written(error)
                    return False
                full = error
            else:
                self._tell_written(None)
                return True
        self._tell_written(full)
        return False

    def _write(self, ticket: Ticket, framed: bytes, folders: list[Path]) -> None:
        temporary = self._directory / f"{ticket.seq:011d}.tmp"
        files.write_durably(temporary, framed)
        try:
            for folder in folders[:-1]:
                os.link(temporary, folder / ticket.name)
            temporary.rename(folders[-1] / ticket.name)
            for folder in folders:
                files.sync_folder(folder)
        except OSError:
            for path in (temporary, *(folder / ticket.name for folder in folders)):
                files.remove(path)
            raise

    def _hold(self, ticket: Ticket, framed: bytes) -> None:
        for gone in self._memory.hold(ticket, framed, self._queues):
            for sink in gone.waiting:
                if self._queues[sink].discard(gone.ticket):
                    self._caps.count(self._queues[sink], gone.ticket, "memory")

    def _read(self, queue: Queue, ticket: Ticket, lane: Lane) -> bytes:
        held = self._memory.framed(ticket)
        if held is not None:
            return held
        try:
            return queue.path(ticket, lane).read_bytes()
        except OSError as error:
            if error.errno in _GONE_ERRORS:
                raise DamagedError(error.strerror) from None
            raise

    def _settle(self, queue: Queue, ticket: Ticket, refusals: Sequence[Refusal]) -> None:
        dead = sum(lines.count(b"\n") for _, lines in refusals)
        stored = ticket.points - dead
        self._health.points_stored[queue.sink] += stored
        if refusals and not bury(queue, ticket, refusals):
            queue.settle(ticket, stored=stored, evicted="disk")
            self._health.points_evicted["disk"] += dead
            return
        queue.settle(ticket, stored=stored, dead=dead)
        self._health.points_dead[queue.sink] += dead

    def _keep_sent(self, queue: Queue, parcel: Parcel) -> bool:
        """Move a confirmed file to `sent/`; False when there is nothing to keep."""
        if parcel.ticket in self._memory:
            if self._memory.settle(parcel.ticket, queue.sink):
                self._health.points_acknowledged += parcel.ticket.points
            return False
        if self._limits.linger_s <= 0 or parcel.lane is Lane.RESEND:
            return self._limits.linger_s > 0
        try:
            queue.path(parcel.ticket, parcel.lane).rename(queue.sent_folder / parcel.ticket.name)
        except OSError:
            return False
        return True

    def _discard(self, queue: Queue, ticket: Ticket, lane: Lane, *, why: str) -> None:
        if lane is Lane.RESEND:
            queue.release(ticket)
        else:
            self._caps.count(queue, ticket, "damaged")
        set_aside(self._directory, queue.path(ticket, lane), why)

    def _strangers(self) -> list[Path]:
        known = {queue.folder.parent for queue in self._queues.values()}
        return [
            folder
            for folder in self._directory.iterdir()
            if folder not in known and any((folder / "queue").glob("*.batch"))
        ]

    def _newest_mtime_s(self) -> float:
        newest_s = 0.0
        for queue in self._queues.values():
            ticket = queue.newest_found
            if ticket is not None:
                newest_s = max(newest_s, queue.path(ticket, Lane.BACKLOG).stat().st_mtime)
        return newest_s

    def _tell_written(self, error: OSError | None) -> None:
        if error is not None and self._writable:
            log.error("spool cannot be written, readings wait in memory", reason=error.strerror)
        elif error is None and not self._writable:
            log.info("spool is written again")
        self._writable = error is None

    def _tell_refused(self, queue: Queue, refusals: Sequence[Refusal], now_s: float) -> None:
        if refusals and now_s - self._told_refused_s >= TELL_AGAIN_S:
            log.warning("lines refused by sink", sink=queue.sink, folder=str(queue.dead_folder), words=refusals[0][0])
            self._told_refused_s = now_s

    def _tell_read(self, error: OSError | None) -> None:
        if error is not None and self._readable:
            log.error("spool cannot be read", reason=error.strerror)
        elif error is None and not self._readable:
            log.info("spool is read again")
        self._readable = error is None

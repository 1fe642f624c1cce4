"""What must survive a restart about alerts: where each alarm stands, what moved, and who has yet to be told.

Theory of operation: the memory of this process is the truth and `state.db` is its mirror. A commit changes the memory,
then one writer brings the file level with it in one transaction: transitions, alarm rows and the outbox row of every
message together. Only then are the messages handed to the channels, so whatever was sent can be found after a crash.
When the disk refuses or hangs, alerting goes on from memory, one log line says so, and the mirror catches up by itself.
"""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import structlog

from keeld.errors import DeliveryError
from keeld.health import Health
from keeld.model import Notice, Severity, Transition
from keeld.settings import ChannelSettings
from keeld.state.audit import Audited
from keeld.state.database import Contents, Database, Outgoing, Plan, dump_move, read_move, uid
from keeld.state.routing import route

__all__ = ["Audited", "Outgoing", "State"]

_log = structlog.get_logger()
_Key = TypeVar("_Key")
_Result = TypeVar("_Result")

_PATIENCE_S = 2.0
"""How long a message waits for the disk before it goes out anyway: a page matters more than its record."""
_RETRY_S = 5.0
_CLOSE_S = 5.0
_PENDING_MOST = 10_000
"""Transitions kept in memory while the disk is unwritable; the oldest are dropped first and counted."""
_WAITING_MOST = 10_000
"""Messages that may wait for one channel; the oldest are dropped first, counted and logged."""


class Kept(Protocol):
    """An alarm as `watch` wants to have it back after a restart."""

    @property
    def key(self) -> str:
        """The alarm's key."""

    def dump(self) -> bytes:
        """Give the alarm as bytes."""


class State:
    """The alarms, the transitions and the outbox, durable in the SQLite file at `path`.

    Opening never fails for a damaged or unwritable file: a damaged one is set aside, an unwritable one is retried.
    Raises ConfigError when a newer keeld wrote the file. `run` must be running for commits to reach the disk.
    """

    def __init__(self, path: Path, *, health: Health | None = None) -> None:
        self.trouble = ""
        """Why the file cannot be written now; empty while it can."""
        self.dropped = 0
        """Transitions that never reached the disk because it was unwritable for too long."""
        self._health = health or Health()
        self._database = Database(path)
        self._thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="state")
        contents = self._load()
        self._notes = self._load_notes()
        self._alarms = dict(contents.alarms)
        self._told = dict(contents.told)
        """What each channel heard last of each alarm that it has not heard the end of."""
        self._waiting: dict[str, dict[str, Outgoing]] = collections.defaultdict(dict)
        self._overflowing: set[str] = set()
        self._outbox = {outgoing.id: outgoing for outgoing in contents.outbox}
        self._release(contents.outbox)
        self._pending: collections.deque[tuple[int, Transition]] = collections.deque()
        self._count = 0
        self._saved_alarms = dict(contents.alarms)
        self._saved_outbox = {outgoing.id for outgoing in contents.outbox}
        self._saved_told = dict(contents.told)
        self._dirty = asyncio.Event()
        self._savers: list[asyncio.Future[None]] = []

    def at_start(self, task: Callable[[sqlite3.Connection], _Result], default: _Result) -> _Result:
        """Let another module read from the file before `run`; gives `default` where it cannot be read."""
        try:
            return self._database.work(task)
        except DeliveryError:
            return default

    async def on_disk(self, task: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """Let another module work on the file, in the state's thread; raises DeliveryError, also for a slow disk."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                result: _Result = await self._in_thread(self._database.work, task)
        except TimeoutError:
            raise DeliveryError(f"the disk has not answered for {_PATIENCE_S:g} s") from None
        return result

    @property
    def notes(self) -> Mapping[str, bytes]:
        """The notes of the watch as they are on the disk."""
        return self._notes

    async def keep_notes(self, notes: Mapping[str, bytes], time_ns: int) -> None:
        """Keep the notes of the watch; while the disk is unwritable they wait for the next call."""
        changes: dict[str, bytes | None] = {key: note for key, note in notes.items() if self._notes.get(key) != note}
        changes |= dict.fromkeys(self._notes.keys() - notes.keys())
        if not changes or self.trouble:
            return
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._in_thread(self._database.keep_notes, changes, time_ns)
        except DeliveryError as error:
            _log.warning("notes of the watch not kept", reason=error.detail)
        except TimeoutError:
            _log.warning("notes of the watch not kept", reason=f"the disk has not answered for {_PATIENCE_S:g} s")
        else:
            self._notes = dict(notes)

    @property
    def alarms(self) -> Mapping[str, bytes]:
        """The last committed snapshot: alarm key to what `dump` gave."""
        return self._alarms

    @property
    def queued(self) -> Mapping[str, int]:
        """Messages waiting, by channel."""
        return {channel: len(messages) for channel, messages in self._waiting.items() if messages}

    def waiting(self, channel: str) -> Sequence[Outgoing]:
        """List the messages that a channel has yet to deliver, oldest first."""
        return tuple(self._waiting[channel].values())

    def standing(self, channel: str) -> Sequence[Transition]:
        """List what a channel was last told, or has yet to be told, of each alarm that is not over."""
        bodies = [body for (told, key), body in self._told.items() if told == channel and body and key in self._alarms]
        return tuple(move for body in bodies if (move := read_move(body)) is not None)

    async def commit(
        self,
        transitions: Sequence[Transition],
        alarms: Iterable[Kept],
        *,
        channels: Iterable[ChannelSettings] = (),
    ) -> None:
        """Keep the moves, the whole snapshot of alarms that are not OK, and one message per channel to be told.

        Returns once all of it is on disk, or the disk has failed or kept it waiting for 2 s; then it is in memory.
        """
        wanted = tuple(channels)
        messages: list[Outgoing] = []
        for move in transitions:
            self._record(move)
            messages += self._address(move, wanted)
        self._alarms = {alarm.key: alarm.dump() for alarm in alarms}
        self._outbox.update((outgoing.id, outgoing) for outgoing in messages)
        await self._save()
        self._release(messages)

    def heard(self, channel: str, key: str) -> Severity | None:
        """Give the severity that a channel was last told, or is about to be told, of an alarm; None for nothing."""
        body = self._told.get((channel, key))
        before = read_move(body) if body else None
        return before.severity if before else None

    async def pass_on(self, outgoing: Outgoing, channel: str) -> bool:
        """Tell another channel what its own cannot deliver; False where the alarm is over by now."""
        move = outgoing.transition
        if move.key not in self._alarms:
            return False
        heard = self.heard(channel, move.key)
        notice = Notice.TRIGGER if heard is None else Notice.ESCALATE
        message = Outgoing(uid(move, channel), channel, notice, move.time_ns, move, heard)
        self._told[channel, move.key] = dump_move(move)
        self._outbox[message.id] = message
        await self._save()
        self._release([message])
        return True

    async def settle(self, outgoing: Outgoing) -> None:
        """Forget a message that was delivered or given up; returns once the disk knows, as `commit` does."""
        self._outbox.pop(outgoing.id, None)
        self._waiting[outgoing.channel].pop(outgoing.id, None)
        self._overflowing.discard(outgoing.channel)
        await self._save()

    async def transitions(self, limit: int = 100, since_ns: int = 0) -> list[Transition]:
        """Give the newest transitions first, those included that are still in memory alone."""
        unsaved = [move for _, move in reversed(self._pending) if move.time_ns >= since_ns]
        try:
            saved = await self._in_thread(self._database.transitions, limit, since_ns)
        except DeliveryError:
            saved = []
        known = {uid(move) for move in unsaved}
        return (unsaved + [move for move in saved if uid(move) not in known])[:limit]

    async def record(self, entry: Audited) -> None:
        """Keep in the audit what somebody asked for; returns once the disk knows, has failed or took 2 s."""
        _log.info("act", who=entry.who, act=entry.act, about=entry.about, was_done=entry.was_done, result=entry.result)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._in_thread(self._database.record, entry)
        except (DeliveryError, TimeoutError) as error:
            _log.error("act not in the audit", who=entry.who, act=entry.act, reason=str(error) or "the disk hangs")

    async def audited(self, limit: int = 100) -> list[Audited]:
        """Give the newest acts of the audit first; raises DeliveryError while the disk does not answer."""
        found: list[Audited] = await self._in_thread(self._database.audited, limit)
        return found

    async def run(self) -> None:
        """Write what is committed, and retry every 5 s while the disk is unwritable."""
        while True:
            self._dirty.clear()
            await self._write()
            if self.trouble:
                await asyncio.sleep(_RETRY_S)
            else:
                await self._dirty.wait()

    async def close(self) -> None:
        """Write what is left, once, and let go of the file; `run` must have ended."""
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._write()
                await self._in_thread(self._database.close)
        except TimeoutError:
            _log.error("state not written at the end", reason=f"the disk has not answered for {_CLOSE_S:g} s")
        self._thread.shutdown(wait=False)

    def _load(self) -> Contents:
        for load in (self._database.load, self._database.load, self._database.load_read_only):
            try:  # the first try may end with a damaged file set aside; the second then begins a new one
                contents = load()
            except DeliveryError as error:
                self._fail(error.detail)
            else:
                self.trouble = self.trouble if load == self._database.load_read_only else ""
                return contents
        return Contents()

    def _load_notes(self) -> dict[str, bytes]:
        try:
            return self._database.notes()
        except DeliveryError:
            return {}

    def _record(self, move: Transition) -> None:
        self._count += 1
        if len(self._pending) >= _PENDING_MOST:
            self._pending.popleft()
            self.dropped += 1
        self._pending.append((self._count, move))
        _log.info(
            "alarm moved",
            key=move.key,
            alert_id=move.alert_id,
            before=str(move.before),
            after=str(move.after),
            severity=str(move.severity),
            notice=str(move.notice or ""),
            title=move.title,
        )

    def _address(self, move: Transition, channels: Sequence[ChannelSettings]) -> list[Outgoing]:
        messages = [
            Outgoing(uid(move, channel), channel, notice, move.time_ns, move, self.heard(channel, move.key))
            for channel, notice in route(move, channels, self._told)
        ]
        self._health.messages.update((message.channel, move.rule) for message in messages)
        if move.notice is Notice.RESOLVE:
            self._told = {pair: body for pair, body in self._told.items() if pair[1] != move.key}
        elif move.notice is not Notice.ACKNOWLEDGE:
            self._told.update({(message.channel, move.key): dump_move(move) for message in messages})
        return messages

    def _release(self, messages: Iterable[Outgoing]) -> None:
        for outgoing in messages:
            queue = self._waiting[outgoing.channel]
            queue[outgoing.id] = outgoing
            if len(queue) > _WAITING_MOST:
                self._outbox.pop(queue.pop(next(iter(queue))).id, None)
                self._note_overflow(outgoing.channel)

    def _note_overflow(self, channel: str) -> None:
        self._health.notifications_dead[channel] += 1
        if channel not in self._overflowing:
            self._overflowing.add(channel)
            _log.error("messages dropped, oldest first", channel=channel, waiting=_WAITING_MOST)

    async def _save(self) -> None:
        self._dirty.set()
        if self.trouble:
            return
        saved = asyncio.get_running_loop().create_future()
        self._savers.append(saved)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await saved
        except TimeoutError:
            self._fail(f"the disk has not answered for {_PATIENCE_S:g} s")

    async def _write(self) -> None:
        savers, self._savers = self._savers, []
        plan = self._plan()
        last = self._count
        try:
            if not plan.is_empty:
                await self._in_thread(self._database.apply, plan)
                self._note_saved(plan, last)
            self._heal()
        except DeliveryError as error:
            self._fail(error.detail)
        finally:
            for saved in savers:
                if not saved.done():
                    saved.set_result(None)

    def _plan(self) -> Plan:
        whole = not self._database.is_known
        alarms = {} if whole else self._saved_alarms
        outbox = set() if whole else self._saved_outbox
        told = {} if whole else self._saved_told
        return Plan(
            transitions=tuple(move for _, move in self._pending),
            alarms={key: blob for key, blob in self._alarms.items() if alarms.get(key) != blob}
            | dict.fromkeys(alarms.keys() - self._alarms.keys()),
            outbox={key: row for key, row in self._outbox.items() if key not in outbox}
            | dict.fromkeys(outbox - self._outbox.keys()),
            told={pair: body for pair, body in self._told.items() if told.get(pair) != body}
            | dict.fromkeys(told.keys() - self._told.keys()),
            whole=whole,
        )

    def _note_saved(self, plan: Plan, last: int) -> None:
        if plan.whole:
            self._saved_alarms, self._saved_outbox, self._saved_told = {}, set(), {}
        _patch(self._saved_alarms, plan.alarms)
        _patch(self._saved_told, plan.told)
        self._saved_outbox.update(key for key, row in plan.outbox.items() if row is not None)
        self._saved_outbox.difference_update(key for key, row in plan.outbox.items() if row is None)
        while self._pending and self._pending[0][0] <= last:
            self._pending.popleft()

    def _fail(self, reason: str) -> None:
        if not self.trouble:
            _log.error("state not on disk", reason=reason, effect="alarms and messages go on from memory")
        self.trouble = reason

    def _heal(self) -> None:
        if self.trouble:
            _log.info("state on disk again", transitions_dropped=self.dropped)
        self.trouble = ""

    async def _in_thread(self, work: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *args)


def _patch(saved: dict[_Key, bytes], changes: Mapping[_Key, bytes | None]) -> None:
    for key, blob in changes.items():
        if blob is None:
            saved.pop(key, None)
        else:
            saved[key] = blob

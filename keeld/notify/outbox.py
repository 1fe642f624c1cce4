"""Bring every message to its channel, at least once, in order for each alarm, however long the channel is away.

Each channel has a lane of its own, so none waits for another. In a lane one message is under way at a time. After a
failure the lane waits (full jitter, growing to 30 s, or what Retry-After asks, up to 5 min) and then tries what failed
longest ago; a message that was never tried waits at most 2 s of that, so neither a receiver that is back nor a message
that it cannot digest holds up the news. A message that is refused as such waits by itself. A message is forgotten on
disk before the next one leaves, so a crash repeats at most one, under the id it had.

A receiver that forgets hears again what stands whenever nothing newer can be sent: at the start, and then as often as
its channel asks. What a message is still to say is left to that message.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog

from keeld.errors import DeliveryError
from keeld.health import Health
from keeld.model import Severity
from keeld.notify import BUILT, Channel, ForgetfulChannel, open_channel
from keeld.notify.fallback import Fallback
from keeld.settings import ChannelSettings
from keeld.state import Outgoing, State

_log = structlog.get_logger()
_Answer = TypeVar("_Answer")

_ATTEMPT_S = 15.0
_LANE_WAIT_S = (0.5, 30.0)
"""First and longest wait of a lane after a failure."""
_FRESH_WAIT_MOST_S = 2.0
_REFUSED_WAIT_S = (30.0, 900.0)
_RETRY_AFTER_MOST_S = 300.0
_GIVE_UP_S = 3 * 86400.0
_GIVE_UP_REFUSED_S = 86400.0
_ATTEMPTS_LEAST = 3
"""Attempts of this process before age counts: a clock that jumps must not empty the queue."""
_URGENCY = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.INFO: 2}


class Notifier:
    """Sends what `state` holds for each of `channels`; a kind that is not built yet is named in one log line."""

    def __init__(self, state: State, channels: Iterable[ChannelSettings], health: Health, *, site: str) -> None:
        configured = tuple(channels)
        self.channels: Sequence[ChannelSettings] = tuple(channel for channel in configured if channel.kind in BUILT)
        """Those that can send: what to give `State.commit`."""
        self.unbuilt: Sequence[ChannelSettings] = tuple(channel for channel in configured if channel.kind not in BUILT)
        self._state = state
        self._lanes = {
            settings.name: _Lane(settings.name, open_channel(settings, site), state, health)
            for settings in self.channels
        }
        self._fallback = Fallback(
            state, tuple(self._lanes), works=lambda name: not self._lanes[name].trouble, wake=self.wake
        )
        for channel in self.unbuilt:
            _log.error(
                "channel cannot send",
                channel=channel.name,
                kind=channel.kind,
                remedy=f"this version sends by {', '.join(BUILT)} only: configure one of these beside it",
            )

    @property
    def failing(self) -> dict[str, str]:
        """Channels whose last attempt failed, with the reason."""
        return {name: lane.trouble for name, lane in self._lanes.items() if lane.trouble}

    @property
    def troubles(self) -> dict[str, str]:
        """Every channel that can send, with why its last attempt failed; empty where it did not."""
        return {name: lane.trouble for name, lane in self._lanes.items()}

    def wake(self) -> None:
        """Say that `state` may hold new messages."""
        for lane in self._lanes.values():
            lane.wake()

    async def run(self) -> None:
        """Deliver until cancelled; what waits then, waits in `state`."""
        await self._drop_orphans()
        async with asyncio.TaskGroup() as lanes:
            for name, lane in self._lanes.items():
                lanes.create_task(lane.run(), name=f"notify:{name}")
            if len(self._lanes) > 1:
                lanes.create_task(self._fallback.run(), name="notify fallback")

    async def close(self) -> None:
        """Let go of every connection; `run` must have ended."""
        for lane in self._lanes.values():
            await lane.channel.close()

    async def _drop_orphans(self) -> None:
        for name in self._state.queued.keys() - self._lanes.keys():
            orphans = self._state.waiting(name)
            for outgoing in orphans:
                await self._state.settle(outgoing)
            _log.warning("messages dropped", channel=name, messages=len(orphans), reason="no such channel any more")


@dataclass(slots=True)
class _Tried:
    """What became of the message at the head of one alarm's queue."""

    id: str
    attempts: int = 0
    last_s: float = 0.0
    refused_until_s: float = 0.0


class _Lane:
    """One channel's messages, with who has to wait until when (loop time)."""

    def __init__(self, name: str, channel: Channel, state: State, health: Health) -> None:
        self.name = name
        self.channel = channel
        self.trouble = ""
        self._state = state
        self._health = health
        self._woken = asyncio.Event()
        self._failures = 0
        self._again_s = 0.0
        """When messages that failed may be tried again."""
        self._fresh_s = 0.0
        """When messages that were never tried may be."""
        self._tried: dict[str, _Tried] = {}
        self._repeat_s = 0.0
        """When to say again what stands."""

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        while True:
            self._woken.clear()
            heads = self._heads()
            outgoing = self._choose(heads, _now_s())
            if outgoing is not None:
                await self._attempt(outgoing)
            elif isinstance(self.channel, ForgetfulChannel) and self._repeat_due_s <= _now_s():
                await self._repeat(self.channel, heads)
            else:
                await self._rest(self._next_s(heads.values()))

    @property
    def _repeat_due_s(self) -> float:
        return max(self._repeat_s, self._again_s)

    def _next_s(self, heads: Iterable[Outgoing]) -> float | None:
        dues = list(map(self._due_s, heads))
        if isinstance(self.channel, ForgetfulChannel):
            dues.append(self._repeat_due_s)
        return min(dues, default=None)

    def _heads(self) -> dict[str, Outgoing]:
        """Give the oldest message of each alarm: the others wait for it."""
        heads: dict[str, Outgoing] = {}
        for outgoing in self._state.waiting(self.name):
            heads.setdefault(outgoing.transition.key, outgoing)
        self._tried = {key: tried for key, tried in self._tried.items() if key in heads and heads[key].id == tried.id}
        return heads

    def _due_s(self, outgoing: Outgoing) -> float:
        tried = self._tried.get(outgoing.transition.key)
        return self._fresh_s if tried is None else max(self._again_s, tried.refused_until_s)

    def _choose(self, heads: dict[str, Outgoing], now_s: float) -> Outgoing | None:
        """Of those that may be tried now: what was never tried, the most severe first; else what failed longest ago."""
        due = [outgoing for outgoing in heads.values() if self._due_s(outgoing) <= now_s]
        return min(due, key=self._rank, default=None)

    def _rank(self, outgoing: Outgoing) -> tuple[float, int]:
        tried = self._tried.get(outgoing.transition.key)
        return (0.0 if tried is None else tried.last_s, _URGENCY[outgoing.transition.severity])

    async def _rest(self, until_s: float | None) -> None:
        try:
            async with asyncio.timeout_at(until_s):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _attempt(self, outgoing: Outgoing) -> None:
        try:
            await _in_time(self.channel.send(outgoing))
        except DeliveryError as error:
            await self._note_failure(outgoing, error)
        else:
            self._health.notifications[self.name] += 1
            self._reopen(len(self._state.waiting(self.name)) - 1)
            await self._state.settle(outgoing)

    async def _repeat(self, channel: ForgetfulChannel, heads: Container[str]) -> None:
        standing = [move for move in self._state.standing(self.name) if move.key not in heads]
        try:
            has_said = await _in_time(channel.again(standing))
        except DeliveryError as error:
            self._health.notification_failures[self.name] += 1
            self._close(error, _now_s())
        else:
            self._repeat_s = _now_s() + channel.again_every_s
            if has_said:
                self._reopen(len(self._state.waiting(self.name)))

    def _reopen(self, waiting: int) -> None:
        if self.trouble:
            _log.info("channel back", channel=self.name, waiting=waiting)
        self.trouble = ""
        self._failures = 0
        self._again_s = self._fresh_s = 0.0

    async def _note_failure(self, outgoing: Outgoing, error: DeliveryError) -> None:
        self._health.notification_failures[self.name] += 1
        key = outgoing.transition.key
        tried = self._tried.setdefault(key, _Tried(outgoing.id))
        tried.attempts += 1
        tried.last_s = _now_s()
        if error.permanent:
            tried.refused_until_s = tried.last_s + _backoff_s(tried.attempts, _REFUSED_WAIT_S)
        else:
            self._close(error, tried.last_s)
        if _is_too_old(outgoing, tried.attempts, refused=error.permanent):
            self._health.notifications_dead[self.name] += 1
            _log.error("message given up", channel=self.name, key=key, attempts=tried.attempts, reason=error.detail)
            await self._state.settle(outgoing)
        elif error.permanent and tried.attempts == 1:
            _log.error("message refused", channel=self.name, key=key, reason=error.detail)

    def _close(self, error: DeliveryError, now_s: float) -> None:
        wait_s = _backoff_s(self._failures, _LANE_WAIT_S)
        asked_s = min(max(error.retry_after_s or 0.0, 0.0), _RETRY_AFTER_MOST_S)
        self._failures += 1
        self._again_s = now_s + max(wait_s, asked_s)
        self._fresh_s = now_s + max(min(wait_s, _FRESH_WAIT_MOST_S), asked_s)
        if not self.trouble:
            _log.warning("channel lost", channel=self.name, reason=error.detail)
        self.trouble = error.detail


async def _in_time(attempt: Awaitable[_Answer]) -> _Answer:
    try:
        async with asyncio.timeout(_ATTEMPT_S):
            return await attempt
    except TimeoutError:
        raise DeliveryError(f"no answer within {_ATTEMPT_S:g} s") from None


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _is_too_old(outgoing: Outgoing, attempts: int, *, refused: bool) -> bool:
    age_s = (time.time_ns() - outgoing.created_ns) / 1e9
    return attempts >= _ATTEMPTS_LEAST and age_s > (_GIVE_UP_REFUSED_S if refused else _GIVE_UP_S)


def _backoff_s(
    failures: int, bounds_s: tuple[float, float], draw: Callable[[float, float], float] = random.uniform
) -> float:
    """Full jitter: any wait up to the bound, which doubles with each failure."""
    first_s, most_s = bounds_s
    return draw(0.0, min(most_s, first_s * 2.0 ** min(failures, 30)))

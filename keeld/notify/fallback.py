"""What a channel cannot deliver: after two minutes the next one is told as well, so that somebody hears of it.

Only critical messages are passed on: every channel that wants milder ones was told of them anyway, and nobody is to be
woken by one. A channel that delivers and has heard of the alarm at this severity will do; else the next one in the
configuration that delivers is told, after the last the first. What it was told of this way, it is told the end of.
Time is the loop's, counted from when this process first saw the message wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from keeld.alerts.rules import RANK
from keeld.model import Notice, Severity
from keeld.state import Outgoing, State

_log = structlog.get_logger()

_LOOK_S = 5.0
PATIENCE_S = 120.0


class Fallback:
    """Watches what waits for each of `channels`; `works` says whether a channel's last attempt succeeded."""

    def __init__(
        self, state: State, channels: Sequence[str], *, works: Callable[[str], bool], wake: Callable[[], None]
    ) -> None:
        self._state = state
        self._channels = channels
        self._works = works
        self._wake = wake
        self._since_s: dict[str, float] = {}
        """Message to the loop time at which it was first seen to wait."""
        self._settled: set[str] = set()
        """Messages that somebody else has been told of."""

    async def run(self) -> None:
        """Look every few seconds, for ever."""
        while True:
            await self.look(asyncio.get_running_loop().time())
            await asyncio.sleep(_LOOK_S)

    async def look(self, now_s: float) -> None:
        """Pass on what has waited for too long."""
        waiting = [message for channel in self._channels for message in self._state.waiting(channel)]
        ids = {message.id for message in waiting}
        self._since_s = {name: since_s for name, since_s in self._since_s.items() if name in ids}
        self._settled &= ids
        for message in waiting:
            since_s = self._since_s.setdefault(message.id, now_s)
            is_due = now_s - since_s >= PATIENCE_S and message.id not in self._settled
            if is_due and message.notice is not Notice.RESOLVE and message.transition.severity is Severity.CRITICAL:
                await self._pass_on(message)

    async def _pass_on(self, message: Outgoing) -> None:
        others = [name for name in self._after(message.channel) if self._works(name)]
        if not others:
            return
        self._settled.add(message.id)
        if any(self._has_heard(name, message) for name in others):
            return
        if await self._state.pass_on(message, others[0]):
            _log.warning("message passed on", key=message.transition.key, channel=message.channel, to=others[0])
            self._wake()

    def _after(self, channel: str) -> list[str]:
        place = self._channels.index(channel)
        return [*self._channels[place + 1 :], *self._channels[:place]]

    def _has_heard(self, channel: str, message: Outgoing) -> bool:
        heard = self._state.heard(channel, message.transition.key)
        return heard is not None and RANK[heard] >= RANK[message.transition.severity]

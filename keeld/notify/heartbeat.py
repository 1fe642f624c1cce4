"""The sign of life: posted again and again while every part of keeld moves, to somebody who is told when it stops.

It speaks as Healthchecks does (any 2xx answer to a POST is a receipt), so it fits that service, what is compatible with
it, and any web server on another host. A sign that cannot be delivered is not queued: the next one is as good. It is
sent at the start and when keeld moves again, so that a restart within the receiver's grace is not seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from keeld.errors import DeliveryError
from keeld.health import Health
from keeld.notify.post import Post, address
from keeld.settings import HeartbeatSettings

_log = structlog.get_logger()
_STILL_S = 5.0
"""While a part of keeld stands still, how soon to look again."""
NAME = "heartbeat"
"""Under which its successes and failures are counted, beside those of the channels."""


class Heartbeat:
    """Sends the sign of life; `stalled` names the parts that stand still, and while it names any nothing is sent."""

    def __init__(
        self,
        settings: HeartbeatSettings,
        health: Health,
        *,
        stalled: Callable[[], Sequence[str]],
        status: Callable[[], str],
    ) -> None:
        self.trouble = ""
        """Why the last sign could not be delivered; empty when it was."""
        self._settings = settings
        self._health = health
        self._stalled = stalled
        self._status = status
        self._post = Post()

    async def run(self) -> None:
        """Send until cancelled, at a steady pace however long a receiver takes to answer."""
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            if self._stalled():
                await asyncio.sleep(_STILL_S)
                due_s = loop.time()
                continue
            await self._send()
            due_s = max(due_s + self._settings.interval_s, loop.time())
            await asyncio.sleep(due_s - loop.time())

    async def close(self) -> None:
        """Close the connection."""
        await self._post.close()

    async def _send(self) -> None:
        try:
            await self._post.send(address(self._settings.url), self._status().encode(), {"Content-Type": "text/plain"})
        except DeliveryError as error:
            self._health.notification_failures[NAME] += 1
            if not self.trouble:
                _log.warning("heartbeat lost", reason=error.detail)
            self.trouble = error.detail
        else:
            self._health.notifications[NAME] += 1
            if self.trouble:
                _log.info("heartbeat back")
            self.trouble = ""

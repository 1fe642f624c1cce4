"""Hand every batch to every subscriber, each behind a buffer of its own with a bound and a named policy.

A subscriber that is slow loses its own oldest batches, which are counted under its name; it never holds up the poller
or another subscriber.
"""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Callable

from keeld.model import Batch


class Subscription:
    """One subscriber's buffer. Full policy: drop the oldest batch and count it in `dropped`.

    `wanted` selects before the buffer, so that a subscriber of few batches is not pushed out by many.
    """

    def __init__(self, name: str, limit: int, wanted: Callable[[Batch], bool] | None = None) -> None:
        self.name = name
        self.limit = limit
        self.dropped = 0
        self.wanted = wanted
        self._buffer: collections.deque[Batch] = collections.deque()
        self._filled = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        """Batches waiting."""
        return len(self._buffer)

    def offer(self, batch: Batch) -> None:
        """Take a batch, at the cost of the oldest one when the buffer is full."""
        if len(self._buffer) >= self.limit:
            self._buffer.popleft()
            self.dropped += 1
        self._buffer.append(batch)
        self._filled.set()

    def close(self) -> None:
        """No more batches will come; what waits can still be taken."""
        self._closed = True
        self._filled.set()

    async def take(self, most: int = 1000) -> list[Batch]:
        """Wait for batches and take up to `most` of them; an empty list means closed and drained."""
        while not self._buffer and not self._closed:
            self._filled.clear()
            await self._filled.wait()
        taken = [self._buffer.popleft() for _ in range(min(most, len(self._buffer)))]
        if not self._buffer and not self._closed:
            self._filled.clear()
        return taken


class Fanout:
    """One publisher, many subscribers."""

    def __init__(self) -> None:
        self.subscriptions: list[Subscription] = []

    def subscribe(self, name: str, limit: int, wanted: Callable[[Batch], bool] | None = None) -> Subscription:
        """Add a subscriber; it gets what is published from now on."""
        subscription = Subscription(name, limit, wanted)
        self.subscriptions.append(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Take a subscriber away, with whatever waited for it."""
        subscription.close()
        if subscription in self.subscriptions:
            self.subscriptions.remove(subscription)

    def publish(self, batch: Batch) -> None:
        """Offer a batch to every subscriber; never waits, never raises."""
        for subscription in self.subscriptions:
            if subscription.wanted is None or subscription.wanted(batch):
                subscription.offer(batch)

    def close(self) -> None:
        """Close every subscription, so that their readers drain and return."""
        for subscription in self.subscriptions:
            subscription.close()

"""One file for each kind of channel that reaches people; the file's name is the kind in the configuration.

Beside them: `outbox` brings every message to its channel, `post` is the HTTP that they share, `words` what they say.

A channel makes one attempt and raises DeliveryError. It keeps no queue, does not retry, sleep or log: `outbox` gives
every message its order, its attempts and its place in the log.
"""

from __future__ import annotations

import importlib
from typing import Protocol

from keeld.settings import ChannelSettings
from keeld.state import Outgoing

BUILT = ("webhook", "pagerduty")
"""The kinds that can send. The configuration knows more; `outbox` says so at the start instead of being silent."""


class Channel(Protocol):
    """What the outbox needs of a channel."""

    async def send(self, outgoing: Outgoing) -> None:
        """Deliver one message; raise DeliveryError, permanent where the receiver refuses this very message."""

    async def close(self) -> None:
        """Let go of connections; never raises."""


def open_channel(settings: ChannelSettings, site: str) -> Channel:
    """Make the channel of a kind in BUILT; touches no network."""
    channel: Channel = importlib.import_module(f"keeld.notify.{settings.kind}").open_channel(settings, site)
    return channel

"""One file for each kind of channel that reaches people; the file's name is the kind in the configuration.

Beside them: `outbox` brings every message to its channel, `post` is the HTTP that they share, `words` what they say.

A channel makes one attempt and raises DeliveryError. It keeps no queue, does not retry, sleep or log: `outbox` gives
every message its order, its attempts and its place in the log.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from keeld.model import Transition
from keeld.settings import ChannelSettings
from keeld.state import Outgoing

BUILT = ("webhook", "pagerduty", "alertmanager", "slack", "teams", "ntfy", "email", "mqtt", "apprise")
"""The kinds that can send. The configuration knows more; `outbox` says so at the start instead of being silent."""


class Channel(Protocol):
    """What the outbox needs of a channel."""

    async def send(self, outgoing: Outgoing) -> None:
        """Deliver one message; raise DeliveryError, permanent where the receiver refuses this very message."""

    async def close(self) -> None:
        """Let go of connections; never raises."""


@runtime_checkable
class ForgetfulChannel(Channel, Protocol):
    """A channel whose receiver forgets what it was told: it is told again, every `again_every_s`, what stands."""

    again_every_s: float

    async def again(self, standing: Sequence[Transition]) -> bool:
        """Repeat in one attempt what stands, and what this channel knows to have ended lately.

        Returns False where there was nothing to say; raises DeliveryError.
        """


def open_channel(settings: ChannelSettings, site: str) -> Channel:
    """Make the channel of a kind in BUILT; touches no network."""
    channel: Channel = importlib.import_module(f"keeld.notify.{settings.kind}").open_channel(settings, site)
    return channel

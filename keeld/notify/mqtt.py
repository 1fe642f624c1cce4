"""MQTT: one retained topic for each alarm that stands, cleared when it ends.

The topic is `TOPIC/SITE/RULE/ALERT-ID`, the message the webhook's object without `id`: `key` and `time` together are
the same for every attempt. Who subscribes later is given what stands. An end is published unretained, for who listens,
and then the topic is cleared, for who comes later. A broker may forget what it retained when it restarts: what stands
is published again every ten minutes.

Each attempt is a connection of its own; a receipt is the broker's acknowledgement (QoS 1). A broker that forbids the
topic by its access list acknowledges all the same: MQTT 3.1.1 has no word for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Sequence

import aiomqtt
import orjson
from yarl import URL

from keeld.errors import DeliveryError
from keeld.model import Notice, Transition
from keeld.notify import webhook
from keeld.notify.post import shown
from keeld.settings import ChannelSettings
from keeld.state import Outgoing
from keeld.text import clean

_TOTAL_S = 12.0
_STEP_S = 5.0
_PORTS = {"mqtt": 1883, "mqtts": 8883}
_AT_LEAST_ONCE = 1
_FOREIGN = re.compile(r"[^A-Za-z0-9._-]")
"""What no level of a topic may hold: `/`, `+`, `#` and whatever a subscriber could not type."""


def open_channel(settings: ChannelSettings, site: str) -> Mqtt:
    """Make the channel; each message opens a connection of its own."""
    return Mqtt(settings, site)


class Mqtt:
    """One broker; its address and login are those of the section `mqtt`."""

    again_every_s = 600.0

    def __init__(self, settings: ChannelSettings, site: str) -> None:
        self._settings = settings
        self._site = site

    async def send(self, outgoing: Outgoing) -> None:
        """Publish the message, retained while the alarm stands."""
        topic, body = self._topic(outgoing.transition), payload(outgoing, self._site)
        async with self._connected() as client:
            if outgoing.notice is not Notice.RESOLVE:
                await client.publish(topic, body, qos=_AT_LEAST_ONCE, retain=True)
                return
            await client.publish(topic, body, qos=_AT_LEAST_ONCE)
            await client.publish(topic, b"", qos=_AT_LEAST_ONCE, retain=True)

    async def again(self, standing: Sequence[Transition]) -> bool:
        """Publish everything that stands once more; return False where nothing does."""
        if not standing:
            return False
        async with self._connected() as client:
            for move in standing:
                told = Outgoing("", self._settings.name, move.notice or Notice.TRIGGER, move.time_ns, move)
                await client.publish(self._topic(move), payload(told, self._site), qos=_AT_LEAST_ONCE, retain=True)
        return True

    async def close(self) -> None:
        """Nothing stays open between two messages."""

    def _topic(self, move: Transition) -> str:
        levels = (_FOREIGN.sub("-", level) or "-" for level in (self._site, move.rule, move.alert_id))
        return "/".join((self._settings.options.get("topic", "keeld/alerts"), *levels))

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[aiomqtt.Client]:
        url = _broker(self._settings)
        try:
            async with asyncio.timeout(_TOTAL_S):
                client = self._client(url)
                try:
                    async with client:
                        yield client
                finally:
                    _let_go(client)
        except TimeoutError:
            raise DeliveryError(f"{shown(url)}: no answer within {_TOTAL_S:g} s") from None
        except (aiomqtt.MqttError, OSError, ValueError) as error:
            raise DeliveryError(f"{shown(url)}: {clean(str(error), 120) or type(error).__name__}") from None

    def _client(self, url: URL) -> aiomqtt.Client:
        password = self._settings.secrets.get("password")
        return aiomqtt.Client(
            url.host or "",
            url.explicit_port or _PORTS[url.scheme],
            username=self._settings.options.get("username") or None,
            password=password.reveal() if password else None,
            timeout=_STEP_S,
            tls_context=ssl.create_default_context() if url.scheme == "mqtts" else None,
        )


def payload(outgoing: Outgoing, site: str) -> bytes:
    """Give the message as the module's docstring documents it."""
    body = webhook.payload(outgoing, site)
    del body["id"]
    return orjson.dumps(body)


def _broker(settings: ChannelSettings) -> URL:
    url = URL(settings.url.reveal() if settings.url else "")
    if not url.host or url.scheme not in _PORTS:
        raise DeliveryError("its broker has no mqtt or mqtts address")
    return url


def _let_go(client: aiomqtt.Client) -> None:
    """Close the socket of a connection that failed half-way: the library leaves it open and watched by the loop."""
    client._client.disconnect()  # noqa: SLF001 - see above; harmless where nothing is open

"""Webhook: one JSON object by HTTP POST for every message.

    {"id": "0f…", "time": "2026-11-22T02:53:00.000Z", "site": "dal1", "key": "dal1:rack_density_power:rack:r08",
     "alert_id": "7f3a", "rule": "rack_density_power", "target": {"kind": "rack", "id": "r08"},
     "notice": "trigger", "severity": "critical", "state": {"from": "pending", "to": "firing"}, "ended": "",
     "since": "2026-11-22T02:47:00.000Z", "value": 33900.0, "lo": 33500.0, "hi": 34100.0, "limit": 30000.0,
     "unit": "W", "title": "…", "text": "…", "cause": "…"}

`notice` is trigger, escalate or resolve; a null number was not measured. `Idempotency-Key` repeats `id`, which is the
same for every attempt. Where a secret is configured, `Keeld-Signature: sha256=HEX` is the HMAC-SHA256 of the value of
`Keeld-Timestamp` (seconds since 1970), a full stop and the body; a configured token goes as a bearer token. Any 2xx
answer is a receipt; redirects are refused.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Any

import orjson

from keeld.notify.post import Post, address, bearer
from keeld.settings import ChannelSettings
from keeld.state import Outgoing
from keeld.text import rfc3339


def open_channel(settings: ChannelSettings, site: str) -> Webhook:
    """Make the channel; the first message opens its connection."""
    return Webhook(settings, site)


class Webhook:
    """One receiver."""

    def __init__(self, settings: ChannelSettings, site: str) -> None:
        self._settings = settings
        self._site = site
        self._post = Post(guards=settings.options.get("allow_link_local") != "true")

    async def send(self, outgoing: Outgoing) -> None:
        """Post the message once."""
        body = orjson.dumps(payload(outgoing, self._site))
        await self._post.send(address(self._settings.url), body, self._headers(outgoing, body))

    async def close(self) -> None:
        """Close the connection."""
        await self._post.close()

    def _headers(self, outgoing: Outgoing, body: bytes) -> dict[str, str]:
        headers = {"Idempotency-Key": outgoing.id} | bearer(self._settings.secrets.get("token"))
        secret = self._settings.secrets.get("secret")
        if secret:
            stamp = str(int(time.time()))
            headers["Keeld-Timestamp"] = stamp
            headers["Keeld-Signature"] = signature(secret.reveal(), stamp, body)
        return headers


def payload(outgoing: Outgoing, site: str) -> dict[str, Any]:
    """Give the message as the module's docstring documents it."""
    move = outgoing.transition
    return {
        "id": outgoing.id,
        "time": rfc3339(move.time_ns),
        "site": site,
        "key": move.key,
        "alert_id": move.alert_id,
        "rule": move.rule,
        "target": {"kind": move.target_kind, "id": move.target_id},
        "notice": outgoing.notice,
        "severity": move.severity,
        "state": {"from": move.before, "to": move.after},
        "ended": move.ended,
        "since": rfc3339(move.since_ns) if move.since_ns else None,
        "value": move.best,
        "lo": move.lo,
        "hi": move.hi,
        "limit": move.limit,
        "unit": move.unit,
        "title": move.title,
        "text": move.text,
        "cause": move.cause,
    }


def signature(secret: str, stamp: str, body: bytes) -> str:
    """Sign the time and the body, so that a caught message cannot be sent again later."""
    return "sha256=" + hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()

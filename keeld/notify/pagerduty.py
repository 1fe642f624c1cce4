"""PagerDuty, Events API v2: a trigger for every rise, a resolve for the end, all under one dedup key.

The key is `keeld:` and the alarm's key, or the SHA-256 of it where it would pass 255 bytes; it does not hold the
severity, so an escalation raises the incident that is open instead of opening another.
"""

from __future__ import annotations

import hashlib
from typing import Any

from yarl import URL

from keeld.credentials import Secret
from keeld.errors import DeliveryError
from keeld.model import Notice, Severity
from keeld.notify import words
from keeld.notify.post import Post, address
from keeld.settings import ChannelSettings
from keeld.state import Outgoing
from keeld.text import rfc3339

_URL = "https://events.pagerduty.com/v2/enqueue"
_PATH = "/v2/enqueue"
_KEY_MOST = 255
_SUMMARY_MOST = 1024
_TEXT_MOST = 8000
_LEVELS = {Severity.CRITICAL: "critical", Severity.WARNING: "warning", Severity.INFO: "info"}


def open_channel(settings: ChannelSettings, site: str) -> PagerDuty:
    """Make the channel; the first message opens its connection."""
    return PagerDuty(settings, site)


class PagerDuty:
    """One service's integration, named by its routing key."""

    def __init__(self, settings: ChannelSettings, site: str) -> None:
        self._url = settings.url or Secret(_URL)
        self._routing_key = settings.secrets.get("routing_key")
        self._site = site
        self._post = Post()

    async def send(self, outgoing: Outgoing) -> None:
        """Enqueue one event."""
        key = self._routing_key.reveal() if self._routing_key else ""
        if not key:
            raise DeliveryError("it has no routing key")
        body = {"routing_key": key} | event(outgoing, self._site)
        await self._post.send(_endpoint(address(self._url)), body, hidden=(key,))

    async def close(self) -> None:
        """Close the connection."""
        await self._post.close()


def event(outgoing: Outgoing, site: str) -> dict[str, Any]:
    """Give the event without its routing key."""
    if outgoing.notice is Notice.RESOLVE:
        return {"event_action": "resolve", "dedup_key": dedup_key(outgoing)}
    if outgoing.notice is Notice.ACKNOWLEDGE:
        return {"event_action": "acknowledge", "dedup_key": dedup_key(outgoing)}
    links = words.links(outgoing.transition)
    page = {"client_url": links["Page"]} if "Page" in links else {}
    return {
        "event_action": "trigger",
        "dedup_key": dedup_key(outgoing),
        "client": "keeld",
        **page,
        "links": [{"href": link, "text": name} for name, link in links.items()],
        "payload": _payload(outgoing, site),
    }


def dedup_key(outgoing: Outgoing) -> str:
    """Name the incident: the same from the first trigger to the resolve, over restarts too."""
    key = f"keeld:{outgoing.transition.key}"
    raw = key.encode()
    return key if len(raw) <= _KEY_MOST else f"keeld:{hashlib.sha256(raw).hexdigest()}"


def _payload(outgoing: Outgoing, site: str) -> dict[str, Any]:
    move = outgoing.transition
    return {
        "summary": words.cut(words.title(move), _SUMMARY_MOST),
        "source": f"{site} {move.target_kind} {move.target_id}",
        "severity": _LEVELS[move.severity],
        "timestamp": rfc3339(move.time_ns),
        "component": f"{move.target_kind} {move.target_id}",
        "group": site,
        "class": move.rule,
        "custom_details": {
            "text": words.cut(move.text, _TEXT_MOST),
            "cause": words.cut(move.cause, _SUMMARY_MOST),
            "follows_from_it": list(move.children),
            "follows_from_it_count": move.child_count,
            "value": move.best,
            "lo": move.lo,
            "hi": move.hi,
            "limit": move.limit,
            "unit": move.unit,
            "since": rfc3339(move.since_ns) if move.since_ns else None,
            "alert_id": move.alert_id,
            "message_id": outgoing.id,
        },
    }


def _endpoint(url: URL) -> URL:
    """Let a host alone stand for its events API, as for the region https://events.eu.pagerduty.com."""
    return url.with_path(_PATH) if url.path in ("", "/") else url

"""ntfy: a notification on a topic, published as JSON at the server's root, so that any text fits.

A critical alarm has the priority that breaks through a phone's silence; nothing else has.
"""

from __future__ import annotations

from typing import Any

from keeld.errors import DeliveryError
from keeld.model import Notice, Severity
from keeld.notify import words
from keeld.notify.post import Post, address, bearer
from keeld.settings import ChannelSettings
from keeld.state import Outgoing

_MESSAGE_MOST_BYTES = 4000
"""Above 4,096 the server makes a file of the message."""
_PRIORITIES = {Severity.CRITICAL: 5, Severity.WARNING: 4, Severity.INFO: 2}
_END_PRIORITY = 3
_TAGS = {Severity.CRITICAL: "rotating_light", Severity.WARNING: "warning", Severity.INFO: "information_source"}


def open_channel(settings: ChannelSettings, site: str) -> Ntfy:
    """Make the channel; the first message opens its connection."""
    return Ntfy(settings, site)


class Ntfy:
    """One topic; where it is secret, it stands in a file, as does a token."""

    def __init__(self, settings: ChannelSettings, site: str) -> None:
        self._settings = settings
        self._site = site
        self._post = Post()

    async def send(self, outgoing: Outgoing) -> None:
        """Publish the message once."""
        secret = self._settings.secrets.get("topic")
        topic = secret.reveal() if secret else self._settings.options.get("topic", "")
        if not topic:
            raise DeliveryError("it has no topic")
        body = {"topic": topic} | payload(outgoing, self._site)
        login = bearer(self._settings.secrets.get("token"))
        await self._post.send(address(self._settings.url), body, login, hidden=(topic,) if secret else ())

    async def close(self) -> None:
        """Close the connection."""
        await self._post.close()


def payload(outgoing: Outgoing, site: str) -> dict[str, Any]:
    """Give the notification without its topic."""
    links = words.links(outgoing.transition)
    opens = links.get("Page") or links.get("Runbook")
    actions = [{"action": "view", "label": name, "url": link} for name, link in links.items()]
    text = words.facts(outgoing, _MESSAGE_MOST_BYTES)
    return {
        "title": words.headline(outgoing),
        "message": words.cut_bytes(text, _MESSAGE_MOST_BYTES),
        "priority": _priority(outgoing),
        "tags": [_tag(outgoing), site, outgoing.transition.rule],
    } | ({"click": opens, "actions": actions} if opens else {})


def _priority(outgoing: Outgoing) -> int:
    return _END_PRIORITY if outgoing.notice is Notice.RESOLVE else _PRIORITIES[outgoing.transition.severity]


def _tag(outgoing: Outgoing) -> str:
    """Give the symbol before the title; only a proven end has the tick."""
    if words.is_all_clear(outgoing):
        return "white_check_mark"
    return "grey_question" if outgoing.notice is Notice.RESOLVE else _TAGS[outgoing.transition.severity]

"""Slack, incoming webhook: the headline as text for the notification, and blocks for who opens it.

The blocks are plain text, which Slack shows as it is. What is markup is escaped as Slack asks (`&`, `<` and `>`), so
that no name on a rack can mention a channel or hide a link.
"""

from __future__ import annotations

from typing import Any

from keeld.notify import words
from keeld.notify.post import Post, address
from keeld.settings import ChannelSettings
from keeld.state import Outgoing

_HEADER_MOST = 150
_SECTION_MOST = 2900
"""Below the 3,000 that a section may hold."""
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def open_channel(settings: ChannelSettings, site: str) -> Slack:
    """Make the channel; the first message opens its connection."""
    del site  # the text names it
    return Slack(settings)


class Slack:
    """One channel of a workspace; its URL is its key."""

    def __init__(self, settings: ChannelSettings) -> None:
        self._url = settings.url
        self._post = Post()

    async def send(self, outgoing: Outgoing) -> None:
        """Post the message once."""
        await self._post.send(address(self._url), payload(outgoing))

    async def close(self) -> None:
        """Close the connection."""
        await self._post.close()


def payload(outgoing: Outgoing) -> dict[str, Any]:
    """Give the message as Slack takes it."""
    headline = words.headline(outgoing)
    blocks = [
        {"type": "header", "text": _plain(words.cut(headline, _HEADER_MOST))},
        {"type": "section", "text": _plain(words.facts(outgoing, _SECTION_MOST))},
    ]
    links = [f"<{escape(link)}|{name}>" for name, link in words.links(outgoing.transition).items()]
    if links:
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": " · ".join(links)}})
    return {"text": escape(headline), "blocks": blocks, "unfurl_links": False}


def escape(text: str) -> str:
    """Take Slack's control characters out of a text."""
    return text.translate(_ESCAPES)


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}

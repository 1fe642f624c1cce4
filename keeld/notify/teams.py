"""Microsoft Teams, Workflows webhook: an adaptive card.

The texts are runs of a RichTextBlock, which Teams shows as they are; a TextBlock would read them as Markdown. The whole
card stays under the 28 KB that Teams takes.
"""

from __future__ import annotations

from typing import Any

from keeld.model import Severity
from keeld.notify import words
from keeld.notify.post import Post, address
from keeld.settings import ChannelSettings
from keeld.state import Outgoing

_TEXT_MOST_BYTES = 6000
_LINES_MOST = 40
_COLOURS = {Severity.CRITICAL: "attention", Severity.WARNING: "warning", Severity.INFO: "accent"}


def open_channel(settings: ChannelSettings, site: str) -> Teams:
    """Make the channel; the first message opens its connection."""
    del site  # the text names it
    return Teams(settings)


class Teams:
    """One workflow; its URL is its key."""

    def __init__(self, settings: ChannelSettings) -> None:
        self._url = settings.url
        self._post = Post()

    async def send(self, outgoing: Outgoing) -> None:
        """Post the card once."""
        await self._post.send(address(self._url), payload(outgoing))

    async def close(self) -> None:
        """Close the connection."""
        await self._post.close()


def payload(outgoing: Outgoing) -> dict[str, Any]:
    """Give the message that carries the card."""
    return {
        "type": "message",
        "summary": words.headline(outgoing),
        "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": _card(outgoing)}],
    }


def _card(outgoing: Outgoing) -> dict[str, Any]:
    headline = words.headline(outgoing)
    text = words.cut_bytes(words.facts(outgoing, _TEXT_MOST_BYTES), _TEXT_MOST_BYTES)
    lines = text.split("\n", _LINES_MOST)[:_LINES_MOST]
    return {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": headline,
        "msteams": {"width": "Full"},
        "body": [
            _line(headline, size="large", weight="bolder", color=_colour(outgoing)),
            *(_line(line) for line in lines if line),
        ],
        "actions": [
            {"type": "Action.OpenUrl", "title": name, "url": link}
            for name, link in words.links(outgoing.transition).items()
        ],
    }


def _line(text: str, **style: str) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text} | style]}


def _colour(outgoing: Outgoing) -> str:
    """Green for a proven end alone: an end for want of evidence keeps the colour of what it ends."""
    return "good" if words.is_all_clear(outgoing) else _COLOURS[outgoing.transition.severity]

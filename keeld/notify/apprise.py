"""Apprise: the services that keeld has no channel of its own for, through the library of that name.

It is an extra (`pip install "keeld[apprise]"`) and imported with the first message; without it the channel fails, and
says so. The library tells only whether a message went out, so a failure has no more of a reason than that.
"""

from __future__ import annotations

from keeld.errors import DeliveryError
from keeld.model import Notice, Severity
from keeld.notify import words
from keeld.settings import ChannelSettings
from keeld.state import Outgoing

_TEXT_MOST = 4000
_KINDS = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "failure"}


def open_channel(settings: ChannelSettings, site: str) -> Apprise:
    """Make the channel; the first message loads the library."""
    del site  # the text names it
    return Apprise(settings)


class Apprise:
    """One service; its URL is its key, and stands in a file."""

    def __init__(self, settings: ChannelSettings) -> None:
        self._settings = settings

    async def send(self, outgoing: Outgoing) -> None:
        """Hand the message to the library once."""
        try:
            import apprise
        except ImportError:
            raise DeliveryError('apprise is not installed: pip install "keeld[apprise]"') from None
        service = apprise.Apprise()
        if not service.add(self._settings.url.reveal() if self._settings.url else ""):
            raise DeliveryError("its url is none that apprise knows")
        text = words.facts(outgoing, _TEXT_MOST)
        if not await service.async_notify(
            body=text, title=words.headline(outgoing), notify_type=_kind(outgoing), body_format="text"
        ):
            raise DeliveryError("apprise could not deliver it")

    async def close(self) -> None:
        """Nothing stays open between two messages."""


def _kind(outgoing: Outgoing) -> str:
    """Give the library's word for how bad it is; only a proven end is a success."""
    if words.is_all_clear(outgoing):
        return "success"
    return "info" if outgoing.notice is Notice.RESOLVE else _KINDS[outgoing.transition.severity]

"""Links carry bytes to and from devices and translate every library's errors into PollError.

A link connects on first use and again by itself after a failure: opening one never raises and never touches the
network. One task owns a link, so a request is never sent while another is under way. Links send reads only.
"""

from __future__ import annotations

from typing import Protocol


class Link(Protocol):
    """What the poller needs of a link; each kind of link adds its own way to read."""

    async def close(self) -> None:
        """Let go of the connection; never raises."""

"""Which channels hear of a move, and in which word."""

from __future__ import annotations

from collections.abc import Container, Iterable

from keeld.model import Notice, Transition
from keeld.settings import ChannelSettings


def route(
    move: Transition, channels: Iterable[ChannelSettings], told: Container[tuple[str, str]]
) -> list[tuple[str, Notice]]:
    """Give (channel, word) for every channel to tell.

    A channel hears of a rise when it wants that severity. It hears of the end when, and only when, it heard of the
    alarm (`told` holds (channel, key)), whatever severity the end carries: what was opened is always closed.
    """
    if move.notice is None:
        return []
    if move.notice is Notice.RESOLVE:
        return [(channel.name, Notice.RESOLVE) for channel in channels if (channel.name, move.key) in told]
    return [
        (channel.name, move.notice if (channel.name, move.key) in told else Notice.TRIGGER)
        for channel in channels
        if move.severity in channel.severities
    ]

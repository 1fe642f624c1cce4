"""Which channels hear of a move, and in which word."""

from __future__ import annotations

from collections.abc import Container, Sequence

from keeld.model import Notice, Transition
from keeld.settings import ChannelSettings

ACKNOWLEDGING = frozenset({"pagerduty", "webhook"})
"""Kinds that are told that somebody has an alarm in hand: a pager that stops calling, and programs."""


def route(
    move: Transition, channels: Sequence[ChannelSettings], told: Container[tuple[str, str]]
) -> list[tuple[str, Notice]]:
    """Give (channel, word) for every channel to tell.

    A channel hears of a rise when it wants that severity. It hears of the end when, and only when, it heard of the
    alarm (`told` holds (channel, key)), whatever severity the end carries: what was opened is closed. A rule with
    a route is heard by that channel alone, at any severity; a route that no channel has any more counts for nothing.
    """
    if move.notice is None:
        return []
    if move.notice is Notice.ACKNOWLEDGE:
        heard = (channel for channel in channels if (channel.name, move.key) in told)
        return [(channel.name, Notice.ACKNOWLEDGE) for channel in heard if channel.kind in ACKNOWLEDGING]
    if move.notice is Notice.RESOLVE:
        return [(channel.name, Notice.RESOLVE) for channel in channels if (channel.name, move.key) in told]
    wanting = [channel for channel in channels if channel.name == move.route]
    return [
        (channel.name, move.notice if (channel.name, move.key) in told else Notice.TRIGGER)
        for channel in wanting or channels
        if wanting or move.severity in channel.severities
    ]

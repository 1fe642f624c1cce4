"""Why a row of miners has stopped, from what its machines say and what its meters show.

The meter decides: what fell to nothing lost its power; what draws as before is only out of sight, which is the network;
what idles has power and network and nothing to work on, which is the pool, the name server or the firmware. Machines
that answer and do not hash say the last themselves.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import NamedTuple


class Verdict(enum.StrEnum):
    """What a stopped row has lost."""

    POWER = "power"
    NETWORK = "network"
    POOL = "pool"
    UNKNOWN = "unknown"


_GONE_RATIO = 0.98
"""An idle machine still draws three or four hundredths of its load; what is below has no power."""
_STEADY_RATIO = 0.3


class Loss(NamedTuple):
    """What is known of a row that has stopped."""

    share: float
    """Of its usual machines, how many do not work now."""
    silent: int
    idle: int
    """Machines that answer and do not hash."""
    before_watts: float | None
    """What the row's meters showed while it worked; None where nothing measures it."""
    now_watts: float | None
    """What they show now; None where they are silent or there are none."""
    meters_fell_silent: bool = False
    """Whether its meters stopped answering with it, while others on the network answer."""

    @property
    def fall_ratio(self) -> float | None:
        """Share of what the stopped machines drew that is gone from the meters."""
        if self.before_watts is None or self.now_watts is None or self.before_watts <= 0.0 or self.share <= 0.0:
            return None
        return (self.before_watts - self.now_watts) / (self.before_watts * min(1.0, self.share))


def verdict(loss: Loss) -> Verdict:
    """Say what a row has lost."""
    if loss.idle > loss.silent:
        return Verdict.POOL
    fall = loss.fall_ratio
    if fall is not None:
        if fall >= _GONE_RATIO:
            return Verdict.POWER
        return Verdict.POOL if fall >= _STEADY_RATIO else Verdict.NETWORK
    return Verdict.POWER if loss.meters_fell_silent else Verdict.UNKNOWN


class Words(NamedTuple):
    """What is said of a verdict: the title, its cause in full, and what to do."""

    title: str
    cause: str
    advice: str


WORDS = {
    Verdict.POWER: Words(
        "has stopped: power lost",
        "its power: the meter fell with the machines",
        "Check the row's breaker and what is above it; bring the machines back in groups, they all start at once.",
    ),
    Verdict.NETWORK: Words(
        "is out of sight: network lost",
        "the network: the meter is steady, so the machines run on, unseen",
        "Check the row's switch and its uplink; nothing is lost yet, and nothing here is being watched.",
    ),
    Verdict.POOL: Words(
        "has stopped: pool, DNS or firmware",
        "the pool, the name server or a firmware: the machines have power and do not hash",
        "Check the pool's status page, the name server and the way to the internet; then what was rolled out last.",
    ),
    Verdict.UNKNOWN: Words(
        "has stopped: power or network",
        "its power or the network: no meter that answers tells which",
        "Look whether the machines run: check the row's breaker, then its switch.",
    ),
}

_NAME_MOST = 24
_SEVERAL = {"has": "have", "is": "are"}


def title(why: Verdict, others: Sequence[str]) -> str:
    """Say what a row has lost, and which others with it: one by its name, more by their number."""
    words = WORDS[why].title
    if not others:
        return words
    verb, _, rest = words.partition(" ")
    is_named = len(others) == 1 and len(others[0]) <= _NAME_MOST
    named = others[0] if is_named else f"{len(others)} other row{'s' if len(others) > 1 else ''}"
    return f"and {named} {_SEVERAL[verb]} {rest}"

"""The values in which keeld says what would become of the site after a failure. Frozen; numbers are SI."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from keeld.model import Interval


class Survival(enum.StrEnum):
    """What becomes of a breaker or source that takes over a load."""

    OK = "OK"
    SURVIVABLE = "SURVIVABLE"
    """It holds, but what it carries may be more than it may carry for three hours."""
    WILL_TRIP = "WILL TRIP"
    CANT_TELL = "CAN'T TELL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Survivor:
    """One limit of one power node, judged on what it would carry after a failure."""

    node: str
    label: str
    constraint: str
    """current/L2, current, power or apparent_power."""
    unit: str
    limit: float
    derate: float
    """Share of the limit that may be carried for three hours or more."""
    base: str
    """What a percentage of the limit is a percentage of, in words."""
    value: Interval
    survival: Survival
    why: str = ""
    """For CAN'T TELL: what is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailoverCase:
    """What would happen if one feed of a rack, or one power node, died now; on 5-minute means."""

    target_kind: str
    """feed or power_node."""
    target_id: str
    """`rack/letter` of a feed, or the node's id."""
    label: str
    racks: tuple[str, ...]
    survival: Survival | None
    """The worst of its survivors; None where nothing that has a limit takes anything over."""
    survivors: tuple[Survivor, ...]
    """Worst first."""
    dead: Interval
    """What dies with it, in W."""
    dead_devices: tuple[str, ...]
    degraded_devices: tuple[str, ...]
    """Left with fewer power supplies than they need for full power."""
    text: str
    """All of it in a sentence or three."""
    peak_ratio: float | None = None
    """Highest load of the last 24 h over what may be carried for hours, had it died then; None where none was seen."""

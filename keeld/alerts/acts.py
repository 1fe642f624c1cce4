"""What people do about alarms, as values: who, to which alarms, why and until when. Times are wall clock, in ns."""

from __future__ import annotations

from dataclasses import dataclass

from keeld.alerts.selector import Selector
from keeld.errors import KeeldError

HOUR_NS = 3600 * 1_000_000_000
SHELF_MOST_NS = 24 * HOUR_NS
WORK_MOST_NS = 14 * 24 * HOUR_NS


class RefusedError(KeeldError):
    """An act that cannot be done: what is wrong with it, and what to do instead."""

    def __init__(self, wrong: str, remedy: str = "") -> None:
        super().__init__(f"{wrong}; {remedy}" if remedy else wrong)
        self.wrong = wrong
        self.remedy = remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledge:
    """Somebody has an alarm in hand: it stays as it is, and its pager stops calling. `alert` is its id or key."""

    alert: str
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelve:
    """Keep alarms quiet for a while, at most 24 h: they are judged, stored and shown. Either `alert` or `selector`."""

    owner: str
    reason: str
    until_ns: int
    alert: str = ""
    selector: Selector | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unshelve:
    """Take alarms off the shelf before its time. `shelf` is its id."""

    shelf: str
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintain:
    """Announce work on a node, feed, cooling unit, switch, device, rack, row or tenant.

    With `every_days` it comes again at the same local time of the site, whatever the clocks do there.
    """

    target: Selector
    owner: str
    reason: str
    begins_ns: int
    ends_ns: int
    every_days: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EndMaintenance:
    """Say that work is over, or will not take place; of repeated work this time only, unless `for_good`."""

    work: str
    owner: str
    for_good: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """End an alarm by hand: what is latched and over, or cannot be proven. It comes back if it still holds."""

    alert: str
    owner: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GoLive:
    """End the time in which new alarms are only observed."""

    selector: Selector
    owner: str


Act = Acknowledge | Shelve | Unshelve | Maintain | EndMaintenance | Close | GoLive


@dataclass(frozen=True, slots=True)
class Done:
    """What an act came to: a sentence for people, and the id of what it left standing, if anything."""

    words: str
    id: str = ""

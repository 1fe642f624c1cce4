"""Announced work: when it takes place, and what it takes out of service meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from keeld.alerts.selector import Selector
from keeld.model import Severity

OVERRUN_NS = 1800 * 1_000_000_000
"""How long work that is not over in time stays quiet, beside the warning that says so."""
NEVER_MUTED = frozenset({"breaker_overload", "breaker_severe", "leak"})
"""Rules 1, 2 and 23. Rule 17 joins them where it is critical."""
EXPECTED_OF_DEGRADED = frozenset({"redundancy_lost_load", "redundancy_peak", "psu_survivability"})
"""What says of a rack that has lost one of its paths only that it has lost it."""
_SECOND_NS = 1_000_000_000
_DAY_NS = 86_400 * _SECOND_NS


@dataclass(frozen=True, slots=True)
class Reach:
    """What work takes out of service (`power_node:ups-a`, `feed:r07/a`), and the racks that lose one of their paths."""

    scopes: frozenset[str] = frozenset()
    degraded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Work as it was announced. `begins_ns` and `ends_ns` are of its first time."""

    id: str
    target: Selector
    owner: str
    reason: str
    begins_ns: int
    ends_ns: int
    every_days: int = 0
    ended_ns: int = 0
    """When it was last said to be over; a time that began before is."""

    def time_at(self, wall_ns: int, timezone: str) -> tuple[int, int] | None:
        """Give begin and end of the time that goes on now, an overrun included, or comes next; None after the last."""
        for number in self._numbers(wall_ns):
            begins_ns, ends_ns = self._nth(number, timezone)
            if ends_ns + OVERRUN_NS > wall_ns and self.ended_ns < begins_ns:
                return begins_ns, ends_ns
        return None

    def _numbers(self, wall_ns: int) -> range:
        if not self.every_days:
            return range(1)
        near = max(0, (wall_ns - self.begins_ns) // (self.every_days * _DAY_NS) - 1)
        return range(near, near + 5)

    def _nth(self, number: int, timezone: str) -> tuple[int, int]:
        """Shift by days of the site's calendar: two in the morning stays two in the morning over a change of clocks."""
        length_ns = self.ends_ns - self.begins_ns
        if not number:
            return self.begins_ns, self.ends_ns
        zone = ZoneInfo(timezone)
        seconds, rest_ns = divmod(self.begins_ns, _SECOND_NS)
        local = datetime.fromtimestamp(seconds, UTC).astimezone(zone).replace(tzinfo=None)
        shifted = (local + timedelta(days=number * self.every_days)).replace(tzinfo=zone)
        begins_ns = int(shifted.timestamp()) * _SECOND_NS + rest_ns
        return begins_ns, begins_ns + length_ns


def mutes(reach: Reach, rule: str, severity: Severity, scopes: frozenset[str]) -> bool:
    """Whether work with this reach explains an alarm: it is about what is out of service, or about its absence."""
    if rule in NEVER_MUTED or (rule == "inlet_high" and severity is Severity.CRITICAL):
        return False
    if reach.scopes & scopes:
        return True
    return rule in EXPECTED_OF_DEGRADED and bool(reach.degraded & scopes)

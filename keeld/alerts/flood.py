"""Too much at once: a flood of notifications on one route, and one alarm that comes and goes.

Figures of ISA-18.2 practice: a flood begins above ten notifications in ten minutes and ends below five; an alarm
chatters when it was activated three times within a minute.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from keeld.model import Moment, Severity

_SECOND_NS = 1_000_000_000
FLOOD_SPAN_NS = 600 * _SECOND_NS
FLOOD_BEGINS_ABOVE, FLOOD_ENDS_BELOW = 10, 5
CHATTER_SPAN_NS = 60 * _SECOND_NS
CHATTER_ACTIVATIONS = 3
CHATTER_HOLD_S = 300.0
"""An alarm that chatters is over when it has been quiet for so long."""
_TIMES_KEPT = 500
_MOST_WATCHED = 5000


class Flood:
    """Notifications of one route. While it is on, only what is critical goes out by itself."""

    __slots__ = ("_ahead_ns", "_times", "count", "first", "is_on")

    def __init__(self) -> None:
        self._times: deque[int] = deque(maxlen=_TIMES_KEPT)
        self._ahead_ns = 0
        """How far the wall clock was ahead of monotonic time at the last notification."""
        self.is_on = False
        self.first = ""
        """Title of what came first."""
        self.count = 0
        """Notifications held in this flood."""

    def recent(self, mono_ns: int) -> int:
        """Count the notifications of the last ten minutes, held ones included."""
        while self._times and mono_ns - self._times[0] > FLOOD_SPAN_NS:
            self._times.popleft()
        return len(self._times)

    def take(self, title: str, severity: Severity, now: Moment) -> bool:
        """Count a notification; True when it has to wait for the digest."""
        mono_ns, self._ahead_ns = now.mono_ns, now.wall_ns - now.mono_ns
        if not self.recent(mono_ns) and not self.is_on:
            self.first = title
        self._times.append(mono_ns)
        if not self.is_on and self.recent(mono_ns) > FLOOD_BEGINS_ABOVE:
            self.is_on, self.count = True, 0
        if not self.is_on or severity is Severity.CRITICAL:
            return False
        self.count += 1
        return True

    def settle(self, mono_ns: int) -> None:
        """End the flood once few enough came lately."""
        if self.is_on and self.recent(mono_ns) < FLOOD_ENDS_BELOW:
            self.is_on = False

    def dump(self) -> dict[str, object]:
        """Give what must survive a restart, with times of the wall clock."""
        times = [time_ns + self._ahead_ns for time_ns in self._times]
        return {"times": times, "is_on": self.is_on, "count": self.count, "first": self.first}

    @classmethod
    def load(cls, form: Mapping[str, Any], now: Moment) -> Flood:
        """Take back what `dump` gave; raises ValueError, TypeError or KeyError for anything else."""
        flood = cls()
        flood._ahead_ns = now.wall_ns - now.mono_ns
        times = form["times"]
        flood._times.extend(sorted(min(int(time_ns) - flood._ahead_ns, now.mono_ns) for time_ns in times))
        flood.is_on, flood.count, flood.first = bool(form["is_on"]), int(form["count"]), str(form["first"])
        return flood


def dump_floods(floods: Mapping[str, Flood]) -> Mapping[str, bytes]:
    """Give the floods by route as notes."""
    return {"routes": json.dumps({route: flood.dump() for route, flood in floods.items()}).encode()} if floods else {}


def load_floods(notes: Mapping[str, bytes], now: Moment) -> dict[str, Flood]:
    """Take back what `dump_floods` gave; nothing of what cannot be read."""
    try:
        forms = json.loads(notes.get("routes", b"{}"))
        return {str(route): Flood.load(form, now) for route, form in forms.items()}
    except (ValueError, TypeError, AttributeError, KeyError):
        return {}


class Chatter:
    """When alarms were last activated, for a minute."""

    def __init__(self) -> None:
        self._times: dict[str, tuple[int, ...]] = {}

    def note(self, key: str, mono_ns: int) -> bool:
        """Note that an alarm was activated; True when that makes it chatter."""
        if len(self._times) > _MOST_WATCHED:
            self._times = dict(self._recent(mono_ns))
        kept = tuple(time_ns for time_ns in self._times.pop(key, ()) if mono_ns - time_ns <= CHATTER_SPAN_NS)
        times = self._times[key] = (*kept, mono_ns)[-CHATTER_ACTIVATIONS:]
        return len(times) >= CHATTER_ACTIVATIONS

    def _recent(self, mono_ns: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        for key, times in self._times.items():
            if mono_ns - times[-1] <= CHATTER_SPAN_NS:
                yield key, times

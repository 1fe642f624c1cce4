"""Too much at once: a flood of notifications on one route, and one alarm that comes and goes.

Figures of ISA-18.2 practice: a flood begins above ten notifications in ten minutes and ends below five; an alarm
chatters when it was activated three times within a minute.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from keeld.model import Severity

_SECOND_NS = 1_000_000_000
FLOOD_SPAN_NS = 600 * _SECOND_NS
FLOOD_BEGINS_ABOVE, FLOOD_ENDS_BELOW = 10, 5
CHATTER_SPAN_NS = 60 * _SECOND_NS
CHATTER_ACTIVATIONS = 3
CHATTER_HOLD_S = 300.0
"""An alarm that chatters is over when it has been quiet for so long."""
_MOST_LISTED = 500
_MOST_WATCHED = 5000


class Flood:
    """Notifications of one route. While it is on, only what is critical goes out by itself."""

    __slots__ = ("_times", "began_ns", "count", "first", "is_on", "listed")

    def __init__(self) -> None:
        self._times: deque[int] = deque(maxlen=FLOOD_BEGINS_ABOVE + _MOST_LISTED)
        self.is_on = False
        self.began_ns = 0
        self.first = ""
        """Title of what came first."""
        self.count = 0
        """Notifications held in this flood."""
        self.listed: deque[tuple[str, str]] = deque(maxlen=_MOST_LISTED)
        """Key and title of what was held, oldest first."""

    def recent(self, mono_ns: int) -> int:
        """Count the notifications of the last ten minutes, held ones included."""
        while self._times and mono_ns - self._times[0] > FLOOD_SPAN_NS:
            self._times.popleft()
        return len(self._times)

    def take(self, key: str, title: str, severity: Severity, mono_ns: int) -> bool:
        """Count a notification; True when it has to wait for the digest."""
        if not self.recent(mono_ns) and not self.is_on:
            self.first = title
        self._times.append(mono_ns)
        if not self.is_on and self.recent(mono_ns) > FLOOD_BEGINS_ABOVE:
            self.is_on, self.began_ns, self.count = True, mono_ns, 0
            self.listed.clear()
        if not self.is_on or severity is Severity.CRITICAL:
            return False
        self.count += 1
        self.listed.append((key, title))
        return True

    def settle(self, mono_ns: int) -> None:
        """End the flood once few enough came lately."""
        if self.is_on and self.recent(mono_ns) < FLOOD_ENDS_BELOW:
            self.is_on = False


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

"""How fast something warms, and how long until it is too warm."""

from __future__ import annotations

import statistics
from array import array

from keeld.budgets.source import SECOND_NS

_MOST = 13
_LEAST = 4
_SPAN_NS = 120 * SECOND_NS
_INTERVALS = 4
_MINUTE_S = 60.0


class Warming:
    """The last samples of one probe: two minutes of them, or four where it is read less often."""

    __slots__ = ("_times", "_values")

    def __init__(self) -> None:
        self._times = array("q")
        self._values = array("f")

    def add(self, value: float, mono_ns: int, interval_ns: int) -> None:
        """Keep a sample; one that is kept already, or older, changes nothing."""
        times, values = self._times, self._values
        if times and mono_ns <= times[-1]:
            return
        spacing_ns = max(_SPAN_NS, _INTERVALS * interval_ns) // (_MOST - 1)
        if len(times) >= 2 and mono_ns - times[-2] < spacing_ns:  # noqa: PLR2004 - the newest, and the one before it
            times[-1], values[-1] = mono_ns, value
            return
        times.append(mono_ns)
        values.append(value)
        while len(times) > _MOST or mono_ns - times[0] > max(_SPAN_NS, _INTERVALS * interval_ns):
            del times[0], values[0]

    def clear(self) -> None:
        """Forget every sample: what comes next does not continue them."""
        del self._times[:], self._values[:]

    @property
    def change_kelvin(self) -> float:
        """Newest sample less the lowest: the most that it can have risen."""
        return self._values[-1] - min(self._values) if self._values else 0.0

    def kelvin_per_minute(self) -> float | None:
        """Rate by the median of all pairs' slopes (Theil-Sen): a spike moves it little. None with under 4 samples."""
        times, values = self._times, self._values
        if len(times) < _LEAST:
            return None
        slopes = [
            (values[late] - values[early]) / (times[late] - times[early])
            for late in range(1, len(times))
            for early in range(late)
        ]
        return statistics.median(slopes) * SECOND_NS * _MINUTE_S


def minutes_to_critical(now_celsius: float, critical_celsius: float, kelvin_per_minute: float) -> float | None:
    """Minutes until a limit is reached at this rate; 0 when it is passed, None when it does not warm (3.4)."""
    if now_celsius >= critical_celsius:
        return 0.0
    return (critical_celsius - now_celsius) / kelvin_per_minute if kelvin_per_minute > 0.0 else None

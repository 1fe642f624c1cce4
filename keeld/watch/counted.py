"""Energy counters of meters, taken in at the end of every slot: the means that they tell of whole circuits."""

from __future__ import annotations

import json
from collections.abc import Iterable

from keeld.budgets.counter import Counter, CounterMean
from keeld.budgets.meters import Meter
from keeld.budgets.source import Source
from keeld.metrics import ENERGY


class CountedMeter:
    """The counters of one meter, one for each of its parts."""

    __slots__ = ("_ceiling_watts", "_counters", "_ratio", "_sources", "identity", "name")

    def __init__(self, meter: Meter, ceiling_watts: float) -> None:
        self.name = meter.name
        self.identity = (meter.intake.device.id, meter.parts)
        self._ceiling_watts = ceiling_watts
        self._ratio = meter.ratio
        self._sources: tuple[Source, ...] = tuple(meter.intake.source(ENERGY, part) for part in meter.parts)
        self._counters: tuple[Counter, ...] = ()

    @property
    def is_counting(self) -> bool:
        """Whether every part has shown its counter."""
        return all(source.value is not None for source in self._sources)

    def age_ns(self, mono_ns: int) -> int:
        """Give how long ago the counters were last read."""
        return mono_ns - min(source.mono_ns for source in self._sources)

    def see(self) -> bool:
        """Take new readings in; whether there were any."""
        if not self._counters:
            if not self.is_counting:
                return False
            self._counters = tuple(Counter(self._ceiling_watts) for _ in self._sources)
        seen = False
        for source, counter in zip(self._sources, self._counters, strict=True):
            if source.value is not None and source.mono_ns != counter.newest_ns:
                counter.add(source.value, source.mono_ns)
                seen = True
        return seen

    @property
    def reading(self) -> tuple[int, float] | None:
        """Give monotonic time and sum of the last readings; None unless all parts were read at once."""
        times = {source.mono_ns for source in self._sources}
        values = [source.value for source in self._sources if source.value is not None]
        return (times.pop(), sum(values)) if len(times) == 1 and len(values) == len(self._sources) else None

    @property
    def step_watt_hours(self) -> float | None:
        """Step of the sum; None until the step of every part is known."""
        steps = [counter.step_watt_hours for counter in self._counters]
        known = [step for step in steps if step is not None]
        return sum(known) if known and len(known) == len(self._sources) else None

    def mean(self, window_s: float, until_ns: int) -> CounterMean | None:
        """Give the mean power over nearly the window before `until_ns`; None unless every part tells it."""
        means = [counter.mean(window_s, until_ns) for counter in self._counters]
        known = [mean for mean in means if mean is not None]
        if not known or len(known) != len(self._sources):
            return None
        return scaled(together(known), self._ratio)

    def keep(self, before: CountedMeter) -> None:
        """Take over the readings of the same meter as it stood before a reload."""
        if before._sources == self._sources:
            self._counters = before._counters

    def dump(self) -> bytes:
        """Give what was learnt of the counters' steps, as JSON."""
        return json.dumps([counter.learnt for counter in self._counters]).encode()

    def load(self, note: bytes) -> None:
        """Take up what `dump` gave; raises ValueError for anything else."""
        try:
            learnt = [(int(moves), int(grains)) for moves, grains in json.loads(note)]
        except TypeError as error:
            raise ValueError(f"no stored counters: {error}") from None
        if len(learnt) == len(self._sources):
            self._counters = tuple(Counter(self._ceiling_watts, learnt=each) for each in learnt)


def scaled(mean: CounterMean, ratio: float) -> CounterMean:
    """Take a mean in proportion."""
    return CounterMean(mean.lo * ratio, mean.best * ratio, mean.hi * ratio, mean.span_s)


def together(means: Iterable[CounterMean]) -> CounterMean:
    """Add up the means of circuits that make up one; the shortest span is that of all."""
    parts = list(means)
    return CounterMean(
        sum(part.lo for part in parts),
        sum(part.best for part in parts),
        sum(part.hi for part in parts),
        min(part.span_s for part in parts),
    )

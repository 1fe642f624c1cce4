"""What keeld keeps of one device's answers: the few quantities that budgets and rules use, and whether it answers."""

from __future__ import annotations

from keeld.budgets.source import SECOND_NS, Source
from keeld.budgets.validity import ANYTHING, POSSIBLE
from keeld.errors import Outage
from keeld.metrics import (
    APPARENT_POWER,
    COOLING_OUTPUT,
    CURRENT,
    FEED,
    FLOW,
    POWER,
    POWER_ESTIMATE,
    TEMPERATURE,
    UNIT_STATE,
    VOLTAGE,
    Metric,
)
from keeld.model import Batch, Device, Group

METERING_KINDS = frozenset({"pdu", "meter", "ups"})
UNHEARD_DRIVERS = frozenset({"agent"})
"""Drivers whose devices send by themselves: one that never did was not connected, which is a finding."""
_MOST_LEARNT = 128
_LINES = ("L1", "L2", "L3")
_VOLTAGES = (*_LINES, "L1-L2", "L2-L3", "L3-L1", "")


class Intake:
    """One device as the judging sees it. Invariant: an outage changes no source, except that of a wrong identity."""

    __slots__ = (
        "_gpus",
        "_learnt",
        "_order_ns",
        "_stamps",
        "answered_ns",
        "device",
        "is_awaited",
        "outage",
        "outages",
        "silent_since_ns",
        "sources",
    )

    def __init__(self, device: Device) -> None:
        self.device = device
        self.sources: dict[tuple[Metric, str], Source] = {}
        self.answered_ns: int | None = None
        """Monotonic time of the last poll that gave anything."""
        self.outage: Outage | None = None
        self.outages = 0
        """Failed polls since the last answer."""
        self.silent_since_ns: int | None = None
        """Monotonic time of the first failed poll since the last answer."""
        self.is_awaited = device.driver not in UNHEARD_DRIVERS
        """Whether it is missed as long as nothing was ever heard of it."""
        self._order_ns: dict[Group, int] = {}
        self._stamps: dict[Group, tuple[int, Outage | None]] = {}
        self._gpus = device.kind == "accelerator"
        self._learnt: frozenset[Metric] = frozenset()
        self._expect()

    def _expect(self) -> None:
        kind = self.device.kind
        if kind in METERING_KINDS:
            self.source(POWER, "", keep_recent=True)
            self.source(APPARENT_POWER)
            self.source(FEED)
            for part in (*_LINES, ""):
                self.source(CURRENT, part, keep_recent=True)
            for part in _VOLTAGES:
                self.source(VOLTAGE, part)
        elif kind == "cooling":
            self.source(UNIT_STATE)
            for metric, part in ((FLOW, ""), (COOLING_OUTPUT, ""), (TEMPERATURE, "supply"), (TEMPERATURE, "return")):
                self.source(metric, part)
        elif kind == "sensor":
            self.source(TEMPERATURE, "intake")
        else:
            self.source(POWER)
            self.source(POWER_ESTIMATE)

    def source(self, metric: Metric, part: str = "", *, keep_recent: bool = False) -> Source:
        """Give the source of one quantity; from the first call on, its readings are kept."""
        source = self.sources.get((metric, part))
        if source is None:
            keeps_peaks = metric in (POWER, CURRENT)
            source = self.sources[metric, part] = Source(keep_recent=keep_recent, keep_peaks=keeps_peaks)
            source.least, source.most = POSSIBLE.get(metric, ANYTHING)
        return source

    def learn(self, metric: Metric) -> None:
        """Keep every part of a quantity that the device shows from now on, up to a bound for each device."""
        self._learnt |= {metric}

    def parts_of(self, metric: Metric) -> dict[str, Source]:
        """Give the sources of a quantity that ever had a sample, by part."""
        return {
            part: source for (kept, part), source in self.sources.items() if kept is metric and source.value is not None
        }

    def measured(self, metric: Metric, part: str = "") -> Source | None:
        """Give the source of a quantity if it ever had a sample."""
        source = self.sources.get((metric, part))
        return source if source is not None and source.value is not None else None

    @property
    def gpus(self) -> list[Source]:
        """Give the power of each accelerator that was ever seen in the device."""
        return [source for (metric, part), source in self.sources.items() if metric is POWER and part]

    def take(self, batch: Batch, mono_ns: int, slot: int) -> bool:
        """Use a batch taken at `mono_ns`; False when it is older than what is known of its group, or the same again.

        A batch that is delivered twice is one sample: rules that ask for two must not be satisfied by it.
        """
        group = batch.group
        stamp = batch.time_ns, batch.outage
        if mono_ns < self._order_ns.get(group, mono_ns) or stamp == self._stamps.get(group):
            return False
        self._stamps[group] = stamp
        self._order_ns[group] = mono_ns
        if batch.outage is not None and not batch.readings:
            self._fail(batch.outage, mono_ns, group)
            return True
        if batch.outage is Outage.IDENTITY:
            self._fail(batch.outage, mono_ns, group)
            return True
        if group is Group.FAST or self.outage is None:
            self.answered_ns = mono_ns
            self.outage = batch.outage
            self.outages = 0
            self.silent_since_ns = None
        self._add(batch, mono_ns, slot)
        return True

    def _fail(self, outage: Outage, mono_ns: int, group: Group) -> None:
        if group is Group.FAST:
            self.outage = outage
            self.outages += 1
            self.is_awaited = self.device.driver not in UNHEARD_DRIVERS
            if self.silent_since_ns is None:
                self.silent_since_ns = mono_ns
        if outage is Outage.IDENTITY:
            for source in self.sources.values():
                source.forget()

    def _add(self, batch: Batch, mono_ns: int, slot: int) -> None:
        sources, learnt = self.sources, self._learnt
        interval_ns = int(batch.interval_s * SECOND_NS)
        for metric, value, part in batch.readings:
            source = sources.get((metric, part))
            if source is not None:
                source.add(value, mono_ns, slot=slot, interval_ns=interval_ns)
            elif (metric in learnt or self._gpus) and self._is_wanted(metric, part):
                self.source(metric, part).add(value, mono_ns, slot=slot, interval_ns=interval_ns)

    def _is_wanted(self, metric: Metric, part: str) -> bool:
        if metric not in self._learnt and not (self._gpus and metric is POWER and _is_gpu(part)):
            return False
        return len(self.sources) < _MOST_LEARNT

    def is_gone(self, mono_ns: int) -> bool:
        """Whether a device that was heard before has now been silent for max(6 intervals, 60 s)."""
        if self.answered_ns is None:
            return False
        return mono_ns - self.answered_ns > max(6 * self.device.interval_s, 60.0) * SECOND_NS


def _is_gpu(part: str) -> bool:
    return part.startswith("gpu/") and part.count("/") == 1

"""The latest that each device said: its last readings by group and its last outage. Nothing here is ever judged on.

Thousands of devices are kept and few are looked at, so readings are packed: the numbers in one array, which quantity
each of them is in a tuple that all devices of a kind share. That takes a tenth of the memory.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

from keeld.errors import Outage
from keeld.metrics import Metric
from keeld.model import OWN_DRIVER, Batch, Device, Group, Reading

Columns = tuple[tuple[Metric, ...], tuple[str, ...]]

_COLUMNS_MOST = 5_000


@dataclass(frozen=True, slots=True)
class Packed:
    """A batch with readings, as it is kept."""

    device: Device
    group: Group
    interval_s: float
    time_ns: int
    mono_ns: int
    outage: Outage | None
    columns: Columns
    values: array[float]

    @property
    def readings(self) -> tuple[Reading, ...]:
        """Unpack the readings."""
        return tuple(map(Reading, self.columns[0], self.values, self.columns[1]))


@dataclass(slots=True)
class Latest:
    """One device's last word, good and bad."""

    device: Device
    batches: dict[Group, Packed] = field(default_factory=dict)
    """Last batch with readings, by group."""
    outage: Batch | None = None
    """Last batch with an outage; it may be long over: compare its time."""
    info: dict[str, str] = field(default_factory=dict)

    @property
    def is_out(self) -> bool:
        """Whether the last word was an outage."""
        fast = self.batches.get(Group.FAST)
        return self.outage is not None and (fast is None or self.outage.mono_ns >= fast.mono_ns)


class Live:
    """The latest of every configured device."""

    def __init__(self, devices: Iterable[Device]) -> None:
        self.latest = {device.id: Latest(device) for device in devices}
        self._columns: dict[Columns, Columns] = {}

    def record(self, batch: Batch) -> None:
        """Take a batch of a configured device; keeld's own are not kept here."""
        if batch.device.driver == OWN_DRIVER:
            return
        latest = self.latest.get(batch.device.id)
        if latest is None:
            return
        if batch.outage is not None:
            latest.outage = batch
        if batch.readings:
            latest.batches[batch.group] = self._pack(batch)
        if batch.info:
            latest.info.pop("mismatch", None)  # said again for as long as it holds
            # a thousand miners of one model say the same: they share the words
            latest.info.update((sys.intern(name), sys.intern(value)) for name, value in batch.info)

    def _pack(self, batch: Batch) -> Packed:
        metrics, values, parts = zip(*batch.readings, strict=True)
        if len(self._columns) >= _COLUMNS_MOST:
            self._columns.clear()
        columns = self._columns.setdefault((metrics, parts), (metrics, parts))
        return Packed(
            batch.device,
            batch.group,
            batch.interval_s,
            batch.time_ns,
            batch.mono_ns,
            batch.outage,
            columns,
            array("d", values),
        )

    def replace(self, devices: Iterable[Device]) -> None:
        """Follow a changed configuration: what stayed the same keeps its latest, what is gone goes."""
        self.latest = {device.id: self._kept(device) for device in devices}

    def _kept(self, device: Device) -> Latest:
        latest = self.latest.get(device.id)
        return latest if latest is not None and latest.device == device else Latest(device)

"""The latest that each device said: its last readings by group and its last outage. Nothing here is ever judged on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from keeld.model import OWN_DRIVER, Batch, Device, Group


@dataclass(slots=True)
class Latest:
    """One device's last word, good and bad."""

    device: Device
    batches: dict[Group, Batch] = field(default_factory=dict)
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
            latest.batches[batch.group] = batch
        if batch.info:
            latest.info.update(batch.info)

    def replace(self, devices: Iterable[Device]) -> None:
        """Follow a changed configuration: what stayed the same keeps its latest, what is gone goes."""
        self.latest = {device.id: self._kept(device) for device in devices}

    def _kept(self, device: Device) -> Latest:
        latest = self.latest.get(device.id)
        return latest if latest is not None and latest.device == device else Latest(device)

"""What is not believed now, or was not within the last half hour: one entry for each check of each reading."""

from __future__ import annotations

from dataclasses import dataclass

from keeld.budgets.source import MINUTE_NS, Source
from keeld.metrics import Metric
from keeld.model import Moment
from keeld.views import Suspect

LISTED_NS = 30 * MINUTE_NS
"""For how long an entry stays listed after it was last seen."""
_MOST = 2000

Name = tuple[str, str, str, str]
"""Device, metric, part and check."""


@dataclass(slots=True, eq=False)
class Fault:
    """One check that a reading failed. While it is active and has an `instead`, its source is in doubt."""

    source: Source | None
    instead: float | None
    reason: str
    since: Moment
    seen: Moment
    is_active: bool = True


class Doubts:
    """All faults of a site; bounded. Invariant: a source is in doubt just as long as an active fault says so."""

    def __init__(self) -> None:
        self._faults: dict[Name, Fault] = {}

    def __len__(self) -> int:
        return len(self._faults)

    def accuse(
        self,
        device: str,
        metric: Metric | None,
        part: str,
        check: str,
        reason: str,
        now: Moment,
        *,
        source: Source | None = None,
        instead: float | None = None,
    ) -> None:
        """Note a failed check; with a source and what it might show instead, doubt that source."""
        name = (device, "" if metric is None else metric.name, part, check)
        fault = self._faults.get(name)
        if fault is None:
            if len(self._faults) >= _MOST:
                return
            fault = self._faults[name] = Fault(source, instead, reason, now, now)
        if not fault.is_active:
            fault.since = now
        fault.source, fault.instead, fault.reason, fault.seen, fault.is_active = source, instead, reason, now, True
        self._doubt(source)

    def acquit(self, device: str, metric: Metric | None, part: str, check: str) -> None:
        """Note a check that was passed."""
        if not self._faults:
            return
        fault = self._faults.get((device, "" if metric is None else metric.name, part, check))
        if fault is not None and fault.is_active:
            fault.is_active = False
            self._doubt(fault.source)

    def _doubt(self, source: Source | None) -> None:
        """Tell a source whether, and what, it might show instead: the highest of what its faults say."""
        if source is None:
            return
        found = [fault.instead for fault in self._faults.values() if fault.source is source and fault.is_active]
        known = [instead for instead in found if instead is not None]
        source.doubt = max(known) if known else None

    def sweep(self, now: Moment) -> None:
        """Drop what was last seen half an hour ago."""
        old = [name for name, fault in self._faults.items() if now.mono_ns - fault.seen.mono_ns > LISTED_NS]
        for name in old:
            fault = self._faults.pop(name)
            self._doubt(fault.source)

    def active_for(self, least_ns: int, now: Moment) -> dict[str, list[str]]:
        """Give the reasons of each device that has been at fault for at least so long."""
        found: dict[str, list[str]] = {}
        for (device, *_), fault in self._faults.items():
            if fault.is_active and now.mono_ns - fault.since.mono_ns >= least_ns:
                found.setdefault(device, []).append(fault.reason)
        return found

    def view(self) -> tuple[Suspect, ...]:
        """List every entry, those that hold now first."""
        entries = sorted(self._faults.items(), key=lambda entry: (not entry[1].is_active, entry[0]))
        return tuple(
            Suspect(
                device=device,
                metric=metric,
                part=part,
                check=check,
                reason=fault.reason,
                since_ns=fault.since.wall_ns,
                is_active=fault.is_active,
            )
            for (device, metric, part, check), fault in entries
        )

    def keep(self, before: Doubts, devices: dict[str, set[int]]) -> None:
        """Take over the faults of devices that are still there; `devices` gives the ids of each one's sources."""
        for name, fault in before._faults.items():
            kept = name[0] in devices and (fault.source is None or id(fault.source) in devices[name[0]])
            if kept:
                self._faults[name] = fault
            elif fault.source is not None:
                fault.source.doubt = None

"""Probes under check: temperatures and humidities against what can be, how fast they can move, and their neighbours."""

from __future__ import annotations

from collections.abc import Iterable

from keeld.budgets.intake import Intake
from keeld.budgets.source import GOOD, MINUTE_NS, SECOND_NS, Source
from keeld.budgets.validity import (
    POSSIBLE,
    RATE_KELVIN_PER_S,
    WITNESS_KELVIN,
    Stillness,
    is_too_fast,
    needs_s,
)
from keeld.metrics import TEMPERATURE, Metric
from keeld.model import Moment
from keeld.watch.doubts import Doubts

KINDS = frozenset({"pdu", "meter", "ups", "sensor", "cooling"})
"""Devices whose probes are checked: what chips tell of themselves moves as it likes."""
_FRESH_NS = 2 * MINUTE_NS


class Probe:
    """One source of a quantity that has bounds of its own."""

    __slots__ = ("_seen", "_still", "device_id", "metric", "part", "source")

    def __init__(self, device_id: str, metric: Metric, part: str, source: Source) -> None:
        self.device_id = device_id
        self.metric = metric
        self.part = part
        self.source = source
        self._seen: tuple[float, int] | None = None
        self._still = Stillness()

    def look_at_samples(self, doubts: Doubts, now: Moment) -> None:
        """Check a new sample against the one before: air and coolant have mass."""
        source, seen = self.source, self._seen
        if source.value is None or (seen is not None and seen[1] == source.mono_ns):
            return
        self._seen = source.value, source.mono_ns
        if seen is None:
            return
        before, seconds = seen[0], (source.mono_ns - seen[1]) / SECOND_NS
        if is_too_fast(before, source.value, max(seconds, 10.0), RATE_KELVIN_PER_S):
            reason = f"it moved from {before:.1f} to {source.value:.1f} K or °C in {seconds:.0f} s"
            doubts.accuse(self.device_id, self.metric, self.part, "rate", reason, now, source=source, instead=before)
        else:
            doubts.acquit(self.device_id, self.metric, self.part, "rate")

    def look(self, doubts: Doubts, neighbours: Iterable[Probe], now: Moment) -> None:
        """Check what takes minutes to show: refused samples, and what stands still while its neighbours move."""
        refusal, source = self.source.refusal, self.source
        if refusal is None or now.mono_ns - refusal.mono_ns > _FRESH_NS:
            doubts.acquit(self.device_id, self.metric, self.part, "range")
        else:
            reason = f"{refusal.samples} samples refused, the last of {refusal.value:g}"
            doubts.accuse(self.device_id, self.metric, self.part, "range", reason, now)
        if source.value is None or source.rank_at(now.mono_ns) != GOOD:
            self._still.forget()
            return
        seconds = self._still.look(source.value, source.mono_ns, has_moved=bool(source.spread))
        if self.metric is not TEMPERATURE:
            return
        if not seconds:
            doubts.acquit(self.device_id, self.metric, self.part, "stuck")
        elif seconds >= needs_s(source.interval_ns / SECOND_NS) and _have_moved(self, neighbours):
            reason = f"it has stood at {source.value:g} °C for {seconds / 60.0:.0f} min while its neighbours moved"
            instead = max(source.value, *(probe.source.value or source.value for probe in neighbours))
            doubts.accuse(self.device_id, self.metric, self.part, "stuck", reason, now, source=source, instead=instead)


def _have_moved(probe: Probe, neighbours: Iterable[Probe]) -> bool:
    """Whether each of the others, and at least one, moved by kelvins meanwhile."""
    moves = [other.source.spread or 0.0 for other in neighbours if other is not probe and other.source.doubt is None]
    return bool(moves) and min(moves) >= WITNESS_KELVIN


def probes_of(intake: Intake) -> list[Probe]:
    """List the probes that a device has shown or is asked for."""
    if intake.device.kind not in KINDS:
        return []
    return [
        Probe(intake.device.id, metric, part, source)
        for (metric, part), source in intake.sources.items()
        if metric in POSSIBLE
    ]

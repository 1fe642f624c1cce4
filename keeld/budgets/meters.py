"""Places where a circuit is measured, and the sources that tell what flows there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from keeld.budgets.intake import METERING_KINDS, Intake
from keeld.budgets.limits import phases_of
from keeld.budgets.source import Source
from keeld.metrics import APPARENT_POWER, CURRENT, POWER, POWER_FACTOR, REACTIVE_POWER
from keeld.model import Site


@dataclass(slots=True, eq=False)
class Meter:
    """A place where a circuit is measured: a PDU's inlet, a meter, a branch of one."""

    intake: Intake
    parts: tuple[str, ...]
    powers: tuple[Source, ...]
    apparent: Source | None
    lines: dict[str, tuple[Source, ...]]
    """Line to the sources that may carry its current; the first that ever had a sample counts."""
    reactive: Source | None = None
    factor: Source | None = None
    neutral: Source | None = None
    ratio: float = 1.0
    """Share of what it shows that is meant: a node's meter stands ahead of the node's losses, a feed behind them."""

    @property
    def error_ratio(self) -> float:
        """Error that its power may have, as a share of it."""
        return self.intake.device.meter_class_ratio

    @property
    def name(self) -> str:
        """Device and part, for people."""
        parts = "+".join(part for part in self.parts if part)
        return f"{self.intake.device.id} {parts}" if parts else self.intake.device.id

    def line(self, phase: str) -> Source | None:
        """Give the source of a line's current; None where the device has not shown one."""
        for source in self.lines.get(phase, ()):
            if source.value is not None:
                return source
        return None


def meter_at(intake: Intake, parts: tuple[str, ...], phases: tuple[str, ...]) -> Meter:
    """Lay out one meter; several parts for one circuit are its poles, in order."""
    powers = tuple(intake.source(POWER, part, keep_recent=not part) for part in parts)
    apparent = intake.source(APPARENT_POWER, parts[0]) if len(parts) == 1 else None
    if len(parts) > 1:
        lines: dict[str, tuple[Source, ...]] = {
            phase: (intake.source(CURRENT, part, keep_recent=True),) for phase, part in zip(phases, parts, strict=False)
        }
    else:
        lines = {phase: _line_sources(intake, parts[0], phase) for phase in phases}
    if len(parts) > 1:
        return Meter(intake, parts, powers, apparent, lines)
    reactive, factor = intake.source(REACTIVE_POWER, parts[0]), intake.source(POWER_FACTOR, parts[0])
    neutral = intake.source(CURRENT, f"{parts[0]}/N" if parts[0] else "N") if len(phases) > 1 else None
    return Meter(intake, parts, powers, apparent, lines, reactive, factor, neutral)


def _line_sources(intake: Intake, part: str, phase: str) -> tuple[Source, ...]:
    if phase:
        return (intake.source(CURRENT, f"{part}/{phase}" if part else phase, keep_recent=True),)
    names = (part, f"{part}/L1" if part else "L1", *(() if part else ("L1-L2",)))
    return tuple(intake.source(CURRENT, name, keep_recent=True) for name in names)


def node_meters(site: Site, intakes: Mapping[str, Intake]) -> dict[str, list[Meter]]:
    """Lay out the meters of every power node: those at it, and the parts of others that measure it."""
    meters: dict[str, list[Meter]] = defaultdict(list)
    for intake in intakes.values():
        device = intake.device
        if device.kind not in METERING_KINDS:
            continue
        parts_of: dict[str, list[str]] = defaultdict(list)
        for part, node_id in device.measures:
            parts_of[node_id].append(part)
        if device.node is not None:
            parts_of[device.node].append("")
        for node_id, parts in parts_of.items():
            if node_id in site.power:
                meters[node_id].append(meter_at(intake, tuple(parts), phases_of(site.power[node_id])))
    return meters

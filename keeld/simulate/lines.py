"""What runs over the lines of one place of the power tree, and what a meter clamped on there would say."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from keeld.simulate.electrical import Wiring

_METER_SECONDS = 1.5
"""A meter's own averaging, which takes most of a training load's swing away."""


@dataclass(slots=True)
class Lines:
    """Power on L1, L2, L3 of a tap or a node, with the voltage and the energy counted so far."""

    phases: int
    volts: float
    """Line to line where there are three phases."""
    lines: list[complex] = field(default_factory=lambda: [0j, 0j, 0j])
    shown: list[complex] = field(default_factory=lambda: [0j, 0j, 0j])
    """The same as a meter gives it: averaged over its own second or two."""
    energy_watt_hours: float = 0.0
    live: bool = True
    live_s: float = 1e9
    """How long the voltage has been there."""

    @property
    def watts(self) -> float:
        """Active power."""
        return self.lines[0].real + self.lines[1].real + self.lines[2].real

    @property
    def phase_volts(self) -> float:
        """Voltage of one phase, 0 where there is none."""
        if not self.live:
            return 0.0
        return self.volts / math.sqrt(3) if self.phases == 3 else self.volts  # noqa: PLR2004  three phases

    def clear(self) -> None:
        """Forget the step before."""
        self.lines = [0j, 0j, 0j]

    def add(self, power: complex, wiring: Wiring) -> None:
        """Lay a load on the lines."""
        lines = self.lines
        for index, share in enumerate(wiring):
            if share:
                lines[index] += power * share

    def show(self, dt_s: float) -> None:
        """Move what a meter gives towards what is; a dead line has nothing to average."""
        share = min(1.0, dt_s / _METER_SECONDS) if self.live else 1.0
        self.shown = [shown + (now - shown) * share for shown, now in zip(self.shown, self.lines, strict=True)]

    def count(self, dt_s: float, *, live: bool) -> None:
        """Close a step: advance the energy counter and the time since voltage came back."""
        self.energy_watt_hours += self.watts * dt_s / 3600
        self.live_s = self.live_s + dt_s if live and self.live else 0.0
        self.live = live


@dataclass(slots=True)
class Tap:
    """One feed of one rack."""

    rack: str
    node: str
    power: Lines
    fitted: int = 0
    """Machines wired so far; the next one takes the next phase."""

"""What one rack breathes: its probes read slot by slot, against its class."""

from __future__ import annotations

from array import array
from collections.abc import Mapping

from keeld.alerts.alarm import Target
from keeld.alerts.machine import Span
from keeld.alerts.rules import AI, Level
from keeld.budgets.inlet_classes import derated
from keeld.budgets.intake import Intake
from keeld.budgets.moisture import agreed
from keeld.budgets.source import Value
from keeld.budgets.window import Window
from keeld.climate import ThermalClass
from keeld.watch.duty import Ground, Slot
from keeld.watch.intake_probes import COLDEST_CELSIUS, HOTTEST_CELSIUS, ProbeSet, Seen, is_intake
from keeld.watch.racks import RackState

_MINUTE_SLOTS, _QUARTER_SLOTS = 6, 91
_BELOW_ALLOWED_KELVIN = 2.0
_SLOPE_OVER_KELVIN = 0.9
"""What warms by 1 K a minute has risen by about this after one: less asks for no slope."""
_FASTEST_KELVIN_PER_MINUTE = 60.0
_PROBE_KINDS = frozenset({"sensor", "cooling", "accelerator", "pdu"})
_NEVER = Span(-1.0, -1.0)
WORDS = ("median of its intakes", "hottest intake", "second hottest intake")


class RackInlet:
    """One rack with probes at its intake."""

    __slots__ = ("_slow", "_warm_slots", "inlet", "median", "probes", "seen", "state", "windows")

    def __init__(self, state: RackState, probes: ProbeSet, inlet: ThermalClass) -> None:
        self.state = state
        self.probes = probes
        self.inlet = inlet
        self.seen: Seen | None = None
        self.median: Value | None = None
        self.windows = tuple(Window(_MINUTE_SLOTS) for _ in WORDS)
        """Median, hottest and second hottest of the last minute."""
        self._slow = array("f")
        self._warm_slots = 0

    @property
    def is_warm(self) -> bool:
        """Whether any reading of the last minute was over what is recommended: else there is nothing to judge."""
        return self._warm_slots > 0

    @property
    def is_warming(self) -> bool:
        """Whether any reading has risen enough for its rate to matter."""
        fast = self.seen is None or bool(self.seen.fastest) or not self.seen.known
        return fast or (bool(self._slow) and self._slow[-1] - self._slow[0] > _SLOPE_OVER_KELVIN)

    @property
    def target(self) -> Target:
        """What its alarms are about."""
        return self.state.target

    @property
    def limits_celsius(self) -> tuple[float, float, float]:
        """What median, hottest and second hottest are held against: recommended, allowed less 2 K, allowed."""
        allowed = self.inlet.allowable_most_celsius
        return self.inlet.recommended_most_celsius, allowed - _BELOW_ALLOWED_KELVIN, allowed

    def see(self, slot: Slot) -> None:
        """Read the probes in this slot."""
        seen = self.seen = self.probes.see(slot.look, slope_over=_SLOPE_OVER_KELVIN)
        is_warm = bool(seen.known) and max(seen.known) > self.inlet.recommended_most_celsius
        self._warm_slots = _MINUTE_SLOTS + 1 if is_warm else max(0, self._warm_slots - 1)
        self.median = agreed(seen.known, seen.missing, 0, coldest=COLDEST_CELSIUS, hottest=HOTTEST_CELSIUS)
        for window, value in zip(self.windows, (self.median, seen.hottest(0), seen.hottest(1)), strict=True):
            if value is not None:
                window.skip(slot.missed, HOTTEST_CELSIUS, lo=COLDEST_CELSIUS)
                window.push(value.lo, value.best, value.hi)
            elif seen.missing:
                window.push(COLDEST_CELSIUS, None, HOTTEST_CELSIUS)
        if self.median is None or self.median.best is None or slot.missed or seen.missing:
            del self._slow[:]
        else:
            self._slow.append(self.median.best)
            del self._slow[:-_QUARTER_SLOTS]

    def warm_spans(self, count: int, *, stands: bool) -> tuple[Span | None, ...]:
        """Give how far each of the three is over its limit, in K; open upwards while a probe that counted is silent."""
        unheard = stands and self.probes.unheard > 0
        return tuple(self._warm_span(min(index, 2), unheard=unheard) for index in range(count))

    def _warm_span(self, index: int, *, unheard: bool) -> Span | None:
        mean, limit = self.windows[index].mean(), self.limits_celsius[index]
        if mean is None:
            return None if unheard else _NEVER
        return Span(mean.lo - limit, HOTTEST_CELSIUS if unheard else mean.hi - limit)

    def rate_span(self, level: Level) -> Span:
        """Give how fast the air warms, in K/min: over a level's own span, else by the fastest probe."""
        seen = self.seen
        if seen is None:
            return Span(0.0, _FASTEST_KELVIN_PER_MINUTE)
        if level.window_s:
            rise = self._slow[-1] - self._slow[0] if len(self._slow) == _QUARTER_SLOTS else 0.0
            rate = rise / ((_QUARTER_SLOTS - 1) / _MINUTE_SLOTS)
        else:
            rate = seen.fastest[0] if seen.fastest else 0.0
        return Span(rate, rate if seen.known else _FASTEST_KELVIN_PER_MINUTE)

    @property
    def hottest_celsius(self) -> float | None:
        """Hottest live reading."""
        return max(self.seen.known, default=None) if self.seen is not None else None

    def keep(self, before: RackInlet) -> None:
        """Take over the past of the same rack."""
        self.probes.keep(before.probes)
        self.windows, self._slow, self._warm_slots = before.windows, before._slow, before._warm_slots


def rack_inlets(ground: Ground, classes: Mapping[str, ThermalClass]) -> dict[str, RackInlet]:
    """Lay out the racks under the ai rules that have a class and something that may tell what they breathe."""
    site, found = ground.topology.site, {}
    members: dict[str, list[Intake]] = {}
    for intake in ground.topology.intakes.values():
        if intake.device.rack is not None and intake.device.kind in _PROBE_KINDS:
            members.setdefault(intake.device.rack, []).append(intake)
    for name, state in ground.racks.items():
        inlet = classes.get(state.plan.rack.thermal_class or "")
        if state.set_name == AI and inlet is not None and name in members:
            probes = ProbeSet(members[name], is_intake)
            found[name] = RackInlet(state, probes, derated(inlet, site.altitude_metres))
    return found

"""What a hall of miners breathes: the sensors in a zone, or in a row where no zone is configured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from keeld.alerts.alarm import Target
from keeld.alerts.machine import Span
from keeld.alerts.rules import MINING
from keeld.budgets.inlet_classes import derated
from keeld.budgets.moisture import agreed
from keeld.budgets.source import Value
from keeld.budgets.window import Window
from keeld.climate import ThermalClass
from keeld.model import Rack
from keeld.watch.duty import Ground, Slot
from keeld.watch.intake_probes import COLDEST_CELSIUS, HOTTEST_CELSIUS, ProbeSet, is_room

MINER_AIR = "miner_air"
LEAST_SENSORS = 3
_MINUTE_SLOTS = 6
_CARRIED_OUT = frozenset({"emptying", "empty"})


class HallInlet:
    """One zone or row of air-cooled mining racks."""

    __slots__ = ("class_name", "count", "inlet", "median", "probes", "target", "window")

    def __init__(self, target: Target, probes: ProbeSet, class_name: str, inlet: ThermalClass) -> None:
        self.target = target
        self.probes = probes
        self.class_name = class_name
        self.inlet = inlet
        self.window = Window(_MINUTE_SLOTS)
        self.median: Value | None = None
        self.count = 0
        """Probes that were ever heard."""

    def see(self, slot: Slot) -> None:
        """Read the sensors in this slot; fewer than three say nothing of a hall."""
        seen = self.probes.see(slot.look, slope_over=HOTTEST_CELSIUS)
        self.count = len(seen.known) + seen.missing
        self.median = None
        if self.count >= LEAST_SENSORS:
            self.median = agreed(seen.known, seen.missing, 0, coldest=COLDEST_CELSIUS, hottest=HOTTEST_CELSIUS)
        self.window.skip(slot.missed, HOTTEST_CELSIUS, lo=COLDEST_CELSIUS)
        if self.median is not None:
            self.window.push(self.median.lo, self.median.best, self.median.hi)

    @property
    def limits_celsius(self) -> tuple[float, float]:
        """Recommended and allowed."""
        return self.inlet.recommended_most_celsius, self.inlet.allowable_most_celsius

    def warm_spans(self, count: int, *, stands: bool) -> tuple[Span | None, ...]:
        """Give how far the median is over each limit, in K; nothing while too few sensors are heard."""
        mean = self.window.mean()
        if mean is None or self.median is None:
            return (None,) * count
        open_ended = stands and self.probes.unheard > 0
        limits = (self.limits_celsius[min(index, 1)] for index in range(count))
        return tuple(Span(mean.lo - limit, HOTTEST_CELSIUS if open_ended else mean.hi - limit) for limit in limits)

    def keep(self, before: HallInlet) -> None:
        """Take over the past of the same hall."""
        self.probes.keep(before.probes)
        self.window = before.window


def halls(ground: Ground, classes: Mapping[str, ThermalClass]) -> dict[str, HallInlet]:
    """Group the air-cooled mining racks by zone or row, with the sensors there."""
    groups: dict[tuple[str, str], list[Rack]] = defaultdict(list)
    for state in ground.racks.values():
        if state.set_name == MINING and _breathes(state.plan.rack):
            groups[_place(state.plan.rack)].append(state.plan.rack)
    found = {}
    for (kind, name), racks in groups.items():
        hall = _hall(ground, classes, kind, name, racks)
        if hall is not None:
            found[f"{kind}:{name}"] = hall
    return found


def _breathes(rack: Rack) -> bool:
    """Whether the machines of a rack are cooled by the air of the hall: not in a tank, not on a loop."""
    return rack.kind != "tank" and rack.cooling_liquid is None and rack.state not in _CARRIED_OUT


def _place(rack: Rack) -> tuple[str, str]:
    return ("cooling_node", rack.cooling_air) if rack.cooling_air is not None else ("row", rack.row or "")


def _hall(
    ground: Ground, classes: Mapping[str, ThermalClass], kind: str, name: str, racks: list[Rack]
) -> HallInlet | None:
    names = {rack.id for rack in racks}
    sensors = [
        intake
        for intake in ground.topology.intakes.values()
        if intake.device.kind == "sensor"
        and (intake.device.rack in names or (kind == "cooling_node" and intake.device.node == name))
    ]
    chosen = [rack.thermal_class for rack in racks if rack.thermal_class in classes]
    class_name = chosen[0] if chosen and chosen[0] is not None else MINER_AIR
    if not sensors:
        return None
    scope = frozenset({f"{kind}:{name}"})
    node = ground.topology.cooling.get(name) if kind == "cooling_node" else None
    label = (node.label or name) if node is not None else f"row {name}" if name else "miners"
    target = Target(kind, name, label, scope, scope | {f"rack:{rack_id}" for rack_id in names})
    inlet = derated(classes[class_name], ground.topology.site.altitude_metres)
    return HallInlet(target, ProbeSet(sensors, is_room), class_name, inlet)

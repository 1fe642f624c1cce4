"""Cooling zones and loops: the heat that their racks give them, against what they can carry as they stand now."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from keeld.alerts.alarm import Target
from keeld.budgets.capacity import Capacity, Pumps, Unit, flowing, planned_watts, pumped, running_watts
from keeld.budgets.heat import coolers_watts, live
from keeld.budgets.intake import Intake
from keeld.budgets.interval import published, total
from keeld.budgets.source import HELD, QUALITIES, Look, Source, Value
from keeld.budgets.topology import Topology
from keeld.metrics import (
    COOLING_CAPACITY,
    FLOW,
    PRESSURE,
    PUMP,
    PUMP_DUTY,
    PUMP_SPEED,
    TEMPERATURE,
    TEMPERATURE_SETPOINT,
    UNIT_ALARM,
    UNIT_STATE,
    Metric,
)
from keeld.model import Interval
from keeld.trees import CoolingNode
from keeld.watch.racks import RackState
from keeld.watch.rulebook import Windows

UNIT_FAULT = 3.0
PUMP_FAULT = 2.0
FACILITY_PARTS = ("facility/supply", "water/supply")
"""Where units tell the temperature of the facility water that they are given."""
_MOST_SHARE = 1.1
_NO_CEILING = 1e9


@dataclass(slots=True, eq=False)
class CoolingState:
    """One zone or loop with the racks it serves and the units that say of themselves how they are."""

    node: CoolingNode
    racks: list[RackState]
    units: list[Intake]
    planned_watts: float | None
    """Capacity with the declared redundancy kept; None where no unit is declared."""
    capacity: Capacity | None = None
    """What it can carry now."""
    pumps: Pumps | None = None
    measured: Value | None = None
    """Heat that a loop's own units tell of, in W."""
    flow: Value | None = None
    """Flow of all its units together, in L/min; None where one of them has never told."""
    supply_celsius: float | None = None
    return_celsius: float | None = None
    facility_celsius: float | None = None
    is_short: bool = False
    """Whether a unit or a needed pump is down, so that what redundancy there was is used up."""
    is_hot: bool = False
    """Whether supply, return or facility water is over its limit."""
    windows: Windows = field(default_factory=lambda: Windows((), default_s=300.0))
    target: Target = field(init=False)
    """What its alarms are about, with the racks and units that its trouble explains."""

    def __post_init__(self) -> None:
        scope = frozenset({f"cooling_node:{self.node.id}"})
        racks = {f"rack:{state.plan.rack.id}" for state in self.racks}
        units = {f"device:{unit.device.id}" for unit in self.units}
        self.target = Target(
            "cooling_node", self.node.id, self.node.label or self.node.id, scope, scope | racks | units
        )

    def heat(self) -> Interval:
        """Give the heat that it is given: of a loop as its units measure it, else the sum of its racks."""
        if self.measured is not None:
            return published(self.measured, coverage=1.0, provenance="flow and temperatures")
        parts = [state.heat.air if self.node.kind == "air" else state.heat.liquid for state in self.racks]
        values = [Value(part.lo, part.best, part.hi, QUALITIES.index(part.quality)) for part in parts]
        weight = sum(part.hi for part in parts)
        covered = sum(part.hi * part.coverage for part in parts) / weight if weight else 1.0
        return published(
            total(values),
            coverage=covered if parts else 0.0,
            provenance="sum of its racks",
            lost=[name for part in parts for name in part.lost],
            structural=[name for part in parts for name in part.structural],
        )

    def close(self, look: Look, *, missed: int) -> None:
        """Close a slot: note the heat, and find out what can be carried now."""
        if missed:
            self.windows.skip(missed, sum(state.plan.ceiling_watts for state in self.racks))
        self.see(look)
        heat = self.heat()
        self.windows.push(heat.lo, heat.best, heat.hi)

    def see(self, look: Look) -> None:
        """Work out flow, temperatures, measured heat and capacity."""
        is_loop = self.node.kind == "liquid"
        self.flow = self.flow_at(look) if is_loop else None
        self.supply_celsius = self._hottest(look, ("supply",))
        self.return_celsius = self._hottest(look, ("return",))
        self.facility_celsius = self._hottest(look, FACILITY_PARTS)
        self.measured = self._measure(look) if is_loop else None
        units = [_unit(unit, look) for unit in self.units]
        self.pumps = self._count_pumps(look) if is_loop else None
        self.is_short = any(unit.is_up is False for unit in units) or _are_pumps_short(self.pumps)
        self.is_hot = self._is_over_temperature()
        self.capacity = self._capacity_now(units)

    def flow_at(self, look: Look) -> Value | None:
        """Give the flow of all units together at an instant, in L/min; None where one of them has never told."""
        sources = [unit.sources.get((FLOW, "")) for unit in self.units]
        told = [source for source in sources if source is not None and source.value is not None]
        if not told or len(told) != len(sources):
            return None
        return total(source.at(look.mono_ns, _NO_CEILING) for source in told)

    def _hottest(self, look: Look, parts: Iterable[str]) -> float | None:
        known = [live(unit, TEMPERATURE, part, look) for unit in self.units for part in parts]
        return max((value.best for value in known if value is not None and value.best is not None), default=None)

    def _measure(self, look: Look) -> Value | None:
        """Take the units' word for the heat where no more of it is told than the racks draw (3.3)."""
        measured = coolers_watts(self.units, look, self.node)
        if measured is None or measured.best is None or not self.racks:
            return measured
        drawn = sum(state.draw.total.hi for state in self.racks)
        return measured if 0.0 <= measured.best <= _MOST_SHARE * drawn else None

    def _count_pumps(self, look: Look) -> Pumps | None:
        """Count the pumps that could run: one that stands still is spare, one that reports a fault is lost."""
        states = [source for unit in self.units for source in unit.parts_of(PUMP).values()]
        shown = sum(len(unit.parts_of(PUMP).keys() | _pump_parts(unit)) for unit in self.units)
        installed = max(self.node.pumps or shown, len(states))
        if not installed:
            return None
        lost = sum(source.value == PUMP_FAULT and is_live(source, look) for source in states)
        unsure = sum(not is_live(source, look) for source in states)
        needed = self.node.pumps_needed or max(1, installed - 1)
        return Pumps(max(0, installed - lost - unsure), installed - lost, needed, installed)

    def _is_over_temperature(self) -> bool:
        node = self.node
        pairs = (
            (self.supply_celsius, node.supply_most_celsius),
            (self.return_celsius, node.return_most_celsius),
            (self.facility_celsius, node.facility_most_celsius),
        )
        return any(value is not None and most is not None and value > most for value, most in pairs)

    def _capacity_now(self, units: list[Unit]) -> Capacity | None:
        if not self.node.units_watts:
            return None
        capacity = pumped(running_watts(self.node.units_watts, units), self.pumps)
        if self.flow is None or self.flow.rank > HELD:
            return capacity
        return flowing(capacity, self.node, self.flow.best, self.supply_celsius)

    @property
    def limit_watts(self) -> float | None:
        """What it may carry: as planned, or what it can carry now if that is less; None where nothing is declared."""
        if self.planned_watts is None or self.capacity is None:
            return self.planned_watts
        return min(self.planned_watts, self.capacity.hi)


def _unit(intake: Intake, look: Look) -> Unit:
    most = live(intake, COOLING_CAPACITY, "", look)
    most_watts = None if most is None else most.best
    state = unit_state(intake, look)
    if state is not None:
        return Unit(state != UNIT_FAULT, most_watts)
    is_heard = intake.answered_ns is not None and not intake.is_gone(look.mono_ns)
    return Unit((is_heard and intake.measured(UNIT_STATE) is None) or None, most_watts)


def unit_state(unit: Intake, look: Look) -> float | None:
    """Give the state that a unit reports of itself; None while it reports none. A state has no mean."""
    source = unit.measured(UNIT_STATE)
    return source.value if source is not None and is_live(source, look) else None


def _pump_parts(unit: Intake) -> set[str]:
    return {part for part in unit.parts_of(PUMP_SPEED) if part.startswith("pump/")}


def _are_pumps_short(pumps: Pumps | None) -> bool:
    return pumps is not None and pumps.most < pumps.needed


def is_live(source: Source, look: Look) -> bool:
    """Whether a quantity is measured now, or was a moment ago."""
    return source.rank_at(look.mono_ns) <= HELD


_LEARNT: tuple[Metric, ...] = (PUMP, PUMP_SPEED, PUMP_DUTY, UNIT_ALARM, PRESSURE)


def cooling_states(topology: Topology, racks: dict[str, RackState]) -> dict[str, CoolingState]:
    """Lay out the cooling of a site, and ask its units for what is judged."""
    return {node.id: _state(node, topology, racks) for node in topology.cooling.values()}


def _state(node: CoolingNode, topology: Topology, racks: dict[str, RackState]) -> CoolingState:
    served = [
        state for state in racks.values() if node.id in (state.plan.rack.cooling_air, state.plan.rack.cooling_liquid)
    ]
    units = [i for i in topology.intakes.values() if i.device.node == node.id and i.device.kind == "cooling"]
    if node.kind == "liquid":
        units = units or [cooler for state in served for cooler in state.plan.coolers]
        if len(served) == 1 and not served[0].plan.coolers:
            served[0].coolers = units
    for unit in units:
        _ask(unit)
    planned = planned_watts(node.units_watts, node.redundancy) if node.units_watts else None
    return CoolingState(node, served, units, planned)


def _ask(unit: Intake) -> None:
    unit.source(COOLING_CAPACITY)
    unit.source(TEMPERATURE_SETPOINT, "supply")
    for part in FACILITY_PARTS:
        unit.source(TEMPERATURE, part)
    for metric in _LEARNT:
        unit.learn(metric)

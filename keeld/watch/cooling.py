"""Cooling zones and loops: the heat that their racks give them, against what they can carry."""

from __future__ import annotations

from dataclasses import dataclass, field

from keeld.budgets.intake import Intake
from keeld.budgets.interval import published, total
from keeld.budgets.limits import cooling_capacity_watts
from keeld.budgets.source import HELD, QUALITIES, Look, Value
from keeld.budgets.topology import Topology
from keeld.metrics import UNIT_STATE
from keeld.model import CoolingNode, Interval
from keeld.watch.racks import RackState
from keeld.watch.rulebook import Windows

_FAULT = 3.0


@dataclass(slots=True, eq=False)
class CoolingState:
    """One zone or loop with the racks it serves and the units that say of themselves how they are."""

    node: CoolingNode
    racks: list[RackState]
    units: list[Intake]
    capacity_watts: float | None
    is_short: bool = False
    """Whether a unit is down, so that what redundancy there was is used up."""
    windows: Windows = field(default_factory=lambda: Windows((), default_s=300.0))

    def heat(self) -> Interval:
        """Sum the heat of its racks."""
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
        """Close a slot: note the heat, and find out whether a unit is down."""
        for _ in range(missed):
            self.windows.push(0.0, None, sum(state.plan.ceiling_watts for state in self.racks))
        heat = self.heat()
        self.windows.push(heat.lo, heat.best, heat.hi)
        self.is_short = any(_is_faulty(unit, look) for unit in self.units)


def _is_faulty(unit: Intake, look: Look) -> bool:
    source = unit.measured(UNIT_STATE)
    return source is not None and source.value == _FAULT and source.rank_at(look.mono_ns) <= HELD


def cooling_states(topology: Topology, racks: dict[str, RackState]) -> dict[str, CoolingState]:
    """Lay out the cooling of a site."""
    return {
        node.id: CoolingState(
            node,
            [
                state
                for state in racks.values()
                if node.id in (state.plan.rack.cooling_air, state.plan.rack.cooling_liquid)
            ],
            [i for i in topology.intakes.values() if i.device.node == node.id and i.device.kind == "cooling"],
            cooling_capacity_watts(node),
        )
        for node in topology.cooling.values()
    }

"""How well a zone's air is led: what recirculates, what bypasses (return temperature and supply heat indices)."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from typing import ClassVar

from keeld.alerts.board import Board
from keeld.budgets.air import mean_rise_kelvin, return_index, supply_heat_index
from keeld.budgets.intake import Intake
from keeld.budgets.source import HELD
from keeld.metrics import RETURN_INDEX, SUPPLY_HEAT_INDEX, TEMPERATURE
from keeld.model import Reading
from keeld.watch.cooling import CoolingState
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.racks import RackState

_MOST_INDEX = 10.0
"""An index beyond this comes from a rise that is next to nothing."""


class Airflow(Duty):
    """Indices of every zone whose units and racks tell enough; no rule is judged on them."""

    name: ClassVar[str] = "airflow"
    speaks_of = frozenset({"cooling_node"})

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self._zones = {zone.node.id: zone for zone in ground.cooling.values() if zone.node.kind == "air" and zone.units}
        self._mono_ns = 0
        for zone in self._zones.values():
            for state in zone.racks:
                for sensor in state.plan.sensors:
                    sensor.learn(TEMPERATURE)

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Note the time at which the indices are asked for."""
        del board
        self._mono_ns = slot.look.mono_ns
        yield 1

    def readings(self, kind: str, name: str) -> Iterable[Reading]:
        """Give a zone's indices, each where there is all that it takes."""
        zone = self._zones.get(name) if kind == "cooling_node" else None
        if zone is None:
            return ()
        supply, back = self._mean_of(zone, "supply"), self._mean_of(zone, "return")
        racks = [found for state in zone.racks if (found := self._rack(state)) is not None]
        if supply is None or not racks:
            return ()
        rise = mean_rise_kelvin([load for load, _, _ in racks], [out - at for _, at, out in racks])
        returned = None if back is None or rise is None else return_index(supply, back, rise)
        heated = supply_heat_index([at for _, at, _ in racks], [out for _, _, out in racks], supply)
        pairs = ((RETURN_INDEX, returned), (SUPPLY_HEAT_INDEX, heated))
        return [Reading(metric, index) for metric, index in pairs if index is not None and abs(index) <= _MOST_INDEX]

    def _mean_of(self, zone: CoolingState, part: str) -> float | None:
        """Average a temperature over the units that tell it; a unit that stands still tells the room's."""
        told = [value for unit in zone.units for value in self._live(unit, part)]
        return statistics.fmean(told) if told else None

    def _rack(self, state: RackState) -> tuple[float, float, float] | None:
        """Give a rack's draw, intake and exhaust; None unless all three are measured."""
        intakes = [value for sensor in state.plan.sensors for value in self._live(sensor, "intake")]
        exhausts = [value for sensor in state.plan.sensors for value in self._live(sensor, "exhaust")]
        draw = state.draw.total
        if not intakes or not exhausts or draw.best is None or draw.coverage < 1.0:
            return None
        return draw.best, statistics.median(intakes), statistics.median(exhausts)

    def _live(self, intake: Intake, part: str) -> list[float]:
        return [
            source.value
            for name, source in intake.parts_of(TEMPERATURE).items()
            if name.partition("/")[0] == part and source.value is not None and source.rank_at(self._mono_ns) <= HELD
        ]

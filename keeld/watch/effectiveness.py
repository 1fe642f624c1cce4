"""What the site spends beside its machines: PUE over whole hours, from the meter of the contract's node."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import ClassVar
from zoneinfo import ZoneInfo

from keeld.alerts.board import Board
from keeld.budgets.draw import is_metered_now
from keeld.budgets.effectiveness import Effectiveness, per_it_energy
from keeld.budgets.source import SECOND_NS
from keeld.budgets.window import SLOT_S
from keeld.metrics import PUE, PUE_POWER
from keeld.model import Moment, Reading
from keeld.watch.demand import load_of
from keeld.watch.derived import site_draw
from keeld.watch.duty import Duty, Ground, Slot

_WINDOWS = {"hour": 1, "day": 24}
_RACKS_A_STEP = 4


class EnergySpent(Duty):
    """The PUE of a site that has a meter of its own; nothing where it has none."""

    name: ClassVar[str] = "effectiveness"
    speaks_of = frozenset({"site"})

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        contract = ground.topology.site.contract
        self._node = None if contract is None else ground.nodes.get(contract.node)
        self._hours = Effectiveness(ZoneInfo(ground.topology.site.timezone))
        self._power_ratio: float | None = None

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Add the slot where all of the site and all of its machines are measured."""
        del board
        self._power_ratio = None
        if self._node is None or not is_metered_now(self._node.plan, slot.look):
            return
        site = load_of(self._node.known_draw)
        machines = load_of(site_draw(list(self.ground.racks.values())))
        end_ns = slot.now.wall_ns - (slot.now.mono_ns - slot.look.mono_ns)
        self._hours.add(site, machines, end_s=end_ns / SECOND_NS, span_s=SLOT_S)
        if site.is_measured and machines.is_measured:
            self._power_ratio = per_it_energy(site.best or 0.0, machines.best or 0.0)
        yield 1 + len(self.ground.racks) // _RACKS_A_STEP

    def readings(self, kind: str, name: str) -> Iterable[Reading]:
        """Give the ratios of the last hour and day, and that of power now, under a name of its own."""
        del name
        if kind != "site":
            return []
        ratios = [(PUE_POWER, "", self._power_ratio)]
        ratios += [(PUE, part, self._hours.ratio(hours)) for part, hours in _WINDOWS.items()]
        return [Reading(metric, ratio, part) for metric, part, ratio in ratios if ratio is not None and ratio >= 1.0]

    def findings(self) -> Iterator[str]:
        """Say why there is no PUE, or that it cannot be."""
        if self._node is None:
            return
        name = self._node.plan.node.id
        if not self._node.plan.meters:
            yield f"no PUE: no meter measures {name}"
        ratio = self._hours.ratio(1)
        if ratio is not None and ratio < 1.0:
            yield f"PUE of {ratio:.2f} cannot be: {name} shows less than the machines behind it, one meter is wrong"

    def keep(self, before: EnergySpent) -> None:
        """Take over the hours."""
        self._hours = before._hours

    def memory(self) -> Mapping[str, bytes]:
        """Give the hours."""
        return {} if self._node is None else {"hours": self._hours.dump()}

    def recall(self, memory: Mapping[str, bytes], now: Moment) -> None:
        """Take the hours of before the restart."""
        del now
        if "hours" in memory:
            with suppress(ValueError):
                self._hours.load(memory["hours"])

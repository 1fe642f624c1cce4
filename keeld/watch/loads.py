"""How loaded each limit is, as the derived batches say it: a ratio between two ends for every constraint.

Part `""` of `load_ratio` is the constraint that binds, named by `binding_reason`; the others have the constraint's
name as their part: `power`, `air`, `liquid`, `L1`, `apparent_power`. A ratio is of the window that verdicts are judged
on; before the first slot has closed it is of the live value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from keeld.budgets.source import Value
from keeld.metrics import BINDING, LOAD_HI_RATIO, LOAD_LO_RATIO, LOAD_RATIO
from keeld.model import Interval, Reading
from keeld.watch.cooling import CoolingState
from keeld.watch.nodes import NodeState
from keeld.watch.racks import RackState
from keeld.watch.rulebook import Windows

_CURRENT = "current"
_CODES = {name: float(code) for code, name in BINDING.states.items()}


class Loaded(NamedTuple):
    """One constraint's load over its limit: at least, likely (None if never measured), at most."""

    constraint: str
    lo: float
    best: float | None
    hi: float


def rack_loads(state: RackState) -> Iterator[Loaded]:
    """Give the load of each of a rack's budgets."""
    budget = state.plan.rack.budget
    if budget.power_watts:
        yield _loaded("power", budget.power_watts, state.power, state.draw.total)
    if budget.air_watts:
        yield _loaded("air", budget.air_watts, state.air, state.heat.air)
    if budget.liquid_watts:
        yield _loaded("liquid", budget.liquid_watts, state.liquid, state.heat.liquid)


def node_loads(state: NodeState) -> Iterator[Loaded]:
    """Give the load of each of a power node's limits; lines that nothing measures are left out."""
    rating = state.rating_amperes
    if rating:
        for phase, value in state.lines.items():
            if value is not None:
                yield _loaded(phase or _CURRENT, rating, state.continuous[phase], value)
    limit = state.watts_limit
    if limit is not None and limit.least_watts > 0.0:
        yield _loaded("power", limit.least_watts, state.power, state.known_draw)
    rated = state.plan.node.limit_volt_amperes
    if rated and state.volt_amperes is not None and state.apparent is not None:
        yield _loaded("apparent_power", rated, state.volt_amperes, state.apparent)


def cooling_loads(state: CoolingState, heat: Interval) -> Iterator[Loaded]:
    """Give the load of a zone or loop against what it may carry."""
    limit = state.limit_watts
    if limit:
        yield _loaded(state.node.kind, limit, state.windows, heat)


def _loaded(constraint: str, limit: float, windows: Windows, live: Interval | Value) -> Loaded:
    mean = windows.mean()
    if mean is None:
        return Loaded(constraint, live.lo / limit, None if live.best is None else live.best / limit, live.hi / limit)
    best = None if mean.best is None else mean.best / limit
    return Loaded(constraint, mean.seen_lo / limit, best, mean.hi / limit)


def load_readings(loads: Iterable[Loaded]) -> list[Reading]:
    """Give loads as readings, and which of them binds: the highest likely one."""
    readings: list[Reading] = []
    binding: Loaded | None = None
    for load in loads:
        readings += [Reading(LOAD_LO_RATIO, load.lo, load.constraint), Reading(LOAD_HI_RATIO, load.hi, load.constraint)]
        if load.best is None:
            continue
        readings.append(Reading(LOAD_RATIO, load.best, load.constraint))
        if binding is None or load.best > (binding.best or 0.0):
            binding = load
    if binding is not None and binding.best is not None:
        readings += [Reading(LOAD_RATIO, binding.best), Reading(BINDING, _code(binding.constraint))]
    return readings


def _code(constraint: str) -> float:
    return _CODES.get(constraint, _CODES[_CURRENT])

"""What the power nodes that take over a load would carry, against each of their limits.

A `Stress` is one node after one failure. It is kept up from slot to slot, and worked out again only when the node's own
load or one of the flows into it has changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from keeld.budgets.aftermath import Survival, Survivor
from keeld.budgets.electrical import LOWEST_POWER_FACTOR
from keeld.budgets.failover import add
from keeld.budgets.interval import NAMES_SHOWN, cap, cross, published, scaled
from keeld.budgets.limits import watts_of
from keeld.budgets.source import HELD, Value
from keeld.watch.moves import Carried, Flow, most_line_amperes
from keeld.watch.nodes import NodeState

_NOISE = 1e-9
"""Rounding of sums is no breach."""
ORDER = (Survival.WILL_TRIP, Survival.CANT_TELL, Survival.SURVIVABLE, Survival.OK)


class Inflow(NamedTuple):
    """A flow as it reaches a node further up: with the losses on the way; its lines end at a transformer."""

    flow: Flow
    ratio: float
    has_lines: bool


class Load(NamedTuple):
    """One limit of a node, and what it would carry; W, VA or A."""

    constraint: str
    unit: str
    limit: float
    surely: float
    """The limit that is certainly exceeded when the value is above it: more where the source in use is not known."""
    derate: float
    base: str
    """What a percentage of the limit is a percentage of, in words."""
    value: Value

    @property
    def survival(self) -> Survival:
        """Class it."""
        return survival(self.value.lo * self.limit / self.surely, self.value.hi, self.limit, self.derate)


class Strain(NamedTuple):
    """Highest loads of a stress as ratios of its limits: certain and possible; and of its derated limits."""

    lo: float
    hi: float
    derated_lo: float
    derated_hi: float


NO_STRAIN = Strain(0.0, 0.0, 0.0, 0.0)


class Stress:
    """One power node after one failure."""

    __slots__ = ("carried", "inflows", "is_alone", "number", "strain")

    def __init__(self, number: int, carried: Carried, inflows: tuple[Inflow, ...], *, is_alone: bool) -> None:
        self.number = number
        """Its place in the tables of its site."""
        self.carried = carried
        self.inflows = inflows
        self.is_alone = is_alone
        """Whether the node is one feed of one rack and nothing else."""
        self.strain = NO_STRAIN

    @property
    def name(self) -> str:
        """Give a name that stays the same over restarts: the node, and the feeds whose loads it takes over."""
        lost = {inflow.flow.move for inflow in self.inflows}
        feeds = sorted(f"{move.rack.plan.rack.id}/{'+'.join(sorted(move.letters))}" for move in lost)
        return f"{self.carried.state.plan.node.id} {' '.join(feeds)}"

    def rack_ids(self) -> Iterator[str]:
        """Name the racks whose loads it takes over."""
        return (inflow.flow.move.rack.plan.rack.id for inflow in self.inflows)

    def refresh(self) -> None:
        """Work it out again if what it hangs on has changed."""
        if self.carried.has_changed or any(inflow.flow.has_changed for inflow in self.inflows):
            self.strain = self._measured() or strain_of(self.loads())

    def _measured(self) -> Strain | None:
        """Do as `strain_of(self.loads())` in the plain case, and there in half the time; None where it is not plain.

        That is where the node and all that flows into it are measured: nearly always, and thousands of times a slot.
        """
        carried = self.carried
        inflows = [inflow for inflow in self.inflows if inflow.flow.watts.hi > 0.0]
        lo, _, hi, rank = carried.watts
        for flow, ratio, _ in inflows:
            gain = flow.watts
            lo, hi, rank = lo + gain.lo * ratio, hi + gain.hi * ratio, max(rank, gain.rank)
        if not inflows or rank > HELD:
            return None
        node, rating = carried.state.plan.node, carried.rating_amperes
        low = high = derated_low = derated_high = 0.0
        if rating:
            line = self._hottest(inflows, most_line_amperes(node, hi))
            if line is None:
                return None
            low, high = line[0] / rating, line[1] / rating
            derated_low, derated_high = low / node.derate, high / node.derate
        allowed = carried.allowed
        if allowed is not None:
            low, high = max(low, lo / allowed.most_watts), max(high, hi / allowed.least_watts)
        if node.limit_volt_amperes:
            low = max(low, lo / node.limit_volt_amperes)
            high = max(high, hi / LOWEST_POWER_FACTOR / node.limit_volt_amperes)
        return Strain(low, high, max(derated_low, low), max(derated_high, high))

    def _hottest(self, inflows: list[Inflow], most_amperes: float) -> tuple[float, float] | None:
        """Give the highest certain and the highest possible current of all lines; None where a line is not known."""
        hottest = possible = 0.0
        for place, before in enumerate(self.carried.lines):
            if before is None:
                return None
            low, _, high, _ = before
            for flow, ratio, has_lines in inflows:
                gained = flow.lines[place] if has_lines else None
                if gained is None:
                    return None
                low += gained[0] * ratio
                high += gained[2] * ratio
            hottest, possible = max(hottest, low), max(possible, low, min(high, most_amperes))
        return hottest, possible

    def loads(self) -> list[Load]:
        """Give what each limit of the node would carry; none where nothing flows in."""
        inflows = [inflow for inflow in self.inflows if inflow.flow.watts.hi > 0.0]
        if not inflows:
            return []
        state = self.carried.state
        watts = add([self.carried.watts, *[scaled(flow.watts, ratio) for flow, ratio, _ in inflows]])
        if self.is_alone and watts.rank > HELD:
            whole = inflows[0].flow.whole()
            watts = watts if whole is None else cross(watts, scaled(whole, inflows[0].ratio))
        loads = self._breaker(inflows, watts)
        allowed, rating = self.carried.allowed, state.plan.node.limit_volt_amperes
        if allowed is not None:
            loads.append(Load("power", "W", allowed.least_watts, allowed.most_watts, 1.0, allowed.base, watts))
        if rating:
            loads.append(Load("apparent_power", "VA", rating, rating, 1.0, "rating", apparent(watts)))
        return loads

    def _breaker(self, inflows: list[Inflow], watts: Value) -> list[Load]:
        state = self.carried.state
        node, rating = state.plan.node, self.carried.rating_amperes
        if not rating:
            return []
        most = most_line_amperes(node, watts.hi)
        loads = []
        for place, phase in enumerate(state.plan.lines):
            value = self._line(place, inflows)
            if value is None:
                return _balanced(state, rating, watts)
            name = f"current/{phase}" if phase else "current"
            loads.append(Load(name, "A", rating, rating, node.derate, state.breaker_base, cap(value, most)))
        return loads

    def currents(self) -> list[tuple[str, float]]:
        """Give the likeliest current of each line, in A; none where a line is not measured, or nothing flows in."""
        inflows = [inflow for inflow in self.inflows if inflow.flow.watts.hi > 0.0]
        found = []
        for place, phase in enumerate(self.carried.state.plan.lines if inflows and self.carried.rating_amperes else ()):
            value = self._line(place, inflows)
            if value is None or value.best is None or value.rank > HELD:
                return []
            found.append((phase, value.best))
        return found

    def _line(self, place: int, inflows: list[Inflow]) -> Value | None:
        """Give what one line would carry; None where nothing tells what it carries or what flows into it."""
        before = self.carried.lines[place]
        if before is None:
            return None
        values = [before]
        for flow, ratio, has_lines in inflows:
            gained = flow.lines[place] if has_lines else None
            if gained is None:
                return None
            values.append(scaled(gained, ratio))
        return add(values)


def strongest(stresses: Iterable[Stress]) -> Strain:
    """Give the highest ratios of several stresses."""
    strains = [stress.strain for stress in stresses]
    return Strain(*map(max, zip(*strains, strict=True))) if strains else NO_STRAIN


def strain_of(loads: Iterable[Load]) -> Strain:
    """Give the highest ratios of some loads to their limits."""
    lo = hi = derated_lo = derated_hi = 0.0
    for load in loads:
        low, high = load.value.lo / load.surely, load.value.hi / load.limit
        lo, hi = max(lo, low), max(hi, high)
        derated_lo, derated_hi = max(derated_lo, low / load.derate), max(derated_hi, high / load.derate)
    return Strain(lo, hi, derated_lo, derated_hi)


def _balanced(state: NodeState, rating_amperes: float, watts: Value) -> list[Load]:
    """Judge a breaker whose lines are not known by what it lets through in all."""
    node = state.plan.node
    limit = watts_of(node, rating_amperes)
    if not limit:
        return []
    base = f"{state.breaker_base}, if its lines are balanced" if node.phases > 1 else state.breaker_base
    return [Load("apparent_power", "VA", limit, limit, node.derate, base, apparent(watts))]


def survivors_of(stress: Stress, unknown: Iterable[str]) -> Iterator[Survivor]:
    """Put a stress into the values that leave keeld; `unknown` names sources that would tell it better."""
    state = stress.carried.state
    node, live = state.plan.node, state.known_draw
    for load in stress.loads():
        value, word = load.value, load.survival
        lost = dict.fromkeys((*live.lost, *unknown)) if value.rank > HELD else {}
        yield Survivor(
            node=node.id,
            label=node.label or node.id,
            constraint=load.constraint,
            unit=load.unit,
            limit=load.limit,
            derate=load.derate,
            base=load.base,
            value=published(value, coverage=live.coverage, provenance="prediction", lost=lost),
            survival=word,
            why=_why(tuple(lost)) if word is Survival.CANT_TELL else "",
        )


def apparent(watts: Value) -> Value:
    """Bound apparent power by active power: no less, and no more than at the lowest usual power factor."""
    return watts._replace(hi=watts.hi / LOWEST_POWER_FACTOR)


def survival(lo: float, hi: float, limit: float, derate: float) -> Survival:
    """Class what a survivor carries: within its derated limit, within its limit, above it, or not to be told."""
    most = limit * (1 + _NOISE)
    if lo > most:
        return Survival.WILL_TRIP
    if hi > most:
        return Survival.CANT_TELL
    return Survival.OK if hi <= most * derate else Survival.SURVIVABLE


def _why(unknown: tuple[str, ...]) -> str:
    return f"no data from {', '.join(unknown[:NAMES_SHOWN])}" if unknown else "only bounds are known"


def by_weight(survivor: Survivor) -> tuple[int, float, float]:
    """Order survivors worst first."""
    value = survivor.value
    return ORDER.index(survivor.survival), -value.lo / survivor.limit, -value.hi / survivor.limit

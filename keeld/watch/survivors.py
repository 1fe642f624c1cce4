"""What the power nodes that take over a load would carry, against each of their limits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from keeld.budgets.aftermath import Survival, Survivor
from keeld.budgets.electrical import LOWEST_POWER_FACTOR
from keeld.budgets.failover import add
from keeld.budgets.interval import NAMES_SHOWN, cap, cross, published
from keeld.budgets.limits import breaker_base, watts_of
from keeld.budgets.source import HELD, QUALITIES, Value
from keeld.model import Interval, PowerNode
from keeld.watch.nodes import NodeState
from keeld.watch.racks import RackState
from keeld.watch.rulebook import Windows

_SQRT3 = math.sqrt(3.0)
_NOISE = 1e-9
"""Rounding of sums is no breach."""
ORDER = (Survival.WILL_TRIP, Survival.CANT_TELL, Survival.SURVIVABLE, Survival.OK)


@dataclass(slots=True)
class Gain:
    """What one power node takes over: in W, and in A on each line where that is known."""

    watts: list[Value] = field(default_factory=list)
    lines: dict[str, list[Value | None]] = field(default_factory=dict)
    whole: Value | None = None
    """All that the node then carries, where the rack's own total tells it better than its feeds do."""
    unknown: dict[str, None] = field(default_factory=dict)
    """Sources that would tell better what it takes over, in order."""


def settled(windows: Windows | None, live: Value) -> Value:
    """Give the 5-minute mean of what is measured now; of anything else what is known now, without a likeliest value."""
    if live.rank > HELD:
        return live._replace(best=None)
    mean = None if windows is None else windows.mean()
    return live if mean is None else Value(mean.seen_lo, mean.best, mean.hi, live.rank)


def of_interval(interval: Interval) -> Value:
    """Turn a published quantity back into one that can be added."""
    return Value(interval.lo, interval.best, interval.hi, QUALITIES.index(interval.quality))


class Carried:
    """What nodes and feeds carry: 5-minute means, each worked out once; what they carry now where a feed is dead.

    While a feed is dead a mean mixes what was before with what is after.
    """

    def __init__(self, *, is_live: bool) -> None:
        self._is_live = is_live
        self._known: dict[tuple[str, str, str], Value] = {}

    def _settled(self, key: tuple[str, str, str], windows: Windows | None, live: Value) -> Value:
        value = self._known.get(key)
        if value is None:
            value = self._known[key] = settled(None if self._is_live else windows, live)
        return value

    def feed(self, rack: RackState, letter: str) -> Value:
        """Give what a feed carries, in W."""
        key = ("feed", rack.plan.rack.id, letter)
        return self._settled(key, rack.feeds[letter], of_interval(rack.draw.feeds[letter]))

    def node(self, state: NodeState) -> Value:
        """Give what a node carries, in W."""
        return self._settled(("node", state.plan.node.id, ""), state.power, of_interval(state.known_draw))

    def line(self, state: NodeState, phase: str) -> Value | None:
        """Give what a node's line carries, in A; None where nothing tells it."""
        live = state.lines.get(phase)
        if live is None:
            return None
        return self._settled(("line", state.plan.node.id, phase), state.continuous.get(phase), live)


def judge_survivor(state: NodeState, gain: Gain, carried: Carried) -> Iterator[Survivor]:
    """Judge every limit of a node that takes a load over."""
    node = state.plan.node
    watts = add([carried.node(state), *gain.watts])
    if gain.whole is not None and watts.rank > HELD:
        watts = cross(watts, gain.whole)
    if state.rating_amperes is not None:
        yield from _breaker(state, gain, watts, carried)
    if node.limit_watts is not None:
        yield _judged(state, gain, "power", "W", node.limit_watts, "limit", watts, derate=1.0)
    if node.limit_volt_amperes is not None:
        yield _judged(
            state, gain, "apparent_power", "VA", node.limit_volt_amperes, "rating", apparent(watts), derate=1.0
        )


def _breaker(state: NodeState, gain: Gain, watts: Value, carried: Carried) -> Iterator[Survivor]:
    node, rating = state.plan.node, state.rating_amperes or 0.0
    most = most_line_amperes(node, watts.hi)
    lines = {phase: _line(state, gain, phase, most, carried) for phase in state.plan.lines}
    if all(line is not None for line in lines.values()):
        for phase, line in lines.items():
            name = f"current/{phase}" if phase else "current"
            yield _judged(state, gain, name, "A", rating, breaker_base(node), line or watts)
        return
    limit = watts_of(node, rating)
    if limit is not None:
        base = f"{breaker_base(node)}, if its lines are balanced" if node.phases > 1 else breaker_base(node)
        yield _judged(state, gain, "apparent_power", "VA", limit, base, apparent(watts))


def _line(state: NodeState, gain: Gain, phase: str, most_amperes: float, carried: Carried) -> Value | None:
    before = carried.line(state, phase)
    gained = gain.lines.get(phase, [])
    if before is None or None in gained:
        return None
    return cap(add([before, *(value for value in gained if value is not None)]), most_amperes)


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


def _judged(
    state: NodeState, gain: Gain, constraint: str, unit: str, limit: float, base: str, value: Value,
    *, derate: float | None = None,
) -> Survivor:  # fmt: skip
    node, live = state.plan.node, state.known_draw
    allowed = node.derate if derate is None else derate
    word = survival(value.lo, value.hi, limit, allowed)
    lost = dict.fromkeys((*live.lost, *gain.unknown)) if value.rank > HELD else ()
    return Survivor(
        node=node.id,
        label=node.label or node.id,
        constraint=constraint,
        unit=unit,
        limit=limit,
        derate=allowed,
        base=base,
        value=published(value, coverage=live.coverage, provenance="prediction", lost=lost),
        survival=word,
        why=_why(tuple(lost)) if word is Survival.CANT_TELL else "",
    )


def _why(unknown: tuple[str, ...]) -> str:
    return f"no data from {', '.join(unknown[:NAMES_SHOWN])}" if unknown else "only bounds are known"


def by_weight(survivor: Survivor) -> tuple[int, float, float]:
    """Order survivors worst first."""
    value = survivor.value
    return ORDER.index(survivor.survival), -value.lo / survivor.limit, -value.hi / survivor.limit


def most_line_amperes(node: PowerNode, watts: float) -> float:
    """Give what one line carries if a load hangs on that line alone, in A; without a voltage there is no such bound."""
    if node.voltage_volts is None:
        return math.inf
    return watts / (node.voltage_volts / (_SQRT3 if node.phases > 1 else 1.0) * LOWEST_POWER_FACTOR)

"""Headroom: the load that may still be added to a rack, by everything that binds it.

A node's limit is in the unit of its rating; here it is turned into W of a load like the one it carries: at its
measured power factor, and as if its hottest line went on being the hottest. Headroom is the limit less the highest
possible load, so what is not known takes room away. The derate and a configured share are part of it: headroom is for
planning, alarms have limits of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from keeld.budgets.electrical import LOWEST_POWER_FACTOR, volt_amperes
from keeld.trees import PowerNode

_LEAST_POWER_FACTOR = 0.3


@dataclass(frozen=True, slots=True)
class Room:
    """What one constraint leaves, in W of load at the rack; may be negative."""

    constraint: str
    """power, current, apparent_power, failover, air or liquid."""
    target: str
    """The rack, power node or cooling node whose limit it is."""
    watts: float
    base: str
    """The limit in words, and after which loss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Headroom:
    """What may be added to one rack. `watts` is None where the configuration sets no limit for it."""

    rack: str
    label: str
    watts: float | None
    rooms: tuple[Room, ...]
    """Tightest first."""
    peak_watts: float | None
    """The same on the 24-hour p99 of every load instead of its 5-minute mean."""
    lost: tuple[str, ...] = ()
    """Sources without data: what they measured is taken at its most."""

    @property
    def binding(self) -> Room | None:
        """The constraint that binds."""
        return self.rooms[0] if self.rooms else None


@dataclass(frozen=True, slots=True)
class Capacity:
    """One limit of a power node in W of load: how much, how much planning may use, and how much is used."""

    constraint: str
    limit_watts: float
    share: float
    load_watts: float
    stretch: float
    """W of this limit that each W of balanced load takes: more than 1 where one line is hotter than the others."""
    base: str

    @property
    def free_watts(self) -> float:
        """What is left for planning."""
        return (self.limit_watts * self.share - self.load_watts) / self.stretch

    def free_after_watts(self, gained_watts: float) -> float:
        """Give what is left once a load from elsewhere has moved here; a share is kept free for just that."""
        return (self.limit_watts - self.load_watts) / self.stretch - gained_watts


def measured_power_factor(node: PowerNode, watts: float | None, line_amperes: Iterable[float]) -> float | None:
    """Give active over apparent power as line currents and the nominal voltage tell it; None where they do not."""
    lines = list(line_amperes)
    if node.voltage_volts is None or not lines or watts is None:
        return None
    volt_amps = volt_amperes(sum(lines) / len(lines), node.voltage_volts, node.phases)
    if volt_amps <= 0.0 or watts <= 0.0:
        return None
    return min(1.0, max(_LEAST_POWER_FACTOR, watts / volt_amps))


def current_capacity(
    node: PowerNode, *, rating_amperes: float, hottest_amperes: float, mean_amperes: float, power_factor: float | None,
    base: str,
) -> Capacity | None:  # fmt: skip
    """Turn a breaker's continuous limit into W; None without a voltage."""
    if node.voltage_volts is None:
        return None
    factor = power_factor or node.power_factor or (1.0 if node.is_direct_current else LOWEST_POWER_FACTOR)
    watts_per_ampere = volt_amperes(1.0, node.voltage_volts, node.phases) * factor
    stretch = hottest_amperes / mean_amperes if mean_amperes > 0.0 else 1.0
    return Capacity(
        "current",
        rating_amperes * node.derate * watts_per_ampere,
        node.share or 1.0,
        hottest_amperes * watts_per_ampere,
        max(1.0, stretch),
        f"{base} x {node.derate:g} continuous" + _shared(node),
    )


def watts_capacity(node: PowerNode, limit_watts: float, load_watts: float, base: str) -> Capacity:
    """Give a limit in W."""
    return Capacity("power", limit_watts, node.share or 1.0, load_watts, 1.0, base + _shared(node))


def apparent_capacity(node: PowerNode, load_volt_amperes: float, power_factor: float | None) -> Capacity | None:
    """Turn a rating in VA into W at the power factor of the load; None where there is none."""
    if node.limit_volt_amperes is None:
        return None
    factor = power_factor or node.power_factor or LOWEST_POWER_FACTOR
    limit, load = node.limit_volt_amperes * factor, load_volt_amperes * factor
    base = f"{node.limit_volt_amperes / 1000.0:g} kVA rating" + _shared(node)
    return Capacity("apparent_power", limit, node.share or 1.0, load, 1.0, base)


def _shared(node: PowerNode) -> str:
    return "" if node.share is None else f" x {node.share:.3g} share"


def stranded_watts(free_watts: float, usable_below_watts: Iterable[float]) -> float:
    """Give the free capacity of a node that nothing below it can use (section 1.5)."""
    return max(0.0, free_watts - sum(max(0.0, watts) for watts in usable_below_watts))


class Bound(NamedTuple):
    """A room that may turn out not to be the tightest; `cause` is the loss after which it holds."""

    constraint: str
    target: str
    watts: float
    base: str
    cause: str = ""


def tightest(bounds: Iterable[Bound]) -> tuple[Room, ...]:
    """Keep the least room of each constraint at each target, tightest first."""
    least: dict[tuple[str, str], Bound] = {}
    for bound in bounds:
        key = bound[:2]
        known = least.get(key)
        if known is None or bound.watts < known.watts:
            least[key] = bound
    return tuple(_room(bound) for bound in sorted(least.values(), key=lambda bound: bound.watts))


def _room(bound: Bound) -> Room:
    base = f"{bound.base}, after the loss of {bound.cause}" if bound.cause else bound.base
    return Room(bound.constraint, bound.target, bound.watts, base)


def shares_below(feeds: Mapping[str, tuple[str, ...]], dead: frozenset[str] = frozenset()) -> dict[str, float]:
    """Give the part of a rack's added load that each node above its feeds carries, once some of them are dead.

    `feeds` has for each feed the nodes above it; an added machine is taken to draw evenly from what is left.
    """
    alive = [nodes for letter, nodes in feeds.items() if letter not in dead]
    found: dict[str, float] = {}
    for nodes in alive:
        for name in nodes:
            found[name] = found.get(name, 0.0) + 1.0 / len(alive)
    return found

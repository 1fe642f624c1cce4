"""What a power node can carry: the rating in the unit that binds, as the surroundings leave it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

from keeld.budgets.electrical import volt_amperes
from keeld.node_kinds import kind_named
from keeld.trees import PowerNode

BEYOND_ANY_SITE_WATTS = 1e9
"""Stands for a ceiling that the configuration does not give (it should), so that every sum stays finite."""

_REFERENCE_CELSIUS = {"thermal_40c": 40.0, "thermal_30c": 30.0}
_BIMETAL_RISE_KELVIN = 60.0  # a breaker at its rating heats its bimetal by about this; makers' tables agree within 3 %
_ALTITUDES = ((2000.0, 1.0), (3000.0, 0.96), (4000.0, 0.93), (5000.0, 0.90))  # m, and what is left of the rating
_PER_KILO = 1000.0
_THREE = 3


class Ambient(NamedTuple):
    """The temperature that a breaker stands in: None where nothing tells, and whether a live sensor does."""

    celsius: float | None
    is_measured: bool


def ambient_of(node: PowerNode, measured_celsius: float | None = None) -> Ambient:
    """Give a node's ambient: a live sensor's reading, else the configured figure."""
    if measured_celsius is not None:
        return Ambient(measured_celsius, is_measured=True)
    return Ambient(node.ambient_celsius, is_measured=False)


def environment_ratio(node: PowerNode, measured_celsius: float | None = None) -> float:
    """Share of its rating that a breaker keeps at its ambient temperature and altitude; never above 1.

    A thermal breaker trips by heat: current squared plus ambient. An electronic one does not care.
    """
    reference = _REFERENCE_CELSIUS.get(node.breaker_kind)
    ambient = ambient_of(node, measured_celsius).celsius
    thin_air = altitude_ratio(node.altitude_metres)
    if reference is None or ambient is None:
        return thin_air
    left_kelvin = _BIMETAL_RISE_KELVIN - (ambient - reference)
    return thin_air * min(1.0, math.sqrt(max(0.01, left_kelvin / _BIMETAL_RISE_KELVIN)))


def altitude_ratio(altitude_metres: float) -> float:
    """Share of its rating that a breaker keeps in thin air, between the usual steps of its makers' tables."""
    for (low, at_low), (high, at_high) in pairwise(_ALTITUDES):
        if altitude_metres <= high:
            return at_low + (at_high - at_low) * max(0.0, altitude_metres - low) / (high - low)
    return _ALTITUDES[-1][1]


def effective_amperes(node: PowerNode, measured_celsius: float | None = None) -> float | None:
    """Rating of a node's breaker per phase where it stands: nameplate times environment."""
    if node.breaker_amperes is None:
        return None
    return node.breaker_amperes * environment_ratio(node, measured_celsius)


def neutral_rating_amperes(node: PowerNode) -> float | None:
    """Rating of a node's neutral: its own, else that of the lines; None without a neutral."""
    if node.wiring != "wye" or node.phases != _THREE or node.is_direct_current:
        return None
    return node.neutral_amperes if node.neutral_amperes is not None else node.breaker_amperes


def kind_of(node: PowerNode) -> str:
    """Give what a node is: as configured, else the word its id begins with, else what its ratings are usual for."""
    if node.kind:
        return node.kind
    named = kind_named(node.id)
    if named is not None:
        return named
    if node.parent is None:
        return "utility"
    return "transformer" if node.limit_volt_amperes is not None else "breaker"


class SourceLimit(NamedTuple):
    """What a node may draw by its own limit and that of its source, in W: at least and at most, and in words."""

    least_watts: float
    most_watts: float
    base: str


def source_limit(node: PowerNode, active: str | None, *, is_told: bool = True) -> SourceLimit | None:
    """Give the limit in W that holds now; None where there is none.

    `active` is the source in use; where a device should tell it and does not, it may be any of them.
    """
    own = node.limit_watts
    if not node.sources:
        return None if own is None else SourceLimit(own, own, "limit")
    if is_told:
        name = active if active is not None and active in node.sources else normal_source(node)
        limit = node.sources[name].limit_watts
        base = f"limit of source {name}"
        return SourceLimit(own, own, "limit") if own is not None and own <= limit else SourceLimit(limit, limit, base)
    limits = [source.limit_watts for source in node.sources.values()]
    least, most = (value if own is None else min(own, value) for value in (min(limits), max(limits)))
    return SourceLimit(least, most, "least of its sources, as nothing tells which is in use")


def normal_source(node: PowerNode) -> str:
    """Give the source that is in use unless a device says otherwise; empty where a node has no alternatives."""
    return node.source or next(iter(node.sources), "")


def parents_of(node: PowerNode) -> tuple[str, ...]:
    """Give the nodes that may feed this one, the normal one first."""
    normal = parent_by_source(node, normal_source(node))
    others = (source.parent for source in node.sources.values())
    return tuple(dict.fromkeys(name for name in (normal, node.parent, *others) if name is not None))


def parent_by_source(node: PowerNode, source: str) -> str | None:
    """Give the node that feeds this one while a source is in use: the source's own, else the parent."""
    found = node.sources.get(source)
    return found.parent if found is not None and found.parent is not None else node.parent


def phases_of(node: PowerNode) -> tuple[str, ...]:
    """Names of a node's lines; a single-phase circuit has one without a name."""
    return ("L1", "L2", "L3")[: node.phases] if node.phases > 1 else ("",)


def watts_of(node: PowerNode, amperes: float) -> float | None:
    """Active power of a current on every phase at a power factor of 1; None without a voltage."""
    if node.voltage_volts is None:
        return None
    return volt_amperes(amperes, node.voltage_volts, node.phases)


def own_ceiling_watts(node: PowerNode) -> float:
    """Most that a node's own ratings let through, whichever source is in use."""
    breaker = None if node.breaker_amperes is None else watts_of(node, node.breaker_amperes)
    sources = max((source.limit_watts for source in node.sources.values()), default=None)
    own = (breaker, node.limit_watts, node.limit_volt_amperes, sources)
    return min((limit for limit in own if limit is not None), default=BEYOND_ANY_SITE_WATTS)


def ceiling_watts(node_id: str | None, power: Mapping[str, PowerNode], seen: frozenset[str] = frozenset()) -> float:
    """Most that can flow through a node: the least of its own limits and those above it, by whichever way it is fed."""
    if node_id is None or node_id not in power or node_id in seen:
        return BEYOND_ANY_SITE_WATTS
    node = power[node_id]
    above = [ceiling_watts(parent, power, seen | {node_id}) for parent in parents_of(node)]
    return min(own_ceiling_watts(node), max(above, default=BEYOND_ANY_SITE_WATTS))


def breaker_base(node: PowerNode, measured_celsius: float | None = None) -> str:
    """Say in words what a percentage of a breaker's effective rating is a percentage of, and whose ambient counts."""
    rating = f"{node.breaker_amperes:g} A breaker"
    ratio = environment_ratio(node, measured_celsius)
    if node.ambient_device is None or node.breaker_kind not in _REFERENCE_CELSIUS:
        return rating if ratio == 1.0 else f"{rating} x {ratio:.2f} environment"
    ambient = ambient_of(node, measured_celsius)
    if ambient.celsius is None:
        return f"{rating} (ambient not known: {node.ambient_device} is silent)"
    told = "measured" if ambient.is_measured else f"configured: {node.ambient_device} is silent"
    return f"{rating} x {ratio:.2f} environment at {ambient.celsius:.0f} °C {told}"


def kilo(number: float) -> float:
    """Turn W into kW, VA into kVA."""
    return number / _PER_KILO

"""Apparent power up the tree: active and reactive power are summed, each as an interval; apparent powers never are.

Reactive power comes from the meter, else from its apparent power or power factor. Where nothing tells it, it lies
between nothing and what the lowest usual power factor gives (or the node's configured one).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from keeld.budgets.electrical import LOWEST_POWER_FACTOR, reactive_vars, vars_at
from keeld.budgets.interval import total
from keeld.budgets.meters import Meter
from keeld.budgets.source import GOOD, HELD, Look, Value
from keeld.budgets.topology import Feed
from keeld.model import Interval

_LEAST_POWER_FACTOR = 0.05
"""Below this a reading is no power factor of a load that draws anything."""


class Reactive(NamedTuple):
    """Reactive power in var, positive when inductive, and whether a power factor was assumed for some of it."""

    vars: Value
    is_assumed: bool


NO_VARS = Reactive(Value(0.0, 0.0, 0.0, GOOD), is_assumed=False)


def add_reactive(parts: Iterable[Reactive]) -> Reactive:
    """Add reactive powers up."""
    known = list(parts)
    if len(known) == 1:
        return known[0]
    return Reactive(total(part.vars for part in known), any(part.is_assumed for part in known))


def scaled_reactive(part: Reactive, ratio: float) -> Reactive:
    """Take reactive power in the proportion of the active power it belongs to."""
    if ratio == 1.0:
        return part
    lo, best, hi, rank = part.vars
    return Reactive(Value(lo * ratio, None if best is None else best * ratio, hi * ratio, rank), part.is_assumed)


def assumed_reactive(watts: Interval, power_factor: float | None = None) -> Reactive:
    """Bound the reactive power of a load that nothing tells more of."""
    if power_factor is not None:
        best = None if watts.best is None else vars_at(watts.best, power_factor)
        found = Value(vars_at(watts.lo, power_factor), best, vars_at(watts.hi, power_factor), HELD)
        return Reactive(found, is_assumed=True)
    return Reactive(Value(0.0, None, vars_at(watts.hi, LOWEST_POWER_FACTOR), HELD), is_assumed=True)


def meter_reactive(meter: Meter, watts: Interval, look: Look) -> Reactive | None:
    """Give the reactive power that a live meter tells, by its best reading of it; None where it tells none."""
    source = meter.reactive
    if source is not None and source.rank_at(look.mono_ns) <= HELD:
        return Reactive(source.look(look, math.inf), is_assumed=False)
    source = meter.apparent
    if source is not None and source.rank_at(look.mono_ns) <= HELD:
        lo, best, hi, rank = source.look(look, math.inf)
        likely = None if best is None or watts.best is None else reactive_vars(watts.best, best)
        return Reactive(Value(reactive_vars(watts.hi, lo), likely, reactive_vars(watts.lo, hi), rank), is_assumed=False)
    source = meter.factor
    if source is not None and source.rank_at(look.mono_ns) <= HELD:
        factor = abs(source.look(look, 1.0).best or 0.0)
        if _LEAST_POWER_FACTOR <= factor <= 1.0:
            return assumed_reactive(watts, factor)._replace(is_assumed=False)
    return None


def feed_reactive(feed: Feed, watts: Interval, look: Look, power_factor: float | None) -> Reactive:
    """Give a feed's reactive power: of its PDUs together, else of the first meter that tells it, else bounds."""
    if feed.inlets:
        alone = len(feed.inlets) == 1
        parts = [meter_reactive(meter, watts if alone else _own_watts(meter, look), look) for meter in feed.inlets]
        told = [part for part in parts if part is not None]
        if len(told) == len(parts):
            return add_reactive(told)
    for meter in feed.meters:
        part = meter_reactive(meter, watts, look)
        if part is not None:
            return part
    return assumed_reactive(watts, power_factor)


def _own_watts(meter: Meter, look: Look) -> Interval:
    value = total(power.look(look, math.inf) for power in meter.powers)
    return Interval(value.lo, value.best, value.hi)


def apparent(watts: Interval, reactive: Reactive) -> Value:
    """Give the apparent power of active and reactive power, each between two ends, in VA."""
    lo, best, hi, rank = reactive.vars
    least = 0.0 if lo <= 0.0 <= hi else min(abs(lo), abs(hi))
    most = max(abs(lo), abs(hi))
    likely = None if watts.best is None else math.hypot(watts.best, best or 0.0)
    return Value(math.hypot(watts.lo, least), likely, math.hypot(watts.hi, most), rank)

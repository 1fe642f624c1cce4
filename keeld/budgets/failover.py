"""What the loss of feeds does to a rack: what dies, what moves to which survivor, who is left with too few supplies.

A machine on several feeds loads its surviving ones by the number of power supplies on each (specification 1.3); one on
a single feed dies with it. A miner has one cord unless its cords say otherwise. Where the configuration does not say
how a machine is plugged, the rack's declared redundancy does: with it, what is not known to die moves; without it,
either is possible and no likeliest value is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from keeld.budgets.draw import REPORTED_ERROR, load_draw
from keeld.budgets.interval import clamp, widen
from keeld.budgets.source import GOOD, Look, Value
from keeld.budgets.topology import Load, RackPlan

NOTHING = Value(0.0, 0.0, 0.0, GOOD)


class Weight(NamedTuple):
    """Share of what moves that one survivor takes: at least, likely, at most."""

    lo: float
    best: float
    hi: float


@dataclass(slots=True)
class Machines:
    """A rack's machines by what the loss of some of its feeds does to them."""

    dying: list[Load]
    moving: list[tuple[Load, Mapping[str, int]]]
    """With the power supplies on each of the feeds it hangs on."""
    doubtful: list[Load]
    """Nobody has said which feed it hangs on."""
    degraded: list[Load]
    """Moving, but left with fewer power supplies than it needs for full power."""


@dataclass(slots=True)
class Shift:
    """Where a rack's load goes, in W."""

    lost: frozenset[str]
    carried: Value
    """What the lost feeds carried."""
    dead: Value
    gains: dict[str, Value]
    """What each surviving feed takes over."""
    weights: dict[str, Weight]
    machines: Machines


def cords_of(load: Load, plan: RackPlan) -> dict[str, int] | None:
    """Give a machine's power supplies by feed; None where the configuration does not tell."""
    device = load.intake.device
    cords = {cord.feed: cord.psus for cord in device.cords} or ({} if device.feed is None else {device.feed: 1})
    known = {letter: psus for letter, psus in cords.items() if psus > 0 and letter in plan.feeds}
    if known:
        return known
    if len(plan.feeds) == 1 or (device.kind != "miner" and plan.rack.redundancy != "N"):
        return dict.fromkeys(plan.feeds, 1)
    return None


def supplies_left(cords: Mapping[str, int], lost: frozenset[str]) -> int:
    """Count the power supplies that still have a feed."""
    return sum(psus for letter, psus in cords.items() if letter not in lost)


def sort_machines(plan: RackPlan, lost: frozenset[str]) -> Machines:
    """Tell what the loss of feeds does to each machine of a rack; those that do not hang on them are left out."""
    found = Machines([], [], [], [])
    for load in plan.loads:
        cords = cords_of(load, plan)
        if cords is None:
            found.doubtful.append(load)
            continue
        if lost.isdisjoint(cords):
            continue
        left = supplies_left(cords, lost)
        if not left:
            found.dying.append(load)
            continue
        found.moving.append((load, cords))
        needed = load.intake.device.psus_needed
        if needed is not None and left < needed:
            found.degraded.append(load)
    return found


def shift(
    plan: RackPlan, draws: Mapping[str, Value], lost: frozenset[str], look: Look, gone: frozenset[str] = frozenset()
) -> Shift:
    """Say where the load of the `lost` feeds goes; feeds that are `gone` already carry nothing and take nothing."""
    machines = sort_machines(plan, lost | gone)
    carried = add(draws[letter] for letter in lost)
    survivors = [letter for letter in plan.feeds if letter not in lost and letter not in gone]
    if not survivors:
        return Shift(lost, carried, carried, {}, {}, machines)
    dead, moved = _divide(plan, machines, carried, look)
    weights = {letter: _weight(letter, survivors, machines, lost) for letter in survivors}
    gains = {letter: _scaled(moved, weight) for letter, weight in weights.items()}
    return Shift(lost, carried, dead, gains, weights, machines)


def _divide(plan: RackPlan, machines: Machines, carried: Value, look: Look) -> tuple[Value, Value]:
    """Divide what the lost feeds carried into what dies and what moves."""
    if plan.rack.redundancy == "N" and not machines.moving and not machines.doubtful:
        if machines.dying:
            return carried, NOTHING
        anything = Value(0.0, None, carried.hi, carried.rank)
        return anything, anything
    dead = _dying_watts(machines, carried, look)
    return dead, minus(carried, dead)


def _dying_watts(machines: Machines, carried: Value, look: Look) -> Value:
    """Sum the machines' own reports of what dies, within what the lost feeds carried."""
    known = widen(add(load_draw(load, look)[0] for load in machines.dying), REPORTED_ERROR)
    maybe = add(load_draw(load, look)[0] for load in machines.doubtful)
    best = None if machines.doubtful else known.best
    lo, hi = min(known.lo, carried.hi), min(known.hi + maybe.hi, carried.hi)
    return Value(lo, clamp(best, lo, hi), hi, max(known.rank, maybe.rank))


def minus(whole: Value, part: Value) -> Value:
    """Take a part out of a whole; the rest is never below nothing."""
    lo, hi = max(0.0, whole.lo - part.hi), max(0.0, whole.hi - part.lo)
    best = None if whole.best is None or part.best is None else clamp(whole.best - part.best, lo, hi)
    return Value(lo, best, hi, max(whole.rank, part.rank))


def _weight(letter: str, survivors: list[str], machines: Machines, lost: frozenset[str]) -> Weight:
    """Weigh a survivor by its share of the power supplies that are left, over all machines that move."""
    if len(survivors) == 1:
        return Weight(1.0, 1.0, 1.0)
    shares, sizes = [], []
    for load, cords in machines.moving:
        left = sum(psus for name, psus in cords.items() if name in survivors)
        shares.append(cords.get(letter, 0) / left)
        sizes.append(
            load.ceiling_watts * sum(psus for name, psus in cords.items() if name in lost) / sum(cords.values())
        )
    if machines.doubtful or not shares:
        return Weight(0.0, 1.0 / len(survivors), 1.0)
    weighed = sum(share * size for share, size in zip(shares, sizes, strict=True)) / (sum(sizes) or 1.0)
    return Weight(min(shares), weighed, max(shares))


def _scaled(value: Value, weight: Weight) -> Value:
    best = None if value.best is None else value.best * weight.best
    return Value(value.lo * weight.lo, best, value.hi * weight.hi, value.rank)


def line_gain(line: Value, moved: Shift, letter: str, most_dead_amperes: float) -> Value:
    """Give what a survivor's line takes over from the same line of a lost feed, in A.

    The two feeds of a rack are taken to be wired alike: what a supply draws from L2 of one it draws from L2 of the
    other. What dies may have hung on any line.
    """
    gain, weight = moved.gains[letter], moved.weights[letter]
    if gain.hi <= 0.0:
        return NOTHING
    lo, hi = max(0.0, line.lo - most_dead_amperes) * weight.lo, line.hi * weight.hi
    carried = moved.carried.best
    best = None
    if line.best is not None and gain.best is not None and carried:
        best = line.best * gain.best / carried
    return Value(lo, clamp(best, lo, hi), hi, max(line.rank, gain.rank))


def add(values: Iterable[Value]) -> Value:
    """Add quantities up; a sum has a likeliest value only where every term has one, and that of no terms is nothing."""
    lo = hi = 0.0
    best: float | None = 0.0
    rank = GOOD
    for value in values:
        lo += value.lo
        hi += value.hi
        best = None if best is None or value.best is None else best + value.best
        rank = max(rank, value.rank)
    return Value(lo, best, hi, rank)

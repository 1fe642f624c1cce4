"""What the loss of feeds does to a rack: what dies, what moves to which survivor, who is left with too few supplies.

A machine on several feeds loads its surviving ones by the number of power supplies on each (specification 1.3); one on
a single feed dies with it. A miner has one cord unless its cords say otherwise. Where the configuration does not say
how a machine is plugged, the rack's declared redundancy does: with it, what is not known to die moves; without it,
either is possible and no likeliest value is given.
"""

from __future__ import annotations

import enum
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


WHOLE = Weight(1.0, 1.0, 1.0)


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


class Fate(enum.Enum):
    """What becomes of the load of the lost feeds."""

    MOVES = "all of it moves"
    DIES = "all of it dies"
    SPLITS = "what its machines report dies or may die, the rest moves"
    UNTOLD = "neither cords nor a declared redundancy say what hangs on what"


@dataclass(slots=True)
class Parting:
    """What the loss of some of a rack's feeds does by its plan alone, whatever flows."""

    lost: frozenset[str]
    machines: Machines
    weights: dict[str, Weight]
    """What each surviving feed takes of what moves."""
    fate: Fate


class Shift(NamedTuple):
    """Where a rack's load goes, in W."""

    carried: Value
    """What the lost feeds carried."""
    dead: Value
    gains: dict[str, Value]
    """What each surviving feed takes over."""


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


def sort_machines(plan: RackPlan, lost: frozenset[str], gone: frozenset[str] = frozenset()) -> Machines:
    """Tell what the loss of feeds does to each machine of a rack; those that do not hang on them are left out.

    A machine has no supplies left on feeds that are `gone` already.
    """
    found = Machines([], [], [], [])
    for load in plan.loads:
        cords = cords_of(load, plan)
        if cords is None:
            found.doubtful.append(load)
            continue
        if lost.isdisjoint(cords):
            continue
        left = supplies_left(cords, lost | gone)
        if not left:
            found.dying.append(load)
            continue
        found.moving.append((load, cords))
        needed = load.intake.device.psus_needed
        if needed is not None and left < needed:
            found.degraded.append(load)
    return found


def part(plan: RackPlan, lost: frozenset[str], gone: frozenset[str] = frozenset()) -> Parting:
    """Tell what the loss of feeds does to a rack; feeds that are `gone` already carry nothing and take nothing."""
    machines = sort_machines(plan, lost, gone)
    survivors = [letter for letter in plan.feeds if letter not in lost and letter not in gone]
    weights = {letter: _weight(letter, survivors, machines, lost) for letter in survivors}
    return Parting(lost, machines, weights, _fate(plan, machines))


def _fate(plan: RackPlan, machines: Machines) -> Fate:
    if plan.rack.redundancy == "N" and not machines.moving and not machines.doubtful:
        return Fate.DIES if machines.dying else Fate.UNTOLD
    return Fate.SPLITS if machines.dying or machines.doubtful else Fate.MOVES


def shift(parting: Parting, draws: Mapping[str, Value], look: Look) -> Shift:
    """Say where the load of the lost feeds goes; `draws` gives what each of them carries."""
    lost = parting.lost
    carried = draws[next(iter(lost))] if len(lost) == 1 else add(draws[letter] for letter in lost)
    if not parting.weights:
        return Shift(carried, carried, {})
    dead, moved = _divide(parting, carried, look)
    return Shift(carried, dead, {letter: _scaled(moved, weight) for letter, weight in parting.weights.items()})


def _divide(parting: Parting, carried: Value, look: Look) -> tuple[Value, Value]:
    """Divide what the lost feeds carried into what dies and what moves."""
    if parting.fate is Fate.MOVES:
        return NOTHING, carried
    if parting.fate is Fate.DIES:
        return carried, NOTHING
    if parting.fate is Fate.UNTOLD:
        anything = Value(0.0, None, carried.hi, carried.rank)
        return anything, anything
    dead = _dying_watts(parting.machines, carried, look)
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
        return WHOLE
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
    if weight is WHOLE:
        return value
    best = None if value.best is None else value.best * weight.best
    return Value(value.lo * weight.lo, best, value.hi * weight.hi, value.rank)


def line_gain(line: Value, moved: Shift, letter: str, weight: Weight, most_dead_amperes: float) -> Value:
    """Give what a survivor's line takes over from the same line of a lost feed, in A.

    The two feeds of a rack are taken to be wired alike: what a supply draws from L2 of one it draws from L2 of the
    other. What dies may have hung on any line.
    """
    gain = moved.gains[letter]
    if gain is moved.carried:
        return line  # all of it, and nothing dies
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

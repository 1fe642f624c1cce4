"""A failover case as it leaves keeld: its survivors, what dies, and sentences that a technician can act on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from keeld.budgets.aftermath import FailoverCase, Survival, Survivor
from keeld.budgets.failover import add
from keeld.budgets.interval import published
from keeld.budgets.limits import kilo
from keeld.budgets.source import HELD
from keeld.model import Interval
from keeld.watch.layout import Case, Fallen
from keeld.watch.naming import names
from keeld.watch.survivors import Stress, by_weight, survivors_of

_LEAST_WATTS = 50.0
"""Below this nothing dies that is worth a sentence."""


def tell(case: Case) -> FailoverCase:
    """Put a case together as it stands."""
    unknown = dict.fromkeys(name for move in case.moves for name in move.unknown())
    survivors = sorted((found for stress in case.stresses for found in survivors_of(stress, unknown)), key=by_weight)
    dead = add(move.shift.dead for move in case.moves)
    interval = published(dead, coverage=1.0 if dead.rank <= HELD else 0.0, lost=unknown)
    dying = [load.intake.device.id for move in case.moves for load in move.parting.machines.dying]
    degraded = [load.intake.device.id for move in case.moves for load in move.parting.machines.degraded]
    fallen = case.fallen
    return FailoverCase(
        target_kind=fallen.kind,
        target_id=fallen.id,
        label=fallen.label,
        racks=tuple(sorted(move.rack.plan.rack.id for move in case.moves if not move.is_idle)),
        survival=survivors[0].survival if survivors else None,
        survivors=tuple(survivors),
        dead=interval,
        dead_devices=tuple(dying),
        degraded_devices=tuple(degraded),
        text=sentence(fallen, survivors, interval, dying=dying, degraded=degraded),
    )


class Loss(NamedTuple):
    """What dies, as somebody who looks at a rack, or at a power node, would call it."""

    fallen: Fallen
    seen_from: str

    @property
    def label(self) -> str:
        """Name it; a feed with its rack unless one is looking at that."""
        rack_id, _, _ = self.fallen.id.rpartition("/")
        return f"{self.fallen.label} of {rack_id}" if rack_id and self.seen_from != "rack" else self.fallen.label


def loss_words(loss: Loss, survivor: Survivor) -> str:
    """Say in a sentence what a loss does to one survivor."""
    return _survivor(loss.label, survivor)


def worst_survivor(stress: Stress) -> Survivor | None:
    """Give the limit of a node that is worst off; None while nothing flows in."""
    unknown = dict.fromkeys(name for inflow in stress.inflows for name in inflow.flow.move.unknown())
    return min(survivors_of(stress, unknown), key=by_weight, default=None)


def sentence(
    fallen: Fallen, survivors: Sequence[Survivor], dead: Interval, *, dying: list[str], degraded: list[str]
) -> str:
    """Say what the worst survivor goes to, what dies and who is left with too few supplies."""
    words = [_survivor(fallen.label, survivors[0]) if survivors else _alone(fallen)]
    if dead.hi >= _LEAST_WATTS:
        words.append(_dead(dead, dying))
    if degraded:
        words.append(f"Left with too few power supplies for full power: {names(degraded)}.")
    return " ".join(words)


def _alone(fallen: Fallen) -> str:
    return f"If {fallen.label} dies now, nothing with a rating takes its load over."


def _survivor(fallen: str, survivor: Survivor) -> str:
    load, when = _load(survivor), f"If {fallen} dies now, {_what(survivor)}"
    if survivor.survival is Survival.CANT_TELL:
        return f"{when} goes to {load}: CAN'T TELL whether it holds, {survivor.why}."
    if survivor.survival is Survival.WILL_TRIP:
        return f"{when} goes to {load} and {'trips' if survivor.unit == 'A' else 'is overloaded'}."
    if survivor.survival is Survival.SURVIVABLE:
        return f"{when} goes to {load}: it holds, but its {_percent(survivor.derate)} rule may be broken."
    return f"{when} goes to {load}, the most of all that take over."


def _what(survivor: Survivor) -> str:
    line = survivor.constraint.partition("/")[2]
    return f"phase {line} of {survivor.label}" if line else survivor.label


def _load(survivor: Survivor) -> str:
    """Give the percentage with its base; without a likeliest value the range, never a number."""
    value, limit = survivor.value, survivor.limit
    base = survivor.base if survivor.unit == "A" else f"{kilo(limit):.4g} k{survivor.unit} {survivor.base}"
    if value.best is None or survivor.survival is Survival.CANT_TELL:
        return f"between {_percent(value.lo / limit)} and {_percent(value.hi / limit)} of its {base}"
    return f"{_percent(value.best / limit)} of its {base}"


def _dead(dead: Interval, dying: list[str]) -> str:
    whose = f" ({names(dying)})" if dying else ""
    if dead.best is None:
        return f"Between {kilo(dead.lo):.1f} and {kilo(dead.hi):.1f} kW die with it{whose}."
    return f"{kilo(dead.best):.1f} kW die with it{whose}."


def _percent(ratio: float) -> str:
    return f"{ratio * 100:.0f} %"

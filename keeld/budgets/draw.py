"""What loads, feeds, racks and power nodes draw: an interval from the best sources that live.

Precedence for a feed: inlet meter, branch, the machines' own reports, accelerators with their base, nameplate. A PDU
is never added to its outlets. Whatever is not measured lies between nothing and its ceiling.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from keeld.budgets.interval import cap, cross, published, scaled, total, unknown, widen
from keeld.budgets.meters import Meter
from keeld.budgets.source import ESTIMATED, GOOD, HELD, QUALITIES, UNKNOWN, Look, Source, Value
from keeld.budgets.topology import Feed, Load, NodePlan, RackPlan
from keeld.model import Interval

REPORTED_ERROR = 0.10
"""A machine's own figure is not a meter's: DC instead of AC, or a model; used where it stands in for a meter."""
ESTIMATE_ERROR = 0.25
"""Power that a driver derived from nominal efficiency."""
NODE_PER_GPU = (1.55, 1.7)
"""Whole node over the sum of its accelerators: likely and most (power-cooling-alarms.md section 2)."""
NODE_BASE_WATTS = 2400.0
"""Idle draw of an eight-way node beside its accelerators (the same section)."""
GPU_SHARE = 0.55
"""Share of a node's draw that its accelerators' own sensors see (the same section): its coverage."""


@dataclass(slots=True)
class RackDraw:
    """A rack's draw and that of each of its feeds, in W."""

    total: Interval
    feeds: dict[str, Interval]


class Loads:
    """A sum over machines that keeps count of how much of it is measured and who is missing."""

    __slots__ = ("ceiling_watts", "lost", "measured_watts", "structural", "values")

    def __init__(self) -> None:
        self.values: list[Value] = []
        self.ceiling_watts = 0.0
        self.measured_watts = 0.0
        self.lost: list[str] = []
        self.structural: list[str] = []

    def add(self, load: Load, look: Look) -> None:
        """Add one machine."""
        value, share = load_draw(load, look)
        self.values.append(value)
        self.ceiling_watts += load.ceiling_watts
        self.measured_watts += load.ceiling_watts * share
        if value.rank >= ESTIMATED and not share:
            device = load.intake.device
            (self.lost if is_lost(load, look.mono_ns) else self.structural).append(device.id)

    @property
    def coverage(self) -> float:
        """Share of the nameplates that is measured."""
        return self.measured_watts / self.ceiling_watts if self.ceiling_watts else 0.0


def is_lost(load: Load, mono_ns: int) -> bool:
    """Whether a machine without a figure is one that gave figures or should have; else it is a finding."""
    intake = load.intake
    if intake.answered_ns is None:
        return intake.is_awaited
    return load.power.value is not None or bool(intake.gpus) or intake.is_gone(mono_ns)


def is_meter_lost(meter: Meter) -> bool:
    """Whether a meter without a figure gave one before, or was never heard; one that answers without is a finding."""
    if meter.intake.answered_ns is None:
        return meter.intake.is_awaited
    return any(power.value is not None for power in meter.powers)


def is_metered_now(plan: NodePlan, look: Look) -> bool:
    """Whether a node's own meter lives."""
    return any(meter_draw(meter, look, plan.ceiling_watts).rank <= HELD for meter in plan.meters)


def load_draw(load: Load, look: Look) -> tuple[Value, float]:
    """Give a machine's draw and the share of it that is measured."""
    value = load.power.look(look, load.ceiling_watts)
    if value.rank <= HELD:
        return value, 1.0
    gpus = load.intake.gpus
    if gpus:
        return _node_of_gpus(gpus, load, look)
    estimate = load.estimate.look(look, load.ceiling_watts)
    if estimate.rank <= HELD:
        rough = widen(estimate, ESTIMATE_ERROR)
        return cap(rough._replace(rank=ESTIMATED), load.ceiling_watts), 0.0
    return value, 0.0


def _node_of_gpus(gpus: list[Source], load: Load, look: Look) -> tuple[Value, float]:
    """Bound a node by its accelerators: never less than they draw, never more than its nameplate."""
    seen = [gpu.look(look, load.ceiling_watts) for gpu in gpus]
    known = [value for value in seen if value.rank <= HELD]
    if not known:
        return unknown(load.ceiling_watts), 0.0
    sum_lo = sum(value.lo for value in known)
    sum_hi = sum(value.hi for value in known)
    ceiling = load.ceiling_watts
    if load.intake.device.nameplate_watts is None and len(known) == len(gpus):
        ceiling = min(ceiling, sum_hi * NODE_PER_GPU[1] + NODE_BASE_WATTS)
    hi = max(sum_lo, ceiling)
    likely = min(hi, sum_hi * NODE_PER_GPU[0])
    return Value(sum_lo, max(likely, sum_lo), hi, ESTIMATED), GPU_SHARE * len(known) / len(gpus)


def meter_draw(meter: Meter, look: Look, ceiling_watts: float) -> Value:
    """Give what a meter says; several poles add up."""
    shown = total(power.look(look, ceiling_watts) for power in meter.powers)
    return scaled(shown, meter.ratio)


def _metered(meters: Iterable[Meter], feed: Feed, look: Look) -> Value | None:
    values = [meter_draw(meter, look, feed.ceiling_watts) for meter in meters]
    return cap(total(values), feed.ceiling_watts) if values else None


def feed_error_ratio(feed: Feed) -> float:
    """Give the error of what measures a feed, as a share of its draw: the worst of its meters, else the machines'."""
    return max((meter.error_ratio for meter in (feed.inlets or feed.meters)), default=REPORTED_ERROR)


def sum_loads(loads: Iterable[Load], look: Look) -> Loads:
    """Add machines up."""
    summed = Loads()
    for load in loads:
        summed.add(load, look)
    return summed


def feed_draw(feed: Feed, look: Look) -> Interval:
    """Give a feed's draw: the best source that is good or held, else everything that is left, crossed."""
    candidates: list[Value] = []
    inlets = _metered(feed.inlets, feed, look)
    if inlets is not None:
        if feed.is_dead and any(meter.intake.outages for meter in feed.inlets):
            inlets = Value(0.0, 0.0, inlets.hi, max(inlets.rank, ESTIMATED))
        if inlets.rank <= HELD:
            return published(inlets, coverage=1.0, provenance=_named("inlet meter", feed.inlets))
        candidates.append(inlets)
    for meter in feed.meters:
        value = meter_draw(meter, look, feed.ceiling_watts)
        if value.rank <= HELD:
            return published(value, coverage=1.0, provenance=_named("meter", [meter]))
        candidates.append(cap(value, feed.ceiling_watts))
    return _from_loads(feed, look, candidates)


def _from_loads(feed: Feed, look: Look, candidates: list[Value]) -> Interval:
    own, shared = sum_loads(feed.loads, look), sum_loads(feed.shared, look)
    lost = (
        [meter.name for meter in (*feed.inlets, *feed.meters) if is_meter_lost(meter)] if feed.is_metered else own.lost
    )
    coverage = 0.0
    if feed.loads or feed.shared:
        reported = total([*own.values, *(_part_of(value) for value in shared.values)])
        if not candidates and not feed.shared and own.coverage >= 1.0:
            return published(reported, coverage=1.0, provenance="reported by its machines")
        candidates.append(cap(reported if not candidates else widen(reported, REPORTED_ERROR), feed.ceiling_watts))
        coverage = own.measured_watts / ((own.ceiling_watts + shared.ceiling_watts) or 1.0)
    if not candidates:
        return published(unknown(feed.ceiling_watts), coverage=0.0, structural=(f"feed {feed.letter}",))
    value = candidates[0]
    for candidate in candidates[1:]:
        value = cross(value, candidate)
    structural = [] if lost else own.structural + shared.structural
    if feed.is_metered and not lost:
        structural += [f"{meter.name} has no power reading" for meter in (*feed.inlets, *feed.meters)]
    return published(value, coverage=coverage, provenance="bounds", lost=lost, structural=structural)


def _part_of(value: Value) -> Value:
    """Give one feed's part of a machine on several: all of its power, or nothing."""
    return Value(0.0, None, value.hi, max(value.rank, ESTIMATED))


def rack_draw(plan: RackPlan, look: Look) -> RackDraw:
    """Give a rack's draw. Fresh meters on every feed decide; else they and the machines' reports bound it together."""
    feeds = {letter: feed_draw(feed, look) for letter, feed in plan.feeds.items()}
    metered = any(feed.is_metered for feed in plan.feeds.values())
    if metered and all(feed.coverage >= 1.0 for feed in feeds.values()):
        value = total(_value(feed) for feed in feeds.values())
        provenance = "; ".join(dict.fromkeys(feed.provenance for feed in feeds.values()))
        return RackDraw(published(value, coverage=1.0, provenance=provenance), feeds)
    if not metered:
        return RackDraw(_unmetered(plan, look), feeds)
    return RackDraw(_bounded(plan, feeds, look), feeds)


def _unmetered(plan: RackPlan, look: Look) -> Interval:
    summed = sum_loads(plan.loads, look)
    if not plan.loads:
        return published(unknown(plan.ceiling_watts), coverage=0.0, structural=(plan.rack.id,))
    value = cap(total(summed.values), plan.ceiling_watts)
    return published(
        value,
        coverage=summed.coverage,
        provenance="reported by its machines" if summed.measured_watts else "nameplates",
        lost=summed.lost,
        structural=summed.structural,
    )


def _bounded(plan: RackPlan, feeds: dict[str, Interval], look: Look) -> Interval:
    """Cross the sum of the feeds with the machines' own reports; nameplates cap what neither measures."""
    by_feed = total(_value(feed) for feed in feeds.values())
    weights = {letter: plan.feeds[letter].ceiling_watts for letter in feeds}
    covered = sum(weights[letter] * feed.coverage for letter, feed in feeds.items()) / (sum(weights.values()) or 1.0)
    lost = [name for feed in feeds.values() for name in feed.lost]
    structural = [name for feed in feeds.values() for name in feed.structural]
    value, provenance = by_feed, "; ".join(feed.provenance for feed in feeds.values() if feed.coverage >= 1.0)
    if plan.loads:
        summed = sum_loads(plan.loads, look)
        value = cross(by_feed, widen(total(summed.values), REPORTED_ERROR))
        covered = max(covered, summed.coverage)
        provenance = "; ".join(filter(None, (provenance, "reported by its machines" if summed.measured_watts else "")))
    value = cap(value, plan.ceiling_watts)._replace(rank=max(by_feed.rank, ESTIMATED))
    return published(value, coverage=covered, provenance=provenance, lost=lost, structural=structural)


_RANKS = {quality: rank for rank, quality in enumerate(QUALITIES)}


def _value(interval: Interval) -> Value:
    return Value(interval.lo, interval.best, interval.hi, _RANKS[interval.quality])


def _named(what: str, meters: Iterable[Meter]) -> str:
    return f"{what} {'+'.join(meter.name for meter in meters)}"


def node_draw(
    plan: NodePlan, look: Look, nodes: Mapping[str, Interval], feeds: Mapping[tuple[str, str], Interval]
) -> Interval:
    """Give a node's draw: its own meter while that lives, else what hangs on it (`nodes` and feeds) and the losses.

    For a quarter of an hour a meter that fell silent goes on bounding what is not known of the rest, unless a switch
    may have brought another load.
    """
    aged = unknown(plan.ceiling_watts)
    for meter in plan.meters:
        value = meter_draw(meter, look, plan.ceiling_watts)
        if value.rank <= HELD:
            return published(value, coverage=1.0, provenance=_named("meter", [meter]))
        if value.rank < aged.rank and not plan.is_switched:
            aged = cap(value, plan.ceiling_watts)
    below = list(nodes.values()) + [feeds[key] for key in plan.feeds if key in feeds]
    if not below and plan.children and not plan.meters:
        return published(Value(0.0, 0.0, 0.0, GOOD), coverage=1.0, provenance="feeds nothing now")
    if not below:
        lost = [meter.name for meter in plan.meters if any(power.value is not None for power in meter.powers)]
        return published(aged, coverage=0.0, lost=lost, structural=() if plan.meters else (plan.node.id,))
    is_alone = len(below) == 1 and plan.node.efficiency == 1.0 and aged.rank == UNKNOWN
    if is_alone and below[0].hi <= plan.ceiling_watts:
        return below[0]  # what the node carries is that, with its own provenance
    summed = total([_value(interval) for interval in below])
    ratio = 1.0 / plan.node.efficiency
    best = None if summed.best is None else summed.best * ratio
    value = cap(Value(summed.lo * ratio, best, summed.hi * ratio, summed.rank), plan.ceiling_watts)
    if summed.rank > HELD and aged.rank < UNKNOWN:
        value = cross(value, aged)
    return published(
        value,
        coverage=_covered(below),
        provenance="sum of what hangs on it",
        lost=[name for interval in below for name in interval.lost],
        structural=[name for interval in below for name in interval.structural],
    )


def _covered(below: list[Interval]) -> float:
    weight = sum(interval.hi for interval in below)
    if not weight:
        return 1.0 if all(interval.coverage >= 1.0 for interval in below) else 0.0
    return sum(interval.hi * interval.coverage for interval in below) / weight

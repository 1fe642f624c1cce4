"""Line currents of a power node, in A: from its own meter, else from what hangs on it where the lines are the same."""

from __future__ import annotations

from collections.abc import Mapping

from keeld.budgets.interval import cap, total
from keeld.budgets.source import HELD, UNKNOWN, Look, Source, Value
from keeld.budgets.topology import Feed, Meter, NodePlan, Topology

_NO_LIMIT_AMPERES = 1e6

Lines = Mapping[str, Value | None]
"""Line to its current; None where nothing has ever told it."""


def own_sources(meters: list[Meter], phase: str) -> list[Source] | None:
    """Give the sources that together are one line of these meters; None unless each of them has shown it."""
    found = [meter.line(phase) for meter in meters]
    known = [source for source in found if source is not None]
    return known if known and len(known) == len(found) else None


def feed_sources(feed: Feed, phase: str) -> list[Source] | None:
    """Give the sources of a feed's line: its PDUs together, else the first meter that shows it."""
    from_inlets = own_sources(feed.inlets, phase)
    if from_inlets is not None:
        return from_inlets
    return next((found for meter in feed.meters if (found := own_sources([meter], phase)) is not None), None)


def direct_sources(topology: Topology, plan: NodePlan, phase: str) -> list[Source] | None:
    """Give the sources that on their own tell a node's line: its meter, or the feeds of all that hangs on it."""
    for meter in plan.meters:
        line = meter.line(phase)
        if line is not None:
            return [line]
    if plan.children or not plan.feeds:
        return None
    found: list[Source] = []
    for rack_id, letter in plan.feeds:
        sources = feed_sources(topology.racks[rack_id].feeds[letter], phase)
        if sources is None:
            return None
        found += sources
    return found


def node_lines(topology: Topology, plan: NodePlan, look: Look, below: Mapping[str, Lines]) -> dict[str, Value | None]:
    """Give every line of a node; `below` has those of its children already."""
    return {phase: _line(topology, plan, phase, look, below) for phase in plan.lines}


def _line(topology: Topology, plan: NodePlan, phase: str, look: Look, below: Mapping[str, Lines]) -> Value | None:
    ceiling = plan.node.breaker_amperes or _NO_LIMIT_AMPERES
    for meter in plan.meters:
        source = meter.line(phase)
        if source is not None and source.rank_at(look.mono_ns) <= HELD:
            return source.look(look, ceiling)
    terms = [_child_line(topology, plan, child, phase, below) for child in topology.loaded_children(plan)]
    for rack_id, letter in plan.feeds:
        sources = feed_sources(topology.racks[rack_id].feeds[letter], phase)
        terms.append(None if sources is None else total(source.look(look, ceiling) for source in sources))
    known = [term for term in terms if term is not None]
    if not known:
        return None
    summed = total(known)
    if len(known) < len(terms):  # the rest may draw whatever the breaker lets through
        summed = Value(summed.lo, summed.best, max(summed.hi, ceiling), UNKNOWN)
    return cap(summed, ceiling)


def _child_line(topology: Topology, plan: NodePlan, child: str, phase: str, below: Mapping[str, Lines]) -> Value | None:
    """Give a child's current as its parent sees it: the same, unless a transformer lies between."""
    node = topology.nodes[child].node
    same = node.phases == plan.node.phases and node.voltage_volts == plan.node.voltage_volts
    return below.get(child, {}).get(phase) if same else None

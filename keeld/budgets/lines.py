"""Line currents of a power node, in A: from its own meter, else from what hangs on it.

Loads of three phases and loads to neutral add up on their line; a load between two lines is 30 degrees off either of
them, and further up the tree its part of a line adds up to somewhat less. All loads are taken to have the same power
factor. Across a transformer a line carries something between the least and the most loaded line of the other side, or,
where those are not known, anything up to all of the apparent power, likeliest an even part of it. Rectifiers draw
evenly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from keeld.budgets.electrical import line_amperes, mixed_line_amperes, neutral_amperes
from keeld.budgets.interval import cap, scaled, total
from keeld.budgets.joins import Join
from keeld.budgets.meters import Meter
from keeld.budgets.source import ESTIMATED, GOOD, HELD, UNKNOWN, Look, Source, Value
from keeld.budgets.topology import Feed, NodePlan, Topology
from keeld.trees import PowerNode

_NO_LIMIT_AMPERES = 1e6
_THREE, _PAIR = 3, 2
_SQRT3 = math.sqrt(3.0)
_COS30 = _SQRT3 / 2.0
_NOTHING = Value(0.0, 0.0, 0.0, GOOD)

Lines = Mapping[str, Value | None]
"""Line to its current; None where nothing has ever told it."""


class Below(NamedTuple):
    """What is known of a child: its line currents, and its apparent power in VA."""

    lines: Lines
    apparent: Value | None = None


class _Term(NamedTuple):
    """What one thing puts on a line: in phase with it, or as one of the two pairs of lines that it belongs to."""

    amperes: Value | None
    pair: int = 0
    """0 for none, 1 and 2 for the pair with the next line and with the one before."""


def own_sources(meters: list[Meter], phase: str) -> list[Source] | None:
    """Give the sources that together are one line of these meters; None unless each of them has shown it."""
    known: list[Source] = []
    for meter in meters:
        source = meter.line(phase)
        if source is None:
            return None
        known.append(source)
    return known or None


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


def node_lines(topology: Topology, plan: NodePlan, look: Look, below: Mapping[str, Below]) -> dict[str, Value | None]:
    """Give every line of a node; `below` has its children already."""
    return {phase: _line(topology, plan, phase, look, below) for phase in plan.lines}


def _line(topology: Topology, plan: NodePlan, phase: str, look: Look, below: Mapping[str, Below]) -> Value | None:
    ceiling = plan.node.breaker_amperes or _NO_LIMIT_AMPERES
    for meter in plan.meters:
        source = meter.line(phase)
        if source is not None and source.rank_at(look.mono_ns) <= HELD:
            return source.look(look, ceiling)
    below_it = _line_below(topology, plan, phase, look, below)
    return None if below_it is None else cap(scaled(below_it, 1.0 / plan.node.efficiency), ceiling)


def _line_below(topology: Topology, plan: NodePlan, phase: str, look: Look, below: Mapping[str, Below]) -> Value | None:
    """Sum a line over all that hangs on a node; its own losses come on top of it."""
    ceiling = plan.node.breaker_amperes or _NO_LIMIT_AMPERES
    if not plan.children:
        return _fed_line(topology, plan, phase, look, ceiling)
    terms = [_child_term(topology, plan, child, phase, below) for child in topology.loaded_children(plan)]
    terms += [_maybe(_child_term(topology, plan, child, phase, below)) for child in topology.possible_children(plan)]
    if plan.feeds:
        terms.append(_Term(_fed_line(topology, plan, phase, look, _NO_LIMIT_AMPERES)))
    if not any(term.amperes is not None for term in terms):
        return None
    summed = _joined(terms)
    if any(term.amperes is None for term in terms):  # the rest may draw whatever the breaker lets through
        summed = _open(summed, ceiling)
    return summed


def _fed_line(topology: Topology, plan: NodePlan, phase: str, look: Look, ceiling: float) -> Value | None:
    """Sum a line over the feeds that hang on the node itself; None where none of them has ever told it."""
    found: list[Source] = []
    is_whole = True
    for rack_id, letter in plan.feeds:
        sources = feed_sources(topology.racks[rack_id].feeds[letter], phase)
        if sources is None:
            is_whole = False
        else:
            found += sources
    if not found:
        return None
    looked = [source.look(look, ceiling) for source in found]
    summed = looked[0] if len(looked) == 1 else total(looked)
    return summed if is_whole else _open(summed, ceiling)


def _open(summed: Value, ceiling: float) -> Value:
    return Value(summed.lo, summed.best, max(summed.hi, ceiling), UNKNOWN)


def _joined(terms: list[_Term]) -> Value:
    """Add up what is known of a line's terms; each end of the sum belongs to the same end of every term."""
    if all(term.pair == 0 for term in terms):
        return _summed(terms, 0)
    parts = [_summed(terms, pair) for pair in range(_THREE)]
    lo = mixed_line_amperes(*(part.lo for part in parts))
    hi = mixed_line_amperes(*(part.hi for part in parts))
    is_known = any(part.best is not None for part in parts)
    best = mixed_line_amperes(*(part.best or 0.0 for part in parts)) if is_known else None
    return Value(lo, best, hi, max(part.rank for part in parts))


def _summed(terms: list[_Term], pair: int) -> Value:
    return total([term.amperes for term in terms if term.pair == pair and term.amperes is not None])


def _maybe(term: _Term) -> _Term:
    """Take a term that may be there or not."""
    if term.amperes is None:
        return term
    return term._replace(amperes=Value(0.0, None, term.amperes.hi, max(ESTIMATED, term.amperes.rank)))


def _child_term(topology: Topology, plan: NodePlan, child: str, phase: str, below: Mapping[str, Below]) -> _Term:
    """Give what a child puts on a line of its parent."""
    join, known, own = plan.joins.get(child), below.get(child), topology.nodes[child]
    if known is None:
        return _Term(None)
    if join is None:
        return _Term(_on_any_line(known, plan.node))
    if join.is_transformed:
        return _Term(_transformed(join, plan.node, known, own))
    if join.lines:
        amperes = known.lines.get("")
        return _on_lines(join, phase, _by_apparent(known, own.node) if amperes is None else amperes)
    told = known.lines.get(phase)
    if told is None:
        return _Term(_on_any_line(known, plan.node))
    is_alone = len(plan.children) + len(plan.feeds) == 1
    return _Term(told if is_alone or not own.is_askew else told._replace(lo=told.lo * _COS30))


def _on_any_line(known: Below, parent: PowerNode) -> Value | None:
    """Bound what a load of unknown lines puts on one of them: from nothing to all of it."""
    if known.apparent is None or parent.voltage_volts is None:
        return None
    most = _THREE * line_amperes(known.apparent.hi, parent.voltage_volts, parent.phases)
    hi = most if parent.phases == _THREE else most / _THREE
    return Value(0.0, None, hi, max(ESTIMATED, known.apparent.rank))


def _by_apparent(known: Below, node: PowerNode) -> Value | None:
    """Work a single-phase current out from apparent power, at the nominal voltage."""
    if known.apparent is None or node.voltage_volts is None:
        return None
    return scaled(known.apparent, 1.0 / node.voltage_volts)._replace(rank=max(ESTIMATED, known.apparent.rank))


def _on_lines(join: Join, phase: str, amperes: Value | None) -> _Term:
    """Put a single-phase load on the lines that it hangs on."""
    if phase not in join.lines:
        return _Term(_NOTHING)
    loaded = None if amperes is None else scaled(amperes, join.ratio)
    if len(join.lines) < _PAIR:
        return _Term(loaded)
    return _Term(loaded, 1 if join.lines[0] == phase else 2)


def _are_alike(child: PowerNode, parent: PowerNode) -> bool:
    return child.phases == parent.phases and child.is_direct_current == parent.is_direct_current


def _transformed(join: Join, parent: PowerNode, known: Below, child: NodePlan) -> Value | None:
    """Bound a line on the far side of a transformer, whatever its connection.

    Between delta and wye a line takes the difference of two: of loads to neutral no more than the larger one, of loads
    between lines up to both over the root of three.
    """
    values = [value for value in known.lines.values() if value is not None]
    alike = _are_alike(child.node, parent)
    if alike and values and len(values) == len(known.lines):
        best = [value.best for value in values if value.best is not None]
        likely = sum(best) / len(best) if len(best) == len(values) else None
        lo, hi = min(value.lo for value in values), max(value.hi for value in values)
        if child.is_askew:
            lo, hi = lo / _SQRT3, hi * _PAIR / _SQRT3
        return scaled(Value(lo, likely, hi, max(value.rank for value in values)), join.ratio)
    if known.apparent is None or parent.voltage_volts is None:
        return None
    even = scaled(known.apparent, line_amperes(1.0, parent.voltage_volts, parent.phases))
    if parent.phases == _THREE and alike:  # single-phase loads behind it may all hang on one line
        return Value(0.0, even.best, even.hi * _THREE, max(ESTIMATED, even.rank))
    return even._replace(rank=max(ESTIMATED, even.rank))


def measured_neutral(plan: NodePlan, look: Look) -> Value | None:
    """Give the current in a node's neutral as a live meter tells it."""
    for meter in plan.meters:
        source = meter.neutral
        if source is not None and source.value is not None and source.rank_at(look.mono_ns) <= HELD:
            return source.look(look, _NO_LIMIT_AMPERES)
    return None


def computed_neutral(lines: Iterable[Value | None]) -> Value | None:
    """Work the neutral out from three lines that are measured: harmonics are not in it, so it may be more.

    Moving a line's current by some amperes moves the neutral's by no more.
    """
    known = [line for line in lines if line is not None and line.rank <= HELD and line.best is not None]
    if len(known) != _THREE:
        return None
    first, second, third = (line.best or 0.0 for line in known)
    best = neutral_amperes((first, second, third))
    slack = sum(max(line.hi - (line.best or 0.0), (line.best or 0.0) - line.lo) for line in known)
    return Value(max(0.0, best - slack), best, best + slack, max(line.rank for line in known))

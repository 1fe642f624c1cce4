"""Power nodes: what flows through them, what feeds them, and what they may carry where they stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from keeld.alerts.alarm import Target
from keeld.alerts.rules import AI, MINING, PLANT, SET_OF_STATE
from keeld.budgets.apparent import (
    NO_VARS,
    Reactive,
    add_reactive,
    apparent,
    assumed_reactive,
    feed_reactive,
    meter_reactive,
    scaled_reactive,
)
from keeld.budgets.draw import node_draw
from keeld.budgets.interval import published, unknown
from keeld.budgets.limits import SourceLimit, breaker_base, effective_amperes, kind_of, parent_by_source, source_limit
from keeld.budgets.lines import Below, direct_sources, node_lines
from keeld.budgets.source import HELD, Look, Source, Value
from keeld.budgets.topology import NodePlan, Topology
from keeld.metrics import POWER_SOURCE
from keeld.model import Interval, Quality
from keeld.watch.rulebook import Rulebook, Windows

OVERLOAD, CONTINUOUS = "breaker_overload", "continuous_over"
_SHORT_S = 30.0
_ALTERNATE, _NO_SOURCE = "alternate", "none"

Feeds = Mapping[tuple[str, str], Interval]
"""What each feed draws, by (rack, letter)."""


class NodeState:
    """What the watch knows of one power node."""

    __slots__ = (
        "active_source",
        "ambient_celsius",
        "apparent",
        "continuous",
        "direct",
        "draw",
        "is_over_derate",
        "kind",
        "lines",
        "plan",
        "power",
        "rating_amperes",
        "reactive",
        "set_name",
        "short",
        "source_changed_ns",
        "target",
        "trip_words",
        "volt_amperes",
        "waits_ns",
    )

    def __init__(self, plan: NodePlan, topology: Topology, rules: Rulebook) -> None:
        self.plan = plan
        self.target = _node_target(plan, topology)
        self.kind = kind_of(plan.node)
        self.ambient_celsius: float | None = None
        """As a live sensor tells it; None while none does."""
        self.rating_amperes = effective_amperes(plan.node)
        self.active_source: str | None = None
        """What a live device says it is fed from (utility, battery, ...); None while nothing tells."""
        self.source_changed_ns: int | None = None
        """Monotonic time at which that last changed."""
        levels = rules.all_levels(CONTINUOUS, PLANT, self.target)
        has_breaker = self.rating_amperes is not None
        self.continuous = {phase: Windows(levels) for phase in plan.lines} if has_breaker else {}
        self.short = {phase: Windows((), default_s=_SHORT_S) for phase in plan.lines} if has_breaker else {}
        self.power = Windows((), default_s=300.0)
        self.volt_amperes = Windows((), default_s=300.0) if plan.node.limit_volt_amperes is not None else None
        self.lines: dict[str, Value | None] = {}
        self.direct: dict[str, list[Source]] | None = None
        self.draw: Interval | None = None
        self.reactive: Reactive = NO_VARS
        self.apparent: Value | None = None
        self.is_over_derate = False
        self.set_name = _set_below(plan, topology)
        self.trip_words = ""
        """When its breaker may trip, as an estimate; empty while nothing says so."""
        self.waits_ns: int | None = None
        """Monotonic time at which a delay of the overload rule runs out."""

    @property
    def breaker_base(self) -> str:
        """What a percentage of its breaker is a percentage of, in words."""
        return breaker_base(self.plan.node, self.ambient_celsius)

    @property
    def watts_limit(self) -> SourceLimit | None:
        """What it may draw from the source that feeds it now; None where no limit in W is set."""
        return source_limit(self.plan.node, self.active_source, is_told=self.plan.is_source_told)

    def find_sources(self, topology: Topology) -> None:
        """Learn which sources tell this node's lines directly; what a device shows decides that."""
        if self.rating_amperes is None:
            return
        found = {phase: direct_sources(topology, self.plan, phase) for phase in self.plan.lines}
        known = {phase: sources for phase, sources in found.items() if sources is not None}
        self.direct = known if len(known) == len(found) else None

    def see(self, topology: Topology, look: Look, states: Mapping[str, NodeState], feeds: Feeds) -> None:
        """Work out draw, apparent power and line currents; children must have been seen before."""
        plan = self.plan
        if plan.thermometers:
            self._feel(look)
        if plan.tellers:
            self._find_source(look)
        loaded = topology.loaded_children(plan)
        possible = topology.possible_children(plan)
        draws = {child: states[child].known_draw for child in loaded}
        draws.update((child, _possible_draw(states[child])) for child in possible)
        self.draw = node_draw(plan, look, draws, feeds)
        self.reactive = self._reactive(topology, look, [states[child] for child in loaded + possible], feeds)
        self.apparent = apparent(self.draw, self.reactive)
        below = {child: Below(states[child].lines, states[child].apparent) for child in loaded + possible}
        self.lines = node_lines(topology, plan, look, below)

    def _feel(self, look: Look) -> None:
        """Take the ambient temperature of a live sensor."""
        live = (source for source in self.plan.thermometers if source.rank_at(look.mono_ns) <= HELD)
        self.ambient_celsius = next((source.value for source in live), None)
        self.rating_amperes = effective_amperes(self.plan.node, self.ambient_celsius)

    def _find_source(self, look: Look) -> None:
        """Take the source that a live device says is in use; a device that fell silent leaves it open."""
        plan, node = self.plan, self.plan.node
        telling = [source for source in plan.tellers if source.value is not None]
        live = next((source for source in telling if source.rank_at(look.mono_ns) <= HELD), None)
        before = self.active_source
        self.active_source = None if live is None else _source_named(live.value, node.sources)
        if before is not None and self.active_source not in (None, before):
            self.source_changed_ns = look.mono_ns
        plan.is_source_told = live is not None or not telling
        if live is not None and self.active_source != _NO_SOURCE:
            plan.parent = parent_by_source(node, self.active_source or "")

    def _reactive(self, topology: Topology, look: Look, below: list[NodeState], feeds: Feeds) -> Reactive:
        plan, draw = self.plan, self.known_draw
        for meter in plan.meters:
            told = meter_reactive(meter, draw, look)
            if told is not None:
                return told
        factor = plan.node.power_factor
        if plan.node.is_direct_current:
            return NO_VARS
        parts = [child.reactive for child in below]
        for rack_id, letter in plan.feeds:
            drawn = feeds.get((rack_id, letter))
            if drawn is not None:
                parts.append(feed_reactive(topology.racks[rack_id].feeds[letter], drawn, look, factor))
        if not parts or (draw.provenance.startswith("meter") and all(part.is_assumed for part in parts)):
            return assumed_reactive(draw, factor)
        return scaled_reactive(add_reactive(parts), 1.0 / plan.node.efficiency)

    def close(self, *, missed: int) -> None:
        """Close a slot in the windows."""
        for phase, windows in self.continuous.items():
            value = self.lines.get(phase)
            if value is None:
                continue
            lo, best, hi, _ = value
            short = self.short[phase]
            for each in (windows, short) if missed else ():
                each.skip(missed, self.plan.node.breaker_amperes or 0.0)
            windows.push(lo, best, hi)
            short.push(lo, best, hi)
        self._push(self.power, self.draw, missed)
        self._push(self.volt_amperes, self.apparent, missed)

    def _push(self, windows: Windows | None, quantity: Interval | Value | None, missed: int) -> None:
        if windows is None or quantity is None:
            return
        windows.skip(missed, self.plan.ceiling_watts)
        windows.push(quantity.lo, quantity.best, quantity.hi)

    @property
    def known_draw(self) -> Interval:
        """Its draw; before the first look, all that its limits allow."""
        return self.draw or published(unknown(self.plan.ceiling_watts), coverage=0.0)

    def keep(self, before: NodeState) -> None:
        """Take over the past of the same node as it stood before a reload."""
        for mine, theirs in ((self.continuous, before.continuous), (self.short, before.short)):
            for phase in mine.keys() & theirs.keys():
                mine[phase].keep(theirs[phase])
        self.power.keep(before.power)
        self.active_source, self.source_changed_ns = before.active_source, before.source_changed_ns
        if self.volt_amperes is not None and before.volt_amperes is not None:
            self.volt_amperes.keep(before.volt_amperes)


def _source_named(state: float | None, sources: Mapping[str, object]) -> str | None:
    """Give the source that a device's state names; an alternate input is the second one configured."""
    word = POWER_SOURCE.states.get(int(state)) if state is not None else None
    if word == _ALTERNATE and word not in sources and len(sources) > 1:
        return list(sources)[1]
    return word


def _possible_draw(child: NodeState) -> Interval:
    """Give the draw of a child that may be fed from elsewhere: anything up to all of it."""
    draw = child.known_draw
    return replace(draw, lo=0.0, best=None, coverage=0.0, quality=Quality.ESTIMATED, lost=(child.plan.node.id,))


def _set_below(plan: NodePlan, topology: Topology) -> str:
    """Give the rule set of what hangs on a node: mining where any rack below is, else ai, else plant."""
    found: set[str] = set()
    names, seen = [plan], {plan.node.id}
    while names:
        step = names.pop()
        found.update(SET_OF_STATE[topology.racks[rack_id].rack.state] for rack_id, _ in step.feeds)
        names += [topology.nodes[child] for child in step.children if child not in seen]
        seen.update(step.children)
    return MINING if MINING in found else AI if AI in found else PLANT


def _node_target(plan: NodePlan, topology: Topology) -> Target:
    node = plan.node
    racks = frozenset(f"rack:{rack_id}" for rack_id, _ in plan.feeds if rack_id in topology.site.racks)
    scope = frozenset({f"power_node:{node.id}"})
    return Target("power_node", node.id, node.label or node.id, scope, scope | racks, node.parent or node.id)

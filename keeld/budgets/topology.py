"""The site as the judging walks it: which source measures which rack, feed and node. Built once per configuration."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from keeld.budgets.intake import METERING_KINDS, Intake
from keeld.budgets.joins import Join, join_of
from keeld.budgets.limits import (
    BEYOND_ANY_SITE_WATTS,
    ceiling_watts,
    normal_source,
    parent_by_source,
    parents_of,
    phases_of,
)
from keeld.budgets.meters import Meter, meter_at, node_meters
from keeld.budgets.source import Source
from keeld.metrics import (
    POWER,
    POWER_ESTIMATE,
    POWER_SOURCE,
    TEMPERATURE,
)
from keeld.model import Device, Rack, Site
from keeld.trees import CoolingNode, PowerNode

NOT_A_LOAD = frozenset({"pdu", "meter", "ups", "sensor", "cooling"})


@dataclass(slots=True, eq=False)
class Load:
    """A machine that draws power: its own reports and the most it can draw."""

    intake: Intake
    power: Source
    estimate: Source
    ceiling_watts: float


@dataclass(slots=True, eq=False)
class Feed:
    """One supply into a rack and everything that measures it, best first."""

    letter: str
    node: PowerNode | None
    ceiling_watts: float
    inlets: list[Meter] = field(default_factory=list)
    """The rack's PDUs on this feed: their sum is the feed."""
    meters: list[Meter] = field(default_factory=list)
    """Meters ahead of the PDUs: each one measures the feed."""
    loads: list[Load] = field(default_factory=list)
    """Machines on this feed alone."""
    shared: list[Load] = field(default_factory=list)
    """Machines that draw from this feed and another, or from one that is not known."""
    is_dead: bool = False
    """Whether it is proved to be dead: what a silent PDU said before is no load on it any more."""

    @property
    def is_metered(self) -> bool:
        """Whether any meter is configured for it."""
        return bool(self.inlets or self.meters)


@dataclass(slots=True, eq=False)
class RackPlan:
    """A rack with its feeds and loads."""

    rack: Rack
    feeds: dict[str, Feed]
    loads: list[Load]
    coolers: list[Intake]
    sensors: list[Intake]
    ceiling_watts: float
    nameplate_watts: float | None
    """Sum of the nameplates; None when a load has none."""


@dataclass(slots=True, eq=False)
class NodePlan:
    """A power node with its own meters and what hangs on it."""

    node: PowerNode
    ceiling_watts: float
    meters: list[Meter] = field(default_factory=list)
    children: list[str] = field(default_factory=list)
    feeds: list[tuple[str, str]] = field(default_factory=list)
    """(rack, feed letter)."""
    lines: tuple[str, ...] = ()
    joins: dict[str, Join | None] = field(default_factory=dict)
    """How each child loads its lines; None where that is not known."""
    is_switched: bool = False
    """Whether a transfer switch below it may bring its load, or take it away, at any time."""
    is_askew: bool = False
    """Whether loads between two lines hang on it or below it: their currents are 30 degrees off their lines'."""
    parents: tuple[str, ...] = ()
    """Nodes that may feed it, the normal one first."""
    parent: str | None = None
    """The one that feeds it now."""
    is_source_told: bool = True
    """False while it is not known which source is in use, as the device that told it is silent."""
    tellers: list[Source] = field(default_factory=list)
    """What may say which source is in use."""
    thermometers: list[Source] = field(default_factory=list)
    """What may say its ambient temperature, best first."""

    @property
    def is_spare(self) -> bool:
        """Whether nothing hangs on it and nothing measures it: its parent's sum leaves it out."""
        return not (self.meters or self.children or self.feeds)


@dataclass(slots=True, eq=False)
class Path:
    """Devices that are reached through one thing: a gateway's address, or a switch."""

    id: str
    kind: str
    intakes: list[Intake]


@dataclass(slots=True, eq=False)
class Topology:
    """All of the site's plans. `order` lists the power nodes with children before their parents."""

    site: Site
    intakes: dict[str, Intake]
    racks: dict[str, RackPlan]
    nodes: dict[str, NodePlan]
    cooling: dict[str, CoolingNode]
    paths: list[Path]
    order: list[str]

    def loaded_children(self, plan: NodePlan) -> list[str]:
        """List the children that a node feeds now and that anything hangs on or measures."""
        found = (self.nodes[child] for child in plan.children)
        name = plan.node.id
        return [
            child.node.id
            for child in found
            if child.parent == name and not child.is_spare and (child.is_source_told or len(child.parents) == 1)
        ]

    def possible_children(self, plan: NodePlan) -> list[str]:
        """List the children that a node may feed or not: what tells their source is silent."""
        found = (self.nodes[child] for child in plan.children)
        return [child.node.id for child in found if not child.is_source_told and len(child.parents) > 1]

    def ancestors(self, node_id: str | None) -> list[str]:
        """List a node and all above it that feed it now, nearest first."""
        chain: list[str] = []
        while node_id is not None and node_id in self.nodes and node_id not in chain:
            chain.append(node_id)
            node_id = self.nodes[node_id].parent
        return chain


def build(site: Site, previous: Mapping[str, Intake] | None = None) -> Topology:
    """Lay out a site. What is known of devices that did not change is taken over from `previous`."""
    intakes = {device.id: _intake(device, (previous or {}).get(device.id)) for device in site.devices.values()}
    meters = node_meters(site, intakes)
    nodes = _plan_nodes(site, meters)
    _attach_tellers(nodes, intakes)
    members = _members(intakes)
    racks = {rack.id: _plan_rack(site, rack, members.get(rack.id, []), nodes) for rack in site.racks.values()}
    order = _bottom_up(nodes)
    _mark_nodes(nodes, order)
    return Topology(site, intakes, racks, nodes, dict(site.cooling), _paths(intakes), order)


def _intake(device: Device, before: Intake | None) -> Intake:
    if before is None or not _is_same_thing(before.device, device):
        return Intake(device)
    before.device = device
    return before


def _is_same_thing(before: Device, after: Device) -> bool:
    return (before.kind, before.driver, before.address, before.unit, before.profile) == (
        after.kind,
        after.driver,
        after.address,
        after.unit,
        after.profile,
    )


def _plan_nodes(site: Site, meters: Mapping[str, list[Meter]]) -> dict[str, NodePlan]:
    nodes = {
        node.id: NodePlan(
            node,
            ceiling_watts(node.id, site.power),
            list(meters.get(node.id, [])),
            lines=phases_of(node),
            parents=parents_of(node),
            parent=parent_by_source(node, normal_source(node)),
        )
        for node in site.power.values()
    }
    for node in site.power.values():
        for parent in parents_of(node):
            if parent in nodes:
                nodes[parent].children.append(node.id)
                nodes[parent].joins[node.id] = join_of(node, site.power[parent])
    for rack in site.racks.values():
        for letter, node_id in rack.feeds.items():
            if node_id in nodes:
                nodes[node_id].feeds.append((rack.id, letter))
    return nodes


_AMBIENT_PARTS = ("ambient", "intake", "")


def _attach_tellers(nodes: Mapping[str, NodePlan], intakes: Mapping[str, Intake]) -> None:
    """Find what tells each node's source in use and its ambient temperature."""
    for intake in intakes.values():
        plan = nodes.get(intake.device.node or "")
        if plan is not None and intake.device.kind in METERING_KINDS:
            plan.tellers.append(intake.source(POWER_SOURCE))
        if plan is not None and intake.device.kind == "sensor":
            plan.thermometers += [intake.source(TEMPERATURE, part) for part in _AMBIENT_PARTS]
    for plan in nodes.values():
        named = intakes.get(plan.node.ambient_device or "")
        if named is not None:
            plan.thermometers[:0] = [named.source(TEMPERATURE, part) for part in _AMBIENT_PARTS]


def _members(intakes: Mapping[str, Intake]) -> dict[str, list[Intake]]:
    """Sort devices by the rack they stand in."""
    found: dict[str, list[Intake]] = defaultdict(list)
    for intake in intakes.values():
        if intake.device.rack is not None:
            found[intake.device.rack].append(intake)
    return found


def _plan_rack(site: Site, rack: Rack, members: list[Intake], nodes: Mapping[str, NodePlan]) -> RackPlan:
    feeds = {letter: _feed(site, letter, node_id) for letter, node_id in rack.feeds.items()}
    _attach_meters(feeds, members, nodes)
    feed_ceiling = sum(feed.ceiling_watts for feed in feeds.values()) or BEYOND_ANY_SITE_WATTS
    loads = [_load(intake, feed_ceiling) for intake in members if intake.device.kind not in NOT_A_LOAD]
    for load in loads:
        _attach_load(feeds, load)
    nameplates = [load.intake.device.nameplate_watts for load in loads]
    known = [watts for watts in nameplates if watts is not None]
    nameplate = sum(known) if loads and len(known) == len(nameplates) else None
    return RackPlan(
        rack=rack,
        feeds=feeds,
        loads=loads,
        coolers=[intake for intake in members if intake.device.kind == "cooling"],
        sensors=[intake for intake in members if intake.device.kind == "sensor"],
        ceiling_watts=min(feed_ceiling, nameplate) if nameplate is not None else feed_ceiling,
        nameplate_watts=nameplate,
    )


def _feed(site: Site, letter: str, node_id: str | None) -> Feed:
    node = site.power.get(node_id) if node_id is not None else None
    return Feed(letter, node, ceiling_watts(node_id, site.power))


def _attach_meters(feeds: dict[str, Feed], members: list[Intake], nodes: Mapping[str, NodePlan]) -> None:
    for intake in members:
        device = intake.device
        if device.kind not in METERING_KINDS or device.node is not None or device.measures:
            continue
        feed = _feed_of(feeds, device.feed)
        meter = meter_at(intake, ("",), phases_of(feed.node) if feed.node is not None else ("L1", "L2", "L3"))
        (feed.inlets if device.kind == "pdu" else feed.meters).append(meter)
    for feed in feeds.values():
        plan = nodes.get(feed.node.id) if feed.node is not None else None
        if plan is not None and len(plan.feeds) == 1 and not plan.children:
            feed.meters.extend(replace(meter, ratio=plan.node.efficiency) for meter in plan.meters)


def _feed_of(feeds: dict[str, Feed], letter: str | None) -> Feed:
    """Give a device's feed; one that names none is on the only feed, or on one that the tree does not know."""
    if letter is None and len(feeds) == 1:
        return next(iter(feeds.values()))
    name = letter or ""
    if name not in feeds:
        feeds[name] = Feed(name, None, BEYOND_ANY_SITE_WATTS)
    return feeds[name]


def _load(intake: Intake, feed_ceiling_watts: float) -> Load:
    nameplate = intake.device.nameplate_watts
    ceiling = feed_ceiling_watts if nameplate is None else nameplate
    return Load(intake, intake.source(POWER), intake.source(POWER_ESTIMATE), ceiling)


def _attach_load(feeds: dict[str, Feed], load: Load) -> None:
    device = load.intake.device
    letters: set[str | None] = {cord.feed for cord in device.cords} or {device.feed}
    only = next(iter(letters)) if len(letters) == 1 else None
    if only is None and len(feeds) == 1:
        only = next(iter(feeds))
    for letter, feed in feeds.items():
        if letter == only:
            feed.loads.append(load)
        elif only is None and (letter in letters or letters == {None}):
            feed.shared.append(load)


def _paths(intakes: Mapping[str, Intake]) -> list[Path]:
    """Group devices by gateway address, by switch and all together; a path with one device is that device."""
    gateways: dict[str, list[Intake]] = defaultdict(list)
    switches: dict[str, list[Intake]] = defaultdict(list)
    everything: list[Intake] = []
    for intake in intakes.values():
        device = intake.device
        if is_networked(device):
            gateways[device.address].append(intake)
            everything.append(intake)
        if device.via is not None:
            switches[device.via].append(intake)
    found = [Path("network", "network", everything)] if len(everything) > 1 else []
    found += [Path(name, "switch", members) for name, members in switches.items() if len(members) > 1]
    found += [Path(name, "gateway", members) for name, members in gateways.items() if len(members) > 1]
    return found


def is_networked(device: Device) -> bool:
    """Whether keeld reaches the device over a network, and not through a worker or by waiting for it."""
    return bool(device.address) and device.address != "local" and not device.address.startswith("exec:")


def _mark_nodes(nodes: Mapping[str, NodePlan], order: list[str]) -> None:
    for name in order:
        plan = nodes[name]
        below = [nodes[child] for child in plan.children]
        plan.is_switched = any(child.is_switched or len(child.parents) > 1 for child in below)
        plan.is_askew = any(nodes[child].is_askew or _may_be_across(plan, nodes[child].node) for child in plan.children)


def _may_be_across(parent: NodePlan, child: PowerNode) -> bool:
    """Whether a child hangs between two lines of its parent, or may for all that is configured."""
    join = parent.joins[child.id]
    if join is None:
        return parent.node.phases > 1 == child.phases and not child.is_direct_current
    return join.is_across


def _bottom_up(nodes: Mapping[str, NodePlan]) -> list[str]:
    order: list[str] = []
    seen: set[str] = set()

    def visit(node_id: str) -> None:
        if node_id in seen:
            return
        seen.add(node_id)
        for child in nodes[node_id].children:
            visit(child)
        order.append(node_id)

    for node_id in nodes:
        visit(node_id)
    return order

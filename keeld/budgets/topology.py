"""The site as the judging walks it: which source measures which rack, feed and node. Built once per configuration."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from keeld.budgets.intake import METERING_KINDS, Intake
from keeld.budgets.limits import BEYOND_ANY_SITE_WATTS, ceiling_watts, phases_of
from keeld.budgets.source import Source
from keeld.metrics import APPARENT_POWER, CURRENT, POWER, POWER_ESTIMATE
from keeld.model import CoolingNode, Device, PowerNode, Rack, Site

NOT_A_LOAD = frozenset({"pdu", "meter", "ups", "sensor", "cooling"})
UNHEARD_DRIVERS = frozenset({"agent"})
"""Drivers whose devices send by themselves: one that never did was not connected, which is a finding."""


@dataclass(slots=True, eq=False)
class Meter:
    """A place where a circuit is measured: a PDU's inlet, a meter, a branch of one."""

    intake: Intake
    parts: tuple[str, ...]
    powers: tuple[Source, ...]
    apparent: Source | None
    lines: dict[str, tuple[Source, ...]]
    """Line to the sources that may carry its current; the first that ever had a sample counts."""

    @property
    def name(self) -> str:
        """Device and part, for people."""
        parts = "+".join(part for part in self.parts if part)
        return f"{self.intake.device.id} {parts}" if parts else self.intake.device.id

    def line(self, phase: str) -> Source | None:
        """Give the source of a line's current; None where the device has not shown one."""
        return next((source for source in self.lines.get(phase, ()) if source.value is not None), None)


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
        """List the children of a node that anything hangs on or measures."""
        return [child for child in plan.children if not self.nodes[child].is_spare]

    def ancestors(self, node_id: str | None) -> list[str]:
        """List a node and all above it, nearest first."""
        chain: list[str] = []
        while node_id is not None and node_id in self.nodes and node_id not in chain:
            chain.append(node_id)
            node_id = self.nodes[node_id].node.parent
        return chain


def build(site: Site, previous: Mapping[str, Intake] | None = None) -> Topology:
    """Lay out a site. What is known of devices that did not change is taken over from `previous`."""
    intakes = {device.id: _intake(device, (previous or {}).get(device.id)) for device in site.devices.values()}
    meters = _node_meters(site, intakes)
    nodes = _plan_nodes(site, meters)
    racks = {rack.id: _plan_rack(site, rack, intakes, nodes) for rack in site.racks.values()}
    return Topology(site, intakes, racks, nodes, dict(site.cooling), _paths(intakes), _bottom_up(nodes))


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


def _meter(intake: Intake, parts: tuple[str, ...], phases: tuple[str, ...]) -> Meter:
    """Lay out one meter; several parts for one circuit are its poles, in order."""
    powers = tuple(intake.source(POWER, part, keep_recent=not part) for part in parts)
    apparent = intake.source(APPARENT_POWER, parts[0]) if len(parts) == 1 else None
    if len(parts) > 1:
        lines: dict[str, tuple[Source, ...]] = {
            phase: (intake.source(CURRENT, part, keep_recent=True),) for phase, part in zip(phases, parts, strict=False)
        }
    else:
        lines = {phase: _line_sources(intake, parts[0], phase) for phase in phases}
    return Meter(intake, parts, powers, apparent, lines)


def _line_sources(intake: Intake, part: str, phase: str) -> tuple[Source, ...]:
    if phase:
        return (intake.source(CURRENT, f"{part}/{phase}" if part else phase, keep_recent=True),)
    names = (part, f"{part}/L1" if part else "L1", *(() if part else ("L1-L2",)))
    return tuple(intake.source(CURRENT, name, keep_recent=True) for name in names)


def _node_meters(site: Site, intakes: Mapping[str, Intake]) -> dict[str, list[Meter]]:
    meters: dict[str, list[Meter]] = defaultdict(list)
    for intake in intakes.values():
        device = intake.device
        if device.kind not in METERING_KINDS:
            continue
        parts_of: dict[str, list[str]] = defaultdict(list)
        for part, node_id in device.measures:
            parts_of[node_id].append(part)
        if device.node is not None:
            parts_of[device.node].append("")
        for node_id, parts in parts_of.items():
            if node_id in site.power:
                meters[node_id].append(_meter(intake, tuple(parts), phases_of(site.power[node_id])))
    return meters


def _plan_nodes(site: Site, meters: Mapping[str, list[Meter]]) -> dict[str, NodePlan]:
    nodes = {
        node.id: NodePlan(
            node, ceiling_watts(node.id, site.power), list(meters.get(node.id, [])), lines=phases_of(node)
        )
        for node in site.power.values()
    }
    for node in site.power.values():
        if node.parent in nodes:
            nodes[node.parent].children.append(node.id)
    for rack in site.racks.values():
        for letter, node_id in rack.feeds.items():
            if node_id in nodes:
                nodes[node_id].feeds.append((rack.id, letter))
    return nodes


def _plan_rack(site: Site, rack: Rack, intakes: Mapping[str, Intake], nodes: Mapping[str, NodePlan]) -> RackPlan:
    members = [intake for intake in intakes.values() if intake.device.rack == rack.id]
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
        meter = _meter(intake, ("",), phases_of(feed.node) if feed.node is not None else ("L1", "L2", "L3"))
        (feed.inlets if device.kind == "pdu" else feed.meters).append(meter)
    for feed in feeds.values():
        plan = nodes.get(feed.node.id) if feed.node is not None else None
        if plan is not None and len(plan.feeds) == 1 and not plan.children:
            feed.meters.extend(plan.meters)


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

"""What announced work takes out of service: the selected things, all that hangs on them, and who loses one of two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from keeld.alerts.board import Board
from keeld.alerts.selector import Selector, is_like
from keeld.alerts.work import Reach
from keeld.budgets.topology import Topology
from keeld.model import Moment, RuleSettings
from keeld.watch.racks import RackState
from keeld.watch.rulebook import Rulebook
from keeld.watch.tags import Tags


def rulebook(settings: Mapping[str, RuleSettings], topology: Topology) -> Rulebook:
    """Make the rules of a site, with selectors that know its targets."""
    rules = Rulebook(settings)
    rules.tags_of = Tags(topology).of
    return rules


def settle(board: Board, topology: Topology, rules: Rulebook) -> None:
    """Let the board know a configuration: what selectors mean in it, and what work takes out of service."""
    board.tags_of = rules.tags_of
    board.rule_at = rules.at
    board.timezone = board.context.timezone = topology.site.timezone
    board.context.urls = topology.site.urls
    board.holds.know(topology.site.timezone, lambda selector: reach(topology, selector))


def note_first_sight(board: Board, rules: Rulebook, racks: Mapping[str, RackState], now: Moment) -> None:
    """Remember since when the site, its rules and its racks are known: what is new is only observed."""
    observing = board.holds.observing
    if not observing.span_s:
        return
    names = [f"rule:{name}" for name in (*rules.names, *rules.own) if rules.rule(name).enabled]
    under = [f"rack:{name}/{state.set_name}" for name, state in racks.items()]
    observing.note(["site", *names, *under], now.wall_ns)


def reach(topology: Topology, selector: Selector) -> Reach:
    """Find what work on a selector takes out of service; nothing where it selects nothing."""
    nodes = set(_nodes(topology, selector))
    feeds = {
        (rack.id, letter) for rack in topology.site.racks.values() for letter, node in rack.feeds.items()
        if node in nodes or _is_meant(selector, f"{rack.id}/{letter}", "feed")
    }  # fmt: skip
    racks = set(_racks(topology, selector))
    scopes = {f"power_node:{node}" for node in nodes} | {f"feed:{rack}/{letter}" for rack, letter in feeds}
    for rack in racks:
        scopes |= {f"rack:{rack}", *(f"feed:{rack}/{letter}" for letter in topology.site.racks[rack].feeds)}
    scopes |= set(_others(topology, selector))
    scopes |= set(_devices(topology, selector, nodes=nodes, feeds=feeds, racks=racks, scopes=frozenset(scopes)))
    degraded = {f"rack:{rack}" for rack, _ in feeds} - {f"rack:{rack}" for rack in racks}
    return Reach(frozenset(scopes), frozenset(degraded))


def _is_meant(selector: Selector, name: str, *keys: str) -> bool:
    """Whether a selector names a thing by one of these keys."""
    patterns = [pattern for key in keys if (pattern := selector.pattern(key)) is not None]
    return any(is_like(name, pattern) for pattern in patterns)


def _nodes(topology: Topology, selector: Selector) -> Iterator[str]:
    """Name the nodes that are meant, with all below them."""
    for name in topology.nodes:
        if any(_is_meant(selector, above, "node", "under") for above in topology.ancestors(name)):
            yield name


def _racks(topology: Topology, selector: Selector) -> Iterator[str]:
    """Name the racks that are meant as a whole: by themselves, their row, tenant, class or state."""
    if any(selector.pattern(key) for key in ("node", "under", "feed", "device", "cooling", "switch")):
        return
    for rack in topology.site.racks.values():
        words = (
            ("rack", rack.id), ("row", rack.row), ("tenant", rack.tenant),
            ("class", rack.thermal_class), ("state", rack.state),
        )  # fmt: skip
        asked = [(word, pattern) for key, word in words if (pattern := selector.pattern(key)) is not None]
        if asked and all(word is not None and is_like(word, pattern) for word, pattern in asked):
            yield rack.id


def _others(topology: Topology, selector: Selector) -> Iterator[str]:
    for zone in topology.cooling:
        if _is_meant(selector, zone, "cooling"):
            yield f"cooling_node:{zone}"
    for path in topology.paths:
        if _is_meant(selector, path.id, "switch"):
            yield f"path:{path.id}"
    for row in {rack.row for rack in topology.site.racks.values() if rack.row}:
        if _is_meant(selector, row, "row") and selector.pattern("rack") is None:
            yield f"row:{row}"


def _devices(
    topology: Topology,
    selector: Selector,
    *,
    nodes: set[str],
    feeds: set[tuple[str, str]],
    racks: set[str],
    scopes: frozenset[str],
) -> Iterator[str]:
    """Name the devices that go with what is out of service, or are meant themselves."""
    behind = {
        intake.device.id for path in topology.paths if f"path:{path.id}" in scopes for intake in path.intakes
    }  # fmt: skip
    for device in topology.site.devices.values():
        is_fed = not device.cords and (device.rack or "", device.feed or "") in feeds
        at = f"cooling_node:{device.node}" in scopes or device.node in nodes
        if is_fed or at or device.rack in racks or device.id in behind or _is_meant(selector, device.id, "device"):
            yield f"device:{device.id}"

"""The words by which a selector finds a target: what it is, which rack, row, class, state and tenant it belongs to."""

from __future__ import annotations

from collections.abc import Iterator

from keeld.alerts.alarm import Target
from keeld.budgets.topology import Topology
from keeld.model import Device, Rack

_KEY_OF = {"power_node": "node", "cooling_node": "cooling", "path": "switch"}
"""Kinds of target that selectors know under another word."""
_MOST = 50_000


class Tags:
    """Tags of the targets of one configuration, worked out once for each."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._known: dict[tuple[str, str], frozenset[str]] = {}

    def of(self, target: Target) -> frozenset[str]:
        """Give a target's tags as `key:value`, with those that it brought itself."""
        name = (target.kind, target.id)
        tags = self._known.get(name)
        if tags is None:
            tags = frozenset(self._find(target)) | target.tags
            if len(self._known) < _MOST:
                self._known[name] = tags
        return tags

    def _find(self, target: Target) -> Iterator[str]:
        yield f"kind:{target.kind}"
        yield f"id:{target.id}"
        for scope in {f"{target.kind}:{target.id}", *target.scopes}:
            kind, _, name = scope.partition(":")
            yield f"{_KEY_OF.get(kind, kind)}:{name}"
            yield from self._belongings(kind, name)

    def _belongings(self, kind: str, name: str) -> Iterator[str]:
        site = self._topology.site
        if kind == "rack" and name in site.racks:
            yield from _of_rack(site.racks[name])
        elif kind == "feed":
            rack, _, letter = name.partition("/")
            if rack in site.racks:
                yield f"rack:{rack}"
                yield from _of_rack(site.racks[rack])
                yield from self._above(site.racks[rack].feeds.get(letter))
        elif kind == "device" and name in site.devices:
            yield from self._of_device(site.devices[name])
        elif kind == "power_node":
            yield from self._above(name)

    def _of_device(self, device: Device) -> Iterator[str]:
        rack = self._topology.site.racks.get(device.rack or "")
        if rack is not None:
            yield f"rack:{rack.id}"
            yield from _of_rack(rack)
            yield from self._above(rack.feeds.get(device.feed or ""))
        for key, value in (("row", device.row), ("tenant", device.tenant), ("switch", device.via)):
            if value:
                yield f"{key}:{value}"
        if device.rack_unit is not None:
            yield f"u:{device.rack_unit}"
        if device.node is not None:
            yield f"{'cooling' if device.node in self._topology.cooling else 'node'}:{device.node}"
            yield from self._above(device.node)

    def _above(self, node_id: str | None) -> Iterator[str]:
        for name in self._topology.ancestors(node_id):
            yield f"under:{name}"


def _of_rack(rack: Rack) -> Iterator[str]:
    yield f"state:{rack.state}"
    for key, value in (("row", rack.row), ("class", rack.thermal_class), ("tenant", rack.tenant)):
        if value:
            yield f"{key}:{value}"

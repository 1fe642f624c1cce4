"""What incidents do to the plant at one moment, as one frozen value.

Active incidents are put together anew whenever one begins or ends, so two that overlap need not know of each other and
nothing has to be undone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """Everything that is wrong on the site now."""

    dead_nodes: frozenset[str] = frozenset()
    """Power nodes without voltage; all below them is dead too."""
    unpowered: frozenset[str] = frozenset()
    """Machines whose own contactor is open; their feed and its meter live on."""
    silent: frozenset[str] = frozenset()
    """Devices that the network no longer reaches."""
    poolless: frozenset[str] = frozenset()
    """Miners without any pool."""
    training_load: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """GPU node to the load that it no longer falls below."""
    failed_cooling: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Air zone to the share of its capacity that is gone."""
    lost_flow: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Liquid loop to the share of its flow that is gone."""
    stuck: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    """Device to the metrics that it repeats; empty for all of them."""


NOTHING = Effects()

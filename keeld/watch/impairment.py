"""Whether a path of power is one that may soon be gone: on battery, bypass or generator, or announced work on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from keeld.alerts.holds import Holds
from keeld.watch.nodes import NodeState

_IMPAIRED = frozenset({"battery", "bypass", "generator"})


def impairment(nodes: Iterable[NodeState], feeds: Iterable[str], holds: Holds) -> str:
    """Say what is the matter with the paths that some nodes and feeds (`rack/letter`) are; empty where nothing is."""
    return "; ".join(dict.fromkeys((*_of_nodes(nodes, holds), *_of_feeds(feeds, holds))))


def _of_nodes(nodes: Iterable[NodeState], holds: Holds) -> Iterator[str]:
    for state in nodes:
        node = state.plan.node
        label = node.label or node.id
        if state.active_source in _IMPAIRED:
            yield f"{label} is on {state.active_source}"
        if holds.is_under_work("power_node", node.id):
            yield f"work is announced on {label}"


def _of_feeds(feeds: Iterable[str], holds: Holds) -> Iterator[str]:
    return (f"work is announced on feed {name}" for name in feeds if holds.is_under_work("feed", name))

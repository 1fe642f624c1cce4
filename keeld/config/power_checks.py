"""The power tree against itself: parents, cycles, ratings that are missing or cannot be meant."""

from __future__ import annotations

import math
from collections.abc import Iterator

from keeld.config.draft import Draft
from keeld.config.report import Report
from keeld.config.site_schema import PowerEntry
from keeld.config.wording import suggest

_THREE_PHASE = 3
_LINE_TO_LINE_V = 380.0
_LINE_TO_NEUTRAL_V = {120.0: 208, 127.0: 220, 220.0: 380, 230.0: 400, 240.0: 415, 277.0: 480, 347.0: 600}
_AMBIGUOUS_V = (200.0, 210.0)


def check_power(draft: Draft, report: Report) -> None:
    """Check every power node by itself and against its parent."""
    nodes = draft.document.power
    for name, node in nodes.items():
        _check_parent(name, node, draft, report)
        if draft.is_whole("power", name):
            _check_rating(name, node, draft, report)
    _check_cycles(draft, report)
    for name, node in nodes.items():
        parent = nodes.get(node.parent or "")
        if parent is not None:
            _check_against_parent(name, node, parent, draft=draft, report=report)
    _check_sums(draft, report)


def capacity_volt_amperes(node: PowerEntry) -> float | None:
    """Give the smallest of a node's ratings in VA (a limit in kW counts as if at power factor 1); None without any."""
    ratings = [kilo * 1000.0 for kilo in (node.limit_kw, node.limit_kva) if kilo is not None]
    breaker = breaker_volt_amperes(node)
    if breaker is not None:
        ratings.append(breaker)
    if node.sources:
        ratings.append(max(source.limit_kw for source in node.sources.values()) * 1000.0)
    return min(ratings, default=None)


def breaker_volt_amperes(node: PowerEntry) -> float | None:
    """Give what a node's breaker carries at its voltage; None where it has none."""
    if node.breaker_a is None or node.voltage_v is None:
        return None
    return node.breaker_a * node.voltage_v * (math.sqrt(3.0) if node.phases == _THREE_PHASE else 1.0)


def path_up(draft: Draft, name: str) -> Iterator[str]:
    """Walk from a node to its root, the node included; ends at an unknown parent or where a cycle closes."""
    seen: set[str] = set()
    step: str | None = name
    while step is not None and step not in seen and step in draft.document.power:
        seen.add(step)
        yield step
        step = draft.document.power[step].parent


def _check_parent(name: str, node: PowerEntry, draft: Draft, report: Report) -> None:
    if node.parent is None:
        return
    place = draft.place("power", name, "parent")
    if node.parent == name:
        report.error(place, f"power node {name!r} is its own parent", "name the node that feeds it, or leave it out")
    elif node.parent not in draft.entries["power"]:
        others = [other for other in draft.entries["power"] if other != name]
        report.error(place, f"parent {node.parent!r} is no power node", suggest(node.parent, others, what="power node"))


def _check_rating(name: str, node: PowerEntry, draft: Draft, report: Report) -> None:
    start = draft.place("power", name)
    if node.limit_kw is None and node.limit_kva is None and node.breaker_a is None and not node.sources:
        report.error(
            start, f"power node {name!r} has no rating", "add limit_kw, limit_kva, or breaker_a with voltage_v"
        )
    if node.breaker_a is not None and node.voltage_v is None:
        place = draft.key("power", name, "breaker_a")
        report.error(place, f"breaker of {name!r} has no voltage", "add voltage_v (line to line where phases is 3)")
    if node.voltage_v is not None and node.breaker_a is None and node.limit_kva is None:
        place = draft.key("power", name, "voltage_v")
        report.warn(place, f"voltage of {name!r} has no breaker", "add breaker_a, or leave voltage_v out")
    if node.phases not in {None, 1, _THREE_PHASE}:
        report.error(draft.place("power", name, "phases"), f"{node.phases} phases", "write 1 or 3")
    if node.breaker_kind.startswith("thermal") and node.breaker_a is None:
        place = draft.key("power", name, "breaker_kind")
        report.warn(place, f"{name!r} has a breaker_kind and no breaker", "add breaker_a, or leave breaker_kind out")
    if node.breaker_a is not None and node.voltage_v is not None:
        _check_voltage(name, node, node.voltage_v, draft=draft, report=report)


def _check_voltage(name: str, node: PowerEntry, voltage_v: float, *, draft: Draft, report: Report) -> None:
    place = draft.place("power", name, "voltage_v")
    if node.phases is None and voltage_v >= _LINE_TO_LINE_V:
        report.error(place, f"{voltage_v:g} V without `phases` at {name!r}", "add phases: 3 (or 1 between two lines)")
    elif node.phases is None and _AMBIGUOUS_V[0] <= voltage_v <= _AMBIGUOUS_V[1]:
        report.warn(place, f"{voltage_v:g} V without `phases` at {name!r} is taken as 1", "add phases: 1 or phases: 3")
    elif node.phases == _THREE_PHASE and voltage_v in _LINE_TO_NEUTRAL_V:
        line_to_line = _LINE_TO_NEUTRAL_V[voltage_v]
        wrong = f"{voltage_v:g} V looks like line to neutral; with phases: 3 it is read as line to line"
        report.warn(place, wrong, f"write voltage_v: {line_to_line}, unless {name!r} is a {voltage_v:g}-V delta")


def _check_cycles(draft: Draft, report: Report) -> None:
    nodes = draft.document.power
    settled: set[str] = set()
    for name in nodes:
        path = [step for step in path_up(draft, name) if step not in settled]
        settled.update(path)
        closing = nodes[path[-1]].parent if path else None
        if closing in path and path[-1] != closing:
            cycle = path[path.index(closing) :]
            place = draft.place("power", path[-1], "parent")
            report.error(place, f"power nodes feed one another in a circle: {' <- '.join(cycle)}", "break the circle")


def _check_against_parent(name: str, node: PowerEntry, parent: PowerEntry, *, draft: Draft, report: Report) -> None:
    own, above = capacity_volt_amperes(node), capacity_volt_amperes(parent)
    if own is None or above is None or own <= above * 1.0001:
        return
    wrong = f"{name!r} may carry {own / 1000:.4g} kVA, more than its parent {node.parent!r} with {above / 1000:.4g} kVA"
    report.warn(draft.place("power", name), wrong, "check both ratings")


def _check_sums(draft: Draft, report: Report) -> None:
    nodes = draft.document.power
    sums: dict[str, float] = {}
    for node in nodes.values():
        if node.parent in nodes:
            sums[node.parent] = sums.get(node.parent, 0.0) + (capacity_volt_amperes(node) or 0.0)
    for name, total in sums.items():
        own = capacity_volt_amperes(nodes[name])
        if own is not None and total > own * 1.0001:
            wrong = f"what hangs on {name!r} is rated {total / own:.2f} times its own rating"
            report.warn(draft.place("power", name), wrong, "fine where loads never peak together; check the ratings")

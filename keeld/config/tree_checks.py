"""How power nodes are wired to one another: lines, neutral, direct current, alternative sources, ambient."""

from __future__ import annotations

import math
from collections.abc import Iterator

from keeld.config.draft import Draft
from keeld.config.report import Report
from keeld.config.site_schema import PowerEntry
from keeld.config.wording import suggest
from keeld.node_kinds import kind_named

_THREE_PHASE = 3
_SQRT3 = math.sqrt(3.0)
_SAME_VOLTAGE = 0.12


def check_tree(draft: Draft, report: Report) -> None:
    """Check how each power node hangs on its parents, and that they do not feed one another."""
    for name, node in draft.document.power.items():
        _check_lines(name, node, draft, report)
        _check_wiring(name, node, draft, report)
        _check_direct_current(name, node, draft, report)
        _check_ambient(name, node, draft, report)
        _check_sources(name, node, draft, report)
        _check_kind(name, node, draft, report)
    _check_circles(draft, report)


def _check_lines(name: str, node: PowerEntry, draft: Draft, report: Report) -> None:
    parent = draft.document.power.get(node.parent or "")
    if node.lines is not None and (node.phases == _THREE_PHASE or node.current == "dc"):
        what = "three phases" if node.phases == _THREE_PHASE else "direct current"
        report.error(
            draft.key("power", name, "lines"), f"{name!r} has `lines` and {what}", "leave lines out, or phases: 1"
        )
    elif node.lines is not None and parent is not None and parent.phases != _THREE_PHASE:
        place = draft.place("power", name, "lines")
        wrong = f"{name!r} is on {node.lines} of {node.parent!r}, which has no three phases"
        report.error(place, wrong, f"add phases: 3 to {node.parent!r}, or leave lines out")
    elif node.lines is not None and parent is not None:
        _check_line_voltage(name, node, parent, node.lines, draft=draft, report=report)
    elif parent is not None and _is_line_missing(node, parent) and draft.is_whole("power", name):
        wrong = f"{name!r} does not say which lines of {node.parent!r} it is on: its current may be on any of them"
        report.warn(draft.place("power", name), wrong, "add lines: L1, or lines: L1-L2")


def _is_line_missing(node: PowerEntry, parent: PowerEntry) -> bool:
    """Whether a single-phase circuit hangs on a three-phase breaker."""
    is_single = node.phases in (None, 1) and node.current == "ac" and node.voltage_v is not None
    return is_single and parent.phases == _THREE_PHASE and parent.breaker_a is not None


def _check_line_voltage(
    name: str, node: PowerEntry, parent: PowerEntry, lines: str, *, draft: Draft, report: Report
) -> None:
    """Warn where a voltage does not fit the lines it is said to be between."""
    if node.voltage_v is None or parent.voltage_v is None:
        return
    across = parent.voltage_v if "-" in lines else parent.voltage_v / _SQRT3
    if abs(node.voltage_v / across - 1.0) <= _SAME_VOLTAGE:
        return
    between = "two lines" if "-" in lines else "a line and neutral"
    wrong = f"{node.voltage_v:g} V at {name!r}; between {between} of {node.parent!r} there are {across:.0f} V"
    report.warn(draft.place("power", name, "voltage_v"), wrong, "fine where a transformer lies between; check lines")


def _check_wiring(name: str, node: PowerEntry, draft: Draft, report: Report) -> None:
    if node.phases == _THREE_PHASE and node.current == "ac":
        if node.neutral_a is not None and node.wiring == "delta":
            place = draft.key("power", name, "neutral_a")
            report.error(place, f"{name!r} is a delta with a neutral", "write wiring: wye, or leave neutral_a out")
        return
    for key, value in (("wiring", node.wiring), ("neutral_a", node.neutral_a)):
        if value is not None:
            report.error(
                draft.key("power", name, key),
                f"`{key}` of {name!r} without three phases",
                "add phases: 3, or leave it out",
            )


def _check_direct_current(name: str, node: PowerEntry, draft: Draft, report: Report) -> None:
    if node.current != "dc":
        return
    if node.phases == _THREE_PHASE:
        report.error(draft.key("power", name, "phases"), f"{name!r} is direct current with phases", "leave phases out")
    if node.power_factor is not None:
        place = draft.key("power", name, "power_factor")
        report.error(place, f"{name!r} is direct current with a power factor", "leave power_factor out")
    if node.limit_kva is not None:
        report.error(
            draft.key("power", name, "limit_kva"), f"{name!r} is direct current rated in kVA", "write limit_kw"
        )


def _check_ambient(name: str, node: PowerEntry, draft: Draft, report: Report) -> None:
    if node.ambient is None:
        return
    place = draft.place("power", name, "ambient")
    known = draft.entries["devices"]
    if node.ambient not in known:
        wrong = f"ambient of {name!r} is told by {node.ambient!r}, which is no device"
        report.error(place, wrong, suggest(node.ambient, known, what="device"))
    elif node.breaker_kind == "electronic":
        wrong = f"{name!r} has an ambient sensor and an electronic breaker, which does not care"
        report.warn(place, wrong, "write breaker_kind: thermal_40c, or leave ambient out")


def _check_sources(name: str, node: PowerEntry, draft: Draft, report: Report) -> None:
    if node.source is not None and node.source not in node.sources:
        place = draft.place("power", name, "source")
        remedy = suggest(node.source, node.sources, what="source") if node.sources else "add sources, or leave it out"
        report.error(place, f"source {node.source!r} of {name!r} is none of its sources", remedy)
    for source, keys in node.sources.items():
        place = draft.place("power", name, "sources", source)
        if keys.parent == name:
            report.error(place, f"source {source!r} of {name!r} comes from itself", "name the node that feeds it")
        elif keys.parent is not None and keys.parent not in draft.entries["power"]:
            others = [other for other in draft.entries["power"] if other != name]
            wrong = f"source {source!r} of {name!r} comes from {keys.parent!r}, which is no power node"
            report.error(place, wrong, suggest(keys.parent, others, what="power node"))


def _check_kind(name: str, node: PowerEntry, draft: Draft, report: Report) -> None:
    """Ask what a kVA rating belongs to: a UPS gives up within seconds, a transformer within hours."""
    if node.limit_kva is None or node.kind is not None or node.parent is None or kind_named(name) is not None:
        return
    wrong = f"{name!r} has a kVA rating and is taken as a transformer"
    report.warn(draft.place("power", name), wrong, "add kind: ups, transformer or generator")


def parents_of_entry(node: PowerEntry) -> Iterator[str]:
    """List the nodes that may feed a node, by whichever source."""
    found = (node.parent, *(source.parent for source in node.sources.values()))
    yield from dict.fromkeys(parent for parent in found if parent is not None)


def _check_circles(draft: Draft, report: Report) -> None:
    """Find nodes that come to feed themselves once another source is in use; plain parents are checked elsewhere."""
    nodes = draft.document.power
    for name, node in nodes.items():
        for source, keys in node.sources.items():
            if keys.parent is not None and keys.parent != name and name in _all_above(keys.parent, draft):
                place = draft.place("power", name, "sources", source)
                wrong = f"source {source!r} of {name!r} comes from {keys.parent!r}, which {name!r} itself feeds"
                report.error(place, wrong, "break the circle")


def _all_above(name: str, draft: Draft) -> set[str]:
    """Give every node that may feed this one, directly or not."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        node = draft.document.power.get(waiting.pop())
        for parent in () if node is None else parents_of_entry(node):
            if parent not in found:
                found.add(parent)
                waiting.append(parent)
    return found

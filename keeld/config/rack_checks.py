"""Racks against the trees that carry them: feeds, redundancy, cooling, budgets, and whether their draw can be known."""

from __future__ import annotations

import re
from collections import defaultdict

from keeld.config.draft import Draft
from keeld.config.power_checks import capacity_volt_amperes, path_up
from keeld.config.report import Report
from keeld.config.site_schema import CoolingEntry, RackEntry
from keeld.config.wording import suggest

_FEED_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,15}")
_NOISE = 1.0001
"""Figures that were rounded by hand may differ this much without meaning it."""

SPARE_UNITS = {"N": 0, "N+1": 1, "N+2": 2}


def check_racks(draft: Draft, report: Report) -> None:
    """Check every rack against power and cooling."""
    for name, rack in draft.document.racks.items():
        _check_feeds(name, rack, draft, report)
        _check_redundancy(name, rack, draft, report)
        _check_cooling(name, rack, draft, report)
        _check_power_budget(name, rack, draft, report)
    for name, zone in draft.document.cooling.items():
        _check_units(name, zone, draft, report)
    _check_zones(draft, report)


def _check_feeds(name: str, rack: RackEntry, draft: Draft, report: Report) -> None:
    places: dict[str, str] = {}
    for feed, node in rack.feeds.items():
        place = draft.place("racks", name, "feeds", feed)
        if not _FEED_NAME.fullmatch(feed):
            report.error(draft.key("racks", name, "feeds", feed), f"{feed!r} cannot name a feed", "write a, b or c")
        if node not in draft.entries["power"]:
            known = draft.entries["power"]
            wrong = f"feed {feed} of rack {name!r} comes from {node!r}, which is no power node"
            report.error(place, wrong, suggest(node, known, what="power node"))
        if node in places:
            wrong = f"feeds {places[node]} and {feed} of rack {name!r} both come from {node!r}"
            report.error(place, wrong, "name the node of each, or keep one feed")
        places[node] = feed


def _check_redundancy(name: str, rack: RackEntry, draft: Draft, report: Report) -> None:
    if rack.redundancy == "N" or not draft.is_whole("racks", name):
        return
    if len(rack.feeds) < 2:  # noqa: PLR2004 - redundancy begins with a second feed
        place = draft.place("racks", name, "redundancy")
        count = "one feed" if rack.feeds else "no feed"
        report.error(place, f"rack {name!r} is {rack.redundancy} with {count}", "add its other feed, or redundancy: N")
        return
    paths = [list(path_up(draft, node)) for node in rack.feeds.values() if node in draft.document.power]
    if len(paths) != len(rack.feeds):
        return
    shared = next((node for node in paths[0] if all(node in path for path in paths[1:])), None)
    if shared is not None and draft.document.power[shared].parent is not None:
        wrong = f"all feeds of rack {name!r} hang on {shared!r}: one failure there takes them all"
        report.warn(draft.place("racks", name, "feeds"), wrong, "check the parents, or write redundancy: N")


def _check_cooling(name: str, rack: RackEntry, draft: Draft, report: Report) -> None:
    for kind, zone in (("air", rack.cooling.air), ("liquid", rack.cooling.liquid)):
        if zone is None:
            continue
        place = draft.place("racks", name, "cooling", kind)
        if zone not in draft.entries["cooling"]:
            wrong = f"rack {name!r} is cooled by {zone!r}, which is no cooling node"
            report.error(place, wrong, suggest(zone, draft.entries["cooling"], what="cooling node"))
        elif zone in draft.document.cooling and draft.document.cooling[zone].kind != kind:
            actual = draft.document.cooling[zone].kind
            report.error(place, f"{zone!r} is of kind {actual}, not {kind}", f"write cooling: {{{actual}: {zone}}}")
    if rack.budget.liquid_kw is not None and rack.cooling.liquid is None and draft.is_whole("racks", name):
        place = draft.place("racks", name, "budget", "liquid_kw")
        report.warn(place, f"rack {name!r} has a liquid budget and no liquid loop", "add cooling: {liquid: ...}")


def _check_power_budget(name: str, rack: RackEntry, draft: Draft, report: Report) -> None:
    if not draft.is_whole("racks", name):
        return
    if not rack.feeds and rack.budget.power_kw is None and rack.state != "empty":
        wrong = f"rack {name!r} has neither feeds nor a power budget: there is nothing to judge it by"
        report.warn(draft.place("racks", name), wrong, "add feeds: {a: ...} or budget: {power_kw: ...}")
    usable_w = _usable_watts(rack, draft)
    budget_kw = rack.budget.power_kw
    if usable_w is None or budget_kw is None or budget_kw * 1000 <= usable_w * _NOISE:
        return
    wrong = f"budget of {budget_kw:g} kW; at {rack.redundancy} its feeds carry {usable_w / 1000:.1f} kW (derated)"
    report.warn(draft.place("racks", name, "budget", "power_kw"), wrong, "lower power_kw, or check the breakers")


def _usable_watts(rack: RackEntry, draft: Draft) -> float | None:
    """Give what the feeds carry for ever with their redundancy kept; None where a rating is not known."""
    shares = []
    for feed in rack.feeds.values():
        node = draft.document.power.get(feed)
        capacity = None if node is None else capacity_volt_amperes(node)
        if node is None or capacity is None:
            return None
        shares.append(capacity * (node.derate if node.breaker_a is not None else 1.0))
    if not shares:
        return None
    if rack.redundancy.startswith("2N"):
        return min(shares)
    kept = sorted(shares)[: max(1, len(shares) - SPARE_UNITS[rack.redundancy])]
    return sum(kept)


def _check_units(name: str, zone: CoolingEntry, draft: Draft, report: Report) -> None:
    needed = SPARE_UNITS.get(zone.redundancy, 1) + 1
    if len(zone.units_kw) < needed:
        place = draft.place("cooling", name, "redundancy")
        wrong = f"{name!r} is {zone.redundancy} with {len(zone.units_kw)} unit{'s' * (len(zone.units_kw) != 1)}"
        report.error(place, wrong, "list every unit in units_kw, or write redundancy: N")


def _check_zones(draft: Draft, report: Report) -> None:
    budgets_kw: dict[str, float] = defaultdict(float)
    for rack in draft.document.racks.values():
        for zone, budget_kw in ((rack.cooling.air, rack.budget.air_kw), (rack.cooling.liquid, rack.budget.liquid_kw)):
            if zone in draft.document.cooling and budget_kw is not None:
                budgets_kw[zone] += budget_kw
    for name, total_kw in budgets_kw.items():
        sure_kw = _sure_kw(draft.document.cooling[name])
        if total_kw > sure_kw * _NOISE:
            wrong = (
                f"the racks on {name!r} may give off {total_kw:.4g} kW; it removes {sure_kw:.4g} kW with its spare off"
            )
            report.warn(draft.place("cooling", name), wrong, "check units_kw, its redundancy and the racks' budgets")


def _sure_kw(zone: CoolingEntry) -> float:
    units = sorted(zone.units_kw)
    if zone.redundancy.startswith("2N"):
        return sum(units) / 2
    return sum(units[: max(1, len(units) - SPARE_UNITS[zone.redundancy])])

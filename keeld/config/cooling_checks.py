"""Cooling nodes and inlet classes against themselves: figures that cannot be meant, and keys of the other kind."""

from __future__ import annotations

from keeld.climate import CLASSES, WATER_CLASSES
from keeld.config.draft import Draft
from keeld.config.report import Report
from keeld.config.site_schema import CoolingEntry, ThermalClassEntry
from keeld.config.wording import suggest

_LIQUID_KEYS = (
    "pumps",
    "pumps_needed",
    "supply_max_c",
    "return_max_c",
    "water_class",
    "flow_min_lpm",
    "pressure_min_kpa",
    "design_rise_k",
    "volume_l",
)
_AIR_KEYS = ("air_volume_m3", "metal_kg")


def check_cooling(draft: Draft, report: Report) -> None:
    """Check every cooling node, every class, and the classes that racks name."""
    for name, node in draft.document.cooling.items():
        _check_kind(name, node, draft, report)
        _check_pumps(name, node, draft, report)
        _check_temperatures(name, node, draft, report)
    for name, entry in draft.document.thermal_classes.items():
        _check_class(name, entry, draft, report)
    _check_named(draft, report)


def _check_kind(name: str, node: CoolingEntry, draft: Draft, report: Report) -> None:
    wrong_keys = _LIQUID_KEYS if node.kind == "air" else _AIR_KEYS
    for key in wrong_keys:
        if key in node.model_fields_set:
            other = "liquid" if node.kind == "air" else "air"
            wrong = f"`{key}` is about a node of kind {other}; {name!r} is of kind {node.kind}"
            report.error(draft.key("cooling", name, key), wrong, f"leave it out, or write kind: {other}")


def _check_pumps(name: str, node: CoolingEntry, draft: Draft, report: Report) -> None:
    if node.pumps is not None and node.pumps_needed is not None and node.pumps_needed > node.pumps:
        wrong = f"{name!r} needs {node.pumps_needed} pumps and has {node.pumps}"
        report.error(draft.place("cooling", name, "pumps_needed"), wrong, "write the pumps that carry the whole load")


def _check_temperatures(name: str, node: CoolingEntry, draft: Draft, report: Report) -> None:
    supply_c, return_c = node.supply_max_c, node.return_max_c
    if supply_c is not None and return_c is not None and return_c <= supply_c:
        wrong = f"the return of {name!r} may be {return_c:g} °C, no warmer than its supply with {supply_c:g} °C"
        report.error(draft.place("cooling", name, "return_max_c"), wrong, "write the warmest return that is allowed")
    facility_c = None if node.water_class is None else WATER_CLASSES[node.water_class]
    if facility_c is not None and supply_c is not None and supply_c <= facility_c:
        wrong = (
            f"supply of {name!r} up to {supply_c:g} °C cannot come from {node.water_class} water of {facility_c:g} °C"
        )
        report.warn(draft.place("cooling", name, "supply_max_c"), wrong, "check water_class and supply_max_c")


def _check_class(name: str, entry: ThermalClassEntry, draft: Draft, report: Report) -> None:
    place = draft.origin.at("thermal_classes", name, "recommended_c")
    recommended, allowable = entry.recommended_c, entry.allowable_c
    if recommended[0] < allowable[0] or recommended[1] > allowable[1]:
        wrong = f"class {name!r} recommends {recommended[0]:g} to {recommended[1]:g} °C, beyond what it allows"
        report.error(place, wrong, f"keep within {allowable[0]:g} to {allowable[1]:g}, or widen allowable_c")


def _check_named(draft: Draft, report: Report) -> None:
    known = CLASSES.keys() | draft.document.thermal_classes.keys()
    for name, rack in draft.document.racks.items():
        if rack.thermal_class is not None and rack.thermal_class not in known:
            wrong = f"thermal class {rack.thermal_class!r} of rack {name!r} is not known"
            remedy = suggest(rack.thermal_class, known, what="thermal class")
            report.error(draft.place("racks", name, "thermal_class"), wrong, remedy)

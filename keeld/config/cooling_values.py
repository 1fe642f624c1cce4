"""Cooling nodes and inlet classes as the core takes them: kW and kPa of YAML become W and Pa here."""

from __future__ import annotations

from keeld.climate import WATER_CLASSES, ThermalClass
from keeld.config.site_schema import CoolingEntry, ThermalClassEntry
from keeld.trees import CoolingNode

_KILO = 1000.0


def cooling_node(name: str, node: CoolingEntry) -> CoolingNode:
    """Give a cooling node in SI units."""
    return CoolingNode(
        id=name,
        kind=node.kind,
        label=node.label,
        units_watts=tuple(unit_kw * _KILO for unit_kw in node.units_kw),
        redundancy=node.redundancy,
        coolant=node.coolant,
        pumps=node.pumps,
        pumps_needed=node.pumps_needed,
        supply_most_celsius=node.supply_max_c,
        return_most_celsius=node.return_max_c,
        facility_most_celsius=None if node.water_class is None else WATER_CLASSES[node.water_class],
        flow_least_litres_per_minute=node.flow_min_lpm,
        pressure_least_pascals=None if node.pressure_min_kpa is None else node.pressure_min_kpa * _KILO,
        design_rise_kelvin=node.design_rise_k,
        volume_litres=node.volume_l,
        air_cubic_metres=node.air_volume_m3,
        metal_kilograms=node.metal_kg,
        flow_error_ratio=node.flow_error_ratio,
        rise_error_kelvin=node.rise_error_k,
    )


def thermal_class(entry: ThermalClassEntry) -> ThermalClass:
    """Give an inlet class of the site's own."""
    return ThermalClass(
        recommended_least_celsius=entry.recommended_c[0],
        recommended_most_celsius=entry.recommended_c[1],
        allowable_least_celsius=entry.allowable_c[0],
        allowable_most_celsius=entry.allowable_c[1],
        dew_most_celsius=entry.dew_point_max_c,
        metres_per_kelvin=entry.derate_m_per_k,
    )

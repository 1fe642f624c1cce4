"""Loops, zones and inlet classes in keeld.yaml: what they become, and what is refused with its remedy."""

from __future__ import annotations

import pytest

from keeld.climate import ThermalClass
from keeld.config import check

HEAD = """site: {name: s}
power: {utility: {limit_kw: 1000}}
racks: {r1: {feeds: {a: utility}, thermal_class: CLASS, cooling: {liquid: cdu}, budget: {power_kw: 10}}}
devices: [{name: m1, driver: modbus, profile: eastron_sdm630, address: "tcp://10.0.0.1:502", rack: r1, feed: a}]
"""


LOOP = "cooling: {cdu: {kind: liquid, units_kw: [8]}}"


def checked(tmp_path, body, thermal_class="A2"):
    path = tmp_path / "keeld.yaml"
    path.write_text(HEAD.replace("CLASS", thermal_class) + body)
    return check(path)


def problems(found):
    return [f"{problem.wrong}; {problem.remedy}" for problem in (*found.problems, *found.warnings)]


def test_a_loop_is_turned_into_si(tmp_path):
    found = checked(
        tmp_path,
        """cooling:
  cdu: {kind: liquid, units_kw: [800], coolant: pg25, pumps: 3, pumps_needed: 2, supply_max_c: 45, return_max_c: 65,
        water_class: W32, flow_min_lpm: 600, pressure_min_kpa: 50, design_rise_k: 10, volume_l: 900,
        flow_error_ratio: 0.02, rise_error_k: 0.1}
""",
    )
    assert found.settings is not None, problems(found)
    node = found.settings.site.cooling["cdu"]
    assert (node.pumps, node.pumps_needed, node.volume_litres) == (3, 2, 900.0)
    assert (node.supply_most_celsius, node.return_most_celsius, node.facility_most_celsius) == (45.0, 65.0, 32.0)
    assert (node.flow_least_litres_per_minute, node.pressure_least_pascals) == (600.0, 50_000.0)
    assert (node.design_rise_kelvin, node.flow_error_ratio, node.rise_error_kelvin) == (10.0, 0.02, 0.1)


def test_a_site_has_classes_of_its_own(tmp_path):
    body = """cooling: {cdu: {kind: liquid, units_kw: [800]}}
thermal_classes: {Shed-2: {recommended_c: [5, 30], allowable_c: [-5, 38], dew_point_max_c: 20, derate_m_per_k: 250}}
"""
    found = checked(tmp_path, body, thermal_class="Shed-2")
    assert found.settings is not None, problems(found)
    assert found.settings.site.thermal_classes["Shed-2"] == ThermalClass(5.0, 30.0, -5.0, 38.0, 20.0, 250.0)


@pytest.mark.parametrize(
    ("body", "thermal_class", "wrong"),
    [
        ("cooling: {cdu: {kind: liquid, units_kw: [8]}}", "A9", "thermal class 'A9' of rack 'r1' is not known"),
        ("cooling: {cdu: {kind: liquid, units_kw: [8]}}", "a2", "did you mean `A2`?"),
        ("cooling: {cdu: {kind: liquid, units_kw: [8], metal_kg: 5}}", "A2", "`metal_kg` is about a node of kind air"),
        (
            "cooling: {cdu: {kind: liquid, units_kw: [8], pumps: 2, pumps_needed: 3}}",
            "A2",
            "'cdu' needs 3 pumps and has 2",
        ),
        (
            "cooling: {cdu: {kind: liquid, units_kw: [8], supply_max_c: 45, return_max_c: 45}}",
            "A2",
            "no warmer than its supply with 45 °C",
        ),
        (
            "cooling: {cdu: {kind: liquid, units_kw: [8], supply_max_c: 30, water_class: W32}}",
            "A2",
            "cannot come from W32 water of 32 °C",
        ),
        ("cooling: {cdu: {kind: liquid, units_kw: [8], water_class: W33}}", "A2", "W32"),
        ("cooling: {cdu: {kind: liquid, units_kw: [8], design_rise_k: 0}}", "A2", "design_rise_k"),
        (
            LOOP + "\nthermal_classes: {x: {recommended_c: [1, 50], allowable_c: [5, 40]}}",
            "A2",
            "class 'x' recommends 1 to 50 °C, beyond what it allows",
        ),
        (
            LOOP + "\nthermal_classes: {x: {recommended_c: [27], allowable_c: [5, 40]}}",
            "A2",
            "a range of temperatures needs its lower and its upper end",
        ),
    ],
)
def test_what_cannot_be_meant_is_said(tmp_path, body, thermal_class, wrong):
    found = checked(tmp_path, f"{body}\n", thermal_class=thermal_class)
    assert any(wrong in sentence for sentence in problems(found)), problems(found)

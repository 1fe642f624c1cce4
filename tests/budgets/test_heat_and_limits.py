"""Golden vectors of the formulas that judge now: G01 and G02."""

from __future__ import annotations

import pytest

from keeld.budgets.interval import cap, cross, verdict
from keeld.budgets.limits import (
    BEYOND_ANY_SITE_WATTS,
    breaker_base,
    ceiling_watts,
    effective_amperes,
    environment_ratio,
    phases_of,
    watts_of,
)
from keeld.budgets.source import ESTIMATED, GOOD, UNKNOWN, Value
from keeld.trees import PowerNode
from keeld.views import Verdict


@pytest.mark.parametrize(
    ("amperes", "volts", "phases", "kilovolt_amperes"),
    [pytest.param(24.0, 208.0, 1, 4.992, id="G01"), pytest.param(48.0, 415.0, 3, 34.5025, id="G02")],
)
def test_apparent_power_of_a_current(amperes, volts, phases, kilovolt_amperes):
    node = PowerNode(id="n", voltage_volts=volts, phases=phases)
    assert watts_of(node, amperes) == pytest.approx(kilovolt_amperes * 1000, rel=1e-4)


@pytest.mark.parametrize(
    ("kind", "ambient", "ratio"),
    [
        ("electronic", 60.0, 1.0),
        ("thermal_40c", None, 1.0),
        ("thermal_40c", 30.0, 1.0),
        ("thermal_40c", 50.0, 0.913),
        ("thermal_30c", 40.0, 0.913),
        ("thermal_30c", 200.0, 0.1),
    ],
)
def test_heat_takes_from_a_thermal_breaker_and_cold_gives_nothing(kind, ambient, ratio):
    node = PowerNode(id="n", breaker_amperes=100.0, breaker_kind=kind, ambient_celsius=ambient)
    assert environment_ratio(node) == pytest.approx(ratio, abs=1e-3)
    assert effective_amperes(node) == pytest.approx(100.0 * ratio, abs=0.1)


def test_a_base_names_what_it_is_a_percentage_of():
    assert breaker_base(PowerNode(id="n", breaker_amperes=32.0)) == "32 A breaker"
    hot = PowerNode(id="n", breaker_amperes=60.0, breaker_kind="thermal_30c", ambient_celsius=36.0)
    assert breaker_base(hot) == "60 A breaker x 0.95 environment"


def test_a_ceiling_is_the_least_limit_on_the_way_up():
    power = {
        "top": PowerNode(id="top", limit_watts=50e3),
        "mid": PowerNode(id="mid", parent="top", limit_volt_amperes=70e3),
        "leaf": PowerNode(id="leaf", parent="mid", breaker_amperes=100.0, voltage_volts=415.0, phases=3),
    }
    assert ceiling_watts("leaf", power) == 50e3
    assert ceiling_watts("mid", power) == 50e3
    assert ceiling_watts(None, power) == BEYOND_ANY_SITE_WATTS
    power["top"] = PowerNode(id="top", parent="leaf")  # a cycle is the configuration's error, not an endless loop
    assert ceiling_watts("leaf", power) == 70e3


def test_lines_by_number_of_phases():
    assert [phases_of(PowerNode(id="n", phases=count)) for count in (1, 2, 3)] == [
        ("",),
        ("L1", "L2"),
        ("L1", "L2", "L3"),
    ]


def test_equality_is_no_breach():
    assert verdict(40.0, 40.0, 40.0) is Verdict.OK
    assert verdict(40.1, 50.0, 40.0) is Verdict.OVER
    assert verdict(0.0, 40.1, 40.0) is Verdict.CANT_TELL


def test_crossing_keeps_what_both_allow_and_believes_the_better_one():
    meters, nameplates = Value(2.0, None, 9.0, UNKNOWN), Value(0.0, 4.0, 6.0, GOOD)
    assert cross(meters, nameplates) == Value(2.0, 4.0, 6.0, ESTIMATED)
    assert cross(Value(8.0, None, 9.0, UNKNOWN), nameplates) == Value(8.0, None, 9.0, UNKNOWN)


def test_a_ceiling_that_measurement_disproves_bounds_nothing():
    assert cap(Value(1.0, 5.0, 9.0, UNKNOWN), 4.0) == Value(1.0, 4.0, 4.0, UNKNOWN)
    assert cap(Value(5.0, 5.0, 9.0, UNKNOWN), 4.0) == Value(5.0, 5.0, 9.0, UNKNOWN)


@pytest.mark.parametrize(
    ("altitude_metres", "ratio"), [(-200.0, 1.0), (2000.0, 1.0), (2500.0, 0.98), (4000.0, 0.93), (6000.0, 0.90)]
)
def test_thin_air_takes_from_a_breaker_above_two_kilometres(altitude_metres: float, ratio: float):
    node = PowerNode(
        id="a", breaker_amperes=100.0, breaker_kind="thermal_40c", ambient_celsius=55.0, altitude_metres=altitude_metres
    )
    assert effective_amperes(node) == pytest.approx(100.0 * ratio * 0.75**0.5)
    assert environment_ratio(PowerNode(id="b", altitude_metres=altitude_metres)) == pytest.approx(ratio)

"""Golden vectors G14 to G20 and G33 to G35, and what must hold of air, coolant and moisture everywhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeld.budgets import air, coolants, moisture, warming
from keeld.budgets.capacity import Pumps, Unit, flowing, planned_watts, pumped, running_watts
from keeld.budgets.heat import rack_heat
from keeld.budgets.inlet_classes import derated, rack_cooling
from keeld.budgets.intake import Intake
from keeld.budgets.source import Look
from keeld.budgets.topology import build
from keeld.climate import CLASSES
from keeld.metrics import COOLING_OUTPUT, FLOW, TEMPERATURE
from keeld.model import Batch, Device, Interval, Rack, Reading, Site
from keeld.trees import CoolingNode

VECTORS = json.loads((Path(__file__).parents[1] / "golden" / "cooling.json").read_text())
LOOK = Look(1_000)


def cooler(**readings: float) -> Intake:
    device = Device(id="cdu", site="s", kind="cooling", driver="modbus", address="", rack="r")
    intake = Intake(device)
    parts = {"flow": (FLOW, ""), "supply": (TEMPERATURE, "supply"), "back": (TEMPERATURE, "return")}
    parts["output"] = (COOLING_OUTPUT, "")
    told = tuple(Reading(parts[name][0], value, parts[name][1]) for name, value in readings.items())
    intake.take(Batch(device, 1, 1_000, told), 1_000, 0)
    return intake


def split(watts: float, coolers: list[Intake], *, liquid_ratio=None, coolant="pg25", exact=True):
    rack = Rack(id="r", cooling_liquid="loop", liquid_ratio=liquid_ratio)
    plan = build(Site(name="s", racks={"r": rack})).racks["r"]
    errors = {"flow_error_ratio": 0.0, "rise_error_kelvin": 0.0} if exact else {}
    loop = CoolingNode(id="loop", kind="liquid", coolant=coolant, **errors)
    return rack_heat(plan, coolers, Interval(watts, watts, watts), LOOK, loop)


def air_flow(heat_watts, rise_kelvin, altitude_metres):
    flow = air.air_flow(heat_watts, rise_kelvin, altitude_metres)
    assert air.air_watts(flow, rise_kelvin, altitude_metres) == pytest.approx(heat_watts)
    return {
        "cubic_metres_per_second": flow,
        "cubic_feet_per_minute": flow * air.CUBIC_FEET_PER_MINUTE,
        "density": air.air_density(altitude_metres),
    }


def split_measured(flow_litres_per_minute, supply_celsius, return_celsius, coolant, watts, **budgets):
    told = cooler(flow=flow_litres_per_minute, supply=supply_celsius, back=return_celsius)
    heat = split(watts, [told], coolant=coolant)
    assert not heat.is_assumed
    return {
        "liquid_watts": heat.liquid.best,
        "air_watts": heat.air.best,
        "capture": heat.liquid.best / watts,
        "liquid_ratio": heat.liquid.best / budgets["liquid_budget_watts"],
        "air_ratio": heat.air.best / budgets["air_budget_watts"],
    }


def split_assumed(watts, liquid, **budgets):
    heat = split(watts, [], liquid_ratio=(liquid, liquid))
    found = {
        "air_ratio": heat.air.hi / budgets["air_budget_watts"],
        "liquid_ratio": heat.liquid.hi / budgets["liquid_budget_watts"],
        "power_ratio": watts / budgets["power_budget_watts"],
    }
    return {"air_watts": heat.air.lo, "liquid_watts": heat.liquid.lo, **found, "worst_ratio": max(found.values())}


def zone(units_watts, redundancy, watts):
    planned = planned_watts(units_watts, redundancy)
    return {"planned_watts": planned, "ratio": watts / planned, "all_running_ratio": watts / sum(units_watts)}


def dew_margin(coolant_celsius, room_celsius, humidity_ratio):
    dew = moisture.dew_point_celsius(room_celsius, humidity_ratio)
    worst = moisture.worst_dew_margin_kelvin(coolant_celsius, room_celsius, humidity_ratio)
    return {"margin_kelvin": coolant_celsius - dew, "worst_kelvin": worst}


def still_loop(**given_):
    rate = coolants.still_loop_kelvin_per_second(**given_)
    return {"kelvin_per_second": rate, "seconds_to_ten_kelvin": 10.0 / rate}


def index(intakes_celsius, **given_):
    found = rack_cooling(intakes_celsius, CLASSES[given_["class"]])
    return {"high": found.high_ratio, "low": found.low_ratio}


FORMULAS = {
    "air_flow": lambda given_: air_flow(**given_),
    "liquid_flow": lambda given_: {"litres_per_minute": coolants.needed_litres_per_minute(**given_)},
    "split_measured": lambda given_: split_measured(**given_),
    "split_assumed": lambda given_: split_assumed(**given_),
    "zone": lambda given_: zone(**given_),
    "dew_point": lambda given_: [moisture.dew_point_celsius(*pair) for pair in given_],
    "dew_margin": lambda given_: dew_margin(**given_),
    "still_loop": lambda given_: still_loop(**given_),
    "still_room": lambda given_: {"kelvin_per_minute": air.still_room_kelvin_per_minute(**given_)},
    "rack_cooling": lambda given_: index(**given_),
    "return_index": lambda given_: {"ratio": air.return_index(**given_)},
    "supply_heat": lambda given_: {"ratio": air.supply_heat_index(**given_)},
}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_golden_vector(vector):
    found = FORMULAS[vector["formula"]](vector["input"])
    assert found == pytest.approx(vector["expect"], rel=1e-3)


def test_measured_heat_carries_the_error_of_its_sensors():
    told = cooler(flow=130.0, supply=30.0, back=42.0)
    heat = split(132_000.0, [told], exact=False)
    assert heat.liquid.lo < heat.liquid.best < heat.liquid.hi
    error = heat.liquid.hi - heat.liquid.best
    assert error == pytest.approx(109_262.4 * (0.03**2 + 0.05**2 + (0.3 / 12.0) ** 2) ** 0.5, rel=1e-3)
    assert heat.air.lo == pytest.approx(132_000.0 - heat.liquid.hi)
    assert heat.air.hi == pytest.approx(132_000.0 - heat.liquid.lo)


@pytest.mark.parametrize(
    "readings",
    [
        pytest.param({"flow": 130.0, "supply": 42.0, "back": 30.0}, id="probes swapped"),
        pytest.param({"flow": 1300.0, "supply": 30.0, "back": 42.0}, id="ten times too much"),
        pytest.param({"flow": 130.0, "supply": 30.0}, id="no return"),
        pytest.param({}, id="nothing"),
    ],
)
def test_what_is_no_measurement_leaves_the_range(readings):
    heat = split(132_000.0, [cooler(**readings)], liquid_ratio=(0.8, 0.87))
    assert heat.is_assumed
    assert (heat.liquid.lo, heat.liquid.hi) == pytest.approx((105_600.0, 114_840.0))
    assert (heat.air.lo, heat.air.hi) == pytest.approx((17_160.0, 26_400.0))


def test_one_cooler_that_does_not_tell_leaves_all_unmeasured():
    heat = split(132_000.0, [cooler(flow=100.0, supply=30.0, back=40.0), cooler()])
    assert heat.is_assumed
    assert (heat.liquid.lo, heat.liquid.hi) == (0.0, 132_000.0)


def test_a_cooler_without_flow_is_taken_at_its_word_with_its_class():
    heat = split(100_000.0, [cooler(output=80_000.0)])
    assert (heat.liquid.lo, heat.liquid.best, heat.liquid.hi) == pytest.approx((76_000.0, 80_000.0, 84_000.0))


@given(
    st.floats(0.0, 2e6),
    st.floats(0.0, 2e6),
    st.floats(-50.0, 5000.0),
    st.floats(-20.0, 90.0),
    st.floats(-20.0, 90.0),
    st.sampled_from(sorted(coolants.COOLANTS)),
)
def test_heat_is_never_lost_or_negative(first, second, flow, supply, back, coolant):
    lo, hi = min(first, second), max(first, second)
    rack = Rack(id="r", cooling_liquid="loop")
    plan = build(Site(name="s", racks={"r": rack})).racks["r"]
    loop = CoolingNode(id="loop", kind="liquid", coolant=coolant)
    heat = rack_heat(plan, [cooler(flow=flow, supply=supply, back=back)], Interval(lo, (lo + hi) / 2, hi), LOOK, loop)
    assert 0.0 <= heat.air.lo <= heat.air.hi
    assert 0.0 <= heat.liquid.lo <= heat.liquid.hi
    assert heat.air.hi + heat.liquid.hi >= lo
    assert heat.air.lo + min(heat.liquid.lo, hi) <= hi + 1e-6


@pytest.mark.parametrize(
    ("redundancy", "watts"),
    [("N", 220e3), ("N+1", 140e3), ("N+2", 80e3), ("2N", 110e3), ("2N+1", 70e3)],
)
def test_the_largest_units_are_the_spare(redundancy, watts):
    assert planned_watts((80e3, 60e3, 40e3, 40e3), redundancy) == watts


def test_a_unit_that_is_down_is_taken_out_by_its_own_size():
    sizes = (100e3, 50e3)
    assert running_watts(sizes, [Unit(is_up=False), Unit(is_up=True)])[:2] == (50e3, 50e3)
    assert running_watts(sizes, [Unit(is_up=True), Unit(is_up=None)])[:2] == (100e3, 150e3)
    assert running_watts(sizes, [Unit(is_up=True, most_watts=30e3), Unit(is_up=True)])[:2] == (80e3, 80e3)
    assert running_watts(sizes, [])[:2] == (150e3, 150e3)


def test_a_unit_of_unknown_size_may_be_any():
    down = [Unit(is_up=False), Unit(is_up=True), Unit(is_up=True)]
    assert running_watts((100e3, 50e3), down)[:2] == (50e3, 100e3)


def test_pumps_and_flow_bound_what_units_promise():
    full = running_watts((800e3,), [])
    assert pumped(full, Pumps(least=2, most=3, needed=2, installed=3)) == full
    assert pumped(full, Pumps(least=1, most=1, needed=2, installed=3))[:2] == (400e3, 400e3)
    assert pumped(full, Pumps(least=1, most=2, needed=2, installed=3))[:2] == (400e3, 800e3)
    loop = CoolingNode(id="l", kind="liquid", coolant="water", return_most_celsius=50.0)
    carried = flowing(full, loop, 600.0, 40.0)
    assert carried.hi == pytest.approx(coolants.liquid_watts(600.0, 10.0))
    assert "600 L/min" in carried.binds
    assert flowing(full, loop, 600.0, 55.0).hi == 0.0
    assert flowing(full, loop, 6000.0, 30.0) == full


@given(st.floats(-40.0, 60.0), st.floats(0.011, 1.0))
def test_a_dew_point_is_never_above_the_air(temperature, humidity):
    dew = moisture.dew_point_celsius(temperature, humidity)
    assert dew is not None
    assert dew <= temperature + 1e-9


@pytest.mark.parametrize(("temperature", "humidity"), [(25.0, 0.0), (25.0, 1.01), (25.0, -0.5), (200.0, 0.5)])
def test_no_dew_point_comes_from_a_broken_probe(temperature, humidity):
    assert moisture.dew_point_celsius(temperature, humidity) is None


@given(st.lists(st.floats(-20.0, 40.0), min_size=1, max_size=9), st.lists(st.floats(-20.0, 40.0), max_size=4))
def test_what_probes_agree_on_holds_whatever_the_silent_ones_would_say(known, silent):
    agreed = moisture.agreed(known, len(silent), 0, coldest=-60.0, hottest=60.0)
    ordered = sorted(known + silent)
    assert agreed is not None
    assert agreed.lo <= ordered[(len(ordered) - 1) // 2]
    assert ordered[len(ordered) // 2] <= agreed.hi


def test_one_probe_that_drifts_is_outvoted():
    agreed = moisture.agreed([12.0, 12.2, 25.0], 0, 0, coldest=-60.0, hottest=60.0)
    assert agreed[:3] == (12.2, 12.2, 12.2)
    assert moisture.agreed([], 2, 0, coldest=-60.0, hottest=60.0) is None


def test_altitude_takes_from_the_hottest_allowed_alone():
    assert derated(CLASSES["A2"], 900.0) == CLASSES["A2"]
    high = derated(CLASSES["A2"], 1800.0)
    assert high.allowable_most_celsius == pytest.approx(32.0)
    assert high.recommended_most_celsius == 27.0
    assert derated(CLASSES["miner_air"], 3000.0) == CLASSES["miner_air"]


def test_the_index_falls_with_heat_and_cold():
    assert rack_cooling([], CLASSES["A1"]) is None
    assert rack_cooling([20.0, 30.0], CLASSES["A1"]) == pytest.approx((0.7, 1.0))
    assert rack_cooling([12.0], CLASSES["A1"])[1] == pytest.approx(-1.0)


def test_rise_of_mixed_air_is_weighted_by_flow():
    assert air.mean_rise_kelvin([10e3, 10e3], [10.0, 20.0]) == pytest.approx(20e3 / 1500.0)
    assert air.mean_rise_kelvin([10e3], [0.0]) is None
    assert air.supply_heat_index([24.0], [20.0], 20.0) is None


def rising(rate_per_minute: float, *, every_s: int = 10, spike_at: int | None = None) -> warming.Warming:
    probe = warming.Warming()
    for at_s in range(0, 181, every_s):
        value = 24.0 + rate_per_minute * at_s / 60.0
        probe.add(85.0 if at_s == spike_at else value, at_s * 10**9, every_s * 10**9)
    return probe


@pytest.mark.parametrize("every_s", [1, 5, 10, 30, 60])
def test_a_rate_is_found_at_any_interval(every_s):
    assert rising(1.5, every_s=every_s).kelvin_per_minute() == pytest.approx(1.5, rel=0.01)


def test_one_spike_is_no_rate():
    assert rising(0.0, spike_at=120).kelvin_per_minute() == pytest.approx(0.0, abs=0.05)


def test_too_few_samples_have_no_rate():
    probe = warming.Warming()
    for at_s in (0, 10, 20):
        probe.add(20.0 + at_s, at_s * 10**9, 10**10)
    assert probe.kelvin_per_minute() is None
    probe.add(50.0, 30 * 10**9, 10**10)
    assert probe.kelvin_per_minute() == pytest.approx(60.0, rel=0.01)
    probe.clear()
    assert probe.change_kelvin == 0.0


def test_minutes_to_critical():
    assert warming.minutes_to_critical(30.0, 35.0, 1.0) == pytest.approx(5.0)
    assert warming.minutes_to_critical(36.0, 35.0, 0.0) == 0.0
    assert warming.minutes_to_critical(30.0, 35.0, 0.0) is None

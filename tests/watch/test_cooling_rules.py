"""Cooling in simulated time: what pages, what does not, and what stays through silence, restart and reload."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeld.climate import ThermalClass
from keeld.errors import Outage
from keeld.metrics import (
    COOLING_OUTPUT,
    DEW_MARGIN,
    FLOW,
    HUMIDITY,
    LEAK,
    POWER,
    PRESSURE,
    PUMP,
    PUMP_SPEED,
    RACK_COOLING_HIGH,
    RETURN_INDEX,
    SUPPLY_HEAT_INDEX,
    TEMPERATURE,
    TEMPERATURE_SETPOINT,
    UNIT_STATE,
)
from keeld.model import Device, Rack, RackBudget, Reading, RuleSettings, Site
from keeld.trees import CoolingNode, PowerNode

SECOND = 1_000_000_000
RACK_WATTS = 40_000.0


def device(name, kind, **keys):
    return Device(id=name, site="s", kind=kind, driver="modbus", address=f"tcp://10.9.0.{len(name)}:502", **keys)


def liquid_site(*, sensors=3, racks=2, loop=None, zone=None, units=1, rack_keys=None):
    """AI racks on one loop and in one zone of air units."""
    power = {"ups": PowerNode(id="ups", limit_volt_amperes=2e6)}
    found, devices = {}, {}
    for number in range(1, racks + 1):
        name = f"r{number}"
        power[f"f{number}"] = PowerNode(
            id=f"f{number}", parent="ups", breaker_amperes=160.0, voltage_volts=415.0, phases=3
        )
        found[name] = Rack(
            id=name,
            state="ai",
            feeds={"a": f"f{number}"},
            thermal_class="A2",
            budget=RackBudget(power_watts=60e3, air_watts=20e3, liquid_watts=50e3),
            cooling_air="crah",
            cooling_liquid="cdu",
            liquid_ratio=(0.7, 0.8),
            **(rack_keys or {}),
        )
        devices[f"pdu-{name}"] = device(f"pdu-{name}", "pdu", rack=name, feed="a")
        for at in range(1, sensors + 1):
            devices[f"t-{name}-{at}"] = device(f"t-{name}-{at}", "sensor", rack=name)
    for at in range(1, units + 1):
        devices[f"cdu-{at}"] = device(f"cdu-{at}", "cooling", node="cdu")
    for at in range(1, 4):
        devices[f"crah-{at}"] = device(f"crah-{at}", "cooling", node="crah")
    cooling = {
        "cdu": loop or CoolingNode(id="cdu", kind="liquid", units_watts=(200e3,) * units, coolant="pg25"),
        "crah": zone or CoolingNode(id="crah", kind="air", units_watts=(15e3,) * 3, redundancy="N+1"),
    }
    return Site(name="s", power=power, racks=found, devices=devices, cooling=cooling)


class Plant:
    """What the devices of a site say; tests turn its knobs."""

    def __init__(self, kit, watts=RACK_WATTS):
        self.kit = kit
        self.watts = watts
        self.intakes = {}
        self.rise_per_minute = {}
        self.humidity = 0.4
        self.cdu = {"flow": 200.0, "supply": 30.0}
        self.by_unit = {}
        self.silent = set()
        self.faulty = set()
        self.extra = {}

    def __call__(self, told, at_s):
        name = told.id
        if name in self.silent:
            return Outage.TIMEOUT
        if told.kind == "pdu":
            return self.kit.pdu(self.watts)
        if told.kind == "sensor":
            warmth = self.intakes.get(name, 22.0) + self.rise_per_minute.get(name, 0.0) * at_s / 60.0
            humid = (Reading(HUMIDITY, self.humidity, "intake"),) if self.humidity else ()
            return (Reading(TEMPERATURE, warmth, "intake"), *humid, *self.extra.get(name, ()))
        if name.startswith("cdu"):
            return (*self._cdu(name), *self.extra.get(name, ()))
        state = 3.0 if name in self.faulty else 1.0
        return (Reading(UNIT_STATE, state), *self.extra.get(name, ()))

    def _cdu(self, name):
        says = self.cdu | self.by_unit.get(name, {})
        flow, supply = says["flow"], says["supply"]
        back = supply + 60_000.0 / (70.04 * max(flow, 20.0))
        return (
            Reading(FLOW, flow),
            Reading(TEMPERATURE, supply, "supply"),
            Reading(TEMPERATURE, says.get("back", back), "return"),
            Reading(UNIT_STATE, says.get("state", 1.0)),
        )


@pytest.fixture
def plant(kit):
    return Plant(kit)


def told(drive, *rules):
    return [(notice, rule, target) for notice, rule, target in drive.notices if not rules or rule in rules]


def severities(drive, rule):
    return [move.severity.value for _, move in drive.moves if move.rule == rule and move.notice is not None]


def last(drive, rule):
    return next(move for _, move in reversed(drive.moves) if move.rule == rule)


def readings(drive, kind, name):
    """Give the newest derived readings of a target."""
    batch = next(batch for _, batch in reversed(drive.batches) if (batch.device.kind, batch.device.id) == (kind, name))
    return {(reading.metric, reading.part): reading.value for reading in batch.readings}


def test_a_calm_plant_says_nothing(kit, plant):
    drive = kit.drive(liquid_site()).run(1800.0, plant)
    assert drive.moves == []
    assert readings(drive, "site", "s")[RACK_COOLING_HIGH, ""] == pytest.approx(1.0)
    assert readings(drive, "rack", "r1")[TEMPERATURE, "intake"] == pytest.approx(22.0)


# Leaks


def test_a_leak_pages_at_once_and_stays_until_it_is_closed(kit, plant):
    drive = kit.drive(liquid_site()).run(60.0, plant)
    plant.extra["cdu-1"] = (Reading(LEAK, 1.0, "rope/2"),)
    drive.run(11.0, plant)
    assert told(drive) == [("trigger", "leak", "cdu-1")]
    assert severities(drive, "leak") == ["critical"]
    assert "Wet now: rope/2" in last(drive, "leak").text
    plant.extra["cdu-1"] = (Reading(LEAK, 0.0, "rope/2"),)
    drive.run(3 * 3600.0, plant)
    assert len(told(drive, "leak")) == 1
    assert "Dry since" in last(drive, "leak").text


def test_a_leak_outlives_silence_and_restart_and_tells_since_when_it_is_dry(kit, plant):
    site = liquid_site()
    drive = kit.drive(site).run(60.0, plant)
    plant.extra["cdu-1"] = (Reading(LEAK, 1.0),)
    drive.run(20.0, plant)
    plant.extra["cdu-1"] = (Reading(LEAK, 0.0),)
    drive.run(20.0, plant)
    dry = last(drive, "leak").text
    saved, notes = drive.watch.snapshot(), drive.watch.memory()
    again = kit.drive(site, restored=saved, start_s=drive.now_s + 300.0)
    again.watch.recall(notes, kit.at(again.now_s))
    plant.silent.add("cdu-1")
    again.run(3 * 3600.0, plant)
    assert told(again, "leak") == []
    plant.silent.clear()
    again.run(60.0, plant)
    assert told(again, "leak") == []
    line = next(line for line in dry.splitlines() if line.startswith("Dry since"))
    assert line in last(again, "leak").text


def test_a_sensor_fault_warns_and_ends_with_the_fault(kit, plant):
    drive = kit.drive(liquid_site()).run(60.0, plant)
    plant.extra["cdu-1"] = (Reading(LEAK, 2.0),)
    drive.run(120.0, plant)
    assert severities(drive, "leak") == ["warning"]
    plant.extra["cdu-1"] = (Reading(LEAK, 0.0),)
    drive.run(180.0, plant)
    assert told(drive) == [("trigger", "leak", "cdu-1"), ("resolve", "leak", "cdu-1")]


def test_a_tanks_drip_tray_wakes_nobody(kit, plant):
    site = liquid_site(rack_keys={"kind": "tank"})
    drive = kit.drive(site).run(60.0, plant)
    plant.extra["t-r1-1"] = (Reading(LEAK, 1.0, "tray/1"),)
    drive.run(30.0, plant)
    assert severities(drive, "leak") == ["warning"]
    plant.extra["t-r1-1"] = (Reading(LEAK, 1.0, "tray/1"), Reading(LEAK, 1.0, "rope/1"))
    drive.run(30.0, plant)
    assert severities(drive, "leak") == ["warning", "critical"]


def test_a_leak_seen_by_a_rack_pdu_is_judged_too(kit, plant):
    drive = kit.drive(liquid_site()).run(60.0, plant)
    usual = plant

    def poll(device_, at_s):
        answer = usual(device_, at_s)
        return (*answer, Reading(LEAK, 1.0, "sensor/1")) if device_.id == "pdu-r1" else answer

    drive.run(25.0, poll)
    assert told(drive) == [("trigger", "leak", "pdu-r1")]


# Flow


def test_a_collapse_of_flow_is_critical_within_two_samples_and_holds_while_it_is_low(kit, plant):
    drive = kit.drive(liquid_site()).run(400.0, plant)
    plant.cdu["flow"] = 80.0
    drive.run(25.0, plant)
    assert ("trigger", "flow_low", "cdu") in told(drive)
    assert severities(drive, "flow_low")[-1] == "critical"
    drive.run(1800.0, plant)
    assert ("resolve", "flow_low", "cdu") not in told(drive)
    plant.cdu["flow"] = 200.0
    drive.run(180.0, plant)
    assert told(drive, "flow_low")[-1] == ("resolve", "flow_low", "cdu")
    assert "median was 200 L/min" in next(m.text for _, m in drive.moves if m.rule == "flow_low")


def test_one_low_sample_is_no_collapse(kit, plant):
    drive = kit.drive(liquid_site()).run(400.0, plant)
    for _ in range(5):
        plant.cdu["flow"] = 10.0
        drive.run(10.0, plant)
        plant.cdu["flow"] = 200.0
        drive.run(120.0, plant)
    assert told(drive) == []


def test_a_changeover_between_two_units_is_nothing(kit, plant):
    site = liquid_site(units=2, loop=CoolingNode(id="cdu", kind="liquid", units_watts=(200e3, 200e3), redundancy="N+1"))
    plant.by_unit = {"cdu-1": {"flow": 200.0}, "cdu-2": {"flow": 0.0, "state": 0.0}}
    drive = kit.drive(site).run(600.0, plant)
    plant.by_unit = {"cdu-2": {"flow": 200.0}, "cdu-1": {"flow": 0.0, "state": 0.0}}
    drive.run(600.0, plant)
    assert told(drive) == []


def test_flow_that_falls_silent_neither_fires_nor_clears(kit, plant):
    drive = kit.drive(liquid_site()).run(400.0, plant)
    plant.silent.add("cdu-1")
    drive.run(120.0, plant)
    assert told(drive, "flow_low") == []
    plant.silent.clear()
    drive.run(400.0, plant)
    plant.cdu["flow"] = 20.0
    drive.run(30.0, plant)
    plant.silent.add("cdu-1")
    drive.run(3600.0, plant)
    assert told(drive, "flow_low") == [("trigger", "flow_low", "cdu")]


def test_a_collapse_outlives_a_restart_that_remembers_what_was_usual(kit, plant):
    site = liquid_site()
    drive = kit.drive(site).run(400.0, plant)
    plant.cdu["flow"] = 60.0
    drive.run(60.0, plant)
    saved, notes = drive.watch.snapshot(), drive.watch.memory()
    again = kit.drive(site, restored=saved, start_s=drive.now_s + 5.0)
    again.watch.recall(notes, kit.at(again.now_s))
    again.run(1200.0, plant)
    assert told(again, "flow_low") == []
    plant.cdu["flow"] = 200.0
    again.run(180.0, plant)
    assert told(again, "flow_low") == [("resolve", "flow_low", "cdu")]


def test_the_makers_minimum_is_critical_from_the_start(kit, plant):
    loop = CoolingNode(id="cdu", kind="liquid", units_watts=(200e3,), flow_least_litres_per_minute=150.0)
    plant.cdu["flow"] = 140.0
    drive = kit.drive(liquid_site(loop=loop)).run(60.0, plant)
    assert ("trigger", "flow_low", "cdu") in told(drive)
    assert severities(drive, "flow_low") == ["critical"]


def test_too_little_flow_for_the_heat_warns_and_is_critical_once_the_return_warms(kit, plant):
    loop = CoolingNode(id="cdu", kind="liquid", units_watts=(200e3,), coolant="pg25", design_rise_kelvin=10.0)
    plant.cdu |= {"flow": 60.0, "supply": 30.0, "back": 44.0}
    drive = kit.drive(liquid_site(loop=loop)).run(300.0, plant)
    assert severities(drive, "flow_low") == ["warning"]
    start_s = drive.now_s

    def warming(device_, at_s):
        plant.cdu["back"] = 44.0 + (at_s - start_s) / 60.0
        return plant(device_, at_s)

    drive.run(420.0, warming)
    assert severities(drive, "flow_low") == ["warning", "critical"]


def test_a_loop_that_is_switched_off_with_its_racks_is_nothing(kit, plant):
    loop = CoolingNode(id="cdu", kind="liquid", units_watts=(200e3,), flow_least_litres_per_minute=50.0)
    drive = kit.drive(liquid_site(loop=loop)).run(400.0, plant)
    plant.watts, plant.cdu = 0.0, {"flow": 200.0, "supply": 30.0, "back": 30.0}
    drive.run(120.0, plant)
    plant.cdu = {"flow": 0.0, "supply": 30.0, "back": 30.0, "state": 0.0}
    drive.run(900.0, plant)
    assert told(drive, "flow_low") == []


def test_a_unit_that_stands_by_under_load_is_a_collapse(kit, plant):
    drive = kit.drive(liquid_site()).run(400.0, plant)
    plant.cdu |= {"flow": 0.0, "state": 0.0}
    drive.run(60.0, plant)
    assert severities(drive, "flow_low")[-1] == "critical"


# Pumps, pressure, supply


def pumps(*states):
    return tuple(Reading(PUMP, state, f"pump/{at}") for at, state in enumerate(states, 1))


def test_pumps_are_counted_by_what_could_run(kit, plant):
    loop = CoolingNode(id="cdu", kind="liquid", units_watts=(200e3,), pumps=2, pumps_needed=1)
    plant.extra["cdu-1"] = pumps(1.0, 0.0)
    drive = kit.drive(liquid_site(loop=loop)).run(300.0, plant)
    plant.extra["cdu-1"] = pumps(0.0, 1.0)
    drive.run(300.0, plant)
    assert told(drive) == []
    plant.extra["cdu-1"] = pumps(2.0, 1.0)
    drive.run(60.0, plant)
    assert severities(drive, "cdu_pump_lost") == ["warning"]
    plant.extra["cdu-1"] = pumps(2.0, 2.0)
    drive.run(60.0, plant)
    assert severities(drive, "cdu_pump_lost") == ["warning", "critical"]
    assert "pump/1 of cdu-1" in last(drive, "cdu_pump_lost").text
    plant.extra["cdu-1"] = pumps(0.0, 1.0)
    drive.run(180.0, plant)
    assert told(drive, "cdu_pump_lost")[-1] == ("resolve", "cdu_pump_lost", "cdu")


def test_pumps_that_only_tell_their_speed_are_missed_when_too_few_turn(kit, plant):
    loop = CoolingNode(id="cdu", kind="liquid", units_watts=(200e3,), pumps=3, pumps_needed=2)
    plant.extra["cdu-1"] = tuple(Reading(PUMP_SPEED, 2900.0 * on, f"pump/{at}") for at, on in enumerate((1, 1, 0), 1))
    drive = kit.drive(liquid_site(loop=loop)).run(300.0, plant)
    assert told(drive) == []
    plant.extra["cdu-1"] = tuple(Reading(PUMP_SPEED, 2900.0 * on, f"pump/{at}") for at, on in enumerate((1, 0, 0), 1))
    drive.run(60.0, plant)
    assert severities(drive, "cdu_pump_lost")[-1] == "critical"


def test_one_cause_of_a_flow_that_fails_is_one_page(kit, plant):
    loop = CoolingNode(id="cdu", kind="liquid", units_watts=(200e3,), pumps=2, pumps_needed=1)
    plant.extra["cdu-1"] = pumps(1.0, 0.0)
    drive = kit.drive(liquid_site(loop=loop)).run(400.0, plant)
    plant.extra["cdu-1"], plant.cdu["flow"] = pumps(2.0, 2.0), 0.0
    drive.run(300.0, plant)
    pages = [move for move in drive.pages if move.severity.value == "critical"]
    assert [(page.rule, page.target_id) for page in pages] == [("flow_low", "cdu")]
    assert "pump/1 of cdu-1 reports a fault" in pages[0].text


def test_pressure_under_the_minimum_warns_and_a_sudden_fall_is_critical(kit, plant):
    loop = CoolingNode(id="cdu", kind="liquid", units_watts=(200e3,), pressure_least_pascals=50e3)
    plant.extra["cdu-1"] = (Reading(PRESSURE, 120e3, "return"),)
    drive = kit.drive(liquid_site(loop=loop)).run(300.0, plant)
    plant.extra["cdu-1"] = (Reading(PRESSURE, 90e3, "return"),)
    drive.run(60.0, plant)
    assert severities(drive, "loop_pressure") == ["critical"]
    slow = kit.drive(liquid_site(loop=loop))
    for step in range(36):
        plant.extra["cdu-1"] = (Reading(PRESSURE, 120e3 * 0.97**step, "return"),)
        slow.run(60.0, plant)
    assert severities(slow, "loop_pressure") == ["warning"]


def test_a_change_of_pumps_explains_a_fall_of_pressure(kit, plant):
    loop = CoolingNode(id="cdu", kind="liquid", units_watts=(200e3,), pumps=3, pumps_needed=1)
    plant.extra["cdu-1"] = (*pumps(1.0, 1.0, 0.0), Reading(PRESSURE, 200e3))
    drive = kit.drive(liquid_site(loop=loop)).run(300.0, plant)
    plant.extra["cdu-1"] = (*pumps(1.0, 0.0, 0.0), Reading(PRESSURE, 140e3))
    drive.run(900.0, plant)
    assert told(drive) == []


@pytest.mark.parametrize(("off", "worst"), [(3.0, "warning"), (-8.0, "warning"), (8.0, "critical")])
def test_supply_off_its_set_point_is_critical_on_the_warm_side_only(kit, plant, off, worst):
    plant.extra["cdu-1"] = (Reading(TEMPERATURE_SETPOINT, 30.0, "supply"),)
    plant.humidity = 0.0
    drive = kit.drive(liquid_site()).run(300.0, plant)
    plant.cdu["supply"] = 30.0 + off
    drive.run(600.0, plant)
    assert severities(drive, "tcs_supply_dev")[-1] == worst
    assert {rule for _, rule, _ in told(drive)} == {"tcs_supply_dev"}


def test_a_new_set_point_is_given_time(kit, plant):
    plant.humidity = 0.0
    plant.extra["cdu-1"] = (Reading(TEMPERATURE_SETPOINT, 30.0, "supply"),)
    drive = kit.drive(liquid_site()).run(300.0, plant)
    plant.extra["cdu-1"] = (Reading(TEMPERATURE_SETPOINT, 38.0, "supply"),)
    drive.run(1100.0, plant)
    assert told(drive) == []
    drive.run(600.0, plant)
    assert severities(drive, "tcs_supply_dev") == ["warning"]


# Zones and units


def test_a_zone_without_its_spare_is_critical_when_what_runs_is_too_little(kit, plant):
    plant.watts = 60_000.0  # 12 to 18 kW of each rack's heat go into the air, against 30 kW with the spare off
    drive = kit.drive(
        liquid_site(racks=3, zone=CoolingNode(id="crah", kind="air", units_watts=(17e3,) * 3, redundancy="N+1"))
    )
    drive.run(600.0, plant)
    plant.faulty = {"crah-1", "crah-2"}
    drive.run(900.0, plant)
    assert ("trigger", "zone_cooling_n1", "crah") in told(drive)
    assert severities(drive, "zone_cooling_n1")[-1] == "critical"
    assert "2 of 3 units down" in last(drive, "zone_cooling_n1").text


@pytest.mark.parametrize(
    ("rule", "knob"),
    [
        ("loop_pressure", {"cdu-1": (Reading(PRESSURE, 20e3, "return"),)}),
        (
            "tcs_supply_dev",
            {"cdu-1": (Reading(TEMPERATURE_SETPOINT, 26.0, "supply"), Reading(PRESSURE, 120e3, "return"))},
        ),
        ("flow_low", {"flow": 20.0}),
        ("inlet_high", {"t-r1-1": 40.0, "t-r1-2": 40.0, "t-r1-3": 40.0}),
        ("dew_margin", {"humidity": 0.97}),
        ("zone_cooling_n1", {"faulty": {"crah-1", "crah-2", "crah-3"}}),
    ],
)
def test_what_is_put_right_ends(kit, plant, rule, knob):
    """Every rule that is not latched ends once, when what it is about is well again."""
    loop = CoolingNode(id="cdu", kind="liquid", units_watts=(200e3,), coolant="pg25", pressure_least_pascals=50e3)
    usual = {"cdu-1": (Reading(PRESSURE, 120e3, "return"), Reading(TEMPERATURE_SETPOINT, 30.0, "supply"))}
    plant.cdu["supply"], plant.extra = 30.0 if rule != "dew_margin" else 21.0, dict(usual)
    if rule == "dew_margin":
        plant.extra["cdu-1"] = usual["cdu-1"][:1]
    drive = kit.drive(liquid_site(loop=loop)).run(600.0, plant)
    for name, value in knob.items():
        if name == "flow":
            plant.cdu["flow"] = value
        elif name in {"humidity", "faulty"}:
            setattr(plant, name, value)
        elif name.startswith("t-"):
            plant.intakes[name] = value
        else:
            plant.extra[name] = value
    drive.run(1800.0, plant)
    assert told(drive, rule)[0][0] == "trigger"
    plant.extra, plant.intakes, plant.humidity, plant.faulty = dict(usual), {}, 0.4, set()
    if rule == "dew_margin":
        plant.extra["cdu-1"] = usual["cdu-1"][:1]
    plant.cdu["flow"] = 200.0
    drive.run(4500.0, plant)
    assert [notice for notice, _, _ in told(drive, rule)].count("resolve") == 1
    assert told(drive, rule)[-1][0] == "resolve"


def test_a_unit_that_fails_with_a_spare_left_warns(kit, plant):
    drive = kit.drive(liquid_site()).run(300.0, plant)
    plant.faulty = {"crah-2"}
    drive.run(120.0, plant)
    assert told(drive) == [("trigger", "cooling_unit_fault", "crah-2")]
    assert severities(drive, "cooling_unit_fault") == ["warning"]
    plant.faulty = set()
    drive.run(600.0, plant)
    assert told(drive)[-1] == ("resolve", "cooling_unit_fault", "crah-2")


def test_the_view_shows_what_a_zone_can_carry_now(kit, plant):
    drive = kit.drive(liquid_site()).run(400.0, plant)
    zone = next(node for node in drive.watch.view(kit.at(drive.now_s)).nodes if node.id == "crah")
    assert [judged.constraint for judged in zone.judgements] == ["air"]
    plant.faulty = {"crah-1", "crah-2"}
    drive.run(30.0, plant)
    zone = next(node for node in drive.watch.view(kit.at(drive.now_s)).nodes if node.id == "crah")
    assert [(judged.constraint, judged.limit) for judged in zone.judgements] == [("air", 30e3), ("air/now", 15e3)]
    assert zone.judgements[1].verdict.value == "OVER"


def test_a_rack_over_its_liquid_budget_is_judged_on_what_is_measured(kit, plant):
    site = liquid_site(racks=1, rack_keys={})
    plant.watts, plant.cdu = 66_000.0, {"flow": 80.0, "supply": 30.0, "back": 41.0}
    drive = kit.drive(site).run(900.0, plant)
    assert ("trigger", "rack_density_liquid", "r1") in told(drive)
    rack = drive.watch.view(kit.at(drive.now_s)).racks[0]
    assert rack.liquid.provenance == "flow and temperatures"
    assert rack.liquid.best == pytest.approx(61_600.0, rel=0.01)
    assert {judged.constraint for judged in rack.judgements} == {"power", "air", "liquid"}


def test_a_silent_pdu_does_not_lose_the_heat(kit, plant):
    drive = kit.drive(liquid_site()).run(400.0, plant)
    plant.silent = {"pdu-r1", "pdu-r2"}
    drive.run(1200.0, plant)
    zone = next(node for node in drive.watch.view(kit.at(drive.now_s)).nodes if node.id == "crah")
    assert zone.judgements[0].verdict.value == "CAN'T TELL"


# What machines breathe


def test_inlets_rise_from_info_to_critical_as_probes_agree(kit, plant):
    drive = kit.drive(liquid_site(racks=1)).run(300.0, plant)
    plant.intakes = dict.fromkeys(("t-r1-1", "t-r1-2", "t-r1-3"), 29.0)
    drive.run(600.0, plant)
    assert severities(drive, "inlet_high") == ["info"]
    plant.intakes["t-r1-1"] = 36.0
    drive.run(300.0, plant)
    assert severities(drive, "inlet_high") == ["info", "warning"]
    plant.intakes["t-r1-2"] = 36.0
    drive.run(300.0, plant)
    assert severities(drive, "inlet_high") == ["info", "warning", "critical"]
    assert "35 °C allowed in class A2" in last(drive, "inlet_high").text


def test_probes_that_fall_silent_end_no_alarm(kit, plant):
    drive = kit.drive(liquid_site(racks=1)).run(300.0, plant)
    plant.intakes = {"t-r1-1": 37.0, "t-r1-2": 37.0}
    drive.run(400.0, plant)
    plant.silent = {"t-r1-1", "t-r1-2"}
    drive.run(3600.0, plant)
    assert ("resolve", "inlet_high", "r1") not in told(drive)
    plant.silent, plant.intakes = set(), {}
    drive.run(1200.0, plant)
    assert told(drive, "inlet_high")[-1] == ("resolve", "inlet_high", "r1")


def test_after_a_restart_only_the_probes_that_were_hot_can_end_it(kit, plant):
    site = liquid_site(racks=1)
    drive = kit.drive(site).run(300.0, plant)
    plant.intakes = {"t-r1-1": 37.0, "t-r1-2": 37.0}
    drive.run(400.0, plant)
    saved = drive.watch.snapshot()
    plant.silent = {"t-r1-1", "t-r1-2"}
    again = kit.drive(site, restored=saved, start_s=drive.now_s + 10.0).run(3600.0, plant)
    assert told(again, "inlet_high") == []


def test_one_probe_alone_is_never_critical(kit, plant):
    drive = kit.drive(liquid_site(racks=1, sensors=1)).run(300.0, plant)
    plant.intakes = {"t-r1-1": 44.0}
    drive.run(900.0, plant)
    assert severities(drive, "inlet_high")[-1] == "warning"


def test_a_rack_without_a_class_is_named(kit, plant):
    site = liquid_site(racks=1)
    bare = replace(site, racks={"r1": replace(site.racks["r1"], thermal_class=None)})
    drive = kit.drive(bare).run(60.0, plant)
    assert any("r1" in finding and "thermal_class" in finding for finding in drive.watch.findings())


def test_air_that_warms_fast_pages_with_the_minutes_that_are_left(kit, plant):
    drive = kit.drive(liquid_site(racks=1)).run(300.0, plant)
    start_s = drive.now_s

    def warming(device_, at_s):
        for name in ("t-r1-1", "t-r1-2"):
            plant.intakes[name] = 22.0 + max(0.0, at_s - start_s) / 60.0 * 1.8
        return plant(device_, at_s)

    drive.run(240.0, warming)
    assert severities(drive, "inlet_rate")[-1] == "critical"
    assert " min." in last(drive, "inlet_rate").text


def test_one_probe_that_warms_alone_is_a_warning(kit, plant):
    drive = kit.drive(liquid_site(racks=1)).run(300.0, plant)
    start_s = drive.now_s

    def warming(device_, at_s):
        plant.intakes["t-r1-1"] = 22.0 + max(0.0, at_s - start_s) / 60.0 * 1.5
        return plant(device_, at_s)

    drive.run(240.0, warming)
    assert severities(drive, "inlet_rate") == ["warning"]


def test_a_probe_that_comes_back_elsewhere_is_no_rate(kit, plant):
    drive = kit.drive(liquid_site(racks=1)).run(300.0, plant)
    plant.silent = {"t-r1-1"}
    drive.run(300.0, plant)
    plant.silent, plant.intakes = set(), {"t-r1-1": 26.0}
    drive.run(600.0, plant)
    assert told(drive, "inlet_rate") == []


def mine(*, sensors=3, tank=False):
    power = {"row": PowerNode(id="row", limit_volt_amperes=1e6)}
    rack = Rack(
        id="c1", row="c", state="mining", feeds={"a": "row"}, cooling_air="hall", kind="tank" if tank else "rack"
    )
    devices = {f"m{at}": device(f"m{at}", "miner", rack="c1", feed="a", nameplate_watts=3500.0) for at in range(1, 5)}
    devices |= {f"t{at}": device(f"t{at}", "sensor", node="hall") for at in range(1, sensors + 1)}
    hall = CoolingNode(id="hall", kind="air", units_watts=(100e3,))
    return Site(name="s", power=power, racks={"c1": rack}, devices=devices, cooling={"hall": hall})


def hall_answers(*warmths, env=60.0):
    def poll(device_, _at_s):
        if device_.kind == "miner":
            return (Reading(POWER, 3300.0), Reading(TEMPERATURE, env, "intake"))
        at = int(device_.id[1:]) - 1
        return None if warmths[at] is None else (Reading(TEMPERATURE, warmths[at]),)

    return poll


def test_a_hall_of_miners_is_judged_by_the_median_of_its_sensors(kit):
    drive = kit.drive(mine()).run(1800.0, hall_answers(30.0, 31.0, 70.0))
    assert told(drive, "inlet_high") == []
    drive.run(1200.0, hall_answers(42.0, 42.0, 42.0))
    assert told(drive, "inlet_high") == [("trigger", "inlet_high", "hall")]
    assert severities(drive, "inlet_high") == ["warning"]
    drive.run(1200.0, hall_answers(46.0, 46.5, 30.0))
    assert severities(drive, "inlet_high") == ["warning", "critical"]


def test_a_hall_needs_three_sensors_and_machines_that_breathe_it(kit):
    drive = kit.drive(mine(sensors=2)).run(3600.0, hall_answers(60.0, 60.0))
    assert told(drive, "inlet_high") == []
    assert any("fewer than 3 sensors" in finding for finding in drive.watch.findings())
    tank = kit.drive(mine(tank=True)).run(3600.0, hall_answers(60.0, 60.0, 60.0))
    assert told(tank, "inlet_high") == []


def test_a_zone_tells_how_well_its_air_is_led(kit, plant):
    for name in ("t-r1-1", "t-r2-1"):
        plant.extra[name] = (Reading(TEMPERATURE, 36.0, "exhaust"),)
    for at in range(1, 4):
        plant.extra[f"crah-{at}"] = (Reading(TEMPERATURE, 20.0, "supply"), Reading(TEMPERATURE, 31.0, "return"))
    drive = kit.drive(liquid_site()).run(120.0, plant)
    zone = readings(drive, "cooling_node", "crah")
    assert zone[RETURN_INDEX, ""] == pytest.approx(11.0 / 14.0)
    assert zone[SUPPLY_HEAT_INDEX, ""] == pytest.approx(2.0 / 16.0)
    plant.silent = {"pdu-r1", "pdu-r2"}
    drive.run(300.0, plant)
    assert (RETURN_INDEX, "") not in readings(drive, "cooling_node", "crah")


def test_a_slow_rise_over_a_quarter_of_an_hour_warns(kit, plant):
    drive = kit.drive(liquid_site(racks=1)).run(300.0, plant)
    start_s = drive.now_s

    def warming(device_, at_s):
        for at in (1, 2, 3):
            plant.intakes[f"t-r1-{at}"] = 18.0 + max(0.0, at_s - start_s) / 60.0 * 0.42
        return plant(device_, at_s)

    drive.run(1150.0, warming)
    assert severities(drive, "inlet_rate") == ["warning"]
    assert "over 15 min" in last(drive, "inlet_rate").text


def test_heat_that_a_hall_holds_at_altitude_is_less(kit, plant):
    plant.intakes = dict.fromkeys(("t-r1-1", "t-r1-2"), 33.0)
    low = kit.drive(liquid_site(racks=1)).run(600.0, plant)
    high = kit.drive(replace(liquid_site(racks=1), altitude_metres=2000.0)).run(600.0, plant)
    assert "critical" not in severities(low, "inlet_high")
    assert severities(high, "inlet_high")[-1] == "critical"


def test_a_site_replaces_a_class(kit, plant):
    plant.intakes = dict.fromkeys(("t-r1-1", "t-r1-2", "t-r1-3"), 24.0)
    own = {"A2": ThermalClass(18.0, 20.0, 15.0, 23.0)}
    drive = kit.drive(replace(liquid_site(racks=1), thermal_classes=own)).run(900.0, plant)
    assert severities(drive, "inlet_high")[-1] == "critical"


# Condensation


def dew_humidity(margin, supply=30.0, room=22.0):
    """Give the relative humidity at which coolant is so far above the dew point, by bisection."""
    from keeld.budgets.moisture import dew_point_celsius

    lo, hi = 0.011, 1.0
    for _ in range(60):
        mid = (lo + hi) / 2
        lo, hi = (mid, hi) if dew_point_celsius(room, mid) < supply - margin else (lo, mid)
    return lo


@pytest.mark.parametrize(("margin", "worst"), [(1.0, ["warning"]), (0.3, ["warning", "critical"]), (3.0, [])])
def test_a_margin_to_the_dew_point_is_judged(kit, plant, margin, worst):
    plant.cdu["supply"] = 18.0
    plant.humidity = dew_humidity(margin, supply=18.0)
    drive = kit.drive(liquid_site()).run(1500.0, plant)
    assert sorted(severities(drive, "dew_margin")) == sorted(worst) or severities(drive, "dew_margin") == worst[-1:]
    assert readings(drive, "cooling_node", "cdu")[DEW_MARGIN, ""] == pytest.approx(margin, abs=0.05)


def test_a_unit_that_holds_dew_point_plus_two_kelvin_is_left_in_peace(kit, plant):
    plant.cdu["supply"] = 18.0
    drive = kit.drive(liquid_site())
    for step in range(120):
        plant.humidity = dew_humidity(2.0 + (0.35 if step % 3 == 0 else -0.25), supply=18.0)
        drive.run(30.0, plant)
    assert told(drive) == []


def test_one_damp_probe_is_outvoted(kit, plant):
    plant.cdu["supply"] = 18.0
    plant.extra["t-r1-1"] = (Reading(HUMIDITY, 0.99, "intake"),)
    drive = kit.drive(liquid_site()).run(1500.0, plant)
    assert told(drive, "dew_margin") == []


# Fouling, reload, hostile words


def test_a_heat_exchanger_that_fouls_is_told_after_its_delay(kit, plant):
    import json

    plant.cdu["supply"] = 30.0
    plant.extra["cdu-1"] = (Reading(TEMPERATURE, 20.0, "facility/supply"),)
    drive = kit.drive(liquid_site(racks=1, sensors=0), rules={"approach_rise": RuleSettings(on_s=3600.0)})
    counts = [60_480 // 10 + 1] * 10
    drive.watch.recall({"fouling/cdu": json.dumps([counts, [5.0] * 10]).encode()}, kit.at(0.0))
    drive.run(1.5 * 3600.0, plant)
    assert told(drive, "approach_rise") == []
    drive.run(1.0 * 3600.0, plant)
    assert severities(drive, "approach_rise") == ["info"]


@pytest.mark.parametrize("note", [b"", b"[]", b"{", b'["a", 1]', b"[[1], [NaN]]", b"null", b"12"])
def test_a_note_that_cannot_be_read_is_left_out(kit, note):
    drive = kit.drive(liquid_site())
    drive.watch.recall({"fouling/cdu": note, "coolant_flow/usual": note, "leaks/dry": note}, kit.at(0.0))
    assert "fouling/cdu" not in drive.watch.memory()


def test_a_reload_keeps_alarms_and_what_was_usual(kit, plant):
    site = liquid_site()
    drive = kit.drive(site).run(400.0, plant)
    plant.cdu["flow"] = 60.0
    plant.extra["cdu-1"] = (Reading(LEAK, 1.0),)
    drive.run(60.0, plant)
    before = told(drive)
    moves = drive.watch.reload(site, {}, kit.at(drive.now_s))
    drive.run(600.0, plant)
    assert [move for move in moves if move.notice is not None] == []
    assert told(drive) == before


@pytest.mark.parametrize("value", [-1e12, 1e12, 0.0, 85.0, -127.0])
def test_nothing_a_plant_says_breaks_the_watch(kit, plant, value):
    metrics = (
        FLOW,
        TEMPERATURE,
        HUMIDITY,
        PRESSURE,
        PUMP,
        PUMP_SPEED,
        UNIT_STATE,
        LEAK,
        COOLING_OUTPUT,
        TEMPERATURE_SETPOINT,
    )
    parts = ("", "supply", "return", "intake", "pump/1", "facility/supply")

    def poll(device_, at_s):
        if device_.kind in ("cooling", "sensor"):
            return tuple(Reading(metric, value, part) for metric in metrics for part in parts)
        return plant(device_, at_s)

    drive = kit.drive(liquid_site()).run(200.0, plant).run(600.0, poll)
    view = drive.watch.view(kit.at(drive.now_s))
    numbers = [judged.limit for node in view.nodes for judged in node.judgements]
    numbers += [reading.value for _, batch in drive.batches for reading in batch.readings]
    assert all(abs(number) < 1e15 for number in numbers)

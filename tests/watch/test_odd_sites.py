"""Sites, devices and clocks that are not as one expects: nothing fails, nothing is claimed that was not measured."""

from __future__ import annotations

import dataclasses
import math
import time

import pytest

from keeld.errors import Outage
from keeld.metrics import CURRENT, ENERGY, POWER, POWER_FACTOR, POWER_SOURCE, VOLTAGE
from keeld.model import Device, Reading
from keeld.trees import PowerNode, PowerSource

UTILITY, GENERATOR = 1.0, 4.0


def with_switch(site, device: Device | None = None):
    """Put a transfer switch above both panels, between the utility and a generator."""
    three = {"voltage_volts": 415.0, "phases": 3, "breaker_amperes": 4_000.0}
    sources = {"utility": PowerSource(3e6, "utility"), "generator": PowerSource(2e6, "genset")}
    power = dict(site.power)
    power["genset"] = PowerNode(id="genset", limit_watts=2e6, **three)
    power["ats"] = PowerNode(id="ats", parent="utility", sources=sources, **three)
    for side in "ab":
        power[f"ups-{side}"] = dataclasses.replace(power[f"ups-{side}"], parent="ats")
    told = Device(id="switch", site="s", kind="ups", driver="modbus", address="10.9.9.9", node="ats")
    return dataclasses.replace(site, power=power, devices={**site.devices, told.id: told})


def test_feeds_that_die_while_on_the_generator_are_traced_to_the_switch(kit):
    site = with_switch(kit.site(racks=2, miners=0))

    def poll(device, at_s):
        if device.id == "switch":
            return (Reading(POWER_SOURCE, UTILITY if at_s < 120 else GENERATOR),)
        return Outage.TIMEOUT if at_s > 300 else kit.steady()(device, at_s)

    drive = kit.drive(site).run(400, poll)
    nodes = {node.id: node.draw for node in drive.watch.view(kit.at(drive.now_s)).nodes}
    assert nodes["utility"].hi == 0.0
    assert nodes["genset"].hi == pytest.approx(nodes["ats"].hi)


def test_a_feed_behind_a_rectifier_is_what_leaves_it_and_its_lines_are_what_goes_in(kit):
    site = kit.site(racks=1, miners=0)
    power = {**site.power, "a-r01": dataclasses.replace(site.power["a-r01"], efficiency=0.95)}
    devices = {name: device for name, device in site.devices.items() if device.id != "pdu-r01-a"}
    devices["meter-a"] = Device(id="meter-a", site="s", kind="meter", driver="modbus", address="m", node="a-r01")
    site = dataclasses.replace(site, power=power, devices=devices)
    drive = kit.drive(site).run(60, lambda device, at_s: kit.pdu(10_000.0) if device.kind in ("pdu", "meter") else None)
    view = drive.watch.view(kit.at(drive.now_s))
    assert view.racks[0].feeds["a"].best == pytest.approx(9_500.0)
    assert {node.id: node.draw.best for node in view.nodes}["a-r01"] == 10_000.0


def test_losses_are_in_the_lines_of_the_node_that_has_them(kit):
    site = kit.site(racks=1, miners=0)
    ups = PowerNode(
        id="ups-b", parent="utility", efficiency=0.9, voltage_volts=415.0, phases=3, breaker_amperes=2_000.0
    )
    site = dataclasses.replace(site, power={**site.power, "ups-b": ups})
    drive = kit.drive(site).run(60, kit.steady(10_000.0))
    told = [batch for _, batch in drive.batches if batch.device.id == "ups-b"][-1].readings
    line = next(reading.value for reading in told if (reading.metric, reading.part) == (CURRENT, "L1"))
    assert line == pytest.approx(10_000.0 / 0.9 / (415.0 * 3**0.5))
    case = next(case for case in drive.watch.failover(kit.at(drive.now_s)) if case.target_id == "r01/a")
    taken = next(
        survivor for survivor in case.survivors if (survivor.node, survivor.constraint) == ("ups-b", "current/L1")
    )
    assert taken.value.best == pytest.approx(2 * line)


@pytest.mark.parametrize("value", [1e300, -1e300, 1e200, -5e3, 1e-300, 4294967295.0])
def test_what_no_meter_can_measure_ends_nothing(kit, value: float):
    site = kit.site(racks=1, miners=1)

    def poll(device, at_s):
        parts = [Reading(metric, value) for metric in (POWER, ENERGY, POWER_FACTOR, VOLTAGE)]
        lines = [Reading(metric, value, f"L{line}") for metric in (CURRENT, VOLTAGE) for line in (1, 2, 3)]
        return (*parts, *lines)

    drive = kit.drive(site).run(120, poll)
    values = [reading.value for _, batch in drive.batches for reading in batch.readings]
    assert values
    assert all(math.isfinite(value) for value in values)


def test_a_night_that_was_slept_through_costs_no_more_than_a_few_slots(kit):
    drive = kit.drive(kit.site(racks=60, miners=0)).run(60, kit.steady())
    drive.now_s += 4 * 3600
    longest_s = 0.0
    while drive.watch.next_wake() <= kit.at(drive.now_s).mono_ns:
        started = time.process_time()
        drive.watch.tick(kit.at(drive.now_s))
        longest_s = max(longest_s, time.process_time() - started)
    assert longest_s < 0.1  # 0.02 s when nothing else runs; a slot at a time it is a second
    draw = drive.watch.view(kit.at(drive.now_s)).racks[0].draw
    assert draw.lo == 0.0
    assert draw.coverage == 0.0


def test_a_meter_that_fell_silent_bounds_its_node_for_a_quarter_of_an_hour(kit):
    site = kit.site(racks=1, miners=0)
    meter = Device(id="meter-a", site="s", kind="meter", driver="modbus", address="m", node="panel-a")
    devices = {name: device for name, device in site.devices.items() if device.kind != "pdu"} | {meter.id: meter}
    drive = kit.drive(dataclasses.replace(site, devices=devices))
    draws = []
    for _ in range(3):
        drive.run(600, lambda device, at_s: kit.pdu(20_000.0) if at_s < 500 and device.kind == "meter" else None)
        draws.append({node.id: node.draw for node in drive.watch.view(kit.at(drive.now_s)).nodes}["panel-a"])
    estimated, _, unknown = draws
    assert (estimated.lo, estimated.best) == (0.0, 20_000.0)
    assert 20_000.0 < estimated.hi < 23_500.0
    assert unknown.hi == 33_000.0  # what its rack can draw

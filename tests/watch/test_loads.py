"""How loaded each limit is, in the batches that keeld derives."""

from __future__ import annotations

import math

import pytest

from keeld.metrics import BINDING, LOAD_HI_RATIO, LOAD_LO_RATIO, LOAD_RATIO
from keeld.model import RackBudget
from keeld.watch.loads import Loaded, load_readings


def told(batch):
    return {(reading.metric, reading.part): reading.value for reading in batch.readings}


def last(drive, kind, name):
    return told(next(b for _, b in reversed(drive.batches) if (b.device.kind, b.device.id) == (kind, name)))


def test_every_budget_of_a_rack_has_its_load_and_the_nearest_is_named(kit):
    site = kit.site(racks=1, miners=0, budget=RackBudget(power_watts=33_000.0, air_watts=18_000.0))
    drive = kit.drive(site).run(60, kit.steady(10_000.0))
    rack = last(drive, "rack", "r01")
    assert rack[LOAD_RATIO, "power"] == pytest.approx(20 / 33)
    assert rack[LOAD_RATIO, "air"] == pytest.approx(20 / 18)
    assert rack[LOAD_RATIO, ""] == rack[LOAD_RATIO, "air"]
    assert BINDING.states[int(rack[BINDING, ""])] == "air"
    assert rack[LOAD_LO_RATIO, "power"] <= rack[LOAD_RATIO, "power"] <= rack[LOAD_HI_RATIO, "power"]


def test_a_circuit_tells_the_load_of_each_line(kit):
    drive = kit.drive(kit.site(racks=1, miners=0)).run(60, kit.steady(10_000.0))
    feed = last(drive, "power_node", "a-r01")
    line = 10_000.0 / (415.0 * math.sqrt(3)) / 60.0
    assert [feed[LOAD_RATIO, phase] for phase in ("L1", "L2", "L3")] == pytest.approx([line] * 3)
    assert BINDING.states[int(feed[BINDING, ""])] in ("L1", "L2", "L3")


def test_what_was_never_measured_has_ends_and_no_likeliest_load(kit):
    drive = kit.drive(kit.site(racks=1, miners=0)).run(60, lambda device, at_s: None)
    drive.give(drive.site.devices["gpu-r01"], ())
    drive.run(20, lambda device, at_s: None)
    rack = last(drive, "rack", "r01")
    assert rack[LOAD_LO_RATIO, "power"] == 0.0
    assert rack[LOAD_HI_RATIO, "power"] >= 1.0
    assert not [key for key in rack if key[0] in (LOAD_RATIO, BINDING)]


def test_a_line_without_a_name_binds_as_current():
    readings = load_readings([Loaded("current", 0.2, 0.2, 0.2), Loaded("power", 0.1, 0.1, 0.1)])
    assert BINDING.states[int(readings[-1].value)] == "current"

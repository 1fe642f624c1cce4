"""What the page, the API and the sinks are given of racks, nodes, cooling and the site."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeld.errors import Outage
from keeld.metrics import (
    AIR_HEAT_LO,
    CATALOGUE,
    CURRENT,
    CURRENT_HI,
    HEADROOM,
    LIQUID_HEAT_HI,
    LOAD_RATIO,
    POWER,
)
from keeld.model import OWN_DRIVER, Batch, Device, Group, Moment, Rack, RackBudget, Reading, Site
from keeld.trees import CoolingNode, PowerNode
from keeld.views import Verdict
from keeld.watch import Watch


def view_after(kit, site, poll, span_s=400):
    drive = kit.drive(site).run(span_s, poll)
    return drive, drive.watch.view(kit.at(drive.now_s))


def node_of(view, name):
    return next(node for node in view.nodes if node.id == name)


def test_a_rack_in_order(kit):
    _, view = view_after(kit, kit.site(), kit.steady())
    rack = next(item for item in view.racks if item.rack.id == "r01")
    assert rack.verdict is Verdict.OK
    assert (rack.draw.lo, rack.draw.hi, rack.draw.coverage) == (20_000.0, 20_000.0, 1.0)
    assert {letter: feed.best for letter, feed in rack.feeds.items()} == {"a": 10_000.0, "b": 10_000.0}
    assert rack.binding is not None
    assert rack.binding.load_ratio == pytest.approx(20 / 33)
    assert rack.binding.headroom == pytest.approx(13_000.0)


def test_a_fresh_start_shows_what_it_sees_and_not_ignorance(kit):
    over = lambda device, at_s: kit.pdu(18_000.0) if device.kind == "pdu" else None  # noqa: E731 - a poll in a line
    _, view = view_after(kit, kit.site(racks=1, miners=0), over, span_s=55)
    assert view.racks[0].verdict is Verdict.OVER
    _, view = view_after(kit, kit.site(racks=1, miners=0), kit.steady(), span_s=25)
    assert view.racks[0].verdict is Verdict.OK


@pytest.mark.parametrize("span_s", [1.5, 9.0, 15.0, 29.0])
def test_a_start_calls_nothing_over_on_a_few_samples_of_a_swing(kit, span_s):
    def swing(device, at_s):
        return kit.pdu(17_500.0 if at_s % 2 < 1 else 9_000.0) if device.kind == "pdu" else None

    site = kit.site(racks=6, miners=0, pdu_interval_s=1.0, budget=RackBudget(power_watts=30_000.0))
    site = dataclasses.replace(site, cooling={"crah": CoolingNode(id="crah", kind="air", units_watts=(170e3,))})
    site.power["ups-a"] = dataclasses.replace(site.power["ups-a"], limit_volt_amperes=95e3)
    _, view = view_after(kit, site, swing, span_s=span_s)
    judged = [item for part in (*view.racks, *view.nodes) for item in part.judgements]
    assert {item.unit for item in judged} == {"A", "VA", "W"}
    assert Verdict.OVER not in {item.verdict for item in judged}
    doubted = [item for item in judged if item.value.lo > item.limit]
    assert all(item.why.startswith("only ") and item.why.endswith(" seen yet") for item in doubted)
    assert not any(item.structural for item in doubted)


def test_the_first_seconds_are_shown_as_their_mean(kit):
    site = kit.site(racks=1, miners=0, pdu_interval_s=1.0)
    watch = Watch(site, {}, now=kit.at(1))
    for second in range(2, 8):
        for pdu in (device for device in site.devices.values() if device.kind == "pdu"):
            now = kit.at(second)
            watch.feed(Batch(pdu, now.wall_ns, now.mono_ns, kit.pdu(10_000.0 + 5_000.0 * (second % 2))), now)
    assert watch.view(kit.at(7)).racks[0].draw.best == 25_000.0


def test_lost_meters_make_a_rack_doubtful_at_once_and_say_why(kit):
    drive, _ = view_after(kit, kit.site(racks=1, nameplate_watts=40_000.0), kit.steady())
    drive.run(1000, lambda device, at_s: Outage.TIMEOUT if device.kind == "pdu" else None)
    rack = drive.watch.view(kit.at(drive.now_s)).racks[0]
    assert rack.verdict is Verdict.CANT_TELL
    assert rack.judgements[0].why == "no data from pdu-r01-a, pdu-r01-b"
    assert not rack.judgements[0].structural


def test_nodes_sum_up_from_the_leaves_and_bind_in_their_own_unit(kit):
    drive, view = view_after(kit, kit.site(miners=0), kit.steady())
    panel = node_of(view, "panel-a")
    assert panel.draw.best == pytest.approx(30_000.0)
    assert panel.draw.provenance == "sum of what hangs on it"
    lines = {item.constraint: item for item in panel.judgements}
    assert set(lines) == {"current/L1", "current/L2", "current/L3"}
    assert lines["current/L1"].unit == "A"
    assert lines["current/L1"].base == "800 A breaker"
    assert lines["current/L1"].value.best == pytest.approx(30_000.0 / (415.0 * math.sqrt(3)))
    ups = node_of(view, "ups-a")
    assert [(item.constraint, item.unit) for item in ups.judgements] == [("apparent_power", "VA")]
    assert node_of(view, "utility").draw.best == pytest.approx(60_000.0)
    batch = next(b for _, b in reversed(drive.batches) if b.device.id == "panel-a")
    told = {(reading.metric, reading.part): reading.value for reading in batch.readings}
    assert told[POWER, ""] == pytest.approx(30_000.0)
    assert told[CURRENT, "L2"] == told[CURRENT_HI, "L2"]


def test_a_fresh_meter_on_a_node_decides_and_bounds_what_is_lost_below(kit):
    site = kit.site(racks=2, miners=0)
    meters = {
        f"meter-{side}": Device(
            id=f"meter-{side}", site="s", kind="meter", driver="modbus", address=f"tcp://m{side}", node=f"panel-{side}"
        )
        for side in "ab"
    }
    site = dataclasses.replace(site, devices={**site.devices, **meters})

    def poll(device, at_s):
        if device.kind == "meter":
            return (Reading(POWER, 20_500.0),)
        if device.kind == "pdu" and device.rack == "r01" and at_s > 300:
            return Outage.TIMEOUT
        return kit.steady()(device, at_s)

    drive, view = view_after(kit, site, poll, span_s=1500)
    assert node_of(view, "panel-a").draw.best == 20_500.0
    assert "blind" not in {page.rule for page in drive.pages}


def test_branches_measure_the_circuits_that_they_are_mapped_to(kit):
    site = kit.site(racks=1, miners=0)
    devices = {name: device for name, device in site.devices.items() if device.kind != "pdu"}
    devices["bcm"] = Device(
        id="bcm", site="s", kind="meter", driver="modbus", address="tcp://b",
        measures=(("branch/7", "a-r01"), ("branch/9", "b-r01")),
    )  # fmt: skip
    site = dataclasses.replace(site, devices=devices)

    def poll(device, at_s):
        if device.id != "bcm":
            return None
        lines = (Reading(CURRENT, 20.0, f"branch/7/L{n}") for n in (1, 2, 3))
        return (Reading(POWER, 8_000.0, "branch/7"), Reading(POWER, 7_000.0, "branch/9"), *lines)

    _, view = view_after(kit, site, poll)
    assert view.racks[0].draw.best == 15_000.0
    assert view.racks[0].draw.provenance == "meter bcm branch/7; meter bcm branch/9"
    assert node_of(view, "a-r01").judgements[0].value.best == 20.0
    assert node_of(view, "b-r01").judgements == ()


def test_a_single_phase_circuit_is_judged_on_its_one_current(kit):
    site = Site(
        name="s",
        power={"c": PowerNode(id="c", breaker_amperes=20.0, voltage_volts=208.0)},
        racks={"r": Rack(id="r", feeds={"a": "c"}, budget=RackBudget(power_watts=4_000.0))},
        devices={"p": Device(id="p", site="s", kind="pdu", driver="modbus", address="p", rack="r")},
    )
    _, view = view_after(kit, site, lambda device, at_s: (Reading(POWER, 3_000.0), Reading(CURRENT, 14.4)))
    assert [item.constraint for item in node_of(view, "c").judgements] == ["current"]


def test_phase_rules_without_line_currents_are_idle_and_named(kit):
    total_only = lambda device, at_s: (  # noqa: E731 - a poll in a line
        (Reading(POWER, 10_000.0), Reading(CURRENT, 14.0)) if device.kind == "pdu" else None
    )
    drive, view = view_after(kit, kit.site(racks=1, miners=0), total_only)
    assert node_of(view, "a-r01").judgements == ()
    assert any("1 circuit taken as unused" in finding for finding in drive.watch.findings())
    assert any("phase rules idle on 2 circuits" in finding and "a-r01" in finding for finding in drive.watch.findings())


def test_cooling_is_judged_on_what_is_left_without_its_largest_unit(kit):
    site = kit.site(racks=3, miners=0)
    site = dataclasses.replace(
        site, cooling={"crah": CoolingNode(id="crah", kind="air", units_watts=(25e3,) * 3, redundancy="N+1")}
    )
    drive, view = view_after(kit, site, kit.steady())
    zone = node_of(view, "crah")
    assert zone.verdict is Verdict.OVER
    assert (zone.judgements[0].limit, zone.judgements[0].value.best) == (50e3, 60e3)
    batch = next(b for _, b in reversed(drive.batches) if b.device.kind == "cooling_node")
    told = {reading.metric: reading.value for reading in batch.readings}
    assert (told[AIR_HEAT_LO], told[HEADROOM], told[LOAD_RATIO]) == (60e3, -10e3, 1.2)
    assert LIQUID_HEAT_HI not in told


def test_derived_batches_are_keelds_own_and_on_the_wall_grid(kit):
    drive, _ = view_after(kit, kit.site(racks=1, miners=0), kit.steady(), span_s=65)
    assert {batch.device.driver for _, batch in drive.batches} == {OWN_DRIVER}
    assert {batch.device.kind for _, batch in drive.batches} == {"rack", "power_node", "cooling_node", "site"}
    assert all(batch.time_ns % 1_000_000 == 0 for _, batch in drive.batches)
    times = {at_s for at_s, batch in drive.batches if batch.device.kind == "site"}
    assert {10.0, 20.0, 30.0, 40.0, 50.0, 60.0} <= times
    assert drive.batches[0][0] < 9.0


METRICS = sorted(CATALOGUE.values(), key=lambda metric: metric.name)
PARTS = ["", "L1", "L2", "L3", "L1-L2", "branch/7", "gpu/0", "gpu/1", "supply", "return", "intake", "x/y/z"]
readings = st.lists(
    st.builds(
        Reading,
        st.sampled_from(METRICS),
        st.one_of(st.floats(-1e6, 1e6), st.sampled_from([0.0, 1e12, -1e12])),
        st.sampled_from(PARTS),
    ),
    max_size=8,
).map(tuple)


@settings(max_examples=120, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 5), readings, st.sampled_from([None, None, *Outage]), st.sampled_from(list(Group)),
            st.sampled_from([0, 1, 5, 30, 100, 1000]), st.integers(-700, 700),
        ),
        max_size=25,
    )
)  # fmt: skip
def test_nothing_a_device_says_breaks_the_watch(events):
    second = 1_000_000_000
    kinds = ("pdu", "meter", "miner", "accelerator", "cooling", "sensor")
    devices = {
        kind: Device(id=kind, site="s", kind=kind, driver="d", address=kind, rack="r", feed="a", nameplate_watts=9e3)
        for kind in kinds
    }
    site = Site(
        name="s",
        power={"n": PowerNode(id="n", breaker_amperes=60.0, voltage_volts=415.0, phases=3)},
        cooling={"z": CoolingNode(id="z", kind="air", units_watts=(5e3,))},
        racks={
            "r": Rack(id="r", feeds={"a": "n"}, budget=RackBudget(9e3, 5e3, 5e3), cooling_air="z", cooling_liquid="z")
        },
        devices=devices,
    )
    clock = 0
    watch = Watch(site, {}, now=Moment(10**18, 10**12))
    for number, answer, outage, group, wait_s, skew_s in events:
        clock += wait_s
        now = Moment(10**18 + clock * second, 10**12 + clock * second)
        device = devices[kinds[number]]
        watch.feed(Batch(device, now.wall_ns - skew_s * second, now.mono_ns, answer, outage, group), now)
        for _ in range(50):
            if watch.next_wake() > now.mono_ns:
                break
            for batch in watch.tick(now).batches:
                assert all(math.isfinite(reading.value) for reading in batch.readings)
        assert watch.next_wake() > now.mono_ns
        for rack in watch.view(now).racks:
            assert rack.draw.lo <= rack.draw.hi
            assert 0.0 <= rack.draw.coverage <= 1.0

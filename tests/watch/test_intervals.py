"""What a rack draws, whatever is missing: golden G26 and G27, precedence, and the promise lo <= truth <= hi."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeld.errors import Outage
from keeld.metrics import COVERAGE, POWER, POWER_ESTIMATE, POWER_HI, POWER_LO
from keeld.model import Batch, Device, Quality, Rack, RackBudget, Reading, Site
from keeld.trees import PowerNode
from keeld.views import Verdict
from keeld.watch import Watch


def load(name, nameplate_watts, **more):
    return Device(
        id=name, site="s", kind=more.pop("kind", "miner"), driver="whatsminer", address=name, rack="r", feed="a",
        nameplate_watts=nameplate_watts, **more,
    )  # fmt: skip


def rack_site(*devices, budget_watts=40_000.0, feeds=("a",), **rack):
    power = {letter: PowerNode(id=letter, breaker_amperes=100.0, voltage_volts=415.0, phases=3) for letter in feeds}
    found = Rack(
        id="r",
        state="mining",
        feeds={letter: letter for letter in feeds},
        budget=RackBudget(power_watts=budget_watts),
        **rack,
    )
    return Site(name="s", power=power, racks={"r": found}, devices={device.id: device for device in devices})


def after(kit, site, answers, *, wait_s=0.0):
    """Feed one answer from each device, wait, and look."""
    drive = kit.drive(site)
    for name, answer in answers.items():
        drive.give(site.devices[name], answer)
    drive.run(wait_s, lambda device, at_s: None)
    return drive.watch.view(kit.at(drive.now_s)).racks[0]


@pytest.mark.parametrize(
    ("fresh_kw", "lo_kw", "hi_kw", "verdict"),
    [
        pytest.param([10.2, 9.8, 9.9], 29.9, 44.2, Verdict.CANT_TELL, id="G26"),
        pytest.param([41.0], 41.0, 55.3, Verdict.OVER, id="G27a"),
        pytest.param([20.0], 20.0, 34.3, Verdict.OK, id="G27b"),
    ],
)
def test_golden_missing_data(kit, fresh_kw, lo_kw, hi_kw, verdict):
    loads = [load(f"d{n}", 45_000.0) for n in range(len(fresh_kw))]
    site = rack_site(*loads, load("gone", 14_300.0))
    answers = {f"d{n}": (Reading(POWER, kw * 1000),) for n, kw in enumerate(fresh_kw)}
    view = after(kit, site, answers, wait_s=45.0)  # long enough to be called a mean
    assert view.draw.lo == pytest.approx(lo_kw * 1000)
    assert view.draw.hi == pytest.approx(hi_kw * 1000)
    assert view.verdict is verdict
    assert 0.0 < view.draw.coverage < 1.0


def pdu(name, feed="a"):
    return Device(id=name, site="s", kind="pdu", driver="modbus", address=name, rack="r", feed=feed)


def test_a_fresh_inlet_meter_is_the_draw_and_its_machines_are_not_added(kit):
    site = rack_site(pdu("p"), load("m", 3_500.0))
    view = after(kit, site, {"p": (Reading(POWER, 9_000.0),), "m": (Reading(POWER, 3_000.0),)})
    assert (view.draw.lo, view.draw.best, view.draw.hi) == (9_000.0, 9_000.0, 9_000.0)
    assert view.draw.provenance == "inlet meter p"
    assert view.draw.quality is Quality.GOOD


def test_a_meter_above_the_nameplates_is_believed(kit):
    site = rack_site(pdu("p"), pdu("q", "b"), load("m", 3_500.0), feeds=("a", "b"))
    view = after(kit, site, {"p": (Reading(POWER, 5_000.0),)})
    assert view.draw.lo == 5_000.0
    assert view.draw.hi > 70_000.0


def test_a_silent_meter_leaves_the_machines_to_bound_the_draw(kit):
    site = rack_site(pdu("p"), load("m", 3_500.0), load("n", 3_500.0))
    view = after(kit, site, {"m": (Reading(POWER, 3_000.0),)})
    assert view.draw.lo == pytest.approx(2_700.0)
    assert view.draw.hi == pytest.approx(6_800.0, abs=400)
    assert view.draw.hi <= 7_000.0
    assert view.draw.lost == ("p",)
    assert view.draw.coverage == pytest.approx(0.5)


def test_accelerators_bound_their_node_and_are_never_taken_for_nothing(kit):
    node = load("g", 10_200.0, kind="accelerator")
    gpus = tuple(Reading(POWER, 500.0, f"gpu/{n}") for n in range(8))
    view = after(kit, rack_site(node), {"g": gpus})
    assert (view.draw.lo, view.draw.hi) == (4_000.0, 10_200.0)
    assert view.draw.quality is Quality.ESTIMATED
    assert 4_000.0 < (view.draw.best or 0.0) < 10_200.0


def test_an_estimate_stays_an_estimate(kit):
    view = after(kit, rack_site(load("m", 3_500.0)), {"m": (Reading(POWER_ESTIMATE, 3_200.0),)})
    assert (view.draw.lo, view.draw.best, view.draw.hi) == (2_400.0, 3_200.0, 3_500.0)
    assert view.draw.coverage == 0.0


def test_a_machine_that_never_tells_its_power_is_a_finding_and_not_lost(kit):
    site = rack_site(load("m", 50_000.0))
    view = after(kit, site, {"m": ()})
    assert view.draw.structural == ("m",)
    assert view.draw.lost == ()
    assert view.verdict is Verdict.CANT_TELL
    assert view.judgements[0].structural


def test_a_wrong_identity_takes_its_watts_out(kit):
    site = rack_site(load("m", 3_500.0))
    drive = kit.drive(site)
    drive.give(site.devices["m"], (Reading(POWER, 3_000.0),))
    drive.give(site.devices["m"], Outage.IDENTITY)
    draw = drive.watch.view(kit.at(0)).racks[0].draw
    assert (draw.lo, draw.best, draw.hi) == (0.0, None, 3_500.0)


def test_partial_answers_keep_what_is_good(kit):
    site = rack_site(load("m", 3_500.0))
    now = kit.at(0)
    watch = Watch(site, {}, now=now)
    watch.feed(
        Batch(site.devices["m"], now.wall_ns, now.mono_ns, (Reading(POWER, 3_000.0),), outage=Outage.PARTIAL), now
    )
    assert watch.view(now).racks[0].draw.lo == 3_000.0


def test_only_full_measurement_is_stored_as_power(kit):
    site = rack_site(load("m", 3_500.0), load("n", 3_500.0))
    drive = kit.drive(site)
    drive.give(site.devices["m"], (Reading(POWER, 3_000.0),))
    drive.run(1.5, lambda device, at_s: None)
    assert drive.batches
    first_s, batch = drive.batches[0]
    assert first_s <= 1.5
    names = {reading.metric: reading.value for reading in batch.readings}
    assert POWER not in names
    assert names[POWER_ESTIMATE] == 3_000.0
    assert (names[POWER_LO], names[POWER_HI], names[COVERAGE]) == (3_000.0, 6_500.0, 0.5)
    drive.give(site.devices["n"], (Reading(POWER, 3_100.0),))
    drive.run(10, lambda device, at_s: None)
    racks = [batch for _, batch in drive.batches if batch.device.kind == "rack"]
    names = {reading.metric: reading.value for reading in racks[-1].readings}
    assert names[POWER] == 6_100.0
    assert POWER_ESTIMATE not in names


answers = st.one_of(
    st.none(),
    st.sampled_from([Outage.TIMEOUT, Outage.GARBLED, Outage.PARTIAL, Outage.DENIED, Outage.HUNG]),
    st.just("truth"),
)


@settings(max_examples=60, deadline=None)
@given(
    schedule=st.lists(
        st.tuples(st.lists(answers, min_size=5, max_size=5), st.sampled_from([1, 9, 10, 70, 400, 1200])), max_size=12
    ),
    watts=st.lists(st.integers(0, 3_500), min_size=4, max_size=4),
    metered=st.booleans(),
)
def test_whatever_is_missing_the_truth_lies_between(kit_class, schedule, watts, metered):
    """Loads are steady here, so that held and estimated spans have only ignorance to cover."""
    kit = kit_class
    loads = [load(f"m{n}", 3_500.0) for n in range(4)]
    devices = [*loads, *([pdu("p")] if metered else [])]
    site = rack_site(*devices, budget_watts=20_000.0)
    truth = float(sum(watts))
    told = {f"m{n}": float(w) for n, w in enumerate(watts)} | {"p": truth}
    drive = kit.drive(site)
    for row, wait_s in schedule:
        for device, answer in zip(devices, row, strict=False):
            drive.give(device, (Reading(POWER, told[device.id]),) if answer == "truth" else answer)
        drive.run(wait_s, lambda device, at_s: None)
        view = drive.watch.view(kit.at(drive.now_s)).racks[0]
        assert view.draw.lo <= truth + 1e-6
        assert view.draw.hi >= truth - 1e-6
        if view.draw.best is not None:
            assert view.draw.lo <= view.draw.best <= view.draw.hi
        for item in view.judgements:
            assert item.value.lo <= truth + 1e-6
            if item.verdict is Verdict.OVER:
                assert truth > item.limit
    for _, batch in drive.batches:
        for reading in batch.readings:
            assert reading.value == reading.value
            assert abs(reading.value) < 1e12
            if reading.metric is POWER and batch.device.kind == "rack":
                assert reading.value == pytest.approx(truth)


@pytest.fixture(scope="module")
def kit_class():
    """The kit for hypothesis, which wants fixtures that outlive an example."""
    from keeld.model import Moment

    second = 1_000_000_000
    at = lambda at_s: Moment(1_760_000_000 * second + round(at_s * second), 5_000 * second + round(at_s * second))  # noqa: E731 - one line

    @dataclasses.dataclass
    class Small:
        site: Site

        def __post_init__(self):
            self.now_s = 0.0
            self.batches = []
            self.watch = Watch(self.site, {}, now=at(0))

        def give(self, device, answer):
            if answer is None:
                return
            now = at(self.now_s)
            outage = answer if isinstance(answer, Outage) else None
            readings = () if outage is not None else answer
            self.watch.feed(Batch(device, now.wall_ns, now.mono_ns, readings, outage=outage), now)

        def run(self, span_s, poll):
            end_s = self.now_s + span_s
            while (wake_s := self.watch.next_wake() / second - 5_000) <= end_s:
                self.now_s = max(self.now_s, wake_s)
                self.batches += [(self.now_s, batch) for batch in self.watch.tick(at(self.now_s)).batches]
            self.now_s = end_s

    class Kit:
        drive = Small

    Kit.at = staticmethod(at)
    return Kit

"""What would happen if a feed or a node died now, on a site that is being watched."""

from __future__ import annotations

import dataclasses
import time

import pytest

from keeld.budgets.aftermath import Survival
from keeld.errors import Outage
from keeld.metrics import POWER
from keeld.model import Cord, Device, Reading
from keeld.trees import PowerNode


def cases_after(kit, site, poll, *, span_s=400, rack=None):
    drive = kit.drive(site).run(span_s, poll)
    return {case.target_id: case for case in drive.watch.failover(kit.at(drive.now_s), rack)}


def survivor(case, node, constraint):
    return next(item for item in case.survivors if (item.node, item.constraint) == (node, constraint))


def with_devices(site, *devices, drop=()):
    kept = {name: device for name, device in site.devices.items() if name not in drop}
    return dataclasses.replace(site, devices=kept | {device.id: device for device in devices})


def uneven(kit, watts, share):
    """Every PDU carries `watts`; feed A's lines are loaded unevenly."""

    def poll(device, at_s):
        if device.kind != "pdu":
            return None
        return kit.pdu(watts, share=share if device.feed == "a" else (1.0, 1.0, 1.0))

    return poll


def test_the_hottest_line_of_the_survivor_is_named_with_its_percentage_and_base(kit):
    cases = cases_after(kit, kit.site(racks=2, miners=0), uneven(kit, 21_000.0, (0.9, 1.13, 0.97)))
    case = cases["r01/a"]
    amperes = 21_000.0 / (415.0 * 3**0.5)
    line = survivor(case, "b-r01", "current/L2")
    assert line.value.best == line.value.lo == line.value.hi == pytest.approx(amperes * 2.13)
    assert (line.limit, line.derate, line.survival) == (60.0, 0.8, Survival.WILL_TRIP)
    assert case.survivors[0] is line
    assert case.survival is Survival.WILL_TRIP
    assert case.text == "If feed A dies now, phase L2 of b-r01 goes to 104 % of its 60 A breaker and trips."
    assert survivor(case, "b-r01", "current/L1").value.best == pytest.approx(amperes * 1.9)
    assert survivor(case, "panel-b", "current/L2").value.best == pytest.approx(amperes * 3.13)
    assert survivor(case, "ups-b", "apparent_power").value.best == pytest.approx(63_000.0)
    assert "utility" not in {item.node for item in case.survivors}


@pytest.mark.parametrize(
    ("watts", "word", "says"),
    [
        (10_000.0, Survival.OK, "46 % of its 60 A breaker, the most of all"),
        (20_000.0, Survival.SURVIVABLE, "93 % of its 60 A breaker: it holds, but its 80 % rule"),
        (22_000.0, Survival.WILL_TRIP, "102 % of its 60 A breaker and trips"),
    ],
)
def test_a_survivor_holds_for_ever_or_for_a_while_or_trips(kit, watts, word, says):
    case = cases_after(kit, kit.site(racks=1, miners=0), kit.steady(watts))["r01/b"]
    assert case.survival is word
    assert says in case.text


def test_a_node_takes_all_its_feeds_along_and_its_miners_die(kit):
    cases = cases_after(kit, kit.site(), kit.steady(20_000.0))
    case = cases["panel-a"]
    assert case.racks == ("r01", "r02", "r03", "r21")
    assert (case.dead.best, len(case.dead_devices)) == (8 * 3300.0, 8)
    assert survivor(case, "panel-b", "current/L1").value.best == pytest.approx(120_000.0 / (415.0 * 3**0.5))
    assert survivor(case, "ups-b", "apparent_power").value.best == pytest.approx(120_000.0)
    assert {item.node for item in case.survivors} == {"b-r01", "b-r02", "b-r03", "panel-b", "ups-b"}
    assert "26.4 kW die with it (m-01," in case.text
    everything = cases["utility"]
    assert everything.survival is None
    assert everything.dead.best == pytest.approx(120_000.0 + 8 * 3300.0)
    assert everything.text.startswith("If utility dies now, nothing with a rating takes its load over. 146.4 kW die")
    assert "a-r01" not in cases  # what one feed hangs on alone is that feed's case
    assert cases["r21/a"].dead.best == pytest.approx(26_400.0)


def test_only_the_cases_of_a_rack_are_worked_out_for_it(kit):
    ids = set(cases_after(kit, kit.site(), kit.steady(), rack="r02"))
    assert ids == {"r02/a", "r02/b", "panel-a", "panel-b", "ups-a", "ups-b", "utility"}
    assert cases_after(kit, kit.site(), kit.steady(), rack="nowhere") == {}


def test_a_feed_that_nobody_measures_makes_it_doubtful_and_never_a_number(kit):
    site = kit.site(racks=1, miners=0, nameplate_watts=60_000.0)
    cases = cases_after(
        kit, site, lambda device, at_s: kit.pdu(15_000.0) if device.feed == "b" or at_s < 100 else Outage.TIMEOUT,
        span_s=2000,
    )  # fmt: skip
    case = cases["r01/a"]
    assert case.survival is Survival.CANT_TELL
    line = survivor(case, "b-r01", "current/L1")
    assert line.value.best is None
    assert line.value.lo == pytest.approx(15_000.0 / (415.0 * 3**0.5))
    assert line.value.hi > 60.0
    assert "CAN'T TELL whether it holds, no data from pdu-r01-a." in case.text
    assert "between 35 % and " in case.text


def test_machines_that_report_bound_two_feeds_without_meters(kit):
    site = kit.site(racks=1, miners=0)
    server = dataclasses.replace(
        site.devices["gpu-r01"], driver="nvml", kind="server", cords=(Cord("a", 3), Cord("b", 3)), psus_needed=4
    )
    site = with_devices(site, server, drop=("pdu-r01-a", "pdu-r01-b"))
    case = cases_after(kit, site, lambda device, at_s: (Reading(POWER, 9_000.0),))["r01/a"]
    taken = survivor(case, "b-r01", "apparent_power")
    assert (taken.value.best, taken.value.lo) == (9_000.0, 9_000.0)
    assert taken.value.hi == pytest.approx(10_000.0)  # at the lowest usual power factor
    assert taken.base == "60 A breaker, if its lines are balanced"
    assert case.degraded_devices == ("gpu-r01",)
    assert case.text.endswith("Left with too few power supplies for full power: gpu-r01.")


def test_what_has_one_cord_dies_and_loads_nobody(kit):
    single = Device(
        id="tape", site="s", kind="server", driver="nvml", address="x", rack="r01", feed="a", nameplate_watts=4e3
    )
    site = with_devices(kit.site(racks=1, miners=0), single)
    poll = lambda device, at_s: (Reading(POWER, 3_000.0),) if device.id == "tape" else kit.steady()(device, at_s)  # noqa: E731 - a poll in a line
    cases = cases_after(kit, site, poll)
    case = cases["r01/a"]
    assert case.dead_devices == ("tape",)
    assert (case.dead.lo, case.dead.best, case.dead.hi) == pytest.approx((2700.0, 3000.0, 3300.0))
    line = survivor(case, "b-r01", "current/L3").value
    full = 10_000.0 / (415.0 * 3**0.5)
    assert line.best == pytest.approx(full * 1.7)
    assert line.lo == pytest.approx(full)  # all of it may hang on this line
    assert line.hi == pytest.approx(2 * full)
    assert cases["r01/b"].dead.hi == 0.0


def test_a_dead_feed_takes_nothing_over(kit):
    site = kit.site(racks=1, miners=0)

    def poll(device, at_s):
        if device.kind != "pdu":
            return None
        if at_s < 300:
            return kit.pdu(10_000.0)
        return Outage.TIMEOUT if device.feed == "a" else kit.pdu(20_000.0)

    drive = kit.drive(site).run(400, poll)
    assert ("trigger", "feed_dead", "r01/a") in drive.notices
    cases = {case.target_id: case for case in drive.watch.failover(kit.at(drive.now_s))}
    assert "r01/a" not in cases
    assert cases["r01/b"].survivors == ()
    assert cases["r01/b"].dead.best == pytest.approx(20_000.0)  # what it carries now, not a mean over the failure


def test_losses_and_transformers_on_the_way_up(kit):
    site = kit.site(racks=1, miners=0)
    power = dict(site.power)
    power["ups-b"] = PowerNode(id="ups-b", parent="utility", limit_watts=21_000.0, efficiency=0.9)
    power["panel-b"] = dataclasses.replace(power["panel-b"], voltage_volts=480.0)
    case = cases_after(kit, dataclasses.replace(site, power=power), kit.steady())["r01/a"]
    assert survivor(case, "ups-b", "power").value.best == pytest.approx(20_000.0 / 0.9)
    assert survivor(case, "panel-b", "apparent_power").limit == pytest.approx(800.0 * 480.0 * 3**0.5)
    assert case.text == "If feed A dies now, ups-b goes to 106 % of its 21 kW limit and is overloaded."


def test_it_is_judged_on_means_and_not_on_the_last_sample(kit):
    poll = lambda device, at_s: kit.pdu(10_000.0 if at_s < 360 else 20_000.0) if device.kind == "pdu" else None  # noqa: E731 - a poll in a line
    case = cases_after(kit, kit.site(racks=1, miners=0), poll)["r01/a"]
    amperes = survivor(case, "b-r01", "current/L1").value.best * (415.0 * 3**0.5)
    assert 20_000.0 < amperes < 23_500.0


def test_two_hundred_racks_take_no_time_worth_naming(kit):
    drive = kit.drive(kit.site(racks=200, miners=0)).run(15, kit.steady())
    started = time.perf_counter()
    cases = tuple(drive.watch.failover(kit.at(drive.now_s)))
    assert time.perf_counter() - started < 1.0  # 0.1 s when nothing else runs
    assert len(cases) == 405

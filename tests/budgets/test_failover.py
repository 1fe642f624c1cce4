"""What the loss of feeds does to a rack: G07 and G08, and what holds for every rack."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeld.budgets.failover import add, cords_of, part, shift, sort_machines, supplies_left
from keeld.budgets.source import GOOD, SECOND_NS, UNKNOWN, Look, Value
from keeld.budgets.topology import build
from keeld.metrics import POWER
from keeld.model import Batch, Cord, Device, Rack, Reading, Site
from keeld.trees import PowerNode

NOW = 100 * SECOND_NS


def sure(watts: float) -> Value:
    return Value(watts, watts, watts, GOOD)


def plan_of(*devices: Device, feeds: str = "ab", redundancy: str = "2N", reports: dict | None = None):
    rack = Rack(id="r", feeds={letter: f"n-{letter}" for letter in feeds}, redundancy=redundancy)
    power = {f"n-{letter}": PowerNode(id=f"n-{letter}", breaker_amperes=30.0, voltage_volts=208.0) for letter in feeds}
    topology = build(Site(name="s", racks={"r": rack}, power=power, devices={device.id: device for device in devices}))
    for name, watts in (reports or {}).items():
        batch = Batch(topology.intakes[name].device, NOW, NOW, (Reading(POWER, watts),))
        topology.intakes[name].take(batch, NOW, 1)
    return topology.racks["r"]


def machine(name: str = "m", kind: str = "server", nameplate: float | None = 1e4, **facts) -> Device:
    return Device(
        id=name, site="s", kind=kind, driver="agent", address="", rack="r", nameplate_watts=nameplate, **facts
    )


def cords(**psus: int) -> tuple[Cord, ...]:
    return tuple(Cord(letter, count) for letter, count in psus.items())


@pytest.mark.parametrize(
    ("lost", "survivor", "kilowatts", "dead_kilowatts", "utilisation"),
    [("a", "b", 8.1, 1.0, 0.9368), ("b", "a", 9.1, 0.0, 1.0525)],
)
def test_g07_one_feed_takes_the_others_load_but_for_what_has_one_cord(
    lost, survivor, kilowatts, dead_kilowatts, utilisation
):
    plan = plan_of(machine("one", feed="a"), machine("two", cords=cords(a=1, b=1)), reports={"one": 1000.0})
    draws = {"a": sure(4900.0), "b": sure(4200.0)}
    moved = shift(part(plan, frozenset(lost)), draws, Look(NOW))
    after = draws[survivor].best + moved.gains[survivor].best
    assert after == pytest.approx(kilowatts * 1000)
    assert moved.dead.best == pytest.approx(dead_kilowatts * 1000)
    assert after / 8646.4 == pytest.approx(utilisation, rel=1e-3)


@pytest.mark.parametrize(
    ("supplies", "left", "is_degraded"), [({"a": 3, "b": 3}, 3, True), ({"a": 2, "b": 2, "c": 2}, 4, False)]
)
def test_g08_six_supplies_of_which_four_are_needed(supplies, left, is_degraded):
    plan = plan_of(machine(cords=cords(**supplies), psus_needed=4), feeds="".join(supplies))
    assert supplies_left(cords_of(plan.loads[0], plan), frozenset("a")) == left
    assert bool(sort_machines(plan, frozenset("a")).degraded) is is_degraded


def test_three_feeds_share_by_the_supplies_that_are_left():
    plan = plan_of(machine(cords=cords(a=2, b=3, c=1)), feeds="abc")
    moved = shift(part(plan, frozenset("a")), dict.fromkeys("abc", sure(4000.0)), Look(NOW))
    assert moved.gains == {"b": sure(3000.0), "c": sure(1000.0)}
    everything = shift(part(plan, frozenset("ab")), dict.fromkeys("abc", sure(4000.0)), Look(NOW))
    assert everything.gains == {"c": sure(8000.0)}


def test_a_miner_dies_with_its_feed_and_one_of_an_unknown_feed_may():
    plan = plan_of(machine(kind="miner", feed="a"), redundancy="N")
    moved = shift(part(plan, frozenset("a")), {"a": sure(3500.0), "b": sure(0.0)}, Look(NOW))
    assert (moved.dead, moved.gains["b"]) == (sure(3500.0), sure(0.0))
    plan = plan_of(machine(kind="miner"), reports={"m": 3000.0})
    moved = shift(part(plan, frozenset("a")), {"a": sure(3500.0), "b": sure(0.0)}, Look(NOW))
    assert moved.dead == Value(0.0, None, 3000.0, GOOD)
    assert moved.gains["b"] == Value(500.0, None, 3500.0, GOOD)


def test_without_redundancy_and_without_machines_nothing_likely_is_said():
    moved = shift(part(plan_of(redundancy="N"), frozenset("a")), {"a": sure(3500.0), "b": sure(10.0)}, Look(NOW))
    assert moved.dead == moved.gains["b"] == Value(0.0, None, 3500.0, GOOD)
    declared = shift(part(plan_of(redundancy="2N"), frozenset("a")), {"a": sure(3500.0), "b": sure(10.0)}, Look(NOW))
    assert (declared.dead, declared.gains["b"]) == (sure(0.0), sure(3500.0))


def test_the_last_feed_takes_everything_with_it():
    plan = plan_of(machine(cords=cords(a=1, b=1)))
    parting = part(plan, frozenset("b"), frozenset("a"))
    moved = shift(parting, {"a": sure(10.0), "b": sure(4200.0)}, Look(NOW))
    assert (moved.dead, moved.gains) == (sure(4200.0), {})
    assert [load.intake.device.id for load in parting.machines.dying] == ["m"]


def test_a_feed_that_nothing_measures_gives_a_range_and_never_a_number():
    plan = plan_of(machine(cords=cords(a=1, b=1)))
    moved = shift(part(plan, frozenset("a")), {"a": Value(0.0, None, 6000.0, UNKNOWN), "b": sure(4200.0)}, Look(NOW))
    assert moved.gains["b"] == Value(0.0, None, 6000.0, UNKNOWN)


watts = st.floats(0.0, 1e5)
spans = st.one_of(
    watts.map(sure), st.tuples(watts, watts).map(lambda ends: Value(min(ends), sum(ends) / 2, max(ends), GOOD))
)
racks = st.lists(
    st.tuples(
        st.sampled_from(["server", "miner"]),
        st.sampled_from([None, "a", "b", "c"]),
        st.dictionaries(st.sampled_from("abc"), st.integers(1, 3), max_size=3),
        st.one_of(st.none(), watts),
    ),
    max_size=5,
)


@given(racks, st.tuples(spans, spans, spans), st.sampled_from(["a", "b", "ab", "ac", "abc"]), st.sampled_from("N2"))
def test_nothing_is_lost_between_what_dies_and_what_moves(machines, carried, lost, redundancy):
    devices = [
        machine(f"m{at}", kind, feed=None if supplies else feed, cords=cords(**supplies))
        for at, (kind, feed, supplies, _) in enumerate(machines)
    ]
    reports = {f"m{at}": report for at, (*_, report) in enumerate(machines) if report is not None}
    plan = plan_of(*devices, feeds="abc", redundancy="N" if redundancy == "N" else "2N", reports=reports)
    draws = dict(zip("abc", carried, strict=True))
    moved = shift(part(plan, frozenset(lost)), draws, Look(NOW))
    before = add(draws.values())
    after = add([moved.dead, *moved.gains.values(), *(draws[letter] for letter in moved.gains)])
    room = 1e-6 * (1.0 + before.hi)
    assert after.lo <= before.hi + room  # what is known of the machines may tell more than the meters
    assert after.hi >= before.hi - room
    for value in (moved.dead, *moved.gains.values()):
        assert 0.0 <= value.lo <= value.hi + room
        assert value.hi <= moved.carried.hi + room
        assert value.best is None or value.lo - room <= value.best <= value.hi + room
    if after.best is not None and before.lo == before.hi:
        assert after.best == pytest.approx(before.best, abs=max(room, abs(before.hi) * 1e-6))


@given(spans, st.floats(0.0, 1e4))
def test_more_load_on_a_dying_feed_never_means_less_on_the_survivor(carried, more):
    plan = plan_of(machine("one", feed="a"), machine("two", cords=cords(a=1, b=1)), reports={"one": 1000.0})
    parting = part(plan, frozenset("a"))
    heavier = Value(carried.lo + more, carried.best + more, carried.hi + more, GOOD)
    light = shift(parting, {"a": carried, "b": sure(1.0)}, Look(NOW)).gains["b"]
    heavy = shift(parting, {"a": heavier, "b": sure(1.0)}, Look(NOW)).gains["b"]
    assert heavy.hi >= light.hi - 1e-6
    assert heavy.lo >= light.lo - 1e-6
    assert heavy.best >= light.best - 1e-6

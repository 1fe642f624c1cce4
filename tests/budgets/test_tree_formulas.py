from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeld.budgets.apparent import Reactive, add_reactive, apparent, assumed_reactive
from keeld.budgets.electrical import delta_line_amperes, mixed_line_amperes, neutral_amperes, vars_at
from keeld.budgets.headroom import Bound, current_capacity, measured_power_factor, shares_below, tightest
from keeld.budgets.joins import join_of
from keeld.budgets.limits import (
    breaker_base,
    ceiling_watts,
    effective_amperes,
    kind_of,
    neutral_rating_amperes,
    parents_of,
    source_limit,
)
from keeld.budgets.lines import computed_neutral
from keeld.budgets.ratios import diversity_ratio, oversubscription_ratio
from keeld.budgets.residual import add_parts, measured, residual
from keeld.budgets.source import GOOD, UNKNOWN, Value
from keeld.budgets.unbalance import unbalance_of
from keeld.model import Interval
from keeld.trees import PowerNode, PowerSource

amps = st.floats(0.0, 1000.0)
watts = st.floats(0.0, 5e6)


@given(one=amps, two=amps, three=amps)
def test_loads_between_lines_add_up_as_in_a_delta(one: float, two: float, three: float):
    first, second, third = delta_line_amperes(one, two, three)
    assert mixed_line_amperes(0.0, one, three) == pytest.approx(first, abs=1e-6)
    assert mixed_line_amperes(0.0, two, one) == pytest.approx(second, abs=1e-6)
    assert mixed_line_amperes(0.0, three, two) == pytest.approx(third, abs=1e-6)


@given(neutral=amps, one=amps, two=amps, more=st.floats(0.0, 100.0))
def test_adding_load_never_lowers_a_line(neutral: float, one: float, two: float, more: float):
    before = mixed_line_amperes(neutral, one, two)
    for after in ((neutral + more, one, two), (neutral, one + more, two), (neutral, one, two + more)):
        assert mixed_line_amperes(*after) >= before - 1e-9
    assert before <= neutral + one + two + 1e-9


@given(lines=st.tuples(*[st.tuples(amps, st.floats(0.0, 50.0), st.floats(0.0, 1.0))] * 3))
def test_a_computed_neutral_holds_the_truth(lines):
    truth = neutral_amperes(tuple(lo + width * at for lo, width, at in lines))
    found = computed_neutral(Value(lo, lo + width / 2, lo + width, GOOD) for lo, width, _ in lines)
    assert found is not None
    assert found.lo - 1e-6 <= truth <= found.hi + 1e-6


def test_a_neutral_is_not_computed_from_what_is_not_measured():
    good, gone = Value(10.0, 10.0, 10.0, GOOD), Value(0.0, 5.0, 60.0, UNKNOWN)
    assert computed_neutral([good, good, gone]) is None
    assert computed_neutral([good, good, None]) is None


def _exact(value: float) -> Interval:
    return Interval(value, value, value)


def _reactive(value: float) -> Reactive:
    return Reactive(Value(value, value, value, GOOD), is_assumed=False)


def test_unlike_power_factors_add_as_vectors():
    total = add_reactive([_reactive(vars_at(60e3, 0.98)), _reactive(vars_at(40e3, 0.80))])
    found = apparent(_exact(100e3), total)
    assert found.best == pytest.approx(108_533.2, rel=1e-5)
    assert found.best < 111_224.5


def test_capacitive_and_inductive_loads_cancel():
    assert apparent(_exact(100e3), add_reactive([_reactive(30e3), _reactive(-30e3)])).best == 100e3


@given(lo=watts, width=watts, at=st.floats(0.0, 1.0), factor=st.floats(0.9, 1.0))
def test_an_assumed_power_factor_bounds_the_truth(lo: float, width: float, at: float, factor: float):
    truth = lo + width * at
    draw = Interval(lo, None, lo + width)
    found = apparent(draw, assumed_reactive(draw))
    assert found.lo <= truth / factor * (1 + 1e-9)
    assert truth / factor <= found.hi * (1 + 1e-9)
    assert found.best is None


@given(parts=st.lists(watts, min_size=1, max_size=20), unknown=watts, ratio=st.floats(0.5, 1.0))
def test_children_and_what_is_left_are_the_meter(parts: list[float], unknown: float, ratio: float):
    meter = sum(parts) / ratio + unknown
    left = residual(measured(meter, 0.01), [measured(part, 0.01) for part in parts], ratio)
    assert sum(parts) / ratio + left.watts == pytest.approx(meter)
    assert left.error_watts >= 0.01 * meter - 1e-6


def test_one_percent_of_two_megawatts_is_a_rack():
    racks = [measured(20e3, 0.01)] * 100
    assert residual(measured(2.018e6, 0.01), racks).is_noise
    assert not residual(measured(2.018e6, 0.002), racks).is_noise
    assert math.sqrt(add_parts(racks).error_squared) == pytest.approx(2000.0)


@given(st.lists(st.tuples(amps, st.floats(0.0, 20.0), st.floats(0.0, 1.0)), min_size=3, max_size=3))
def test_unbalance_holds_the_truth(lines):
    found = unbalance_of([(lo, None, lo + width) for lo, width, _ in lines])
    truth = [lo + width * at for lo, width, at in lines]
    mean = sum(truth) / 3
    if found is None or not mean:
        return
    ratio = max(abs(value - mean) for value in truth) / mean
    assert found.lo - 1e-9 <= ratio <= found.hi + 1e-9
    assert found.lo <= found.best <= found.hi


def test_unbalance_names_the_line():
    found = unbalance_of([(45.0, 45.0, 45.0), (38.0, 38.0, 38.0), (52.0, 52.0, 52.0)])
    assert (round(found.best, 6), found.phase) == (0.155556, "L2")
    assert unbalance_of([(0.0, None, 5.0)] * 3) is None


ATS = PowerNode(
    id="ats",
    parent="utility",
    sources={"utility": PowerSource(3e6), "generator": PowerSource(1e6, "genset")},
)


def test_the_source_in_use_sets_the_limit():
    assert source_limit(ATS, "utility").least_watts == 3e6
    assert source_limit(ATS, "generator").least_watts == 1e6
    assert source_limit(ATS, None).least_watts == 3e6
    unknown = source_limit(ATS, None, is_told=False)
    assert (unknown.least_watts, unknown.most_watts) == (1e6, 3e6)
    assert source_limit(PowerNode(id="n"), None) is None


def test_any_of_the_parents_may_feed_a_node():
    power = {
        "utility": PowerNode(id="utility", limit_watts=5e6),
        "genset": PowerNode(id="genset", limit_watts=8e5),
        "ats": ATS,
        "panel": PowerNode(id="panel", parent="ats", limit_watts=4e6),
    }
    assert parents_of(ATS) == ("utility", "genset")
    assert ceiling_watts("panel", power) == 3e6


def test_base_words_name_whose_ambient_counts():
    node = PowerNode(
        id="n", breaker_amperes=60.0, breaker_kind="thermal_40c", ambient_celsius=30.0, ambient_device="t-1"
    )
    assert breaker_base(node, 55.0) == "60 A breaker x 0.87 environment at 55 °C measured"
    assert breaker_base(node) == "60 A breaker x 1.00 environment at 30 °C configured: t-1 is silent"
    assert effective_amperes(node, 55.0) == pytest.approx(60.0 * math.sqrt(0.75))
    bare = PowerNode(id="n", breaker_amperes=60.0, breaker_kind="thermal_40c", ambient_device="t-1")
    assert "not known: t-1 is silent" in breaker_base(bare)
    assert effective_amperes(bare) == 60.0


@pytest.mark.parametrize(
    ("node", "kind"),
    [
        (PowerNode(id="ups-a", parent="u"), "ups"),
        (PowerNode(id="gen1", parent="u"), "generator"),
        (PowerNode(id="q7", parent="u", limit_volt_amperes=1e6), "transformer"),
        (PowerNode(id="a3-12", parent="panel"), "breaker"),
        (PowerNode(id="north"), "utility"),
        (PowerNode(id="panel-1", kind="ups"), "ups"),
    ],
)
def test_what_a_node_is(node: PowerNode, kind: str):
    assert kind_of(node) == kind


def test_a_delta_has_no_neutral():
    wye = PowerNode(id="n", phases=3, breaker_amperes=60.0)
    assert neutral_rating_amperes(wye) == 60.0
    assert neutral_rating_amperes(PowerNode(id="n", phases=3, breaker_amperes=60.0, neutral_amperes=80.0)) == 80.0
    assert neutral_rating_amperes(PowerNode(id="n", phases=3, breaker_amperes=60.0, wiring="delta")) is None
    assert neutral_rating_amperes(PowerNode(id="n", breaker_amperes=60.0)) is None


def test_how_circuits_hang_on_one_another():
    panel = PowerNode(id="p", voltage_volts=415.0, phases=3)
    assert join_of(PowerNode(id="c", voltage_volts=415.0, phases=3), panel).lines == ()
    assert join_of(PowerNode(id="c", voltage_volts=240.0, lines=("L2",)), panel) == (("L2",), 1.0, False)
    assert join_of(PowerNode(id="c", voltage_volts=415.0, lines=("L1", "L2")), panel) == (("L1", "L2"), 1.0, False)
    assert join_of(PowerNode(id="c", voltage_volts=240.0), panel) is None
    assert join_of(PowerNode(id="c", voltage_volts=11_000.0, phases=3), panel).is_transformed
    assert join_of(PowerNode(id="c", voltage_volts=54.0, is_direct_current=True), panel).is_transformed


def test_ratios():
    assert diversity_ratio([30.0, 40.0], 50.0) == 1.4
    assert diversity_ratio([30.0], 31.0) == 1.0
    assert diversity_ratio([30.0], 0.0) is None
    assert oversubscription_ratio([60.0, 90.0], 100.0) == 1.5


def test_a_hot_line_binds_before_the_others():
    node = PowerNode(id="n", breaker_amperes=60.0, voltage_volts=415.0, phases=3)
    even = current_capacity(
        node, rating_amperes=60.0, hottest_amperes=24.0, mean_amperes=24.0, power_factor=1.0, base="60 A breaker"
    )
    assert even.free_watts == pytest.approx(24.0 * 415 * math.sqrt(3))
    hot = current_capacity(
        node, rating_amperes=60.0, hottest_amperes=36.0, mean_amperes=24.0, power_factor=1.0, base="60 A breaker"
    )
    assert hot.free_watts == pytest.approx(12.0 * 415 * math.sqrt(3) / 1.5)
    assert measured_power_factor(node, 16_400.0, [24.0, 24.0, 24.0]) == pytest.approx(0.9507, abs=1e-3)


def test_added_load_is_carried_by_what_is_left():
    feeds = {"a": ("a-r1", "utility"), "b": ("b-r1", "utility")}
    assert shares_below(feeds) == {"a-r1": 0.5, "b-r1": 0.5, "utility": 1.0}
    assert shares_below(feeds, frozenset("a")) == {"b-r1": 1.0, "utility": 1.0}
    assert shares_below(feeds, frozenset("ab")) == {}


def test_the_tightest_room_comes_first():
    rooms = tightest(
        [
            Bound("power", "r", 5.0, "budget"),
            Bound("failover", "n", 3.0, "x", "m"),
            Bound("failover", "n", 2.0, "y", "m"),
        ]
    )
    assert [(room.target, room.watts, room.base) for room in rooms] == [
        ("n", 2.0, "y, after the loss of m"),
        ("r", 5.0, "budget"),
    ]

"""Golden vectors G01 to G06 and G09 to G13 of the electrical formulas, and what must hold for every load."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeld.budgets import electrical

VECTORS = json.loads((Path(__file__).parents[1] / "golden" / "electrical.json").read_text())
currents = st.floats(0.0, 1e4)


def continuous(amperes, derate, volts, phases, power_factor):
    allowed = electrical.continuous_amperes(amperes, derate)
    apparent = electrical.volt_amperes(allowed, volts, phases)
    return {"amperes": allowed, "volt_amperes": apparent, "watts": apparent * power_factor}


def share(amperes, derate, feeds, spare):
    part = electrical.share_of(feeds, spare)
    allowed = electrical.continuous_amperes(amperes, derate, part)
    after = allowed * feeds / (feeds - spare)
    return {"amperes": allowed, "of_nameplate": allowed / amperes, "after_one_loss_amperes": after}


def triangle(watts, power_factor, volts, phases):
    power = electrical.power_of(watts, power_factor)
    amperes = electrical.line_amperes(power.volt_amperes, volts, phases)
    return {"volt_amperes": power.volt_amperes, "vars": power.vars, "amperes": amperes}


def summed(loads):
    power = electrical.sum_power(electrical.power_of(*load) for load in loads)
    return {"watts": power.watts, "vars": power.vars, "volt_amperes": power.volt_amperes}


FORMULAS = {
    "continuous": lambda given: continuous(**given),
    "least_breaker": lambda given: {"amperes": electrical.least_breaker_amperes(**given)},
    "share": lambda given: share(**given),
    "delta": lambda given: [list(electrical.delta_line_amperes(*loads)) for loads in given],
    "neutral": lambda given: [electrical.neutral_amperes(tuple(lines), harmonic) for lines, harmonic in given],
    "unbalance": lambda given: [electrical.unbalance_ratio(values, floor) for values, floor in given],
    "triangle": lambda given: triangle(**given),
    "sum": summed,
}


def flat(form):
    """Give the figures of a vector one by one, each with where it stands."""
    if isinstance(form, dict):
        form = list(form.items())
        return [(f"{name}{place}", value) for name, part in form for place, value in flat(part)]
    if isinstance(form, list):
        return [(f"[{at}]{place}", value) for at, part in enumerate(form) for place, value in flat(part)]
    return [("", form)]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_golden(vector):
    found, expected = flat(FORMULAS[vector["formula"]](vector["input"])), flat(vector["expect"])
    assert [place for place, _ in found] == [place for place, _ in expected]
    for (place, value), (_, wanted) in zip(found, expected, strict=True):
        assert value == (None if wanted is None else pytest.approx(wanted, rel=1e-3, abs=1e-6)), place


@given(currents, currents, currents)
def test_lines_of_a_delta_carry_at_least_each_load_and_at_most_their_sum(l1_l2, l2_l3, l3_l1):
    first, second, third = electrical.delta_line_amperes(l1_l2, l2_l3, l3_l1)
    for line, pair in ((first, (l3_l1, l1_l2)), (second, (l1_l2, l2_l3)), (third, (l2_l3, l3_l1))):
        assert max(pair) - 1e-6 <= line <= sum(pair) + 1e-6


@given(currents, currents, currents)
def test_a_neutral_carries_at_most_the_hottest_line(first, second, third):
    assert -1e-6 <= electrical.neutral_amperes((first, second, third)) <= max(first, second, third) + 1e-6


@given(st.lists(st.tuples(st.floats(1.0, 1e6), st.floats(0.3, 1.0)), min_size=1, max_size=6))
def test_a_sum_of_unlike_loads_is_never_more_than_the_sum_of_their_apparent_powers(loads):
    parts = [electrical.power_of(*load) for load in loads]
    whole = electrical.sum_power(parts)
    assert whole.watts <= whole.volt_amperes <= sum(part.volt_amperes for part in parts) * (1 + 1e-9)


@given(st.floats(0.0, 1e4), st.floats(1.0, 1e4), st.sampled_from([1, 2, 3]))
def test_current_and_apparent_power_are_each_others_inverse(amperes, volts, phases):
    apparent = electrical.volt_amperes(amperes, volts, phases)
    assert electrical.line_amperes(apparent, volts, phases) == pytest.approx(amperes, rel=1e-9)

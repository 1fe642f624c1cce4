import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeld.simulate.electrical import (
    LINE_TO_LINE,
    LINE_TO_NEUTRAL,
    THREE_PHASE,
    line_currents,
    neutral_current,
    power_of,
    supply_input_watts,
    supply_output_watts,
    wiring_of,
)


def lines_of(*loads):
    lines = [0j, 0j, 0j]
    for power, wiring in loads:
        lines = [line + power * share for line, share in zip(lines, wiring, strict=True)]
    return lines


@pytest.mark.parametrize(("load", "efficiency"), [(0.1, 0.926), (0.5, 0.961), (1.0, 0.956)])
def test_supply_is_best_at_half_load(load, efficiency):
    assert load * 1000 / supply_input_watts(load * 1000, 1000) == pytest.approx(efficiency, abs=0.001)


@given(st.floats(0, 3000))
def test_output_of_a_supply_undoes_its_input(output_watts):
    assert supply_output_watts(supply_input_watts(output_watts, 2000), 2000) == pytest.approx(output_watts, abs=1e-6)


def test_a_supply_gives_nothing_from_less_than_its_own_loss():
    assert supply_output_watts(5, 2000) == 0


@pytest.mark.parametrize("wiring", [*LINE_TO_LINE, *LINE_TO_NEUTRAL, THREE_PHASE])
def test_all_of_a_load_falls_on_the_lines(wiring):
    assert sum(wiring) == pytest.approx(1)


# Vectors G09 of the golden set: currents between the lines, unity power factor, 208 V.
@pytest.mark.parametrize(
    ("between", "expected"),
    [
        ((10, 10, 10), (17.3205, 17.3205, 17.3205)),
        ((10, 0, 0), (10, 10, 0)),
        ((12, 8, 4), (14.4222, 17.4356, 10.5830)),
    ],
)
def test_line_currents_of_delta_loads(between, expected):
    lines = lines_of(*((amperes * 208 + 0j, wiring) for amperes, wiring in zip(between, LINE_TO_LINE, strict=True)))
    assert line_currents(lines, 208 / math.sqrt(3)) == pytest.approx(expected, rel=1e-4, abs=1e-9)


# G10: neutral of a wye without harmonics.
@pytest.mark.parametrize(("phases", "expected"), [((20, 20, 20), 0), ((20, 10, 5), 13.2288)])
def test_neutral_current_of_wye_loads(phases, expected):
    lines = lines_of(*((amperes * 240 + 0j, wiring) for amperes, wiring in zip(phases, LINE_TO_NEUTRAL, strict=True)))
    assert neutral_current(lines, 240) == pytest.approx(expected, rel=1e-4, abs=1e-9)


def test_delta_loads_put_nothing_on_the_neutral():
    lines = lines_of((5000 + 1000j, LINE_TO_LINE[0]), (800 + 0j, LINE_TO_LINE[2]))
    assert neutral_current(lines, 120) == pytest.approx(0, abs=1e-9)


def test_no_voltage_no_current():
    assert line_currents([1 + 0j] * 3, 0) == (0, 0, 0)
    assert neutral_current([1 + 0j] * 3, 0) == 0


def test_power_factor_makes_reactive_power():
    assert power_of(100e3, 0.95) == pytest.approx(100e3 + 32868.4j, rel=1e-5)


def test_miners_are_wired_where_they_get_their_volts():
    assert [wiring_of(n, 3, 240) for n in range(4)] == [*LINE_TO_NEUTRAL, LINE_TO_NEUTRAL[0]]
    assert wiring_of(1, 3, 120) == LINE_TO_LINE[1]
    assert wiring_of(5, 1, 240) == LINE_TO_NEUTRAL[0]

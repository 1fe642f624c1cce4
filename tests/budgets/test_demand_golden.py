from __future__ import annotations

import json
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from keeld.budgets.breaker_heat import trip_estimate_s, warmed
from keeld.budgets.counter import step_error_ratio
from keeld.budgets.demand import DemandMeter
from keeld.budgets.effectiveness import Effectiveness, per_it_energy
from keeld.budgets.energy import Load

VECTORS = json.loads((Path(__file__).parents[1] / "golden" / "demand.json").read_text())
UTC = ZoneInfo("UTC")
HOUR_0_S = 1_760_000_400 // 3600 * 3600


def even(watts: float) -> Load:
    return Load(watts, watts, watts, is_measured=True)


def demand(watts, each_s, interval_s, step_s):
    meter = DemandMeter(interval_s=interval_s, step_s=step_s, zone=UTC, ceiling_watts=20e6)
    found, end_s = [], HOUR_0_S
    for level in [*watts, 0.0]:
        for _ in range(each_s // 10):
            end_s += 10
            found += meter.add(even(level), end_s=end_s, span_s=10)
    assert not any(each.is_estimated for each in found)
    assert all(each.lo == pytest.approx(each.best) == pytest.approx(each.hi) for each in found)
    return [each.best for each in found]


def projection(limit_watts, watts, elapsed_s, interval_s):
    meter = DemandMeter(interval_s=interval_s, step_s=interval_s, zone=UTC, ceiling_watts=20e6)
    end_s = HOUR_0_S
    for _ in range(elapsed_s // 10):
        end_s += 10
        meter.add(even(watts), end_s=end_s, span_s=10)
    return meter.projection(even(watts), time_s=end_s, limit_watts=limit_watts)


def pue(site, it):
    hours = Effectiveness(UTC)
    end_s = HOUR_0_S
    for site_watts, it_watts in [*zip(site, it, strict=True), (1.0, 1.0)]:
        for _ in range(360):
            end_s += 10
            hours.add(even(site_watts), even(it_watts), end_s=end_s, span_s=10)
    hours.add(even(1.0), even(1.0), end_s=end_s + 10, span_s=10)
    hours._hours.pop()
    return hours.ratio(len(site))


def heat_after(ratios, shares):
    """Long after a fast swing began, heat is the mean square."""
    heat = 0.0
    for _ in range(20_000):
        for ratio, share in zip(ratios, shares, strict=True):
            heat = warmed(heat, ratio**2, 0.1 * share)
    return heat**0.5


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['id']}-{vector['formula']}")
def test_golden(vector):
    given, expect = vector["input"], vector["expect"]
    match vector["formula"]:
        case "per_it_energy":
            assert per_it_energy(**given) == pytest.approx(expect)
        case "pue":
            assert pue(**given) == pytest.approx(expect, rel=1e-4)
        case "demand":
            assert demand(**given) == pytest.approx(expect, rel=1e-6)
        case "projection":
            made = projection(**given)._asdict()
            assert {name: made[name] for name in expect} == pytest.approx(expect)
        case "step_error":
            assert step_error_ratio(**given) == pytest.approx(expect)
        case "trip":
            found = trip_estimate_s(given["preload"] ** 2, given["load_ratio"])
            assert found == (None if expect is None else pytest.approx(expect, rel=1e-4))
        case "rms":
            assert heat_after(**given) == pytest.approx(expect, rel=1e-3)
        case _:
            pytest.fail("a vector that nothing computes")

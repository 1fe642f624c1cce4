"""The catalogue's grammar: a quantity's name ends in its unit, in Prometheus' base units."""

from __future__ import annotations

import re

import pytest

from keeld.metrics import CATALOGUE, Kind

UNITS = (
    "watts", "volt_amperes", "vars", "amperes", "volts", "hertz", "ratio", "watt_hours", "celsius", "pascals",
    "litres_per_minute", "rpm", "hashes_per_second", "seconds", "bytes", "lanes", "errors",
)  # fmt: skip
COUNTS = {
    "boards_found", "boards_expected", "chips_found", "accelerators_found", "links_up", "pools_alive",
    "shares_accepted", "shares_rejected", "pcie_replays",
}  # fmt: skip
FLAGS = {"up", "xid", "rows_remap_pending", "rows_remap_failed"}
STATES = re.compile(r"\w+_(state|alarm|action|reason)")
NO_BASE_UNIT = re.compile(
    r"(^|_)(percent|kw|kwh|kva|milli\w*|kilo\w*|mega\w*|minutes|hours|ms|psi|bar|fahrenheit|ths)(_|$)"
)


@pytest.mark.parametrize("metric", CATALOGUE.values(), ids=str)
def test_a_name_says_its_unit(metric):
    assert re.fullmatch(r"[a-z][a-z0-9_]*[a-z0-9]", metric.name)
    if metric.kind is Kind.ENUM:
        assert STATES.fullmatch(metric.name)
        assert metric.states
    elif metric.name not in COUNTS | FLAGS:
        assert metric.name.endswith(tuple(f"_{unit}" for unit in UNITS))
    bare = metric.name.removesuffix("_watt_hours").removesuffix("_litres_per_minute")
    assert not NO_BASE_UNIT.search(bare)


@pytest.mark.parametrize("metric", CATALOGUE.values(), ids=str)
def test_a_metric_is_explained(metric):
    assert CATALOGUE[metric.name] is metric
    assert len(metric.help) > 3
    assert not metric.help.endswith(".")
    assert len(set(metric.states.values())) == len(metric.states)


def test_the_exceptions_still_exist():
    assert (COUNTS | FLAGS) - CATALOGUE.keys() == set()

"""From a worker's answer to readings: what is measured, what is left out, and never an error of another kind."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeld.drivers import nvidia
from keeld.errors import Outage, PollError
from keeld.metrics import CATALOGUE
from keeld.model import Group
from keeld.workers.nvml_questions import TIERS


def decoded(group: Group = Group.FAST, **values: Any) -> dict[str, float]:
    answer = nvidia.decode({"count": 1, "gpus": [{"rank": 0, "values": values}]}, group)
    return {
        f"{r.metric.name}/{r.part}": r.value
        for r in answer.readings
        if r.metric.name not in {"up", "accelerators_found"}
    }


def test_average_power_is_preferred_and_never_replaced_for_one_poll() -> None:
    assert decoded(power_average_mw=629450, power_instant_mw=588390) == {"power_watts/gpu/0": 629.45}
    assert decoded(power_average_mw=None, power_instant_mw=588390) == {}
    assert decoded(power_instant_mw=588390, power_usage_mw=1) == {"power_watts/gpu/0": 588.39}
    assert decoded(power_usage_mw=75000) == {"power_watts/gpu/0": 75}


@pytest.mark.parametrize("raw", [0, -1, 0xFFFFFFFF, True, "640", [640], None, 1e300])
def test_what_is_no_power_is_left_out(raw: object) -> None:
    assert decoded(power_average_mw=raw) == {}


def test_thermal_counters_add_up_only_when_all_are_there() -> None:
    name = "throttle_thermal_seconds/gpu/0"
    old = {"throttle_thermal_policy_ns": 9_000_000_000}
    assert decoded(throttle_thermal_software_ns=3e9, throttle_thermal_hardware_ns=1e9, **old) == {name: 4}
    assert decoded(throttle_thermal_software_ns=None, throttle_thermal_hardware_ns=1e9, **old) == {}
    assert decoded(throttle_thermal_hardware_ns=1e9, **old) == {name: 1}
    assert decoded(**old) == {name: 9}
    assert decoded(throttle_thermal_policy_ns=-1) == {}


def test_units() -> None:
    assert decoded(energy_mj=3_600_000, clock_mhz=1755, utilisation_percent=100, memory_temperature_c=95) == {
        "energy_watt_hours/gpu/0": 1,
        "clock_hertz/gpu/0": 1.755e9,
        "utilisation_ratio/gpu/0": 1,
        "temperature_celsius/gpu/0/memory": 95,
    }


def test_out_of_range_is_left_out() -> None:
    assert decoded(utilisation_percent=101, temperature_c=255, pcie_width_lanes=0, links_up=-1) == {}
    assert decoded(recovery_action=99) == {}


def test_fans_are_bounded() -> None:
    assert len(decoded(fans_percent=[50] * 1000)) == 16
    assert decoded(fans_percent="50") == {}


def test_a_dead_gpu_among_living_is_partial() -> None:
    dead = {"rank": 1, "failed": 8, "words": "Insufficient External Power\x1b[2J", "xids": [54]}
    answer = nvidia.decode({"count": 2, "gpus": [{"rank": 0, "values": {}}, dead]}, Group.FAST)
    assert answer.outage is Outage.PARTIAL
    assert answer.detail == "1 of 2 GPUs failed: gpu/1 (Insufficient External Power [2J, XID 54)"
    assert {(r.metric.name, r.value, r.part) for r in answer.readings} == {
        ("up", 1, "gpu/0"),
        ("up", 0, "gpu/1"),
        ("outage_reason", Outage.UNIT_DOWN.code, "gpu/1"),
        ("xid", 54, "gpu/1"),
        ("accelerators_found", 2, ""),
    }


def test_no_number_is_made_for_the_whole_node() -> None:
    gpus = [{"rank": rank, "values": {"power_average_mw": 500_000}} for rank in range(8)]
    answer = nvidia.decode({"count": 8, "gpus": gpus}, Group.FAST)
    assert [r.metric.name for r in answer.readings if r.part == ""] == ["accelerators_found"]


@pytest.mark.parametrize(
    ("xids", "told"), [([79, 31], 79), ([31, 13], 13), ([], None), ([0, -1, "79", True, 1e9], None), ("79", None)]
)
def test_the_gravest_xid_is_told(xids: object, told: int | None) -> None:
    answer = nvidia.decode({"gpus": [{"rank": 0, "values": {}, "xids": xids}]}, Group.FAST)
    assert [r.value for r in answer.readings if r.metric.name == "xid"] == ([told] if told else [])


@pytest.mark.parametrize(
    ("answer", "outage"),
    [
        ({}, Outage.GARBLED),
        ({"gpus": None}, Outage.GARBLED),
        ({"gpus": [None]}, Outage.GARBLED),
        ({"gpus": [{"rank": 1, "values": {}}]}, Outage.GARBLED),
        ({"gpus": [{"rank": 0, "values": 7}]}, Outage.GARBLED),
        ({"gpus": [{"rank": rank, "values": {}} for rank in range(65)]}, Outage.GARBLED),
        ({"gpus": []}, Outage.LOST),
        ({"gpus": [{"rank": 0, "failed": [15]}]}, Outage.LOST),
    ],
)
def test_an_answer_of_another_shape_is_an_outage(answer: dict[str, Any], outage: Outage) -> None:
    with pytest.raises(PollError) as caught:
        nvidia.decode(answer, Group.FAST)
    assert caught.value.outage is outage


KEYS = sorted({item.key for tier in TIERS.values() for item in (*tier.fields, *tier.calls)})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
GPU = st.fixed_dictionaries(
    {},
    optional={
        "values": st.dictionaries(st.sampled_from(KEYS), JSON, max_size=12) | JSON,
        **dict.fromkeys(("failed", "words", "xids", "uuid", "serial", "bus"), JSON),
    },
)


@given(gpus=st.lists(GPU, max_size=4), count=JSON, driver=JSON, group=st.sampled_from(Group))
def test_any_answer_gives_clean_readings_or_a_poll_error(
    gpus: list[dict[str, Any]], count: Any, driver: Any, group: Group
) -> None:
    ranked = [gpu | {"rank": rank} for rank, gpu in enumerate(gpus)]
    try:
        answer = nvidia.decode({"gpus": ranked, "count": count, "driver": driver}, group)
    except PollError:
        return
    seen = {(r.metric, r.part) for r in answer.readings}
    assert len(seen) == len(answer.readings)
    for reading in answer.readings:
        assert math.isfinite(reading.value)
        assert isinstance(reading.value, float)
        assert CATALOGUE[reading.metric.name] is reading.metric
    assert all(text.isprintable() and len(text) <= 64 for _, text in answer.info)


def test_every_key_that_the_driver_reads_is_asked_for() -> None:
    read = {key for row in (*nvidia.ROWS, nvidia._MODULE) for key in row.keys} | {
        *nvidia._THERMAL,
        *nvidia._THERMAL_OLD,
    }
    assert read <= set(KEYS)

"""Whatever a device sends: finite readings with known parts, or PollError."""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keeld.answers import parse
from keeld.errors import PollError
from keeld.miners import antminer, cgminer, whatsminer
from keeld.miners.redaction import anonymise
from keeld.model import Reading

FIXTURES = [path.read_bytes() for path in sorted((Path(__file__).parent / "fixtures").glob("*.json"))]
PART = re.compile(r"|(board|chip)/([0-9]|[12][0-9]|3[01])|fan/([1-9]|[12][0-9]|3[0-2])|psu/1|intake")

DECODERS: list[Callable[[Any], Any]] = [
    lambda answer: antminer.decode_stats(antminer.split_stats(answer)),
    antminer.decode_summary,
    antminer.decode_power,
    antminer.decode_nameplate,
    cgminer.decode_pools,
    lambda answer: whatsminer.decode_summary(cgminer.first_row(answer, "SUMMARY", joined_as="summary")),
    lambda answer: whatsminer.decode_boards(cgminer.rows(answer, "DEVS", joined_as="edevs")),
    whatsminer.decode_status,
]
DESCRIBERS: list[Callable[[Any], Any]] = [
    lambda answer: antminer.describe_stats(antminer.split_stats(answer)),
    antminer.describe_version,
    antminer.describe_config,
    whatsminer.describe_summary,
    whatsminer.describe_version,
    whatsminer.describe_machine,
    whatsminer.describe_supply,
    whatsminer.describe_model,
]

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**300, max_value=10**320)
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["", "nan", "inf", "-1", "m-m", "78-50", "1e999", "58.94W", "GH", "MH", "\ud800", "true"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
SECTIONS = ["STATUS", "STATS", "SUMMARY", "DEVS", "POWER", "CONFIG", "POOLS", "VERSION", "DEVDETAILS", "Msg", "INFO"]


def keys_of(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(keys_of, value.values()))
    return set().union(*map(keys_of, value)) if isinstance(value, list) else set()


KNOWN = sorted(
    set().union(*(keys_of(parse(raw)) for raw in FIXTURES)) | {"chain", "fan", "asic_num", "temp_pcb", "index"}
)
RECORDS = st.dictionaries(st.sampled_from(KNOWN), VALUES, max_size=12)
ANSWERS = st.dictionaries(
    st.sampled_from([*SECTIONS, "summary", "edevs"]),
    VALUES | RECORDS | st.lists(RECORDS | VALUES, max_size=3),
    max_size=5,
)


def check(answer: dict[str, Any]) -> int:
    count = 0
    refused: list[str] = []
    for decode in DECODERS:
        try:
            readings = list(decode(answer))
        except PollError as error:
            refused.append(error.detail)
            continue
        assert len({(metric, part) for metric, _, part in readings}) == len(readings)
        for reading in readings:
            assert type(reading) is Reading
            assert type(reading.value) is float
            assert math.isfinite(reading.value)
            assert reading.value >= 0 or reading.metric.name == "temperature_celsius"
            assert PART.fullmatch(reading.part), reading
        count += len(readings)
    for describe in DESCRIBERS:
        try:
            info = describe(answer)
        except PollError:
            continue
        assert all(text and text.isprintable() and len(text) <= 64 for text in info.values())
    assert all(detail and detail.isprintable() for detail in refused)
    return count


@given(ANSWERS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_json_gives_finite_readings_or_poll_errors(answer: dict[str, Any]) -> None:
    check(answer)


@given(st.sampled_from(FIXTURES), st.data())
@settings(max_examples=150, deadline=None)
def test_a_real_answer_with_fields_replaced(raw: bytes, data: st.DataObject) -> None:
    answer = parse(raw)
    records = [record for record in walk(answer) if record]
    for _ in range(data.draw(st.integers(1, 4))):
        record = data.draw(st.sampled_from(records))
        record[data.draw(st.sampled_from(sorted(record)))] = data.draw(VALUES)
    check(answer)


@given(st.sampled_from(FIXTURES), st.data())
@settings(max_examples=150, deadline=None)
def test_a_real_answer_with_bytes_replaced_or_cut(raw: bytes, data: st.DataObject) -> None:
    changed = bytearray(raw)
    for _ in range(data.draw(st.integers(0, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(changed[: data.draw(st.integers(0, len(changed)))])
    with contextlib.suppress(PollError):
        check(parse(cut))
    assert "hunter2" not in anonymise(raw)


def walk(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        return [value, *(record for inner in value.values() for record in walk(inner))]
    return [record for inner in value for record in walk(inner)] if isinstance(value, list) else []


@pytest.mark.parametrize("raw", FIXTURES)
def test_the_fixtures_themselves_decode(raw: bytes) -> None:
    answer = parse(raw)
    assert check(answer) > 0
    assert json.dumps(answer)


def test_an_answer_of_a_hundred_thousand_boards_stays_bounded() -> None:
    board = {"Status": "Alive", "Temperature": 60, "Effective Chips": 1}
    pool = {"Status": "Alive"}
    answer = {"DEVS": [board] * 100_000, "POOLS": [pool] * 100_000}
    assert check(answer) < 32 * 8


@pytest.mark.parametrize("raw", FIXTURES)
def test_a_deep_value_in_any_field_costs_that_field_only(raw: bytes) -> None:
    deep: Any = "x"
    for _ in range(900):
        deep = [deep]
    for index, record in enumerate(walk(parse(raw))):
        for key in record:
            answer = parse(raw)
            walk(answer)[index][key] = deep
            check(answer)

"""Parsing and numbers: what is mended, what is refused, what is never guessed."""

from __future__ import annotations

import contextlib
import json
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeld.answers import Span, first_measured, measured, number, parse
from keeld.errors import Outage, PollError

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"a":1}', {"a": 1}),
        (b' {"a":1}\r\n', {"a": 1}),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        (b'{"S":[{"a":1}{"b":2}]}', {"S": [{"a": 1}, {"b": 2}]}),
        (b'{"S":[{"a":1}  \n {"b":2}]}', {"S": [{"a": 1}, {"b": 2}]}),
        (b'{"P":[,{"b":2}]}', {"P": [{"b": 2}]}),
        (b'{"a":1,}', {"a": 1}),
        (b'{"a":[1,2,]}', {"a": [1, 2]}),
        (b'{"a":1\x00}', {"a": 1}),
        (b'{"a":"x\ny",}', {"a": "x y"}),
        (b'{"a":"caf\xe9"}', {"a": "caf\ufffd"}),
        (b'{"a":"\\ud800"}', {"a": "\ud800"}),
        (b'{"a":1e400,"b":2}', {"a": math.inf, "b": 2}),
        (b'{"a":' + b"1" * 60_000 + b"}", {"a": math.inf}),
    ],
)
def test_what_can_be_mended_is(raw: bytes, expected: object) -> None:
    assert parse(raw) == expected


@pytest.mark.parametrize("inside", ["}{", "[,{", ",}", ",]", '\\"}{\\"', "\\\\", "} {[ , {,}"])
def test_strings_are_never_mended(inside: str) -> None:
    raw = b'{"S":[{"name":"' + inside.encode() + b'"}{"n":1}]}'
    assert parse(raw) == {"S": [{"name": json.loads(f'"{inside}"')}, {"n": 1}]}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n",
        b"garbage",
        b"[]",
        b"1",
        b'"text"',
        b"null",
        b'{"a":1',
        b'{"a":"b',
        b'{"a":NaN}',
        b'{"a":nan}',
        b'{"a":-Infinity}',
        b'{"a":[{"b":1}',
        b'{"STATS":[{"Elapsed":12,"GHS 5s":1105',
        b"STATUS=S,When=1,Code=70|STATS=0,Elapsed=3|",
        b'{"a":' * 100_000,
        b'{"a":' * 10_000,
        b'{"a":' + b"1" * 1_000_000 + b"}",
        b'{"a":"' + b"x" * 70_000 + b'",}',
        b"[" * 5000 + b"]" * 5000,
        bytes(range(256)),
    ],
)
def test_the_rest_is_garbled(raw: bytes) -> None:
    with pytest.raises(PollError) as caught:
        parse(raw)
    assert caught.value.outage is Outage.GARBLED


@pytest.mark.parametrize(
    "hostile",
    [
        b'"' + b'\\"' * 500_000,
        b"}" + b" " * 1_000_000,
        b"," * 1_000_000,
        b"} " * 500_000,
        b"[ " * 500_000,
        b'"\\' * 500_000,
        b'{"a":"' + b"\x01" * 1_000_000 + b'"}',
    ],
)
def test_a_hostile_answer_does_not_hold_up_the_others(hostile: bytes) -> None:
    for length in (60_000, len(hostile)):
        began_s = time.process_time()
        with contextlib.suppress(PollError):
            parse(hostile[:length])
        assert time.process_time() - began_s < 0.3


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (12, "", 12.0),
        (12.5, "", 12.5),
        ("12.5", "", 12.5),
        (" -3 ", "", -3.0),
        ("1e3", "", 1000.0),
        ("58.94W", "W", 58.94),
        ("4052.00 RPM", "RPM", 4052.0),
        ("3250 w", "W", 3250.0),
        ("456.78 (AB)", "", 456.78),
        ("3.2kW", "W", None),
        ("58.94W", "", None),
        ("12 %", "", None),
        ("", "W", None),
        ("nan", "", None),
        ("inf", "", None),
        ("1e999", "", None),
        ("1_000", "", None),
        ("1,5", "", None),
        ("0x10", "", None),
        ("٣", "", None),
        ("12-13", "", None),
        ("9" * 65, "", None),
        (float("nan"), "", None),
        (float("inf"), "", None),
        (10**400, "", None),
        (True, "", None),
        (None, "", None),
        ([12], "", None),
        ({}, "", None),
    ],
)
def test_numbers(value: object, unit: str, expected: float | None) -> None:
    assert number(value, unit) == expected


def test_a_value_outside_its_span_was_not_measured() -> None:
    span = Span(0.0, 10.0)
    values = [0, 10, -1, 10.1, "7", "11", 10**400, math.nan, math.inf, True, None]
    assert [measured(value, span) for value in values] == [0.0, 10.0, None, None, 7.0, None, *[None] * 5]
    assert first_measured({"a": -1, "b": "", "c": "3"}, ("a", "b", "missing", "c"), span) == 3.0
    assert first_measured({}, ("a",), span) is None


@given(JSON_VALUES)
def test_any_json_object_is_read_as_the_library_reads_it(value: object) -> None:
    raw = json.dumps({"v": value}).encode()
    assert parse(raw) == json.loads(raw)


@given(st.binary(max_size=300))
def test_any_bytes_give_an_object_or_a_poll_error(raw: bytes) -> None:
    with contextlib.suppress(PollError):
        assert isinstance(parse(raw), dict)


@given(st.text(max_size=80) | JSON_VALUES)
def test_a_number_is_finite_or_none(value: object) -> None:
    found = number(value, "W")
    assert found is None or (type(found) is float and math.isfinite(found))

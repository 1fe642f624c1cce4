"""The JSON form of a batch: what is read is what was written, and what is no batch gives none."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeld.batch_json import BadBatchError, BatchReader, UnknownDeviceError, batch_form, read_form, read_time
from keeld.errors import Outage
from keeld.metrics import CATALOGUE, CURRENT, POWER, POWER_ESTIMATE
from keeld.model import Batch, Device, Group, Reading

PDU = Device(id="pdu-1", site="s", kind="pdu", driver="modbus", address="", slow_interval_s=60.0)
READER = BatchReader({"pdu-1": PDU})
T = "2026-11-22T17:14:45.123Z"
T_NS = 1_795_367_685_123_000_000


def read(**fields):
    return READER.read({"time": T, "device": "pdu-1", **fields})


def test_the_form_of_the_design_is_read():
    batch = read(readings={"power_watts": 8123.0, "current_amperes/L1": 12.3, "current_amperes/inlet/2/L1": 1})
    assert batch.time_ns == T_NS
    assert batch.readings == (
        Reading(POWER, 8123.0),
        Reading(CURRENT, 12.3, "L1"),
        Reading(CURRENT, 1.0, "inlet/2/L1"),
    )
    assert (batch.device, batch.outage, batch.group, batch.interval_s) == (PDU, None, Group.FAST, 10.0)
    assert read(outage="timeout").outage is Outage.TIMEOUT
    assert read(readings={}, group="slow").interval_s == 60.0


@pytest.mark.parametrize(
    "time",
    [1_795_367_685.123, "2026-11-22T12:14:45.123-05:00", "2026-11-22T17:14:45.123456789Z", "2026-11-22t17:14:45.123z"],
)
def test_a_time_is_an_instant_however_it_is_written(time):
    assert read_time(time) == T_NS


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "neither readings nor an outage"),
        ({"readings": [1]}, "readings are no object"),
        ({"readings": {"power_wats": 1.0}}, "did you mean power_watts?"),
        ({"readings": {"power_watts": None}}, "no finite number"),
        ({"readings": {"power_watts": "8123"}}, "no finite number"),
        ({"readings": {"power_watts": True}}, "no finite number"),
        ({"readings": {"power_watts/": 1.0}}, "'' is no part"),
        ({"readings": {"power_watts/a b": 1.0}}, "is no part"),
        ({"readings": {"power_watts/" + "x" * 99: 1.0}}, "is no part"),
        ({"outage": "gone"}, "no outage"),
        ({"outage": "timeout", "readings": {"power_watts": 1.0}}, "only partial leaves some"),
        ({"readings": {}, "group": "often"}, "no group"),
        ({"readings": {}, "interval_s": 0}, "no span"),
        ({"readings": {}, "interval_s": "10s"}, "no span"),
        ({"readings": {}, "quality": "superb"}, "no quality"),
        ({"readings": {"power_watts": 1.0}, "quality": "unknown"}, "leave out what was not measured"),
        ({"readings": {}, "reading": {}}, "did you mean readings?"),
        ({"readings": {}, "time": "yesterday"}, "no time"),
        ({"readings": {}, "time": "2026-11-22T17:14:45"}, "no offset"),
        ({"readings": {}, "time": 1_795_367_685_123}, "between 1970 and 2100"),
        ({"readings": {}, "time": -1}, "between 1970 and 2100"),
        ({"readings": {}, "time": None}, "time is missing"),
        ({"readings": {}, "device": 7}, "device is missing"),
    ],
)
def test_what_is_no_batch_is_refused_with_a_reason(fields, says):
    with pytest.raises(BadBatchError, match=says.replace("?", r"\?")):
        read(**fields)


def test_an_unknown_device_is_told_apart_and_its_nearest_named():
    for _ in range(2):
        with pytest.raises(UnknownDeviceError, match="no device 'pdu-2'; did you mean pdu-1"):
            READER.read({"time": T, "device": "pdu-2", "readings": {}})


def test_estimated_power_is_no_measured_power():
    assert read(readings={"power_watts": 5.0}, quality="estimated").readings == (Reading(POWER_ESTIMATE, 5.0),)
    assert read(readings={"power_watts": 5.0}, quality="held").readings == (Reading(POWER, 5.0),)


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b"1", b'"x"', b"NaN", b'{"a": 1e999}', b'{"time": NaN}', b"\xff\xfe{}", b"{" * 3000]
)
def test_a_line_that_is_no_object_is_refused(line):
    with pytest.raises(BadBatchError):
        READER.read(read_form(line))


def test_words_of_a_line_come_back_cleaned():
    with pytest.raises(BadBatchError) as refused:
        read(readings={"power\n\x1b[31m": 1.0})
    assert str(refused.value).isprintable()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(CATALOGUE)),
            st.floats(allow_nan=True, allow_infinity=True),
            st.sampled_from(["", "L1", "branch/3", "gpu/7"]),
        ),
        max_size=6,
        unique_by=lambda reading: (reading[0], reading[2]),
    ),
    st.sampled_from([None, Outage.PARTIAL]),
    st.sampled_from(list(Group)),
    st.floats(min_value=0.1, max_value=3600.0),
    st.integers(min_value=0, max_value=4_102_444_799_999),
)
def test_what_is_written_is_read_again(readings, outage, group, interval_s, time_ms):
    made = tuple(Reading(CATALOGUE[name], value, part) for name, value, part in readings)
    batch = Batch(PDU, time_ms * 1_000_000, 0, made, outage, group, interval_s)
    again = READER.read(json.loads(json.dumps(batch_form(batch))))
    assert again.readings == tuple(each for each in made if math.isfinite(each.value))
    assert (again.time_ns, again.outage, again.group) == (batch.time_ns, outage, group)
    assert again.interval_s == interval_s


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["time", "device", "readings", "outage", "group", "power_watts", "pdu-1"]), inner
            )
        ),
    )
)
def test_nothing_else_than_a_refusal_comes_of_nonsense(value):
    if isinstance(value, dict):
        try:
            READER.read({"time": T, "device": "pdu-1"} | value)
        except BadBatchError:
            return


def test_a_reader_keeps_names_and_values_together_whatever_came_before():
    device = Device(id="a", site="s", kind="pdu", driver="modbus", address="")
    reader = BatchReader({"a": device})
    names = [f"power_watts/outlet/{number}" for number in range(40)]
    for first in range(len(names)):
        for last in range(first + 1, len(names)):
            shown = {"power_watts": 7, names[last]: 2.0, names[first]: 1.0}
            batch = reader.read({"time": 1_795_348_800, "device": "a", "readings": shown})
            told = [
                Reading(POWER, 7.0, ""),
                Reading(POWER, 2.0, names[last][12:]),
                Reading(POWER, 1.0, names[first][12:]),
            ]
            assert list(batch.readings) == told
    with pytest.raises(BadBatchError):
        reader.read({"time": 1_795_348_800, "device": "a", "readings": {"power_watts": "7"}})

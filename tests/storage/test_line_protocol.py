from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeld.errors import Outage
from keeld.metrics import CATALOGUE, CURRENT, FEED, HASHRATE, POWER, TEMPERATURE, UP
from keeld.model import OWN_DRIVER, AlertState, Batch, Device, Group, Reading, Severity, Transition
from keeld.sinks.line_protocol import Encoder

GOLDEN = Path(__file__).parent.parent / "golden" / "line_protocol.lp"
PDU = Device(id="pdu-r07-a", site="sherbrooke", kind="pdu", driver="modbus", address="x", rack="r07", row="a", feed="a")
MINER = Device(id="m-01", site="sherbrooke", kind="miner", driver="antminer", address="x", rack="r21")
NODE = Device(id="gpu-3", site="sherbrooke", kind="accelerator", driver="nvml", address="local", rack="r07")
RACK = Device(id="r07", site="sherbrooke", kind="rack", driver=OWN_DRIVER, address="", rack="r07", row="a")
ODD = replace(PDU, id='a b,c=d\\e"f\n%s', site="Saint-Élie", row="", feed=None)
TIME_NS = 1_700_000_000_123_000_000
MOVE = Transition(
    key="sherbrooke:rack_density_power:rack:r07", alert_id="k7q2", rule="rack_density_power", target_kind="rack",
    target_id="r07", before=AlertState.PENDING, after=AlertState.FIRING, severity=Severity.CRITICAL,
    time_ns=TIME_NS, best=34_012.5, limit=33_000.0, title='r07 "old C-14" over budget', cause="gpu\\load\nup",
)  # fmt: skip


def parse(line: str) -> tuple[str, dict[str, str], dict[str, float | str], int]:
    """Read one line as InfluxDB documents it; raise ValueError for anything else."""
    measurement, rest = take(line, ", ")
    tags: dict[str, str] = {}
    while rest[0] == ",":
        key, rest = take(rest[1:], "=")
        tags[key], rest = take(rest[1:], ", ")
    fields: dict[str, float | str] = {}
    rest = "," + rest[1:]
    while rest[0] == ",":
        key, rest = take(rest[1:], "=")
        fields[key], rest = take_value(rest[1:])
    return measurement, tags, fields, int(rest[1:])


def take(text: str, ends: str) -> tuple[str, str]:
    taken = ""
    position = 0
    while text[position] not in ends:
        if text[position] == "\\" and text[position + 1] in ", =":
            position += 1
        taken += text[position]
        position += 1
    if not taken:
        raise ValueError(text)
    return taken, text[position:]


def take_value(text: str) -> tuple[float | str, str]:
    if text[0] != '"':
        number, rest = take(text, ", ")
        if "." not in number and "e" not in number:
            raise ValueError(f"{number} may be taken for an integer")
        return float(number), rest
    position = 1
    taken = ""
    while text[position] != '"':
        position += text[position] == "\\"
        taken += text[position]
        position += 1
    return taken, text[position + 1 :]


def encode(batch: Batch) -> list[str]:
    text, count = Encoder().lines(batch)
    lines = text.split("\n")
    assert lines.pop() == ""
    assert len(lines) == count
    return lines


def test_what_is_written_is_what_it_always_was():
    batches = [
        Batch(PDU, TIME_NS, 0, (Reading(POWER, 8123.0), Reading(CURRENT, 12.25, "L1"), Reading(FEED, 1, "inlet/2"))),
        Batch(PDU, TIME_NS, 0, outage=Outage.TIMEOUT),
        Batch(PDU, TIME_NS, 0, (Reading(POWER, 1.0),), outage=Outage.PARTIAL),
        Batch(PDU, TIME_NS, 0, (Reading(TEMPERATURE, -3.5, "sensor/1"),), group=Group.SLOW),
        Batch(PDU, TIME_NS, 0, outage=Outage.GARBLED, group=Group.SLOW),
        Batch(MINER, TIME_NS, 0, (Reading(HASHRATE, 1.1e14), Reading(POWER, math.nan), Reading(POWER, math.inf, "x"))),
        Batch(NODE, TIME_NS, 0, (Reading(UP, 0.0, "gpu/3"), Reading(POWER, 512.0, "gpu/2"))),
        Batch(RACK, TIME_NS, 0, (Reading(POWER, 32_000.0),)),
        Batch(ODD, TIME_NS, 0, (Reading(POWER, 1e-7),)),
    ]
    encoder = Encoder()
    text = "".join(encoder.lines(batch)[0] for batch in batches) + encoder.transition(MOVE) + encoder.transition(MOVE)
    assert text == GOLDEN.read_text("utf-8")


def test_a_layout_is_reused_and_follows_a_change_of_shape_or_device():
    encoder = Encoder()
    first = Batch(PDU, TIME_NS, 0, (Reading(POWER, 1.0), Reading(CURRENT, 2.0, "L1")))
    second = replace(first, readings=(Reading(CURRENT, 2.0, "L1"),))
    third = replace(first, device=replace(PDU, rack="r08"))
    for batch in (first, second, first, third, first):
        assert encoder.lines(batch) == Encoder().lines(batch)


def test_of_two_readings_of_one_quantity_the_later_stands():
    (line,) = encode(Batch(PDU, TIME_NS, 0, (Reading(POWER, 1.0), Reading(POWER, 2.0))))
    assert line.count("power_watts") == 1
    assert parse(line)[2]["power_watts"] == 2.0


def test_a_driver_that_says_the_device_is_down_is_not_contradicted():
    (line,) = encode(Batch(PDU, TIME_NS, 0, (Reading(UP, 0.0),)))
    assert parse(line)[2] == {"up": 0.0}


@pytest.mark.parametrize("outage", [outage for outage in Outage if outage is not Outage.PARTIAL])
def test_an_outage_has_its_reason_and_no_value(outage):
    batch = Batch(PDU, TIME_NS, 0, (Reading(POWER, 5.0),), outage=outage)
    (line,) = encode(batch)
    assert parse(line)[2] == {"up": 0.0, "outage_reason": float(outage.code)}


def test_a_slow_batch_without_readings_is_no_line():
    assert Encoder().lines(Batch(PDU, TIME_NS, 0, group=Group.SLOW)) == ("", 0)


def test_two_moves_of_one_alarm_in_one_millisecond_are_two_points():
    encoder = Encoder()
    times = [parse(encoder.transition(MOVE).rstrip("\n"))[3] for _ in range(3)]
    assert times == [1_700_000_000_123, 1_700_000_000_124, 1_700_000_000_125]


def test_an_unknown_value_is_left_out_of_a_transition():
    line = Encoder().transition(replace(MOVE, best=None, limit=math.inf)).rstrip("\n")
    assert {"value", "limit"} & set(parse(line)[2]) == set()


texts = st.text(max_size=90)


@given(
    readings=st.lists(
        st.builds(
            Reading,
            st.sampled_from(sorted(CATALOGUE.values(), key=lambda metric: metric.name)),
            st.floats() | st.integers(-(10**6), 10**6) | st.booleans(),
            st.sampled_from(["", "L1", "gpu/3", "a b", "x=y", "%d", "z\\"]) | texts,
        ),
        max_size=12,
    ),
    device=texts.filter(str.strip),
    rack=st.none() | texts,
    site=texts,
)
def test_every_number_comes_back_from_its_line(readings, device, rack, site):
    thing = Device(id=device, site=site, kind="pdu", driver="modbus", address="", rack=rack)
    seen = {}
    for line in encode(Batch(thing, TIME_NS, 0, tuple(readings))):
        assert "\n" not in line
        measurement, tags, fields, time_ms = parse(line)
        assert (measurement, time_ms) == ("pdu", 1_700_000_000_123)
        assert set(tags) <= {"site", "row", "rack", "device", "feed", "part"}
        for name, value in fields.items():
            seen.setdefault(name, []).append(value)
    for metric in {reading.metric for reading in readings} - {UP}:
        finite = [float(reading.value) for reading in readings if reading.metric is metric]
        finite = [value for value in finite if math.isfinite(value)]
        assert set(seen.get(metric.name, [])) <= set(finite)
        assert bool(seen.get(metric.name)) == bool(finite)


@given(title=texts, cause=texts, target=texts.filter(str.strip), value=st.none() | st.floats())
def test_a_transition_is_one_line_of_bounded_strings(title, cause, target, value):
    move = replace(MOVE, title=title, cause=cause, target_id=target, best=value)
    line = Encoder().transition(move)
    assert line.count("\n") == 1
    _, _, fields, _ = parse(line[:-1])
    assert (fields["state"], fields["from"], fields["to"]) == ("firing", "pending", "firing")
    assert all(len(text) <= 256 for text in fields.values() if isinstance(text, str))


def test_a_batch_costs_little():
    """A tripwire at several times the budget (25 us for a PDU): the machine that runs tests is shared."""
    readings = tuple(Reading(CURRENT, 1.5 + number, f"outlet/{number}") for number in range(50))
    batch = Batch(PDU, TIME_NS, 0, readings)
    encoder = Encoder()
    best_s = math.inf
    for _ in range(5):
        began_s = time.process_time()
        for _ in range(200):
            encoder.lines(batch)
        best_s = min(best_s, (time.process_time() - began_s) / 200)
    assert best_s < 150e-6

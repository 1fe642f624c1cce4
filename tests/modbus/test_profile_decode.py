"""Decoding and planning for any profile: what is read is finite and right, and every point is asked for once."""

import dataclasses
import math
import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeld.metrics import CATALOGUE
from keeld.model import Group
from keeld.profiles.decode import compile_block, decode, evaluate, number_of, text_of, words_of
from keeld.profiles.model import Fact, Field, Limits, Point, Profile, Type
from keeld.profiles.plan import Agenda, missing, plan, spans

POWER = CATALOGUE["power_watts"]
LEAK = CATALOGUE["leak_state"]
NUMBERS = [Type.U16, Type.I16, Type.U32, Type.I32, Type.U64, Type.I64, Type.F32, Type.F64]


def point(address=0, kind=Type.U16, **more):
    base = {"function": 3, "metric": POWER, "words": kind.words}
    return Point(address=address, type=kind, **(base | more))


def one(subject, data):
    """The value of a single point, by the way a poll takes."""
    found = [reading.value for reading in decode([(compile_block((subject,)), data)])]
    return found[0] if found else None


@pytest.mark.parametrize(
    ("kind", "hex_bytes", "value"),
    [
        (Type.U16, "ff85", 65413),
        (Type.I16, "ff85", -123),
        (Type.U32, "00010002", 65538),
        (Type.I32, "fffffffe", -2),
        (Type.U64, "0000000100000000", 4294967296),
        (Type.I64, "ffffffffffffffff", -1),
        (Type.F32, "43668000", 230.5),
        (Type.F64, "406cd00000000000", 230.5),
    ],
)
def test_each_type_in_each_order_of_words_and_bytes(kind, hex_bytes, value):
    big = bytes.fromhex(hex_bytes)
    words = [big[at : at + 2] for at in range(0, len(big), 2)]
    wire = {
        (False, False): big,
        (True, False): b"".join(reversed(words)),
        (False, True): b"".join(word[::-1] for word in words),
        (True, True): big[::-1],
    }
    for (little_words, little_bytes), data in wire.items():
        subject = point(kind=kind, little_words=little_words, little_bytes=little_bytes)
        assert one(subject, data) == value
        assert evaluate(subject, data) == value


def test_scales_are_exact_and_offsets_come_last():
    assert one(point(numerator=1, denominator=10), (2301).to_bytes(2, "big")) == 230.1
    assert one(point(numerator=1, denominator=512), (25600).to_bytes(2, "big")) == 50.0
    assert one(point(numerator=1, denominator=18, offset=-160 / 9), (752).to_bytes(2, "big")) == pytest.approx(24.0)


@pytest.mark.parametrize(
    ("subject", "data"),
    [
        (point(sentinels=frozenset({0xFFFF})), b"\xff\xff"),
        (point(kind=Type.I16, sentinels=frozenset({0x8000})), b"\x80\x00"),
        (point(kind=Type.I32, sentinels=frozenset({0x80000000})), b"\x80\0\0\0"),
        (point(kind=Type.F32, sentinels=frozenset({0x7F7FFFFF})), b"\x7f\x7f\xff\xff"),
        (point(kind=Type.F32), b"\x7f\xc0\0\0"),
        (point(kind=Type.F32), b"\xff\xc0\0\x01"),
        (point(kind=Type.F32), b"\x7f\x80\0\0"),
        (point(kind=Type.F32), b"\xff\x80\0\0"),
        (point(kind=Type.F64), b"\x7f\xf8\0\0\0\0\0\0"),
        (point(kind=Type.F64, numerator=1000), b"\x7f\xef\xff\xff\xff\xff\xff\xff"),
        (point(saturates=65535), b"\xff\xff"),
        (point(valid=(0, 100)), b"\x00\x65"),
        (point(kind=Type.I16, valid=(0, 100)), b"\xff\xff"),
        (point(nonzero=True), b"\0\0"),
        (point(kind=Type.F32, nonzero=True), b"\x80\0\0\0"),
        (point(metric=LEAK, states={0: 0}), b"\0\x01"),
    ],
)
def test_what_is_no_value_gives_no_reading(subject, data):
    assert one(subject, data) is None
    assert evaluate(subject, data) is None


def test_the_edges_of_a_range_are_values():
    assert [one(point(valid=(1, 100)), bytes([0, raw])) for raw in (0, 1, 100, 101)] == [None, 1, 100, None]
    assert [one(point(saturates=100), bytes([0, raw])) for raw in (99, 100)] == [99, None]


def test_a_zero_of_one_phase_is_dropped_but_zeros_beside_a_live_value_are_kept():
    voltages = [point(address, nonzero=True, part=f"L{address}") for address in (0, 1)]
    block = compile_block((*voltages, point(2)))
    parts = {r.part: r.value for r in decode([(block, b"\0\xe6\0\0\0\0")])}
    assert parts == {"L0": 230.0, "": 0.0}


def test_zeros_beside_values_that_cannot_be_zero_are_no_readings_across_all_requests_of_a_poll():
    gate = compile_block((point(0, nonzero=True),))
    other = compile_block((point(50, part="a"), point(51, part="b")))
    assert decode([(gate, b"\0\0"), (other, b"\0\0\0\x05")])[0].part == "b"
    assert len(decode([(gate, b"\0\0"), (other, b"\0\0\0\x05")])) == 1
    assert len(decode([(gate, b"\0\x01"), (other, b"\0\0\0\x05")])) == 3


def test_bits_come_from_coils_and_from_registers():
    coils = tuple(
        point(address, Type.BIT, function=1, metric=LEAK, states={0: 0, 1: 1}, part=f"sensor/{address}")
        for address in (5, 6, 14)
    )
    values = {r.part: r.value for r in decode([(compile_block(coils), b"\x01\x02")])}
    assert values == {"sensor/5": 1.0, "sensor/6": 0.0, "sensor/14": 1.0}
    bit = point(kind=Type.BIT, bit=9, metric=LEAK, states={0: 0, 1: 1})
    assert [one(bit, data) for data in (b"\x02\0", b"\x01\xff")] == [1.0, 0.0]


def test_a_scale_register_is_a_power_of_ten_that_is_read_in_the_same_poll():
    value = point(10, Type.I16, scale_address=40)
    profile = Profile(name="x", title="x", kind="meter", points=(value,))
    blocks = plan(profile, Group.FAST)
    assert [(block.address, block.count) for block in blocks] == [(10, 1), (40, 1)]

    def with_exponent(exponent):
        found = decode([(blocks[0], (123).to_bytes(2, "big")), (blocks[1], struct.pack(">h", exponent))])
        return [reading.value for reading in found]

    assert with_exponent(0) == [123.0]
    assert with_exponent(2) == [12300.0]
    assert with_exponent(-1) == [pytest.approx(12.3)]
    assert with_exponent(-32768) == []
    assert with_exponent(300) == []
    assert decode([(blocks[0], b"\0\x7b")]) == ()


@pytest.mark.parametrize(
    ("half", "little", "data", "text"),
    [
        ("both", False, b"AB12\0\0xx", "AB12"),
        ("both", True, b"BA21\0\0", "AB12"),
        ("high", False, b"S\0O\0C\0O\0", "SOCO"),
        ("low", False, b"\0S\0O\0C\0O", "SOCO"),
        ("both", False, b"A\x1b[31mB\n\xff ", "A [31mB ?"),
        ("both", False, b"\0\0\0\0", ""),
    ],
)
def test_text_is_found_in_its_half_of_the_registers_and_cleaned(half, little, data, text):
    fact = Fact(
        key="model",
        function=3,
        address=0,
        type=Type.STRING,
        words=len(data) // 2,
        string_half=half,
        little_bytes=little,
    )
    shown = text_of(fact, data)
    assert shown.replace("\N{REPLACEMENT CHARACTER}", "?") == text
    assert shown.isprintable()
    assert number_of(fact, data) is None


def test_numbers_that_a_device_says_of_itself_are_shown_plainly():
    assert text_of(Field(function=3, address=0, type=Type.U32, words=2), b"\0\x01\0\0") == "65536"
    assert text_of(Field(function=3, address=0, type=Type.F32, words=2), b"\x40\x20\0\0") == "2.5"
    assert number_of(Field(function=3, address=0, type=Type.F32, words=2), b"\x7f\xc0\0\0") is None
    assert words_of(b"\x01\x02\xff\xff") == [258, 65535]


@st.composite
def points(draw, functions=(1, 3, 4)):
    function = draw(st.sampled_from(functions))
    kind = Type.BIT if function == 1 else draw(st.sampled_from([*NUMBERS, Type.FLAGS, Type.BIT]))
    more = {"part": f"x{draw(st.integers(0, 10**9))}", "optional": draw(st.booleans())}
    if kind in (Type.BIT, Type.FLAGS):
        more |= {"metric": LEAK, "states": {0: 0, 1: 1, 2: 2}}
        more |= {"bit": draw(st.integers(0, 15))} if kind is Type.BIT and function != 1 else {}
    else:
        bits = st.integers(0, (1 << (kind.words * 16)) - 1)
        more |= {
            "numerator": draw(st.sampled_from([1.0, 1000.0, 5.0])),
            "denominator": draw(st.sampled_from([1.0, 10.0, 18.0])),
            "offset": draw(st.sampled_from([0.0, -17.5])),
            "sentinels": frozenset(draw(st.lists(bits, max_size=2))),
            "nonzero": draw(st.booleans()),
            "valid": draw(st.sampled_from([None, (0.0, 1000.0)])),
            "little_words": draw(st.booleans()),
            "little_bytes": draw(st.booleans()),
        }
    return point(draw(st.integers(0, 400)), kind, **(more | {"function": function}))


@settings(max_examples=250, deadline=None)
@given(found=st.lists(points(functions=(3,)), min_size=1, max_size=8), seed=st.integers(0, 1 << 32))
def test_any_bytes_give_finite_readings_and_both_ways_of_decoding_agree(found, seed):
    near = sorted((p for p in found if p.address < 120), key=lambda p: p.address)
    near = [dataclasses.replace(p, part=f"x{index}") for index, p in enumerate(near)]
    if not near:
        return
    block = compile_block(tuple(near))
    data = random.Random(seed).choice(
        [random.Random(seed).randbytes(block.size), bytes(block.size), b"\xff" * block.size]
    )
    readings = decode([(block, data)])
    assert all(math.isfinite(reading.value) for reading in readings)
    by_part = {}
    for subject in near:
        start = (subject.address - block.address) * 2
        by_part[subject.part] = evaluate(subject, data[start : start + subject.words * 2])
    gates = [p for p in near if p.nonzero]
    if not gates or any(any(data[(p.address - block.address) * 2 :][: p.words * 2]) for p in gates):
        assert {r.part: r.value for r in readings} == {k: v for k, v in by_part.items() if v is not None}


limits = st.builds(
    Limits,
    max_registers=st.integers(4, 125),
    max_gap=st.integers(0, 40),
    one_request_per_point=st.booleans(),
    readable=st.sampled_from([{}, {3: ((0, 120), (121, 500))}, {3: ((0, 500),), 4: ((0, 63), (64, 410))}]),
)


@settings(max_examples=250, deadline=None)
@given(found=st.lists(points(), min_size=1, max_size=40), limits=limits)
def test_a_plan_asks_for_every_point_once_within_the_devices_limits(found, limits):
    fitting = [p for p in found if fits(p, limits)]
    gathered = spans(fitting, limits)
    assert sorted(id(p) for span in gathered for p in span) == sorted(id(p) for p in fitting)
    for span in gathered:
        assert len({(p.unit_offset, p.function) for p in span}) == 1
        first, end = span[0].address, max(p.end for p in span)
        assert end - first <= (2000 if span[0].function == 1 else limits.max_registers)
        ranges = limits.readable.get(span[0].function)
        assert not ranges or any(low <= first and end <= high + 1 for low, high in ranges)
        assert not limits.one_request_per_point or len(span) == 1
        if not ranges:
            reached = span[0].end
            for p in span[1:]:
                assert p.address - reached <= limits.max_gap
                reached = max(reached, p.end)


def fits(subject, limits):
    ranges = limits.readable.get(subject.function)
    return not ranges or any(low <= subject.address and subject.end <= high + 1 for low, high in ranges)


@settings(max_examples=150, deadline=None)
@given(
    found=st.lists(points(functions=(3, 4)), min_size=1, max_size=30), dead=st.sets(st.integers(0, 410), max_size=12)
)
def test_splitting_ends_with_what_the_device_has_and_no_more(found, dead):
    agenda = Agenda(compile_block(span) for span in spans(found, Limits()))
    waiting, asked = list(agenda.blocks), 0
    while waiting:
        block = waiting.pop()
        asked += 1
        if any(block.address <= address < block.address + block.count for address in dead):
            waiting.extend(agenda.refuse(block, 2))
    assert asked <= 2 * len(found)
    kept = {id(field) for block in agenda.blocks for field in block.fields}
    refused = {id(field) for field in agenda.refused}
    assert kept | refused == {id(p) for p in found}
    assert not kept & refused
    assert refused == {id(p) for p in found if any(p.address <= address < p.end for address in dead)}
    assert {id(p) for p in missing(agenda.refused)} == {id(p) for p in agenda.refused if not p.optional}


def test_a_function_that_the_device_does_not_know_is_not_tried_point_by_point():
    agenda = Agenda([compile_block(tuple(point(address) for address in range(10)))])
    assert agenda.refuse(agenda.blocks[0], 1) == []
    assert len(agenda.refused) == 10


def test_a_refused_request_is_cut_at_its_widest_gap():
    agenda = Agenda([compile_block((point(0), point(1), point(12), point(13), point(14)))])
    assert [(b.address, b.count) for b in agenda.refuse(agenda.blocks[0], 2)] == [(0, 2), (12, 3)]

"""Registers against words written by hand, so that an encoder and a decoder that err alike do not hide it."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeld import metrics, profiles
from keeld.profiles.model import Point, Type
from keeld.simulate.registers import Refused, Registers, encode


def point(metric=metrics.POWER, **fields):
    return Point(**({"function": 3, "address": 0, "type": Type.U16, "metric": metric} | fields))


@pytest.mark.parametrize(
    ("place", "value", "expected"),
    [
        # 230.0 as IEEE 754 single: 0x43660000
        (point(type=Type.F32, words=2), 230.0, "4366 0000"),
        (point(type=Type.F32, words=2, little_words=True), 230.0, "0000 4366"),
        (point(type=Type.F32, words=2, little_bytes=True), 230.0, "6643 0000"),
        # EM340: tenths of a volt, 32 bits, low word first: 2305 = 0x00000901
        (point(type=Type.I32, words=2, little_words=True, denominator=10.0), 230.5, "0901 0000"),
        (point(type=Type.I32, words=2), -2.0, "ffff fffe"),
        (point(type=Type.U64, words=4), 2.0**40, "0000 0100 0000 0000"),
        # InRow: tenths of a degree Fahrenheit, 25.0 degrees Celsius = 77.0 = 770 = 0x302
        (
            point(metric=metrics.TEMPERATURE, type=Type.I32, words=2, numerator=1.0, denominator=18.0, offset=-160 / 9),
            25.0,
            "0000 0302",
        ),
        # a saturating register stays full; an unsigned one does not wrap below zero
        (point(denominator=10.0, saturates=65535), 9000.0, "ffff"),
        (point(), -4.0, "0000"),
        (point(type=Type.I16), 1e9, "7fff"),
        # a counter rolls over: 65536 + 5
        (point(metric=metrics.ENERGY), 65541.0, "0005"),
        (point(metric=metrics.ENERGY, type=Type.U32, words=2, rollover=1000.0), 1234.0, "0000 00ea"),
        # a value that would read as "not available" gives way by one
        (point(sentinels=frozenset({0xFFFF})), 65535.0, "fffe"),
        (point(metric=metrics.UNIT_STATE, states={0: 0, 4: 2}), 2.0, "0004"),
        (point(metric=metrics.LEAK, type=Type.FLAGS, flags=((0b110000, 1),), clear=0), 1.0, "0010"),
        (point(metric=metrics.LEAK, type=Type.FLAGS, flags=((0b110000, 1),), clear=0), 0.0, "0000"),
        (point(metric=metrics.FEED, type=Type.BIT, bit=3), 1.0, "0008"),
        (point(metric=metrics.FEED, type=Type.BIT, bit=3), 0.0, "0000"),
        # a coil is one cell; this one is set while the breaker is open
        (point(metric=metrics.BREAKER, type=Type.BIT, function=2, states={0: 1, 1: 0}), 0.0, "01"),
        (point(metric=metrics.BREAKER, type=Type.BIT, function=2, states={0: 1, 1: 0}), 1.0, "00"),
        (point(metric=metrics.LEAK, type=Type.BIT, bit=0, flags=((1, 1),), clear=0), 1.0, "0001"),
    ],
)
def test_words_by_hand(place, value, expected):
    assert encode(place, value).hex(" ", 2) == expected


BITS = """
title: Contacts
kind: sensor
vendor: bench
models: [contacts]
verified: none
sources: [this test]
defaults: {function: 2}
points:
  - {metric: breaker_state, part: outlet/1, address: 3, type: bit, states: {0: open, 1: closed}}
  - {metric: breaker_state, part: outlet/2, address: 4, type: bit, states: {0: open, 1: closed}}
  - {metric: power_watts, address: 10, type: i16, function: 3, unit: W, scale_register: {address: 11}}
"""


def test_contacts_are_packed_and_scales_are_served(quiet_site, tmp_path):
    (tmp_path / "contacts.yaml").write_text(BITS)
    image = Registers(
        quiet_site.devices["meter"],
        profiles.load(str(tmp_path / "contacts.yaml")),
        {("breaker_state", "outlet/1"): 0.0, ("breaker_state", "outlet/2"): 1.0, ("power_watts", ""): 1_234_567.0},
    )
    assert image.read(0, 2, 3, 2) == b"\x02"
    with pytest.raises(Refused):
        image.read(0, 2, 3, 3)
    # 1,234,567 W do not fit 16 bits: 12346 times ten to the second
    assert image.read(0, 3, 10, 2).hex(" ", 2) == "303a 0002"


@given(st.floats(allow_nan=False), st.sampled_from([Type.U16, Type.I16, Type.U32, Type.I32, Type.U64, Type.I64]))
def test_every_number_fits_its_register(value, kind):
    if math.isinf(value):
        value = math.copysign(1e300, value)
    assert len(encode(point(type=kind, words=kind.words), value)) == 2 * kind.words


def registers_of(site, name, quantities):
    device = site.devices[name]
    return Registers(device, profiles.load(device.profile), quantities)


def test_sdm630_by_hand(quiet_site):
    image = registers_of(
        quiet_site,
        "meter",
        {("voltage_volts", "L1"): 230.0, ("power_watts", ""): 1500.0, ("energy_watt_hours", ""): 12500.0},
    )
    assert image.read(0, 4, 0, 2) == bytes.fromhex("43660000")
    assert image.read(0, 4, 52, 2) == struct.pack(">f", 1500)
    assert image.read(0, 4, 72, 2) == struct.pack(">f", 12.5)  # the register counts kWh
    assert math.isnan(struct.unpack(">f", image.read(0, 4, 2, 2))[0])  # L2 is not measured: no number


@pytest.mark.parametrize(
    ("function", "address", "count", "code"),
    [
        (3, 0, 2, 1),  # the meter has input registers only
        (4, 36, 2, 2),  # a gap
        (4, 34, 4, 2),  # begins in a point and ends in a gap
        (4, 5000, 1, 2),
        (4, 0, 0, 3),
        (4, 0, 126, 3),
        (4, 0, 100, 2),  # more than this meter stands
    ],
)
def test_reads_that_a_device_refuses(quiet_site, function, address, count, code):
    image = registers_of(quiet_site, "meter", {("voltage_volts", "L1"): 230.0})
    with pytest.raises(Refused) as refused:
        image.read(0, function, address, count)
    assert refused.value.code == code


def test_panel_and_its_breakers_are_units_of_their_own(quiet_site):
    image = registers_of(
        quiet_site, "panel", {("current_amperes", "branch/1/L1"): 12.5, ("voltage_volts", "L1"): 240.0}
    )
    assert image.unit_offsets == {1, 17}
    assert image.read(17, 4, 1037, 2) == struct.pack(">f", 12.5)
    assert image.read(1, 4, 4010, 2) == struct.pack(">f", 240)
    with pytest.raises(Refused):
        image.read(1, 4, 1037, 2)


def test_rpu_power_saturates_and_its_second_register_goes_on(quiet_site):
    image = registers_of(quiet_site, "cdu", {("power_watts", ""): 9000.0, ("flow_litres_per_minute", ""): 57.1})
    assert image.read(0, 3, 36870, 1) == b"\xff\xff"
    assert image.read(0, 3, 41005, 1) == (9000).to_bytes(2, "big")
    assert image.read(0, 3, 36864, 1) == (571).to_bytes(2, "big")


@pytest.mark.parametrize("name", profiles.names())
def test_every_shipped_profile_can_be_served(quiet_site, name):
    device = quiet_site.devices["meter"]
    profile = profiles.load(name)
    values = {(each.metric.name, each.part): 1.0 for each in profile.points}
    image = Registers(device, profile, values)
    for each in profile.points:
        assert len(image.read(each.unit_offset, each.function, each.address, each.words)) == 2 * each.words

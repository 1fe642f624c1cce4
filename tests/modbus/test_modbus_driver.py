"""The driver over real sockets: good parts are kept, refusals are learned and forgotten, strangers are told."""

import asyncio
import struct

import pytest

from keeld import profiles
from keeld.drivers import load, modbus
from keeld.errors import Outage, PollError
from keeld.links import modbus as link_module
from keeld.metrics import CATALOGUE
from keeld.model import Device, Group, Identity
from keeld.profiles.decode import compile_block, decode
from keeld.profiles.learned import Learned

METER = """
title: a meter
kind: meter
points:
  - {metric: voltage_volts, address: 0, unit: V, scale: 0.1, require_nonzero: true, valid: [0, 1000]}
  - {metric: current_amperes, address: 1, unit: A, scale: 0.01}
  - {metric: power_watts, address: 2, type: u32, unit: W}
  - {metric: frequency_hertz, address: 10, unit: Hz, scale: 0.01, optional: true}
  - {metric: temperature_celsius, address: 40, type: i16, unit: degC, scale: 0.1, sentinels: [0x8000]}
  - {metric: energy_watt_hours, address: 60, type: u32, unit: kWh, group: slow}
"""


@pytest.fixture
def profile(tmp_path):
    def write(text, name="own"):
        path = tmp_path / f"{name}.yaml"
        path.write_text(text)
        return str(path)

    return write


@pytest.fixture
async def bus_of(fake, monkeypatch):
    monkeypatch.setattr(link_module, "_BUSY_WAITS_S", (0.01, 0.01, 0.01))
    monkeypatch.setattr(link_module, "_FIRST_BACKOFF_S", 0.02)
    opened = []

    def make(text, **more):
        base = {"id": "d1", "site": "s", "kind": "meter", "driver": "modbus", "timeout_s": 0.3}
        device = Device(profile=text, address=f"tcp://127.0.0.1:{fake.port}", **(base | more))
        bus = modbus.open_bus(device)
        opened.append(bus)
        return bus, device

    yield make
    for bus in opened:
        await bus.close()


def hold_meter(fake, unit=1):
    fake.hold(0, [2301, 1050, 0, 2415], unit=unit)
    fake.hold(10, [5001], unit=unit)
    fake.hold(40, [0xFF85], unit=unit)
    fake.hold(60, [0, 1234], unit=unit)


async def poll(bus, device, group=Group.FAST):
    """As the poller does: one deadline around the whole poll."""
    async with asyncio.timeout(device.timeout_s):
        return await modbus.poll(bus, device, group)


def named(answer):
    return {f"{r.metric.name}{'/' if r.part else ''}{r.part}": r.value for r in answer.readings}


GOOD = {
    "voltage_volts": 230.1,
    "current_amperes": 10.5,
    "power_watts": 2415.0,
    "frequency_hertz": 50.01,
    "temperature_celsius": -12.3,
}


async def test_reads_each_group_with_as_few_requests_as_the_map_allows(fake, bus_of, profile):
    hold_meter(fake)
    fake.hold(4, [0] * 6)
    bus, device = bus_of(profile(METER))
    answer = await poll(bus, device)
    assert named(answer) == GOOD
    assert answer.outage is None
    assert [(q.address, q.count) for q in fake.requests] == [(0, 11), (40, 1)]
    assert named(await poll(bus, device, Group.SLOW)) == {"energy_watt_hours": 1234000.0}


async def test_a_request_across_a_gap_that_is_refused_is_cut_and_remembered(fake, bus_of, profile):
    hold_meter(fake)
    bus, device = bus_of(profile(METER))
    assert named(await poll(bus, device)) == GOOD
    assert named(await poll(bus, device)) == GOOD
    fake.requests.clear()
    answer = await poll(bus, device)
    assert named(answer) == GOOD
    assert answer.outage is None
    assert [(q.address, q.count) for q in fake.requests] == [(0, 4), (10, 1), (40, 1)]


async def test_a_device_that_takes_fewer_registers_at_once_is_read_in_smaller_requests(fake, bus_of):
    fake.longest = 20
    for address in range(0, 76, 2):
        fake.float(address, 49.0 if address == 70 else 0.5, function=4)
    bus, device = bus_of("eastron_sdm630")
    for _ in range(3):
        answer = await poll(bus, device)
        assert len(answer.readings) == 23
        assert answer.outage is None
    assert max(q.count for q in fake.requests[-4:]) <= 20


async def test_a_register_that_may_be_lacking_is_silently_absent_and_one_that_must_be_there_is_not(
    fake, bus_of, profile
):
    hold_meter(fake)
    del fake.registers[1, 3][10]
    bus, device = bus_of(profile(METER))
    answer = await poll(bus, device)
    assert answer.outage is None
    assert "frequency_hertz" not in named(answer)
    del fake.registers[1, 3][40]
    for _ in range(3):
        bus, device = bus_of(profile(METER), id="d2")
        answer = await poll(bus, device)
        assert answer.outage is Outage.PARTIAL
        assert "temperature_celsius at 40" in answer.detail
        assert named(answer) == {k: v for k, v in GOOD.items() if k not in ("temperature_celsius", "frequency_hertz")}


async def test_what_is_refused_is_asked_for_again_after_a_while(fake, bus_of, profile):
    hold_meter(fake)
    temperature = fake.registers[1, 3].pop(40)
    bus, device = bus_of(profile(METER))
    for _ in range(3):
        assert (await poll(bus, device)).outage is Outage.PARTIAL
    fake.registers[1, 3][40] = temperature
    fake.requests.clear()
    assert (await poll(bus, device)).outage is Outage.PARTIAL
    assert 40 not in [q.address for q in fake.requests]  # learned: not asked for
    bus.session(device).learned._since_s -= 61
    assert named(await poll(bus, device)) == GOOD


def test_trust_in_a_refusal_grows_to_an_hour_and_a_new_connection_ends_it():
    learned = Learned(profiles.load("raritan_px"))
    learned.renew(1, 1000.0)
    assert (learned.trust_s, learned.is_first_poll) == (60.0, True)
    learned.settle(Group.FAST)
    spans = []
    for now_s in range(1000, 30000, 10):
        before = learned._since_s
        learned.renew(1, float(now_s))
        if learned._since_s != before:
            spans.append(learned.trust_s)
    assert spans[:7] == [120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0]
    learned.renew(2, learned._since_s + 61)
    assert (learned.trust_s, learned.is_first_poll) == (60.0, True)


def test_connections_that_end_with_each_poll_do_not_end_trust(profile):
    learned = Learned(profiles.load(profile(METER + "link: {close_after_poll: true}\n")))
    for connection in range(200):
        learned.renew(connection, connection * 10.0)
        learned.settle(Group.FAST)
    assert learned.trust_s > 60.0


async def test_a_device_that_is_still_starting_refuses_all_and_is_whole_at_the_next_poll(fake, bus_of, profile, frame):
    hold_meter(fake)

    async def starting(request, wire):
        wire.send(frame(request, bytes([0x83, 2])))
        return True

    fake.script = starting
    bus, device = bus_of(profile(METER))
    for _ in range(3):
        with pytest.raises(PollError) as caught:
            await poll(bus, device)
        assert caught.value.outage is Outage.UNSUPPORTED
        assert "right profile and unit" in caught.value.detail
    fake.script = None
    assert named(await poll(bus, device)) == GOOD


async def test_a_device_that_starts_with_zeros_gives_no_zero_watts(fake, bus_of, profile):
    for address in (*range(4), 10, 40, 60, 61):
        fake.hold(address, [0])
    bus, device = bus_of(profile(METER))
    answer = await poll(bus, device)
    assert answer.readings == ()
    assert answer.outage is Outage.PARTIAL
    assert "believable" in answer.detail


async def test_a_sentinel_is_absent_and_no_outage(fake, bus_of, profile):
    hold_meter(fake)
    fake.hold(40, [0x8000])
    bus, device = bus_of(profile(METER))
    answer = await poll(bus, device)
    assert answer.outage is None
    assert named(answer) == {k: v for k, v in GOOD.items() if k != "temperature_celsius"}


@pytest.mark.parametrize("code", [4, 0x0A, 0x0B, 6])
async def test_the_good_requests_of_a_poll_are_kept_when_another_one_fails(fake, bus_of, profile, frame, code):
    hold_meter(fake)

    async def script(request, wire):
        if request.address != 40:
            return False
        wire.send(frame(request, bytes([0x83, code])))
        return True

    fake.script = script
    bus, device = bus_of(profile(METER))
    answer = await poll(bus, device)
    assert answer.outage is Outage.PARTIAL
    assert named(answer) == {k: v for k, v in GOOD.items() if k != "temperature_celsius"}
    assert "temperature_celsius at 40" in answer.detail


async def test_a_garbled_request_costs_only_itself_and_the_next_poll_is_whole(fake, bus_of, profile):
    hold_meter(fake)

    async def script(request, wire):
        if request.address != 40:
            return False
        wire.send(b"\xff" * 20)
        fake.script = None
        return True

    fake.script = script
    bus, device = bus_of(profile(METER))
    answer = await poll(bus, device)
    assert answer.outage is Outage.PARTIAL
    assert "temperature_celsius" not in named(answer)
    assert (await poll(bus, device)).outage is None


async def test_a_dead_unit_does_not_touch_its_neighbours_on_the_connection(fake, bus_of, profile):
    hold_meter(fake, unit=1)
    hold_meter(fake, unit=3)
    text = profile(METER)
    bus, first = bus_of(text)
    dead, third = (Device(**{**asdict(first), "id": f"d{unit}", "unit": unit}) for unit in (2, 3))
    for _ in range(3):
        assert named(await poll(bus, first)) == GOOD
        with pytest.raises(PollError) as caught:
            await poll(bus, dead)
        assert caught.value.outage is Outage.UNIT_DOWN
        assert named(await poll(bus, third)) == GOOD
    assert fake.connections == 1


async def test_a_silent_unit_does_not_make_its_neighbours_silent(fake, bus_of, profile):
    hold_meter(fake, unit=1)
    hold_meter(fake, unit=2)

    async def script(request, wire):
        return request.unit == 2

    fake.script = script
    bus, first = bus_of(profile(METER))
    silent = Device(**{**asdict(first), "id": "d2", "unit": 2, "timeout_s": 0.05})
    for _ in range(4):
        with pytest.raises(TimeoutError):
            await poll(bus, silent)
        assert named(await poll(bus, first)) == GOOD


def asdict(device):
    return {name: getattr(device, name) for name in Device.__dataclass_fields__}


async def test_a_device_that_comes_back_is_whole_within_two_polls(fake, bus_of, profile):
    hold_meter(fake)
    bus, device = bus_of(profile(METER))
    assert named(await poll(bus, device)) == GOOD

    async def reset(request, wire):
        wire.reset()
        return True

    fake.script = reset
    with pytest.raises(PollError) as caught:
        await poll(bus, device)
    assert caught.value.outage is Outage.UNREACHABLE
    fake.script = None
    await asyncio.sleep(0.05)
    assert named(await poll(bus, device)) == GOOD


async def test_a_device_of_one_client_is_let_go_after_each_poll(fake, bus_of, profile):
    hold_meter(fake)
    fake.most_clients = 1
    bus, device = bus_of(profile(METER + "link: {close_after_poll: true}\n"))
    for _ in range(3):
        assert named(await poll(bus, device)) == GOOD
        await asyncio.sleep(0.02)
        assert not fake.open
    assert fake.connections == 3


STRIP = """
title: a strip
kind: pdu
points:
  - {metric: power_watts, address: 0, unit: W}
repeats:
  - count_register: {address: 9, most: 24}
    address_stride: 10
    points:
      - {metric: current_amperes, part: "outlet/{n}", address: 100, unit: A, scale: 0.1}
  - count: 2
    first: 0
    unit_stride: 1
    points:
      - {metric: temperature_celsius, part: "sensor/{n}", address: 50, unit_offset: 10, unit: degC}
"""


async def test_outlets_are_as_many_as_the_device_counts(fake, bus_of, profile):
    fake.hold(0, [500])
    fake.hold(9, [3])
    for outlet in range(24):
        fake.hold(100 + outlet * 10, [10 + outlet])
    fake.hold(50, [21], unit=11)
    fake.hold(50, [22], unit=12)
    bus, device = bus_of(profile(STRIP))
    answer = await poll(bus, device)
    assert named(answer) == {
        "power_watts": 500.0,
        "current_amperes/outlet/1": 1.0,
        "current_amperes/outlet/2": 1.1,
        "current_amperes/outlet/3": 1.2,
        "temperature_celsius/sensor/0": 21.0,
        "temperature_celsius/sensor/1": 22.0,
    }
    await poll(bus, device)
    assert [q.address for q in fake.requests].count(9) == 1


@pytest.mark.parametrize("count", [25, 65535])
async def test_a_count_beyond_belief_is_not_believed(fake, bus_of, profile, count):
    fake.hold(0, [500])
    fake.hold(9, [count])
    bus, device = bus_of(profile(STRIP))
    with pytest.raises(PollError) as caught:
        await poll(bus, device)
    assert caught.value.outage is Outage.GARBLED


async def test_no_unit_beyond_255_is_asked(fake, bus_of, profile):
    fake.hold(0, [500], unit=250)
    fake.hold(9, [0], unit=250)
    bus, device = bus_of(profile(STRIP), unit=250)
    answer = await poll(bus, device)
    assert answer.outage is Outage.PARTIAL
    assert named(answer) == {"power_watts": 500.0}
    assert {q.unit for q in fake.requests} == {250}


KNOWN = """
title: a known meter
kind: meter
identify:
  - {address: 200, type: string, length: 2, pattern: "SO.*"}
  - {address: 202, equals: 48}
info:
  - {key: model, address: 200, type: string, length: 2}
  - {key: serial, address: 210, type: string, length: 4}
  - {key: firmware, address: 220, optional: true}
points:
  - {metric: power_watts, address: 0, unit: W}
"""


def hold_known(fake):
    fake.hold(0, [500])
    fake.hold(200, [0x534F, 0x434F, 48])
    fake.hold(210, [0x4142, 0x2D31, 0x3233, 0x0000])


async def test_a_device_says_who_it_is(fake, bus_of, profile):
    hold_known(fake)
    bus, device = bus_of(profile(KNOWN), identity=Identity(serial="ab 123"))
    assert modbus.groups(device) == (Group.FAST, Group.ONCE)
    answer = await poll(bus, device, Group.ONCE)
    assert answer.info == (("model", "SOCO"), ("serial", "AB-123"))
    assert answer.outage is None


@pytest.mark.parametrize(
    ("change", "identity"),
    [
        (lambda fake: fake.hold(200, [0x4142]), Identity()),
        (lambda fake: fake.hold(202, [49]), Identity()),
        (lambda fake: fake.registers[1, 3].pop(202), Identity()),
        (lambda fake: None, Identity(serial="AB-124")),
        (lambda fake: None, Identity(mac="00:11:22:33:44:55")),
    ],
)
async def test_another_device_than_expected_is_told(fake, bus_of, profile, change, identity):
    hold_known(fake)
    change(fake)
    bus, device = bus_of(profile(KNOWN), identity=identity)
    with pytest.raises(PollError) as caught:
        await poll(bus, device, Group.ONCE)
    assert caught.value.outage is Outage.IDENTITY
    assert "AB-123" not in caught.value.detail


async def test_inspection_shows_words_beside_values_and_hides_who_it_is_in_the_fixture(fake, bus_of, profile):
    hold_known(fake)
    bus, device = bus_of(profile(KNOWN))
    seen = await modbus.inspect(bus, device)
    shown = {exchange.request: exchange.raw for exchange in seen.exchanges}
    assert shown["unit 1 function 3 address 0 count 1"] == [500]
    assert shown["unit 1 function 3 address 210 count 4 (serial)"] == [0x4142, 0x2D31, 0x3233, 0]
    assert [raw for request, raw in shown.items() if "address 220" in request] == ["refused by the device"]
    assert named(seen.answer) == {"power_watts": 500.0}
    assert dict(seen.answer.info)["serial"] == "AB-123"
    assert seen.fixture["facts"]["serial"] == "00" * 8
    assert "AB-123" not in str(seen.fixture)
    assert "4142" not in str(seen.fixture)
    assert struct.pack(">H", 500).hex() in str(seen.fixture["blocks"])


async def test_a_fixture_holds_what_a_test_needs_to_decode_it_again(fake, bus_of, profile):
    hold_meter(fake)
    bus, device = bus_of(profile(METER))
    fixture = (await modbus.inspect(bus, device)).fixture
    points = profiles.load(profile(METER)).points
    answers = []
    for block in fixture["blocks"]:
        end = block["address"] + block["count"]
        inside = tuple(p for p in points if block["address"] <= p.address and p.end <= end)
        answers.append((compile_block(inside), bytes.fromhex(block["data"])))
    assert {reading.metric.name: reading.value for reading in decode(answers)} == fixture["readings"]
    assert fixture["readings"] == GOOD | {"energy_watt_hours": 1234000.0}


async def test_the_slow_group_alone_cannot_fail_an_inspection(fake, bus_of, profile, frame):
    hold_meter(fake)

    async def script(request, wire):
        if request.address != 60:
            return False
        wire.send(frame(request, bytes([0x83, 4])))
        return True

    fake.script = script
    bus, device = bus_of(profile(METER))
    seen = await modbus.inspect(bus, device)
    assert named(seen.answer) == GOOD
    assert seen.answer.outage is Outage.PARTIAL
    assert "slow" in seen.answer.detail


async def test_inspection_shows_what_is_refused(fake, bus_of, profile):
    hold_meter(fake)
    del fake.registers[1, 3][40]
    bus, device = bus_of(profile(METER))
    seen = await modbus.inspect(bus, device)
    assert seen.answer.outage is Outage.PARTIAL
    assert ("unit 1 function 3 address 40 count 1 (temperature_celsius at 40)", "refused by the device") in [
        tuple(exchange) for exchange in seen.exchanges
    ]


async def test_a_device_configured_anew_is_a_new_session(fake, bus_of, profile):
    hold_meter(fake)
    bus, device = bus_of(profile(METER))
    await poll(bus, device)
    other = Device(**{**asdict(device), "profile": profile(KNOWN, "other")})
    hold_known(fake)
    assert named(await poll(bus, other)) == {"power_watts": 500.0}


async def test_a_profile_that_vanished_is_an_outage_and_no_crash(fake, bus_of, tmp_path):
    bus, device = bus_of(str(tmp_path / "gone.yaml"))
    with pytest.raises(PollError) as caught:
        await poll(bus, device)
    assert caught.value.outage is Outage.UNSUPPORTED


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("tcp://10.0.0.1:1502", "10.0.0.1:1502"),
        ("tcp://10.0.0.1", "10.0.0.1:502"),
        ("10.0.0.1:5020", "10.0.0.1:5020"),
        ("tcp://PDU-1.site:502", "pdu-1.site:502"),
        ("tcp://[fd00::1]:502", "fd00::1:502"),
    ],
)
def test_devices_at_one_address_share_a_link(address, key):
    device = Device(id="d", site="s", kind="pdu", driver="modbus", address=address, profile="raritan_px")
    assert modbus.link_key(device) == key
    assert load("modbus").open_link(device).link.port == int(key.rsplit(":", 1)[1])


def test_the_driver_knows_kind_and_groups_from_the_profile():
    driver = load("modbus")
    device = Device(id="d", site="s", kind="", driver="modbus", address="tcp://x", profile="apc_inrow_sc")
    assert driver.kind(device) == "cooling"
    assert driver.groups(device) == (Group.FAST, Group.SLOW)
    assert profiles.load("apc_inrow_sc").points[0].metric is CATALOGUE["unit_alarm"]

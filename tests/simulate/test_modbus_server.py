import asyncio
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymodbus.client import AsyncModbusTcpClient

from keeld.simulate.faults import Fault, FaultKind
from keeld.simulate.modbus import ModbusConnection
from keeld.simulate.recorder import Recorder
from keeld.simulate.registers import Refused
from keeld.simulate.script import Incident, IncidentKind
from keeld.simulate.site import SimulatedSite


def address_of(site, name):
    host, port = site.devices[name].address.removeprefix("tcp://").split(":")
    return host, int(port)


def frame(function, body, *, unit=1, transaction=1):
    return struct.pack(">HHHBB", transaction, 0, len(body) + 2, unit, function) + body


def read_frame(address, count, *, function=3, unit=1, transaction=1):
    return frame(function, struct.pack(">HH", address, count), unit=unit, transaction=transaction)


async def ask(site, name, request, *, timeout_s=1.0):
    """Send bytes and give the first answer frame, or None where none comes."""
    reader, writer = await asyncio.open_connection(*address_of(site, name))
    try:
        writer.write(request)
        async with asyncio.timeout(timeout_s):
            head = await reader.readexactly(6)
            return head + await reader.readexactly(struct.unpack(">H", head[4:])[0])
    except TimeoutError:
        return None
    finally:
        writer.close()


async def test_pymodbus_reads_what_the_plant_does(site):
    async with SimulatedSite(site) as served:
        host, port = address_of(site, "meter")
        client = AsyncModbusTcpClient(host, port=port, retries=0)
        assert await client.connect()
        answer = await client.read_input_registers(52, count=2, device_id=7)
        client.close()
        watts = struct.unpack(">f", struct.pack(">HH", *answer.registers))[0]
        assert watts == pytest.approx(served.plant.taps["m1", "a"].power.watts, rel=0.02)
        assert watts > 14e3


async def test_raw_words_of_a_low_word_first_meter(site):
    async with SimulatedSite(site) as served:
        answer = await ask(site, "top", read_frame(0, 2, function=4, unit=8, transaction=0x1234))
        assert answer[:9].hex() == "123400000007080404"
        low, high = struct.unpack(">HH", answer[9:])
        assert (high << 16 | low) / 10 == pytest.approx(239.6 * served.plant.grid_factor, abs=0.2)


async def test_several_units_share_a_gateway(site):
    async with SimulatedSite(site):
        assert (await ask(site, "meter", read_frame(0, 2, function=4, unit=7)))[7] == 4
        absent = await ask(site, "meter", read_frame(0, 2, function=4, unit=9))
        assert absent[7:] == bytes((0x84, 0x0B))


async def test_a_lone_device_answers_as_unit_255(site):
    async with SimulatedSite(site):
        assert (await ask(site, "pdu-a", read_frame(0x3008, 2, unit=255)))[6:8] == bytes((255, 3))
        assert await ask(site, "pdu-a", read_frame(0x3008, 2, unit=9), timeout_s=0.2) is None


@pytest.mark.parametrize(
    ("function", "body"), [(6, b"\x00\x01\x00\x02"), (16, b"\x00\x01\x00\x01\x02\x00\x05"), (8, b"")]
)
async def test_a_write_is_recorded_and_refused(site, function, body):
    async with SimulatedSite(site) as served:
        assert (await ask(site, "pdu-a", frame(function, body)))[7:] == bytes((function | 0x80, 1))
        assert served.recorder.totals()["writes"] == 1
        assert [(entry.device, entry.what) for entry in served.recorder.others()] == [("pdu-a", f"modbus {function}")]


async def test_identification_is_a_read(site):
    async with SimulatedSite(site) as served:
        answer = await ask(site, "pdu-a", frame(0x2B, b"\x0e\x01\x00"))
        assert b"keeld simulator" in answer
        assert (await ask(site, "pdu-a", frame(0x2B, b"\x0e\x04\x07")))[7:] == b"\xab\x02"
        assert (await ask(site, "pdu-a", frame(0x2B, b"\x0d\x01")))[7:] == b"\xab\x01"
        assert served.recorder.totals()["writes"] == 1  # 43/13 is no identification


async def test_requests_in_one_segment_and_in_many(site):
    async with SimulatedSite(site):
        reader, writer = await asyncio.open_connection(*address_of(site, "pdu-a"))
        writer.write(read_frame(0x3008, 2, transaction=1) + read_frame(0x3012, 2, transaction=2))
        first = await reader.readexactly(13)
        second = await reader.readexactly(13)
        for byte in read_frame(0x3008, 2, transaction=3):
            writer.write(bytes((byte,)))
            await asyncio.sleep(0.001)
        third = await reader.readexactly(13)
        writer.close()
        assert [answer[1] for answer in (first, second, third)] == [1, 2, 3]


async def test_garbage_ends_the_connection_and_is_recorded(site):
    async with SimulatedSite(site) as served:
        reader, writer = await asyncio.open_connection(*address_of(site, "pdu-a"))
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert await reader.read() == b""
        writer.close()
        assert served.recorder.tally("pdu-a").distinct == {"garbage": 1}


async def test_silence_after_a_feed_is_lost_and_answers_after_it_is_back(site):
    async with SimulatedSite(site) as served:
        await served.add(Incident(kind=IncidentKind.FEED_LOSS, target="g-a", start_s=0, duration_s=60))
        await served.advance(1)
        assert await ask(site, "pdu-a", read_frame(0x3008, 2), timeout_s=0.2) is None
        assert await ask(site, "pdu-b", read_frame(0x3008, 2)) is not None
        await served.advance(60)
        await served.advance(20)
        assert await ask(site, "pdu-a", read_frame(0x3008, 2)) is not None


async def test_a_gateway_answers_for_its_dead_unit(site):
    async with SimulatedSite(site) as served:
        await served.add(Incident(kind=IncidentKind.FEED_LOSS, target="m-a", start_s=0, duration_s=60))
        await served.advance(1)
        assert (await ask(site, "meter", read_frame(0, 2, function=4, unit=7)))[7:] == b"\x84\x0b"
        assert (await ask(site, "top", read_frame(0, 2, function=4, unit=8)))[7] == 4


async def test_a_silent_gateway_silences_all_its_units(site):
    async with SimulatedSite(site) as served:
        await served.add(Incident(kind=IncidentKind.PDU_GATEWAY_SILENT, target="meter", start_s=0, duration_s=60))
        for unit in (7, 8, 99):
            assert await ask(site, "meter", read_frame(0, 2, function=4, unit=unit), timeout_s=0.1) is None


async def test_a_stuck_sensor_repeats_itself(site):
    async with SimulatedSite(site) as served:
        before = await ask(site, "meter", read_frame(52, 2, function=4, unit=7))
        await served.add(
            Incident(kind=IncidentKind.SENSOR_STUCK, target="meter", start_s=0, duration_s=60, metric="power_watts")
        )
        hertz = await ask(site, "meter", read_frame(70, 2, function=4, unit=7))
        await served.advance(5)
        assert await ask(site, "meter", read_frame(52, 2, function=4, unit=7)) == before
        assert await ask(site, "meter", read_frame(70, 2, function=4, unit=7)) != hertz


async def fault_answer(site, fault, *, timeout_s=1.0):
    async with SimulatedSite(site) as served:
        await served.fail("pdu-a", fault)
        return await ask(site, "pdu-a", read_frame(0x3008, 4), timeout_s=timeout_s)


async def test_fault_delay(site):
    began_s = asyncio.get_running_loop().time()
    assert await fault_answer(site, Fault(FaultKind.DELAY, 0.3)) is not None
    assert asyncio.get_running_loop().time() - began_s >= 0.3


async def test_fault_silence(site):
    assert await fault_answer(site, Fault(FaultKind.SILENCE), timeout_s=0.2) is None


async def test_fault_reset(site):
    with pytest.raises(ConnectionResetError):
        await fault_answer(site, Fault(FaultKind.RESET))


async def test_fault_garbage(site):
    async with SimulatedSite(site) as served:
        await served.fail("pdu-a", Fault(FaultKind.GARBAGE))
        reader, writer = await asyncio.open_connection(*address_of(site, "pdu-a"))
        writer.write(read_frame(0x3008, 4))
        garbage = await reader.readexactly(17)
        writer.close()
        assert garbage[:9] != bytes.fromhex("0001000000 0b010308")


async def test_fault_wrong_length_gives_half_of_the_registers(site):
    answer = await fault_answer(site, Fault(FaultKind.WRONG_LENGTH))
    assert answer[7:9] == bytes((3, 4))
    assert len(answer) == 13


@pytest.mark.parametrize("code", [2, 4, 6, 10, 11])
async def test_fault_exception(site, code):
    assert (await fault_answer(site, Fault(FaultKind.EXCEPTION, code)))[7:] == bytes((0x83, code))


async def test_fault_drip(site):
    assert (await fault_answer(site, Fault(FaultKind.DRIP), timeout_s=3))[7:9] == bytes((3, 8))


async def test_fault_huge_is_paced_by_its_reader(site):
    async with SimulatedSite(site) as served:
        await served.fail("pdu-a", Fault(FaultKind.HUGE, 1))
        reader, writer = await asyncio.open_connection(*address_of(site, "pdu-a"))
        writer.write(read_frame(0x3008, 4))
        assert len(await reader.readexactly(1 << 20)) == 1 << 20
        writer.close()


async def test_fault_stop_refuses_and_comes_back(site):
    async with SimulatedSite(site) as served:
        reader, writer = await asyncio.open_connection(*address_of(site, "pdu-a"))
        await asyncio.sleep(0.05)
        await served.fail("pdu-a", Fault(FaultKind.STOP), duration_s=5)
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await ask(site, "pdu-a", read_frame(0x3008, 2))
        await served.advance(6)
        assert await ask(site, "pdu-a", read_frame(0x3008, 2)) is not None


class Unit:
    id = "unit"

    def read(self, _offset, _function, address, count):
        if address:
            raise Refused(2)
        return bytes(2 * count)

    def identification(self):
        return {0: "x"}

    def answers(self):
        return True

    def is_reachable(self):
        return True

    def fault(self):
        return None


class Wire(asyncio.Transport):
    def __init__(self):
        super().__init__()
        self.sent = b""
        self.closed = False

    def write(self, data):
        self.sent += data

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=200)
@given(st.lists(st.binary(max_size=300), max_size=6))
def test_any_bytes_are_recorded_and_answered_within_bounds(segments):
    recorder, wire = Recorder(), Wire()
    connection = ModbusConnection({1: (Unit(), 0)}, recorder, is_gateway=True, address="gateway")
    connection.connection_made(wire)
    for segment in segments:
        if not wire.closed:
            connection.data_received(segment)
    assert len(connection._buffer) < 260
    tallies = recorder.tallies.values()
    if not wire.closed:
        assert sum(t.received_bytes for t in tallies) + len(connection._buffer) == sum(map(len, segments))
    assert len(wire.sent) <= 260 * sum(t.reads + t.others for t in tallies)
    connection.connection_lost(None)


async def flood(writer):
    for _ in range(2000):
        writer.write(read_frame(0, 36, function=4, unit=7) * 100)
        await writer.drain()
        await asyncio.sleep(0)


async def test_a_client_that_never_reads_is_cut_off(site):
    async with SimulatedSite(site) as served:
        reader, writer = await asyncio.open_connection(*address_of(site, "meter"), limit=1)
        with pytest.raises(ConnectionError):
            await flood(writer)
        assert reader.exception() is not None or reader.at_eof()
        assert served.recorder.tally("meter").reads < 200_000


async def test_a_client_that_asks_on_before_a_slow_answer_is_cut_off(site):
    async with SimulatedSite(site) as served:
        await served.fail("pdu-a", Fault(FaultKind.DELAY, 30))
        reader, writer = await asyncio.open_connection(*address_of(site, "pdu-a"))
        writer.write(read_frame(0x3008, 2) * 1200)
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        writer.close()

"""The link against a device that is wrong in every way known: a right value, or an error; never a wrong value."""

import asyncio
import socket
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keeld.errors import Outage, PollError
from keeld.links import modbus, modbus_frames
from keeld.links.modbus import ModbusLink, RegisterRefused, Terms

LENIENT = Terms(check_transaction=False, check_unit=False)


@pytest.fixture
async def link(fake, monkeypatch):
    monkeypatch.setattr(modbus, "_BUSY_WAITS_S", (0.01, 0.01, 0.01))
    monkeypatch.setattr(modbus, "_FIRST_BACKOFF_S", 0.05)
    fake.hold(0, [100, 101, 102, 103])
    made = ModbusLink("127.0.0.1", fake.port, connect_timeout_s=0.5, response_timeout_s=0.3)
    yield made
    await made.close()


async def outage_of(link, *, within_s=2.0, count=4, unit=1, terms=modbus.STRICT):
    async with asyncio.timeout(within_s):
        with pytest.raises(PollError) as caught:
            await link.read(unit, 3, 0, count, terms=terms)
    return caught.value.outage


async def values(link, address=0, count=4, terms=modbus.STRICT):
    async with asyncio.timeout(2):
        data = await link.read(1, 3, address, count, terms=terms)
    return list(struct.unpack(f">{count}H", data))


def once(action):
    """A script that misbehaves on the first request only."""
    spent = False

    async def script(request, wire):
        nonlocal spent
        if spent:
            return False
        spent = True
        return await action(request, wire)

    return script


async def test_reads_registers_and_reuses_the_connection(fake, link):
    assert await values(link) == [100, 101, 102, 103]
    assert await values(link, 1, 2) == [101, 102]
    assert fake.connections == 1
    assert [request.transaction for request in fake.requests] == [1, 2]


async def test_reads_bits_packed_lowest_first(fake, link, frame):
    async def script(request, wire):
        wire.send(frame(request, bytes([request.function, 2, 0b10000001, 0b10])))
        return True

    fake.script = script
    assert await link.read(1, 1, 0, 10) == b"\x81\x02"
    assert await link.read(1, 2, 0, 10) == b"\x81\x02"


@pytest.mark.parametrize("function", [0, 5, 6, 7, 8, 15, 16, 17, 22, 23, 24, 43, 128, 131, 255, -1, True + 4])
async def test_nothing_but_a_read_is_ever_sent(fake, link, function):
    if function in modbus_frames.READ_FUNCTIONS:
        pytest.fail("the list is of functions that are no reads")
    with pytest.raises(ValueError, match="not a read"):
        await link.read(1, function, 0, 1)
    assert fake.raw == []
    assert fake.connections == 0


@pytest.mark.parametrize(
    ("unit", "function", "address", "count"),
    [(256, 3, 0, 1), (-1, 3, 0, 1), (1, 3, 0, 0), (1, 3, 0, 126), (1, 4, 65535, 2), (1, 1, 0, 2001), (1, 3, -1, 1)],
)
async def test_a_read_that_does_not_fit_the_protocol_is_not_sent(fake, link, unit, function, address, count):
    with pytest.raises(ValueError, match=r"outside|cannot read"):
        await link.read(unit, function, address, count)
    assert fake.connections == 0


@given(
    unit=st.integers(-2, 300),
    function=st.integers(-2, 300),
    address=st.integers(-2, 70000),
    count=st.integers(-2, 3000),
)
def test_the_framer_lets_only_reads_out(unit, function, address, count):
    framer = modbus_frames.StrictFramer(lambda error: None)
    try:
        frame = framer.buildFrame(modbus_frames.ReadRequest(unit, function, address, count))
    except ValueError:
        return
    assert frame[7] in {1, 2, 3, 4}
    assert struct.unpack(">BBHH", frame[6:]) == (unit, function, address, count)


def test_the_framer_refuses_a_request_that_was_changed_after_its_check():
    framer = modbus_frames.StrictFramer(lambda error: None)
    request = modbus_frames.ReadRequest(1, 3, 0, 1)
    request.function_code = 6
    with pytest.raises(ValueError, match="not a read"):
        framer.buildFrame(request)


async def test_a_slow_answer_is_an_answer(fake, link):
    async def slow(request, wire):
        await asyncio.sleep(0.27)
        return False

    fake.script = once(slow)
    assert await values(link) == [100, 101, 102, 103]


async def test_silence_ends_at_the_callers_deadline_and_the_late_answer_is_not_the_next_one(
    fake, link, frame, words_pdu
):
    first = None

    async def late(request, wire):
        nonlocal first
        first = request
        return True

    fake.script = once(late)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await link.read(1, 3, 0, 4)

    async def both(request, wire):
        wire.send(frame(first, words_pdu(3, [7, 7, 7, 7])))  # the answer to the cancelled request, just now
        return False

    fake.script = once(both)
    assert await values(link) == [100, 101, 102, 103]
    assert fake.connections == 1


async def test_a_late_answer_of_another_length_does_no_harm_either(fake, link, frame, words_pdu):
    kept = []

    async def late(request, wire):
        kept.append(request)
        return True

    fake.script = once(late)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await link.read(1, 3, 0, 2)

    async def both(request, wire):
        data = frame(kept[0], words_pdu(3, [7, 7]))
        wire.send(data[:6])
        await asyncio.sleep(0.02)
        wire.send(data[6:])
        return False

    fake.script = once(both)
    assert await values(link) == [100, 101, 102, 103]


async def test_half_an_answer_before_the_deadline_ends_the_connection(fake, link, frame, words_pdu):
    async def half(request, wire):
        wire.send(frame(request, words_pdu(3, [7, 7, 7, 7]))[:11])
        return True

    fake.script = once(half)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await link.read(1, 3, 0, 4)
    assert await values(link) == [100, 101, 102, 103]
    assert fake.connections == 2


async def test_the_link_itself_gives_up_in_the_end(fake, link):
    async def silent(request, wire):
        return True

    fake.script = silent
    assert await outage_of(link) is Outage.TIMEOUT


async def test_two_silences_in_a_row_end_a_connection_that_may_be_half_open(fake, link):
    assert await values(link) == [100, 101, 102, 103]
    spent = 0

    async def silent_twice(request, wire):
        nonlocal spent
        spent += 1
        return spent <= 2

    fake.script = silent_twice
    assert [await outage_of(link), await outage_of(link)] == [Outage.TIMEOUT, Outage.TIMEOUT]
    assert await values(link) == [100, 101, 102, 103]
    assert fake.connections == 2


@pytest.mark.parametrize("transaction", [0, 2, 40000])
async def test_an_answer_to_another_transaction_is_no_answer(fake, link, frame, words_pdu, transaction):
    async def stale(request, wire):
        wire.send(frame(request, words_pdu(3, [7, 7, 7, 7]), transaction=transaction))
        return True

    fake.script = once(stale)
    assert await outage_of(link) is Outage.TIMEOUT
    assert await values(link) == [100, 101, 102, 103]


@pytest.mark.parametrize("transaction", [0, 9])
async def test_a_stale_answer_before_the_good_one_is_passed_over(fake, link, frame, words_pdu, transaction):
    async def stale_then_good(request, wire):
        stale = frame(request, words_pdu(3, [7, 7, 7, 7]), transaction=transaction)
        wire.send(stale + fake.answer(request))
        return True

    fake.script = stale_then_good
    assert await values(link) == [100, 101, 102, 103]
    assert await values(link) == [100, 101, 102, 103]


async def test_a_flood_of_other_answers_is_not_waited_out(fake, link, frame, words_pdu):
    async def flood(request, wire):
        wire.send(frame(request, words_pdu(3, [7]), transaction=9) * 5000)
        return True

    fake.script = once(flood)
    assert await outage_of(link, within_s=0.25) is Outage.GARBLED
    assert await values(link) == [100, 101, 102, 103]


async def test_a_gateway_that_echoes_no_transaction_is_read_when_the_profile_says_so(fake, link, frame, words_pdu):
    async def always_two(request, wire):
        wire.send(frame(request, words_pdu(3, [1, 2, 3, request.transaction]), transaction=2))
        return True

    fake.script = always_two
    assert await values(link, terms=LENIENT) == [1, 2, 3, 1]
    assert await values(link, terms=LENIENT) == [1, 2, 3, 2]


async def test_without_transactions_to_check_a_silence_ends_the_connection(fake, link, frame, words_pdu):
    async def late(request, wire):
        await asyncio.sleep(0.1)
        wire.send(frame(request, words_pdu(3, [7, 7, 7, 7])))
        return True

    fake.script = once(late)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await link.read(1, 3, 0, 4, terms=LENIENT)
    await asyncio.sleep(0.1)
    assert await values(link, terms=LENIENT) == [100, 101, 102, 103]
    assert fake.connections == 2


async def test_without_transactions_to_check_an_answer_nobody_asked_for_ends_the_connection(
    fake, link, frame, words_pdu
):
    async def twice(request, wire):
        wire.send(fake.answer(request))
        await asyncio.sleep(0.05)
        wire.send(frame(request, words_pdu(3, [7, 7, 7, 7])))
        return True

    fake.script = once(twice)
    assert await values(link, terms=LENIENT) == [100, 101, 102, 103]
    await asyncio.sleep(0.1)
    assert await values(link, terms=LENIENT) == [100, 101, 102, 103]
    assert fake.connections == 2


WRONG = {
    "short count": lambda q, frame, words: frame(q, words(3, [7, 7])),
    "long count": lambda q, frame, words: frame(q, words(3, [7] * 5)),
    "wrong function": lambda q, frame, words: frame(q, words(4, [7, 7, 7, 7])),
    "write echoed": lambda q, frame, words: frame(q, bytes([6, 0, 0, 0, 7])),
    "unit 255": lambda q, frame, words: frame(q, words(3, [7, 7, 7, 7]), unit=255),
    "byte count lies": lambda q, frame, words: frame(q, bytes([3, 6]) + bytes(8)),
    "odd byte count": lambda q, frame, words: frame(q, bytes([3, 7]) + bytes(7)),
    "refusal of another function": lambda q, frame, words: frame(q, bytes([0x84, 2])),
    "refusal without code": lambda q, frame, words: frame(q, bytes([0x83, 2, 0])),
    "unknown exception": lambda q, frame, words: frame(q, bytes([0x83, 0x63])),
    "exception zero": lambda q, frame, words: frame(q, bytes([0x83, 0])),
    "junk": lambda q, frame, words: b"\xff" * 40,
    "text": lambda q, frame, words: b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "junk before the answer": lambda q, frame, words: b"\x00\xff" + frame(q, words(3, [7, 7, 7, 7])),
    "length of zero": lambda q, frame, words: struct.pack(">HHHB", q.transaction, 0, 0, 1) + bytes(8),
    "length beyond any answer": lambda q, frame, words: struct.pack(">HHHB", q.transaction, 0, 60000, 1) + bytes(8),
    "huge": lambda q, frame, words: b"\xaa" * 3_000_000,
}


@pytest.mark.parametrize("name", WRONG)
async def test_an_answer_that_is_wrong_is_garbled_and_the_next_poll_is_right(fake, link, frame, words_pdu, name):
    async def wrong(request, wire):
        wire.send(WRONG[name](request, frame, words_pdu))
        return True

    fake.script = once(wrong)
    assert await outage_of(link, within_s=0.28) is Outage.GARBLED
    assert await values(link) == [100, 101, 102, 103]


async def test_a_device_that_answers_as_another_unit_is_read_when_the_profile_says_so(fake, link, frame, words_pdu):
    async def as_255(request, wire):
        wire.send(frame(request, words_pdu(3, [1, 2, 3, 4]), unit=255))
        return True

    fake.script = as_255
    assert await values(link, terms=Terms(check_unit=False)) == [1, 2, 3, 4]


@pytest.mark.parametrize("code", [1, 2, 3])
async def test_a_refusal_tells_its_code_and_keeps_the_connection(fake, link, frame, code):
    async def refuse(request, wire):
        wire.send(frame(request, bytes([0x83, code])))
        return True

    fake.script = once(refuse)
    with pytest.raises(RegisterRefused) as caught:
        await link.read(1, 3, 0, 4)
    assert caught.value.code == code
    assert await values(link) == [100, 101, 102, 103]
    assert fake.connections == 1


@pytest.mark.parametrize("code", [4, 0x0A, 0x0B])
async def test_a_dead_unit_behind_a_gateway_leaves_the_connection_to_its_neighbours(fake, link, frame, code):
    async def dead_unit(request, wire):
        if request.unit != 9:
            return False
        wire.send(frame(request, bytes([0x83, code])))
        return True

    fake.script = dead_unit
    assert await outage_of(link, unit=9) is Outage.UNIT_DOWN
    assert await values(link) == [100, 101, 102, 103]
    assert fake.connections == 1


@pytest.mark.parametrize("code", [5, 6])
async def test_a_busy_device_is_asked_again_a_few_times(fake, link, frame, code):
    async def busy(request, wire):
        if len(fake.requests) > 3:
            return False
        wire.send(frame(request, bytes([0x83, code])))
        return True

    fake.script = busy
    assert await values(link) == [100, 101, 102, 103]
    assert len(fake.requests) == 4


async def test_a_device_that_stays_busy_is_left_alone(fake, link, frame):
    async def busy(request, wire):
        wire.send(frame(request, bytes([0x83, 6])))
        return True

    fake.script = busy
    assert await outage_of(link) is Outage.BUSY
    assert len(fake.requests) == 4


async def test_an_answer_in_single_bytes_is_put_together(fake, link):
    async def drip(request, wire):
        for byte in fake.answer(request):
            wire.send(bytes([byte]))
            await asyncio.sleep(0.002)
        return True

    fake.script = drip
    assert await values(link) == [100, 101, 102, 103]


async def test_a_connection_closed_while_idle_is_replaced_without_a_word(fake, link):
    assert await values(link) == [100, 101, 102, 103]
    fake.drop_all()
    await asyncio.sleep(0.02)
    assert await values(link) == [100, 101, 102, 103]
    assert fake.connections == 2


async def test_a_connection_that_dies_as_it_is_used_is_replaced_once(fake, link):
    assert await values(link) == [100, 101, 102, 103]

    async def reset(request, wire):
        wire.reset()
        return True

    fake.script = once(reset)
    assert await values(link) == [100, 101, 102, 103]
    assert fake.connections == 2
    fake.script = reset
    assert await outage_of(link, within_s=0.2) is Outage.UNREACHABLE
    assert len(fake.requests) <= 6


async def test_a_reset_before_any_answer_fails_at_once_and_heals(fake, link):
    async def reset(request, wire):
        wire.reset()
        return True

    fake.script = once(reset)
    assert await outage_of(link, within_s=0.2) is Outage.UNREACHABLE
    await asyncio.sleep(0.06)
    assert await values(link) == [100, 101, 102, 103]


async def test_a_device_that_hangs_up_on_everybody_is_not_stormed(fake, link):
    fake.most_clients = 0
    started = asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() - started < 0.5:
        assert await outage_of(link) is Outage.UNREACHABLE
        await asyncio.sleep(0.005)
    assert fake.connections <= 9  # three at once, then after 0.05 s, then twice as long each time


async def test_a_gateway_that_hangs_up_on_dead_units_still_serves_the_others(fake, link):
    dead = {2, 3, 4}

    async def hang_up(request, wire):
        if request.unit in dead:
            wire.hang_up()
        return request.unit in dead

    fake.hold(0, [500], unit=5)
    fake.script = hang_up
    for _ in range(5):
        assert await values(link) == [100, 101, 102, 103]
        for unit in sorted(dead):
            assert await outage_of(link, unit=unit) is Outage.UNREACHABLE
        assert await link.read(5, 3, 0, 1) == (500).to_bytes(2, "big")


async def test_a_device_with_one_client_at_a_time_is_read_when_it_is_free(fake, link):
    fake.most_clients = 1
    _, writer = await asyncio.open_connection("127.0.0.1", fake.port)
    await asyncio.sleep(0.02)
    assert await outage_of(link) is Outage.UNREACHABLE
    writer.close()
    await writer.wait_closed()
    await asyncio.sleep(0.12)
    assert await values(link) == [100, 101, 102, 103]
    await link.hang_up()
    await asyncio.sleep(0.02)
    assert not fake.open


async def test_a_closed_port_is_refused_and_asked_for_ever_more_rarely(monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    link = ModbusLink("127.0.0.1", port)
    assert await outage_of(link) is Outage.REFUSED
    tried = link._failures
    for _ in range(50):
        assert await outage_of(link, within_s=0.05) is Outage.REFUSED
    assert link._failures == tried == 1
    link._failures = 30
    link._back_off(Outage.REFUSED, "nobody")
    rest_s = link._retry_s - asyncio.get_running_loop().time()
    assert 15.0 <= rest_s <= 30.0


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70 + ".invalid", "", "host with space", "::::"])
async def test_a_host_that_no_dns_knows_is_unreachable(host):
    link = ModbusLink(host, 502, connect_timeout_s=5)
    assert await outage_of(link, within_s=6) in {Outage.UNREACHABLE, Outage.TIMEOUT, Outage.REFUSED}


async def test_a_host_that_swallows_everything_times_out_on_connecting():
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = []
        for _ in range(4):  # the kernel drops what does not fit into the queue
            filler = socket.socket()
            filler.setblocking(False)  # noqa: FBT003 - the library's signature
            filler.connect_ex(full.getsockname())
            fillers.append(filler)
        link = ModbusLink("127.0.0.1", full.getsockname()[1], connect_timeout_s=0.2)
        assert await outage_of(link) is Outage.TIMEOUT
        link._retry_s = 0.0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await link.read(1, 3, 0, 1)
        assert await outage_of(link, within_s=0.05) is Outage.TIMEOUT  # still resting from the cancelled try
        for filler in fillers:
            filler.close()
        await link.close()


async def test_accepted_and_then_ignored_is_a_timeout_every_time_and_heals(fake, link):
    async def silent(request, wire):
        return True

    fake.script = silent
    for _ in range(4):
        assert await outage_of(link) is Outage.TIMEOUT
    assert fake.connections == 2
    fake.script = None
    assert await values(link) == [100, 101, 102, 103]


async def test_cancelled_at_every_point_the_next_read_is_right(fake, link, frame, words_pdu):
    async def script(request, wire):
        await asyncio.sleep(0.004)
        wire.send(frame(request, words_pdu(3, [request.address] * request.count)))
        return True

    fake.script = script
    for step in range(40):
        task = asyncio.create_task(link.read(1, 3, step, 2))
        await asyncio.sleep(step * 0.0002)
        task.cancel()
        await asyncio.wait([task])
        link._retry_s = 0.0  # a cancelled connect rests too; that is another test
        assert await values(link, 1000 + step, 3) == [1000 + step] * 3


async def test_reads_that_meet_wait_for_one_another(fake, link):
    assert await asyncio.gather(*(values(link, address, 1) for address in range(4))) == [[100], [101], [102], [103]]
    assert fake.connections == 1


async def test_the_socket_notices_a_peer_that_is_gone(fake, link):
    await values(link)
    peer = link._connection._manager.transport.get_extra_info("socket")
    options = {
        name: peer.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
        for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_NODELAY", "TCP_USER_TIMEOUT")
    }
    assert peer.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert options == {
        "TCP_KEEPIDLE": 15,
        "TCP_KEEPINTVL": 5,
        "TCP_KEEPCNT": 3,
        "TCP_NODELAY": 1,
        "TCP_USER_TIMEOUT": 30_000,
    }


async def test_pauses_are_kept_where_the_profile_asks_for_them(fake, link):
    loop = asyncio.get_running_loop()
    terms = Terms(connect_delay_s=0.05, request_gap_s=0.04)
    started = loop.time()
    await values(link, terms=terms)
    assert loop.time() - started >= 0.05
    started = loop.time()
    await values(link, terms=terms)
    assert loop.time() - started >= 0.035


async def test_closing_ends_a_read_that_is_under_way(fake):
    async def silent(request, wire):
        return True

    fake.script = silent
    link = ModbusLink("127.0.0.1", fake.port)
    task = asyncio.create_task(link.read(1, 3, 0, 1))
    await asyncio.sleep(0.05)
    await link.close()
    with pytest.raises(PollError):
        async with asyncio.timeout(0.5):
            await task
    await link.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chunks=st.lists(st.binary(max_size=300), max_size=6), asked=st.booleans(), strict=st.booleans())
def test_any_bytes_are_an_answer_of_the_right_length_or_a_fault(chunks, asked, strict):
    faults = []
    framer = modbus_frames.StrictFramer(faults.append)
    framer.check_transaction = strict
    if asked:
        request = modbus_frames.ReadRequest(1, 3, 0, 4)
        request.transaction_id = 1
        framer.buildFrame(request)
    buffer = b""
    for chunk in chunks:
        buffer += chunk
        used, answer = framer.handleFrame(buffer, 1, 1)
        assert 0 <= used <= len(buffer)
        buffer = buffer[used:]
        assert answer is None or (asked and (answer.exception_code or len(answer.data) == 8))
        if faults:
            return
        assert len(buffer) < 260


@settings(max_examples=100, deadline=None)
@given(cuts=st.lists(st.integers(1, 40), max_size=8), words=st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=125))
def test_an_answer_cut_anywhere_is_the_same_answer(cuts, words):
    framer = modbus_frames.StrictFramer(lambda error: pytest.fail(str(error)))
    request = modbus_frames.ReadRequest(1, 3, 0, len(words))
    request.transaction_id = 5
    framer.buildFrame(request)
    data = struct.pack(f">{len(words)}H", *words)
    wire = struct.pack(">HHHBBB", 5, 0, len(data) + 3, 1, 3, len(data)) + data
    buffer, found = b"", None
    for cut in [*cuts, len(wire)]:
        buffer, wire = buffer + wire[:cut], wire[cut:]
        used, answer = framer.handleFrame(buffer, 1, 5)
        buffer = buffer[used:]
        found = found or answer
    assert found is not None
    assert found.data == data

"""The link against a socket that misbehaves in every way miners do."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import errno
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from keeld.errors import Outage, PollError
from keeld.links.tcp_json import ReadCommand, TcpJsonLink, split_address


class Ask(ReadCommand):
    STATS = b'{"command":"stats"}'


def link_to(miner: Any, **limits: Any) -> TcpJsonLink:
    return TcpJsonLink("127.0.0.1", miner.port, **{"timeout_s": 0.4, **limits})


async def outage_of(link: TcpJsonLink) -> Outage:
    with pytest.raises(PollError) as caught:
        await link.ask(Ask.STATS)
    assert caught.value.detail
    return caught.value.outage


def saying(*chunks: bytes, pause_s: float = 0.0, then: str = "close") -> Any:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4095)
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(pause_s)
        if then == "stay":
            with contextlib.suppress(ConnectionResetError):
                await reader.read()

    return talk


@pytest.mark.parametrize(
    ("chunks", "then"),
    [
        ((b'{"a":1}\0',), "close"),
        ((b'{"a":1}\0',), "stay"),
        ((b'{"a":1}\n',), "stay"),
        ((b'{"a":1}\r\n',), "stay"),
        ((b'{"a":1}',), "close"),
        ((b'{"a":1}\0trailing rubbish',), "stay"),
        ((b'{"a":1', b"}", b"\0"), "stay"),
        ((b'{"a":\n{}\n', b',"b":2}\n'), "stay"),
        (tuple(bytes([byte]) for byte in b'{"a":{\n"b":[1,\n2]}\n}\n'), "stay"),
        ((b'{"a":[{"b":1}{"c":2}]}\n',), "stay"),
    ],
)
async def test_an_answer_ends_at_nul_or_complete_line_or_close(
    miner: Any, chunks: tuple[bytes, ...], then: str
) -> None:
    miner.talk = saying(*chunks, pause_s=0.001, then=then)
    began_s = time.monotonic()
    answer = await link_to(miner).ask(Ask.STATS)
    assert answer.strip() == b"".join(chunks).partition(b"\0")[0].strip()
    assert time.monotonic() - began_s < 0.3


async def test_the_request_is_one_segment_sent_at_once_and_exact(miner: Any) -> None:
    miner.answers[Ask.STATS.value] = b"{}"
    assert await link_to(miner).ask(Ask.STATS) == b"{}"
    assert miner.received == [b'{"command":"stats"}']


async def test_only_members_of_a_read_set_can_be_sent(miner: Any) -> None:
    class Other(enum.Enum):
        REBOOT = b'{"command":"restart"}'

    for command in ('{"command":"restart"}', b'{"command":"restart"}', Other.REBOOT, None):
        with pytest.raises(TypeError):
            await link_to(miner).ask(command)  # type: ignore[arg-type]  # that is the point
    await asyncio.sleep(0.02)
    assert miner.received == []
    assert miner.open_most == 0


async def test_nobody_listening_is_refused() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert await outage_of(TcpJsonLink("127.0.0.1", port, timeout_s=0.4)) is Outage.REFUSED


async def test_a_full_backlog_is_a_timeout_of_the_connection() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        fillers = []
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)  # noqa: FBT003  # the standard library's signature
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        await asyncio.sleep(0.05)
        link = TcpJsonLink("127.0.0.1", port, timeout_s=5.0, connect_timeout_s=0.2)
        began_s = time.monotonic()
        with pytest.raises(PollError, match="no connection in time") as caught:
            await link.ask(Ask.STATS)
        for filler in fillers:
            filler.close()
    assert caught.value.outage is Outage.TIMEOUT
    assert time.monotonic() - began_s < 1.0


@pytest.mark.parametrize("host", ["no-such-name.invalid", "a" * 300, "", "\udcff.example", "300.1.1.1", "host\0name"])
async def test_a_name_that_does_not_resolve_is_unreachable(host: str) -> None:
    with pytest.raises(PollError) as caught:
        await TcpJsonLink(host, 4028, timeout_s=2.0).ask(Ask.STATS)
    assert caught.value.outage in {Outage.UNREACHABLE, Outage.REFUSED}
    assert caught.value.detail.isprintable()


async def test_a_host_name_is_resolved_and_forgotten_at_a_failure(miner: Any) -> None:
    link = TcpJsonLink("localhost", miner.port, timeout_s=0.4)
    miner.answers[Ask.STATS.value] = b"{}"
    link._endpoint = (socket.AF_INET, ("127.0.0.1", miner.port))  # localhost may be ::1 first here
    assert await link.ask(Ask.STATS) == b"{}"
    assert link._endpoint is not None
    miner.talk = saying()
    assert await outage_of(link) is Outage.GARBLED
    assert link._endpoint is None


async def test_no_descriptor_left_is_said_to_be_keelds_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    link = TcpJsonLink("127.0.0.1", 4028, timeout_s=0.4)
    with monkeypatch.context() as patch:
        patch.setattr(socket, "socket", full)
        with pytest.raises(PollError, match=r"keeld has no socket for 127\.0\.0\.1: Too many open files"):
            await link.ask(Ask.STATS)


async def test_silence_is_a_timeout_and_the_connection_is_reset(miner: Any) -> None:
    ended = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read(4095)
        try:
            await reader.read()
        except ConnectionResetError:
            ended.set()

    miner.talk = say_nothing
    assert await outage_of(link_to(miner, timeout_s=0.1)) is Outage.TIMEOUT
    await asyncio.wait_for(ended.wait(), 1)


async def test_a_drip_ends_at_the_deadline(miner: Any) -> None:
    miner.talk = saying(*[b'{"a":'] * 100, pause_s=0.01)
    began_s = time.monotonic()
    assert await outage_of(link_to(miner, timeout_s=0.15)) is Outage.TIMEOUT
    assert time.monotonic() - began_s < 0.35


async def test_a_drip_of_lines_that_look_complete_costs_little(miner: Any) -> None:
    block = b"{}\n," * 5000 + b"{}\n"

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4095)
        writer.write(b'{"a":[')
        for _ in range(40):
            writer.write(block)
            await asyncio.sleep(0.001)
        await reader.read()

    miner.talk = pour
    used_s = time.process_time()
    assert await outage_of(link_to(miner, timeout_s=0.3)) is Outage.TIMEOUT
    assert time.process_time() - used_s < 1.5


async def test_an_answer_over_the_cap_is_garbled_and_not_kept(miner: Any) -> None:
    miner.talk = saying(b"x" * 70_000, b"x" * 70_000, then="stay")
    assert await outage_of(link_to(miner, most_bytes=100_000)) is Outage.GARBLED


async def test_closed_without_a_word_is_garbled(miner: Any) -> None:
    miner.talk = saying()
    assert await outage_of(link_to(miner)) is Outage.GARBLED


@pytest.mark.parametrize(("first", "expected"), [(b"", Outage.UNREACHABLE), (b'{"a":', Outage.GARBLED)])
async def test_a_reset_is_told_by_what_came_before(
    miner: Any, reset_connection: Callable[[Any], None], first: bytes, expected: Outage
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4095)
        writer.write(first)
        await writer.drain()
        await asyncio.sleep(0.02)
        reset_connection(writer)

    miner.talk = talk
    assert await outage_of(link_to(miner)) is expected


async def test_a_cancelled_request_resets_the_connection_and_leaves_nothing_behind(miner: Any) -> None:
    ended = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read(4095)
        try:
            await reader.read()
        except ConnectionResetError:
            ended.set()

    miner.talk = say_nothing
    link = link_to(miner, timeout_s=30.0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await link.ask(Ask.STATS)
    await asyncio.wait_for(ended.wait(), 1)
    miner.talk = None
    miner.answers[Ask.STATS.value] = b"{}"
    assert await link.ask(Ask.STATS) == b"{}"


async def test_what_was_learnt_is_forgotten_at_a_failure_only(miner: Any) -> None:
    link = link_to(miner)
    miner.answers[Ask.STATS.value] = b"{}"
    link.session.refused.add(Ask.STATS)
    await link.ask(Ask.STATS)
    assert link.session.refused == {Ask.STATS}
    miner.talk = saying()
    await outage_of(link)
    assert link.session.refused == set()


async def test_many_links_at_once_do_not_disturb_each_other(miner: Any) -> None:
    miner.answers[Ask.STATS.value] = b'{"x":"' + b"y" * 100_000 + b'"}'
    links = [link_to(miner, timeout_s=5.0) for _ in range(50)]
    found = await asyncio.gather(*(link.ask(Ask.STATS) for link in links))
    assert {len(answer) for answer in found} == {100_008}
    for link in links:
        await link.close()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.1.3.7", ("10.1.3.7", 4028)),
        ("10.1.3.7:4029", ("10.1.3.7", 4029)),
        ("tcp://m-01.site:4028", ("m-01.site", 4028)),
        ("tcp://m-01.site/", ("m-01.site", 4028)),
        ("[fd00::7]:5000", ("fd00::7", 5000)),
        ("[fd00::7]", ("fd00::7", 4028)),
        ("fd00::7", ("fd00::7", 4028)),
        ("host:abc", ("host", 0)),
        ("host:99999", ("host", 0)),
        ("host:²", ("host", 0)),
        ("host:" + "9" * 5000, ("host", 0)),
    ],
)
def test_addresses(address: str, expected: tuple[str, int]) -> None:
    assert split_address(address) == expected

"""A Modbus TCP device on a real socket that can be as wrong as real ones are, and more."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

import pytest


class Request(NamedTuple):
    transaction: int
    unit: int
    function: int
    address: int
    count: int


class Wire:
    """What a scripted answer can do to the connection."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def hang_up(self) -> None:
        self.writer.close()


def frame(request: Request, pdu: bytes, *, transaction: int | None = None, unit: int | None = None) -> bytes:
    head = struct.pack(
        ">HHHB",
        request.transaction if transaction is None else transaction,
        0,
        len(pdu) + 1,
        request.unit if unit is None else unit,
    )
    return head + pdu


def words_pdu(function: int, words: list[int]) -> bytes:
    return struct.pack(f">BB{len(words)}H", function, len(words) * 2, *words)


class FakeDevice:
    """Holds registers by (unit, function); gaps are refused with exception 2. `script` may answer instead."""

    def __init__(self) -> None:
        self.registers: dict[tuple[int, int], dict[int, int]] = {}
        self.longest = 125
        self.requests: list[Request] = []
        self.raw: list[bytes] = []
        self.connections = 0
        self.most_clients: int | None = None
        self.open: set[Wire] = set()
        self.script: Callable[[Request, Wire], Awaitable[bool | None]] | None = None
        self.port = 0

    def hold(self, address: int, words: list[int], *, unit: int = 1, function: int = 3) -> None:
        bank = self.registers.setdefault((unit, function), {})
        bank.update(dict(enumerate(words, start=address)))

    def float(self, address: int, value: float, *, unit: int = 1, function: int = 3) -> None:
        self.hold(address, list(struct.unpack(">2H", struct.pack(">f", value))), unit=unit, function=function)

    def answer(self, request: Request) -> bytes:
        bank = self.registers.get((request.unit, request.function))
        addresses = range(request.address, request.address + request.count)
        if bank is None:
            return frame(request, bytes([request.function | 0x80, 0x0B if request.function in (3, 4) else 1]))
        if request.count > self.longest:
            return frame(request, bytes([request.function | 0x80, 3]))
        if any(address not in bank for address in addresses):
            return frame(request, bytes([request.function | 0x80, 2]))
        return frame(request, words_pdu(request.function, [bank[address] for address in addresses]))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        wire = Wire(writer)
        if self.most_clients is not None and len(self.open) >= self.most_clients:
            writer.close()
            return
        self.open.add(wire)
        try:
            while True:
                data = await reader.readexactly(12)
                self.raw.append(data)
                transaction, _, _, unit, function, address, count = struct.unpack(">HHHBBHH", data)
                request = Request(transaction, unit, function, address, count)
                self.requests.append(request)
                if self.script is None or not await self.script(request, wire):
                    wire.send(self.answer(request))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.open.discard(wire)
            writer.close()

    def drop_all(self) -> None:
        for wire in list(self.open):
            wire.hang_up()


@pytest.fixture
async def fake() -> AsyncIterator[FakeDevice]:
    device = FakeDevice()
    server = await asyncio.start_server(device.serve, "127.0.0.1", 0)
    device.port = server.sockets[0].getsockname()[1]
    yield device
    server.close()
    for wire in list(device.open):
        wire.writer.transport.abort()
    await asyncio.sleep(0)
    await server.wait_closed()


@pytest.fixture(name="frame")
def frame_fixture() -> Callable[..., bytes]:
    return frame


@pytest.fixture(name="words_pdu")
def words_pdu_fixture() -> Callable[[int, list[int]], bytes]:
    return words_pdu


@pytest.fixture(autouse=True)
def quiet_loop(caplog):
    """Nothing may end in the event loop's log: there, nobody is told."""
    yield
    gc.collect(1)
    noise = [record.getMessage() for record in caplog.records if record.name in {"asyncio", "pymodbus.logging"}]
    assert not [line for line in noise if "socket.send() raised" not in line], noise

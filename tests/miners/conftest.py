"""A miner on a real socket: answers as cgminer's API does, or misbehaves as told; it records every byte it gets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from keeld.model import Device

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class FakeMiner:
    """`answers` maps a request to its answer; `talk` replaces the whole conversation."""

    def __init__(self) -> None:
        self.answers: dict[bytes, bytes] = {}
        self.talk: Talk | None = None
        self.received: list[bytes] = []
        self.open_now = 0
        self.open_most = 0
        self.resets = 0
        self.port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def device(self, driver: str, **fields: Any) -> Device:
        fields = {"timeout_s": 0.4, **fields}
        return Device(id="m-01", site="test", kind="miner", driver=driver, address=self.address, **fields)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open_now += 1
        self.open_most = max(self.open_most, self.open_now)
        try:
            if self.talk is not None:
                await self.talk(reader, writer)
                return
            request = await reader.read(4095)  # once, as api.c does
            self.received.append(request)
            writer.write(self.answers.get(request, refusal("Invalid command", code=14)) + b"\0")
        except ConnectionResetError:
            self.resets += 1
        finally:
            self.open_now -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def refusal(message: str, *, code: int) -> bytes:
    status = {"STATUS": "E", "When": 1, "Code": code, "Msg": message, "Description": "cgminer 1.0.0"}
    return json.dumps({"STATUS": [status], "id": 1}).encode()


def reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.fixture
async def miner() -> AsyncIterator[FakeMiner]:
    fake = FakeMiner()
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.port = server.sockets[0].getsockname()[1]
    yield fake
    server.close()
    await server.wait_closed()
    await asyncio.sleep(0)


@pytest.fixture
def reset_connection() -> Callable[[asyncio.StreamWriter], None]:
    return reset


@pytest.fixture
def refuse() -> Callable[..., bytes]:
    return refusal


@pytest.fixture
def fixture_bytes() -> Callable[[str], bytes]:
    return lambda name: (Path(__file__).parent / "fixtures" / name).read_bytes()

"""What the same exchanges cost without keeld: asyncio streams, one deadline, the standard library's decoding."""

from __future__ import annotations

import asyncio
import json
import struct

from bench.servers import FLOATS

_REGISTERS = FLOATS * 2
_DEADLINE_S = 3.0


class BareModbus:
    """Reads 100 registers over one open connection and unpacks them."""

    async def start(self, port: int) -> None:
        """Connect once; a PDU is polled over a connection that stays."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
        self._transaction = 0

    async def poll(self) -> tuple[float, ...]:
        """Make one exchange."""
        self._transaction = (self._transaction + 1) & 0xFFFF
        async with asyncio.timeout(_DEADLINE_S):
            self._writer.write(struct.pack(">HHHBBHH", self._transaction, 0, 6, 1, 3, 0, _REGISTERS))
            header = await self._reader.readexactly(9)
            body = await self._reader.readexactly(header[8])
        return struct.unpack(f">{FLOATS}f", body)

    async def stop(self) -> None:
        """Close the connection."""
        self._writer.close()
        await self._writer.wait_closed()


class BareMiner:
    """Opens a connection for each request, as a miner's API wants it, and parses the answer."""

    def __init__(self, request: bytes) -> None:
        self._request = request

    async def start(self, port: int) -> None:
        """Remember where; there is no connection to keep."""
        self._port = port

    async def poll(self) -> object:
        """Make one exchange."""
        async with asyncio.timeout(_DEADLINE_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            writer.write(self._request)
            body = await reader.readuntil(b"\0")
            writer.close()
        return json.loads(body[:-1])

    async def stop(self) -> None:
        """Nothing is open."""

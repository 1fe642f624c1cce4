"""One listening address of the simulated site, which can go away and come back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from keeld.simulate.miners import MinerConnection
from keeld.simulate.modbus import ModbusConnection
from keeld.simulate.network import SimulatorError

_BACKLOG = 100

Connection = ModbusConnection | MinerConnection


class Endpoint:
    """A server at one host and port with its connections."""

    def __init__(self, host: str, port: int, make: Callable[[], Connection]) -> None:
        self.host = host
        self.port = port
        self._make = make
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()

    @property
    def is_open(self) -> bool:
        """Whether it listens."""
        return self._server is not None

    async def open(self) -> None:
        """Begin to listen. Raises SimulatorError where the address is taken."""
        if self._server is not None:
            return
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self._accept, self.host, self.port, backlog=_BACKLOG)
        except OSError as error:
            remedy = "; write a port of 1024 or more" if isinstance(error, PermissionError) else ""
            raise SimulatorError(f"{self.host}:{self.port} cannot be served: {error.strerror}{remedy}") from None
        if self.port == 0:
            self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and reset every connection, as a machine that is switched off does once it is back."""
        if self._server is None:
            return
        self._server.close()
        for connection in tuple(self._connections):
            connection.reset()
        await self._server.wait_closed()
        self._server = None

    def _accept(self) -> Connection:
        connection = self._make()
        connection.on_lost = lambda: self._connections.discard(connection)
        self._connections.add(connection)
        return connection

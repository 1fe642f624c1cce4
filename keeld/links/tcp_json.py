"""One request, one connection, one JSON answer: the way miners speak on TCP 4028.

The miner's side (cgminer's api.c) is a single thread that accepts, calls recv once, answers and closes. So a request
leaves in one segment the moment the connection stands, a miner never has two connections, and one that is given up is
reset, so that the miner's thread is free at once.

An answer ends at its NUL, at a newline when the JSON is complete (some firmwares keep the connection open), or when the
miner closes. A connection that ends before anything came is GARBLED when it was closed in order (cgminer does that to
an address outside its `api-allow`) and UNREACHABLE when it was reset; a reset later on is GARBLED.
"""

from __future__ import annotations

import asyncio
import enum
import errno
import os
import socket
import struct
from dataclasses import dataclass, field
from typing import Any

from keeld import answers
from keeld.errors import Outage, PollError
from keeld.model import Device
from keeld.text import clean

MINER_PORT = 4028
MOST_BYTES = 1 << 20
CONNECT_TIMEOUT_S = 2.0

_CHUNK_BYTES = 64 << 10
# Trying whether an answer is complete costs a parse; what a device can make keeld spend on it is bounded.
_MOST_TRIED_BYTES = MOST_BYTES
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_HIGHEST_PORT = 65535


class ReadCommand(enum.Enum):
    """What a link may send: each driver's own closed set of reads, its members' values the bytes on the wire.

    The link takes members and nothing else, so no text from a configuration or a network can become a command.
    """


@dataclass(slots=True)
class Session:
    """What was learnt of a miner while it answered; forgotten at the first failure, because it may be another one."""

    refused: set[ReadCommand] = field(default_factory=set)
    """Commands that it does not know or does not permit."""
    is_verified: bool = False
    """Whether its identity was checked."""


def split_address(address: str, default_port: int = MINER_PORT) -> tuple[str, int]:
    """Give host and port of `host`, `host:port`, `tcp://host:port`, `[v6]:port` or a bare IPv6 address.

    A port that is no port is given as 0, to which nothing connects.
    """
    rest = address.removeprefix("tcp://").rstrip("/")
    if rest.startswith("["):
        host, _, tail = rest[1:].partition("]")
        port = tail.removeprefix(":")
    elif rest.count(":") == 1:
        host, _, port = rest.partition(":")
    else:
        host, port = rest, ""
    if not port:
        return host, default_port
    if not (port.isascii() and port.isdigit() and len(port) <= len(str(_HIGHEST_PORT)) and int(port) <= _HIGHEST_PORT):
        return host, 0
    return host, int(port)


def link_key(device: Device) -> str:
    """Name the link of a device: one for each host and port, since a miner takes one connection at a time."""
    host, port = split_address(device.address)
    return f"tcp:{host}:{port}"


def open_link(device: Device) -> TcpJsonLink:
    """Give the link of a device."""
    host, port = split_address(device.address)
    return TcpJsonLink(host, port, timeout_s=device.timeout_s)


class TcpJsonLink:
    """The way to one miner. Holds no connection between two requests."""

    __slots__ = (
        "_connect_timeout_s",
        "_endpoint",
        "_host",
        "_literal",
        "_most_bytes",
        "_port",
        "_timeout_s",
        "session",
    )

    def __init__(
        self,
        host: str,
        port: int = MINER_PORT,
        *,
        timeout_s: float,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.session = Session()
        self._host = host
        self._port = port
        self._timeout_s = timeout_s
        self._connect_timeout_s = min(connect_timeout_s, timeout_s)
        self._most_bytes = most_bytes
        self._literal = _literal_endpoint(host, port)
        self._endpoint = self._literal

    async def ask(self, command: ReadCommand) -> bytes:
        """Send one command and give the raw answer without its NUL; raise PollError.

        Raises TypeError for anything but a member of a driver's set of reads.
        """
        if not isinstance(command, ReadCommand):
            raise TypeError("a link sends members of a driver's ReadCommand only")
        family, address = self._endpoint or await self._resolve()
        try:
            connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            raise _translated(error, f"keeld has no socket for {self._host}") from None
        exchange = _Exchange(connection, command.value, self._most_bytes)
        try:
            exchange.begin(address, self._connect_timeout_s, self._timeout_s)
            return await exchange.answer
        except OSError as error:
            raise _translated(error, f"{self._host} port {self._port}") from None
        finally:
            exchange.release()
            if not exchange.is_complete:
                self._forget()

    async def close(self) -> None:
        """Let go of what was learnt; there is no connection to close."""
        self._forget()

    def _forget(self) -> None:
        self.session = Session()
        self._endpoint = self._literal

    async def _resolve(self) -> tuple[int, Any]:
        loop = asyncio.get_running_loop()
        shown = clean(self._host)
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except TimeoutError:
            raise PollError(Outage.UNREACHABLE, f"the name {shown} was not resolved in time") from None
        except (OSError, UnicodeError):
            raise PollError(Outage.UNREACHABLE, f"the name {shown} does not resolve") from None
        self._endpoint = (found[0][0], found[0][4])
        return self._endpoint


def _literal_endpoint(host: str, port: int) -> tuple[int, Any] | None:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return family, (host, port)
    return None


def _translated(error: OSError, what: str) -> PollError:
    reason = clean(error.strerror or error)
    if error.errno == errno.ECONNREFUSED:
        return PollError(Outage.REFUSED, f"{what}: {reason}")
    if error.errno == errno.ETIMEDOUT:
        return PollError(Outage.TIMEOUT, f"{what}: {reason}")
    return PollError(Outage.UNREACHABLE, f"{what}: {reason}")


class _Exchange:
    """One connection from connect to answer, driven by the loop's own callbacks (a third cheaper than streams).

    Invariant: the socket is registered with the loop in one direction at most, and in none once `answer` is done.
    """

    __slots__ = (
        "_command",
        "_connection",
        "_ends_at_s",
        "_fd",
        "_is_connected",
        "_loop",
        "_most_bytes",
        "_received",
        "_timer",
        "_tried_bytes",
        "answer",
        "is_complete",
    )

    def __init__(self, connection: socket.socket, command: bytes, most_bytes: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._fd = connection.fileno()
        self._command = command
        self._most_bytes = most_bytes
        self._received = bytearray()
        self._tried_bytes = 0
        self._is_connected = False
        self._ends_at_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.answer: asyncio.Future[bytes] = self._loop.create_future()
        self.is_complete = False

    def begin(self, address: Any, connect_timeout_s: float, timeout_s: float) -> None:
        """Connect and send; `answer` will be done within `timeout_s`. Raise OSError where connecting fails at once."""
        now_s = self._loop.time()
        self._ends_at_s = now_s + timeout_s
        self._timer = self._loop.call_at(now_s + connect_timeout_s, self._expire)
        try:
            self._connection.connect(address)
        except BlockingIOError:
            self._loop.add_writer(self._fd, self._on_connected)
        else:
            self._send()

    def release(self) -> None:
        """Close the connection; one that was given up is reset, which frees the miner's only thread."""
        self._unregister()
        if not self.is_complete:
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._connection.close()

    def _on_connected(self) -> None:
        self._loop.remove_writer(self._fd)
        code = self._connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._fail(OSError(code, os.strerror(code)))
            return
        try:
            self._send()
        except OSError as error:
            self._fail(error)

    def _send(self) -> None:
        self._is_connected = True
        self._connection.send(self._command)
        self._loop.add_reader(self._fd, self._on_readable)

    def _on_readable(self) -> None:
        try:
            chunk = self._connection.recv(_CHUNK_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._fail(PollError(Outage.GARBLED, "reset in the middle of the answer") if self._received else error)
            return
        if chunk:
            self._take(chunk)
        elif self._received:
            self._finish()
        else:
            self._fail(PollError(Outage.GARBLED, "closed the connection without an answer"))

    def _take(self, chunk: bytes) -> None:
        end = chunk.find(b"\0")
        self._received += chunk if end < 0 else chunk[:end]
        if len(self._received) > self._most_bytes:
            self._fail(PollError(Outage.GARBLED, f"the answer is longer than {self._most_bytes} bytes"))
        elif end >= 0 or (chunk.endswith(b"\n") and self._looks_complete()):
            self._finish()

    def _looks_complete(self) -> bool:
        if not self._received.rstrip().endswith(b"}") or self._tried_bytes > _MOST_TRIED_BYTES:
            return False
        self._tried_bytes += len(self._received)
        try:
            answers.parse(bytes(self._received))
        except PollError:
            return False
        return True

    def _expire(self) -> None:
        if self._is_connected and self._loop.time() < self._ends_at_s:
            self._timer = self._loop.call_at(self._ends_at_s, self._expire)
            return
        waited_for = "no complete answer" if self._is_connected else "no connection"
        self._fail(PollError(Outage.TIMEOUT, f"{waited_for} in time"))

    def _finish(self) -> None:
        self.is_complete = True
        self._unregister()
        if not self.answer.done():
            self.answer.set_result(bytes(self._received))

    def _fail(self, error: Exception) -> None:
        self._unregister()
        if not self.answer.done():
            self.answer.set_exception(error)

    def _unregister(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            self._fd = -1

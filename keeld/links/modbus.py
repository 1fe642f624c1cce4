"""Modbus TCP: read registers and bits of many units over one connection, one request at a time.

Theory of operation. pymodbus carries the bytes, `modbus_frames` checks them, and this module keeps the connection: it
connects when something is asked, again after the peer has hung up, ever more rarely while nobody is there, and never
lets an answer be taken for another one's.

    asked, no connection      connect, unless the last failure was a moment ago: then fail at once with its reason
    peer hung up while idle   connect again, silently
    peer hung up, asked       ask once more on a new connection, if this one had served before;
                              some gateways hang up on a unit that is dead, so only several in a row make keeld wait
    no answer in time         stay: a late answer carries a transaction id that nobody waits for;
                              after two in a row, or in the middle of an answer, or without ids to check: hang up
    an answer that is wrong   hang up: what follows it cannot be told apart any more
"""

from __future__ import annotations

import asyncio
import errno
import logging
import random
import socket
from dataclasses import dataclass

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from keeld.errors import Outage, PollError
from keeld.links.modbus_frames import AnswerError, RawAnswer, ReadRequest, StrictFramer, check

# pymodbus logs every failed request, and prints frames of other connections with it; outages are told by the poller.
logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)

_FIRST_BACKOFF_S = 1.0
_LONGEST_BACKOFF_S = 30.0
_BUSY_WAITS_S = (0.1, 0.25, 0.5)
_SILENCES_TO_HANG_UP = 2
_HANG_UPS_FORGIVEN = 3
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 15), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))
_UNACKNOWLEDGED_MS = 30_000

# Modbus application protocol V1.1b3, section 7
_REFUSALS = {1: "illegal function", 2: "illegal data address", 3: "illegal data value"}
_UNIT_DOWN = {4: "device failure", 0x0A: "gateway path unavailable", 0x0B: "no response behind the gateway"}
_BUSY = frozenset({5, 6})


class RegisterRefused(PollError):  # noqa: N818 - a device's answer, not a failure of the link
    """The device does not give these registers; `code` is the Modbus exception: 1, 2 or 3."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(Outage.UNSUPPORTED, detail)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How one device wants to be talked to; devices behind one connection may differ."""

    check_transaction: bool = True
    """False for gateways that do not echo the transaction id."""
    check_unit: bool = True
    connect_delay_s: float = 0.0
    request_gap_s: float = 0.0


STRICT = Terms()


class ModbusLink:
    """One connection to `host:port`. Reads raise PollError; nothing else can be asked of it.

    `response_timeout_s` is the last resort: callers have deadlines of their own, which may cancel a read at any point
    without harm to the next one.
    """

    def __init__(
        self, host: str, port: int = 502, *, connect_timeout_s: float = 3.0, response_timeout_s: float = 30.0
    ) -> None:
        self.host = host
        self.port = port
        self.connect_timeout_s = connect_timeout_s
        self.response_timeout_s = response_timeout_s
        self.connections = 0
        """Connections made so far: a change tells that what was learned of the device may be old."""
        self._lock = asyncio.Lock()
        self._connection: _Connection | None = None
        self._failures = 0
        self._hang_ups = 0
        """Since the last answer."""
        self._reason = (Outage.UNREACHABLE, "")
        """Why there is no connection, told again while backing off."""
        self._retry_s = 0.0
        self._quiet_until_s = 0.0

    async def connect(self, terms: Terms = STRICT) -> int:
        """Connect if need be and give the connection's number; raise PollError at once while backing off."""
        async with self._lock:
            await self._connected(terms)
            return self.connections

    async def read(self, unit: int, function: int, address: int, count: int, *, terms: Terms = STRICT) -> bytes:
        """Read `count` registers (two bytes each, as they came) or bits (packed, lowest first).

        Raises ValueError for anything that is not a read of functions 1 to 4, RegisterRefused for exceptions 1 to 3,
        PollError for the rest.
        """
        check(unit, function, address, count)
        async with self._lock:
            for wait_s in _BUSY_WAITS_S:
                answer = await self._ask(ReadRequest(unit, function, address, count), terms)
                if answer.exception_code not in _BUSY:
                    break
                await asyncio.sleep(wait_s)
            else:
                answer = await self._ask(ReadRequest(unit, function, address, count), terms)
        if answer.exception_code:
            raise _refusal(unit, answer.exception_code)
        return answer.data

    async def hang_up(self) -> None:
        """Let go of the connection until the next read."""
        if self._connection is not None:
            self._connection.drop()
            self._connection = None

    async def close(self) -> None:
        """Let go of the connection; never raises."""
        await self.hang_up()

    async def _ask(self, request: ReadRequest, terms: Terms) -> RawAnswer:
        connection = await self._connected(terms)
        had_served = connection.answers > 0
        try:
            return await self._exchange(connection, request, terms)
        except _HungUpError:
            if not had_served:
                raise self._hung_up("the device hung up") from None
        # An idle connection that the peer has closed shows only when it is used; a read may be asked again.
        connection = await self._connected(terms)
        try:
            return await self._exchange(connection, request, terms)
        except _HungUpError:
            raise self._hung_up("the device hung up twice") from None

    def _hung_up(self, detail: str) -> PollError:
        """Give the error to raise. A few hang-ups may be one unit's doing, and its neighbours are asked next."""
        self._hang_ups += 1
        if self._hang_ups > _HANG_UPS_FORGIVEN:
            return self._back_off(Outage.UNREACHABLE, detail)
        return PollError(Outage.UNREACHABLE, detail)

    async def _exchange(self, connection: _Connection, request: ReadRequest, terms: Terms) -> RawAnswer:
        loop = asyncio.get_running_loop()
        if self._quiet_until_s > loop.time():
            await asyncio.sleep(self._quiet_until_s - loop.time())
        try:
            answer = await connection.exchange(request, terms, self.response_timeout_s)
        except AnswerError as error:
            raise PollError(Outage.GARBLED, str(error)) from None
        except _SilenceError:
            raise PollError(Outage.TIMEOUT, f"no answer within {self.response_timeout_s:g} s") from None
        finally:
            self._quiet_until_s = loop.time() + terms.request_gap_s
        self._failures = self._hang_ups = 0
        return answer

    async def _connected(self, terms: Terms) -> _Connection:
        if self._connection is not None and self._connection.is_usable(terms):
            return self._connection
        await self.hang_up()
        if asyncio.get_running_loop().time() < self._retry_s:
            raise PollError(*self._reason)
        self._connection = await self._open()
        self.connections += 1
        if terms.connect_delay_s:
            await asyncio.sleep(terms.connect_delay_s)
        return self._connection

    async def _open(self) -> _Connection:
        connection = _Connection(self.host, self.port)
        try:
            async with asyncio.timeout(self.connect_timeout_s):
                await connection.open()
        except TimeoutError:
            connection.drop()
            raise self._back_off(Outage.TIMEOUT, f"no connection within {self.connect_timeout_s:g} s") from None
        except (OSError, UnicodeError) as error:  # UnicodeError: a host name that no DNS could know
            connection.drop()
            raise self._back_off(*_why(error, self.port)) from None
        except asyncio.CancelledError:
            # The caller's deadline passed while connecting: nobody was there for him either.
            connection.drop()
            self._back_off(Outage.TIMEOUT, "no connection in time")
            raise
        return connection

    def _back_off(self, outage: Outage, detail: str) -> PollError:
        """Rest before the next connection, longer after each failure; give the error to raise."""
        longest_s = min(_LONGEST_BACKOFF_S, _FIRST_BACKOFF_S * 2.0 ** min(self._failures, 10))
        self._failures += 1
        self._reason = (outage, detail)
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - spreads reconnects, guards nothing
        self._retry_s = asyncio.get_running_loop().time() + longest_s * jitter
        return PollError(outage, detail)


class _SilenceError(Exception):
    """No answer came in time; pymodbus takes TimeoutError for its own."""


class _HungUpError(Exception):
    """The peer closed the connection before it answered."""


class _Connection:
    """One TCP connection from its opening to its end; never used again after that."""

    def __init__(self, host: str, port: int) -> None:
        self.answers = 0
        self._silences = 0
        self._is_over = False
        self._is_waiting = False
        self._framer = StrictFramer(self._on_fault)
        # pymodbus neither reconnects nor retries nor times out here: one place decides on each of them.
        self._client = AsyncModbusTcpClient(
            host, port=port, retries=0, reconnect_delay=0, trace_connect=self._on_connect
        )
        self._manager = self._client.ctx
        self._manager.comm_params.timeout_connect = None  # type: ignore[assignment]  # waits without a timer of its own
        self._manager.framer = self._framer
        self._manager.max_buffer_size = self._framer.MAX_SIZE

    async def open(self) -> None:
        """Connect; raise OSError (pymodbus' own connect hides which)."""
        await self._manager.call_create()
        transport = self._manager.transport
        peer = transport.get_extra_info("socket") if transport else None
        if peer is None:
            raise ConnectionResetError(errno.ECONNRESET, "closed at once")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            peer.setsockopt(socket.IPPROTO_TCP, option, value)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def is_usable(self, terms: Terms) -> bool:
        """Tell whether an answer read next can only be the answer to what is asked next."""
        if self._is_over or self._silences >= _SILENCES_TO_HANG_UP or self._manager.recv_buffer:
            return False
        return terms.check_transaction or not self._silences

    async def exchange(self, request: ReadRequest, terms: Terms, timeout_s: float) -> RawAnswer:
        """Ask and wait for the answer; raise _HungUpError, AnswerError or _SilenceError."""
        if self._is_over:  # asked now, pymodbus would connect again by itself
            raise _HungUpError
        self._framer.check_transaction = terms.check_transaction
        self._framer.check_unit = terms.check_unit
        self._silences += 1  # taken back by the answer: whatever else ends the wait, cancelling too, is silence
        self._is_waiting = True
        timer = asyncio.get_running_loop().call_later(timeout_s, self._fail, _SilenceError())
        try:
            answer = await self._manager.execute(False, request)  # noqa: FBT003 - pymodbus' signature
        except ModbusException:
            self.drop()
            raise _HungUpError from None
        finally:
            timer.cancel()
            self._is_waiting = False
            self._framer.forget()
        if not isinstance(answer, RawAnswer):
            raise AnswerError("no answer came")
        self._silences = 0
        self.answers += 1
        return answer

    def drop(self) -> None:
        """End the connection at once; nothing that is still on its way is read."""
        self._is_over = True
        self._fail(_HungUpError())
        transport = self._manager.transport
        if isinstance(transport, asyncio.Transport):
            transport.abort()  # close() would wait for a peer that takes nothing any more
        self._client.close()

    def _on_connect(self, connected: bool) -> None:  # noqa: FBT001 - pymodbus' signature
        if not connected:
            self._is_over = True
            self._fail(_HungUpError())

    def _on_fault(self, error: AnswerError) -> None:
        self._fail(error)
        self.drop()

    def _fail(self, error: Exception) -> None:
        future = self._manager.response_future
        if self._is_waiting and not future.done():
            future.set_exception(error)


def _refusal(unit: int, code: int) -> PollError:
    if code in _REFUSALS:
        return RegisterRefused(code, f"unit {unit} refused: {_REFUSALS[code]}")
    if code in _UNIT_DOWN:
        return PollError(Outage.UNIT_DOWN, f"unit {unit}: {_UNIT_DOWN[code]}")
    if code in _BUSY:
        return PollError(Outage.BUSY, f"unit {unit} stayed busy")
    return PollError(Outage.GARBLED, f"unit {unit} answered with the unknown exception {code}")


def _why(error: Exception, port: int) -> tuple[Outage, str]:
    """Tell a closed port from a host that is not there."""
    if isinstance(error, ConnectionRefusedError):
        return Outage.REFUSED, f"nothing listens on port {port}"
    if isinstance(error, socket.gaierror | UnicodeError):
        return Outage.UNREACHABLE, "the host name is not known"
    code = error.errno if isinstance(error, OSError) else None
    return Outage.UNREACHABLE, f"cannot be reached ({errno.errorcode.get(code or 0, 'no route')})"

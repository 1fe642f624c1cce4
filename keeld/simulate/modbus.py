"""A Modbus TCP server for simulated devices: strict about framing, cheap to ask, able to fail in every known way.

One server stands for one address, with any number of units behind it. Bytes that are no Modbus frame end the
connection, as on real devices; functions other than reads are recorded and refused with exception 1.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Mapping
from typing import Protocol

from keeld.simulate.faults import Fault, FaultKind, Sender
from keeld.simulate.recorder import Recorder, modbus_is_read
from keeld.simulate.registers import ILLEGAL_ADDRESS, ILLEGAL_FUNCTION, ILLEGAL_VALUE, Refused

_HEADER = struct.Struct(">HHHB")
_READ = struct.Struct(">HH")
_LENGTHS = range(2, 255)
"""What the header's length may say: unit and function at least, 254 bytes at most."""
_IDENTIFY = 0x2B
_GATEWAY_TARGET_FAILED = 0x0B
_BUFFER_LIMIT = 64 << 10
"""A client may send ahead; one that sends this far ahead is cut off."""


class ModbusUnit(Protocol):
    """One device behind an address."""

    id: str

    def read(self, unit_offset: int, function: int, address: int, count: int) -> bytes:
        """Give the data of an answer; raise Refused."""

    def identification(self) -> Mapping[int, str]:
        """Give the objects that function 43/14 reads: 0 vendor, 1 product code, 2 revision."""

    def answers(self) -> bool:
        """Whether its controller runs and the network reaches it."""

    def is_reachable(self) -> bool:
        """Whether the network reaches it, dead or alive."""

    def fault(self) -> Fault | None:
        """How it misbehaves now."""


Units = Mapping[int, tuple[ModbusUnit, int]]
"""Unit id to the device that answers it and the offset from that device's own unit."""


class ModbusConnection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, units: Units, recorder: Recorder, *, is_gateway: bool, address: str) -> None:
        self._units = units
        self._recorder = recorder
        self._is_gateway = is_gateway
        self._address = address
        self._buffer = b""
        self._sender: Sender | None = None
        self._transport: asyncio.Transport | None = None
        self.on_lost: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError(transport)
        self._transport = transport
        self._sender = Sender(transport, close_after=False)
        self._recorder.opened(self._address)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        del exc
        if self._sender is not None:
            self._sender.stop()
        self._recorder.closed(self._address)
        if self.on_lost is not None:
            self.on_lost()

    def reset(self) -> None:
        """Cut the connection with a RST."""
        if self._sender is not None:
            self._sender.reset()

    def data_received(self, data: bytes) -> None:
        """Take bytes apart into frames and answer each."""
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            transaction, protocol, length, unit = _HEADER.unpack_from(self._buffer)
            if protocol != 0 or length not in _LENGTHS or len(self._buffer) > _BUFFER_LIMIT:
                self._give_up()
                return
            end = 6 + length
            if len(self._buffer) < end:
                return
            frame, self._buffer = self._buffer[:end], self._buffer[end:]
            self._take(transaction, unit, frame)

    def _give_up(self) -> None:
        self._recorder.received(self._address, "garbage", self._buffer, is_read=False)
        self._buffer = b""
        if self._transport is not None:
            self._transport.close()

    def _take(self, transaction: int, unit: int, frame: bytes) -> None:
        function, body = frame[7], frame[8:]
        found = self._units.get(unit)
        name = found[0].id if found else self._address
        self._recorder.received(name, f"modbus {function}", frame, is_read=modbus_is_read(function, body))
        if found is None or not found[0].answers():
            if self._is_gateway and any(other.is_reachable() for other, _ in self._units.values()):
                self._send(transaction, unit, _exception(function, _GATEWAY_TARGET_FAILED), None)
            return
        device, offset = found
        fault = device.fault()
        self._send(transaction, unit, _under_fault(_answer(device, offset, function, body), function, fault), fault)

    def _send(self, transaction: int, unit: int, pdu: bytes, fault: Fault | None) -> None:
        if self._sender is not None:
            self._sender.send(_HEADER.pack(transaction, 0, len(pdu) + 1, unit) + pdu, fault)


def _answer(device: ModbusUnit, offset: int, function: int, body: bytes) -> bytes:
    if function == _IDENTIFY and body[:1] == b"\x0e":
        return _identify(device, body)
    if function not in {1, 2, 3, 4}:
        return _exception(function, ILLEGAL_FUNCTION)
    if len(body) != _READ.size:
        return _exception(function, ILLEGAL_VALUE)
    address, count = _READ.unpack(body)
    try:
        data = device.read(offset, function, address, count)
    except Refused as refused:
        return _exception(function, refused.code)
    return bytes((function, len(data))) + data


def _identify(device: ModbusUnit, body: bytes) -> bytes:
    """Answer function 43/14: code 1 streams the three basic objects, code 4 gives one of them."""
    if len(body) != 3 or body[1] not in {1, 4}:  # noqa: PLR2004  type, code, object
        return _exception(_IDENTIFY, ILLEGAL_VALUE)
    objects = device.identification()
    wanted = objects if body[1] == 1 else {key: text for key, text in objects.items() if key == body[2]}
    if not wanted:
        return _exception(_IDENTIFY, ILLEGAL_ADDRESS)
    listed = b"".join(bytes((key, len(text))) + text.encode("ascii", "replace") for key, text in wanted.items())
    return bytes((_IDENTIFY, 0x0E, body[1], 0x81, 0, 0, len(wanted))) + listed


def _exception(function: int, code: int) -> bytes:
    return bytes((function & 0x7F | 0x80, code))


def _under_fault(pdu: bytes, function: int, fault: Fault | None) -> bytes:
    """Shape the answer itself; how it goes out is the sender's."""
    if fault is None:
        return pdu
    if fault.kind is FaultKind.EXCEPTION:
        return _exception(function, 4 if fault.amount is None else int(fault.amount) & 0xFF)
    if fault.kind is FaultKind.WRONG_LENGTH and len(pdu) > 4:  # noqa: PLR2004  one register of several at least
        data = pdu[2 : 2 + (len(pdu) - 2) // 4 * 2]
        return bytes((function, len(data))) + data
    return pdu

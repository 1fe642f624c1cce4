"""Frames of Modbus TCP, strictly: the only way out for a request and the only way in for an answer.

pymodbus takes an answer with transaction id 0 for any request, another function's answer for the one it asked for, and
fewer registers than it asked for (all measured with 3.16). So keeld gives it this framer, which builds the request,
checks the answer itself, and hands on the bytes as they came: registers are decoded once, by the profile.

    request   transaction:2  protocol:2 (0)  length:2 (6)  unit:1  function:1  address:2  count:2
    answer    transaction:2  protocol:2 (0)  length:2      unit:1  function:1  bytes:1    data
    refusal   transaction:2  protocol:2 (0)  length:2 (3)  unit:1  function+128:1  exception:1
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from pymodbus.framer.socket import FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU

READ_FUNCTIONS = frozenset({1, 2, 3, 4})
"""Coils, discrete inputs, holding registers, input registers. No other function leaves keeld."""
BIT_FUNCTIONS = frozenset({1, 2})
LAST_UNIT = 0xFF
MOST_BITS = 2000
MOST_REGISTERS = 125

_REFUSED = 0x80
_HEADER = 7
_LONGEST = 254
"""Most bytes that may follow the length: unit and a PDU of at most 253."""
_MOST_STRAYS = 16
"""Answers to somebody else that are passed over while waiting for one's own."""


class AnswerError(Exception):
    """The bytes that came are no answer to what was asked; never leaves links."""


class ReadRequest(ModbusPDU):
    """A question for registers or bits, checked when it is made. Raises ValueError for what may not be asked."""

    def __init__(self, unit: int, function: int, address: int, count: int) -> None:
        check(unit, function, address, count)
        super().__init__(dev_id=unit, address=address, count=count)
        self.function_code = function

    def encode(self) -> bytes:
        """Give the bytes behind the function."""
        return struct.pack(">HH", self.address, self.count)


class RawAnswer(ModbusPDU):
    """What came back: data bytes, or an exception code."""

    def __init__(self, unit: int, transaction: int, data: bytes, exception: int) -> None:
        super().__init__(dev_id=unit, transaction_id=transaction)
        self.data = data
        self.exception_code = exception


def check(unit: int, function: int, address: int, count: int) -> None:
    """Raise ValueError unless this is a read that fits the protocol."""
    if function not in READ_FUNCTIONS:
        raise ValueError(f"function {function} is not a read; keeld sends {sorted(READ_FUNCTIONS)} only")
    most = MOST_BITS if function in BIT_FUNCTIONS else MOST_REGISTERS
    if not 0 <= unit <= LAST_UNIT:
        raise ValueError(f"unit {unit} is outside of 0 to 255")
    if not 1 <= count <= most or not 0 <= address <= 0x10000 - count:
        raise ValueError(f"cannot read {count} from address {address} in one request")


class StrictFramer(FramerSocket):
    """Checks every answer against the request that is under way; tells `on_fault` what cannot be trusted."""

    MAX_SIZE = 1 << 20  # asyncio hands over at most 256 KiB at once; nothing may be dropped unseen

    def __init__(self, on_fault: Callable[[AnswerError], None]) -> None:
        super().__init__(DecodePDU(is_server=False))
        self.check_transaction = True
        self.check_unit = True
        self._on_fault = on_fault
        self._asked: ReadRequest | None = None
        self._strays = 0

    def buildFrame(self, message: ModbusPDU) -> bytes:  # noqa: N802 - pymodbus' name
        """Give the request's bytes; the last gate, which nothing but a read passes."""
        if not isinstance(message, ReadRequest):
            raise TypeError("only reads leave keeld")
        check(message.dev_id, message.function_code, message.address, message.count)
        self._asked = message
        self._strays = 0
        return struct.pack(
            ">HHHBBHH",
            message.transaction_id,
            0,
            6,
            message.dev_id,
            message.function_code,
            message.address,
            message.count,
        )

    def forget(self) -> None:
        """Nobody waits any more: what comes now is a late answer."""
        self._asked = None

    def handleFrame(  # noqa: N802 - pymodbus' name
        self, data: bytes, exp_devid: int, exp_tid: int
    ) -> tuple[int, ModbusPDU | None]:
        """Give how many bytes are used up and the answer, if it is here.

        Never raises: an exception here would end in the event loop's log and not at the one who asked.
        """
        del exp_devid, exp_tid  # asked of the request itself, which also knows function and count
        try:
            return self._next_answer(data)
        except AnswerError as error:
            self._on_fault(error)
            return len(data), None

    def _next_answer(self, data: bytes) -> tuple[int, RawAnswer | None]:
        used = 0
        while len(data) - used > _HEADER:
            transaction, protocol, length, unit = struct.unpack_from(">HHHB", data, used)
            if protocol or not 3 <= length <= _LONGEST:  # noqa: PLR2004 - unit, function and one byte at least
                raise AnswerError("what came is not Modbus TCP")
            end = used + 6 + length
            if end > len(data):
                break
            answer = self._match(transaction, unit, data[used + _HEADER : end])
            used = end
            if answer is not None:
                return used, answer
        return used, None

    def _match(self, transaction: int, unit: int, pdu: bytes) -> RawAnswer | None:
        asked = self._asked
        if asked is None:
            if not self.check_transaction:
                raise AnswerError("an answer came that nobody waits for")
            return None
        if self.check_transaction and transaction != asked.transaction_id:
            self._strays += 1
            if self._strays > _MOST_STRAYS:
                raise AnswerError(f"more than {_MOST_STRAYS} answers with another transaction id")
            return None
        if self.check_unit and unit != asked.dev_id:
            raise AnswerError(f"unit {unit} answered for unit {asked.dev_id}")
        self._asked = None
        return _checked(asked, pdu)

    def decode(self, data: bytes) -> Any:
        """Not a way in: every frame passes `handleFrame`."""
        raise NotImplementedError


def _checked(asked: ReadRequest, pdu: bytes) -> RawAnswer:
    function, body = pdu[0], pdu[1:]
    if function == asked.function_code | _REFUSED:
        if len(body) != 1:
            raise AnswerError("a refusal of the wrong length")
        return RawAnswer(asked.dev_id, asked.transaction_id, b"", body[0] or _REFUSED)
    if function != asked.function_code:
        raise AnswerError(f"function {function} answered for function {asked.function_code}")
    is_bits = function in BIT_FUNCTIONS
    size = (asked.count + 7) // 8 if is_bits else asked.count * 2
    if body[0] != size or len(body) != size + 1:
        raise AnswerError(f"{len(body) - 1} bytes of data came where {size} were asked for")
    return RawAnswer(asked.dev_id, asked.transaction_id, body[1:], 0)

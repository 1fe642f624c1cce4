"""How a device misbehaves towards whoever asks it, and how an answer goes out under such a fault."""

from __future__ import annotations

import asyncio
import enum
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

_DRIP_BYTE_S = 0.05
_HUGE_CHUNK = 64 << 10
_HUGE_MEBIBYTES = 64
_REFILL_S = 0.005
_MOST_UNSENT_BYTES = 1 << 20
_MOST_TIMERS = 1000
"""A client that asks on and on without reading, or before it was answered, is cut off here."""


class FaultKind(enum.StrEnum):
    """The ways to fail; all of them are seen on real devices."""

    DELAY = "delay"
    """Answers after `amount` seconds."""
    SILENCE = "silence"
    """Takes the request and never answers."""
    RESET = "reset"
    """Resets the connection instead of answering."""
    GARBAGE = "garbage"
    """Answers with random bytes."""
    WRONG_LENGTH = "wrong-length"
    """Answers with half of what belongs there, with a header that says so (Modbus) or cut off (miner)."""
    EXCEPTION = "exception"
    """Answers with the Modbus exception code `amount`; a miner with that error code; a GPU node loses GPU `amount`."""
    DRIP = "drip"
    """Answers right, one byte every 50 ms."""
    HUGE = "huge"
    """Answers with `amount` MiB that never end an answer."""
    STOP = "stop"
    """Is gone: connections are reset and new ones refused; a GPU node's driver is unloaded."""


WORKER_FAULTS = frozenset({FaultKind.DELAY, FaultKind.SILENCE, FaultKind.EXCEPTION, FaultKind.STOP})
"""What a GPU node can do: its worker speaks no protocol of ours that could be garbled."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One way of failing. The meaning of `amount` depends on the kind; None takes the kind's own."""

    kind: FaultKind
    amount: float | None = None


class Sender:
    """Puts one connection's answers on the wire, under a fault where there is one. Its timers die with it."""

    def __init__(self, transport: asyncio.Transport, *, close_after: bool) -> None:
        self._transport = transport
        self._close_after = close_after
        self._timers: set[asyncio.TimerHandle] = set()

    def send(self, answer: bytes, fault: Fault | None = None) -> None:
        """Send `answer` as the fault has it."""
        if fault is None:
            self._finish(answer)
        elif fault.kind is FaultKind.DELAY:
            self._later(2.0 if fault.amount is None else fault.amount, answer)
        elif fault.kind is FaultKind.RESET:
            self.reset()
        elif fault.kind is FaultKind.GARBAGE:
            self._finish(os.urandom(max(8, len(answer))))
        elif fault.kind is FaultKind.DRIP:
            self._drip(answer, 0)
        elif fault.kind is FaultKind.HUGE:
            self._pour(int((_HUGE_MEBIBYTES if fault.amount is None else fault.amount) * (1 << 20)))
        elif fault.kind is not FaultKind.SILENCE:
            self._finish(answer)  # wrong-length and exception have shaped the answer already

    def reset(self) -> None:
        """End the connection with a RST."""
        self.stop()
        raw = self._transport.get_extra_info("socket")
        if raw is not None and raw.fileno() >= 0:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def stop(self) -> None:
        """Forget what was still to be sent."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _finish(self, answer: bytes) -> None:
        if self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > _MOST_UNSENT_BYTES:
            self.reset()
            return
        self._transport.write(answer)
        if self._close_after:
            self._transport.close()

    def _later(self, delay_s: float, answer: bytes) -> None:
        self._after(delay_s, lambda: self._finish(answer))

    def _drip(self, answer: bytes, position: int) -> None:
        if self._transport.is_closing():
            return
        if position >= len(answer):
            self._finish(b"")
            return
        self._transport.write(answer[position : position + 1])
        self._after(_DRIP_BYTE_S, lambda: self._drip(answer, position + 1))

    def _pour(self, left: int) -> None:
        """Send zeros as fast as the other side takes them, without buffering more than a chunk."""
        if self._transport.is_closing():
            return
        if left <= 0:
            self._finish(b"")
            return
        if self._transport.get_write_buffer_size() == 0:
            self._transport.write(b"0" * min(left, _HUGE_CHUNK))
            left -= _HUGE_CHUNK
        self._after(_REFILL_S, lambda: self._pour(left))

    def _after(self, delay_s: float, action: Callable[[], None]) -> None:
        if len(self._timers) >= _MOST_TIMERS:
            self.reset()
            return
        loop = asyncio.get_running_loop()

        def run() -> None:
            self._timers.discard(timer)
            action()

        timer = loop.call_later(delay_s, run)
        self._timers.add(timer)

"""A cgminer-style server for one simulated miner: one request in one segment, one answer with a NUL, then the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import orjson

from keeld.simulate.antminer import refusal
from keeld.simulate.faults import Fault, FaultKind, Sender
from keeld.simulate.recorder import Recorder, miner_is_read

_IDLE_S = 10.0
"""How long the firmware waits for a request before it closes."""
_REQUEST_LIMIT = 4095
"""What its single `recv` takes."""
_NAME_LIMIT = 64
_INVALID_JSON = 23
_INVALID_COMMAND = 14


class MinerUnit(Protocol):
    """One miner behind an address."""

    id: str

    def answer(self, command: str) -> bytes:
        """Give the answer to a read command, without the NUL."""

    def answers(self) -> bool:
        """Whether its controller runs and the network reaches it."""

    def fault(self) -> Fault | None:
        """How it misbehaves now."""


class MinerConnection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, miner: MinerUnit, recorder: Recorder) -> None:
        self._miner = miner
        self._recorder = recorder
        self._sender: Sender | None = None
        self._transport: asyncio.Transport | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._asked = False
        self.on_lost: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the request."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError(transport)
        self._transport = transport
        self._sender = Sender(transport, close_after=True)
        self._recorder.opened(self._miner.id)
        self._idle = asyncio.get_running_loop().call_later(_IDLE_S, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        del exc
        if self._idle is not None:
            self._idle.cancel()
        if self._sender is not None:
            self._sender.stop()
        self._recorder.closed(self._miner.id)
        if self.on_lost is not None:
            self.on_lost()

    def reset(self) -> None:
        """Cut the connection with a RST."""
        if self._sender is not None:
            self._sender.reset()

    def data_received(self, data: bytes) -> None:
        """Take the first segment as the request, as the firmware does; what follows it is only recorded."""
        if self._asked:
            self._recorder.received(self._miner.id, "more after the request", data, is_read=False)
            return
        self._asked = True
        commands = commands_of(data[:_REQUEST_LIMIT])
        is_read = miner_is_read(commands)
        what = "+".join(commands)[:_NAME_LIMIT] if commands else "garbage"
        self._recorder.received(self._miner.id, what, data, is_read=is_read)
        if self._miner.answers() and self._sender is not None:
            fault = self._miner.fault()
            self._sender.send(_under_fault(self._answer(commands, is_read=is_read), fault), fault)

    def _answer(self, commands: list[str], *, is_read: bool) -> bytes:
        if not commands:
            return refusal("Invalid JSON", _INVALID_JSON) + b"\0"
        if not is_read:
            return refusal("Invalid command", _INVALID_COMMAND) + b"\0"
        return self._miner.answer("+".join(commands)) + b"\0"


def commands_of(request: bytes) -> list[str]:
    """Give the commands a request asks for, joined ones apart; an empty list where it asks for none.

    Miners take JSON (`{"command": "summary+pools"}`) and plain text (`summary|parameter`).
    """
    text = request.strip(b" \t\r\n\0")
    if text.startswith(b"{"):
        try:
            asked = orjson.loads(text)
        except orjson.JSONDecodeError:
            return []
        command = asked.get("command", asked.get("cmd"))
        return command.split("+") if isinstance(command, str) and command else []
    word = text.split(b"|", 1)[0].decode("ascii", "replace")
    return word.split("+") if word.replace("+", "").replace("_", "").isalnum() else []


def _under_fault(answer: bytes, fault: Fault | None) -> bytes:
    if fault is None:
        return answer
    if fault.kind is FaultKind.WRONG_LENGTH:
        return answer[: len(answer) // 2]
    if fault.kind is FaultKind.EXCEPTION:
        return refusal("Access denied", 45 if fault.amount is None else int(fault.amount)) + b"\0"
    return answer

"""The loopback port by which tests and the demo steer a running site: one JSON object a line, one answer a line.

{"do": "totals"}                      what was received so far
{"do": "fault", "kind": "delay", "target": "pdu-1", "duration": "20s", "amount": 2}
{"do": "incident", "kind": "feed-loss", "target": "ai1-a", "duration": "30s"}
{"do": "clear", "target": "pdu-1"}    or without a target: everything
{"do": "record", "most": 100}         the latest requests, newest last
{"do": "others"}                      the latest that were no reads
{"do": "plant"}                       what is true, to compare with what was measured
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
from typing import Any

import orjson

from keeld.errors import ConfigError
from keeld.simulate.recorder import as_line
from keeld.simulate.script import parse_fault, parse_incident
from keeld.simulate.site import SimulatedSite

_LINE_LIMIT = 64 << 10
_MOST_RECORDS = 1000
_FOR_EVER = "30d"


class Control:
    """Answers on the socket that also holds the run's claim on its subnet."""

    def __init__(self, served: SimulatedSite, held: socket.socket) -> None:
        self._served = served
        self._held = held
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._talk, sock=self._held, limit=_LINE_LIMIT)

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ValueError):
            while line := await reader.readline():
                writer.write(orjson.dumps(await self.answer(line)) + b"\n")
                await writer.drain()
        writer.close()

    async def answer(self, line: bytes) -> dict[str, Any]:
        """Do what one line asks; what is wrong with it is answered, never raised."""
        try:
            request = orjson.loads(line)
        except orjson.JSONDecodeError:
            return {"error": "not JSON"}
        if not isinstance(request, dict):
            return {"error": "not an object"}
        try:
            return await self._do(request.pop("do", None), request)
        except ConfigError as error:
            return {"error": str(error)}

    async def _do(self, action: object, request: dict[str, Any]) -> dict[str, Any]:
        match action:
            case "totals":
                return self._served.recorder.totals()
            case "plant":
                return self._plant()
            case "fault" | "incident":
                await self._add(str(action), request)
            case "clear":
                await self._served.clear(str(request.get("target", "")))
            case "record" | "others":
                return {"received": self._received(request, others=action == "others")}
            case _:
                return {"error": "do is one of totals, plant, fault, incident, clear, record, others"}
        return {"done": True}

    async def _add(self, action: str, request: dict[str, Any]) -> None:
        entry = {"start": f"{self._served.plant.time_s:.3f}s", "duration": _FOR_EVER} | request
        site = self._served.site
        await self._served.add(parse_fault(entry, site) if action == "fault" else parse_incident(entry, site))

    def _received(self, request: dict[str, Any], *, others: bool) -> list[Any]:
        most = request.get("most", _MOST_RECORDS)
        count = min(most, _MOST_RECORDS) if isinstance(most, int) and most > 0 else _MOST_RECORDS
        recorder = self._served.recorder
        entries = list(recorder.others() if others else recorder.recent)
        return [json.loads(as_line(entry)) for entry in itertools.islice(entries, max(0, len(entries) - count), None)]

    def _plant(self) -> dict[str, Any]:
        plant = self._served.plant
        return {
            "time_s": plant.time_s,
            "watts": {name: load.machine.wall_watts for name, load in plant.loads.items()},
            "nodes": {name: lines.watts for name, lines in plant.nodes.items()},
            "zones": {name: zone.intake_celsius for name, zone in plant.zones.items()},
            "loops": {name: loop.return_celsius for name, loop in plant.loops.items()},
        }

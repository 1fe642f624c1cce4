"""The event stream: batches as they come, as JSON lines, or as server-sent events to those who ask for these.

A reader has a buffer of its own with a bound. One that is too slow loses its oldest batches and is told how many; it
holds up nobody. Keeld's own batches are left out unless their kind is asked for.
"""

from __future__ import annotations

import asyncio
import difflib
import time
from collections.abc import Callable, Iterable, Mapping

import orjson
from aiohttp import web

from keeld.batch_json import batch_form
from keeld.fanout import Subscription
from keeld.model import OWN_DRIVER, Batch
from keeld.text import clean, rfc3339
from keeld.web.guard import HEADERS, refusal
from keeld.web.source import Source

_NAMES = tuple(f"stream-{number}" for number in range(1, 9))
"""Of the readers that may be there at once; names come back, so that their counters do."""
_WAITING_MOST = 20_000
"""Batches that may wait for one reader: seconds of a large site."""
_CHUNK_MOST = 500
_STILL_HERE_S = 15.0
_STUCK_S = 30.0
_DEVICE_KINDS = ("pdu", "meter", "ups", "miner", "accelerator", "cooling", "sensor")
_OWN_KINDS = ("rack", "power_node", "cooling_node", "site")
_FILTERS = ("device", "rack", "kind")


class Streams:
    """Serves the stream of one source to a few readers at a time."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._taken: set[str] = set()

    def readings(self) -> list[web.RouteDef]:
        """List the routes that change nothing."""
        return [web.get("/api/v1/stream", self._stream)]

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        wrong = self._check(request.query)
        if wrong is not None:
            return wrong
        name = next((name for name in _NAMES if name not in self._taken), None)
        if name is None:
            return refusal(503, f"{len(_NAMES)} readers are on the stream already", "end one of them")
        wanted = _wanted({name: frozenset(request.query.getall(name, ())) for name in _FILTERS})
        subscription = self._source.subscribe(name, _WAITING_MOST, wanted)
        self._taken.add(name)
        try:
            return await _serve(request, subscription)
        finally:
            self._taken.discard(name)
            self._source.unsubscribe(subscription)

    def _check(self, query: Mapping[str, str]) -> web.Response | None:
        site = self._source.settings.site
        known = {"device": site.devices, "rack": site.racks, "kind": (*_DEVICE_KINDS, *_OWN_KINDS)}
        for name, value in query.items():
            if name not in known:
                return refusal(400, f"the stream is not filtered by '{clean(name)}'", f"use {', '.join(_FILTERS)}")
            if value not in known[name]:
                nearest = difflib.get_close_matches(value[:64], known[name], n=1)
                return refusal(400, f"no {name} '{clean(value)}'", f"did you mean {nearest[0]}?" if nearest else "")
        return None


def _wanted(filters: Mapping[str, frozenset[str]]) -> Callable[[Batch], bool]:
    devices, racks, kinds = (filters[name] for name in _FILTERS)

    def wants(batch: Batch) -> bool:
        device = batch.device
        if device.kind not in kinds and (kinds or device.driver == OWN_DRIVER):
            return False
        return (not devices or device.id in devices) and (not racks or device.rack in racks)

    return wants


async def _serve(request: web.Request, subscription: Subscription) -> web.StreamResponse:
    as_events = "text/event-stream" in request.headers.get("Accept", "")
    kind = "text/event-stream" if as_events else "application/jsonl"
    response = web.StreamResponse(headers=HEADERS | {"Content-Type": kind, "X-Accel-Buffering": "no"})
    await response.prepare(request)
    write = _event if as_events else _line
    told = 0
    while True:
        chunk = await _next(subscription)
        if chunk is not None and not chunk:
            return response  # keeld stops
        lost, told = subscription.dropped - told, subscription.dropped
        notes = [write(orjson.dumps({"dropped": lost}))] if lost else []
        try:
            async with asyncio.timeout(_STUCK_S):
                await response.write(
                    b"".join((*notes, *_lines(chunk, write))) if chunk else _pulse(as_events=as_events)
                )
        except (TimeoutError, ConnectionError):
            return response


async def _next(subscription: Subscription) -> list[Batch] | None:
    """Give what has come, an empty list at the end, None when nothing came for a while."""
    try:
        async with asyncio.timeout(_STILL_HERE_S):
            return await subscription.take(_CHUNK_MOST)
    except TimeoutError:
        return None


def _lines(batches: Iterable[Batch], write: Callable[[bytes], bytes]) -> Iterable[bytes]:
    received = rfc3339(time.time_ns())
    return (write(orjson.dumps(batch_form(batch) | {"received": received})) for batch in batches)


def _line(form: bytes) -> bytes:
    return form + b"\n"


def _event(form: bytes) -> bytes:
    return b"data: " + form + b"\n\n"


def _pulse(*, as_events: bool) -> bytes:
    """Say that keeld is still here; a reader that has gone shows by it."""
    return b":\n\n" if as_events else b"\n"

"""The addresses of the API and the page."""

from __future__ import annotations

import asyncio
import difflib
import gzip
import math
import re
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from keeld.errors import ConfigError
from keeld.metrics import CATALOGUE, Metric
from keeld.text import rfc3339
from keeld.views import SiteView
from keeld.web import forms
from keeld.web.acts import Acts
from keeld.web.commands import commands_form, rack_commands_form
from keeld.web.document import site_form
from keeld.web.drill import Drill
from keeld.web.exposition import CONTENT_TYPE, exposition
from keeld.web.failover import failover_form
from keeld.web.guard import answer, refusal
from keeld.web.headroom import headroom_form
from keeld.web.orders import OrderRoutes
from keeld.web.source import Source
from keeld.web.stream import Streams

_STATIC = Path(__file__).parent / "static"
_FILES = {
    "/": ("index.html", "text/html"),
    "/style.css": ("style.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/build.js": ("build.js", "text/javascript"),
    "/alerts.js": ("alerts.js", "text/javascript"),
    "/outlook.js": ("outlook.js", "text/javascript"),
    "/rack.js": ("rack.js", "text/javascript"),
    "/wall.js": ("wall.js", "text/javascript"),
    "/words.js": ("words.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_FRESH_S = 0.5
"""How old a site document may be: many pages cost one."""
_SHARE = 20.0
"""Making it takes at most one part in so many of the time, as long as it is no older than `_OLDEST_S`."""
_OLDEST_S = 3.0
_TRANSITIONS_MOST = 1000
_HISTORY_KINDS = ("rack", "power_node", "cooling_node", "site", "pdu", "meter", "ups", "cooling")
_HISTORY_DEFAULT_S = 3600.0
_SPAN = re.compile(r"(\d{1,6})([smhd])")
_SPAN_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class BadQueryError(Exception):
    """A query that cannot be answered; says why and what to write. Never leaves web."""


class Routes:
    """Answers requests from what a source gives."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._orders = OrderRoutes(source)
        self._streams = Streams(source)
        self._acts = Acts(source)
        self._site_body = b""
        self._site_packed = (b"", b"")
        """The document that was packed last, and packed."""
        self._site_until_s = 0.0

    def readings(self) -> list[web.RouteDef]:
        """List what may be asked by anyone who reaches the address."""
        return [
            web.get("/livez", self._livez),
            web.get("/readyz", self._readyz),
            web.get("/metrics", self._metrics),
            web.get("/api/v1/site", self._site),
            web.get("/api/v1/racks", self._racks),
            web.get("/api/v1/racks/{id}", self._rack),
            web.get("/api/v1/headroom", self._headroom),
            web.get("/api/v1/devices", self._devices),
            web.get("/api/v1/devices/{id}", self._device),
            web.get("/api/v1/alerts", self._alerts),
            web.get("/api/v1/transitions", self._transitions),
            web.get("/api/v1/history", self._history),
            *self._streams.readings(),
            *self._acts.readings(),
            *self._orders.readings(),
            *(web.get(path, _serve(_STATIC / name, kind)) for path, (name, kind) in _FILES.items()),
        ]

    def changes(self) -> list[web.RouteDef]:
        """List what may be asked on the unix socket alone."""
        return [
            *self._orders.changes(),
            *self._acts.changes(),
            *Drill(self._source).changes(),
            web.post("/api/v1/reload", self._reload),
        ]

    async def _livez(self, _: web.Request) -> web.Response:
        stuck = self._source.alive()
        return answer({"alive": not stuck, "stuck": stuck}, 503 if stuck else 200)

    async def _readyz(self, _: web.Request) -> web.Response:
        waiting = self._source.ready()
        return answer({"ready": not waiting, "not_ready": waiting}, 503 if waiting else 200)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=exposition(self._source), headers={"Content-Type": CONTENT_TYPE})

    async def _site(self, request: web.Request) -> web.Response:
        body = self._site_document()
        if "gzip" not in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=body, content_type="application/json")
        if self._site_packed[0] is not body:
            # Megabytes of a large site take a tenth of a second to pack, which must not be the polls'.
            self._site_packed = (body, await asyncio.to_thread(gzip.compress, body, compresslevel=1, mtime=0))
        headers = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        return web.Response(body=self._site_packed[1], content_type="application/json", headers=headers)

    def _site_document(self) -> bytes:
        """Give the site as JSON, made anew at most twice a second."""
        begun_s = time.monotonic()
        if begun_s >= self._site_until_s:
            self._site_body = orjson.dumps(site_form(self._source, self._source.site_view()))
            self._site_until_s = begun_s + min(_OLDEST_S, max(_FRESH_S, _SHARE * (time.monotonic() - begun_s)))
        return self._site_body

    async def _racks(self, _: web.Request) -> web.Response:
        view = self._source.site_view()
        return _listing(view, "racks", map(forms.rack_form, view.racks))

    async def _rack(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        view = self._source.site_view()
        found = next((rack for rack in view.racks if rack.rack.id == name), None)
        if found is None:
            return await _unknown("rack", name, [rack.rack.id for rack in view.racks])
        devices = forms.devices_of_rack(self._source.settings.site.devices.values(), name)
        cases = [failover_form(case) for case in await self._source.failover(name)]
        commands = rack_commands_form(name, self._source.settings)
        more = {"devices": self._summaries(devices), "failover": cases, "commands": commands}
        return answer(forms.rack_form(found) | more)

    async def _headroom(self, request: web.Request) -> web.Response:
        name = request.query.get("rack")
        known = self._source.settings.site.racks
        if name is not None and name not in known:
            return await _unknown("rack", name, list(known))
        return answer({"racks": [headroom_form(found) for found in await self._source.headroom(name)]})

    async def _devices(self, _: web.Request) -> web.Response:
        return answer({"devices": self._summaries(self._source.settings.site.devices)})

    async def _device(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        latest = self._source.device(name)
        if latest is None:
            return await _unknown("device", name, list(self._source.settings.site.devices))
        return answer(forms.device_form(latest, time.monotonic_ns()))

    async def _alerts(self, _: web.Request) -> web.Response:
        view = self._source.site_view()
        settings = self._source.settings
        listed = (forms.alarm_form(alarm) | {"commands": commands_form(alarm, settings)} for alarm in view.alarms)
        return _listing(view, "alerts", listed)

    async def _transitions(self, request: web.Request) -> web.Response:
        try:
            limit = _limit(request.query.get("limit", "100"))
            since_ns = _since_ns(request.query.get("since", "0"), time.time_ns())
        except BadQueryError as error:
            return refusal(400, *error.args)
        moves = await self._source.transitions(limit, since_ns)
        return answer({"transitions": [forms.transition_form(move) for move in moves]})

    async def _history(self, request: web.Request) -> web.Response:
        query = request.query
        try:
            kind, name, metric = _series(query.get("kind", ""), query.get("id", ""), query.get("metric", ""))
            since_ns = _since_ns(query.get("since", f"{_HISTORY_DEFAULT_S:.0f}s"), time.time_ns())
        except BadQueryError as error:
            return refusal(400, *error.args)
        part = query.get("part", "")
        spans = await self._source.history(kind, name, metric, part, since_ns=since_ns)
        about = {"kind": kind, "id": name, "metric": metric.name, "part": part}
        return answer(about | {"minutes": [forms.span_form(span) for span in spans]})

    async def _reload(self, _: web.Request) -> web.Response:
        try:
            await self._source.reload()
        except ConfigError as error:
            problems = [str(problem) for problem in error.problems]
            return answer({"error": "the configuration cannot be used; the old one stays", "problems": problems}, 422)
        return answer({"reloaded": True})

    def _summaries(self, names: Iterable[str]) -> list[forms.Form]:
        now_ns = time.monotonic_ns()
        found = (self._source.device(name) for name in names)
        return [forms.device_summary(latest, now_ns) for latest in found if latest is not None]


def _serve(path: Path, kind: str) -> Callable[[web.Request], Any]:
    body = path.read_bytes()

    async def serve(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type=kind, charset="utf-8", headers={"Cache-Control": "no-cache"})

    return serve


def _listing(view: SiteView, name: str, items: Iterable[forms.Form]) -> web.Response:
    return answer({"time": rfc3339(view.time_ns), name: list(items)})


async def _unknown(kind: str, name: str, known: list[str]) -> web.Response:
    # Thousands of ids take a tenth of a second to compare, which must not be the polls'.
    nearest = await asyncio.to_thread(difflib.get_close_matches, name[:64], known, n=1)
    return refusal(404, f"no {kind} of that id", f"did you mean {nearest[0]}?" if nearest else "")


def _limit(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= _TRANSITIONS_MOST:
        return int(text)
    raise BadQueryError("limit is out of range", f"write a number from 1 to {_TRANSITIONS_MOST}")


def _since_ns(text: str, now_ns: int) -> int:
    """Read a time: seconds since 1970, RFC 3339, or an age such as 90s, 15m, 6h, 3d."""
    span = _SPAN.fullmatch(text)
    if span:
        return max(0, now_ns - int(span[1]) * _SPAN_S[span[2]] * 1_000_000_000)
    try:
        seconds = _seconds(text)
        if math.isfinite(seconds) and 0 <= seconds < 2**33:
            return int(seconds * 1e9)
    except ValueError:
        pass
    raise BadQueryError("since is no time", "write 15m, 6h, 2026-11-22T17:00:00Z or seconds since 1970")


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without its offset")
    return moment.timestamp()


def _series(kind: str, name: str, metric: str) -> tuple[str, str, Metric]:
    if kind not in _HISTORY_KINDS:
        raise BadQueryError("kind is missing or unknown", f"write one of {', '.join(_HISTORY_KINDS)}")
    if not name:
        raise BadQueryError("id is missing", "write the id of the rack, node, site or device")
    if metric not in CATALOGUE:
        nearest = difflib.get_close_matches(metric[:64], CATALOGUE, n=1)
        raise BadQueryError("metric is missing or unknown", f"did you mean {nearest[0]}?" if nearest else "")
    return kind, name, CATALOGUE[metric]

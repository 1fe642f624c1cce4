"""What is ordered over the API: to draw less, and to take a rack into another state; on the unix socket alone."""

from __future__ import annotations

import difflib
import math
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from aiohttp import web

from keeld.alerts.rules import SET_OF_STATE
from keeld.contract import CurtailOrder
from keeld.state.orders import RackMove
from keeld.text import clean, rfc3339
from keeld.views import OrderView
from keeld.web.acts import peer_name
from keeld.web.forms import Form, interval_form
from keeld.web.guard import answer, refusal
from keeld.web.source import Source

_KINDS = {"site": "site", "node": "power_node", "rack": "rack", "row": "row", "tenant": "tenant"}
_SPAN = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
_SPAN_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SECOND_NS = 1_000_000_000
_LONGEST_NS = 31 * 86400 * _SECOND_NS
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", re.ASCII)
_ORDER_KEYS = ("target", "most_watts", "begins", "met_by", "ends", "id", "source", "note")
_MOVE_KEYS = ("state", "reason")
_MOST_WATTS = 1e12
_MOST_WORDS = 200
_MOVES_MOST = 100


class BadOrderError(Exception):
    """An order that cannot be taken; says why and what to write. Never leaves web."""


class OrderRoutes:
    """Answers what concerns orders and rack states."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def readings(self) -> list[web.RouteDef]:
        """List what may be asked by anyone who reaches the address."""
        return [
            web.get("/api/v1/curtail", self._list),
            web.get("/api/v1/racks/{id}/states", self._states),
        ]

    def changes(self) -> list[web.RouteDef]:
        """List what may be asked on the unix socket alone."""
        return [
            web.post("/api/v1/curtail", self._curtail),
            web.delete("/api/v1/curtail/{id}", self._cancel),
            web.post("/api/v1/racks/{id}/state", self._move),
        ]

    async def _list(self, _: web.Request) -> web.Response:
        return answer({"orders": [order_form(view) for view in self._source.orders()]})

    async def _curtail(self, request: web.Request) -> web.Response:
        try:
            form = await _form(request, _ORDER_KEYS)
            site = self._source.settings.site.name
            order = read_order(form, site=site, owner=peer_name(request), now_ns=time.time_ns())
        except BadOrderError as error:
            return refusal(400, *error.args)
        is_kept = await self._source.curtail(order)
        if is_kept is None:
            known = f"{order.target_kind} {clean(order.target_id)}"
            return refusal(404, f"no {known} here", "write site, node:ID, rack:ID, row:ID or tenant:ID")
        return answer({"id": order.id, "is_kept": is_kept}, 201)

    async def _cancel(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        is_kept = await self._source.cancel_order(name)
        if is_kept is None:
            return refusal(404, f"no order {clean(name)}", "GET /api/v1/curtail lists them")
        return answer({"id": name, "is_kept": is_kept})

    async def _states(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        if name not in self._source.settings.site.racks:
            return refusal(404, f"no rack {clean(name)}")
        moves = await self._source.rack_moves(name, _MOVES_MOST)
        return answer({"rack": name, "states": [move_form(move) for move in moves]})

    async def _move(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        if name not in self._source.settings.site.racks:
            return refusal(404, f"no rack {clean(name)}")
        try:
            state, reason = read_move(await _form(request, _MOVE_KEYS))
        except BadOrderError as error:
            return refusal(400, *error.args)
        is_kept = await self._source.move_rack(name, state, owner=peer_name(request), reason=reason)
        if is_kept is None:
            return refusal(409, f"rack {name} is {state} already")
        return answer({"rack": name, "state": state, "is_kept": is_kept})


def read_order(form: Mapping[str, Any], *, site: str, owner: str, now_ns: int) -> CurtailOrder:
    """Read an order from JSON; raises BadOrderError. Times left out begin now and must be met at once."""
    kind, _, name = str(form.get("target", "")).partition(":")
    if kind not in _KINDS or not (name or kind == "site"):
        raise BadOrderError("target is missing or unknown", "write site, node:ID, rack:ID, row:ID or tenant:ID")
    most = form.get("most_watts")
    if isinstance(most, bool) or not isinstance(most, int | float) or not 0 <= most <= _MOST_WATTS:
        raise BadOrderError("most_watts is no power", "write a number of watts, 0 or more")
    begins_ns = _time_ns(form, "begins", now_ns, now_ns)
    met_by_ns = _time_ns(form, "met_by", now_ns, begins_ns)
    ends_ns = _time_ns(form, "ends", now_ns, None)
    if not begins_ns <= met_by_ns < ends_ns or ends_ns <= now_ns:
        raise BadOrderError("times are out of order", "begins, then met_by, then ends, which is still to come")
    if ends_ns - begins_ns > _LONGEST_NS:
        raise BadOrderError("an order for more than 31 days", "lower the cap or the budget in the configuration")
    order_id = form.get("id") or secrets.token_hex(3)
    if not isinstance(order_id, str) or not _ID.fullmatch(order_id):
        raise BadOrderError("id cannot be an id", "write letters, digits and . _ : -, at most 64")
    return CurtailOrder(
        id=order_id,
        target_kind=_KINDS[kind],
        target_id=name or site,
        most_watts=float(most),
        begins_ns=begins_ns,
        met_by_ns=met_by_ns,
        ends_ns=ends_ns,
        source=_words(form, "source") or owner,
        note=_words(form, "note"),
    )


def read_move(form: Mapping[str, Any]) -> tuple[str, str]:
    """Read a rack's new state and the reason from JSON; raises BadOrderError."""
    state, reason = form.get("state"), _words(form, "reason")
    if not isinstance(state, str) or state not in SET_OF_STATE:
        raise BadOrderError("state is missing or unknown", f"write one of {', '.join(SET_OF_STATE)}")
    if not reason:
        raise BadOrderError("reason is missing", "say why: its history is read years later")
    return state, reason


def order_form(view: OrderView) -> Form:
    """Give an order with how its load stands to it."""
    order = view.order
    return {
        "id": order.id,
        "target": {"kind": order.target_kind, "id": order.target_id},
        "most_watts": order.most_watts,
        "begins": rfc3339(order.begins_ns),
        "met_by": rfc3339(order.met_by_ns),
        "ends": rfc3339(order.ends_ns),
        "source": order.source,
        "note": order.note,
        "compliance": view.compliance,
        "draw_watts": interval_form(view.draw),
        "allowed_watts": view.allowed_watts,
    }


def move_form(move: RackMove) -> Form:
    """Give a change of a rack's state."""
    return {
        "time": rfc3339(move.time_ns),
        "from": move.before,
        "to": move.after,
        "owner": move.owner,
        "reason": move.reason,
    }


async def _form(request: web.Request, known: Sequence[str]) -> Mapping[str, Any]:
    try:
        form = orjson.loads(await request.read())
    except ValueError:
        raise BadOrderError("the body is no JSON", f"send an object with {', '.join(known)}") from None
    if not isinstance(form, dict):
        raise BadOrderError("the body is no JSON object", f"send an object with {', '.join(known)}")
    for key in form:
        if key not in known:
            nearest = difflib.get_close_matches(key[:64], known, n=1)
            remedy = f"did you mean {nearest[0]}?" if nearest else f"there is {', '.join(known)}"
            raise BadOrderError(f"unknown key {clean(key)}", remedy)
    return form


def _words(form: Mapping[str, Any], key: str) -> str:
    text = form.get(key, "")
    if not isinstance(text, str):
        raise BadOrderError(f"{key} is no text", "write one line of text")
    return clean(text, _MOST_WORDS)


def _time_ns(form: Mapping[str, Any], key: str, now_ns: int, default_ns: int | None) -> int:
    """Read a time: RFC 3339 with its offset, or a span from now such as 15m."""
    text = form.get(key)
    if text is None and default_ns is not None:
        return default_ns
    remedy = "write 15m from now, or 2026-11-22T17:00:00-05:00"
    if not isinstance(text, str):
        raise BadOrderError(f"{key} is missing" if text is None else f"{key} is no time", remedy)
    span = _SPAN.fullmatch(text)
    if span:
        return now_ns + int(span[1]) * _SPAN_S[span[2]] * _SECOND_NS
    try:
        moment = datetime.fromisoformat(text)
        seconds = moment.timestamp() if moment.tzinfo is not None else math.nan
    except (ValueError, OverflowError):
        seconds = math.nan
    if not 0 <= seconds < 2**33:
        raise BadOrderError(f"{key} is no time", remedy)
    return int(seconds * 1e6) * 1000

"""What people do about alarms, over the API: changes on the unix socket alone, where the system says who asks."""

from __future__ import annotations

import pwd
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import orjson
from aiohttp import web

from keeld.alerts.acts import (
    Acknowledge,
    Act,
    Close,
    EndMaintenance,
    GoLive,
    Maintain,
    RefusedError,
    Shelve,
    Unshelve,
)
from keeld.alerts.selector import Selector, SelectorError, parse
from keeld.config.scalars import seconds
from keeld.errors import DeliveryError
from keeld.state import Audited
from keeld.text import clean, rfc3339
from keeld.views import AlarmQuality, HoldView, RuleView, WouldHave
from keeld.web.failover import failover_form
from keeld.web.forms import Form
from keeld.web.guard import answer, refusal
from keeld.web.source import Source

_NS = 1_000_000_000
_OWNER_MOST = 64
_AUDIT_MOST = 1000
_UCRED = struct.Struct("3i")

Handler = Callable[[web.Request], Awaitable[web.Response]]


class BadFormError(Exception):
    """A body that is no act; says what is wrong and what to write. Never leaves web."""


class Acts:
    """Routes of acknowledging, shelving, maintenance, closing and going live, and of what stands of them."""

    def __init__(self, source: Source) -> None:
        self._desk = source.desk

    def readings(self) -> list[web.RouteDef]:
        """List what may be asked by anyone who reaches the address."""
        return [
            web.get("/api/v1/rules", self._rules),
            web.get("/api/v1/rules/would-have", self._would_have),
            web.get("/api/v1/shelves", self._holds("shelf", "shelves")),
            web.get("/api/v1/maintenance", self._holds("maintenance", "maintenance")),
            web.get("/api/v1/quality", self._quality),
        ]

    def changes(self) -> list[web.RouteDef]:
        """List what may be asked on the unix socket alone; the audit names people, so it is one of them."""
        return [
            web.get("/api/v1/audit", self._audit),
            web.post("/api/v1/alerts/{id}/acknowledge", self._doing(_acknowledge)),
            web.post("/api/v1/alerts/{id}/shelve", self._doing(_shelve)),
            web.post("/api/v1/alerts/{id}/close", self._doing(_close)),
            web.post("/api/v1/shelves", self._doing(_shelve)),
            web.delete("/api/v1/shelves/{id}", self._doing(_unshelve)),
            web.post("/api/v1/maintenance/preview", self._preview),
            web.post("/api/v1/maintenance", self._doing(_maintain)),
            web.delete("/api/v1/maintenance/{id}", self._doing(_end_maintenance)),
            web.post("/api/v1/rules/live", self._doing(_go_live)),
        ]

    def _doing(self, read: Callable[[_Asked], Act]) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            try:
                asked = await _read(request)
                act = read(asked)
                done = await self._desk.act(act, asked.who)
            except BadFormError as error:
                return refusal(400, *error.args)
            except RefusedError as error:
                return refusal(409, error.wrong, error.remedy)
            return answer({"done": done.words, "id": done.id})

        return handle

    async def _preview(self, request: web.Request) -> web.Response:
        try:
            target = (await _read(request)).selector()
        except BadFormError as error:
            return refusal(400, *error.args)
        case = self._desk.work_preview(target)
        return answer({"target": str(target), "failover": None if case is None else failover_form(case)})

    async def _rules(self, _: web.Request) -> web.Response:
        return answer({"rules": [rule_form(rule) for rule in await self._desk.rules()]})

    async def _would_have(self, _: web.Request) -> web.Response:
        return answer({"would_have": [would_have_form(entry) for entry in self._desk.would_have()]})

    def _holds(self, kind: str, name: str) -> Handler:
        async def handle(_: web.Request) -> web.Response:
            return answer({name: [hold_form(hold) for hold in self._desk.holds() if hold.kind == kind]})

        return handle

    async def _quality(self, _: web.Request) -> web.Response:
        return answer({"days": {str(days): quality_form(self._desk.quality(days)) for days in (1, 7, 30)}})

    async def _audit(self, request: web.Request) -> web.Response:
        limit = request.query.get("limit", "100")
        if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= _AUDIT_MOST):
            return refusal(400, "limit is out of range", f"write a number from 1 to {_AUDIT_MOST}")
        try:
            entries = await self._desk.audited(int(limit))
        except DeliveryError as error:
            return refusal(503, f"the audit cannot be read: {error.detail}", "ask again later")
        return answer({"audit": [audit_form(entry) for entry in entries]})


class _Asked:
    """One request: its path's id, its body, and who the system says is asking."""

    def __init__(self, request: web.Request, form: dict[str, Any]) -> None:
        self.id = request.match_info.get("id", "")
        self.who = peer_name(request)
        self.query = request.query
        self._form = form
        self.now_ns = time.time_ns()

    @property
    def owner(self) -> str:
        """Give the name that is shown: what was written, else the user."""
        return clean(self._form.get("owner") or self.who, _OWNER_MOST)

    def text(self, name: str) -> str:
        """Give a text; empty where there is none."""
        value = self._form.get(name, "")
        if not isinstance(value, str):
            raise BadFormError(f"{name} is no text", f'write {{"{name}": "..."}}')
        return value

    def whole(self, name: str) -> int:
        """Give a whole number, 0 where there is none."""
        value = self._form.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int):
            raise BadFormError(f"{name} is no whole number", f'write {{"{name}": 7}}')
        return value

    def selector(self, name: str = "selector") -> Selector:
        """Give a selector."""
        try:
            return parse(self.text(name))
        except SelectorError as error:
            raise BadFormError(error.wrong, error.remedy) from None

    def span_ns(self, name: str) -> int | None:
        """Give a span such as 4h; None where there is none."""
        text = self.text(name)
        if not text:
            return None
        span_s = seconds(text)
        if span_s is None:
            raise BadFormError(f"{name} is no span", f'write {{"{name}": "4h"}}')
        return round(span_s * _NS)

    def moment_ns(self, name: str) -> int | None:
        """Give a moment in RFC 3339; None where there is none."""
        text = self.text(name)
        if not text:
            return None
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise BadFormError(f"{name} is no time with its offset", "write 2026-11-22T17:00:00-05:00")
        return round(moment.timestamp()) * _NS


def _acknowledge(asked: _Asked) -> Act:
    return Acknowledge(alert=asked.id, owner=asked.owner)


def _close(asked: _Asked) -> Act:
    return Close(alert=asked.id, owner=asked.owner, reason=asked.text("reason"))


def _shelve(asked: _Asked) -> Act:
    until_ns, span_ns = asked.moment_ns("until"), asked.span_ns("for")
    if (until_ns is None) == (span_ns is None):
        raise BadFormError("a shelf needs `for` or `until`", 'write {"for": "4h"}')
    return Shelve(
        owner=asked.owner,
        reason=asked.text("reason"),
        until_ns=until_ns if until_ns is not None else asked.now_ns + (span_ns or 0),
        alert=asked.id,
        selector=None if asked.id else asked.selector(),
    )


def _unshelve(asked: _Asked) -> Act:
    return Unshelve(shelf=asked.id, owner=asked.owner)


def _maintain(asked: _Asked) -> Act:
    begins_ns = asked.moment_ns("begins") or asked.now_ns
    ends_ns, span_ns = asked.moment_ns("ends"), asked.span_ns("for")
    if (ends_ns is None) == (span_ns is None):
        raise BadFormError("work needs `for` or `ends`", 'write {"for": "2h"}')
    return Maintain(
        target=asked.selector(),
        owner=asked.owner,
        reason=asked.text("reason"),
        begins_ns=begins_ns,
        ends_ns=ends_ns if ends_ns is not None else begins_ns + (span_ns or 0),
        every_days=asked.whole("every_days"),
    )


def _end_maintenance(asked: _Asked) -> Act:
    return EndMaintenance(work=asked.id, owner=asked.owner, for_good=asked.query.get("for_good") == "1")


def _go_live(asked: _Asked) -> Act:
    return GoLive(selector=asked.selector(), owner=asked.owner)


async def _read(request: web.Request) -> _Asked:
    raw = await request.read()
    try:
        form = orjson.loads(raw) if raw else {}
    except orjson.JSONDecodeError:
        form = None
    if not isinstance(form, dict):
        raise BadFormError("the body is no JSON object", 'write {"reason": "..."}')
    return _Asked(request, form)


def peer_name(request: web.Request) -> str:
    """Give the name of the user at the other end of the socket, as the system knows him."""
    peer = request.transport.get_extra_info("socket") if request.transport is not None else None
    if peer is None or peer.family != socket.AF_UNIX:
        return "unknown"
    _, uid, _ = _UCRED.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def rule_form(rule: RuleView) -> Form:
    """Give a rule as this site runs it."""
    return {
        "number": rule.number,
        "name": rule.name,
        "title": rule.title,
        "is_enabled": rule.is_enabled,
        "is_own": rule.is_own,
        "severities": list(rule.severities),
        "targets": rule.targets,
        "examples": list(rule.examples),
        "standing": rule.standing,
        "observed": rule.observed,
        "observed_until": rfc3339(rule.observed_until_ns) if rule.observed_until_ns else None,
        "why": rule.why,
    }


def would_have_form(entry: WouldHave) -> Form:
    """Give an alarm that would have been sent."""
    return {
        "key": entry.key,
        "rule": entry.rule,
        "target": {"kind": entry.target_kind, "id": entry.target_id},
        "title": entry.title,
        "severity": entry.severity,
        "count": entry.count,
        "longest_s": round(entry.longest_s, 1),
        "cause": entry.cause,
        "children": entry.children,
        "setting": entry.setting,
    }


def hold_form(hold: HoldView) -> Form:
    """Give a shelf, or announced work."""
    return {
        "id": hold.id,
        "about": hold.about,
        "owner": hold.owner,
        "reason": hold.reason,
        "begins": rfc3339(hold.begins_ns),
        "ends": rfc3339(hold.ends_ns),
        "is_now": hold.is_now,
        "every_days": hold.every_days,
        "alerts": list(hold.holds),
    }


def quality_form(quality: AlarmQuality) -> Form:
    """Give the figures about what people were told."""
    return {
        "since": rfc3339(quality.since_ns),
        "told": quality.told,
        "per_ten_minutes": quality.per_ten_minutes,
        "most_in_ten_minutes": quality.most_in_ten_minutes,
        "flood_ratio": quality.flood_ratio,
        "chattering": quality.chattering,
        "stale": quality.stale,
        "by_severity": {str(severity): count for severity, count in quality.by_severity.items()},
        "by_rule": dict(quality.by_rule),
        "top_ratio": quality.top_ratio,
    }


def audit_form(entry: Audited) -> Form:
    """Give one act of the audit."""
    return {
        "time": rfc3339(entry.time_ns),
        "who": entry.who,
        "act": entry.act,
        "about": entry.about,
        "was_done": entry.was_done,
        "result": entry.result,
    }

"""Alertmanager, API v2: its alerts are ours as long as we keep saying so.

Labels are what an alarm is, for ever: alertname (the rule), site, target_kind, target, severity. Everything that
changes stands in annotations. Because the severity is a label, a rise ends the alert of the old severity and begins the
one of the new in the same request. Alertmanager keeps nothing over its own restart and ends what it does not hear of
again: what stands is sent once a minute, good for half an hour, and an end is repeated for five minutes. The members of
a cluster are channels of their own, each with its queue: Alertmanager asks its clients to tell every one.

With `watchdog: true` an alert of that name fires as long as keeld works, for a dead man's switch behind Alertmanager.
"""

from __future__ import annotations

import base64
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from yarl import URL

from keeld.model import Notice, Severity, Transition
from keeld.notify import words
from keeld.notify.post import Post, address, bearer
from keeld.settings import ChannelSettings
from keeld.state import Outgoing
from keeld.text import rfc3339

_PATH = "api/v2/alerts"
_NS = 1_000_000_000
_GOOD_FOR_NS = 30 * 60 * _NS
"""Without a word from keeld, an alert ends after this: longer than a restart or an upgrade of its host."""
_REPEAT_END_NS = 5 * 60 * _NS
_WATCHDOG_GOOD_FOR_NS = 3 * 60 * _NS
"""Two rounds of repetition may be lost before the sign of life ends."""
_ENDED_MOST = 10_000
_TEXT_MOST = 8000

Alert = dict[str, Any]


def open_channel(settings: ChannelSettings, site: str) -> Alertmanager:
    """Make the channel; the first message opens its connection."""
    return Alertmanager(settings, site)


class Alertmanager:
    """One Alertmanager, with the ends that it is still being told again (wall clock)."""

    again_every_s = 60.0

    def __init__(self, settings: ChannelSettings, site: str, *, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._settings = settings
        self._site = site
        self._clock_ns = clock_ns
        self._post = Post()
        self._ended: dict[str, tuple[int, Alert]] = {}
        self._began_ns = clock_ns()

    async def send(self, outgoing: Outgoing) -> None:
        """Post what begins and what ends with this message, in one request."""
        now_ns = self._clock_ns()
        ends, begins = moved(outgoing, self._site, now_ns)
        await self._hand_over(ends + begins)
        for alert in begins:
            self._ended.pop(_identity(alert), None)
        for alert in ends:
            self._ended[_identity(alert)] = now_ns + _REPEAT_END_NS, alert
        while len(self._ended) > _ENDED_MOST:
            self._ended.pop(next(iter(self._ended)))

    async def again(self, standing: Sequence[Transition]) -> bool:
        """Post everything that stands and what ended lately; return False where there is nothing to say."""
        now_ns = self._clock_ns()
        self._ended = {name: kept for name, kept in self._ended.items() if kept[0] > now_ns}
        fires = {_identity(alert): alert for alert in (firing(move, self._site, now_ns) for move in standing)}
        alerts = [alert for name, (_, alert) in self._ended.items() if name not in fires] + list(fires.values())
        if self._settings.options.get("watchdog") == "true":
            alerts.append(watchdog(self._site, self._began_ns, now_ns))
        if alerts:
            await self._hand_over(alerts)
        return bool(alerts)

    async def close(self) -> None:
        """Close the connection."""
        await self._post.close()

    async def _hand_over(self, alerts: Sequence[Alert]) -> None:
        url = _endpoint(address(self._settings.url))
        password = self._settings.secrets.get("password")
        if password is None:
            await self._post.send(url, alerts, bearer(self._settings.secrets.get("token")))
            return
        word = password.reveal()
        pair = f"{self._settings.options.get('username', '')}:{word}".encode()
        login = {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        await self._post.send(url, alerts, login, hidden=(word,))


def moved(outgoing: Outgoing, site: str, now_ns: int) -> tuple[list[Alert], list[Alert]]:
    """Give the alerts that end with a message, and those that begin or go on."""
    move, heard = outgoing.transition, outgoing.heard
    if outgoing.notice is Notice.RESOLVE:
        return [_ended(move, heard or move.severity, site)], []
    ends = [_ended(move, heard, site)] if heard and heard is not move.severity else []
    return ends, [firing(move, site, now_ns)]


def firing(move: Transition, site: str, now_ns: int) -> Alert:
    """Give an alarm that stands as an alert that ends by itself unless it is sent again."""
    start_ns = min(move.since_ns or move.time_ns, now_ns)
    return _alert(move, move.severity, site) | {
        "startsAt": rfc3339(start_ns),
        "endsAt": rfc3339(now_ns + _GOOD_FOR_NS),
    }


def watchdog(site: str, began_ns: int, now_ns: int) -> Alert:
    """Give the alert that fires as long as keeld works; nobody needs to act while it does."""
    return {
        "labels": {"alertname": "Watchdog", "site": site, "severity": "none"},
        "annotations": {"summary": f"keeld at {site} works; somebody must be told when this alert ends"},
        "startsAt": rfc3339(min(began_ns, now_ns)),
        "endsAt": rfc3339(now_ns + _WATCHDOG_GOOD_FOR_NS),
    }


def _ended(move: Transition, severity: Severity, site: str) -> Alert:
    start_ns = min(move.since_ns or move.time_ns, move.time_ns)
    return _alert(move, severity, site) | {"startsAt": rfc3339(start_ns), "endsAt": rfc3339(move.time_ns)}


def _alert(move: Transition, severity: Severity, site: str) -> Alert:
    links = words.links(move)
    annotations = {
        "summary": words.title(move),
        "description": words.cut(move.text, _TEXT_MOST),
        "cause": move.cause,
        "alert_id": move.alert_id,
        "ended": move.ended,
        "value": _figure(move.best, move.unit),
        "lo": _figure(move.lo, move.unit),
        "hi": _figure(move.hi, move.unit),
        "limit": _figure(move.limit, move.unit),
        "runbook_url": links.get("Runbook", ""),
        "dashboard_url": links.get("Dashboard", ""),
    }
    generator = {"generatorURL": links["Page"]} if "Page" in links else {}
    return generator | {
        "labels": {
            "alertname": move.rule,
            "site": site,
            "target_kind": move.target_kind,
            "target": move.target_id,
            "severity": str(severity),
        },
        "annotations": {name: text for name, text in annotations.items() if text},
    }


def _figure(value: float | None, unit: str) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:g} {unit}".rstrip()


def _identity(alert: Alert) -> str:
    return "\x1f".join(alert["labels"].values())


def _endpoint(url: URL) -> URL:
    """Add the API's path to an Alertmanager's address, which may stand behind a prefix."""
    return url if url.path.endswith(f"/{_PATH}") else url / _PATH

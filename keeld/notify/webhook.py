"""Webhook: one JSON object by HTTP POST for every message.

    {"id": "0f…", "time": "2026-11-22T02:53:00.000Z", "site": "dal1", "key": "dal1:rack_density_power:rack:r08",
     "alert_id": "7f3a", "rule": "rack_density_power", "target": {"kind": "rack", "id": "r08"},
     "notice": "trigger", "severity": "critical", "state": {"from": "pending", "to": "firing"}, "ended": "",
     "since": "2026-11-22T02:47:00.000Z", "value": 33900.0, "lo": 33500.0, "hi": 34100.0, "limit": 30000.0,
     "unit": "W", "title": "…", "text": "…", "cause": "…"}

`notice` is trigger, escalate or resolve; a null number was not measured. `Idempotency-Key` repeats `id`, which is the
same for every attempt. Where a secret is configured, `Keeld-Signature: sha256=HEX` is the HMAC-SHA256 of the value of
`Keeld-Timestamp` (seconds since 1970), a full stop and the body; a configured token goes as a bearer token. Any 2xx
answer is a receipt; redirects are refused.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import socket
import time
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import orjson
from aiohttp.abc import ResolveResult
from yarl import URL

from keeld.errors import DeliveryError
from keeld.settings import ChannelSettings
from keeld.state import Outgoing
from keeld.text import clean, rfc3339

_TOTAL_S = 10.0
_ANSWER_MOST = 2048
_REFUSALS = frozenset({400, 413, 415, 422})
"""Answers about this very message; others are about the receiver, the way to it or its configuration."""

# Addresses at which clouds hand credentials to whoever asks, outside the link-local range.
_METADATA = frozenset(
    map(ipaddress.ip_address, ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"))
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def open_channel(settings: ChannelSettings, site: str) -> Webhook:
    """Make the channel; the first message opens its connection."""
    return Webhook(settings, site)


class Webhook:
    """One receiver. Its URL is read anew for each message, because it may be a secret that is rotated."""

    def __init__(self, settings: ChannelSettings, site: str) -> None:
        self._settings = settings
        self._site = site
        self._guards = settings.options.get("allow_link_local") != "true"
        self._session: aiohttp.ClientSession | None = None

    async def send(self, outgoing: Outgoing) -> None:
        """Post the message once."""
        body = orjson.dumps(payload(outgoing, self._site))
        url = self._url()
        try:
            async with self._open().post(
                url, data=body, headers=self._headers(outgoing, body), allow_redirects=False
            ) as answer:
                said = await answer.content.read(_ANSWER_MOST)
        except TimeoutError:
            raise DeliveryError(f"{_shown(url)}: no answer within {_TOTAL_S:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise DeliveryError(f"{_shown(url)}: {_reason(error)}") from None
        _judge(answer.status, answer.headers.get("Retry-After"), f"{_shown(url)}: {answer.status} {_words(said)}")

    async def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            await self._session.close()

    def _url(self) -> URL:
        try:
            url = URL(self._settings.url.reveal() if self._settings.url else "")
            host = url.host
        except ValueError:
            host = None
        if not host or url.scheme not in ("http", "https"):
            raise DeliveryError("its url is no http or https address") from None
        if self._guards and _is_forbidden_text(host):
            raise DeliveryError(f"{_shown(url)}: link-local and metadata addresses are refused")
        return url

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True, limit=2, resolver=_Resolver(guards=self._guards)),
                timeout=aiohttp.ClientTimeout(total=_TOTAL_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session

    def _headers(self, outgoing: Outgoing, body: bytes) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "User-Agent": "keeld", "Idempotency-Key": outgoing.id}
        token = self._settings.secrets.get("token")
        if token:
            headers["Authorization"] = f"Bearer {token.reveal()}"
        secret = self._settings.secrets.get("secret")
        if secret:
            stamp = str(int(time.time()))
            headers["Keeld-Timestamp"] = stamp
            headers["Keeld-Signature"] = signature(secret.reveal(), stamp, body)
        return headers


class _Resolver(aiohttp.ThreadedResolver):
    """Looks a name up once for each connection and gives away no address that a webhook may not reach."""

    def __init__(self, *, guards: bool) -> None:
        super().__init__()
        self._guards = guards

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Give the addresses of `host`; raise OSError when one of them is forbidden."""
        found = await super().resolve(host, port, family)
        if self._guards and any(_is_forbidden_text(result["host"]) for result in found):
            raise OSError("link-local and metadata addresses are refused")
        return found


def payload(outgoing: Outgoing, site: str) -> dict[str, Any]:
    """Give the message as the module's docstring documents it."""
    move = outgoing.transition
    return {
        "id": outgoing.id,
        "time": rfc3339(move.time_ns),
        "site": site,
        "key": move.key,
        "alert_id": move.alert_id,
        "rule": move.rule,
        "target": {"kind": move.target_kind, "id": move.target_id},
        "notice": outgoing.notice,
        "severity": move.severity,
        "state": {"from": move.before, "to": move.after},
        "ended": move.ended,
        "since": rfc3339(move.since_ns) if move.since_ns else None,
        "value": move.best,
        "lo": move.lo,
        "hi": move.hi,
        "limit": move.limit,
        "unit": move.unit,
        "title": move.title,
        "text": move.text,
        "cause": move.cause,
    }


def signature(secret: str, stamp: str, body: bytes) -> str:
    """Sign the time and the body, so that a caught message cannot be sent again later."""
    return "sha256=" + hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def retry_after_s(value: str | None, now_s: float) -> float | None:
    """Read a Retry-After header, seconds or a date, as seconds from `now_s` (since 1970); None for anything else."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now_s)
    except (ValueError, OverflowError):
        return None


def _judge(status: int, retry_after: str | None, detail: str) -> None:
    if 200 <= status < 300:  # noqa: PLR2004 - the class of answers that are receipts
        return
    if 300 <= status < 400:  # noqa: PLR2004 - the class of redirects
        detail += " (redirects are refused: configure the final address)"
    raise DeliveryError(detail, retry_after_s=retry_after_s(retry_after, time.time()), permanent=status in _REFUSALS)


def _is_forbidden_text(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return _is_forbidden(address)


def _is_forbidden(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    inner = _embedded(address) if isinstance(address, ipaddress.IPv6Address) else None
    if inner is not None:
        return _is_forbidden(inner)
    return address.is_link_local or address.is_multicast or address.is_unspecified or address in _METADATA


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def _shown(url: URL) -> str:
    """Give scheme and host alone: the rest of a webhook's address is often its key."""
    return f"{url.scheme}://{clean(url.host or '')}"


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
        return os.strerror(cause.errno) if cause.errno and cause.errno > 0 else clean(cause.strerror or cause, 120)
    if isinstance(error, aiohttp.InvalidURL):
        return "no usable address"
    return "connection closed" if isinstance(error, aiohttp.ServerDisconnectedError) else type(error).__name__


def _words(said: bytes) -> str:
    return clean(said.decode("utf-8", "replace"), 120)

"""One attempt to hand a message over by HTTP POST: bounded in time and size, to no address that hands out credentials.

Redirects are refused, because a POST that is followed may end as a GET that somebody answers with 200. What the
receiver says is shown in errors, but no secret that it repeats, and of its address only scheme and host.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import time
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import orjson
from aiohttp.abc import ResolveResult
from yarl import URL

from keeld.credentials import Secret
from keeld.errors import DeliveryError
from keeld.text import clean

_TOTAL_S = 10.0
_ANSWER_MOST = 2048
_TELLING = 16
"""Letters of a secret that are enough to know it by: the rest may be cut off."""
_REFUSALS = frozenset({400, 413, 415, 422})
"""Answers about this very message; others are about the receiver, the way to it or its configuration."""

# Addresses at which clouds hand credentials to whoever asks, outside the link-local range.
_METADATA = frozenset(
    map(ipaddress.ip_address, ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"))
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class Post:
    """The way to one receiver; the first message opens a connection, and each has its own."""

    def __init__(self, *, guards: bool = True) -> None:
        self._guards = guards
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self, url: URL, body: Any, headers: Mapping[str, str] | None = None, *, hidden: Iterable[str] = ()
    ) -> None:
        """Post `body` once, bytes as they are and anything else as JSON; any 2xx answer is a receipt.

        Raises DeliveryError. What is `hidden`, the login in `headers` and the address's path are left out of it.
        """
        if self._guards and _is_forbidden_text(url.host or ""):
            raise DeliveryError(f"{shown(url)}: link-local and metadata addresses are refused")
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        sent = {"Content-Type": "application/json", "User-Agent": "keeld"} | dict(headers or {})
        try:
            async with self._open().post(url, data=data, headers=sent, allow_redirects=False) as answer:
                said = await answer.content.read(_ANSWER_MOST)
        except TimeoutError:
            raise DeliveryError(f"{shown(url)}: no answer within {_TOTAL_S:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise DeliveryError(f"{shown(url)}: {_reason(error)}") from None
        words = _words(said, (*hidden, *_logins(sent), *_paths(url)))
        _judge(answer.status, answer.headers.get("Retry-After"), f"{shown(url)}: {answer.status} {words}")

    async def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True, limit=2, resolver=_Resolver(guards=self._guards)),
                timeout=aiohttp.ClientTimeout(total=_TOTAL_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session


def address(secret: Secret | None) -> URL:
    """Read a receiver's URL, anew for each message because it may be a secret that is rotated. Raises DeliveryError."""
    try:
        url = URL(secret.reveal() if secret else "")
        host = url.host
    except ValueError:
        host = None
    if not host or url.scheme not in ("http", "https"):
        raise DeliveryError("its url is no http or https address") from None
    return url


def shown(url: URL) -> str:
    """Give scheme and host alone: the rest of a webhook's address is often its key."""
    return f"{url.scheme}://{clean(url.host or '')}"


def bearer(token: Secret | None) -> dict[str, str]:
    """Give the header that carries a token; none without a token."""
    return {"Authorization": f"Bearer {token.reveal()}"} if token else {}


class _Resolver(aiohttp.ThreadedResolver):
    """Looks a name up once for each connection and gives away no address that a channel may not reach."""

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


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
        return os.strerror(cause.errno) if cause.errno and cause.errno > 0 else clean(cause.strerror or cause, 120)
    if isinstance(error, aiohttp.InvalidURL):
        return "no usable address"
    return "connection closed" if isinstance(error, aiohttp.ServerDisconnectedError) else type(error).__name__


def _words(said: bytes, hidden: Iterable[str]) -> str:
    text = said.decode("utf-8", "replace")
    for secret in hidden:
        if secret:
            text = re.sub(rf"{re.escape(secret)}|{re.escape(secret[:_TELLING])}\S*", "***", text)
    return clean(text, 120)


def _logins(headers: Mapping[str, str]) -> Iterable[str]:
    return (headers.get("Authorization", "").rpartition(" ")[2],)


def _paths(url: URL) -> Iterable[str]:
    return (path for path in (url.raw_path_qs, url.path_qs) if path != "/")

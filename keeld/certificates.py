"""How long the certificates are still good that keeld's databases, broker and channels show it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Iterable

from yarl import URL

from keeld.settings import Settings

_TIMEOUT_S = 8.0
_EXPIRED = 10
"""OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED."""
_PORTS = {"https": 443, "mqtts": 8883, "smtps": 465}


def endpoints(settings: Settings) -> frozenset[tuple[str, int]]:
    """List whom keeld speaks to over TLS, as host and port."""
    urls = [influx.url for influx in settings.influx]
    urls += [channel.url.reveal() for channel in settings.channels if channel.url]
    urls += [channel.options["server"] for channel in settings.channels if "server" in channel.options]
    urls += [settings.heartbeat.url.reveal()] if settings.heartbeat else []
    return frozenset(_of_urls(urls))


def _of_urls(urls: Iterable[str]) -> Iterable[tuple[str, int]]:
    for text in urls:
        with contextlib.suppress(ValueError):  # what is no URL is no endpoint; its own part says so
            url = URL(text)
            if url.scheme in _PORTS and url.host:
                yield url.host, url.explicit_port or _PORTS[url.scheme]


async def seconds_left(host: str, port: int) -> float | None:
    """Ask an endpoint for its certificate; None where it does not show one that is trusted."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port, ssl=ssl.create_default_context())
    except ssl.SSLCertVerificationError as error:
        return 0.0 if error.verify_code == _EXPIRED else None
    except (OSError, TimeoutError, ValueError):
        return None
    shown = writer.get_extra_info("peercert") or {}
    writer.transport.abort()
    until = shown.get("notAfter")
    return ssl.cert_time_to_seconds(until) - time.time() if isinstance(until, str) else None


async def look(settings: Settings) -> dict[str, float]:
    """Give `host:port` to the seconds that its certificate is still good, one after the other."""
    found = {f"{host}:{port}": await seconds_left(host, port) for host, port in sorted(endpoints(settings))}
    return {name: left_s for name, left_s in found.items() if left_s is not None}

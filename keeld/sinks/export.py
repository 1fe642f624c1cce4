"""Read stored readings back from InfluxDB, in the form of batches: what a recording is made of after the fact.

InfluxQL over `/query`, the one way to ask that InfluxDB 1, 2 and 3 share. A span is read in windows, so that neither
side holds more than minutes of a site; what the windows give is in the order of time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import aiohttp
import orjson
from yarl import URL

from keeld.errors import DeliveryError, Outage
from keeld.metrics import CATALOGUE, OUTAGE_REASON, UP
from keeld.model import Group, Site
from keeld.settings import InfluxSettings
from keeld.sinks.influx import authorization
from keeld.text import clean, rfc3339

_WINDOW_MS = 300_000
_ANSWER_MOST_BYTES = 512 << 20
_SAID_MOST = 200
_OUTAGES = {outage.code: str(outage) for outage in Outage}

Form = dict[str, Any]


async def export(settings: InfluxSettings, site: Site, *, since_ns: int, until_ns: int) -> AsyncIterator[Form]:
    """Give every stored batch of the site's devices, oldest first; raises DeliveryError."""
    kinds = sorted({device.kind for device in site.devices.values()})
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=settings.timeout_s, sock_read=60.0)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        for begin_ms in range(since_ns // 1_000_000, until_ns // 1_000_000, _WINDOW_MS):
            end_ms = min(begin_ms + _WINDOW_MS, until_ns // 1_000_000)
            series = await _ask(session, settings, question(kinds, site.name, begin_ms, end_ms))
            for form in batches(series, site):
                yield form


def question(kinds: Iterable[str], site: str, begin_ms: int, end_ms: int) -> str:
    """Ask for all fields of all devices between two times."""
    measurements = ", ".join(f'"{kind}"' for kind in kinds)
    name = site.replace("\\", "\\\\").replace("'", "\\'")
    span = f"time >= {begin_ms}ms AND time < {end_ms}ms"
    return f'SELECT * FROM {measurements} WHERE {span} AND "site" = \'{name}\' GROUP BY "device", "part"'  # noqa: S608 - escaped; kinds and times are keeld's own


def batches(series: Iterable[Mapping[str, Any]], site: Site) -> list[Form]:
    """Put the rows of one device at one time together; what is not the site's or not of the catalogue is left out."""
    found: dict[tuple[int, str], dict[str, float]] = defaultdict(dict)
    for each in series:
        tags = each.get("tags") or {}
        device, part = str(tags.get("device", "")), str(tags.get("part", ""))
        if device in site.devices:
            for row in each["values"]:
                _add(found[row[0], device], each["columns"], row, part)
    return [_form(time_ms, device, fields) for (time_ms, device), fields in sorted(found.items())]


def _add(fields: dict[str, float], columns: list[str], row: list[Any], part: str) -> None:
    for column, value in zip(columns[1:], row[1:], strict=True):
        if column in CATALOGUE and isinstance(value, int | float):
            fields[f"{column}/{part}" if part else column] = float(value)


def _form(time_ms: int, device: str, fields: dict[str, float]) -> Form:
    """Give one batch. Only polls of the fast group store whether the device is up."""
    up, reason = fields.pop(UP.name, None), fields.pop(OUTAGE_REASON.name, None)
    form: Form = {"time": rfc3339(time_ms * 1_000_000), "device": device}
    if fields or reason is None:
        form["readings"] = fields
    if reason is not None:
        form["outage"] = _OUTAGES.get(int(reason), str(Outage.TIMEOUT))
    if up is None:
        form["group"] = str(Group.SLOW)
    return form


async def _ask(session: aiohttp.ClientSession, settings: InfluxSettings, query: str) -> list[Mapping[str, Any]]:
    url = URL(settings.url).with_user(None).with_fragment(None) / "query"
    asked = {"db": settings.bucket, "q": query, "epoch": "ms"}
    try:
        word = authorization(settings)
        headers = {"Authorization": word} if word else {}
        async with session.get(url, params=asked, headers=headers, allow_redirects=False) as response:
            body = await _read(response)
            if response.status != 200:  # noqa: PLR2004 - the one good answer
                raise DeliveryError(f"{url.origin()} answered {response.status}: {clean(_error(body), _SAID_MOST)}")
    except ValueError:
        raise DeliveryError("the token has characters that no header can carry, or the address is no URL") from None
    except TimeoutError:
        raise DeliveryError(f"{url.origin()} did not answer in time") from None
    except (aiohttp.ClientError, OSError) as error:
        raise DeliveryError(f"{url.origin()} cannot be asked: {clean(error, _SAID_MOST)}") from None
    return _series(body)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > _ANSWER_MOST_BYTES:
            raise DeliveryError(f"five minutes of the site are more than {_ANSWER_MOST_BYTES >> 20} MiB")
    return bytes(body)


def _series(body: bytes) -> list[Mapping[str, Any]]:
    """Give the series of an answer; raises DeliveryError for what the database refused or is none."""
    try:
        results = orjson.loads(body)["results"]
        refused = next((result["error"] for result in results if "error" in result), None)
        if refused is not None:
            raise DeliveryError(f"the database refused the question: {clean(refused, _SAID_MOST)}")
        return [series for result in results for series in result.get("series", ())]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        raise DeliveryError("the answer is none of InfluxQL's") from None


def _error(body: bytes) -> str:
    try:
        return str(orjson.loads(body)["error"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return body[:_SAID_MOST].decode(errors="replace")

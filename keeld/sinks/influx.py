"""Post gzipped lines to InfluxDB 1, 2 or 3, or to VictoriaMetrics, which speaks the first two.

Plain aiohttp: what is sent is the file's bytes. Always gzip and never zstd, which VictoriaMetrics answers with 204 and
drops. Redirects are refused, because a followed one turns into a GET that answers 200 and stores nothing.
"""

from __future__ import annotations

import base64
import contextlib
import os
from types import SimpleNamespace

import aiohttp
from yarl import URL

from keeld.credentials import Secret
from keeld.settings import InfluxSettings
from keeld.sinks.reply import WORDS_MOST, Answer, Reply, judge
from keeld.text import clean

_SAID_MOST_BYTES = 4096

# one connection: the live lane is first in line by the sender's choice, and a lost one is noticed
_CONNECTIONS = 1


class InfluxSink:
    """One database. Its one connection is opened at the first write and used for all of them."""

    def __init__(self, settings: InfluxSettings) -> None:
        self.name = settings.name
        self._settings = settings
        self._url = write_url(settings)
        self._session: aiohttp.ClientSession | None = None
        self._connections = 0
        self._goodbye = True
        """Whether the end of the last connection was agreed on, or there was none yet."""

    async def write(self, body: bytes) -> Reply:
        """Post one gzipped body of lines."""
        try:
            headers = self._headers()
        except ValueError:
            return Reply(Answer.FAULT, "the token has characters that no header can carry")
        connections = self._connections
        try:
            async with self._open().post(self._url, data=body, headers=headers, allow_redirects=False) as response:
                said = await _read_little(response)
                reconnected = self._connections > connections and not self._goodbye
                self._goodbye = not response.content.at_eof() or "close" in response.headers.get("Connection", "")
                return judge(response.status, said, response.headers.get("Retry-After"), reconnected=reconnected)
        except aiohttp.InvalidURL:
            return Reply(Answer.FAULT, "the address is no URL")
        except TimeoutError:
            return self._lost(f"no answer within {self._settings.timeout_s:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return self._lost(_reason(error))

    async def close(self) -> None:
        """Close the connection; a later write opens another."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _lost(self, words: str) -> Reply:
        self._goodbye = True  # the caller is told now, so the next connection is no news
        return Reply(Answer.LOST, words)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            trace = aiohttp.TraceConfig()
            trace.on_connection_create_end.append(self._count_connection)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=300),
                timeout=aiohttp.ClientTimeout(total=self._settings.timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trace_configs=[trace],
            )
        return self._session

    async def _count_connection(
        self,
        _session: aiohttp.ClientSession,
        _context: SimpleNamespace,
        _params: aiohttp.TraceConnectionCreateEndParams,
    ) -> None:
        self._connections += 1

    def _headers(self) -> dict[str, str]:
        headers = {
            "Content-Encoding": "gzip",
            "Content-Type": "text/plain; charset=utf-8",
            "Accept-Encoding": "identity",
        }
        word = authorization(self._settings)
        if word:
            headers["Authorization"] = word
        return headers


def write_url(settings: InfluxSettings) -> URL:
    """Give the address that lines are posted to; v3 guesses the unit of time unless it is told."""
    base = URL(settings.url).with_user(None).with_fragment(None)
    if settings.api == "v1":
        return base / "write" % {"db": settings.bucket, "precision": "ms"}
    if settings.api == "v3":
        return base / "api/v3/write_lp" % {"db": settings.bucket, "precision": "millisecond"}
    org = {"org": settings.org} if settings.org else {}
    return base / "api/v2/write" % {**org, "bucket": settings.bucket, "precision": "ms"}


def authorization(settings: InfluxSettings) -> str | None:
    """Read the secret at the moment it goes on the wire: a rotated token needs no restart."""
    if settings.token is not None:
        return f"Token {_printable(settings.token)}"
    if settings.username:
        password = settings.password.reveal() if settings.password is not None else ""
        return f"Basic {base64.b64encode(f'{settings.username}:{password}'.encode()).decode()}"
    return None


def _printable(secret: Secret) -> str:
    value = secret.reveal()
    if not value.isprintable() or not value.isascii():
        raise ValueError
    return value


async def _read_little(response: aiohttp.ClientResponse) -> bytes:
    """Read the beginning of what was said: a database explains itself in a line, whatever sends more is not heard."""
    said = b""
    while len(said) < _SAID_MOST_BYTES:
        chunk = await response.content.read(_SAID_MOST_BYTES - len(said))
        if not chunk:
            break
        said += chunk
    if not response.content.at_eof():
        with contextlib.suppress(aiohttp.ClientError):
            response.close()
    return said


def _reason(error: Exception) -> str:
    """Say why there was no answer, without the address (it may carry a name) and without what was sent."""
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "connection closed without an answer"
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, OSError) and cause.errno and cause.errno > 0:
        return os.strerror(cause.errno)  # asyncio's own words show a tuple of Python's
    if isinstance(cause, OSError) and cause.strerror:
        return clean(cause.strerror, WORDS_MOST)
    return f"no answer: {type(error).__name__}"

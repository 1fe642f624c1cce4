"""Ask the running keeld over its own API, and say in one line what is wrong when it does not answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keeld.errors import DeliveryError

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse

    from keeld.settings import HttpSettings

_TIMEOUT_S = 5.0
_MOST_BYTES = 64 << 20
_LINE_MOST = 1 << 20
_SILENCE_S = 60.0
"""Keeld shows four times in it that it is still there."""


def ask(config_path: Path, path: str) -> dict[str, Any]:
    """Give the answer of the keeld that runs with this configuration; raise DeliveryError where there is none."""
    import http.client

    import orjson

    from keeld import config

    at = config.load(config_path).http
    host = reachable(at)
    connection = http.client.HTTPConnection(host, at.port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path)
        answer: dict[str, Any] = orjson.loads(connection.getresponse().read(_MOST_BYTES))
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        remedy = "is it running? systemctl status keeld"
        raise DeliveryError(f"no keeld answers at {host}:{at.port} ({reason}); {remedy}") from None
    finally:
        connection.close()
    return answer


def reachable(at: HttpSettings) -> str:
    """Give the address to ask where keeld listens on all of them."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(at.host, at.host)  # noqa: S104 - asked, not bound


def change(config_path: Path, path: str, form: dict[str, Any], *, method: str = "POST") -> dict[str, Any]:
    """Ask the running keeld, on its unix socket, to change something; raise DeliveryError where it does not."""
    import http.client

    import orjson

    from keeld import config

    socket = config.rehearse(config_path).http.socket
    if socket is None:
        raise DeliveryError(
            f"{config_path} names no socket; add http: {{socket: /run/keeld/api.sock}} and restart keeld"
        )
    connection = connect_unix(socket, _TIMEOUT_S)
    try:
        connection.request(method, path, orjson.dumps(form), {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer: dict[str, Any] = orjson.loads(response.read(_MOST_BYTES))
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise DeliveryError(
            f"no keeld answers at {socket} ({reason}); is it running, and may you write there?"
        ) from None
    finally:
        connection.close()
    if response.status >= http.client.BAD_REQUEST:
        raise DeliveryError("; ".join(filter(None, (str(answer.get("error", "")), str(answer.get("remedy", ""))))))
    return answer


def connect_unix(path: Path, timeout_s: float) -> HTTPConnection:
    """Give a connection to a unix socket; it connects with the first request."""
    import http.client
    import socket

    class UnixConnection(http.client.HTTPConnection):
        def connect(self) -> None:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(timeout_s)
            self.sock.connect(str(path))

    return UnixConnection("keeld")


def follow(at: HttpSettings, socket: Path | None, path: str, span_s: float | None) -> Iterator[bytes]:
    """Give the lines of an answer that goes on, for `span_s` or until keeld ends it; raise DeliveryError."""
    import http.client

    if socket is None:
        host = reachable(at)
        connection, place = http.client.HTTPConnection(host, at.port, timeout=_SILENCE_S), f"{host}:{at.port}"
    else:
        connection, place = connect_unix(socket, _SILENCE_S), str(socket)
    end_s = None if span_s is None else time.monotonic() + span_s
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise DeliveryError(_refusal(response))
        while end_s is None or time.monotonic() < end_s:
            line = response.readline(_LINE_MOST)
            if not line.endswith(b"\n"):
                return
            yield line
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise DeliveryError(f"no keeld answers at {place} ({reason}); is it running? systemctl status keeld") from None
    finally:
        connection.close()


def _refusal(response: HTTPResponse) -> str:
    import orjson

    try:
        said = orjson.loads(response.read(_LINE_MOST))
        return "; ".join(filter(None, (str(said["error"]), str(said.get("remedy", "")))))
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"keeld answered {response.status}"

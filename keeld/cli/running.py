"""Ask the running keeld over its own API, and say in one line what is wrong when it does not answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from keeld.errors import DeliveryError

if TYPE_CHECKING:
    from keeld.settings import HttpSettings

_TIMEOUT_S = 5.0
_MOST_BYTES = 64 << 20


def ask(config_path: Path, path: str) -> dict[str, Any]:
    """Give the answer of the keeld that runs with this configuration; raise DeliveryError where there is none."""
    import http.client

    import orjson

    from keeld import config

    at = config.load(config_path).http
    host = _reachable(at)
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


def _reachable(at: HttpSettings) -> str:
    """Give the address to ask where keeld listens on all of them."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(at.host, at.host)  # noqa: S104 - asked, not bound

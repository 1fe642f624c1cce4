"""Text for people and machines: device-supplied words made safe (printable, one line, bounded), times as RFC 3339."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime

_MOST = 64


def clean(text: object, most: int = _MOST) -> str:
    """Give `text` as one printable line of at most `most` characters.

    NFC-normalised; controls, separators, surrogates, bidi marks and backslashes become a space or `?`,
    runs of space one.
    """
    raw = str(text)[: most * 4]
    kept = "".join(_safe(character) for character in unicodedata.normalize("NFC", raw))
    return " ".join(kept.split())[:most]


def _safe(character: str) -> str:
    if character == "\\":
        return "/"
    category = unicodedata.category(character)
    if category[0] == "Z" or category == "Cc":
        return " "
    return "?" if category[0] == "C" else character


def rfc3339(time_ns: int) -> str:
    """Give a wall-clock time in UTC with milliseconds: `2026-11-22T17:14:45.123Z`."""
    seconds, rest_ns = divmod(time_ns, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest_ns // 1_000_000:03}Z"

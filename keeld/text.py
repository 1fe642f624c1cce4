"""Make device-supplied text safe to show, log and store: printable, one line, bounded."""

from __future__ import annotations

import unicodedata

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

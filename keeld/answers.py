"""Read JSON and numbers as miners really send them: what is broken is mended only where no value can change.

The byte rules are those of firmware in the field (Antminer S7, S9 and L3+ put `}{` between list items, S7 sends `[,{`);
an answer that they do not mend is garbled, never guessed at.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

import orjson

from keeld.errors import Outage, PollError

_LONGEST_NUMBER = 64
# Broken answers of real firmware have up to 16 kB; mending a hostile megabyte would hold up every other device.
_LONGEST_MENDED_BYTES = 64 << 10

# Strings are matched whole, so that no rule reaches into one. An unterminated one is matched to the end: each byte is
# looked at once, whatever a device sends.
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.|\\$)*+"?|\}\s*+\{|\[\s*+,|,\s*+(?=[}\]])|\x00', re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f]")
_NUMBER = re.compile(r"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*([A-Za-z/%]*)\s*(?:\([^)]*\))?\s*")

_PLAIN = frozenset({int, float})


class Span(NamedTuple):
    """Where a quantity can lie, in the unit of the answer; a value outside was not measured."""

    lo: float
    hi: float


def parse(raw: bytes) -> dict[str, Any]:
    """Give the JSON object in `raw`; raise PollError(GARBLED) where there is none, even after mending."""
    try:
        answer = orjson.loads(raw)
    except orjson.JSONDecodeError:
        answer = _parse_mended(raw)
    if not isinstance(answer, dict):
        raise PollError(Outage.GARBLED, "the answer is no JSON object")
    return answer


def _parse_mended(raw: bytes) -> Any:
    if len(raw) > _LONGEST_MENDED_BYTES:
        raise PollError(Outage.GARBLED, "the answer is not JSON and too long to be mended")
    text = _TOKEN.sub(_mend, raw.decode("utf-8", errors="replace").removeprefix("\ufeff"))
    try:
        # The library's own parser takes what the grammar allows and orjson does not: lone surrogates, 1e400.
        return json.loads(text, parse_int=float, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise PollError(Outage.GARBLED, "the answer is not JSON") from None


def _mend(match: re.Match[str]) -> str:
    token = match[0]
    first = token[0]
    if first == '"':
        return _CONTROL.sub(" ", token)
    if first == "}":
        return "},{"
    return "[" if first == "[" else ""


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def number(value: object, unit: str = "") -> float | None:
    """Give the finite number in `value`: 12, 12.3, "12.3", and with `unit="W"` also "58.94W" and "456.78 (AB)".

    None for everything else: "", "nan", true, a list, and a number in another unit than `unit`.
    """
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else None  # type: ignore[arg-type,return-value]  # narrowed by `kind`
    if kind is int:
        return _finite(value)
    return _number_in(value, unit) if kind is str else None  # type: ignore[arg-type]  # narrowed by `kind`


def _finite(value: Any) -> float | None:
    try:
        result = float(value)
    except OverflowError:
        return None
    return result if math.isfinite(result) else None


def _number_in(text: str, unit: str) -> float | None:
    if not text or len(text) > _LONGEST_NUMBER:
        return None
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    suffix = match[2]
    if suffix and suffix.casefold() != unit.casefold():
        return None
    return _finite(match[1])


def measured(value: object, span: Span, unit: str = "") -> float | None:
    """Give the number in `value` if it lies within `span`, else None; the spans are finite, so it is too."""
    lowest, highest = span
    if type(value) in _PLAIN:
        return float(value) if lowest <= value <= highest else None  # type: ignore[operator,arg-type]  # a plain number
    found = number(value, unit)
    return found if found is not None and lowest <= found <= highest else None


def first_measured(fields: Mapping[str, Any], keys: tuple[str, ...], span: Span, unit: str = "") -> float | None:
    """Give the first of `keys` that holds a number within `span`."""
    for key in keys:
        found = measured(fields.get(key), span, unit)
        if found is not None:
            return found
    return None

"""What a bare word in the configuration means: numbers and booleans as YAML 1.2 has them, durations and sizes.

YAML 1.1 would make `on` true, `010` eight and `10:30` six hundred and thirty; a rule's `on: 5m` must stay what it is.
"""

from __future__ import annotations

import math
import re

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+")
_HEX = re.compile(r"0x[0-9a-fA-F]{1,16}")
_OCTAL = re.compile(r"0o[0-7]{1,21}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INFINITY = re.compile(r"[-+]?\.(?:inf|Inf|INF)")
_NAN = frozenset({".nan", ".NaN", ".NAN"})
_EXACT_DIGITS = 18

_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d|w))+")
_DURATION_TERM = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|w)")
SECONDS_PER_UNIT = {"w": 604800.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)")
_BYTES_PER_UNIT = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_BYTES_PER_UNIT |= {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_LONGEST = 40

Scalar = str | int | float | bool | None


def resolve(text: str) -> Scalar:
    """Give the value of an unquoted scalar by YAML 1.2's core schema; what is no number or word of it is a string."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if text[0] not in "+-.0123456789":
        return text
    return _number(text)


def _number(text: str) -> str | int | float:
    if _INT.fullmatch(text):
        # Past this an int is no measure of anything, and Python refuses to parse very long ones.
        return int(text) if len(text) <= _EXACT_DIGITS else float(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _HEX.fullmatch(text) or _OCTAL.fullmatch(text):
        return int(text, 0)
    if text in _NAN:
        return math.nan
    if _INFINITY.fullmatch(text):
        return -math.inf if text[0] == "-" else math.inf
    return text


def seconds(text: str) -> float | None:
    """Give the seconds in `10s`, `5m`, `1h30m`, `250ms`; None when it is no duration."""
    if len(text) > _LONGEST or not _DURATION.fullmatch(text):
        return None
    return sum(float(number) * SECONDS_PER_UNIT[unit] for number, unit in _DURATION_TERM.findall(text))


def duration(length_s: float) -> str:
    """Write seconds as the shortest duration that `seconds` reads back."""
    for unit, unit_s in SECONDS_PER_UNIT.items():
        count = length_s / unit_s
        if count >= 1 and count == int(count):
            return f"{int(count)}{unit}"
    return f"{length_s:g}s"


def size_bytes(text: str) -> int | None:
    """Give the bytes in `4GiB` or `500 MB`; None when it is no size."""
    match = _SIZE.fullmatch(text) if len(text) <= _LONGEST else None
    return None if match is None else int(float(match[1]) * _BYTES_PER_UNIT[match[2]])

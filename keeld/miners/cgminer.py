"""The dialect of cgminer's API that all its descendants speak: status, sections, pools, shares.

A status is `STATUS: [{STATUS: "S", Code, Msg, …}]`; WhatsMiner's own commands and Bitmain's newer answers flatten it.
A joined request (`summary+devs`) answers with a list for each command: `{"summary": [{…}], "devs": [{…}]}`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from keeld import metrics
from keeld.answers import Span, measured, number
from keeld.errors import Outage, PollError
from keeld.metrics import Metric
from keeld.model import Identity, Reading
from keeld.text import clean

MOST_ROWS = 32
"""Boards, slots or pools that are read of one answer; no machine has more, and what a device sends stays bounded."""

TEMPERATURE = Span(-40.0, 150.0)
FAN_RPM = Span(0.0, 30_000.0)
POWER_WATTS = Span(0.1, 50_000.0)
"""Without 0 and -1: a machine that answers draws something, so a zero here is a missing sensor."""
COUNT = Span(0.0, 2.0**53)
CHIPS = Span(0.0, 10_000.0)
UPTIME_S = Span(0.0, 2.0**32)
HASHES_PER_S = Span(0.0, 1e18)

BOARD = tuple(f"board/{index}" for index in range(MOST_ROWS))
CHIP = tuple(f"chip/{index}" for index in range(MOST_ROWS))
FAN = tuple(f"fan/{number}" for number in range(MOST_ROWS + 1))

_SAID = frozenset({str, int})
_ACCESS_DENIED = 45
_MOST_WORDS = 128


def check_status(answer: Mapping[str, Any]) -> None:
    """Raise PollError where the miner refused: DENIED for code 45, else UNSUPPORTED with the miner's words."""
    status = answer.get("STATUS")
    entry = status[0] if isinstance(status, list) and status else status
    if isinstance(entry, str):
        entry = answer
    if not isinstance(entry, dict) or entry.get("STATUS") not in ("E", "F"):  # a tuple: the device may send a list
        return
    message = entry.get("Msg")
    words = clean(message, _MOST_WORDS) if isinstance(message, str) else "no reason given"
    if number(entry.get("Code")) == _ACCESS_DENIED or "denied" in words.casefold():
        raise PollError(Outage.DENIED, words)
    raise PollError(Outage.UNSUPPORTED, words)


def rows(answer: Mapping[str, Any], name: str, *, joined_as: str = "") -> list[dict[str, Any]]:
    """Give the records of a section, at most MOST_ROWS; `joined_as` is its command in a joined answer.

    Raises PollError: as check_status, and GARBLED where the section is not there.
    """
    part = answer.get(joined_as) if joined_as else None
    inner = part[0] if isinstance(part, list) and part else part
    if not isinstance(inner, dict):
        inner = answer
    check_status(inner)
    section = inner.get(name)
    if isinstance(section, dict):
        return [section]
    if not isinstance(section, list):
        raise PollError(Outage.GARBLED, f"the answer has no {name}")
    return [row for row in section[:MOST_ROWS] if isinstance(row, dict)]


def first_row(answer: Mapping[str, Any], name: str, *, joined_as: str = "") -> dict[str, Any]:
    """Give the first record of a section; raise PollError as `rows`, and GARBLED where it is empty."""
    found = rows(answer, name, joined_as=joined_as)
    if not found:
        raise PollError(Outage.GARBLED, f"the answer has an empty {name}")
    return found[0]


_COUNTERS = (
    ("Accepted", metrics.SHARES_ACCEPTED),
    ("Rejected", metrics.SHARES_REJECTED),
    ("Hardware Errors", metrics.HARDWARE_ERRORS),
)


def decode_counters(summary: Mapping[str, Any]) -> Iterable[Reading]:
    """Give shares and errors since the miner process started, from a record of SUMMARY."""
    for key, metric in _COUNTERS:
        count = measured(summary.get(key), COUNT)
        if count is not None:
            yield Reading(metric, count)


def decode_pools(answer: Mapping[str, Any]) -> tuple[Reading, ...]:
    """Count the operator's pools that are alive; the pool a firmware takes its fee through is not the operator's."""
    own = [pool for pool in rows(answer, "POOLS") if not _is_fee(pool)]
    statuses = [status for pool in own if isinstance(status := pool.get("Status", pool.get("status")), str)]
    if not statuses:
        return ()
    alive = sum(status.casefold() == "alive" for status in statuses)
    return (Reading(metrics.POOLS_ALIVE, float(alive)),)


def _is_fee(pool: Mapping[str, Any]) -> bool:
    return pool.get("URL") == "DevFee"


def fan_readings(speeds: list[tuple[int, float]], *, are_all_fans: bool) -> Iterable[Reading]:
    """Give fan speeds by fan number.

    A zero is a stalled fan only where every slot listed is a fan and another one turns; else it is an empty slot, or a
    machine that is cooled by liquid.
    """
    keeps_zero = are_all_fans and any(speed_rpm > 0 for _, speed_rpm in speeds)
    for slot, speed_rpm in speeds:
        if speed_rpm > 0 or keeps_zero:
            yield Reading(metrics.FAN_SPEED, speed_rpm, FAN[slot])


def temperature(value: object, span: Span = TEMPERATURE) -> float | None:
    """Give a temperature in °C; exactly 0 is what a missing sensor reads on every family."""
    return measured(value, span) or None


def add(readings: list[Reading], metric: Metric, value: float | None, part: str = "") -> None:
    """Append a reading if there is a value."""
    if value is not None:
        readings.append(Reading(metric, value, part))


def pairs(fields: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, str]:
    """Give what a device says of itself: `keys` maps the device's key to keeld's; first come, first kept; cleaned."""
    found: dict[str, str] = {}
    for key, name in keys.items():
        value = fields.get(key)
        if type(value) in _SAID and name not in found:
            text = clean(value).strip("'\"")
            if text:
                found[name] = text
    return found


def check_identity(expected: Identity, info: Mapping[str, str]) -> None:
    """Raise PollError(IDENTITY) where a device says that it is another one; what it does not say is not checked."""
    for name, wanted in (("mac", expected.mac), ("serial", expected.serial)):
        said = info.get(name)
        if wanted and said and _bare(wanted) != _bare(said):
            raise PollError(Outage.IDENTITY, f"{name} is {clean(said)}, expected {clean(wanted)}")


def _bare(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())

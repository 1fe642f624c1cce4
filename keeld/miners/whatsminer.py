"""What a WhatsMiner says in its API versions 1 and 2 on TCP 4028.

Rates are in MH/s, `HS RT` too in spite of its name; `Factory GHS` is what the maker promises. Power is the supply's
own reading; -1 means that there is none. Version 2 sends some numbers as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keeld import metrics
from keeld.answers import Span, first_measured, measured
from keeld.errors import Outage, PollError
from keeld.miners import cgminer
from keeld.miners.cgminer import BOARD, CHIP, MOST_ROWS, add
from keeld.model import Reading

_RATES = ("HS RT", "MHS 1m", "MHS 5s")
_RATE_MH = Span(0.0, 1e12)
_NOMINAL_GH = Span(1.0, 1e9)
_ENVIRONMENT = Span(-40.0, 80.0)
_SLOT = Span(0, MOST_ROWS - 1)
_OFF = {"true": 0.0, "false": 1.0}
_FANS = ((1, "Fan Speed In"), (2, "Fan Speed Out"))


def check_maker(summary: Mapping[str, Any]) -> None:
    """Raise PollError where another maker's machine answers: its boards' records mean other things under these keys.

    A WhatsMiner counts in MH/s only; Antminers and what is built on their firmware count in GH/s.
    """
    if "GHS 5s" in summary or "GHS av" in summary:
        raise PollError(Outage.UNSUPPORTED, "this is no WhatsMiner; is it `driver: antminer`?")


def decode_summary(summary: Mapping[str, Any]) -> list[Reading]:
    """Give the readings of the whole machine from its record of SUMMARY."""
    readings: list[Reading] = []
    add(readings, metrics.POWER, first_measured(summary, ("Power_RT", "Power"), cgminer.POWER_WATTS, "W"))
    add(readings, metrics.POWER_LIMIT, measured(summary.get("Power Limit"), cgminer.POWER_WATTS, "W"))
    add(readings, metrics.HASHRATE, _times(first_measured(summary, _RATES, _RATE_MH), 1e6))
    add(readings, metrics.HASHRATE_NOMINAL, _times(measured(summary.get("Factory GHS"), _NOMINAL_GH), 1e9))
    add(readings, metrics.UPTIME, first_measured(summary, ("Elapsed", "Uptime"), cgminer.UPTIME_S))
    if summary.get("Liquid Cooling") is not True:  # then it is the coolant's temperature on some models only
        add(readings, metrics.TEMPERATURE, cgminer.temperature(summary.get("Env Temp"), _ENVIRONMENT), "intake")
    speeds = [
        (slot, speed_rpm)
        for slot, key in _FANS
        if (speed_rpm := measured(summary.get(key), cgminer.FAN_RPM, "RPM")) is not None
    ]
    readings.extend(cgminer.fan_readings(speeds, are_all_fans=True))
    add(readings, metrics.FAN_SPEED, measured(summary.get("Power Fanspeed"), cgminer.FAN_RPM) or None, "psu/1")
    readings.extend(cgminer.decode_counters(summary))
    return readings


def decode_boards(boards: list[dict[str, Any]]) -> list[Reading]:
    """Give the readings of each hash board from the records of DEVS; only boards that answer are listed there."""
    readings: list[Reading] = []
    by_slot: dict[int, dict[str, Any]] = {}
    for position, board in enumerate(boards):
        slot = first_measured(board, ("Slot", "ASC", "ID"), _SLOT)
        by_slot.setdefault(position if slot is None else int(slot), board)
    alive = 0
    for slot, board in by_slot.items():
        chips = measured(board.get("Effective Chips"), cgminer.CHIPS)
        add(readings, metrics.CHIPS_FOUND, chips, BOARD[slot])
        add(readings, metrics.HASHRATE, _times(first_measured(board, _RATES, _RATE_MH), 1e6), BOARD[slot])
        add(readings, metrics.TEMPERATURE, cgminer.temperature(board.get("Temperature")), BOARD[slot])
        add(readings, metrics.TEMPERATURE, cgminer.temperature(board.get("Chip Temp Max")), CHIP[slot])
        add(readings, metrics.HARDWARE_ERRORS, measured(board.get("Hardware Errors"), cgminer.COUNT), BOARD[slot])
        alive += chips != 0 and board.get("Status") == "Alive"
    readings.append(Reading(metrics.BOARDS_FOUND, float(alive)))
    return readings


def decode_status(answer: Mapping[str, Any]) -> tuple[Reading, ...]:
    """Tell whether the operator has switched the mining off, as `status` says under either version's key."""
    message = own_message(answer)
    flag = message.get("mineroff", message.get("btmineroff"))
    state = _OFF.get(str(flag).casefold()) if isinstance(flag, str | bool) else None
    return () if state is None else (Reading(metrics.MINER_STATE, state),)


def own_message(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the record of an answer to one of WhatsMiner's own commands; raise PollError where there is none."""
    cgminer.check_status(answer)
    message = answer.get("Msg")
    if not isinstance(message, dict):
        raise PollError(Outage.GARBLED, "the answer has no Msg")
    return message


def describe_version(answer: Mapping[str, Any]) -> dict[str, str]:
    """Give firmware and API as `get_version` gives them."""
    return cgminer.pairs(own_message(answer), {"fw_ver": "firmware", "api_ver": "api", "platform": "platform"})


def describe_machine(answer: Mapping[str, Any]) -> dict[str, str]:
    """Give MAC and serial as `get_miner_info` gives them."""
    return cgminer.pairs(own_message(answer), {"mac": "mac", "minersn": "serial"})


def describe_supply(answer: Mapping[str, Any]) -> dict[str, str]:
    """Give the power supply's model as `get_psu` gives it."""
    return cgminer.pairs(own_message(answer), {"model": "psu", "name": "psu"})


def describe_model(answer: Mapping[str, Any]) -> dict[str, str]:
    """Give the model as `devdetails` gives it."""
    return cgminer.pairs(cgminer.first_row(answer, "DEVDETAILS"), {"Model": "model"})


def describe_summary(answer: Mapping[str, Any]) -> dict[str, str]:
    """Give MAC and firmware as version 1 repeats them in its summary."""
    summary = cgminer.first_row(answer, "SUMMARY")
    return cgminer.pairs(summary, {"MAC": "mac", "Firmware Version": "firmware", "CB Platform": "platform"})


def said_mac(summary: Mapping[str, Any]) -> dict[str, str]:
    """Give the MAC that newer firmware repeats in each summary."""
    return cgminer.pairs(summary, {"MAC": "mac"})


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor

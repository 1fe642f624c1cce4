"""What an Antminer's `stats` says: stock firmware old and new, VNish, LuxOS, Hiveon, and makers that copied it.

Two shapes: one flat record whose keys end in the slot's number (`chain_acn1`, `temp_chip1: "78-50-69-70"`), and a
record with a list `chain`. Slots need not be 1 to 3 (an S9 has 6 to 8) and empty ones are listed with zeros.

Stock firmware measures no power. What VNish and LuxOS give without a meter in the supply is a model's estimate.
Hydro models of stock firmware put coolant into different places of the sensor lists by model, so their board and chip
temperatures are left out. LuxOS fills this record to look like stock: its `temp_chip` are the board's corners again,
its `chain_rate` the mean since the start and its `total_rateideal` the profile's, so those three are left out too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from keeld import metrics
from keeld.answers import Span, first_measured, measured, number
from keeld.errors import Outage, PollError
from keeld.miners import cgminer
from keeld.miners.cgminer import BOARD, CHIP, MOST_ROWS, add
from keeld.model import Reading

LUXOS = "LuxOS"
STOCK = "stock"
# The order matters: VNish and Hiveon also call themselves Antminer, and Hiveon is built on rwglr's.
_SOFTWARE = (("LUXMINER", LUXOS), ("VNISH", "VNish"), ("HIVEON", "Hiveon"), ("RWGLR", "MSKMINER"))

_UNITS = {"KH": 1e3, "MH": 1e6, "GH": 1e9, "TH": 1e12, "PH": 1e15}
_SHA256 = re.compile(r"antminer [rstv]\d", re.IGNORECASE)
_SCRYPT = re.compile(r"antminer l\d", re.IGNORECASE)
_HYDRO = re.compile(r"hyd", re.IGNORECASE)
_JOINED_NUMBER = re.compile(r"(?:^|(?<=[0-9m])-)(-?[0-9]+(?:\.[0-9]+)?)(?=-|$)")
_LONGEST_JOINED = 128
_PRESENT_TEMPERATURE = Span(0.1, 150.0)

_STATES = {
    "mining": 1.0,
    "initializing": 2.0,
    "starting": 2.0,
    "restarting": 2.0,
    "auto-tuning": 3.0,
    "stopped": 0.0,
    "failure": 5.0,
}


class _Slot(NamedTuple):
    """The keys of one chain in the flat shape, and the parts its readings go to."""

    board: str
    chip: str
    chips: str
    rate: str
    errors: str
    estimate: str
    board_temperatures: tuple[str, ...]
    chip_temperatures: tuple[str, ...]


_SLOTS = tuple(
    _Slot(
        BOARD[slot - 1],
        CHIP[slot - 1],
        f"chain_acn{slot}",
        f"chain_rate{slot}",
        f"chain_hw{slot}",
        f"chain_consumption{slot}",
        (f"temp_pcb{slot}", f"temp{slot}"),
        (f"temp_chip{slot}", f"temp2_{slot}"),
    )
    for slot in range(1, 17)
)
_FANS = tuple((slot, f"fan{slot}") for slot in range(1, 17))


class _Trust(NamedTuple):
    """Which fields mean what their keys say: hashes in one unit of a rate (None: cannot be told), and sensors."""

    hashes: float | None
    board_hashes: float | None
    has_board_sensors: bool
    has_chip_sensors: bool


class Stats(NamedTuple):
    """The two records that matter of an answer to `stats`."""

    identity: Mapping[str, Any]
    body: Mapping[str, Any]
    software: str


def split_stats(answer: Mapping[str, Any]) -> Stats:
    """Find who answers and what it measured; raise PollError where the answer is a refusal or something else."""
    records = cgminer.rows(answer, "STATS")
    body = next((record for record in records if "Elapsed" in record or "elapsed" in record), None)
    if body is None:
        raise PollError(Outage.GARBLED, "the answer has no statistics")
    header = answer.get("INFO")
    identity = header if isinstance(header, dict) else records[0]
    return Stats(identity, body, _software(answer, identity))


def decode_stats(stats: Stats) -> tuple[Reading, ...]:
    """Give every number that can be told apart from an empty slot; raise PollError where there is none."""
    body = stats.body
    trust = _trust(stats)
    readings: list[Reading] = []
    add(readings, metrics.UPTIME, first_measured(body, ("Elapsed", "elapsed"), cgminer.UPTIME_S))
    add(readings, metrics.HASHRATE, _rate(body, ("GHS 5s", "MHS 5s", "rate_5s"), trust.hashes))
    if stats.software != LUXOS:
        add(readings, metrics.HASHRATE_NOMINAL, _rate(body, ("total_rateideal", "rate_ideal"), trust.hashes) or None)
    add(readings, metrics.MINER_STATE, _STATES.get(_text(body, "state")))
    if isinstance(body.get("chain"), list):
        _read_chain_list(body, trust, readings)
    else:
        _read_slots(body, trust, readings)
    if not readings:
        raise PollError(Outage.GARBLED, "the answer has no field that keeld knows")
    return tuple(readings)


def decode_power(answer: Mapping[str, Any]) -> tuple[Reading, ...]:
    """Give the power of LuxOS' `power`: measured where the supply has a meter (`PSU: true`), else estimated."""
    row = cgminer.first_row(answer, "POWER")
    metric = metrics.POWER if row.get("PSU") is True else metrics.POWER_ESTIMATE
    readings: list[Reading] = []
    add(readings, metric, measured(row.get("Watts"), cgminer.POWER_WATTS, "W"))
    return tuple(readings)


def decode_nameplate(answer: Mapping[str, Any]) -> tuple[Reading, ...]:
    """Give the rate that LuxOS' `config` says the maker promised."""
    readings: list[Reading] = []
    rate_th = number(cgminer.first_row(answer, "CONFIG").get("NameplateTHS"))
    add(readings, metrics.HASHRATE_NOMINAL, _scaled(rate_th, 1e12) or None)
    return tuple(readings)


def decode_summary(answer: Mapping[str, Any]) -> tuple[Reading, ...]:
    """Give shares and errors of the whole machine."""
    return tuple(cgminer.decode_counters(cgminer.first_row(answer, "SUMMARY")))


def describe_stats(stats: Stats) -> dict[str, str]:
    """Give model, firmware and software as `stats` gives them, on every firmware that answers it."""
    keys = {"Type": "model", "type": "model", "miner_version": "firmware", "Miner": "firmware", "CompileTime": "built"}
    info = cgminer.pairs(stats.identity, {**keys, "dev_sn": "serial"})
    if stats.software == "VNish":  # its `Miner` is 0.0.0
        info |= cgminer.pairs(stats.identity, {"Cgminer": "firmware"})
    return info | {"software": stats.software} | said_mac(stats)


def said_mac(stats: Stats) -> dict[str, str]:
    """Give the MAC, which LuxOS has as `miner_id`; stock firmware has a chip's number there."""
    return cgminer.pairs(stats.body, {"miner_id": "mac"}) if stats.software == LUXOS else {}


def describe_version(answer: Mapping[str, Any]) -> dict[str, str]:
    """Give model and firmware as `version` gives them."""
    keys = {"Type": "model", "LUXminer": "firmware", "Miner": "firmware", "CompileTime": "built"}
    return cgminer.pairs(cgminer.first_row(answer, "VERSION"), keys)


def describe_config(answer: Mapping[str, Any]) -> dict[str, str]:
    """Give model, serial and MAC as LuxOS' `config` gives them."""
    keys = {"Model": "model", "SerialNumber": "serial", "MACAddr": "mac", "PSULabel": "psu"}
    return cgminer.pairs(cgminer.first_row(answer, "CONFIG"), keys)


def _software(answer: Mapping[str, Any], identity: Mapping[str, Any]) -> str:
    status = answer.get("STATUS")
    entry = status[0] if isinstance(status, list) and status else status
    words = _text(entry, "Description") if isinstance(entry, dict) else ""
    said = f"{words} {_text(identity, 'Type', 'type')} {_text(identity, 'BMMiner')}".upper()
    return next((name for mark, name in _SOFTWARE if mark in said), STOCK)


def _text(fields: Mapping[str, Any], *keys: str) -> str:
    for key in keys:
        value = fields.get(key)
        if isinstance(value, str):
            return value
    return ""


def _trust(stats: Stats) -> _Trust:
    model = _text(stats.identity, "Type", "type")
    hashes = _hashes_per_unit(stats.body, model)
    if stats.software == LUXOS:
        return _Trust(hashes, None, has_board_sensors=True, has_chip_sensors=False)
    is_air_cooled = stats.software != STOCK or _HYDRO.search(model) is None
    return _Trust(hashes, hashes, has_board_sensors=is_air_cooled, has_chip_sensors=is_air_cooled)


def _hashes_per_unit(body: Mapping[str, Any], model: str) -> float | None:
    """Give what the answer's rates count in, None where that cannot be told.

    Scrypt models put MH/s under keys that say GHS; other algorithms only count where the answer names its unit.
    """
    said = _UNITS.get(_text(body, "rate_unit").upper().removesuffix("/S").removesuffix("S"))
    if "rate_unit" in body and said is None:
        return None
    if "MHS 5s" in body or _SCRYPT.match(model):
        return 1e6 if said in {None, 1e6} else None
    return said or (1e9 if _SHA256.match(model) else None)


def _rate(body: Mapping[str, Any], keys: tuple[str, ...], hashes: float | None) -> float | None:
    if hashes is None:
        return None
    for key in keys:
        rate = _scaled(number(body.get(key)), hashes)
        if rate is not None:
            return rate
    return None


def _scaled(rate: float | None, hashes: float | None) -> float | None:
    return None if rate is None or hashes is None else measured(rate * hashes, cgminer.HASHES_PER_S)


def _read_slots(body: Mapping[str, Any], trust: _Trust, readings: list[Reading]) -> None:
    listed = [slot for slot in _SLOTS if slot.chips in body]
    present = [(slot, chips) for slot in listed if (chips := measured(body[slot.chips], cgminer.CHIPS))]
    for slot, chips in present:
        readings.append(Reading(metrics.CHIPS_FOUND, chips, slot.board))
        add(readings, metrics.HASHRATE, _scaled(number(body.get(slot.rate)), trust.board_hashes), slot.board)
        add(readings, metrics.HARDWARE_ERRORS, measured(body.get(slot.errors), cgminer.COUNT), slot.board)
        if trust.has_board_sensors:
            add(readings, metrics.TEMPERATURE, _hottest_of(body, slot.board_temperatures), slot.board)
        if trust.has_chip_sensors:
            add(readings, metrics.TEMPERATURE, _hottest_of(body, slot.chip_temperatures), slot.chip)
    if listed:
        readings.append(Reading(metrics.BOARDS_FOUND, float(len(present))))
    _read_estimates(body, [slot for slot, _ in present], readings)
    speeds = [
        (slot, speed_rpm)
        for slot, key in _FANS
        if key in body and (speed_rpm := measured(body[key], cgminer.FAN_RPM, "RPM")) is not None
    ]
    readings.extend(cgminer.fan_readings(speeds, are_all_fans=number(body.get("fan_num")) == len(speeds)))


def _read_estimates(body: Mapping[str, Any], present: list[_Slot], readings: list[Reading]) -> None:
    by_board = [(slot.board, measured(body.get(slot.estimate), cgminer.POWER_WATTS, "W")) for slot in present]
    for board, watts in by_board:
        add(readings, metrics.POWER_ESTIMATE, watts, board)
    known_watts = [watts for _, watts in by_board if watts is not None]
    if known_watts:
        # A sum that lacks a board is no total.
        total_watts = sum(known_watts) if len(known_watts) == len(present) else None
    else:
        total_watts = first_measured(body, ("chain_power", "power", "watt"), cgminer.POWER_WATTS, "W")
    add(readings, metrics.POWER_ESTIMATE, total_watts)


def _hottest_of(body: Mapping[str, Any], keys: tuple[str, ...]) -> float | None:
    for key in keys:
        if key in body:
            hottest = hottest_joined(body[key])
            if hottest is not None:
                return hottest
    return None


def hottest_joined(value: object) -> float | None:
    """Give the highest present temperature of `"78-50-69-70"`, of a list, or of a number, in °C."""
    if isinstance(value, str) and "-" in value:
        return _hottest_in(value)
    sensors = value[:MOST_ROWS] if isinstance(value, list) else [value]
    present = [degrees for sensor in sensors if (degrees := measured(sensor, _PRESENT_TEMPERATURE)) is not None]
    return max(present, default=None)


def _hottest_in(joined: str) -> float | None:
    if len(joined) > _LONGEST_JOINED:
        return None
    bare = joined.replace("-", "")
    # Mostly plain digits with one dash between; a dash more is a minus sign, and a broken sensor is a letter.
    is_plain = bare.isdigit() and bare.isascii() and "--" not in joined and joined[0] != "-" != joined[-1]
    lowest, highest = _PRESENT_TEMPERATURE
    hottest = 0.0
    for digits in joined.split("-") if is_plain else _JOINED_NUMBER.findall(joined):
        degrees = float(digits)
        if hottest < degrees <= highest:
            hottest = degrees
    return hottest if hottest >= lowest else None


def _read_chain_list(body: Mapping[str, Any], trust: _Trust, readings: list[Reading]) -> None:
    chains: list[Mapping[str, Any]] = [chain for chain in body["chain"][:MOST_ROWS] if isinstance(chain, dict)]
    present: dict[int, tuple[Mapping[str, Any], float]] = {}
    for position, chain in enumerate(chains):
        index = measured(chain.get("index", position), Span(0, MOST_ROWS - 1))
        chips = measured(chain.get("asic_num"), cgminer.CHIPS)
        if index is not None and chips:
            present.setdefault(int(index), (chain, chips))
    for index, (chain, chips) in present.items():
        board = BOARD[index]
        readings.append(Reading(metrics.CHIPS_FOUND, chips, board))
        add(readings, metrics.HASHRATE, _scaled(number(chain.get("rate_real")), trust.board_hashes), board)
        add(readings, metrics.HARDWARE_ERRORS, measured(chain.get("hw"), cgminer.COUNT), board)
        if trust.has_board_sensors:
            add(readings, metrics.TEMPERATURE, hottest_joined(chain.get("temp_pcb")), board)
        if trust.has_chip_sensors:
            add(readings, metrics.TEMPERATURE, hottest_joined(chain.get("temp_chip")), CHIP[index])
    if chains:
        readings.append(Reading(metrics.BOARDS_FOUND, float(len(present))))
    fans = body.get("fan")
    speeds = [
        (slot, speed_rpm)
        for slot, value in enumerate(fans[:MOST_ROWS] if isinstance(fans, list) else (), start=1)
        if (speed_rpm := measured(value, cgminer.FAN_RPM, "RPM")) is not None
    ]
    readings.extend(cgminer.fan_readings(speeds, are_all_fans=number(body.get("fan_num")) == len(speeds)))

"""What a WhatsMiner with API 2.0 answers on port 4028: joined commands, and a power reading of its own supply."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import orjson

from keeld.simulate.antminer import gigahashes, pools, refusal, status
from keeld.simulate.machines import Miner

_BOARDS = 3
_CHIPS = 135
_FIRMWARE = "20230803.11.REL"


def answer(command: str, miner: Miner, *, name: str) -> bytes:
    """Give the answer to one read command, or to several joined by `+`; without the NUL."""
    if "+" in command:
        return _joined(command.split("+"), miner, name)
    section = _SECTIONS.get(command)
    if section is not None:
        return orjson.dumps(section(miner, name) | {"id": 1})
    said = _SAYINGS.get(command)
    if said is not None:
        return orjson.dumps(
            {"STATUS": "S", "When": 1773871985, "Code": 131, "Msg": said(miner, name), "Description": ""}
        )
    return refusal("invalid cmd", 14)


def _joined(commands: list[str], miner: Miner, name: str) -> bytes:
    answers: dict[str, Any] = {}
    for command in commands:
        section = _SECTIONS.get(command)
        failed = {"STATUS": [status("E", 14, "invalid cmd")]}
        answers[command] = [failed | {"id": 1} if section is None else section(miner, name) | {"id": 1}]
    return orjson.dumps(answers | {"id": 1})


def _summary(miner: Miner, name: str) -> dict[str, Any]:
    rate = round(miner.hashrate / 1e6, 2)
    summary = {
        "Elapsed": int(miner.uptime_s),
        "MHS av": rate,
        "MHS 5s": rate,
        "MHS 1m": rate,
        "MHS 5m": rate,
        "MHS 15m": rate,
        "HS RT": rate,
        "Found Blocks": 0,
        "Accepted": int(miner.shares_accepted),
        "Rejected": int(miner.shares_accepted / 500),
        "Hardware Errors": int(miner.uptime_s / 150),
        "Utility": 13.82,
        "Temperature": round(miner.board_celsius, 2),
        "freq_avg": 600 if miner.effort else 0,
        "Fan Speed In": _fan_rpm(miner),
        "Fan Speed Out": _fan_rpm(miner) + 30,
        "Power": round(miner.wall_watts),
        "Power_RT": round(miner.wall_watts * (1 + miner.wander / 10)),
        "Power Rate": round(miner.joules_per_terahash, 2),
        "Power Limit": round(miner.nameplate_watts),
        "Power Mode": "Normal",
        "Power Fanspeed": 6000,
        "Env Temp": round(miner.intake_celsius, 1),
        "Chip Temp Min": round(miner.board_celsius - 5, 2),
        "Chip Temp Max": round(miner.board_celsius + 15, 2),
        "Chip Temp Avg": round(miner.board_celsius + 8, 2),
        "Factory GHS": int(gigahashes(miner.rated_hashrate)),
        "Target MHS": int(miner.rated_hashrate / 1e6),
        "Hash Stable": miner.effort >= 1,
        "Uptime": int(miner.uptime_s) + 500,
        "MAC": _mac(name),
        "Firmware Version": f"'{_FIRMWARE}'",
        "Error Code Count": 0,
        "Pool Rejected%": 0.2,
        "Pool Stale%": 0.0,
    }
    return {"STATUS": [status("S", 11, "Summary")], "SUMMARY": [summary]}


def _devs(miner: Miner, name: str) -> dict[str, Any]:
    rate = round(miner.hashrate / 1e6 / _BOARDS, 2)
    devs = [
        {
            "ASC": slot,
            "Slot": slot,
            "Name": "SM",
            "ID": slot,
            "Enabled": "Y",
            "Status": "Alive",
            "Temperature": round(miner.board_celsius + slot, 1),
            "Chip Frequency": 600 if miner.effort else 0,
            "MHS av": rate,
            "MHS 5s": rate,
            "MHS 1m": rate,
            "Factory GHS": int(gigahashes(miner.rated_hashrate / _BOARDS)),
            "Accepted": int(miner.shares_accepted / _BOARDS),
            "Rejected": 0,
            "Hardware Errors": 15,
            "Effective Chips": _CHIPS,
            "PCB SN": f"SIM{zlib.crc32(name.encode()):08X}{slot}",
            "Chip Temp Min": round(miner.board_celsius - 5, 2),
            "Chip Temp Max": round(miner.board_celsius + 15, 2),
            "Chip Temp Avg": round(miner.board_celsius + 8, 2),
        }
        for slot in range(_BOARDS)
    ]
    return {"STATUS": [status("S", 9, f"{_BOARDS} ASC(s)")], "DEVS": devs}


def _devdetails(miner: Miner, name: str) -> dict[str, Any]:
    del miner, name
    details = [{"DEVDETAILS": n, "Name": "SM", "ID": n, "Driver": "bitmicro", "Model": "M30S+"} for n in range(_BOARDS)]
    return {"STATUS": [status("S", 69, "Device Details")], "DEVDETAILS": details}


def _pools(miner: Miner, name: str) -> dict[str, Any]:
    return {"STATUS": [status("S", 7, "3 Pool(s)")], "POOLS": pools(miner, name)}


def _state(miner: Miner, name: str) -> dict[str, Any]:
    del name
    return {
        "mineroff": "false",
        "mineroff_reason": "",
        "FirmwareVersion": _FIRMWARE,
        "power_mode": "normal",
        "power_limit_set": str(round(miner.nameplate_watts)),
        "hash_percent": "0",
    }


def _mac(name: str) -> str:
    digits = f"{zlib.crc32(name.encode()):08X}"
    return "02:00:" + ":".join(digits[at : at + 2] for at in range(0, 8, 2))


def _fan_rpm(miner: Miner) -> int:
    return 1500 + 60 * int(65 * miner.effort)


_SECTIONS: dict[str, Callable[[Miner, str], dict[str, Any]]] = {
    "summary": _summary,
    "edevs": _devs,
    "devs": _devs,
    "pools": _pools,
    "devdetails": _devdetails,
}
_SAYINGS: dict[str, Callable[[Miner, str], dict[str, Any]]] = {
    "status": _state,
    "get_version": lambda _miner, _name: {"api_ver": "2.0.5", "fw_ver": _FIRMWARE, "platform": "H616"},
    "get_miner_info": lambda _miner, name: {"hostname": "WhatsMiner", "mac": _mac(name), "ledstat": "auto"},
    "get_psu": lambda _miner, _name: {"name": "P222B", "model": "P222B", "hw_version": "", "fan_speed": "6000"},
    "get_error_code": lambda _miner, _name: {"error_code": []},
}

"""What a Bitmain miner answers on port 4028: stock S19-class firmware, and an old S9 whose JSON is broken.

Both have no power reading, as no stock Antminer does. The shapes follow published recordings; every number comes from
the model.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson

from keeld.simulate.machines import Miner, MinerMode

_BOARDS = 3
_CHIPS = 114
_OLD_CHIPS = 63
_OLD_FIRST_BOARD = 6
"""An S9 counts its boards 6, 7, 8."""
_WHEN = 1755615295
"""A miner's clock is not to be trusted; this one never moves."""
_DESCRIPTION = "cgminer 1.0.0"


def answer(command: str, miner: Miner, *, name: str) -> bytes:
    """Give stock S19-class firmware's answer to one read command, without the NUL."""
    section = _SECTIONS.get(command)
    if section is None:
        return refusal(f"Access denied to '{command[:32]}' command", 45)
    return orjson.dumps(
        {
            "STATUS": [status("S", section.code, section.message)],
            section.key: section.content(miner, name),
            "id": 1,
        }
    )


def old_answer(command: str, miner: Miner, *, name: str) -> bytes:
    """Give an S9's answer: as the stock one, but `stats` is no JSON, its two objects have no comma between them."""
    if command != "stats":
        return answer(command, miner, name=name)
    head = orjson.dumps({"STATUS": [status("S", 70, "CGMiner stats")]})[:-1]
    about = {
        "CGMiner": "4.9.0",
        "Miner": "16.8.1.3",
        "CompileTime": "Fri Nov 17 17:57:49 CST 2017",
        "Type": "Antminer S9",
    }
    return head + b',"STATS":[' + orjson.dumps(about) + orjson.dumps(_old_stats(miner)) + b'],"id":1}'


def refusal(message: str, code: int) -> bytes:
    """Give the answer to what the miner will not do."""
    return orjson.dumps({"STATUS": [status("E", code, message)], "id": 1})


def status(letter: str, code: int, message: str) -> dict[str, Any]:
    """Give the head of every answer."""
    return {"STATUS": letter, "When": _WHEN, "Code": code, "Msg": message, "Description": _DESCRIPTION}


def pools(miner: Miner, name: str) -> list[dict[str, Any]]:
    """Give three pools, of which the first is in use while there is any."""
    state = "Alive" if miner.pool_up else "Dead"
    return [
        {
            "POOL": number,
            "URL": f"stratum+tcp://pool{number + 1}.sim.invalid:3333",
            "Status": state,
            "Priority": number,
            "Quota": 1,
            "Long Poll": "N",
            "Getworks": 3951,
            "Accepted": int(miner.shares_accepted) if number == 0 else 0,
            "Rejected": int(miner.shares_accepted / 400) if number == 0 else 0,
            "Discarded": 4528183,
            "Stale": 1,
            "Last Share Time": "0:00:03" if miner.pool_up else "0",
            "Diff": "524K",
            "User": f"simulated.{name}",
            "Stratum Active": miner.pool_up and number == 0,
            "Stratum URL": f"pool{number + 1}.sim.invalid" if miner.pool_up else "",
            "Has GBT": False,
            "Pool Rejected%": 0.25,
            "Pool Stale%%": 0.0,
        }
        for number in range(3)
    ]


def gigahashes(hashrate: float) -> float:
    """Give a hashrate as miners print it."""
    return round(hashrate / 1e9, 2)


def _version(miner: Miner) -> dict[str, Any]:
    terahashes = round(miner.rated_hashrate / 1e12)
    return {
        "BMMiner": "1.0.0",
        "Miner": "49.0.1.3",
        "CompileTime": "Tue Dec  6 16:12:30 CST 2022",
        "Type": f"Antminer S19j Pro ({terahashes}T)",
    }


def _summary(miner: Miner) -> dict[str, Any]:
    rate = gigahashes(miner.hashrate)
    return {
        "Elapsed": int(miner.uptime_s),
        "GHS 5s": rate,
        "GHS av": rate,
        "GHS 30m": rate,
        "Found Blocks": 0,
        "Getworks": 3957,
        "Accepted": int(miner.shares_accepted),
        "Rejected": int(miner.shares_accepted / 400),
        "Hardware Errors": int(miner.uptime_s / 90),
        "Utility": 4.82,
        "Discarded": 4528177,
        "Stale": 1,
        "Device Hardware%": 0.0,
        "Device Rejected%": 0.25,
        "Pool Rejected%": 0.25,
        "Pool Stale%": 0.0,
        "Last getwork": _WHEN,
    }


def _devs(miner: Miner) -> dict[str, Any]:
    return {
        "ASC": 0,
        "Name": "BTM_SOC",
        "ID": 0,
        "Enabled": "Y",
        "Status": "Alive",
        "Temperature": 0.0,
        "MHS av": 0.0,
        "MHS 5s": 0.0,
        "Accepted": int(miner.shares_accepted),
        "Rejected": int(miner.shares_accepted / 400),
        "Hardware Errors": int(miner.uptime_s / 90),
        "Device Elapsed": int(miner.uptime_s),
    }


def _stats(miner: Miner, name: str) -> dict[str, Any]:
    rate = gigahashes(miner.hashrate)
    board = int(miner.board_celsius)
    fans = _fan_rpm(miner)
    found: dict[str, Any] = {
        "STATS": 0,
        "ID": "BTM_SOC0",
        "Elapsed": int(miner.uptime_s),
        "Calls": 0,
        "Wait": 0,
        "Max": 0,
        "Min": 99999999,
        "GHS 5s": rate,
        "GHS av": rate,
        "rate_30m": rate,
        "Mode": 2,
        "miner_count": _BOARDS,
        "frequency": 525 if miner.effort else 0,
        "fan_num": 4,
        **{f"fan{number}": fans - 120 * (number // 3) for number in range(1, 5)},
        "temp_num": _BOARDS,
        "temp_max": 0,
        "total_rateideal": gigahashes(miner.rated_hashrate),
        "total_freqavg": 525 if miner.effort else 0,
        "total_acn": _BOARDS * _CHIPS,
        "total rate": rate,
        "rate_unit": "GH",
        "no_matching_work": int(miner.uptime_s / 90),
        "miner_id": f"{zlib.crc32(name.encode()):016x}",
        "miner_version": "49.0.1.3",
    }
    for number in range(1, 5):
        found |= _chain(number, board - 2 * number, rate / _BOARDS, present=number <= _BOARDS)
    return found


def _chain(number: int, celsius: int, rate: float, *, present: bool) -> dict[str, Any]:
    chip = celsius + 12
    return {
        f"chain_acn{number}": _CHIPS if present else 0,
        f"chain_acs{number}": " ooo" * (_CHIPS // 3) if present else "",
        f"chain_hw{number}": 183 if present else 0,
        f"chain_rate{number}": f"{rate:.2f}" if present else "",
        f"freq{number}": 525 if present else 0,
        f"temp{number}": celsius if present else 0,
        f"temp_pcb{number}": f"{celsius}-{celsius - 20}-{celsius - 4}-{celsius - 2}" if present else "0-0-0-0",
        f"temp_chip{number}": f"{chip}-{chip - 20}-{chip - 4}-{chip - 2}" if present else "0-0-0-0",
        f"temp_pic{number}": f"{celsius - 10}-{celsius - 30}-{celsius - 9}-{celsius - 8}" if present else "0-0-0-0",
    }


def _old_stats(miner: Miner) -> dict[str, Any]:
    rate = gigahashes(miner.hashrate)
    boards = range(_OLD_FIRST_BOARD, _OLD_FIRST_BOARD + _BOARDS)
    fans: Mapping[str, int] = {f"fan{number}": _fan_rpm(miner) if number in {3, 6} else 0 for number in range(1, 9)}
    return {
        "STATS": 0,
        "ID": "BC50",
        "Elapsed": int(miner.uptime_s),
        "Calls": 0,
        "Wait": 0.0,
        "Max": 0.0,
        "Min": 99999999.0,
        "GHS 5s": f"{rate:.2f}",
        "GHS av": rate,
        "miner_count": _BOARDS,
        "frequency": "637",
        "fan_num": 2,
        **fans,
        "temp_num": _BOARDS,
        **{f"temp{n}": int(miner.board_celsius) if n in boards else 0 for n in range(1, 17)},
        **{f"temp2_{n}": int(miner.board_celsius) + 14 if n in boards else 0 for n in range(1, 17)},
        "total_rateideal": gigahashes(miner.rated_hashrate),
        "temp_max": int(miner.board_celsius),
        **{f"chain_acn{n}": _OLD_CHIPS if n in boards else 0 for n in range(1, 17)},
        **{f"chain_acs{n}": " oooooooo" * 7 if n in boards else "" for n in range(1, 17)},
        **{f"chain_rate{n}": f"{rate / _BOARDS:.2f}" if n in boards else "" for n in range(1, 17)},
    }


def _fan_rpm(miner: Miner) -> int:
    return 1800 if miner.mode is MinerMode.IDLE else 5040 + 60 * int(10 * miner.effort)


class _Section(NamedTuple):
    """What one command answers with."""

    key: str
    message: str
    code: int
    content: Callable[[Miner, str], list[dict[str, Any]]]


_SECTIONS = {
    "stats": _Section("STATS", "CGMiner stats", 70, lambda miner, name: [_version(miner), _stats(miner, name)]),
    "summary": _Section("SUMMARY", "Summary", 11, lambda miner, _name: [_summary(miner)]),
    "pools": _Section("POOLS", "3 Pool(s)", 7, pools),
    "devs": _Section("DEVS", "1 ASC(s)", 9, lambda miner, _name: [_devs(miner)]),
    "version": _Section("VERSION", "CGMiner versions", 22, lambda miner, _name: [{"API": "3.1"} | _version(miner)]),
}

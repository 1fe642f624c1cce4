"""Devices for the benchmark, as cheap as they can be, in a process of their own: `python -m bench.servers`.

A Modbus unit with 50 float values in 100 registers, a WhatsMiner that answers joined commands, a stock Antminer. Prints
the three ports as one JSON line and serves until its standard input closes.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys

FLOATS = 50
MODBUS_BODY = struct.pack(f">{FLOATS}f", *(100.0 + number for number in range(FLOATS)))

ANTMINER_STATS = {
    "STATUS": [{"STATUS": "S", "When": 1, "Code": 70, "Msg": "CGMiner stats", "Description": "cgminer 1.0.0"}],
    "STATS": [
        {"BMMiner": "1.0.0", "Miner": "uart_trans.1.3", "CompileTime": "Tue Oct 20 2026", "Type": "Antminer S19 Pro"},
        {
            "STATS": 0,
            "ID": "BTM_SOC0",
            "Elapsed": 160432,
            "Calls": 0,
            "GHS 5s": 110234.61,
            "GHS av": 110100.02,
            "rate_30m": 110180.55,
            "Mode": 2,
            "miner_count": 3,
            "frequency": 675,
            "fan_num": 4,
            **{f"fan{number}": 5280 + number for number in range(1, 5)},
            "temp_num": 3,
            **{f"temp{number}": 60 + number for number in range(1, 4)},
            **{f"temp2_{number}": 70 + number for number in range(1, 4)},
            **{f"temp_pcb{number}": "54-42-60-55" for number in range(1, 4)},
            **{f"temp_chip{number}": "78-50-69-70" for number in range(1, 4)},
            **{f"temp_pic{number}": "44-32-50-45" for number in range(1, 4)},
            "total_rateideal": 110000.0,
            "rate_unit": "GH",
            "total_freqavg": 675,
            "total_acn": 342,
            "total rate": 110234.61,
            "temp_max": 0,
            "no_matching_work": 12,
            **{f"chain_acn{number}": 114 for number in range(1, 4)},
            **{f"chain_acs{number}": " " + "oooooooo " * 14 for number in range(1, 4)},
            **{f"chain_hw{number}": 4 for number in range(1, 4)},
            **{f"chain_rate{number}": "36744.87" for number in range(1, 4)},
            **{f"freq{number}": 675 for number in range(1, 4)},
            "miner_version": "49.0.1.3",
            "miner_id": "no miner id now",
        },
    ],
    "id": 1,
}

_SUMMARY = {
    "Elapsed": 86021,
    "MHS av": 67398000.97,
    "MHS 5s": 67392001.12,
    "MHS 1m": 67391337.84,
    "MHS 5m": 67397110.02,
    "MHS 15m": 67399804.51,
    "HS RT": 67394800.97,
    "Accepted": 13201,
    "Rejected": 12,
    "Total MH": 5797500000000.0,
    "Temperature": 78.0,
    "freq_avg": 601,
    "Fan Speed In": 4860,
    "Fan Speed Out": 4890,
    "Power": 3356,
    "Power Rate": 49.79,
    "Pool Rejected%": 0.09,
    "Last getwork": 0,
    "Uptime": 86100,
    "Security Mode": 0,
    "Hash Stable": True,
    "Target Freq": 574,
    "Env Temp": 30.0,
    "Power Mode": "Normal",
    "Factory GHS": 68000,
    "Power Limit": 3500,
    "Chip Temp Min": 75.17,
    "Chip Temp Max": 101.25,
    "Chip Temp Avg": 89.6,
    "Power_RT": 3348,
}
_BOARD = {
    "ASC": 0,
    "Slot": 0,
    "Enabled": "Y",
    "Status": "Alive",
    "Temperature": 78.0,
    "Chip Frequency": 601,
    "MHS av": 22466000.3,
    "MHS 5s": 22466001.1,
    "MHS 1m": 22466112.6,
    "HS RT": 22464933.66,
    "Factory GHS": 22666,
    "Upfreq Complete": 1,
    "Effective Chips": 105,
    "PCB SN": "HB0000000000000000",
    "Chip Temp Min": 75.17,
    "Chip Temp Max": 101.25,
    "Chip Temp Avg": 89.6,
    "chip_vol_diff": 12,
}
_OK = [{"STATUS": "S", "Msg": "Summary"}]
WHATSMINER_JOINED = {
    "summary": [{"STATUS": _OK, "SUMMARY": [_SUMMARY], "id": 1}],
    "edevs": [{"STATUS": _OK, "DEVS": [_BOARD | {"ASC": slot, "Slot": slot} for slot in range(3)], "id": 1}],
    "id": 1,
}


async def serve_modbus(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every request with the same 100 registers."""
    try:
        while True:
            request = await reader.readexactly(12)
            unit, function = request[6], request[7]
            size = len(MODBUS_BODY)
            writer.write(request[:4] + struct.pack(">HBBB", size + 3, unit, function, size) + MODBUS_BODY)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def serve_miner(answer: object) -> object:
    """Give a server that sends one answer to one request and closes, as miners do."""
    body = json.dumps(answer).encode() + b"\0"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(4096)
            writer.write(body)
            await writer.drain()
        except ConnectionError:
            pass
        writer.close()

    return serve


async def main() -> None:
    """Serve until nobody holds our standard input any more."""
    handlers = (serve_modbus, serve_miner(WHATSMINER_JOINED), serve_miner(ANTMINER_STATS))
    servers = [await asyncio.start_server(handler, "127.0.0.1", 0, backlog=1024) for handler in handlers]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    print(json.dumps(dict(zip(("modbus", "whatsminer", "antminer"), ports, strict=True))), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())

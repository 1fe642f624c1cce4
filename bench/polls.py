"""CPU of one poll, from socket to spool, beside the bare loop: both in this process, in turn, in one run.

keeld's side is the whole of it: poller, link, driver, batch, watch, fanout, line protocol, compression and the spool's
flushed file. CPU is the process's own, all threads; the devices answer from another process.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from bench.bare import BareMiner, BareModbus
from bench.pipeline import Pipeline

_ROUNDS = 9
_POLLS = 400
_WARM_UP = 100


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of device: what the bare loop does, what keeld does, and what the ratio may be."""

    name: str
    port_name: str
    bare: BareModbus | BareMiner
    driver: str
    most: float


CASES = (
    Case("PDU, 100 registers", "modbus", BareModbus(), "modbus", 6.0),
    Case("WhatsMiner, joined", "whatsminer", BareMiner(b'{"command":"summary+edevs"}'), "whatsminer", 2.0),
    Case("Antminer, stats", "antminer", BareMiner(b'{"command":"stats"}'), "antminer", 1.6),
)


async def _cpu_us(poll: Callable[[], Awaitable[object]], polls: int) -> float:
    start_ns = time.process_time_ns()
    for _ in range(polls):
        await poll()
    return (time.process_time_ns() - start_ns) / polls / 1000


async def measure(case: Case, port: int, directory: Path) -> tuple[float, float, float]:
    """Give the median CPU of a bare poll and of keeld's in µs, and the median of their ratios pair by pair."""
    await case.bare.start(port)
    async with Pipeline(case.driver, port, directory) as pipeline:
        await _cpu_us(case.bare.poll, _WARM_UP)
        await _cpu_us(pipeline.poll, _WARM_UP)
        pairs = []
        for _ in range(_ROUNDS):
            bare_us = await _cpu_us(case.bare.poll, _POLLS)
            start_ns = time.process_time_ns()
            for _ in range(_POLLS):
                await pipeline.poll()
            await pipeline.flush()  # what waits to be written belongs to these polls
            pairs.append((bare_us, (time.process_time_ns() - start_ns) / _POLLS / 1000))
    await case.bare.stop()
    bare = statistics.median(pair[0] for pair in pairs)
    own = statistics.median(pair[1] for pair in pairs)
    return bare, own, statistics.median(pair[1] / pair[0] for pair in pairs)


def start_servers() -> subprocess.Popen[str]:
    """Start the devices in a process of their own."""
    argv = [sys.executable, "-m", "bench.servers"]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


async def run() -> bool:
    """Print the table; tell whether every ratio is within its bound."""
    servers = start_servers()
    try:
        if servers.stdout is None:
            raise RuntimeError("no pipe to the servers")
        ports = json.loads(servers.stdout.readline())
        print(f"{'CPU per poll, socket to spool':<32}{'bare µs':>10}{'keeld µs':>10}{'ratio':>8}{'at most':>9}")
        kept = True
        for case in CASES:
            with tempfile.TemporaryDirectory() as directory:
                bare, own, ratio = await measure(case, ports[case.port_name], Path(directory))
            kept &= ratio <= case.most
            print(f"{case.name:<32}{bare:>10.1f}{own:>10.1f}{ratio:>8.2f}{case.most:>9.1f}")
        return kept
    finally:
        servers.communicate("")

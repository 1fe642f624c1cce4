"""A fleet on two cores: simulated PDUs and miners in one process, keeld and a real spool in another, for some minutes.

CPU and RSS of both come from /proc, so the simulator's cost is not counted as keeld's. A database is not part of it:
the sink is a socket nobody listens on, so that every point goes through the spool and stays there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FLEET = "pdus=500,antminers=1000,whatsminers=1000"
_PAGE_AT = "127.0.0.1:9789"
_RSS_MOST_MB = 120.0
_WARM_UP_S = 20.0
_HERTZ = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used: CPU since its start, and memory now."""

    cpu_s: float
    rss_mb: float

    @classmethod
    def of(cls, pid: int) -> Usage:
        """Read the kernel's account of a process."""
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return cls((int(fields[11]) + int(fields[12])) / _HERTZ, resident * _PAGE / 1e6)


def run(seconds: int) -> bool:
    """Watch the fleet and print the table; tell whether keeld kept its deadlines and its memory."""
    with tempfile.TemporaryDirectory(prefix="keeld-bench-") as name:
        folder = Path(name)
        simulator = _start_simulator(folder)
        daemon = subprocess.Popen(
            [sys.executable, "-m", "keeld", "run", "--config", _complete(folder)],
            stderr=(folder / "keeld.log").open("wb"),
        )
        try:
            return _watch(daemon, simulator, seconds)
        finally:
            for process in (daemon, simulator):
                process.terminate()
                process.wait(20)


def _start_simulator(folder: Path) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "keeld", "simulate", "--fleet", FLEET, "--write-config", folder / "fleet.yaml"]
    process = subprocess.Popen([*argv, "--with-parent", "--json"], stdout=subprocess.PIPE, text=True)
    if process.stdout is None or not json.loads(process.stdout.readline()).get("ready"):
        raise RuntimeError("the simulator did not come up")
    return process


def _complete(folder: Path) -> Path:
    """Add a database that is away, so that the spool is in use."""
    target = folder / "keeld.yaml"
    text = (folder / "fleet.yaml").read_text()
    target.write_text(
        f'{text}\ninflux: {{url: "http://127.0.0.1:9", api: v1, bucket: bench}}\nhttp: {{listen: "{_PAGE_AT}"}}\n'
    )
    return target


def _watch(daemon: subprocess.Popen[bytes], simulator: subprocess.Popen[str], seconds: int) -> bool:
    time.sleep(_WARM_UP_S)
    before = (time.monotonic(), Usage.of(daemon.pid), Usage.of(simulator.pid), _metrics())
    rss_mb = 0.0
    while time.monotonic() - before[0] < seconds:
        time.sleep(1.0)
        rss_mb = max(rss_mb, Usage.of(daemon.pid).rss_mb)
    after = (time.monotonic(), Usage.of(daemon.pid), Usage.of(simulator.pid), _metrics())
    elapsed_s = after[0] - before[0]
    polls = after[3]["keeld_polls_total"] - before[3]["keeld_polls_total"]
    cpu_s = after[1].cpu_s - before[1].cpu_s
    simulator_s = after[2].cpu_s - before[2].cpu_s
    missed = after[3]["keeld_poll_overruns_total"] - before[3]["keeld_poll_overruns_total"]
    late = after[3]["keeld_polls_late_total"] - before[3]["keeld_polls_late_total"]
    outages = sum(value - before[3].get(name, 0.0) for name, value in after[3].items() if "keeld_outages_total" in name)
    print(f"\nfleet {FLEET}, {elapsed_s:.0f} s after {_WARM_UP_S:.0f} s of warming up")
    print(f"polls {polls:.0f} = {polls / elapsed_s:.0f}/s, outages {outages:.0f}")
    print(f"deadlines missed: {missed:.0f} skipped, {late:.0f} begun more than 0.5 s late")
    lag_s = after[3]["keeld_event_loop_lag_seconds_max"]
    print(f"largest delay since the start: poll {after[3]['keeld_poll_late_seconds_max']:.3f} s, loop {lag_s:.3f} s")
    print(
        f"keeld      CPU {cpu_s / elapsed_s:6.1%} of a core, {cpu_s / polls * 1e6:.0f} µs a poll, RSS {rss_mb:.0f} MB"
    )
    print(f"simulator  CPU {simulator_s / elapsed_s:6.1%} of a core, RSS {after[2].rss_mb:.0f} MB")
    return missed == 0 and late == 0 and rss_mb < _RSS_MOST_MB


def _metrics() -> dict[str, float]:
    """Read keeld's own metrics, with labels as part of the name."""
    for _ in range(50):
        try:
            with urllib.request.urlopen(f"http://{_PAGE_AT}/metrics", timeout=5) as answer:
                lines: list[Any] = answer.read().decode().splitlines()
                break
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    else:
        raise RuntimeError("keeld does not answer on its port")
    pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, value in pairs}

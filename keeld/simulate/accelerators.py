"""The state file of each GPU node, which the simulated NVIDIA library reads (see `keeld.simulate.nvml`)."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from keeld.model import Device
from keeld.simulate.faults import Fault, FaultKind
from keeld.simulate.machines import Gpu, GpuNode

_MEMORY_BYTES = 70 << 30
_TOP_CLOCK_HERTZ = 1.98e9
_LOST: dict[str, Any] = {"state": "lost"}
_HANG_S: dict[FaultKind | None, float] = {FaultKind.SILENCE: 60.0, FaultKind.DELAY: 2.0}


def state_path(device: Device) -> Path | None:
    """Give the state file named in an `exec:` address, None where there is none."""
    words = shlex.split(device.address.removeprefix("exec:"))
    if "--state" not in words[:-1]:
        return None
    return Path(words[words.index("--state") + 1])


def write_state(path: Path, node: GpuNode, *, is_there: bool = True, fault: Fault | None = None) -> None:
    """Write a node's state whole: a reader sees the old one or the new one."""
    kind, amount = (fault.kind, fault.amount) if fault else (None, None)
    lost = int(amount or 0) if kind is FaultKind.EXCEPTION else None
    state = {
        "driver": "ok" if is_there and kind is not FaultKind.STOP else "unloaded",
        "hang_s": _HANG_S.get(kind, 0.0) if kind is not FaultKind.DELAY or amount is None else amount,
        "gpus": [_gpu(gpu) if number != lost else _LOST for number, gpu in enumerate(node.gpus)],
    }
    partial = path.with_name(path.name + ".new")
    partial.write_text(json.dumps(state))
    partial.replace(path)


def _gpu(gpu: Gpu) -> dict[str, Any]:
    if gpu.lost:
        return _LOST
    return {
        "state": "ok",
        "power_watts": round(gpu.power_watts, 3),
        "limit_watts": gpu.limit_watts,
        "temp_celsius": round(gpu.celsius),
        "memory_temp_celsius": round(gpu.celsius + 7),
        "margin_celsius": round(87 - gpu.celsius),
        "utilisation": gpu.utilisation,
        "clock_hertz": _TOP_CLOCK_HERTZ * (1 - 0.15 * gpu.power_watts / gpu.limit_watts),
        "memory_used_bytes": _MEMORY_BYTES,
        "energy_watt_hours": gpu.energy_joules / 3600,
        "throttle_power_seconds": gpu.throttle_power_s,
        "throttle_thermal_seconds": gpu.throttle_thermal_s,
        "throttle_brake_seconds": gpu.throttle_brake_s,
        "ecc_corrected": 0,
        "ecc_uncorrected": 0,
        "remap_pending": 0,
        "remap_failed": 0,
        "recovery_action": 0,
        "pcie_replays": 0,
        "pcie_width": 16,
        "links_up": 18,
    }

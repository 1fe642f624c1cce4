"""NVIDIA GPUs of one host, read through NVML by a worker process.

`address` is `local`, or `exec:COMMAND` to run the worker elsewhere, such as `exec:ssh gpu-3 python3 -m
keeld.workers.nvml`. Parts are `gpu/N`, N being the rank by PCI address, and `gpu/N/memory` for its memory.

- `power_watts` is the driver's 1-s average where the GPU has one, else its instantaneous value, else whatever
  `nvmlDeviceGetPowerUsage` means on it (average on Ampere and newer, instantaneous on A100 and older). Info says which.
  It covers one board. The node draws more, so no node total is made of it. A module that joins a GPU with a CPU reports
  itself as part `module/N`; it contains `gpu/N`.
- `throttle_thermal_seconds` adds software and hardware thermal slowdown (fields 269, 270). A driver too old for these
  has only the thermal policy's counter (75); it runs during either, so it is never added to them.
- `xid` is given once, in the poll after the driver reported it; of several the gravest, else the last.
- A GPU that cannot be used is `up` 0 with its `outage_reason`, and the poll is `partial`.

Verified with the real nvidia-ml-py on a fake driver library, with values from public captures; on no real GPU yet.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from keeld import metrics
from keeld.drivers import Answer, Driver, Exchange, Inspection
from keeld.errors import Outage, PollError
from keeld.links.worker import Patience, WorkerLink
from keeld.metrics import Metric
from keeld.model import Device, Group, Reading
from keeld.text import clean

_WORKER = "keeld.workers.nvml"
_DEADLINE_SHARE = 0.8
"""The link gives up before the poller does, so that a hang is called a hang."""
_MOST_GPUS = 64
_MOST_FANS = 16
_MOST_NAMED = 4
_MOST_XID = 1 << 16
_HUGE = 2.0**63

_FAILURES = {8: Outage.UNIT_DOWN, 11: Outage.UNIT_DOWN, 4: Outage.DENIED}
"""NVML's code of a GPU's failure (insufficient power, interrupt trouble, no permission); any other means lost."""
GRAVE_XIDS = frozenset({48, 62, 64, 74, 79, 95, 119, 120, 140})
"""XIDs after which a GPU must not be used: reference lists of DCGM and nvidia_gpu_exporter agree on these."""


class Row(NamedTuple):
    """One metric: of `keys` the first that the GPU can tell counts.

    `per` raw units make one of the metric's own, in which `least` and `most` are.
    """

    metric: Metric
    keys: tuple[str, ...]
    per: float
    least: float
    most: float
    suffix: str = ""


ROWS = (
    # a GPU that answers draws something, so 0 W is no measurement
    Row(metrics.POWER, ("power_average_mw", "power_instant_mw", "power_usage_mw"), 1e3, 1e-3, 1e4),
    Row(metrics.POWER_LIMIT, ("power_limit_mw", "power_enforced_limit_mw"), 1e3, 1e-3, 1e4),
    Row(metrics.TEMPERATURE, ("temperature_c",), 1, -50, 200),
    Row(metrics.TEMPERATURE, ("memory_temperature_c",), 1, -50, 200, "/memory"),
    Row(metrics.TEMPERATURE_MARGIN, ("margin_c",), 1, -200, 200),
    Row(metrics.THROTTLE_POWER, ("throttle_power_ns",), 1e9, 0, _HUGE),
    Row(metrics.THROTTLE_BRAKE, ("throttle_brake_ns",), 1e9, 0, _HUGE),
    Row(metrics.UTILISATION, ("utilisation_percent",), 100, 0, 1),
    Row(metrics.CLOCK, ("clock_mhz",), 1e-6, 0, 1e10),
    Row(metrics.ENERGY, ("energy_mj", "energy_gpu_mj"), 3.6e6, 0, _HUGE),
    Row(metrics.ECC_CORRECTED, ("ecc_corrected_lifetime", "ecc_corrected_volatile"), 1, 0, _HUGE),
    Row(metrics.ECC_UNCORRECTED, ("ecc_uncorrected_lifetime", "ecc_uncorrected_volatile"), 1, 0, _HUGE),
    Row(metrics.ROWS_REMAP_PENDING, ("rows_remap_pending",), 1, 0, 1),
    Row(metrics.ROWS_REMAP_FAILED, ("rows_remap_failed",), 1, 0, 1),
    Row(metrics.RECOVERY_ACTION, ("recovery_action",), 1, 0, max(metrics.RECOVERY_ACTION.states)),
    Row(metrics.PCIE_REPLAYS, ("pcie_replays",), 1, 0, _HUGE),
    Row(metrics.PCIE_WIDTH, ("pcie_width_lanes",), 1, 1, 32),
    Row(metrics.LINKS_UP, ("links_up",), 1, 0, 64),
    Row(metrics.MEMORY_USED, ("memory_used_bytes",), 1, 0, _HUGE),
)
_MODULE = Row(metrics.POWER, ("module_power_average_mw", "module_power_instant_mw"), 1e3, 1e-3, 1e5)
_FAN = Row(metrics.FAN_DUTY, ("fan",), 100, 0, 1)
_THERMAL = ("throttle_thermal_software_ns", "throttle_thermal_hardware_ns")
_THERMAL_OLD = ("throttle_thermal_policy_ns",)
_POWER_KINDS = {
    "power_average_mw": "average over 1 s",
    "power_instant_mw": "instantaneous",
    "power_usage_mw": "average or instantaneous, by architecture",
}


def decode(answer: dict[str, Any], group: Group) -> Answer:
    """Turn a worker's answer into readings. Raises PollError: garbled, or lost when no GPU is left."""
    gpus = _gpus(answer)
    failed = [gpu for gpu in gpus if "values" not in gpu]
    if len(failed) == len(gpus):
        raise PollError(_failure(failed[0]) if failed else Outage.LOST, _describe(failed, len(gpus)))
    readings = tuple(reading for rank, gpu in enumerate(gpus) for reading in _read(gpu, rank, group))
    readings += tuple(_counted(answer.get("count")))
    info = _introduce(answer, gpus) if group is Group.ONCE else ()
    if failed:
        return Answer(readings, Outage.PARTIAL, _describe(failed, len(gpus)), info)
    return Answer(readings, info=info)


def _gpus(answer: dict[str, Any]) -> list[dict[str, Any]]:
    gpus = answer.get("gpus")
    if not isinstance(gpus, list) or len(gpus) > _MOST_GPUS:
        raise PollError(Outage.GARBLED, "the worker's answer lists no GPUs")
    for rank, gpu in enumerate(gpus):
        if not isinstance(gpu, dict) or gpu.get("rank") != rank or not isinstance(gpu.get("values", {}), dict):
            raise PollError(Outage.GARBLED, f"the worker's answer is wrong at GPU {rank}")
    return gpus


def _read(gpu: dict[str, Any], rank: int, group: Group) -> Iterator[Reading]:
    """Give one GPU's readings, its state and its errors."""
    values, part = gpu.get("values"), f"gpu/{rank}"
    yield Reading(metrics.UP, 0.0 if values is None else 1.0, part)
    if values is None:
        yield Reading(metrics.OUTAGE_REASON, float(_failure(gpu).code), part)
    elif group is not Group.ONCE:
        yield from _measure(values, part, rank)
    xid = _gravest(gpu.get("xids"))
    if xid is not None:
        yield Reading(metrics.XID, float(xid), part)


def _measure(values: dict[str, Any], part: str, rank: int) -> Iterator[Reading]:
    for row in ROWS:
        yield from _scaled(row, _first(values, row.keys), part + row.suffix)
    yield from _scaled(_MODULE, _first(values, _MODULE.keys), f"module/{rank}")
    thermal_ns = _thermal_ns(values)
    if thermal_ns is not None:
        yield Reading(metrics.THROTTLE_THERMAL, thermal_ns / 1e9, part)
    fans = values.get("fans_percent")
    for index, duty in enumerate(fans[:_MOST_FANS] if isinstance(fans, list) else []):
        yield from _scaled(_FAN, _number(duty), f"{part}/fan/{index}")


def _scaled(row: Row, raw: float | None, part: str) -> Iterator[Reading]:
    if raw is None:
        return
    value = raw / row.per
    if row.least <= value <= row.most:
        yield Reading(row.metric, value, part)


def _first(values: dict[str, Any], keys: tuple[str, ...]) -> float | None:
    """Give the first that the GPU can tell, None if it did not now: another source would be another quantity."""
    for key in keys:
        if key in values:
            return _number(values[key])
    return None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None


def _thermal_ns(values: dict[str, Any]) -> float | None:
    """Add what there is; None when a counter is missing this time, because a smaller sum would look like a reset."""
    keys = tuple(key for key in _THERMAL if key in values) or _THERMAL_OLD
    counters = [_number(values.get(key)) for key in keys]
    known = [counter for counter in counters if counter is not None and 0 <= counter <= _HUGE]
    return sum(known) if len(known) == len(counters) else None


def _gravest(xids: object) -> int | None:
    known = [xid for xid in xids if _number(xid) is not None and 0 < xid < _MOST_XID] if isinstance(xids, list) else []
    grave = [xid for xid in known if xid in GRAVE_XIDS]
    return next(reversed(grave or known), None)


def _failure(gpu: dict[str, Any]) -> Outage:
    code = gpu.get("failed")
    return _FAILURES.get(code, Outage.LOST) if isinstance(code, int) else Outage.LOST


def _describe(failed: list[dict[str, Any]], count: int) -> str:
    """Name the failed GPUs for people: `1 of 8 GPUs failed: gpu/3 (GPU is lost, XID 79)`."""
    named = ", ".join(f"gpu/{gpu['rank']} ({_words(gpu)})" for gpu in failed[:_MOST_NAMED])
    return f"{len(failed)} of {count} GPUs failed: {named}{', …' if len(failed) > _MOST_NAMED else ''}"


def _words(gpu: dict[str, Any]) -> str:
    xid = _gravest(gpu.get("xids"))
    words = clean(gpu.get("words", ""), 40) or "no reason given"
    return f"{words}, XID {xid}" if xid is not None else words


def _counted(count: object) -> Iterator[Reading]:
    if isinstance(count, int) and not isinstance(count, bool) and 0 <= count <= _MOST_GPUS:
        yield Reading(metrics.ACCELERATORS_FOUND, float(count))


def _introduce(answer: dict[str, Any], gpus: list[dict[str, Any]]) -> tuple[tuple[str, str], ...]:
    """Give what driver and GPUs say of themselves, cleaned."""
    about = [("driver", answer.get("driver"))]
    for rank, gpu in enumerate(gpus):
        values = gpu.get("values", {})
        about += [(f"gpu/{rank} {key}", gpu.get(key)) for key in ("bus", "uuid", "serial")]
        about += [(f"gpu/{rank} {key}", values.get(key)) for key in ("model", "vbios", "persistence", "mig")]
        about += [(f"gpu/{rank} power", _POWER_KINDS[key]) for key in _POWER_KINDS if key in values][:1]
    return tuple((key, clean(text)) for key, text in about if text is not None and clean(text))


def _check_identity(device: Device, answer: dict[str, Any]) -> None:
    """Raise PollError when a serial number or UUID is expected and no GPU has it."""
    expected = device.identity.serial
    if expected is None:
        return
    told = {clean(gpu.get(key)) for gpu in _gpus(answer) for key in ("serial", "uuid")}
    if expected not in told:
        raise PollError(Outage.IDENTITY, f"no GPU has the serial number or UUID {expected}")


def _open(device: Device) -> WorkerLink:
    return WorkerLink(device.address, _WORKER, Patience(answer_s=device.timeout_s * _DEADLINE_SHARE))


async def _poll(link: WorkerLink, device: Device, group: Group) -> Answer:
    answer = await link.ask(str(group))
    _check_identity(device, answer)
    return decode(answer, group)


async def _inspect(link: WorkerLink, device: Device) -> Inspection:
    answers = {group: await _ask_when_open(link, group) for group in Group}
    _check_identity(device, answers[Group.ONCE])
    decoded = [decode(answer, group) for group, answer in answers.items()]
    whole = Answer(
        readings=tuple(dict.fromkeys(reading for answer in decoded for reading in answer.readings)),
        outage=next((answer.outage for answer in decoded if answer.outage), None),
        detail=next((answer.detail for answer in decoded if answer.detail), ""),
        info=decoded[-1].info,
    )
    exchanges = tuple(Exchange(f"read {group}", _indented(answer)) for group, answer in answers.items())
    fixture = {"driver": "nvidia", "answers": {str(group): _redact(answer) for group, answer in answers.items()}}
    return Inspection(exchanges, whole, fixture)


def _indented(answer: dict[str, Any]) -> str:
    return orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode()


async def _ask_when_open(link: WorkerLink, group: Group) -> dict[str, Any]:
    """Ask, and wait while the worker still opens the GPUs: here a person waits, and nothing else does."""
    while True:
        try:
            return await link.ask(str(group))
        except PollError as error:
            if error.outage is not Outage.BUSY:
                raise


def _redact(value: Any) -> Any:
    """Blank what identifies a card; its address on the bus and its model stay."""
    if isinstance(value, list):
        return [_redact(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: "" if key in {"uuid", "serial"} else _redact(item) for key, item in value.items()}


DRIVER = Driver(
    title="NVIDIA GPUs through NVML",
    kind="accelerator",
    link_key=lambda device: f"worker:{device.address}",
    open_link=_open,
    groups=lambda _device: (Group.FAST, Group.SLOW, Group.ONCE),
    poll=_poll,
    inspect=_inspect,
)

"""The GPUs of this host: which there are, what each of them can answer, and which of them have failed.

A GPU is known by its PCI address. The driver's own index is not stable, and a dead GPU may vanish from its list; so
ranks count the addresses, those once seen included, and do not move when one GPU goes.
"""

from __future__ import annotations

import ctypes
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pynvml

from keeld.errors import Outage
from keeld.workers.lifeline import Fatal
from keeld.workers.nvml_questions import TIERS, VALUE_MEMBERS, Call, Field

MOST_GPUS = 64
_BUS = re.compile(r"[0-9A-F]{8}:[0-9A-F]{2}:[0-9A-F]{2}")

_LOST = 15
_UNSUPPORTED = frozenset({2, 3, 13, 25, 26})
"""Invalid argument, not supported, function not found, version mismatch, deprecated: asking again will not help."""
_GPU_FAILED = frozenset({8, 11, _LOST, 16, 28})
"""Insufficient power, interrupt trouble, lost, reset required, not found: this GPU cannot be used, others can."""

_FATAL = {
    1: (8, Outage.DRIVER_DOWN, "the NVIDIA driver closed the library; it was probably unloaded"),
    9: (4, Outage.DRIVER_DOWN, "the NVIDIA kernel driver is not loaded; run nvidia-smi on that host"),
    12: (3, Outage.DRIVER_DOWN, "libnvidia-ml.so.1 was not found; install the NVIDIA driver"),
    18: (5, Outage.DRIVER_DOWN, "the NVIDIA library and kernel module differ in version; reload the module or reboot"),
}
"""NVML's answer that ends the worker: exit code, outage and what to do about it."""
EXIT_NO_GPU = 7
EXIT_OTHER = 8

Values = dict[str, Any]


class GpuFailed(Exception):  # noqa: N818 - it reads as a state
    """The driver said that this GPU cannot be used; `code` is NVML's. Never leaves workers."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(slots=True)
class Gpu:
    """One GPU. `failed` is NVML's code of what is wrong with it, 0 while it answers."""

    bus: str
    handle: Any = None
    uuid: str = ""
    serial: str = ""
    failed: int = 0
    able: dict[str, tuple[tuple[Field, ...], tuple[Call, ...]]] = field(default_factory=dict)
    """Tier -> the questions that this GPU has an answer to, known once the tier was asked."""


def fatal(code: int) -> Fatal:
    """Say in words what ends the worker."""
    exit_code, outage, words = _FATAL.get(code, (EXIT_OTHER, Outage.DRIVER_DOWN, f"NVML failed: {describe(code)}"))
    return Fatal(outage, words, exit_code)


def describe(code: int) -> str:
    """Give NVML's words for a code; never raises."""
    return str(pynvml.NVMLError(code))


def judge(code: int) -> bool:
    """Tell whether a question is unsupported; raise GpuFailed or Fatal when more than the question failed."""
    if code in _FATAL:
        raise fatal(code)
    if code in _GPU_FAILED:
        raise GpuFailed(code)
    return code in _UNSUPPORTED


def read(gpu: Gpu, tier: str) -> Values:
    """Ask one tier of one GPU. None marks what the GPU can tell but did not now; what it cannot tell is absent.

    The first time everything is asked, later only what had an answer. Raises GpuFailed and Fatal.
    """
    fields, calls = gpu.able.get(tier, TIERS[tier])
    values = _ask_fields(gpu, fields)
    for call in calls:
        if not any(key in values for key in call.unless):
            _ask_call(gpu, call, values)
    gpu.able[tier] = tuple(f for f in fields if f.key in values), tuple(c for c in calls if c.key in values)
    if tier == "fast" and values and all(value is None for value in values.values()):
        raise GpuFailed(pynvml.NVML_ERROR_UNKNOWN)  # it refuses everything it can tell: not alive, whatever the code
    return values


def _ask_fields(gpu: Gpu, fields: tuple[Field, ...]) -> Values:
    if not fields:
        return {}
    try:
        answers = pynvml.nvmlDeviceGetFieldValues(gpu.handle, [(f.id, f.scope) for f in fields])
    except pynvml.NVMLError as error:
        unsupported = judge(error.value)
        if len(fields) > 1 and error.value != pynvml.NVML_ERROR_FUNCTION_NOT_FOUND:
            return _ask_one_by_one(gpu, fields)  # one id that an old driver does not know may spoil the whole call
        return {} if unsupported else {f.key: None for f in fields}
    values: Values = {}
    for asked, answer in zip(fields, answers, strict=True):
        code = answer.nvmlReturn
        if code == 0:
            values[asked.key] = _value(answer)
        elif not judge(code):
            values[asked.key] = None
    return values


def _ask_one_by_one(gpu: Gpu, fields: tuple[Field, ...]) -> Values:
    values: Values = {}
    for asked in fields:
        values.update(_ask_fields(gpu, (asked,)))
    return values


def _value(answer: Any) -> float | None:
    """Take the member of the union that the driver filled; None for a type this binding does not know."""
    if not 0 <= answer.valueType < len(VALUE_MEMBERS):
        return None
    value: float = getattr(answer.value, VALUE_MEMBERS[answer.valueType])
    return value if math.isfinite(value) else None


def _ask_call(gpu: Gpu, call: Call, values: Values) -> None:
    try:
        values[call.key] = call.ask(gpu.handle)
    except pynvml.NVMLError as error:
        if not judge(error.value):
            values[call.key] = None
    except UnicodeDecodeError:  # the binding decodes text that the firmware may have left as noise
        values[call.key] = None


class Node:
    """All GPUs of this host. Invariant: a GPU once seen stays, as failed, until the worker's memory is dropped."""

    def __init__(self, adopted: Callable[[Gpu], None]) -> None:
        self._adopted = adopted
        self._gpus: dict[str, Gpu] = {}
        self._nameless: dict[int, int] = {}
        """Index -> code of GPUs that the driver counts but cannot open, so that their address is unknown."""
        self.count = -1

    def remember(self, buses: object) -> None:
        """Take the addresses that an earlier worker knew, so that ranks hold over its end."""
        if not isinstance(buses, list):
            return
        for bus in buses[: max(0, MOST_GPUS - len(self._gpus))]:
            if isinstance(bus, str) and _BUS.fullmatch(bus):
                self._gpus.setdefault(bus, Gpu(bus, failed=_LOST))

    def buses(self) -> list[str]:
        """Give the addresses known, in the order of rank."""
        return sorted(self._gpus)

    def refresh(self) -> None:
        """Compare with the driver's list; opens what is new or has failed. Raises Fatal."""
        listed: set[str] = set()
        self._nameless.clear()
        self.count = self.counted()
        for index in range(min(self.count, MOST_GPUS)):
            try:
                listed.add(self._open(index))
            except GpuFailed as failure:
                self._nameless[index] = failure.code
        for bus in self._gpus.keys() - listed:
            gone = self._gpus[bus]
            gone.handle, gone.failed = None, gone.failed or _LOST

    def counted(self) -> int:
        """Ask how many GPUs the driver lists. Raises Fatal."""
        try:
            return int(pynvml.nvmlDeviceGetCount())
        except pynvml.NVMLError as error:
            raise fatal(error.value) from None

    def _open(self, index: int) -> str:
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            pci = pynvml.nvmlDeviceGetPciInfo(handle)
        except pynvml.NVMLError as error:
            if error.value in _FATAL:
                raise fatal(error.value) from None
            raise GpuFailed(error.value) from None
        bus = f"{pci.domain & 0xFFFFFFFF:08X}:{pci.bus & 0xFF:02X}:{pci.device & 0xFF:02X}"
        gpu = self._gpus.setdefault(bus, Gpu(bus, failed=_LOST))
        if gpu.handle is None or gpu.failed or address_of(gpu.handle) != address_of(handle):
            self._adopt(gpu, handle)
        return bus

    def _adopt(self, gpu: Gpu, handle: Any) -> None:
        gpu.handle, gpu.failed, gpu.able = handle, 0, {}
        names: Values = {}
        try:
            for call in (Call("uuid", pynvml.nvmlDeviceGetUUID), Call("serial", pynvml.nvmlDeviceGetSerial)):
                _ask_call(gpu, call, names)
        except GpuFailed as failure:
            gpu.failed = failure.code
            return
        gpu.uuid, gpu.serial = names.get("uuid") or gpu.uuid, names.get("serial") or gpu.serial
        self._adopted(gpu)

    def ranked(self) -> list[Gpu]:
        """Give every GPU by rank. One that cannot be opened takes the place of a missing one, else of its index."""
        ranked = [self._gpus[bus] for bus in sorted(self._gpus)]
        nameless = sorted(self._nameless.items())
        missing = [gpu for gpu in ranked if gpu.handle is None]
        for gpu, (_, code) in zip(missing, nameless, strict=False):
            gpu.failed = code
        for index, code in nameless[len(missing) :]:
            ranked.insert(min(index, len(ranked)), Gpu("", failed=code))
        return ranked[:MOST_GPUS]

    def forget_abilities(self) -> None:
        """Ask everything again: what a GPU can tell changes when MIG is switched."""
        for gpu in self._gpus.values():
            gpu.able = {}

    def answers(self) -> bool:
        """Whether at least one GPU can be used."""
        return any(not gpu.failed for gpu in self._gpus.values())

    def has_failures(self) -> bool:
        """Whether a GPU that is counted or was seen cannot be used."""
        return bool(self._nameless) or any(gpu.failed for gpu in self._gpus.values())


def address_of(handle: Any) -> int:
    """Give the number behind an opaque NVML handle, to recognise it in an event."""
    return ctypes.cast(handle, ctypes.c_void_p).value or 0


def ask_all(gpus: Sequence[Gpu], tier: str) -> list[Values]:
    """Ask a tier of every GPU by rank; a failed one gives its code and words instead of values."""
    return [_ask(gpu, tier) | {"rank": rank} for rank, gpu in enumerate(gpus)]


def _ask(gpu: Gpu, tier: str) -> Values:
    about = {"bus": gpu.bus, "uuid": gpu.uuid, "serial": gpu.serial}
    if gpu.handle is not None:
        try:
            # A lost GPU is asked as well: it refuses at once, or is back. It stays marked until it is opened again.
            return about | {"values": read(gpu, tier)}
        except GpuFailed as failure:
            gpu.failed = failure.code
    return about | {"failed": gpu.failed, "words": describe(gpu.failed)}

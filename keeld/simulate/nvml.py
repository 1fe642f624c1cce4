"""A simulated NVIDIA driver: `python -m keeld.simulate.nvml [--state FILE] [--gpus N]` is the worker on top of it.

The real worker runs with the real nvidia-ml-py; only the C library below them is replaced, by an object whose
attributes are functions that fill ctypes structures as the C ones do.

The state file is written by the simulated site, whole and atomically, and read again when it changes::

    {"driver": "ok", "hang_s": 0, "gpus": [{"power_watts": 640.5, "temp_celsius": 62, "state": "ok"}]}

`driver` is ok, unloaded or mismatch; `state` is ok, lost, reset_required or no_power; `hang_s` delays the next call.
A key of a GPU that is absent is not supported by it: power_watts, limit_watts, temp_celsius, memory_temp_celsius,
margin_celsius, utilisation (0 to 1), clock_hertz, memory_used_bytes, energy_watt_hours, throttle_power_seconds,
throttle_thermal_seconds, throttle_brake_seconds, ecc_corrected, ecc_uncorrected, remap_pending, remap_failed,
recovery_action, pcie_replays, pcie_width, links_up. `xids` is a list that only grows; each new entry is one event.
Without a file every GPU swings by itself between half and full load.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pynvml

from keeld.workers import nvml
from keeld.workers.nvml_gpus import address_of

_OK, _NOT_SUPPORTED, _TIMEOUT, _INVALID = 0, 3, 10, 2
_UNLOADED, _LOST, _MISMATCH = 9, 15, 18
_GPU_STATES = {"ok": _OK, "lost": _LOST, "reset_required": 16, "no_power": 8}
_DRIVER_STATES = {"ok": _OK, "unloaded": _UNLOADED, "mismatch": _MISMATCH}
_ULONGLONG = 3
_XID_EVENT = 0x8
_FULL_WATTS, _IDLE_WATTS, _SWING_S = 700.0, 75.0, 4.0
_LINKS = 18
_FIRST_BUS = 0x18
_FIRST_HANDLE = 0x1000
_LOOK_S = 0.1

_FIELDS: dict[int, tuple[str, float]] = {
    185: ("power_watts", 1e3),
    186: ("power_watts", 1e3),
    190: ("limit_watts", 1e3),
    189: ("limit_watts", 1e3),
    82: ("memory_temp_celsius", 1),
    74: ("throttle_power_seconds", 1e9),
    269: ("throttle_thermal_seconds", 1e9),
    271: ("throttle_brake_seconds", 1e9),
    83: ("energy_watt_hours", 3.6e6),
    5: ("ecc_corrected", 1),
    6: ("ecc_uncorrected", 1),
    144: ("remap_pending", 1),
    145: ("remap_failed", 1),
    230: ("recovery_action", 1),
    94: ("pcie_replays", 1),
}
"""NVML field id -> key of the state file and the factor to NVML's unit."""


class World:
    """What the driver would see now: the state file, or a load that swings by itself."""

    def __init__(self, path: Path | None, gpus: int) -> None:
        self._path = path
        self._gpus = gpus
        self._stamp: tuple[int, int] | None = None
        self._state: dict[str, Any] = {"gpus": []}
        self._began_s = time.monotonic()
        self._hung_for: tuple[int, int] | None = None

    def look(self) -> dict[str, Any]:
        """Give the state; a file that cannot be read leaves the last one, as a real driver would not vanish for it."""
        if self._path is None:
            return self._swing(time.monotonic() - self._began_s)
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_ino)
            if stamp != self._stamp:
                self._state, self._stamp = json.loads(self._path.read_bytes()), stamp
        except (OSError, ValueError):
            return self._state
        return self._state

    def hang(self) -> None:
        """Stay in the call as long as the state file says, once for each version of it."""
        hang_s = float(self.look().get("hang_s", 0))
        if hang_s and self._hung_for != self._stamp:
            self._hung_for = self._stamp
            time.sleep(hang_s)

    def _swing(self, at_s: float) -> dict[str, Any]:
        return {"gpus": [_swinging(at_s, rank) for rank in range(self._gpus)]}


def _swinging(at_s: float, rank: int) -> dict[str, Any]:
    load = 0.75 + 0.25 * math.sin(2 * math.pi * (at_s / _SWING_S + rank / 64))
    watts = _IDLE_WATTS + (_FULL_WATTS - _IDLE_WATTS) * load
    mean_watts = _IDLE_WATTS + (_FULL_WATTS - _IDLE_WATTS) * 0.75
    return {
        "power_watts": watts,
        "limit_watts": _FULL_WATTS,
        "temp_celsius": 35 + 30 * load,
        "memory_temp_celsius": 42 + 35 * load,
        "margin_celsius": 52 - 30 * load,
        "utilisation": load,
        "clock_hertz": 1.98e9 - 3e8 * load,
        "memory_used_bytes": 70 << 30,
        "energy_watt_hours": mean_watts * at_s / 3600,
        "throttle_power_seconds": 0.1 * at_s,
        "throttle_thermal_seconds": 0,
        "throttle_brake_seconds": 0,
        "ecc_corrected": 0,
        "ecc_uncorrected": 0,
        "remap_pending": 0,
        "remap_failed": 0,
        "recovery_action": 0,
        "pcie_replays": 0,
        "pcie_width": 16,
        "links_up": _LINKS,
    }


class SimulatedLibrary:
    """Stands where ctypes keeps `libnvidia-ml.so.1`. A name without a function here is a symbol the driver lacks."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._told: dict[int, int] = {}

    def __getattr__(self, symbol: str) -> Callable[..., int]:
        answer = _SYMBOLS.get(symbol)
        if answer is None:
            raise AttributeError(symbol)

        def call(*arguments: Any) -> int:
            self._world.hang()
            return answer(self, *arguments)

        return call

    def _gpus(self) -> list[dict[str, Any]]:
        gpus: list[dict[str, Any]] = self._world.look().get("gpus", [])
        return gpus

    def _driver(self) -> int:
        return _DRIVER_STATES.get(str(self._world.look().get("driver", "ok")), _UNLOADED)

    def init(self, _flags: Any) -> int:
        """Open the driver."""
        return self._driver()

    def shutdown(self) -> int:
        """Close the driver."""
        return _OK

    def count(self, out: Any) -> int:
        """Give how many GPUs there are; a lost one is still counted."""
        _target(out).value = len(self._gpus())
        return self._driver()

    def handle(self, index: Any, out: Any) -> int:
        """Give a handle: a pointer whose number says which GPU it is."""
        state = self._state_of(index.value)
        if state == _OK:
            ctypes.c_void_p.from_address(ctypes.addressof(_target(out))).value = _FIRST_HANDLE + index.value
        return state

    def _state_of(self, index: int) -> int:
        gpus = self._gpus()
        return _GPU_STATES.get(str(gpus[index].get("state", "ok")), _LOST) if index < len(gpus) else _LOST

    def look_up(self, handle: Any, key: str) -> tuple[int, float]:
        """Give NVML's return and the value of one key of one GPU."""
        index = _index(handle)
        state = self._driver() or self._state_of(index)
        if state != _OK:
            return state, 0.0
        value = self._gpus()[index].get(key)
        return (_NOT_SUPPORTED, 0.0) if value is None else (_OK, float(value))

    def put(self, handle: Any, key: str, out: Callable[[float], None]) -> int:
        """Hand one value over where there is one."""
        code, value = self.look_up(handle, key)
        if code == _OK:
            out(value)
        return code

    def fields(self, handle: Any, count: Any, out: Any) -> int:
        """Fill an array of field values, each with its own return code."""
        state = self._driver() or self._state_of(_index(handle))
        if state != _OK:
            return state
        for field in list(_target(out))[: count.value]:
            key, factor = _FIELDS.get(field.fieldId, ("", 1.0)) if field.scopeId == 0 else ("", 1.0)
            field.nvmlReturn, value = self.look_up(handle, key)
            field.valueType = _ULONGLONG
            field.value.ullVal = int(value * factor)
        return _OK

    def pci(self, handle: Any, out: Any) -> int:
        """Give a PCI address that grows with the index."""
        info = _target(out)
        info.domain, info.bus, info.device = 0, _FIRST_BUS + 8 * _index(handle), 0
        return self._state_of(_index(handle))

    def temperature(self, handle: Any, out: Any) -> int:
        """Give the core temperature."""
        return self.put(handle, "temp_celsius", lambda celsius: setattr(_target(out), "temperature", int(celsius)))

    def margin(self, handle: Any, out: Any) -> int:
        """Give the degrees left to the next slowdown."""
        key = "margin_celsius"
        return self.put(handle, key, lambda celsius: setattr(_target(out), "marginTemperature", int(celsius)))

    def utilisation(self, handle: Any, out: Any) -> int:
        """Give the share of time busy, in percent."""
        return self.put(handle, "utilisation", lambda ratio: setattr(_target(out), "gpu", round(ratio * 100)))

    def clock(self, handle: Any, _kind: Any, out: Any) -> int:
        """Give the core clock in MHz."""
        return self.put(handle, "clock_hertz", lambda hertz: setattr(_target(out), "value", round(hertz / 1e6)))

    def memory(self, handle: Any, out: Any) -> int:
        """Give the memory in use."""
        return self.put(handle, "memory_used_bytes", lambda used: setattr(_target(out), "used", int(used)))

    def width(self, handle: Any, out: Any) -> int:
        """Give the PCIe lanes in use."""
        return self.put(handle, "pcie_width", lambda lanes: setattr(_target(out), "value", int(lanes)))

    def link(self, handle: Any, link: int, out: Any) -> int:
        """Give the state of one NVLink."""
        if link >= _LINKS:
            return _INVALID
        return self.put(handle, "links_up", lambda up: setattr(_target(out), "value", int(link < up)))

    def name(self, _handle: Any, out: Any, _size: Any) -> int:
        """Give the model, which says that it is none."""
        out.value = b"Simulated GPU"
        return _OK

    def uuid(self, handle: Any, out: Any, _size: Any) -> int:
        """Give a UUID that follows from the index."""
        out.value = f"GPU-00000000-0000-0000-0000-{_index(handle):012x}".encode()
        return _OK

    def version(self, out: Any, _size: Any) -> int:
        """Give the driver's version."""
        out.value = b"simulated"
        return self._driver()

    def event_set(self, out: Any) -> int:
        """Open an event set."""
        ctypes.c_void_p.from_address(ctypes.addressof(_target(out))).value = _FIRST_HANDLE
        return _OK

    def event_kinds(self, _handle: Any, out: Any) -> int:
        """Say that XID events are supported."""
        _target(out).value = _XID_EVENT
        return _OK

    def register(self, handle: Any, _kinds: Any, _set: Any) -> int:
        """Listen to a GPU: its XIDs up to now are past."""
        self._told.setdefault(_index(handle), len(self._xids(_index(handle))))
        return _OK

    def wait(self, _set: Any, out: Any, timeout_ms: Any) -> int:
        """Wait for the next entry in a GPU's list of XIDs."""
        end_s = time.monotonic() + timeout_ms.value / 1000
        while time.monotonic() < end_s:
            for index, told in self._told.items():
                xids = self._xids(index)
                if len(xids) > told:
                    self._told[index] = told + 1
                    event = _target(out)
                    event.eventType, event.eventData = _XID_EVENT, int(xids[told])
                    ctypes.c_void_p.from_address(ctypes.addressof(event)).value = _FIRST_HANDLE + index
                    return _OK
            time.sleep(_LOOK_S)
        return _TIMEOUT

    def free(self, _set: Any) -> int:
        """Close an event set."""
        return _OK

    def _xids(self, index: int) -> list[int]:
        gpus = self._gpus()
        xids: list[int] = gpus[index].get("xids", []) if index < len(gpus) else []
        return xids


_SYMBOLS: dict[str, Callable[..., int]] = {
    "nvmlInitWithFlags": SimulatedLibrary.init,
    "nvmlShutdown": SimulatedLibrary.shutdown,
    "nvmlSystemGetDriverVersion": SimulatedLibrary.version,
    "nvmlDeviceGetCount_v2": SimulatedLibrary.count,
    "nvmlDeviceGetHandleByIndex_v2": SimulatedLibrary.handle,
    "nvmlDeviceGetPciInfo_v3": SimulatedLibrary.pci,
    "nvmlDeviceGetName": SimulatedLibrary.name,
    "nvmlDeviceGetUUID": SimulatedLibrary.uuid,
    "nvmlDeviceGetFieldValues": SimulatedLibrary.fields,
    "nvmlDeviceGetTemperatureV": SimulatedLibrary.temperature,
    "nvmlDeviceGetMarginTemperature": SimulatedLibrary.margin,
    "nvmlDeviceGetUtilizationRates": SimulatedLibrary.utilisation,
    "nvmlDeviceGetClockInfo": SimulatedLibrary.clock,
    "nvmlDeviceGetMemoryInfo_v2": SimulatedLibrary.memory,
    "nvmlDeviceGetCurrPcieLinkWidth": SimulatedLibrary.width,
    "nvmlDeviceGetNvLinkState": SimulatedLibrary.link,
    "nvmlEventSetCreate": SimulatedLibrary.event_set,
    "nvmlDeviceGetSupportedEventTypes": SimulatedLibrary.event_kinds,
    "nvmlDeviceRegisterEvents": SimulatedLibrary.register,
    "nvmlEventSetWait_v2": SimulatedLibrary.wait,
    "nvmlEventSetFree": SimulatedLibrary.free,
}
"""The C symbols that nvidia-ml-py asks for, by the names it asks with."""


def _target(reference: Any) -> Any:
    """Give the object that `ctypes.byref` was called on."""
    return reference._obj  # noqa: SLF001 - ctypes has no public way


def _index(handle: Any) -> int:
    return address_of(handle) - _FIRST_HANDLE


def main() -> None:
    """Run the real worker on the simulated library."""
    parser = argparse.ArgumentParser(prog="keeld.simulate.nvml", description="NVML worker on a simulated driver")
    parser.add_argument(
        "--state", type=Path, help="JSON file with the GPUs' state; without it they swing by themselves"
    )
    parser.add_argument("--gpus", type=int, default=8, help="number of GPUs without a state file")
    chosen = parser.parse_args()
    pynvml.nvmlLib = SimulatedLibrary(World(chosen.state, chosen.gpus))
    nvml.main()


if __name__ == "__main__":
    main()

"""What is asked of each GPU, by tier, in the driver's own units.

Field ids are NVML's (`nvml.h`, NVML_FI_DEV_*); they are written as numbers because older drivers and bindings lack some
of the names. Everything here reads: no setter, no profiling (GPM), and not `nvmlDeviceGetPcieThroughput`, which blocks
for 20 ms each time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pynvml

VALUE_MEMBERS = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
"""Member of the value union for each NVML_VALUE_TYPE_*."""

_CORE_SENSOR = 0
_CLOCK_SM = 1
_MISSING_CALL = frozenset({13, 25})  # function not found, argument version mismatch: an older driver


class Field(NamedTuple):
    """One field value; `scope` 0 is the GPU, 1 the module that holds it together with a CPU."""

    key: str
    id: int
    scope: int = 0


class Call(NamedTuple):
    """One call of its own; not made on a GPU that answers any of `unless`."""

    key: str
    ask: Callable[[Any], Any]
    unless: tuple[str, ...] = ()


class Tier(NamedTuple):
    """What is asked together."""

    fields: tuple[Field, ...] = ()
    calls: tuple[Call, ...] = ()


def _temperature(handle: Any) -> int:
    try:
        return int(pynvml.nvmlDeviceGetTemperatureV(handle, _CORE_SENSOR))
    except pynvml.NVMLError as error:
        if error.value not in _MISSING_CALL:
            raise
    return int(pynvml.nvmlDeviceGetTemperature(handle, _CORE_SENSOR))


def _memory_used(handle: Any) -> int:
    """Bytes in use by programs; the first version of the call counts the driver's own reserve as well."""
    try:
        return int(pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2).used)
    except pynvml.NVMLError as error:
        if error.value not in _MISSING_CALL:
            raise
    return int(pynvml.nvmlDeviceGetMemoryInfo(handle).used)


def _links_up(handle: Any) -> int:
    """NVLinks in the active state; NotSupported when the GPU has none."""
    states = [_link_state(handle, link) for link in range(pynvml.NVML_NVLINK_MAX_LINKS)]
    answered = [state for state in states if state is not None]
    if not answered:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    return sum(1 for state in answered if state)


def _link_state(handle: Any, link: int) -> int | None:
    try:
        return int(pynvml.nvmlDeviceGetNvLinkState(handle, link))
    except pynvml.NVMLError as error:
        if error.value in {pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_INVALID_ARGUMENT}:
            return None
        raise


def _fans(handle: Any) -> list[int]:
    """Speed asked of each fan in percent: a blocked fan does not show here."""
    count = pynvml.nvmlDeviceGetNumFans(handle)
    if not count:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    return [int(pynvml.nvmlDeviceGetFanSpeed_v2(handle, fan)) for fan in range(count)]


TIERS = {
    "fast": Tier(
        fields=(
            Field("power_average_mw", 185),
            Field("power_instant_mw", 186),
            Field("module_power_average_mw", 185, 1),
            Field("module_power_instant_mw", 186, 1),
            Field("power_limit_mw", 190),
            Field("memory_temperature_c", 82),
            Field("throttle_power_ns", 74),
            Field("throttle_thermal_policy_ns", 75),
            Field("throttle_thermal_software_ns", 269),
            Field("throttle_thermal_hardware_ns", 270),
            Field("throttle_brake_ns", 271),
        ),
        calls=(
            Call("power_usage_mw", pynvml.nvmlDeviceGetPowerUsage, ("power_average_mw", "power_instant_mw")),
            Call("power_enforced_limit_mw", pynvml.nvmlDeviceGetEnforcedPowerLimit, ("power_limit_mw",)),
            Call("temperature_c", _temperature),
            Call("margin_c", pynvml.nvmlDeviceGetMarginTemperature),
            Call("utilisation_percent", lambda handle: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu),
            Call("clock_mhz", lambda handle: pynvml.nvmlDeviceGetClockInfo(handle, _CLOCK_SM)),
        ),
    ),
    "slow": Tier(
        fields=(
            Field("energy_mj", 83),
            Field("energy_gpu_mj", 191),
            Field("ecc_corrected_volatile", 3),
            Field("ecc_uncorrected_volatile", 4),
            Field("ecc_corrected_lifetime", 5),
            Field("ecc_uncorrected_lifetime", 6),
            Field("rows_remap_pending", 144),
            Field("rows_remap_failed", 145),
            Field("recovery_action", 230),
            Field("pcie_replays", 94),
        ),
        calls=(
            Call("pcie_width_lanes", pynvml.nvmlDeviceGetCurrPcieLinkWidth),
            Call("memory_used_bytes", _memory_used),
            Call("links_up", _links_up),
            Call("fans_percent", _fans),
        ),
    ),
    "once": Tier(
        fields=(
            Field("power_limit_least_mw", 187),
            Field("power_limit_most_mw", 188),
            Field("power_limit_default_mw", 189),
            Field("power_average_mw", 185),  # only which of the two there is
            Field("power_instant_mw", 186),
        ),
        calls=(
            Call("model", pynvml.nvmlDeviceGetName),
            Call("vbios", pynvml.nvmlDeviceGetVbiosVersion),
            Call("architecture", pynvml.nvmlDeviceGetArchitecture),
            Call("persistence", pynvml.nvmlDeviceGetPersistenceMode),
            Call("mig", lambda handle: pynvml.nvmlDeviceGetMigMode(handle)[0]),
        ),
    ),
}

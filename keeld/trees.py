"""The places in the power and the cooling tree that have limits, as the configuration describes them.

Values like those of `model`: frozen, in W, VA, A, V, K or °C.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class PowerSource:
    """One of several sources of a power node: what it can give, and the node it comes from if not the parent."""

    limit_watts: float
    parent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerNode:
    """A place in the power tree that has a limit: utility, UPS, panel, breaker, feed of a rack."""

    id: str
    parent: str | None = None
    label: str = ""
    kind: str = ""
    """utility, transformer, ups, generator, panel, pdu, busway, breaker...; empty: from id and ratings."""
    limit_watts: float | None = None
    limit_volt_amperes: float | None = None
    breaker_amperes: float | None = None
    voltage_volts: float | None = None
    """Line to line where there are three phases, else the circuit's own."""
    phases: int = 1
    wiring: str = "wye"
    """Of three phases: wye with a neutral, or delta without one."""
    lines: tuple[str, ...] = ()
    """Lines of a three-phase parent that a single-phase node hangs on: one of them and neutral, or two."""
    is_direct_current: bool = False
    neutral_amperes: float | None = None
    """Rating of the neutral; None where it is that of the lines."""
    power_factor: float | None = None
    """Of what hangs on it, where nothing measures it."""
    derate: float = 0.8
    """Share of the rating for loads of three hours or more (0.8 NEC, 1.0 where the breaker is listed for it)."""
    share: float | None = None
    """Share of the rating that planning may use, so that it can take over a sibling's load; never a live limit."""
    breaker_kind: str = "electronic"
    """thermal_40c, thermal_30c or electronic: which ambient its rating holds for."""
    ambient_celsius: float | None = None
    ambient_device: str | None = None
    """The sensor that tells the ambient; the figure counts while it is silent."""
    altitude_metres: float = 0.0
    """Where it stands: thin air cools a breaker less."""
    efficiency: float = 1.0
    sources: Mapping[str, PowerSource] = field(default_factory=lambda: MappingProxyType({}))
    """Alternative sources by name."""
    source: str | None = None
    """The one in use while no device tells; None for the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoolingNode:
    """A zone's air units or a liquid loop (`kind` air or liquid), by the capacity of each unit."""

    id: str
    kind: str
    label: str = ""
    units_watts: tuple[float, ...] = ()
    redundancy: str = "N"
    coolant: str = "water"
    pumps: int | None = None
    pumps_needed: int | None = None
    """Pumps that carry the whole load; those beyond them are spare."""
    supply_most_celsius: float | None = None
    return_most_celsius: float | None = None
    facility_most_celsius: float | None = None
    """Warmest facility water that the loop may be given, as its water class says."""
    flow_least_litres_per_minute: float | None = None
    pressure_least_pascals: float | None = None
    design_rise_kelvin: float | None = None
    """Rise of the coolant at which the machines on the loop get the flow they are made for."""
    volume_litres: float | None = None
    air_cubic_metres: float | None = None
    metal_kilograms: float = 0.0
    flow_error_ratio: float = 0.03
    rise_error_kelvin: float = 0.3
    """Classes of the flow meter and of the pair of probes that measured heat is worked out from."""

"""The catalogue: every quantity keeld knows, named once.

A metric's name ends in its unit (Prometheus base units; ratios are 0 to 1, never percent), so no value travels without
one. Drivers and profiles convert to these units where they decode; nothing later converts again.
Two deliberate exceptions to Prometheus' base units: energy is in watt hours, because meters and bills are, and
pressure, flow and hashrate use the field's own words.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from keeld.errors import Outage


class Kind(enum.StrEnum):
    """How a metric's values relate in time: a level, a count that only grows, or a state's number."""

    GAUGE = "gauge"
    COUNTER = "counter"
    ENUM = "enum"


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One quantity. Compared by identity: there is exactly one object for each name."""

    name: str
    kind: Kind
    help: str
    states: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    """For an enum: what each number means."""

    def __repr__(self) -> str:
        """Show the name alone; the rest is the catalogue's."""
        return self.name


CATALOGUE: dict[str, Metric] = {}


def _declare(name: str, help_text: str, kind: Kind = Kind.GAUGE, states: Mapping[int, str] | None = None) -> Metric:
    metric = Metric(name, kind, help_text, MappingProxyType(dict(states or {})))
    CATALOGUE[name] = metric
    return metric


def _counter(name: str, help_text: str) -> Metric:
    return _declare(name, help_text, Kind.COUNTER)


def _enum(name: str, help_text: str, *states: str) -> Metric:
    return _declare(name, help_text, Kind.ENUM, dict(enumerate(states)))


# Electrical
POWER = _declare("power_watts", "active power drawn")
POWER_ESTIMATE = _declare("power_est_watts", "active power, estimated and not measured")
POWER_LO = _declare("power_lo_watts", "least power that the measurements allow")
POWER_HI = _declare("power_hi_watts", "most power that the measurements allow")
APPARENT_POWER = _declare("apparent_power_volt_amperes", "apparent power")
REACTIVE_POWER = _declare("reactive_power_vars", "reactive power, positive when inductive")
CURRENT = _declare("current_amperes", "current, RMS")
CURRENT_LO = _declare("current_lo_amperes", "least current that the measurements allow")
CURRENT_HI = _declare("current_hi_amperes", "most current that the measurements allow")
VOLTAGE = _declare("voltage_volts", "voltage, RMS")
FREQUENCY = _declare("frequency_hertz", "mains frequency")
POWER_FACTOR = _declare("power_factor_ratio", "active over apparent power")
ENERGY = _counter("energy_watt_hours", "energy taken since the counter's start")
CURRENT_UNBALANCE = _declare("current_unbalance_ratio", "largest phase's distance from the mean, over the mean")
BREAKER_RATING = _declare("breaker_rating_amperes", "rating a breaker reports of itself")
POWER_LIMIT = _declare("power_limit_watts", "limit that a device is set to keep")
POWER_SOURCE = _enum(
    "power_source_state",
    "what a UPS or transfer switch feeds its load from",
    "none",
    "utility",
    "battery",
    "bypass",
    "generator",
    "alternate",
)
GENERATOR = _enum("generator_state", "generator", "stopped", "running", "fault")
FUEL = _declare("fuel_ratio", "fuel left, of a full tank")

# Heat and plant
TEMPERATURE = _declare("temperature_celsius", "temperature")
TEMPERATURE_SETPOINT = _declare("temperature_setpoint_celsius", "temperature a unit is set to hold")
TEMPERATURE_MARGIN = _declare("temperature_margin_celsius", "degrees left to the nearest slowdown")
HUMIDITY = _declare("humidity_ratio", "relative humidity")
DEW_POINT = _declare("dew_point_celsius", "dew point")
DEW_MARGIN = _declare("dew_margin_celsius", "coldest coolant less the dew point of the air around it")
APPROACH = _declare("approach_celsius", "coolant supply less the facility water that cools it")
RACK_COOLING_HIGH = _declare("rack_cooling_high_ratio", "rack cooling index, hot side: 1 when no intake is too warm")
RACK_COOLING_LOW = _declare("rack_cooling_low_ratio", "rack cooling index, cold side: 1 when no intake is too cold")
RETURN_INDEX = _declare("return_temperature_ratio", "return temperature index: over 1 recirculates, under 1 bypasses")
SUPPLY_HEAT_INDEX = _declare("supply_heat_ratio", "share of the heat that warmed the air before it reached the racks")
FLOW = _declare("flow_litres_per_minute", "coolant flow")
PRESSURE = _declare("pressure_pascals", "pressure")
COOLING_OUTPUT = _declare("cooling_output_watts", "heat a cooling unit removes now")
COOLING_DEMAND = _declare("cooling_demand_watts", "heat a cooling unit is asked to remove")
COOLING_CAPACITY = _declare("cooling_capacity_watts", "heat a cooling unit says it could remove")
FAN_SPEED = _declare("fan_rpm", "fan speed")
FAN_DUTY = _declare("fan_duty_ratio", "fan speed asked for, of its full speed")
PUMP_SPEED = _declare("pump_rpm", "pump speed")
PUMP_DUTY = _declare("pump_duty_ratio", "pump speed asked for, of its full speed")
LEAK = _enum("leak_state", "leak sensor", "dry", "wet", "sensor_fault")
FEED = _enum("feed_state", "feed", "dead", "energised")
BREAKER = _enum("breaker_state", "breaker", "open", "closed", "tripped")
PUMP = _enum("pump_state", "pump", "stopped", "running", "fault")
SMOKE_STATE = _enum("smoke_state", "smoke detector", "clear", "smoke", "detector_fault")
EPO_STATE = _enum("epo_state", "emergency power-off", "released", "pressed", "wiring_fault")
DOOR_STATE = _enum("door_state", "door", "closed", "open")
UNIT_STATE = _enum("unit_state", "operating state of a plant unit", "standby", "on", "idle", "fault")
UNIT_ALARM = _enum("unit_alarm", "worst alarm a plant unit reports of itself", "none", "info", "warning", "critical")

# Miners
HASHRATE = _declare("hashrate_hashes_per_second", "hashes computed each second")
HASHRATE_NOMINAL = _declare("hashrate_nominal_hashes_per_second", "hashes a second the maker promises")
BOARDS_FOUND = _declare("boards_found", "hash boards that answer")
BOARDS_EXPECTED = _declare("boards_expected", "hash boards that belong in the machine")
CHIPS_FOUND = _declare("chips_found", "hash chips that answer")
SHARES_ACCEPTED = _counter("shares_accepted", "shares that the pool took")
SHARES_REJECTED = _counter("shares_rejected", "shares that the pool refused")
HARDWARE_ERRORS = _counter("hardware_errors", "results that the hash chips got wrong")
POOLS_ALIVE = _declare("pools_alive", "pools with a live connection")
MINER_STATE = _enum("miner_state", "what a miner does", "stopped", "mining", "starting", "tuning", "sleeping", "fault")
UPTIME = _declare("uptime_seconds", "time since the device or its miner process started")

# Accelerators
UTILISATION = _declare("utilisation_ratio", "share of time busy")
MEMORY_USED = _declare("memory_used_bytes", "memory in use")
CLOCK = _declare("clock_hertz", "core clock")
THROTTLE_POWER = _counter("throttle_power_seconds", "time slowed down to keep the power limit")
THROTTLE_THERMAL = _counter("throttle_thermal_seconds", "time slowed down by temperature")
THROTTLE_BRAKE = _counter("throttle_brake_seconds", "time slowed down by the external power brake")
XID = _declare("xid", "last error number the NVIDIA driver reported")
RECOVERY_ACTION = _enum(
    "recovery_action",
    "what the driver asks for",
    "none",
    "reset",
    "reboot",
    "drain_p2p",
    "drain_and_reset",
    "recover_imex",
    "bus_reset",
    "system_reboot",
)
ECC_CORRECTED = _counter("ecc_corrected_errors", "memory errors that were corrected")
ECC_UNCORRECTED = _counter("ecc_uncorrected_errors", "memory errors that were not corrected")
ROWS_REMAP_PENDING = _declare("rows_remap_pending", "1 while a memory row waits for a reset to be remapped")
ROWS_REMAP_FAILED = _declare("rows_remap_failed", "1 once a memory row could not be remapped")
PCIE_REPLAYS = _counter("pcie_replays", "PCIe packets sent again")
PCIE_WIDTH = _declare("pcie_width_lanes", "PCIe lanes in use")
LINKS_UP = _declare("links_up", "NVLink links in the active state")
ACCELERATORS_FOUND = _declare("accelerators_found", "accelerators that the driver lists")

# Derived by keeld
COVERAGE = _declare("coverage_ratio", "share of a sum that is measured, weighted by nameplate")
HEADROOM = _declare("headroom_watts", "limit less the highest possible draw")
LOAD_RATIO = _declare("load_ratio", "load over its limit, of a constraint or (without part) of the one that binds")
LOAD_LO_RATIO = _declare("load_lo_ratio", "least load over its limit that the measurements allow")
LOAD_HI_RATIO = _declare("load_hi_ratio", "most load over its limit that the measurements allow")
FAILOVER_LO_RATIO = _declare("failover_lo_ratio", "least load over its limit after the failure that loads it most")
FAILOVER_HI_RATIO = _declare("failover_hi_ratio", "most load over its limit after the failure that loads it most")
FAILOVER_CURRENT = _declare("failover_current_amperes", "current after the failure that loads the circuit most")
FAILOVER_PEAK_RATIO = _declare(
    "failover_peak_ratio", "highest load of 24 hours over what may be carried for hours, had the failure come then"
)
BINDING = _enum(
    "binding_reason", "which limit is nearest", "power", "air", "liquid", "current", "L1", "L2", "L3", "N",
    "apparent_power",
)  # fmt: skip
APPARENT_POWER_LO = _declare("apparent_power_lo_volt_amperes", "least apparent power that the measurements allow")
APPARENT_POWER_HI = _declare("apparent_power_hi_volt_amperes", "most apparent power that the measurements allow")
LOSS = _declare("loss_watts", "what a metered source takes beyond what its metered circuits carry")
UNATTRIBUTED = _declare("unattributed_watts", "a meter's reading less everything known below it")
UNATTRIBUTED_ERROR = _declare("unattributed_error_watts", "most of the unattributed power that meter errors explain")
DIVERSITY = _declare("diversity_ratio", "sum of the 24-hour peaks below a node over its own 24-hour peak")
OVERSUBSCRIPTION = _declare("oversubscription_ratio", "sum of the budgets below a node over its limit")
STRANDED = _declare("stranded_watts", "capacity of a node that nothing below it can use")
USABLE_HEADROOM = _declare("usable_headroom_watts", "load that may be added: the least of power, failover and cooling")
BREACH_LOWER = _declare("breach_lower_seconds", "time until the first limit is reached, at the steepest likely slope")
BREACH = _declare("breach_seconds", "time until the first limit is reached, at the likeliest slope")
BREACH_UPPER = _declare("breach_upper_seconds", "time until the first limit is reached, at the gentlest likely slope")
DEMAND = _declare("demand_watts", "mean power over the contract's last whole interval")
DEMAND_LO = _declare("demand_lo_watts", "least demand that the measurements allow")
DEMAND_HI = _declare("demand_hi_watts", "most demand that the measurements allow")
DEMAND_PROJECTED = _declare("demand_projected_watts", "demand that the running interval comes to at the present load")
DEMAND_ALLOWED = _declare("demand_allowed_watts", "mean power that the rest of the running interval may have")
DEMAND_SHED = _declare("demand_shed_watts", "load to shed for the rest of the running interval to keep its limit")
DEMAND_PEAK = _declare("demand_peak_watts", "highest demand of this month so far")
PUE = _declare("pue_ratio", "energy of the site over that of its machines, over whole hours")
PUE_POWER = _declare("pue_power_ratio", "power of the site over that of its machines now, which is no PUE")
CURTAIL_LIMIT = _declare("curtail_limit_watts", "most power that the orders which stand allow")
BREAKER_HEAT = _declare(
    "breaker_heat_ratio", "estimated heat of a breaker over that at which it may trip; no trip curve"
)
BREAKER_TRIP = _declare("breaker_trip_estimate_seconds", "estimated time until a breaker may trip; no trip curve")
AIR_HEAT_LO = _declare("air_heat_lo_watts", "least heat the air must carry away")
AIR_HEAT_HI = _declare("air_heat_hi_watts", "most heat the air must carry away")
LIQUID_HEAT_LO = _declare("liquid_heat_lo_watts", "least heat the liquid must carry away")
LIQUID_HEAT_HI = _declare("liquid_heat_hi_watts", "most heat the liquid must carry away")

# keeld's own view of a device
UP = _declare("up", "1 when the last poll gave readings, 0 when it did not")
OUTAGE_REASON = _declare(
    "outage_reason", "why the last poll gave no readings", Kind.ENUM, {outage.code: str(outage) for outage in Outage}
)

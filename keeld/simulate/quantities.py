"""What a device would measure of the plant now, by metric and part, in the catalogue's units.

A profile asks for what it has registers for; what the model does not know is simply not here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from keeld.metrics import (
    APPARENT_POWER,
    BREAKER,
    BREAKER_RATING,
    COOLING_CAPACITY,
    COOLING_DEMAND,
    COOLING_OUTPUT,
    CURRENT,
    CURRENT_UNBALANCE,
    ENERGY,
    FAN_DUTY,
    FAN_SPEED,
    FEED,
    FLOW,
    FREQUENCY,
    HUMIDITY,
    LEAK,
    POWER,
    POWER_FACTOR,
    PRESSURE,
    PUMP,
    PUMP_DUTY,
    PUMP_SPEED,
    REACTIVE_POWER,
    TEMPERATURE,
    TEMPERATURE_SETPOINT,
    UNIT_ALARM,
    UNIT_STATE,
    UPTIME,
    VOLTAGE,
    Metric,
)
from keeld.model import Device
from keeld.simulate.cooling import AIR_RETURN_SETPOINT_CELSIUS, COOLANT_SETPOINT_CELSIUS, AirZone, LiquidLoop
from keeld.simulate.electrical import line_currents, neutral_current
from keeld.simulate.lines import Lines
from keeld.simulate.plant import Plant

Quantities = dict[tuple[str, str], float]
"""(metric name, part) to its value."""

_PHASES = ("L1", "L2", "L3")
_PAIRS = ("L1-L2", "L2-L3", "L3-L1")
_FULL_FAN_RPM = 3200.0
_FULL_PUMP_RPM = 4800.0
_PUMPS = 4
_FANS = 2
_EXCHANGER_WATTS = 240.0


def measure(plant: Plant, device: Device) -> Quantities:
    """Give everything the model knows of what `device` looks at."""
    if device.kind == "cooling":
        return _measure_cooling(plant, device)
    if device.measures:
        found: Quantities = {}
        for part, node in device.measures:
            found |= _electrical(plant, [plant.nodes[node]], prefix=part)
            rating = plant.site.power[node].breaker_amperes
            if rating is not None:
                found[BREAKER_RATING.name, part] = rating
        return found | _electrical(plant, list(plant.watched(device)))
    return _electrical(plant, list(plant.watched(device)))


def _electrical(plant: Plant, watched: list[Lines], *, prefix: str = "") -> Quantities:
    if not watched:
        return {}
    first = watched[0]
    volts = max(each.phase_volts for each in watched) * plant.grid_factor
    lines = [sum((each.shown[index] for each in watched), 0j) for index in range(3)]
    energy = sum(each.energy_watt_hours for each in watched)
    found = _Found(prefix)
    phases = _PHASES[: first.phases] if first.phases > 1 else ("L1",)
    currents = line_currents(lines, volts)
    for index, phase in enumerate(phases):
        found.power(phase, lines[index])
        found.put(VOLTAGE, phase, volts)
        found.put(CURRENT, phase, currents[index])
        found.put(ENERGY, phase, energy / len(phases))
    if len(phases) > 1:
        found.put(CURRENT, "N", neutral_current(lines, volts))
        for pair in _PAIRS:
            found.put(VOLTAGE, pair, volts * math.sqrt(3))
        mean = sum(currents) / 3
        found.put(CURRENT_UNBALANCE, "", max(abs(each - mean) for each in currents) / mean if mean > 0 else 0.0)
    found.power("", lines[0] + lines[1] + lines[2])
    found.put(VOLTAGE, "", volts * math.sqrt(3) if len(phases) > 1 else volts)
    found.put(CURRENT, "", sum(currents[: len(phases)]))
    found.put(FREQUENCY, "", plant.frequency_hertz if volts else 0.0)
    found.put(ENERGY, "", energy)
    found.put(FEED, "", 1.0 if volts else 0.0)
    found.put(BREAKER, "", 1.0)
    found.put(UPTIME, "", min(first.live_s, 1e6 + plant.time_s))
    return found.values


def _measure_cooling(plant: Plant, device: Device) -> Quantities:
    zone, loop = plant.zones.get(device.node or ""), plant.loops.get(device.node or "")
    if zone is not None:
        return _air(zone)
    return _liquid(loop) if loop is not None else {}


def _air(zone: AirZone) -> Quantities:
    found = _Found()
    duty = min(1.0, 0.3 + 0.7 * zone.output_watts / zone.capacity_watts)
    running = zone.failed_share < 1
    found.put(TEMPERATURE, "", zone.return_celsius)
    found.put(TEMPERATURE, "supply", zone.supply_celsius)
    found.put(TEMPERATURE, "return", zone.return_celsius)
    found.put(TEMPERATURE, "intake", zone.intake_celsius)
    found.put(TEMPERATURE_SETPOINT, "", AIR_RETURN_SETPOINT_CELSIUS)
    found.put(TEMPERATURE_SETPOINT, "return", AIR_RETURN_SETPOINT_CELSIUS)
    found.put(TEMPERATURE_SETPOINT, "supply", AIR_RETURN_SETPOINT_CELSIUS - 8)
    found.put(COOLING_OUTPUT, "", zone.output_watts)
    found.put(COOLING_DEMAND, "", zone.demand_watts)
    found.put(COOLING_CAPACITY, "", zone.available_watts)
    found.put(HUMIDITY, "", 0.45)
    found.put(HUMIDITY, "return", 0.45)
    found.put(FAN_DUTY, "", duty if running else 0.0)
    found.fans(duty * _FULL_FAN_RPM if running else 0.0)
    found.put(UNIT_STATE, "", 1.0 if running else 3.0)
    found.put(UNIT_ALARM, "", 0.0 if zone.failed_share == 0 else 3.0)
    found.put(LEAK, "", 0.0)
    return found.values


def _liquid(loop: LiquidLoop) -> Quantities:
    found = _Found()
    share = 1 - loop.lost_flow_share
    found.put(FLOW, "", loop.flow_litres_per_minute)
    found.put(TEMPERATURE, "", loop.supply_celsius)
    found.put(TEMPERATURE, "supply", loop.supply_celsius)
    found.put(TEMPERATURE, "return", loop.return_celsius)
    found.put(TEMPERATURE, "intake", 26.0)
    found.put(TEMPERATURE, "exhaust", 26.0 + 10 * loop.output_watts / loop.capacity_watts)
    found.put(TEMPERATURE_SETPOINT, "", COOLANT_SETPOINT_CELSIUS)
    found.put(PRESSURE, "supply", 110e3 + 90e3 * share * share)
    found.put(PRESSURE, "return", 105e3)
    found.put(PRESSURE, "", 110e3 + 90e3 * share * share)
    pump_watts = 350 + 1200 * share**3
    found.put(POWER, "", pump_watts + _EXCHANGER_WATTS)
    found.put(POWER, "rpu", pump_watts)
    found.put(POWER, "hex", _EXCHANGER_WATTS)
    for part in ("", "rpu", "hex"):
        found.put(VOLTAGE, part, 48.0)
    found.put(COOLING_OUTPUT, "", loop.output_watts)
    found.put(COOLING_CAPACITY, "", loop.capacity_watts)
    found.put(PUMP_DUTY, "", 0.6 * share)
    for number in range(1, _PUMPS + 1):
        found.put(PUMP_SPEED, f"pump/{number}", 0.6 * _FULL_PUMP_RPM * share)
        found.put(PUMP, f"pump/{number}", 1.0 if share > 0 else 0.0)
    found.put(PUMP, "", 1.0 if share > 0 else 0.0)
    for part in ("", "hex"):
        found.put(FAN_DUTY, part, 0.5)
    found.fans(0.5 * _FULL_FAN_RPM)
    found.put(LEAK, "", 0.0)
    found.put(UNIT_STATE, "", 1.0)
    found.put(UNIT_ALARM, "", 0.0 if share == 1 else 3.0)
    return found.values


class _Found:
    """Collects values under one prefix: `branch/3` turns part `L1` into `branch/3/L1`."""

    def __init__(self, prefix: str = "") -> None:
        self.values: Quantities = {}
        self._prefix = prefix

    def put(self, metric: Metric, part: str, value: float) -> None:
        self.values[metric.name, "/".join(filter(None, (self._prefix, part)))] = value

    def power(self, part: str, power: complex) -> None:
        self.put(POWER, part, power.real)
        self.put(REACTIVE_POWER, part, power.imag)
        self.put(APPARENT_POWER, part, abs(power))
        self.put(POWER_FACTOR, part, power.real / abs(power) if power else 1.0)

    def fans(self, rpm: float) -> None:
        for number in range(1, _FANS + 1):
            self.put(FAN_SPEED, f"fan/{number}", rpm)


def of_metrics(quantities: Quantities, metrics: Iterable[str]) -> Quantities:
    """Keep the quantities of some metrics; of all of them where none is named."""
    wanted = frozenset(metrics)
    return {key: value for key, value in quantities.items() if not wanted or key[0] in wanted}

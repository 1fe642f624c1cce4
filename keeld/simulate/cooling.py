"""Air and coolant that follow heat and flow: one zone of air units, one liquid loop.

Both are first-order: heat that is not carried away stays in the zone's or the loop's mass and warms it.
"""

from __future__ import annotations

from dataclasses import dataclass

AIR_RETURN_SETPOINT_CELSIUS = 28.0
AIR_DESIGN_RISE_KELVIN = 12.0
_AIR_BAND_KELVIN = 8.0
"""Return air this far over its setpoint asks for all the capacity there is."""
_AIR_MASS_SECONDS = 15.0
"""Heat capacity of a zone, J/K for each W of capacity: air and what the air touches."""
_AIR_RESPONSE_SECONDS = 15.0
_LEAST_FAN_SHARE = 0.4
_RECIRCULATION = 0.1
"""Share of hot air that finds its way back to the intakes."""

COOLANT_SETPOINT_CELSIUS = 30.0
COOLANT_DESIGN_RISE_KELVIN = 10.0
COOLANT_WATTS_PER_LITRE_MINUTE_KELVIN = 70.04
"""PG25 at 40 °C: 1020 kg/m3 x 4120 J/(kg K) / 60000."""
_LOOP_SECONDS = 12.0
_FACILITY_WATER_CELSIUS = 18.0


@dataclass(slots=True)
class AirZone:
    """A row's or a hall's air units, taken together."""

    capacity_watts: float
    failed_share: float = 0.0
    return_celsius: float = AIR_RETURN_SETPOINT_CELSIUS + 3
    output_watts: float = 0.0
    heat_watts: float = 0.0

    @property
    def available_watts(self) -> float:
        """What the units that still run can remove."""
        return self.capacity_watts * (1 - self.failed_share)

    @property
    def demand_watts(self) -> float:
        """What the controller asks for, from the return air's distance to its setpoint."""
        return max(0.0, (self.return_celsius - AIR_RETURN_SETPOINT_CELSIUS) / _AIR_BAND_KELVIN * self.capacity_watts)

    @property
    def supply_celsius(self) -> float:
        """Air that leaves the units; it is no colder than what came back once none of them runs."""
        fan_share = max(_LEAST_FAN_SHARE, self.output_watts / self.capacity_watts)
        flow_watts_per_kelvin = fan_share * self.capacity_watts / AIR_DESIGN_RISE_KELVIN
        return self.return_celsius - self.output_watts / flow_watts_per_kelvin

    @property
    def intake_celsius(self) -> float:
        """Air at the racks' fronts."""
        return self.supply_celsius + _RECIRCULATION * (self.return_celsius - self.supply_celsius)

    def settle(self, heat_watts: float) -> None:
        """Put the zone where it would be after hours of this heat."""
        self.heat_watts = heat_watts
        self.output_watts = min(heat_watts, self.available_watts)
        self.return_celsius = AIR_RETURN_SETPOINT_CELSIUS + _AIR_BAND_KELVIN * self.output_watts / self.capacity_watts

    def step(self, heat_watts: float, dt_s: float) -> None:
        """Let `heat_watts` flow in for `dt_s`."""
        self.heat_watts = heat_watts
        wanted = min(self.demand_watts, self.available_watts)
        self.output_watts += (wanted - self.output_watts) * min(1.0, dt_s / _AIR_RESPONSE_SECONDS)
        self.output_watts = min(self.output_watts, self.available_watts)
        kept_watts = heat_watts - self.output_watts
        self.return_celsius += kept_watts * dt_s / (self.capacity_watts * _AIR_MASS_SECONDS)


@dataclass(slots=True)
class LiquidLoop:
    """A coolant distribution unit and its loop."""

    capacity_watts: float
    lost_flow_share: float = 0.0
    supply_celsius: float = COOLANT_SETPOINT_CELSIUS
    return_celsius: float = COOLANT_SETPOINT_CELSIUS + 5
    heat_watts: float = 0.0

    @property
    def design_flow_litres_per_minute(self) -> float:
        """Flow that carries the capacity at the design rise."""
        return self.capacity_watts / (COOLANT_WATTS_PER_LITRE_MINUTE_KELVIN * COOLANT_DESIGN_RISE_KELVIN)

    @property
    def flow_litres_per_minute(self) -> float:
        """Flow now."""
        return self.design_flow_litres_per_minute * (1 - self.lost_flow_share)

    @property
    def grip(self) -> float:
        """Share of a cold plate's heat that the flow still takes: all of it down to half flow, then less."""
        return min(1.0, 2 * (1 - self.lost_flow_share))

    @property
    def output_watts(self) -> float:
        """Heat the flow carries now."""
        rise = self.return_celsius - self.supply_celsius
        return self.flow_litres_per_minute * COOLANT_WATTS_PER_LITRE_MINUTE_KELVIN * rise

    def settle(self, heat_watts: float) -> None:
        """Put the loop where it would be after hours of this heat."""
        self.heat_watts = heat_watts
        self.supply_celsius = self._supply_target_celsius()
        self.return_celsius = self.supply_celsius + self._rise_kelvin()

    def step(self, heat_watts: float, dt_s: float) -> None:
        """Let `heat_watts` flow in for `dt_s`."""
        self.heat_watts = heat_watts
        share = min(1.0, dt_s / _LOOP_SECONDS)
        self.supply_celsius += (self._supply_target_celsius() - self.supply_celsius) * share
        self.return_celsius += (self.supply_celsius + self._rise_kelvin() - self.return_celsius) * share

    def _supply_target_celsius(self) -> float:
        exchanger_kelvin = 10.0 * self.heat_watts / self.capacity_watts
        return max(COOLANT_SETPOINT_CELSIUS, _FACILITY_WATER_CELSIUS + exchanger_kelvin)

    def _rise_kelvin(self) -> float:
        carried = max(self.flow_litres_per_minute, 0.01 * self.design_flow_litres_per_minute)
        return min(60.0, self.heat_watts / (carried * COOLANT_WATTS_PER_LITRE_MINUTE_KELVIN))

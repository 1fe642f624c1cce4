"""The names of the rules that ship, and for those with one limit of their own its unit and which side is bad."""

from __future__ import annotations

from typing import NamedTuple


class Limit(NamedTuple):
    """A rule's limit: `ratio` (of a rating or a normal) or `k`, and whether the bad side is above it."""

    unit: str
    is_ceiling: bool = True


_CEILING = Limit("ratio")
_FLOOR = Limit("ratio", is_ceiling=False)

SELECTABLE = (
    "rack", "row", "class", "state", "tenant", "device", "node", "under", "feed", "cooling", "switch", "kind", "id",
)  # fmt: skip
"""What a rule may be selected by, as `keeld.alerts.selector` knows it."""

RULES: dict[str, Limit | None] = {
    "breaker_overload": _CEILING,
    "breaker_severe": _CEILING,
    "continuous_over": _CEILING,
    "redundancy_lost_load": _CEILING,
    "redundancy_will_trip": _CEILING,
    "redundancy_peak": _CEILING,
    "feed_dead": None,
    "psu_survivability": None,
    "single_corded_on_ha": None,
    "phase_unbalance": _CEILING,
    "neutral_current": _CEILING,
    "kva_over": _CEILING,
    "rack_density_power": _CEILING,
    "rack_density_air": _CEILING,
    "rack_density_liquid": _CEILING,
    "zone_cooling_n1": _CEILING,
    "inlet_high": None,
    "inlet_rate": Limit("k"),
    "dew_margin": Limit("k", is_ceiling=False),
    "tcs_supply_dev": Limit("k"),
    "flow_low": _FLOOR,
    "cdu_pump_lost": None,
    "leak": None,
    "loop_pressure": _FLOOR,
    "approach_rise": Limit("k"),
    "site_cap": _CEILING,
    "demand_projected": _CEILING,
    "curtail_noncompliance": None,
    "forecast_breach": None,
    "possible_breach": None,
    "blind": None,
    "source_stale": None,
    "sensor_suspect": None,
    "meter_mismatch": _CEILING,
    "pdu_alarm_passthrough": None,
    "keeld_delivery": None,
    "keeld_heartbeat": None,
    "alarm_quality": None,
    "breaker_tripped": None,
    "row_stopped": None,
    "hashrate_low": _FLOOR,
    "pool_lost": _CEILING,
    "gpu_missing": None,
    "xid": None,
    "gpu_braked": None,
    "source_changed": None,
    "cooling_unit_fault": None,
    "voltage_band": _CEILING,
    "redundancy_not_restored": None,
    "unexpected_load": None,
    "identity_changed": None,
    "keeld_host": None,
    "smoke": None,
    "epo": None,
    "door": None,
}

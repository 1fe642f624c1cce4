"""Rules about what keeld cannot see, or does not believe."""

from __future__ import annotations

from dataclasses import replace

from keeld.alerts.rules import (
    AI,
    BLINDS_RACK,
    BLINDS_SITE,
    FIVE_MINUTES_S,
    MINING,
    MINUTE_S,
    PLANT,
    QUARTER_HOUR_S,
    Rule,
    level,
)
from keeld.model import Severity

BLIND = Rule(
    number=31,
    name="blind",
    title="is not observed",
    levels={
        AI: (level(Severity.CRITICAL, 0.5, 3 * MINUTE_S),),
        MINING: (level(Severity.WARNING, 0.5, FIVE_MINUTES_S),),
    },
    off_s=60.0,
    base=0.5,
    inhibits=frozenset(
        {
            "rack_density_power",
            "rack_density_air",
            "rack_density_liquid",
            "zone_cooling_n1",
            "forecast_breach",
            "possible_breach",
            "source_stale",
        }
    ),
    inhibits_early=True,
    advice="Limits here are not being checked. Restore the meters or the network to them.",
)

SITE_BLIND = replace(BLIND, levels={MINING: (level(Severity.CRITICAL, 0.5, QUARTER_HOUR_S),)})
"""Rule 31 for all of a site's mining racks together."""
SOURCE_STALE = Rule(
    number=32,
    name="source_stale",
    title="does not answer",
    levels={
        PLANT: (level(Severity.INFO, 0.5, 0.0), level(Severity.WARNING, 0.5, QUARTER_HOUR_S)),
        MINING: (level(Severity.WARNING, 0.5, FIVE_MINUTES_S),),
    },
    off_s=30.0,
    base=0.5,
    advice="Check its power, its network port and its address; of accelerators the driver on their host.",
)

PATH_DOWN = replace(
    SOURCE_STALE,
    title="silent",
    levels={
        PLANT: (
            level(Severity.WARNING, 0.5, 20.0),
            level(Severity.CRITICAL, 0.5, 3 * MINUTE_S, needs=BLINDS_RACK),
            level(Severity.CRITICAL, 0.5, QUARTER_HOUR_S, needs=BLINDS_SITE),
        )
    },
    inhibits=frozenset({"source_stale", "blind", "row_stopped", "hashrate_low"}),
    inhibits_early=True,
    advice="Check the gateway or switch itself: its power, its uplink, its address.",
)
"""Rule 32 for what several devices are reached through: one cause, one page."""

SENSOR_SUSPECT = Rule(
    number=33,
    name="sensor_suspect",
    title="shows what cannot be believed",
    levels={PLANT: (level(Severity.INFO, 0.5, QUARTER_HOUR_S),)},
    off_s=30 * MINUTE_S,
    base=0.5,
    grouped=True,
    advice="Check its wiring, its scale and its firmware; until then its limits are judged on wider bounds.",
)

METER_MISMATCH = Rule(
    number=34,
    name="meter_mismatch",
    title="and its machines disagree",
    levels={AI: (level(Severity.INFO, 1.0, QUARTER_HOUR_S),)},
    off_s=30 * MINUTE_S,
    advice="Look for machines that are not in the configuration, or on another rack's feed, and for a wrong scale.",
)
"""In tolerances: the meter's error, the machines' and the losses' spread together."""

RULES: tuple[Rule, ...] = (BLIND, SOURCE_STALE, SENSOR_SUSPECT, METER_MISMATCH)

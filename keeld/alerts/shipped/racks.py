"""Rules about a rack's budgets."""

from __future__ import annotations

from keeld.alerts.rules import (
    AI,
    FIVE_MINUTES_S,
    HOUR_S,
    INLET_OR_ZONE,
    MEASURED,
    MINING,
    PHASE_OVER_DERATE,
    PLANT,
    QUARTER_HOUR_S,
    Rule,
    level,
)
from keeld.model import Severity

RACK_DENSITY_POWER = Rule(
    number=13,
    name="rack_density_power",
    title="over its power budget",
    levels={
        AI: (
            level(Severity.WARNING, 0.9, FIVE_MINUTES_S, FIVE_MINUTES_S),
            level(Severity.CRITICAL, 1.0, FIVE_MINUTES_S, FIVE_MINUTES_S),
        ),
        MINING: (
            level(Severity.WARNING, 1.0, FIVE_MINUTES_S, FIVE_MINUTES_S),
            level(Severity.CRITICAL, 1.0, FIVE_MINUTES_S, FIVE_MINUTES_S, PHASE_OVER_DERATE),
            level(Severity.CRITICAL, 1.05, QUARTER_HOUR_S, FIVE_MINUTES_S),
        ),
    },
    off_s=QUARTER_HOUR_S,
    deadband=0.03,
    advice="Lower the load of this rack, or raise its budget if its feeds and cooling allow it.",
)

RACK_DENSITY_AIR = Rule(
    number=14,
    name="rack_density_air",
    title="over its air-cooling budget",
    levels={
        AI: (
            level(Severity.WARNING, 0.9, FIVE_MINUTES_S, FIVE_MINUTES_S),
            level(Severity.CRITICAL, 1.0, FIVE_MINUTES_S, FIVE_MINUTES_S, INLET_OR_ZONE),
            level(Severity.CRITICAL, 1.15, QUARTER_HOUR_S, FIVE_MINUTES_S, MEASURED),
        )
    },
    off_s=QUARTER_HOUR_S,
    deadband=0.03,
    advice="Lower the load or check coolant flow: less heat taken by liquid means more for the air.",
)

FORECAST_BREACH = Rule(
    number=29,
    name="forecast_breach",
    title="is on the way to a limit",
    levels={
        PLANT: (
            level(Severity.INFO, 240.0, QUARTER_HOUR_S),
            level(Severity.WARNING, 60.0, QUARTER_HOUR_S),
        )
    },
    off_s=HOUR_S,
    base=240.0,
    is_floor=True,
    enabled=False,
    advice="Find out what makes it climb while there is time; nothing is exceeded yet.",
)
"""In minutes until the limit. A ranking on the page says the same without a message."""

RULES: tuple[Rule, ...] = (RACK_DENSITY_POWER, RACK_DENSITY_AIR, FORECAST_BREACH)

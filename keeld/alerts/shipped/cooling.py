"""Rules about cooling: racks on liquid, zones, loops, intakes, leaks.

Where a limit depends on the place (a class, a minimum, a set-point), the value that a level is compared with is the
distance past it, and the level's limit is how much of that is too much: mostly nothing.
"""

from __future__ import annotations

from dataclasses import replace

from keeld.alerts.rules import (
    AI,
    FIVE_MINUTES_S,
    HOUR_S,
    LIQUID_HOT,
    MINING,
    MINUTE_S,
    PLANT,
    QUARTER_HOUR_S,
    Rule,
    level,
)
from keeld.model import Severity

NO_SPARE = "no spare is left"
WARM_SIDE = "warmer than its set-point"
RETURN_RISING = "return warming"
RUNAWAY = "critical within ten minutes by two sensors, or by one and a cooling fault"
TRAY = "a tank's drip tray"
ROPE = "not a tank's drip tray"

_LIQUID_LEVELS = (
    level(Severity.WARNING, 1.0, FIVE_MINUTES_S, FIVE_MINUTES_S),
    level(Severity.CRITICAL, 1.0, FIVE_MINUTES_S, FIVE_MINUTES_S, LIQUID_HOT),
    level(Severity.CRITICAL, 1.1, FIVE_MINUTES_S, FIVE_MINUTES_S),
)

RACK_DENSITY_LIQUID = Rule(
    number=15,
    name="rack_density_liquid",
    title="over its liquid-cooling budget",
    levels={AI: _LIQUID_LEVELS, MINING: _LIQUID_LEVELS},
    off_s=QUARTER_HOUR_S,
    deadband=0.03,
    advice="Lower the load of this rack, or give it more flow if the loop has it.",
)

ZONE_COOLING = Rule(
    number=16,
    name="zone_cooling_n1",
    title="has more heat than cooling",
    levels={
        AI: (
            level(Severity.WARNING, 1.0, 2 * FIVE_MINUTES_S, FIVE_MINUTES_S),
            level(Severity.CRITICAL, 1.0, MINUTE_S, FIVE_MINUTES_S, NO_SPARE),
        )
    },
    off_s=2 * QUARTER_HOUR_S,
    deadband=0.03,
    inhibits=frozenset({"rack_density_air", "cooling_unit_fault"}),
    advice="Bring the failed unit back or lower the load of its racks; the next failure is one too many.",
)

INLET_HIGH = Rule(
    number=17,
    name="inlet_high",
    title="intake air too warm",
    levels={
        AI: (
            level(Severity.INFO, 0.0, FIVE_MINUTES_S, MINUTE_S),
            level(Severity.WARNING, 0.0, 2 * MINUTE_S, MINUTE_S),
            level(Severity.CRITICAL, 0.0, 2 * MINUTE_S, MINUTE_S),
        ),
        MINING: (
            level(Severity.WARNING, 0.0, QUARTER_HOUR_S, MINUTE_S),
            level(Severity.CRITICAL, 0.0, QUARTER_HOUR_S, MINUTE_S),
        ),
    },
    off_s=2 * FIVE_MINUTES_S,
    hysteresis=1.0,
    advice="Check the cooling of this place and what lets hot air round to the front; lower the load if it goes on.",
)

INLET_RATE = Rule(
    number=18,
    name="inlet_rate",
    title="intake air warms fast",
    levels={
        AI: (
            level(Severity.WARNING, 20.0 / 60.0, MINUTE_S, QUARTER_HOUR_S),  # 20 K in an hour, over a quarter of one
            level(Severity.WARNING, 1.0, MINUTE_S),
            level(Severity.CRITICAL, 1.0, MINUTE_S, needs=RUNAWAY),
        )
    },
    off_s=FIVE_MINUTES_S,
    deadband=0.5,
    base=1.0,
    advice="Cooling is failing here: check fans, pumps and units now, and be ready to lower the load.",
)

DEW_MARGIN = Rule(
    number=19,
    name="dew_margin",
    title="coolant near the dew point",
    levels={
        AI: (
            level(Severity.WARNING, 2.0, FIVE_MINUTES_S, FIVE_MINUTES_S),
            level(Severity.CRITICAL, 0.5, FIVE_MINUTES_S, MINUTE_S),
        )
    },
    off_s=2 * FIVE_MINUTES_S,
    hysteresis=0.5,
    is_floor=True,
    base=2.0,
    advice="Raise the supply set-point or dry the air; water will form on cold pipes and plates.",
)

TCS_SUPPLY_DEV = Rule(
    number=20,
    name="tcs_supply_dev",
    title="supply off its set-point",
    levels={
        PLANT: (
            level(Severity.WARNING, 2.0, 2 * MINUTE_S, MINUTE_S),
            level(Severity.CRITICAL, 5.0, 2 * MINUTE_S, MINUTE_S, WARM_SIDE),
        )
    },
    off_s=2 * FIVE_MINUTES_S,
    hysteresis=1.0,
    base=2.0,
    advice="Check the facility water, the control valve and the pumps of this unit.",
)

FLOW_LOW = Rule(
    number=21,
    name="flow_low",
    title="coolant flow too low",
    levels={
        PLANT: (
            level(Severity.WARNING, 0.9, 100.0),
            level(Severity.CRITICAL, 0.9, 100.0, needs=RETURN_RISING),
            level(Severity.CRITICAL, 0.5, 10.0),
            level(Severity.CRITICAL, 1.0, 10.0),
        )
    },
    off_s=MINUTE_S,
    deadband=0.05,
    is_floor=True,
    base=0.9,
    inhibits=frozenset({"cdu_pump_lost", "rack_density_liquid", "tcs_supply_dev"}),
    inhibits_early=True,
    advice="Check pumps, valves and filters now; without flow these racks overheat within a minute or two.",
)
"""Levels: of the flow that the heat needs (twice), of its own median (collapse), of the maker's minimum."""

PUMP_LOST = Rule(
    number=22,
    name="cdu_pump_lost",
    title="pumps lost",
    levels={PLANT: (level(Severity.WARNING, 0.5, 20.0), level(Severity.CRITICAL, 0.5, 20.0))},
    off_s=MINUTE_S,
    base=0.5,
    advice="Repair the pump; check that the standby pump has taken over and the flow holds.",
)

LEAK = Rule(
    number=23,
    name="leak",
    title="leak",
    levels={PLANT: (level(Severity.WARNING, 0.5, 0.0, needs=TRAY), level(Severity.CRITICAL, 0.5, 0.0, needs=ROPE))},
    off_s=MINUTE_S,
    base=0.5,
    is_latched=True,
    advice="Look for water now; close this alarm by hand once the place is dry and the cause is found.",
)

LEAK_SENSOR = replace(
    LEAK,
    title="leak sensor faulty",
    levels={PLANT: (level(Severity.WARNING, 0.5, MINUTE_S),)},
    is_latched=False,
    advice="Repair the rope or its wiring; until then a leak here goes unseen.",
)
"""Rule 23 for a sensor's own fault: it ends with the fault."""

LOOP_PRESSURE = Rule(
    number=24,
    name="loop_pressure",
    title="loop pressure too low",
    levels={PLANT: (level(Severity.WARNING, 1.0, 30.0), level(Severity.CRITICAL, 0.8, 10.0))},
    off_s=FIVE_MINUTES_S,
    deadband=0.02,
    is_floor=True,
    advice="Look for a leak, then refill the loop; a falling pressure is coolant that went somewhere.",
)
"""Levels: of the maker's minimum, of what it was a minute ago."""

APPROACH_RISE = Rule(
    number=25,
    name="approach_rise",
    title="heat exchanger fouling",
    levels={AI: (level(Severity.INFO, 2.0, 24 * HOUR_S, HOUR_S),)},
    off_s=HOUR_S,
    hysteresis=0.5,
    base=2.0,
    advice="Plan to clean the heat exchanger or its filter.",
)

COOLING_UNIT_FAULT = Rule(
    number=46,
    name="cooling_unit_fault",
    title="cooling unit reports a fault",
    levels={PLANT: (level(Severity.WARNING, 0.5, 20.0), level(Severity.CRITICAL, 0.5, 20.0, needs=NO_SPARE))},
    off_s=FIVE_MINUTES_S,
    base=0.5,
    advice="Read the unit's own alarm list; bring it back before the next one fails.",
)

RULES: tuple[Rule, ...] = (
    RACK_DENSITY_LIQUID,
    ZONE_COOLING,
    INLET_HIGH,
    INLET_RATE,
    DEW_MARGIN,
    TCS_SUPPLY_DEV,
    FLOW_LOW,
    PUMP_LOST,
    LEAK,
    LOOP_PRESSURE,
    APPROACH_RISE,
    COOLING_UNIT_FAULT,
)

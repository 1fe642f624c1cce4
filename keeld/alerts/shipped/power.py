"""Rules about circuits: what flows through a breaker."""

from __future__ import annotations

from keeld.alerts.rules import (
    AI,
    FIVE_MINUTES_S,
    GIVES_UP_FAST,
    HEATS_SLOWLY,
    HOUR_S,
    MEASURED,
    MINING,
    PLANT,
    QUARTER_HOUR_S,
    UNBALANCE_COUNTS,
    Rule,
    level,
)
from keeld.budgets.window import SLOT_S
from keeld.model import Severity

BREAKER_OVERLOAD = Rule(
    number=1,
    name="breaker_overload",
    title="over its breaker's rating",
    levels={
        PLANT: (
            level(Severity.WARNING, 1.00, 60.0),
            level(Severity.CRITICAL, 1.02, 60.0),  # between 100 and 102 % a meter's own class could be the excess
            level(Severity.CRITICAL, 1.10, 20.0),
        )
    },
    off_s=FIVE_MINUTES_S,
    deadband=0.01,
    inhibits=frozenset({"continuous_over", "rack_density_power"}),
    advice="Shed or move load from this circuit now; the breaker may trip.",
)

CONTINUOUS_OVER = Rule(
    number=3,
    name="continuous_over",
    title="over its continuous limit",
    levels={
        PLANT: (
            level(Severity.INFO, 1.0, FIVE_MINUTES_S, FIVE_MINUTES_S),
            level(Severity.WARNING, 1.0, 0.0, 3 * HOUR_S),
        )
    },
    off_s=QUARTER_HOUR_S,
    deadband=0.03,
    grouped=True,
    advice="Plan to move load; the breaker does not trip at this load, but is not listed to carry it for hours.",
)

BREAKER_SEVERE = Rule(
    number=2,
    name="breaker_severe",
    title="far over its breaker's rating",
    levels={PLANT: (level(Severity.CRITICAL, 1.25, 0.0),)},
    off_s=60.0,
    base=1.25,
    deadband=0.24,
    inhibits=frozenset({"continuous_over", "rack_density_power"}),
    advice="Shed load from this circuit at once; a breaker must trip at this load within minutes.",
)

PHASE_UNBALANCE = Rule(
    number=10,
    name="phase_unbalance",
    title="carries its phases unevenly",
    levels={
        PLANT: (
            level(Severity.INFO, 0.15, QUARTER_HOUR_S, FIVE_MINUTES_S),
            level(Severity.WARNING, 0.15, QUARTER_HOUR_S, FIVE_MINUTES_S, UNBALANCE_COUNTS),
        )
    },
    off_s=2 * QUARTER_HOUR_S,
    base=0.15,
    hysteresis=0.03,
    advice="Move single-phase loads from the hot phase to the cold one: the hot one binds before the others are used.",
)

NEUTRAL_CURRENT = Rule(
    number=11,
    name="neutral_current",
    title="near its neutral's rating",
    levels={
        MINING: (
            level(Severity.INFO, 0.8, FIVE_MINUTES_S, FIVE_MINUTES_S),
            level(Severity.WARNING, 0.8, FIVE_MINUTES_S, FIVE_MINUTES_S, MEASURED),
        )
    },
    off_s=FIVE_MINUTES_S,
    base=0.8,
    deadband=0.0625,
    advice="No breaker guards the neutral: balance the phases, and look for loads with strong third harmonics.",
)

KVA_OVER = Rule(
    number=12,
    name="kva_over",
    title="over its kVA rating",
    levels={
        PLANT: (
            level(Severity.WARNING, 1.0, 0.0, QUARTER_HOUR_S, HEATS_SLOWLY),
            level(Severity.CRITICAL, 1.1, 2 * QUARTER_HOUR_S, SLOT_S, HEATS_SLOWLY),
            level(Severity.CRITICAL, 1.0, 60.0, SLOT_S, GIVES_UP_FAST),
            level(Severity.CRITICAL, 1.1, SLOT_S, SLOT_S, GIVES_UP_FAST),
        )
    },
    off_s=FIVE_MINUTES_S,
    deadband=0.02,
    advice="Move load to another source; a UPS over its rating goes to bypass, a transformer ages fast.",
)

POSSIBLE_BREACH = Rule(
    number=30,
    name="possible_breach",
    title="may be over its limit",
    levels={AI: (level(Severity.WARNING, 0.5, 2 * QUARTER_HOUR_S),)},
    off_s=60.0,
    base=0.5,
    grouped=True,
    advice="Restore the meter: until then nothing proves that this limit is kept.",
)

BREAKER_TRIPPED = Rule(
    number=39,
    name="breaker_tripped",
    title="has tripped",
    levels={PLANT: (level(Severity.CRITICAL, 0.5, 0.0),)},
    off_s=60.0,
    base=0.5,
    inhibits=frozenset({"feed_dead", "row_stopped", "source_stale", "pdu_alarm_passthrough", "hashrate_low"}),
    advice="Find out why before it is closed again: overload, short circuit, or a hand.",
)

RULES: tuple[Rule, ...] = (
    BREAKER_OVERLOAD,
    BREAKER_SEVERE,
    CONTINUOUS_OVER,
    PHASE_UNBALANCE,
    NEUTRAL_CURRENT,
    KVA_OVER,
    POSSIBLE_BREACH,
    BREAKER_TRIPPED,
)

"""Rules about circuits: what flows through a breaker."""

from __future__ import annotations

from keeld.alerts.rules import FIVE_MINUTES_S, HOUR_S, PLANT, QUARTER_HOUR_S, Rule, level
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

RULES: tuple[Rule, ...] = (BREAKER_OVERLOAD, CONTINUOUS_OVER)

"""Rules about feeds and what is left when one dies."""

from __future__ import annotations

from keeld.alerts.rules import (
    AI,
    FIVE_MINUTES_S,
    MINUTE_S,
    PATH_IMPAIRED,
    QUARTER_HOUR_S,
    THROTTLED,
    Rule,
    level,
)
from keeld.model import Severity

LOST_LOAD = Rule(
    number=4,
    name="redundancy_lost_load",
    title="lacks reserve for a feed's loss",
    levels={AI: (level(Severity.WARNING, 1.0, 10 * MINUTE_S),)},
    off_s=30 * MINUTE_S,
    deadband=0.03,
    grouped=True,
    inhibits=frozenset({"redundancy_peak"}),
    advice="Plan to move load: the survivor holds, but is not listed to carry it for hours.",
)
"""Against the survivor's derated limit, on 5-minute means."""
WILL_TRIP = Rule(
    number=5,
    name="redundancy_will_trip",
    title="would not survive a feed's loss",
    levels={
        AI: (
            level(Severity.WARNING, 1.0, FIVE_MINUTES_S),
            level(Severity.CRITICAL, 1.0, MINUTE_S, needs=PATH_IMPAIRED),
        )
    },
    off_s=QUARTER_HOUR_S,
    deadband=0.05,
    inhibits=frozenset({"redundancy_lost_load", "redundancy_peak"}),
    inhibits_early=True,
    advice="Lower or move load until the survivor can carry it alone.",
)
PEAK = Rule(
    number=6,
    name="redundancy_peak",
    title="lacked reserve at its 24-h peak",
    levels={AI: (level(Severity.INFO, 1.0, 0.0),)},
    off_s=0.0,
    grouped=True,
    advice="Plan with this peak: it was the load that a feed's loss would have met.",
)
"""As rule 4, on the peak that the loads of a failure had together within 24 hours; judged once a day."""

FEED_DEAD = Rule(
    number=7,
    name="feed_dead",
    title="is dead",
    levels={AI: (level(Severity.CRITICAL, 0.5, 5.0),)},
    off_s=60.0,
    base=0.5,
    inhibits=frozenset(
        {
            *("redundancy_lost_load", "redundancy_will_trip", "psu_survivability", "rack_density_power"),
            *("source_stale", "row_stopped", "gpu_braked"),
        }
    ),
    inhibits_early=True,
    advice="Check the upstream breaker; until it is back, the other feed carries everything alone.",
)

SUPPLIES = Rule(
    number=8,
    name="psu_survivability",
    title="is short of power supplies",
    levels={
        AI: (
            level(Severity.WARNING, 0.5, MINUTE_S),
            level(Severity.CRITICAL, 0.5, MINUTE_S, needs=THROTTLED),
        )
    },
    off_s=FIVE_MINUTES_S,
    base=0.5,
    advice="Restore the feed or the supplies: with fewer than it needs the machine slows down or stops.",
)
"""Supplies missing beside those that its design already lacks after the loss of a feed."""
NOT_RESTORED = Rule(
    number=48,
    name="redundancy_not_restored",
    title="is back, but its load is not",
    levels={AI: (level(Severity.WARNING, 0.5, QUARTER_HOUR_S),)},
    off_s=FIVE_MINUTES_S,
    base=0.5,
    advice="Look for cords that are out, outlets that are off and supplies that did not come back.",
)
"""Share that is missing of what the feed should carry."""

RULES: tuple[Rule, ...] = (FEED_DEAD, LOST_LOAD, WILL_TRIP, PEAK, SUPPLIES, NOT_RESTORED)

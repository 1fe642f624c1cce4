"""Rules about feeds and what is left when one dies."""

from __future__ import annotations

from keeld.alerts.rules import AI, Rule, level
from keeld.model import Severity

FEED_DEAD = Rule(
    number=7,
    name="feed_dead",
    title="is dead",
    levels={AI: (level(Severity.CRITICAL, 0.5, 5.0),)},
    off_s=60.0,
    base=0.5,
    inhibits=frozenset(
        {"redundancy_lost_load", "redundancy_will_trip", "psu_survivability", "rack_density_power", "source_stale"}
    ),
    inhibits_early=True,
    advice="Check the upstream breaker; until it is back, the other feed carries everything alone.",
)

RULES: tuple[Rule, ...] = (FEED_DEAD,)

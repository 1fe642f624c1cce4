"""Rules about keeld itself."""

from __future__ import annotations

from keeld.alerts.rules import MINUTE_S, PLANT, QUARTER_HOUR_S, Rule, level
from keeld.model import Severity

SOON = "little time left"
NOBODY_HEARS = "every channel"

KEELD_DELIVERY = Rule(
    number=36,
    name="keeld_delivery",
    title="cannot deliver",
    levels={
        PLANT: (
            level(Severity.WARNING, 0.5, 2 * MINUTE_S),
            level(Severity.CRITICAL, 0.5, 2 * MINUTE_S, needs=SOON),
            level(Severity.CRITICAL, 0.5, 2 * MINUTE_S, needs=NOBODY_HEARS),
        )
    },
    off_s=MINUTE_S,
    base=0.5,
    inhibits=frozenset({"keeld_delivery"}),
    inhibits_early=True,
    advice="Mend the part that is named: the disk, the way to the database, or the channel.",
)
"""A database or a link that is away is no alarm: readings wait on the disk. What matters is when they no longer can."""

KEELD_HEARTBEAT = Rule(
    number=37,
    name="keeld_heartbeat",
    title="heartbeat does not arrive",
    levels={PLANT: (level(Severity.WARNING, 0.5, 2 * MINUTE_S),)},
    off_s=MINUTE_S,
    base=0.5,
    advice="Whoever waits for the heartbeat now takes keeld for dead: check the way to it, and its address.",
)

KEELD_HOST = Rule(
    number=51,
    name="keeld_host",
    title="needs attention",
    levels={
        PLANT: (level(Severity.WARNING, 0.5, MINUTE_S), level(Severity.CRITICAL, 0.5, MINUTE_S, needs=SOON)),
    },
    off_s=QUARTER_HOUR_S,
    base=0.5,
    advice="Mend what is named on the host that keeld runs on.",
)

RULES: tuple[Rule, ...] = (KEELD_DELIVERY, KEELD_HEARTBEAT, KEELD_HOST)

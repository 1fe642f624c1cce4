"""Rules about miners."""

from __future__ import annotations

from keeld.alerts.rules import FIVE_MINUTES_S, MINING, MINUTE_S, QUARTER_HOUR_S, Rule, level
from keeld.model import Severity

ROW_STOPPED = Rule(
    number=40,
    name="row_stopped",
    title="has stopped",
    levels={MINING: (level(Severity.CRITICAL, 0.5, MINUTE_S),)},
    off_s=MINUTE_S,
    deadband=0.4,
    base=0.5,
    grouped=True,
    inhibits=frozenset({"source_stale", "blind", "hashrate_low", "pool_lost"}),
    inhibits_early=True,
    advice="Look at what all of its machines share: breaker, switch, pool.",
)
"""The value is the share of the machines that usually work and do not now."""

HASHRATE_LOW = Rule(
    number=41,
    name="hashrate_low",
    title="hashes less than usual",
    levels={MINING: (level(Severity.WARNING, 0.9, FIVE_MINUTES_S, QUARTER_HOUR_S),)},
    off_s=QUARTER_HOUR_S,
    hysteresis=0.02,
    base=0.9,
    is_floor=True,
    advice="Look at the machines that are named first: boards, fans, heat.",
)
"""The value is a ratio of the row's seven-day normal, for each machine that answers."""

POOL_LOST = Rule(
    number=42,
    name="pool_lost",
    title="gets no shares accepted",
    levels={MINING: (level(Severity.CRITICAL, 0.3, 20.0, FIVE_MINUTES_S),)},
    off_s=MINUTE_S,
    deadband=0.3,
    base=0.3,
    inhibits=frozenset({"hashrate_low"}),
    advice="Check the pool, the name server and the way to the internet; the machines draw power and earn nothing.",
)
"""The value is the share of the site's machines; the window is how long one goes without an accepted share."""

RULES: tuple[Rule, ...] = (ROW_STOPPED, HASHRATE_LOW, POOL_LOST)

"""Rules about the site as a whole: caps, demand, orders, contacts."""

from __future__ import annotations

from keeld.alerts.rules import AI, FIVE_MINUTES_S, MINING, MINUTE_S, PLANT, Rule, level
from keeld.model import Severity

_CAP_LEVELS = (level(Severity.CRITICAL, 1.0, 0.0), level(Severity.CRITICAL, 1.02, 0.0, MINUTE_S))

SITE_CAP = Rule(
    number=26,
    name="site_cap",
    title="over its supply cap",
    levels={MINING: _CAP_LEVELS, AI: (level(Severity.WARNING, 0.95, MINUTE_S, MINUTE_S), *_CAP_LEVELS)},
    off_s=FIVE_MINUTES_S,
    deadband=0.01,
    advice="Shed load now: the connection does not allow this much, and its protection may open.",
)
"""Levels without a window judge the contract's own interval. A mine runs close below its cap on purpose."""

DEMAND_PROJECTED = Rule(
    number=27,
    name="demand_projected",
    title="heads over its demand target",
    levels={PLANT: (level(Severity.WARNING, 1.0, MINUTE_S),)},
    off_s=MINUTE_S,
    deadband=0.01,
    advice="Shed that much until the interval ends, or let the month's peak rise.",
)

CURTAIL_NONCOMPLIANCE = Rule(
    number=28,
    name="curtail_noncompliance",
    title="over its curtailment order",
    levels={PLANT: (level(Severity.CRITICAL, 1.0, 0.0),)},
    off_s=MINUTE_S,
    advice="Shed load now: the order stands, and drawing more than it allows is penalised.",
)

RULES: tuple[Rule, ...] = (SITE_CAP, DEMAND_PROJECTED, CURTAIL_NONCOMPLIANCE)

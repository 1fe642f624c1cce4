"""Rules about contacts: smoke, the emergency power-off, doors."""

from __future__ import annotations

from keeld.alerts.rules import MINUTE_S, PLANT, QUARTER_HOUR_S, Rule, level
from keeld.model import Severity

OWN_FAULT = "its own fault"

SMOKE = Rule(
    number=52,
    name="smoke",
    title="detects smoke",
    levels={PLANT: (level(Severity.WARNING, 0.5, MINUTE_S, needs=OWN_FAULT), level(Severity.CRITICAL, 0.5, 0.0))},
    off_s=MINUTE_S,
    base=0.5,
    advice="Follow the site's fire plan; do not rely on keeld for it.",
)
EPO = Rule(
    number=52,
    name="epo",
    title="emergency power-off is pressed",
    levels={PLANT: (level(Severity.WARNING, 0.5, MINUTE_S, needs=OWN_FAULT), level(Severity.CRITICAL, 0.5, 0.0))},
    off_s=MINUTE_S,
    base=0.5,
    advice="Find out who pressed it and why before anything is switched on again.",
)
DOOR = Rule(
    number=52,
    name="door",
    title="door is open",
    levels={PLANT: (level(Severity.INFO, 0.5, 2 * MINUTE_S), level(Severity.WARNING, 0.5, QUARTER_HOUR_S))},
    off_s=0.0,
    base=0.5,
    advice="Close it: an open door spoils containment, and somebody may be inside.",
)

RULES: tuple[Rule, ...] = (SMOKE, EPO, DOOR)

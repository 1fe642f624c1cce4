"""Rules about the alarms themselves, and about work that was announced."""

from __future__ import annotations

from dataclasses import replace

from keeld.alerts.rules import PLANT, Rule, level
from keeld.model import Severity

ALARM_QUALITY = Rule(
    number=38,
    name="alarm_quality",
    title="tells more than people can follow",
    levels={PLANT: (level(Severity.INFO, 0.5, 0.0),)},
    off_s=0.0,
    base=0.5,
    advice="See which rules tell most with `keeld rules`; raise their limits or delays where nobody has to act.",
)
ALARM_FLOOD = replace(
    ALARM_QUALITY,
    title="flood: the rest waits in this digest",
    levels={PLANT: (level(Severity.WARNING, 0.5, 60.0),)},
    advice="Look for what came first; what is critical is still told by itself.",
)
"""Rule 38 for too many notifications on one route within ten minutes."""
WORK_OVERRUN = Rule(
    number=48,
    name="redundancy_not_restored",
    title="is not over in time",
    levels={PLANT: (level(Severity.WARNING, 0.5, 0.0),)},
    off_s=0.0,
    base=0.5,
    advice="Say that it is over (`keeld maintenance end`) or announce more; in 30 min all that still stands is told.",
)
"""Rule 48 for announced work that has left things out of service at its planned end."""

RULES: tuple[Rule, ...] = (ALARM_QUALITY,)

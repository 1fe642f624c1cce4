"""Rules about what stands where: load where none belongs, and devices that are not who they were."""

from __future__ import annotations

from keeld.alerts.rules import AI, FIVE_MINUTES_S, MINING, MINUTE_S, PLANT, Rule, level
from keeld.model import Severity

NOT_AS_CONFIGURED = "another identity than the configuration names"

UNEXPECTED_LOAD = Rule(
    number=49,
    name="unexpected_load",
    title="draws power and should not",
    levels={
        MINING: (level(Severity.WARNING, 1.0, MINUTE_S, FIVE_MINUTES_S),),
        AI: (level(Severity.INFO, 1.0, MINUTE_S, FIVE_MINUTES_S),),
    },
    off_s=FIVE_MINUTES_S,
    deadband=0.2,
    advice="Find out what runs there, or set the rack's state to what it is now.",
)
IDENTITY_CHANGED = Rule(
    number=50,
    name="identity_changed",
    title="is another device",
    levels={
        PLANT: (level(Severity.INFO, 0.5, 0.0), level(Severity.WARNING, 0.5, 20.0, needs=NOT_AS_CONFIGURED)),
    },
    off_s=MINUTE_S,
    base=0.5,
    advice="If it was replaced, write its new identity; if addresses were mixed up, what is shown here is another's.",
)

RULES: tuple[Rule, ...] = (UNEXPECTED_LOAD, IDENTITY_CHANGED)

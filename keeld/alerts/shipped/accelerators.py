"""Rules about accelerators."""

from __future__ import annotations

from keeld.alerts.rules import AI, FIVE_MINUTES_S, HOUR_S, Rule, level
from keeld.model import Severity

GRAVE_XID = "an error after which the GPU must not be used"
WARNED_XID = "an error that asks for a reset soon"
HARD_BRAKE = "the power brake on two or more GPUs"

XID = Rule(
    number=43,
    name="xid",
    title="reports a GPU error",
    levels={
        AI: (
            level(Severity.INFO, 0.5, 0.0),
            level(Severity.WARNING, 0.5, 0.0, needs=WARNED_XID),
            level(Severity.CRITICAL, 0.5, 0.0, needs=GRAVE_XID),
        )
    },
    off_s=HOUR_S,
    base=0.5,
    inhibits=frozenset({"gpu_missing"}),
    inhibits_early=True,
    advice="Do what is said of this error; a GPU that errs again after its reset needs a replacement.",
)

GPU_MISSING = Rule(
    number=43,
    name="gpu_missing",
    title="has lost GPUs",
    levels={AI: (level(Severity.CRITICAL, 0.5, 10.0),)},
    off_s=60.0,
    base=0.5,
    advice="Drain the node and reboot it; a GPU that stays away needs its seat, its power cable or a replacement. "
    "If it was taken out on purpose, write `gpus:` at the device.",
)

GPU_BRAKED = Rule(
    number=44,
    name="gpu_braked",
    title="is slowed down",
    levels={
        AI: (
            level(Severity.WARNING, 0.5, FIVE_MINUTES_S),
            level(Severity.CRITICAL, 0.5, FIVE_MINUTES_S, needs=HARD_BRAKE),
        )
    },
    off_s=FIVE_MINUTES_S,
    base=0.5,
    advice="Restore the power or the cooling that is named; work on this node runs far below its speed.",
)

RULES: tuple[Rule, ...] = (XID, GPU_MISSING, GPU_BRAKED)

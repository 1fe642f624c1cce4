"""How a failover case looks as JSON: what takes over, what dies, and all of it in words."""

from __future__ import annotations

from keeld.budgets.aftermath import FailoverCase, Survivor
from keeld.web.forms import Form, interval_form

_SURVIVORS_SHOWN = 16
_DEVICES_SHOWN = 100


def failover_form(case: FailoverCase) -> Form:
    """Give one case; of a node's many survivors the worst, and how many there are.

    `day_peak_ratio` is of what the survivors may carry for hours; null where no peak of the last day is known.
    """
    return {
        "target": {"kind": case.target_kind, "id": case.target_id},
        "label": case.label,
        "racks": len(case.racks),
        "survival": case.survival,
        "text": case.text,
        "day_peak_ratio": case.peak_ratio,
        "survivors": [_survivor_form(survivor) for survivor in case.survivors[:_SURVIVORS_SHOWN]],
        "survivors_total": len(case.survivors),
        "dead_watts": interval_form(case.dead),
        "dead_devices": list(case.dead_devices[:_DEVICES_SHOWN]),
        "dead_devices_total": len(case.dead_devices),
        "degraded_devices": list(case.degraded_devices[:_DEVICES_SHOWN]),
        "degraded_devices_total": len(case.degraded_devices),
    }


def _survivor_form(survivor: Survivor) -> Form:
    best = survivor.value.best
    return {
        "node": survivor.node,
        "label": survivor.label,
        "constraint": survivor.constraint,
        "survival": survivor.survival,
        "why": survivor.why,
        "unit": survivor.unit,
        "limit": survivor.limit,
        "derate_ratio": survivor.derate,
        "base": survivor.base,
        "value": interval_form(survivor.value),
        "load_ratio": None if best is None or survivor.limit <= 0 else best / survivor.limit,
    }

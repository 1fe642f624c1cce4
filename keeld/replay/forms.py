"""What a replay says of each move of an alarm: one JSON object for a line."""

from __future__ import annotations

from typing import Any

from keeld.model import Notice, Transition
from keeld.text import rfc3339

_KINDS = {Notice.TRIGGER: "firing", Notice.ESCALATE: "escalated"}
_UNTOLD = "transition"


def notice_kind(move: Transition) -> str:
    """Say what people are told: firing, escalated, resolved, unverifiable, withdrawn; empty where it is nothing new."""
    if move.notice is None:
        return ""
    return move.ended if move.notice is Notice.RESOLVE else _KINDS.get(move.notice, "")


def notification_form(move: Transition) -> dict[str, Any]:
    """Give a notification, as people get it."""
    return {
        "time": rfc3339(move.time_ns),
        "kind": notice_kind(move) or _UNTOLD,
        "rule": move.rule,
        "target": f"{move.target_kind}:{move.target_id}",
        "severity": str(move.severity),
        "title": move.title,
        "cause": move.cause,
        "children": list(move.children),
        "child_count": move.child_count,
        "alert_id": move.alert_id,
    }


def transition_form(move: Transition) -> dict[str, Any]:
    """Give a change of state, told or untold, with the value that made it."""
    return notification_form(move) | {
        "from": str(move.before),
        "to": str(move.after),
        "value": move.best,
        "lo": move.lo,
        "hi": move.hi,
        "limit": move.limit,
        "unit": move.unit,
        "quiet": move.quiet,
        "owner": move.owner,
    }

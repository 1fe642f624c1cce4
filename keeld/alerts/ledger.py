"""What would have been sent, had it not only been observed, and the setting that would have kept it quiet."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from keeld.alerts.alarm import Alarm
from keeld.model import Moment, Severity
from keeld.views import WouldHave

_SECOND_NS = 1_000_000_000
_MOST = 500
_BARELY = 1.25
"""Up to this much over its limit, an alarm is one of a limit that is set too tight."""
_SOON_S = 3600.0
_RATIO_UNITS = frozenset({"W", "VA", "A"})
_KELVIN_UNITS = frozenset({"K", "degC", "°C"})


class Ledger:
    """One entry for each alarm that was held because it is new; the least severe is dropped when there are too many."""

    def __init__(self) -> None:
        self._entries: dict[str, dict[str, Any]] = {}
        self._open: dict[str, int] = {}
        """Key to the begin of the episode that was last counted."""

    def note(self, alarm: Alarm, now: Moment, children: int) -> None:
        """Take note of an alarm that fires and is only observed."""
        entry = self._entries.get(alarm.key)
        if entry is None:
            if len(self._entries) >= _MOST:
                return
            entry = self._entries[alarm.key] = {"count": 0, "longest_s": 0.0, "factor": 0.0, "severity": "info"}
        if self._open.get(alarm.key) != alarm.since_ns:
            self._open[alarm.key] = alarm.since_ns
            entry["count"] += 1
        entry["rule"], entry["title"] = alarm.rule.name, f"{alarm.target.label or alarm.target.id} {alarm.rule.title}"
        entry["target"] = [alarm.target.kind, alarm.target.id]
        entry["cause"] = alarm.evidence.cause
        entry["children"] = max(entry.get("children", 0), children)
        entry["severity"] = max(Severity(entry["severity"]), alarm.severity, key=list(Severity).index)
        entry["longest_s"] = max(entry["longest_s"], (now.wall_ns - alarm.since_ns) / _SECOND_NS)
        entry["factor"] = max(entry["factor"], _factor(alarm))
        entry["unit"], entry["limit"] = alarm.evidence.unit, alarm.levels[0].limit

    def entries(self) -> tuple[WouldHave, ...]:
        """List what would have been sent, the most frequent first."""
        found = [
            WouldHave(
                key=key,
                rule=entry["rule"],
                target_kind=entry["target"][0],
                target_id=entry["target"][1],
                title=entry["title"],
                severity=Severity(entry["severity"]),
                count=entry["count"],
                longest_s=entry["longest_s"],
                cause=entry["cause"],
                children=entry["children"],
                setting=_setting(entry),
            )
            for key, entry in self._entries.items()
        ]
        return tuple(sorted(found, key=lambda entry: -entry.count))

    def dump(self) -> Mapping[str, bytes]:
        """Give what must survive a restart."""
        return {"entries": json.dumps({"entries": self._entries, "open": self._open}).encode()}

    def load(self, notes: Mapping[str, bytes]) -> None:
        """Take back what `dump` gave; what cannot be read is left out."""
        before = self._entries, self._open
        try:
            kept = json.loads(notes.get("entries", b"{}"))
            self._entries, self._open = dict(kept.get("entries", {})), dict(kept.get("open", {}))
            self.entries()
        except (ValueError, TypeError, AttributeError, KeyError, IndexError):
            self._entries, self._open = before


def _factor(alarm: Alarm) -> float:
    """Give how many times its mildest limit an alarm's value is at least; 0 where it compares nothing."""
    span, limit = alarm.evidence.spans[0] if alarm.evidence.spans else None, alarm.levels[0].limit
    if span is None or limit <= 0 or alarm.rule.is_floor or not alarm.evidence.unit:
        return 0.0
    return span.lo / limit


def _setting(entry: Mapping[str, Any]) -> str:
    """Write what to put under `rules` so that this would not have been sent."""
    factor, rule = entry["factor"], entry["rule"]
    unit = "limit_ratio" if entry["unit"] in _RATIO_UNITS else "limit_k" if entry["unit"] in _KELVIN_UNITS else ""
    if unit and 1.0 < factor <= _BARELY:
        return f"{rule}: {{{unit}: {math.ceil(entry['limit'] * factor * 100 + 1) / 100:g}}}"
    if entry["longest_s"] <= _SOON_S:
        return f"{rule}: {{on: {math.ceil(entry['longest_s'] / 60) + 1}m}}"
    return f"{rule}: {{enabled: false}}"

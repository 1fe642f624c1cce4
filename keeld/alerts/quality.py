"""How good the alarms are, measured by keeld itself with the figures of ISA-18.2: how many, in floods, for how long.

Counted is what was told to people, in ten-minute spans of the wall clock, empty ones included; kept for thirty days.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping

from keeld.alerts.alarm import Alarm
from keeld.alerts.flood import FLOOD_BEGINS_ABOVE
from keeld.model import AlertState, Severity
from keeld.views import AlarmQuality

_SECOND_NS = 1_000_000_000
_SPAN_NS = 600 * _SECOND_NS
_DAY_NS = 86_400 * _SECOND_NS
_SPANS_KEPT = 30 * 144
_DAYS_KEPT = 30
_STALE_NS = _DAY_NS
_TOP = 10
_MOST_RULES = 500


class Quality:
    """Counts of what was told, by ten minutes and by day."""

    def __init__(self) -> None:
        self._spans: dict[int, int] = {}
        """Ten minutes of the wall clock to how many were told in it; empty ones are left out."""
        self._days: dict[int, Counter[tuple[str, Severity]]] = {}
        self._chatter: Counter[int] = Counter()
        self._began_ns = 0

    def begin(self, wall_ns: int) -> None:
        """Say since when there is anything to count."""
        self._began_ns = self._began_ns or wall_ns

    def note(self, rule: str, severity: Severity, wall_ns: int) -> None:
        """Count an alarm that people are told of."""
        self.begin(wall_ns)
        span, day = wall_ns // _SPAN_NS, wall_ns // _DAY_NS
        self._spans[span] = self._spans.get(span, 0) + 1
        counts = self._days.setdefault(day, Counter())
        if len(counts) < _MOST_RULES or (rule, severity) in counts:
            counts[rule, severity] += 1
        if len(self._spans) > _SPANS_KEPT or len(self._days) > _DAYS_KEPT:
            self._forget(span, day)

    def note_chatter(self, wall_ns: int) -> None:
        """Count an alarm that began to chatter."""
        self._chatter[wall_ns // _DAY_NS] += 1

    def _forget(self, span: int, day: int) -> None:
        self._spans = {at: count for at, count in self._spans.items() if span - at < _SPANS_KEPT}
        self._days = {at: counts for at, counts in self._days.items() if day - at < _DAYS_KEPT}
        self._chatter = Counter({at: count for at, count in self._chatter.items() if day - at < _DAYS_KEPT})

    def figures(self, alarms: Iterable[Alarm], wall_ns: int, *, days: int) -> AlarmQuality:
        """Give the figures of the last days, or of as much of them as keeld has counted."""
        first_day = wall_ns // _DAY_NS - days + 1
        since_ns = max(self._began_ns or wall_ns, first_day * _DAY_NS)
        spans = max(1, wall_ns // _SPAN_NS - since_ns // _SPAN_NS + 1)
        told = {at: count for at, count in self._spans.items() if at >= since_ns // _SPAN_NS}
        counts: Counter[tuple[str, Severity]] = Counter()
        for day, of_day in self._days.items():
            if day >= first_day:
                counts.update(of_day)
        by_rule: Counter[str] = Counter()
        by_severity: Counter[Severity] = Counter()
        for (rule, severity), count in counts.items():
            by_rule[rule] += count
            by_severity[severity] += count
        total = counts.total()
        return AlarmQuality(
            since_ns=since_ns,
            told=total,
            per_ten_minutes=sum(told.values()) / spans,
            most_in_ten_minutes=max(told.values(), default=0),
            flood_ratio=sum(count > FLOOD_BEGINS_ABOVE for count in told.values()) / spans,
            chattering=sum(count for day, count in self._chatter.items() if day >= first_day),
            stale=sum(_is_stale(alarm, wall_ns) for alarm in alarms),
            by_severity=dict(by_severity),
            by_rule=dict(by_rule),
            top_ratio=sum(count for _, count in by_rule.most_common(_TOP)) / total if total else None,
        )

    def dump(self) -> Mapping[str, bytes]:
        """Give what must survive a restart."""
        days = {day: [[*name, count] for name, count in counts.items()] for day, counts in self._days.items()}
        kept = {"began": self._began_ns, "spans": self._spans, "days": days, "chatter": self._chatter}
        return {"counts": json.dumps(kept, separators=(",", ":")).encode()}

    def load(self, notes: Mapping[str, bytes]) -> None:
        """Take back what `dump` gave; what cannot be read is left out."""
        try:
            kept = json.loads(notes.get("counts", b"{}"))
            spans = {int(at): int(count) for at, count in kept.get("spans", {}).items()}
            days = {
                int(day): Counter({(str(rule), Severity(severity)): int(count) for rule, severity, count in counts})
                for day, counts in kept.get("days", {}).items()
            }
            chatter = Counter({int(day): int(count) for day, count in kept.get("chatter", {}).items()})
            began_ns = int(kept.get("began", 0))
        except (ValueError, TypeError, AttributeError):
            return
        self._spans, self._days, self._chatter, self._began_ns = spans, days, chatter, began_ns


def _is_stale(alarm: Alarm, wall_ns: int) -> bool:
    return alarm.state is AlertState.FIRING and wall_ns - alarm.since_ns > _STALE_NS

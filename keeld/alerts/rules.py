"""What a rule is: data. The rules that ship are in `alerts.shipped`, one file for each field.

A level's limit is in the unit of the values it is compared with: mostly a ratio of the target's budget or rating, else
K, degrees or a count. `needs` names a fact that must hold beside it. A rule lives in sets (mining, ai, plant) with
levels of their own; a rack's set follows from its state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from keeld.model import RuleSettings, Severity

MINING, AI, PLANT = "mining", "ai", "plant"
SET_OF_STATE: Mapping[str, str] = MappingProxyType(
    {"mining": MINING, "emptying": MINING, "empty": MINING, "commissioning": AI, "ai": AI}
)

MINUTE_S = 60.0
FIVE_MINUTES_S = 5 * MINUTE_S
QUARTER_HOUR_S = 15 * MINUTE_S
HOUR_S = 3600.0

MEASURED = "measured"
PHASE_OVER_DERATE = "phase over derate"
INLET_OR_ZONE = "inlet hot or zone at N-1"
LIQUID_HOT = "supply or return over its limit"
UNBALANCE_COUNTS = "a phase over derate, or at a ups or generator"
HEATS_SLOWLY, GIVES_UP_FAST = "a transformer", "a ups or generator"
PATH_IMPAIRED, THROTTLED = "a path impaired", "slowed down"
BLINDS_RACK = "an ai rack unobserved"
BLINDS_SITE = "half of the mine unobserved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One severity of a rule: over `limit` as a mean of `window_s`, for `on_s`."""

    severity: Severity
    limit: float
    on_s: float
    window_s: float = 0.0
    """0 for rules that look at states, or that choose their own span on arrival."""
    needs: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule: what it is called, where it holds and what it holds back."""

    number: int
    name: str
    title: str
    levels: Mapping[str, tuple[Level, ...]]
    """Set to levels, mildest first."""
    off_s: float
    deadband: float = 0.0
    """Share of the limit that the value must fall below it before the alarm clears."""
    hysteresis: float = 0.0
    """Distance of the clear level from the limit in the unit of the value, beside `deadband`."""
    is_floor: bool = False
    """Whether below the limit is the bad side."""
    base: float = 1.0
    """The limit that an operator's `limit` replaces; the levels keep their proportion to it."""
    grouped: bool = False
    """Whether one alarm speaks for all of its group, as one panel's circuits."""
    enabled: bool = True
    inhibits: frozenset[str] = frozenset()
    is_latched: bool = False
    """Whether it fires until somebody closes it, whatever is measured meanwhile."""
    inhibits_early: bool = False
    """Whether it holds others back from PENDING on: its condition is a finding already, its delay only settles it."""
    advice: str = ""
    runbook: str = ""
    route: str = field(default="")

    def is_exceeded(self, lo: float, hi: float, limit: float) -> bool:
        """Whether a value between `lo` and `hi` is certainly on the bad side of a limit."""
        return hi < limit if self.is_floor else lo > limit


def level(severity: Severity, limit: float, on_s: float, window_s: float = 0.0, needs: str = "") -> Level:
    """Make a level as the shipped tables write it."""
    return Level(severity=severity, limit=limit, on_s=on_s, window_s=window_s, needs=needs)


def tuned(rule: Rule, settings: RuleSettings | None) -> Rule:
    """Apply what the operator changed.

    `limit` replaces the rule's base limit, `on` its shortest delay and `window` its shortest window; levels that ship
    in another proportion keep it. `severity` is the worst that the rule may become.
    """
    if settings is None:
        return rule
    return replace(
        rule,
        levels={name: _tuned_levels(levels, rule.base, settings) for name, levels in rule.levels.items()},
        off_s=rule.off_s if settings.off_s is None else settings.off_s,
        deadband=rule.deadband if settings.deadband is None else settings.deadband,
        hysteresis=rule.hysteresis if settings.deadband is None else 0.0,
        enabled=rule.enabled if settings.enabled is None else settings.enabled,
        runbook=settings.runbook,
        route=settings.route,
    )


def _tuned_levels(levels: tuple[Level, ...], base: float, settings: RuleSettings) -> tuple[Level, ...]:
    shortest_on_s = _shortest(level.on_s for level in levels)
    shortest_window_s = _shortest(level.window_s for level in levels)
    worst = levels[-1].severity
    return tuple(
        replace(
            level,
            limit=level.limit if settings.limit is None else level.limit * settings.limit / base,
            on_s=_scaled(level.on_s, shortest_on_s, settings.on_s),
            window_s=_scaled(level.window_s, shortest_window_s, settings.window_s),
            severity=_limited(level.severity, worst, settings.severity),
        )
        for level in levels
    )


def _shortest(spans_s: Iterable[float]) -> float:
    return min((span_s for span_s in spans_s if span_s > 0.0), default=0.0)


def _scaled(span_s: float, shortest_s: float, wanted_s: float | None) -> float:
    """Give a span in its shipped proportion to the shortest one; a span of nothing stays nothing."""
    return span_s if wanted_s is None or span_s == 0.0 else wanted_s * span_s / shortest_s


def _limited(severity: Severity, worst: Severity, wanted: Severity | None) -> Severity:
    if wanted is None:
        return severity
    if severity is worst:
        return wanted
    return min(severity, wanted, key=RANK.__getitem__)


RANK: Mapping[Severity, int] = MappingProxyType({severity: rank for rank, severity in enumerate(Severity)})
"""Severities in order, mildest 0."""

"""The rules as they ship: data, one entry each, after the table of default rules.

A level's limit is a ratio of the target's budget (or rating); `needs` names a fact that must hold beside it. A rule
lives in sets (mining, ai, plant) with levels of their own; a rack's set follows from its state.
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
HOUR_S = 3600.0

MEASURED = "measured"
PHASE_OVER_DERATE = "phase over derate"
INLET_OR_ZONE = "inlet hot or zone at N-1"
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
    base: float = 1.0
    """The limit that an operator's `limit` replaces; the levels keep their proportion to it."""
    grouped: bool = False
    """Whether one alarm speaks for all of its group, as one panel's circuits."""
    enabled: bool = True
    inhibits: frozenset[str] = frozenset()
    inhibits_early: bool = False
    """Whether it holds others back from PENDING on: its condition is a finding already, its delay only settles it."""
    advice: str = ""
    runbook: str = ""
    route: str = field(default="")


def _level(severity: Severity, limit: float, on_s: float, window_s: float = 0.0, needs: str = "") -> Level:
    return Level(severity=severity, limit=limit, on_s=on_s, window_s=window_s, needs=needs)


_INFO, _WARNING, _CRITICAL = Severity.INFO, Severity.WARNING, Severity.CRITICAL
_FIVE = 5 * MINUTE_S
_QUARTER = 15 * MINUTE_S

BREAKER_OVERLOAD = Rule(
    number=1,
    name="breaker_overload",
    title="over its breaker's rating",
    levels={
        PLANT: (
            _level(_WARNING, 1.00, 60.0),
            _level(_CRITICAL, 1.02, 60.0),  # between 100 and 102 % a meter's own class could be the excess
            _level(_CRITICAL, 1.10, 20.0),
        )
    },
    off_s=_FIVE,
    deadband=0.01,
    inhibits=frozenset({"continuous_over", "rack_density_power"}),
    advice="Shed or move load from this circuit now; the breaker may trip.",
)
CONTINUOUS_OVER = Rule(
    number=3,
    name="continuous_over",
    title="over its continuous limit",
    levels={PLANT: (_level(_INFO, 1.0, _FIVE, _FIVE), _level(_WARNING, 1.0, 0.0, 3 * HOUR_S))},
    off_s=_QUARTER,
    deadband=0.03,
    grouped=True,
    advice="Plan to move load; the breaker does not trip at this load, but is not listed to carry it for hours.",
)
FEED_DEAD = Rule(
    number=7,
    name="feed_dead",
    title="is dead",
    levels={AI: (_level(_CRITICAL, 0.5, 5.0),)},
    off_s=60.0,
    base=0.5,
    inhibits=frozenset(
        {"redundancy_lost_load", "redundancy_will_trip", "psu_survivability", "rack_density_power", "source_stale"}
    ),
    inhibits_early=True,
    advice="Check the upstream breaker; until it is back, the other feed carries everything alone.",
)
RACK_DENSITY_POWER = Rule(
    number=13,
    name="rack_density_power",
    title="over its power budget",
    levels={
        AI: (_level(_WARNING, 0.9, _FIVE, _FIVE), _level(_CRITICAL, 1.0, _FIVE, _FIVE)),
        MINING: (
            _level(_WARNING, 1.0, _FIVE, _FIVE),
            _level(_CRITICAL, 1.0, _FIVE, _FIVE, PHASE_OVER_DERATE),
            _level(_CRITICAL, 1.05, _QUARTER, _FIVE),
        ),
    },
    off_s=_QUARTER,
    deadband=0.03,
    advice="Lower the load of this rack, or raise its budget if its feeds and cooling allow it.",
)
RACK_DENSITY_AIR = Rule(
    number=14,
    name="rack_density_air",
    title="over its air-cooling budget",
    levels={
        AI: (
            _level(_WARNING, 0.9, _FIVE, _FIVE),
            _level(_CRITICAL, 1.0, _FIVE, _FIVE, INLET_OR_ZONE),
            _level(_CRITICAL, 1.15, _QUARTER, _FIVE, MEASURED),
        )
    },
    off_s=_QUARTER,
    deadband=0.03,
    advice="Lower the load or check coolant flow: less heat taken by liquid means more for the air.",
)
BLIND = Rule(
    number=31,
    name="blind",
    title="is not observed",
    levels={AI: (_level(_CRITICAL, 0.5, 3 * MINUTE_S),), MINING: (_level(_WARNING, 0.5, _FIVE),)},
    off_s=60.0,
    base=0.5,
    inhibits=frozenset(
        {
            "rack_density_power",
            "rack_density_air",
            "rack_density_liquid",
            "zone_cooling_n1",
            "forecast_breach",
            "possible_breach",
            "source_stale",
        }
    ),
    inhibits_early=True,
    advice="Limits here are not being checked. Restore the meters or the network to them.",
)
SITE_BLIND = replace(BLIND, levels={MINING: (_level(_CRITICAL, 0.5, _QUARTER),)})
"""Rule 31 for all of a site's mining racks together."""
SOURCE_STALE = Rule(
    number=32,
    name="source_stale",
    title="does not answer",
    levels={
        PLANT: (_level(_INFO, 0.5, 0.0), _level(_WARNING, 0.5, _QUARTER)),
        MINING: (_level(_WARNING, 0.5, _FIVE),),
    },
    off_s=30.0,
    base=0.5,
    advice="Check its power, its network port and its address; of accelerators the driver on their host.",
)
PATH_DOWN = replace(
    SOURCE_STALE,
    title="is silent with all behind it",
    levels={
        PLANT: (
            _level(_WARNING, 0.5, 20.0),
            _level(_CRITICAL, 0.5, 3 * MINUTE_S, needs=BLINDS_RACK),
            _level(_CRITICAL, 0.5, _QUARTER, needs=BLINDS_SITE),
        )
    },
    inhibits=frozenset({"source_stale", "blind"}),
    inhibits_early=True,
    advice="Check the gateway or switch itself: its power, its uplink, its address.",
)
"""Rule 32 for what several devices are reached through: one cause, one page."""

SHIPPED: Mapping[str, Rule] = MappingProxyType(
    {
        rule.name: rule
        for rule in (
            BREAKER_OVERLOAD,
            CONTINUOUS_OVER,
            FEED_DEAD,
            RACK_DENSITY_POWER,
            RACK_DENSITY_AIR,
            BLIND,
            SOURCE_STALE,
        )
    }
)
"""By name. The order is that of evaluation: a cause stands before what follows from it."""


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

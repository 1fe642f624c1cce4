"""What keeld has to say, as the page, the API and the commands take it: the site at one moment, judged.

Like the values of `model`, these are frozen and in SI units; they are made by `watch` and never go back into it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from keeld.contract import CurtailOrder
from keeld.model import AlertState, Interval, Rack, Severity


class Verdict(enum.StrEnum):
    """What keeld says of a budget: certain, possible or fine."""

    OVER = "OVER"
    CANT_TELL = "CAN'T TELL"
    OK = "OK"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One budget, judged: the load as an interval against the limit that holds for it now."""

    target_kind: str
    """rack, power_node or cooling_node."""
    target_id: str
    constraint: str
    """power, air, liquid, current/L1, apparent_power: what binds."""
    unit: str
    """W, A or VA: of `limit` and of `value`."""
    limit: float
    base: str
    """What a percentage of this limit is a percentage of, in words: `breaker 60 A x 0.95 environment`."""
    value: Interval
    verdict: Verdict
    why: str = ""
    """For CAN'T TELL: which sources are lost, or that none was ever configured."""
    structural: bool = False
    """True where no source was ever configured: a finding, never an alarm."""

    @property
    def load_ratio(self) -> float | None:
        """Best value over the limit; None where nothing was measured."""
        return None if self.value.best is None else self.value.best / self.limit

    @property
    def headroom(self) -> float:
        """Limit less the highest possible value, in the judgement's unit; may be negative."""
        return self.limit - self.value.hi


@dataclass(frozen=True, slots=True, kw_only=True)
class RackView:
    """A rack as it stands now."""

    rack: Rack
    draw: Interval
    air: Interval | None
    liquid: Interval | None
    verdict: Verdict
    """The worst of its judgements, structural ones left out unless there is nothing else."""
    binding: Judgement | None
    """The judgement with the highest load ratio."""
    judgements: tuple[Judgement, ...]
    feeds: Mapping[str, Interval]
    """Feed letter to its draw, in W."""
    failover: str = ""
    """What the loss of a feed would do where a survivor may not hold for hours; empty where all of them would."""
    usable_watts: float | None = None
    """Load that may be added, all above it and every loss considered; None where not known or not limited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """A power or cooling node as it stands now."""

    kind: str
    id: str
    label: str
    draw: Interval
    verdict: Verdict
    judgements: tuple[Judgement, ...]
    figures: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Metric to value of what else is known: loss, unattributed, stranded, diversity, oversubscription."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """An alarm that is not OK: what the page and `keeld alerts` list."""

    key: str
    alert_id: str
    rule: str
    target_kind: str
    target_id: str
    state: AlertState
    severity: Severity
    since_ns: int
    lo: float | None
    best: float | None
    hi: float | None
    limit: float | None
    unit: str
    title: str
    text: str
    cause: str
    quiet: str = ""
    """Why it is not sent by somebody's will: observed, shelved, maintenance, flood."""
    owner: str = ""
    """Who acknowledged it."""
    children: tuple[str, ...] = ()
    """What follows from it, as people call it; the first few of `child_count`."""
    child_count: int = 0
    is_first_out: bool = False
    """Whether it was the first of the alarms that stand now."""
    chatters: bool = False
    is_latched: bool = False
    """Whether it stays until somebody closes it."""
    is_told: bool = True
    """Whether people were told of it."""
    held_by: str = ""
    """Key of the alarm that explains it, while that is why it is not told."""
    quiet_id: str = ""
    """Id of the shelf or work that keeps it quiet."""
    quiet_until_ns: int = 0
    """Wall time at which what keeps it quiet ends; 0 where that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """A budget that its load is on the way to exceed; the times count from now, None is never."""

    target_kind: str
    """rack, power_node or cooling_node."""
    target_id: str
    label: str
    constraint: str
    """power, air, liquid, current, apparent_power: what will break."""
    load_ratio: float
    """Load over the limit now."""
    lower_s: float | None
    """At the steepest slope that the last hour allows."""
    median_s: float | None
    upper_s: float | None
    """At the gentlest; None where that never gets there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A reading that is not believed as it stands, and why."""

    device: str
    metric: str
    part: str
    check: str
    """range, identity, stuck, spike, rate, split, counter or clock."""
    reason: str
    """A sentence for people."""
    since_ns: int
    """Wall time."""
    is_active: bool = True
    """False for what is believed again, and was not within the last half hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmQuality:
    """Figures of ISA-18.2 about what people were told since `since_ns`."""

    since_ns: int
    told: int
    per_ten_minutes: float
    """Mean over ten-minute spans, empty ones included."""
    most_in_ten_minutes: int
    flood_ratio: float
    """Share of the ten-minute spans with more than ten."""
    chattering: int
    stale: int
    """Alarms that have fired for more than a day."""
    by_severity: Mapping[Severity, int]
    by_rule: Mapping[str, int]
    top_ratio: float | None
    """Share of the ten rules that told most; None where nothing was told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleView:
    """A rule as this site runs it."""

    number: int
    """As in the table of default rules; 0 for a rule of the operator's own."""
    name: str
    title: str
    is_enabled: bool
    is_own: bool
    severities: tuple[Severity, ...]
    targets: int
    """At how many targets it is judged."""
    examples: tuple[str, ...]
    standing: int
    """Its alarms that fire or clear now."""
    observed: int
    """At how many targets it is only observed yet."""
    observed_until_ns: int
    why: str
    """Why it is idle or off, or what changed it; empty where it is as it ships."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldView:
    """A shelf, or announced work."""

    id: str
    kind: str
    """shelf or maintenance."""
    about: str
    """An alarm's key or a selector."""
    owner: str
    reason: str
    begins_ns: int
    ends_ns: int
    is_now: bool
    every_days: int = 0
    holds: tuple[str, ...] = ()
    """Ids of the alarms that it keeps quiet now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WouldHave:
    """An alarm that would have been sent, had it not only been observed."""

    key: str
    rule: str
    target_kind: str
    target_id: str
    title: str
    severity: Severity
    count: int
    longest_s: float
    cause: str
    children: int
    setting: str
    """What to write under `rules` so that it would not have been sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderView:
    """An order to draw less, and how its load stands to it."""

    order: CurtailOrder
    compliance: str
    """ahead, ramp, complied, can't tell, over or ended."""
    draw: Interval
    """Mean of a minute, in W."""
    allowed_watts: float | None
    """What may be drawn now, on the way down; None before the order began."""


class MeanPower(NamedTuple):
    """Mean power of an interval between its bounds, in W; estimated where part of it was not measured."""

    lo: float
    best: float | None
    hi: float
    is_estimated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandView:
    """One limit of the contract: what was drawn in the last whole interval, and what the running one comes to."""

    name: str
    """cap or tariff."""
    interval_s: int
    is_rolling: bool
    limit_watts: float
    last: MeanPower | None
    projected: MeanPower | None
    """What the running interval comes to at the load of the last minute."""
    allowed_watts: float | None
    """Mean that the rest of the running interval may have; below 0 the interval is lost."""
    shed_watts: float | None
    left_s: float | None
    peak: MeanPower | None
    """Highest of this month so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteView:
    """Everything keeld has to say about the site at one moment."""

    time_ns: int
    draw: Interval
    racks: tuple[RackView, ...]
    nodes: tuple[NodeView, ...]
    alarms: tuple[Alarm, ...]
    forecasts: tuple[Forecast, ...] = ()
    """What breaks next, soonest first."""
    suspects: tuple[Suspect, ...] = ()
    demands: tuple[DemandView, ...] = ()
    figures: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Metric, with its part behind a slash, to value of what else is known of the site: PUE."""
    observed_until_ns: int = 0
    """Wall time until which all of the site is only observed; 0 where it is not."""

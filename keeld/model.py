"""The few values that modules hand to one another. Frozen and slotted; no dicts travel between modules.

Numbers are SI here (W, VA, A, V, K or °C, seconds); the configuration converts once, where it is read.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

from keeld.climate import ThermalClass
from keeld.contract import Contract, CurtailOrder
from keeld.errors import Outage
from keeld.message_urls import MessageUrls
from keeld.metrics import Metric
from keeld.trees import CoolingNode, PowerNode

OWN_DRIVER = "keeld"
"""Driver name of batches that keeld derives itself; `watch` never takes them as input."""


class Moment(NamedTuple):
    """One instant on both clocks: wall time to label with, monotonic time to measure with."""

    wall_ns: int
    mono_ns: int


class Group(enum.StrEnum):
    """How often a set of points is read: what moves, what counts, what never changes."""

    FAST = "fast"
    SLOW = "slow"
    ONCE = "once"


class Reading(NamedTuple):
    """One measured number. `value` is finite; what was not measured has no Reading.

    `part` names a piece of the device: `""` is the whole, else `L1`, `N`, `L1-L2`, `inlet/2/L1`, `branch/3`,
    `outlet/7`, `board/0`, `fan/1`, `pump/1`, `gpu/3`, `supply`, `return`, `intake`, `sensor/1`.
    """

    metric: Metric
    value: float
    part: str = ""


@dataclass(frozen=True, slots=True)
class Cord:
    """How many of a device's power supplies hang on one feed of its rack."""

    feed: str
    psus: int


@dataclass(frozen=True, slots=True)
class Identity:
    """What a device must say of itself for its readings to be believed; None is not checked."""

    mac: str | None = None
    serial: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A thing that keeld polls, as the configuration describes it; never changed by what the device answers."""

    id: str
    site: str
    kind: str
    """pdu, meter, ups, miner, accelerator, cooling, sensor: the measurement its readings are stored under."""
    driver: str
    address: str
    label: str = ""
    unit: int = 1
    profile: str | None = None
    rack: str | None = None
    row: str | None = None
    node: str | None = None
    """The power or cooling node that it sits at (`at:` in the configuration)."""
    feed: str | None = None
    cords: tuple[Cord, ...] = ()
    psus_needed: int | None = None
    gpus: int | None = None
    """How many accelerators it should have; None takes the most that it ever showed."""
    rack_unit: int | None = None
    """The lowest unit of its rack that it stands in."""
    measures: tuple[tuple[str, str], ...] = ()
    """(part, power node): a branch meter that watches several circuits."""
    meter_class_ratio: float = 0.01
    """Error that its power reading may have, as a share of the reading."""
    nameplate_watts: float | None = None
    interval_s: float = 10.0
    slow_interval_s: float = 60.0
    once_interval_s: float = 3600.0
    timeout_s: float = 3.0
    identity: Identity = Identity()
    via: str | None = None
    tenant: str | None = None
    username: str | None = None
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def interval_of(self, group: Group) -> float:
        """Seconds between two polls of a group."""
        if group is Group.FAST:
            return self.interval_s
        return self.slow_interval_s if group is Group.SLOW else self.once_interval_s


@dataclass(frozen=True, slots=True)
class Batch:
    """What one poll of one device gave: readings, or an outage with its reason, or (partial) both."""

    device: Device
    time_ns: int
    """Wall clock just before the first request, truncated to milliseconds."""
    mono_ns: int
    readings: tuple[Reading, ...] = ()
    outage: Outage | None = None
    group: Group = Group.FAST
    interval_s: float = 10.0
    detail: str = ""
    """A cleaned sentence about the outage, for people."""
    info: tuple[tuple[str, str], ...] = ()
    """What the device says of itself (model, firmware, serial), cleaned and bounded; shown, never a tag."""


class Quality(enum.StrEnum):
    """How much a number can be trusted, best first."""

    GOOD = "good"
    HELD = "held"
    ESTIMATED = "estimated"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Interval:
    """A quantity between `lo` and `hi`; `best` is the likeliest, None where nothing was ever measured.

    `coverage` is the share (0 to 1, by nameplate) that is measured. `lost` names the sources that had data and have
    none now, `structural` those that never had any.
    """

    lo: float
    best: float | None
    hi: float
    coverage: float = 1.0
    quality: Quality = Quality.GOOD
    provenance: str = ""
    lost: tuple[str, ...] = ()
    structural: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RackBudget:
    """What a rack may draw and what may be cooled in it, in W; None where no limit was set."""

    power_watts: float | None = None
    air_watts: float | None = None
    liquid_watts: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rack:
    """A rack, container or tank: its feeds, what it may carry, and which rules it lives under."""

    id: str
    label: str = ""
    kind: str = "rack"
    row: str | None = None
    state: str = "ai"
    """mining, emptying, empty, commissioning or ai: selects the rule set."""
    feeds: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Feed letter to power node."""
    redundancy: str = "N"
    thermal_class: str | None = None
    budget: RackBudget = RackBudget()
    cooling_air: str | None = None
    cooling_liquid: str | None = None
    liquid_ratio: tuple[float, float] | None = None
    """Range of the share of heat that goes into liquid, where it is not measured."""
    tenant: str | None = None
    budgets: Mapping[str, RackBudget] = field(default_factory=lambda: MappingProxyType({}))
    """State to the budget that holds in it; `""` for every other state."""

    def in_state(self, state: str) -> Rack:
        """Give the rack as it is in another state, with the budget of that state."""
        return replace(self, state=state, budget=self.budgets.get(state, self.budgets.get("", self.budget)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Everything the configuration says about the place itself; `network` is its switches and their addresses."""

    name: str
    timezone: str = "UTC"
    altitude_metres: float = 0.0
    power: Mapping[str, PowerNode] = field(default_factory=lambda: MappingProxyType({}))
    cooling: Mapping[str, CoolingNode] = field(default_factory=lambda: MappingProxyType({}))
    racks: Mapping[str, Rack] = field(default_factory=lambda: MappingProxyType({}))
    devices: Mapping[str, Device] = field(default_factory=lambda: MappingProxyType({}))
    network: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    channels: tuple[str, ...] = ()
    """Names of the ways to reach people: each may have an alarm of its own."""
    contract: Contract | None = None
    orders: tuple[CurtailOrder, ...] = ()
    """Orders to draw less that stood when the site was last read."""
    thermal_classes: Mapping[str, ThermalClass] = field(default_factory=lambda: MappingProxyType({}))
    """The site's own inlet classes, and its figures for those that ship."""
    urls: MessageUrls = field(default_factory=MessageUrls)


class AlertState(enum.StrEnum):
    """Where an alarm stands; the words are the field's."""

    OK = "ok"
    PENDING = "pending"
    FIRING = "firing"
    CLEARING = "clearing"


class Severity(enum.StrEnum):
    """What an alarm asks of a person: look some day, act this shift, act within ten minutes."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Notice(enum.StrEnum):
    """What a transition tells the channels; most transitions tell them nothing."""

    TRIGGER = "trigger"
    ESCALATE = "escalate"
    RESOLVE = "resolve"
    ACKNOWLEDGE = "acknowledge"
    """Somebody has it in hand: for channels that called a person and can stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One move of one alarm. Append-only: what was written is never edited."""

    key: str
    """`site:rule:kind:id`, stable for the life of the thing it is about."""
    alert_id: str
    """Short form of the key for people and commands."""
    rule: str
    target_kind: str
    target_id: str
    before: AlertState
    after: AlertState
    severity: Severity
    notice: Notice | None = None
    time_ns: int = 0
    since_ns: int = 0
    """When this episode's condition was first seen."""
    lo: float | None = None
    best: float | None = None
    hi: float | None = None
    limit: float | None = None
    unit: str = ""
    title: str = ""
    """Under 80 characters."""
    text: str = ""
    """The message: what, where, value against limit, since, cause, what to do."""
    cause: str = ""
    ended: str = ""
    """For a resolve: resolved, unverifiable or withdrawn."""
    quiet: str = ""
    """Why a firing alarm tells nobody by somebody's will: observed, shelved, maintenance, flood."""
    children: tuple[str, ...] = ()
    """What follows from it, as people call it; the first few of `child_count`."""
    child_count: int = 0
    owner: str = ""
    """Who acknowledged or closed it."""
    route: str = ""
    """The one channel that hears of it; empty for all that want its severity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnRule:
    """A rule of the operator's: a quantity of devices against one limit."""

    metric: Metric
    part: str
    """Which parts of the device, as a pattern (`fan/*`)."""
    limit: float
    is_floor: bool
    title: str
    hysteresis: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSettings:
    """What the operator changed of one rule, or a rule of his own; None keeps what ships."""

    of: str = ""
    """Name of the rule that ships and is meant; empty where it is that of the entry."""
    select: tuple[tuple[str, str], ...] = ()
    """Key to pattern of a selector: it holds for these targets only."""
    own: OwnRule | None = None
    enabled: bool | None = None
    limit: float | None = None
    window_s: float | None = None
    on_s: float | None = None
    off_s: float | None = None
    deadband: float | None = None
    severity: Severity | None = None
    runbook: str = ""
    route: str = ""

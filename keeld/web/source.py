"""What the web needs of the daemon; `app` implements it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from keeld.alerts.acts import Act, Done
from keeld.alerts.selector import Selector
from keeld.budgets.aftermath import FailoverCase
from keeld.budgets.headroom import Headroom
from keeld.contract import CurtailOrder
from keeld.drills import Begun
from keeld.fanout import Subscription
from keeld.health import Health
from keeld.live import Latest
from keeld.metrics import Metric
from keeld.model import Batch, Transition
from keeld.settings import Settings
from keeld.state import Audited
from keeld.state.orders import RackMove
from keeld.views import AlarmQuality, HoldView, OrderView, RuleView, SiteView, WouldHave


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """What waits inside keeld at this moment."""

    spool_files: int = 0
    spool_points: int = 0
    spool_bytes: int = 0
    spool_oldest_s: float | None = None
    """Age of the oldest spooled batch; None while nothing waits."""
    messages: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Messages waiting, by channel."""
    buffered: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Batches waiting, by subscriber."""
    dropped: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Batches that a slow subscriber lost, by subscriber."""


class Span(Protocol):
    """One minute of a series."""

    @property
    def minute_ns(self) -> int:
        """Wall-clock time at which the minute begins."""

    @property
    def min(self) -> float:
        """Least value."""

    @property
    def mean(self) -> float:
        """Mean of the readings."""

    @property
    def max(self) -> float:
        """Greatest value."""


class Desk(Protocol):
    """What people do about alarms, and what stands of it."""

    async def act(self, act: Act, who: str) -> Done:
        """Do what somebody asks for and keep it in the audit; raises RefusedError, and then nothing has changed."""

    async def rules(self) -> Sequence[RuleView]:
        """List every rule: where it is judged, and why nowhere."""

    def holds(self) -> Sequence[HoldView]:
        """List shelves and announced works."""

    def work_preview(self, target: Selector) -> FailoverCase | None:
        """Say what work on a selector would do if it began now; None where nothing would take anything over."""

    def would_have(self) -> Sequence[WouldHave]:
        """List what would have been sent, had it not only been observed."""

    def quality(self, days: int) -> AlarmQuality:
        """Give the figures of the last days about what people were told."""

    async def audited(self, limit: int) -> Sequence[Audited]:
        """Give the newest acts first; raises DeliveryError while they cannot be read."""


class Source(Protocol):
    """The daemon, as the web sees it."""

    @property
    def desk(self) -> Desk:
        """What people do about alarms."""

    @property
    def settings(self) -> Settings:
        """The configuration in force."""

    @property
    def health(self) -> Health:
        """What the daemon counted."""

    def site_view(self) -> SiteView:
        """Give the site as it stands now."""

    def findings(self) -> Sequence[str]:
        """List what cannot be judged as configured, one sentence each: facts about the site, never alarms."""

    def device(self, name: str) -> Latest | None:
        """Give the last word of a configured device; None for a name that is not configured."""

    def queue(self) -> Queue:
        """Give what waits."""

    def alive(self) -> list[str]:
        """Name the parts that make no progress; empty while keeld is alive."""

    def ready(self) -> list[str]:
        """Say what keeps keeld from doing its work, one sentence each; empty when it is ready."""

    async def failover(self, rack_id: str) -> Sequence[FailoverCase]:
        """Say what would happen if one of a rack's feeds, or a power node above it, died now."""

    async def headroom(self, rack_id: str | None) -> Sequence[Headroom]:
        """Say what may be added to one rack or to each, tightest first."""

    async def transitions(self, limit: int, since_ns: int) -> Sequence[Transition]:
        """Give the newest transitions first."""

    async def history(self, kind: str, name: str, metric: Metric, part: str, *, since_ns: int) -> Sequence[Span]:
        """Give the minutes of a series, oldest first; a minute without readings is missing."""

    def subscribe(self, name: str, limit: int, wanted: Callable[[Batch], bool]) -> Subscription:
        """Begin to give every wanted batch as it comes."""

    def unsubscribe(self, subscription: Subscription) -> None:
        """End it."""

    def orders(self) -> Sequence[OrderView]:
        """List the orders to draw less, with how their loads stand to them."""

    async def curtail(self, order: CurtailOrder) -> bool | None:
        """Take an order; says whether it is on the disk, None where it concerns nothing here or is over."""

    async def cancel_order(self, order_id: str) -> bool | None:
        """End an order; says whether that is on the disk, None for one that is not known."""

    async def move_rack(self, rack: str, state: str, *, owner: str, reason: str) -> bool | None:
        """Put a rack into another state; says whether that is on the disk, None where it is in that state already."""

    async def rack_moves(self, rack: str, limit: int) -> Sequence[RackMove]:
        """Give a rack's changes of state, newest first."""

    def drill(self, rule: str, target: str, who: str, *, escalates: bool, hold_s: float) -> Begun:
        """Send a marked test the whole way of an alarm; raises DrillError."""

    async def reload(self) -> None:
        """Read the configuration again; raise ConfigError and keep the old one when it cannot be used."""

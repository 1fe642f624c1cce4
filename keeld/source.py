"""The daemon as the page, the API and the commands see it: reads what the parts hold, changes nothing but by reload."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from keeld import vitals
from keeld.alerts.acts import Act, Done
from keeld.alerts.selector import Selector
from keeld.budgets.aftermath import FailoverCase
from keeld.budgets.headroom import Headroom
from keeld.contract import CurtailOrder
from keeld.drills import Begun, Drills
from keeld.fanout import Fanout, Subscription
from keeld.health import Health
from keeld.history import History, Point
from keeld.judge import Judge, moment_now
from keeld.live import Latest, Live
from keeld.metrics import Metric
from keeld.model import Batch, Transition
from keeld.notify.outbox import Notifier
from keeld.ordering import Ordering
from keeld.sender import Store
from keeld.settings import Settings
from keeld.state import Audited, State
from keeld.state.orders import RackMove
from keeld.views import AlarmQuality, HoldView, OrderView, RuleView, SiteView, WouldHave
from keeld.web.source import Queue

_VIEW_NS = 500_000_000
"""A view is made at most this often, however many people look, ..."""
_VIEW_SHARE = 20
"""... and takes at most one part in so many of the time, ..."""
_VIEW_OLDEST_NS = 3_000_000_000
"""... but is never older: the page calls ten seconds stale."""
_FAILOVER_NS = 5_000_000_000
"""As a view; a rack's failover is judged on means of five minutes, and costs as much as many views."""
_HEADROOM_NS = 10_000_000_000
"""As a view; each answer sums up the losses of the whole site, at means and at peaks."""


class Parts(Protocol):
    """What the daemon is made of; some of it is replaced by a reload, so it is looked up each time."""

    settings: Settings
    health: Health
    fanout: Fanout
    judge: Judge
    live: Live
    state: State
    history: History
    store: Store
    notifier: Notifier
    drills: Drills
    ordering: Ordering

    def allowed_s(self) -> Mapping[str, float]:
        """Say how long each part may go without progress."""

    async def reload(self) -> None:
        """Follow a changed configuration; raises ConfigError."""


class LiveDesk:
    """Implements `keeld.web.source.Desk` over a running daemon."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def act(self, act: Act, who: str) -> Done:
        """Do what somebody asks for and keep it in the audit; raises RefusedError, and then nothing has changed."""
        return await self._parts.judge.act(act, who)

    async def rules(self) -> Sequence[RuleView]:
        """List every rule: where it is judged, and why nowhere."""
        views = []
        for view in self._parts.judge.watch.desk.rules(moment_now()):
            views.append(view)
            await asyncio.sleep(0)  # a rule may have thousands of targets: polls go first
        return views

    def holds(self) -> Sequence[HoldView]:
        """List shelves and announced works."""
        return self._parts.judge.watch.desk.holds(moment_now())

    def work_preview(self, target: Selector) -> FailoverCase | None:
        """Say what work on a selector would do if it began now."""
        return self._parts.judge.watch.desk.work_preview(target, moment_now())

    def would_have(self) -> Sequence[WouldHave]:
        """List what would have been sent, had it not only been observed."""
        return self._parts.judge.watch.desk.would_have()

    def quality(self, days: int) -> AlarmQuality:
        """Give the figures of the last days about what people were told."""
        return self._parts.judge.watch.desk.quality(moment_now(), days=days)

    async def audited(self, limit: int) -> Sequence[Audited]:
        """Give the newest acts first."""
        return await self._parts.state.audited(limit)


class LiveSource:
    """Implements `keeld.web.source.Source` over a running daemon."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._view: SiteView | None = None
        self._view_until_ns = 0
        self._headroom: dict[str | None, tuple[int, Sequence[Headroom]]] = {}
        self._failover: dict[str, tuple[int, Sequence[FailoverCase]]] = {}

    @property
    def desk(self) -> LiveDesk:
        """What people do about alarms."""
        return LiveDesk(self._parts)

    @property
    def settings(self) -> Settings:
        """The configuration in force."""
        return self._parts.settings

    @property
    def health(self) -> Health:
        """Keeld's own counters."""
        return self._parts.health

    def site_view(self) -> SiteView:
        """Give the site as it stood at most half a second ago; a very large one, some seconds."""
        now = moment_now()
        if self._view is None or now.mono_ns > self._view_until_ns:
            self._view = self._parts.judge.watch.view(now)
            cost_ns = time.monotonic_ns() - now.mono_ns
            self._view_until_ns = now.mono_ns + min(_VIEW_OLDEST_NS, max(_VIEW_NS, _VIEW_SHARE * cost_ns))
        return self._view

    def findings(self) -> Sequence[str]:
        """List what cannot be judged as configured."""
        return self._parts.judge.watch.findings()

    def device(self, name: str) -> Latest | None:
        """Give the last word of a configured device; None for a name that is not configured."""
        return self._parts.live.latest.get(name)

    def queue(self) -> Queue:
        """Give what waits between the parts."""
        parts = self._parts
        tallies = parts.store.tallies().values()
        waiting = parts.store.backlog_files
        return Queue(
            spool_files=waiting,
            spool_points=max((tally.queued for tally in tallies), default=0),
            spool_bytes=parts.store.backlog_bytes,
            spool_oldest_s=parts.store.oldest_age_s if waiting else None,
            messages=dict(parts.state.queued),
            buffered={subscription.name: len(subscription) for subscription in parts.fanout.subscriptions},
            dropped={subscription.name: subscription.dropped for subscription in parts.fanout.subscriptions},
        )

    def alive(self) -> list[str]:
        """Name the parts that make no progress."""
        health = self._parts.health
        return vitals.stalled(health.progress, self._parts.allowed_s(), time.monotonic_ns(), health.started_mono_ns)

    def ready(self) -> list[str]:
        """Say what keeps keeld from doing its work; a database that is away does not, that is what the spool is for."""
        parts = self._parts
        reasons = [f"{part} makes no progress" for part in self.alive()]
        if parts.live.latest and not parts.health.polls:
            reasons.append("no device has been polled yet")
        if parts.state.trouble:
            reasons.append(f"alarm state cannot be written: {parts.state.trouble}")
        return reasons

    async def failover(self, rack_id: str) -> Sequence[FailoverCase]:
        """Say what would happen if one of a rack's feeds, or a power node above it, died: as of the last 5 s."""
        now = moment_now()
        self._failover = {name: made for name, made in self._failover.items() if now.mono_ns - made[0] < _FAILOVER_NS}
        if rack_id in self._failover:
            return self._failover[rack_id][1]
        cases = []
        for case in self._parts.judge.watch.failover(now, rack_id):
            cases.append(case)
            await asyncio.sleep(0)  # a case may concern every rack of the site: polls go first
        self._failover[rack_id] = (now.mono_ns, cases)
        return cases

    async def headroom(self, rack_id: str | None) -> Sequence[Headroom]:
        """Say what may be added to one rack or to each, tightest first; racks without any limit come last."""
        now = moment_now()
        self._headroom = {name: made for name, made in self._headroom.items() if now.mono_ns - made[0] < _HEADROOM_NS}
        if rack_id in self._headroom:
            return self._headroom[rack_id][1]
        found = []
        for room in self._parts.judge.watch.headroom(now, rack_id):
            if room is not None:
                found.append(room)
            await asyncio.sleep(0)
        found.sort(key=lambda room: (room.watts is None, room.watts))
        self._headroom[rack_id] = (now.mono_ns, found)
        return found

    async def transitions(self, limit: int, since_ns: int) -> Sequence[Transition]:
        """Give the newest transitions first."""
        return await self._parts.state.transitions(limit, since_ns)

    async def history(self, kind: str, name: str, metric: Metric, part: str, *, since_ns: int) -> Sequence[Point]:
        """Give the minutes of a series, oldest first; a minute without readings is missing."""
        return await self._parts.history.series(kind, name, metric.name, part, since_ns=since_ns)

    def subscribe(self, name: str, limit: int, wanted: Callable[[Batch], bool]) -> Subscription:
        """Begin to give every wanted batch as it comes."""
        return self._parts.fanout.subscribe(name, limit, wanted)

    def unsubscribe(self, subscription: Subscription) -> None:
        """End it."""
        self._parts.fanout.unsubscribe(subscription)

    def orders(self) -> Sequence[OrderView]:
        """List the orders to draw less, with how their loads stand to them."""
        return self._parts.judge.watch.orders(moment_now())

    async def curtail(self, order: CurtailOrder) -> bool | None:
        """Take an order to draw less."""
        return await self._parts.ordering.curtail(order)

    async def cancel_order(self, order_id: str) -> bool | None:
        """End an order before its time."""
        return await self._parts.ordering.cancel(order_id)

    async def move_rack(self, rack: str, state: str, *, owner: str, reason: str) -> bool | None:
        """Put a rack into another state."""
        return await self._parts.ordering.move_rack(rack, state, owner=owner, reason=reason)

    async def rack_moves(self, rack: str, limit: int) -> Sequence[RackMove]:
        """Give a rack's changes of state, newest first."""
        return await self._parts.ordering.moves(rack, limit)

    def drill(self, rule: str, target: str, who: str, *, escalates: bool, hold_s: float) -> Begun:
        """Send a marked test the whole way of an alarm; raises DrillError."""
        return self._parts.drills.begin(rule, target, who, escalates=escalates, hold_s=hold_s)

    async def reload(self) -> None:
        """Read the configuration again; raise ConfigError and keep the old one when it cannot be used."""
        await self._parts.reload()

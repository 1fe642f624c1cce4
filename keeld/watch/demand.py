"""The contract with the supplier: cap and demand target (rules 26, 27).

Demand is added up slot by slot at the contract's node and corrected by that node's energy counter where its meter has
one. Loads are projected from their mean over a minute, as one sample of a load that swings projects nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import ClassVar
from zoneinfo import ZoneInfo

from keeld.alerts.alarm import Evidence, Target
from keeld.alerts.board import Board
from keeld.alerts.machine import Span
from keeld.alerts.rules import AI, MINING, MINUTE_S, PLANT, Level
from keeld.budgets.demand import Count, DemandMeter, Projection
from keeld.budgets.draw import is_metered_now, meter_draw
from keeld.budgets.energy import Load
from keeld.budgets.limits import kilo
from keeld.budgets.source import ESTIMATED, SECOND_NS, Look
from keeld.budgets.window import SLOT_S
from keeld.contract import DemandLimit
from keeld.metrics import (
    DEMAND,
    DEMAND_ALLOWED,
    DEMAND_HI,
    DEMAND_LO,
    DEMAND_PEAK,
    DEMAND_PROJECTED,
    DEMAND_SHED,
)
from keeld.model import Interval, Moment, Quality, Reading
from keeld.watch.counted import CountedMeter
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.nodes import NodeState
from keeld.watch.racks import SLOT_CAP_S
from keeld.watch.rulebook import Windows
from keeld.watch.subjects import Subject

CAP, PROJECTED = "site_cap", "demand_projected"
LEAST_LEFT_S = 180.0
"""With less than this left of an interval nobody can act on its projection any more."""
_LONGEST_SLOT_S = 1.5 * SLOT_S
_MEASURED = (Quality.GOOD, Quality.HELD)


class Account:
    """One limit of the contract with its demand."""

    def __init__(self, part: str, limit: DemandLimit, zone: ZoneInfo, ceiling_watts: float) -> None:
        self.part = part
        self.limit = limit
        self.meter = DemandMeter(
            interval_s=limit.interval_s, step_s=limit.step_s, zone=zone, ceiling_watts=ceiling_watts
        )
        self.projection: Projection | None = None

    @property
    def interval_words(self) -> str:
        """Name the interval: `15-min block`."""
        return f"{self.limit.interval_s // 60}-min {'rolling demand' if self.limit.is_rolling else 'block'}"

    def readings(self) -> Iterator[Reading]:
        """Give what there is to store of it."""
        last, projection, peak = self.meter.last, self.projection, self.meter.peak
        if last is not None:
            if not last.is_estimated and last.best is not None:
                yield Reading(DEMAND, last.best, self.part)
            yield Reading(DEMAND_LO, last.lo, self.part)
            yield Reading(DEMAND_HI, last.hi, self.part)
        if projection is not None:
            if projection.best is not None:
                yield Reading(DEMAND_PROJECTED, projection.best, self.part)
                yield Reading(DEMAND_SHED, projection.shed_watts, self.part)
            yield Reading(DEMAND_ALLOWED, projection.allowed_watts, self.part)
        if peak is not None and peak.best is not None:
            yield Reading(DEMAND_PEAK, peak.best, self.part)


class SupplyContract(Duty):
    """Everything that the contract asks to be watched; nothing where there is none."""

    name: ClassVar[str] = "demand"
    speaks_of = frozenset({"site"})

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        site, contract = ground.topology.site, ground.topology.site.contract
        zone = ZoneInfo(site.timezone)
        self.node: NodeState | None = None if contract is None else ground.nodes.get(contract.node)
        self.accounts: dict[str, Account] = {}
        self._counted: CountedMeter | None = None
        self._minute = Windows((), default_s=MINUTE_S)
        self._end_ns: int | None = None
        self._load = Load(0.0, None, 0.0, is_measured=False)
        self._target = Target("site", site.name, site.name, frozenset({"site", f"site:{site.name}"}))
        states = {rack.state for rack in site.racks.values()}
        self._set = MINING if states & {"mining", "emptying"} else AI
        if contract is None or self.node is None:
            return
        plan = self.node.plan
        for part, limit in ((CAP, contract.cap), (PROJECTED, contract.tariff)):
            if limit is not None:
                self.accounts[part] = Account(_PARTS[part], limit, zone, plan.ceiling_watts)
        if plan.meters:
            self._counted = CountedMeter(plan.meters[0], plan.ceiling_watts)

    def subjects(self) -> Iterator[Subject]:
        """List the rules whose limit the contract sets."""
        for name in self.accounts:
            levels = self._levels(name)
            if levels:
                yield Subject(self.ground.rules.rule(name), levels, self._target)

    def _levels(self, name: str) -> tuple[Level, ...]:
        return self.ground.rules.levels(name, self._set if name == CAP else PLANT, self._target)

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Add the slot up, project every interval and run the rules."""
        if self.node is None:
            return
        load = self._load = supplied(self.node, slot.look)
        wall_ns = slot.now.wall_ns - (slot.now.mono_ns - slot.look.mono_ns)
        end_s = wall_ns / SECOND_NS
        span_s = self._span_s(slot.look.mono_ns)
        self._minute.skip(slot.missed, self.node.plan.ceiling_watts)
        self._minute.push(load.lo, load.best, load.hi)
        count = self._count(wall_ns, slot.look.mono_ns)
        for account in self.accounts.values():
            account.meter.add(load, end_s=end_s, span_s=span_s)
            if count is not None:
                account.meter.count(count, load, end_s=end_s, step_watt_hours=self._step_watt_hours)
            account.projection = self._project(account, end_s)
        yield 10
        self._judge_cap(board, slot.now)
        self._judge_projected(board, slot.now)

    def _span_s(self, mono_ns: int) -> float:
        """Give how long the slot was: a step of the wall clock may have made it shorter or longer than it should be."""
        before_ns, self._end_ns = self._end_ns, mono_ns
        if before_ns is None:
            return SLOT_S
        since_s = (mono_ns - before_ns) / SECOND_NS
        return since_s if since_s <= _LONGEST_SLOT_S else SLOT_S

    @property
    def _step_watt_hours(self) -> float:
        return (self._counted.step_watt_hours if self._counted is not None else None) or 0.0

    def _count(self, wall_ns: int, mono_ns: int) -> Count | None:
        """Give the counter's reading if one came in this slot, at its wall time."""
        if self._counted is None or not self._counted.see() or not self._step_watt_hours:
            return None
        reading = self._counted.reading
        if reading is None:
            return None
        read_ns, watt_hours = reading
        return Count((wall_ns - (mono_ns - read_ns)) / SECOND_NS, watt_hours)

    def _project(self, account: Account, end_s: float) -> Projection | None:
        mean = self._minute.mean()
        if mean is None:
            return None
        now = Load(mean.seen_lo, mean.best, mean.hi, is_measured=False)
        return account.meter.projection(now, time_s=end_s, limit_watts=account.limit.limit_watts)

    def _judge_cap(self, board: Board, now: Moment) -> None:
        account, mean = self.accounts.get(CAP), self._minute.mean()
        levels = self._levels(CAP) if account is not None else ()
        if account is None or mean is None or not levels:
            return
        limit = account.limit.limit_watts
        demand = _demand_span(account)
        minute = Span(mean.lo / limit, mean.hi / limit)
        spans = tuple(minute if level.window_s else demand for level in levels)
        by_interval = demand is not None and demand.lo >= max(minute.lo, 1.0)
        shown = demand if by_interval and demand is not None else minute
        best = None if by_interval else mean.best
        evidence = Evidence(
            spans=spans,
            lo=shown.lo * limit,
            best=best,
            hi=shown.hi * limit,
            limit=limit,
            unit="W",
            base="cap",
            what=account.interval_words if by_interval else "power, 1-min mean",
            detail=self._shed_words(account),
            is_known=self._load.is_measured,
        )
        self._judge(board, CAP, levels, evidence, now)

    def _judge_projected(self, board: Board, now: Moment) -> None:
        account = self.accounts.get(PROJECTED)
        projection = None if account is None else account.projection
        levels = self._levels(PROJECTED) if account is not None else ()
        if account is None or projection is None or not levels:
            return
        limit = account.limit.limit_watts
        span = Span(projection.lo / limit, projection.hi / limit) if projection.left_s >= LEAST_LEFT_S else None
        evidence = Evidence(
            spans=(span,) * len(levels),
            lo=projection.lo,
            best=projection.best,
            hi=projection.hi,
            limit=limit,
            unit="W",
            base="target",
            what=f"projection of the {account.interval_words}",
            detail=self._shed_words(account),
            is_known=self._load.is_measured,
        )
        self._judge(board, PROJECTED, levels, evidence, now)

    def _judge(self, board: Board, name: str, levels: tuple[Level, ...], evidence: Evidence, now: Moment) -> None:
        rule = self.ground.rules.rule(name)
        board.judge(rule, levels, self._target, evidence, now=now, cap_s=SLOT_CAP_S)

    def _shed_words(self, account: Account) -> str:
        """Say how much to shed until when, and what stands in doubt."""
        projection = account.projection
        if projection is None:
            return ""
        zone = ZoneInfo(self.ground.topology.site.timezone)
        until = datetime.fromtimestamp(projection.end_s, UTC).astimezone(zone).strftime("%H:%M")
        words = []
        if projection.allowed_watts < 0.0:
            words.append(f"The limit of the interval until {until} is lost: nothing that is shed now keeps it.")
        elif projection.shed_watts > 0.0:
            shed, allowed = power_words(projection.shed_watts), power_words(projection.allowed_watts)
            words.append(f"Shed {shed} for {projection.left_s / 60:.0f} min: until {until}, {allowed} is allowed.")
        else:
            words.append(f"Until {until}, {power_words(projection.allowed_watts)} is allowed.")
        if projection.is_estimated:
            words.append("Part of the interval was not measured: it counts as high as the supply allows.")
        return " ".join(words)

    def readings(self, kind: str, name: str) -> Iterable[Reading]:
        """Give demand, projection and peak of the site."""
        del name
        if kind != "site" or self.node is None:
            return []
        return [reading for account in self.accounts.values() for reading in account.readings()]

    def findings(self) -> Iterator[str]:
        """Say where the contract is measured badly."""
        if self.node is None:
            return
        name = self.node.plan.node.id
        if not self.node.plan.meters:
            yield f"demand of {name} is the sum of what hangs on it: no meter measures it"

    def keep(self, before: SupplyContract) -> None:
        """Take over the intervals of a contract that stayed."""
        self._end_ns = before._end_ns
        if self.node is None or before.node is None or self.node.plan.node.id != before.node.plan.node.id:
            return
        self._minute = before._minute
        if self._counted is not None and before._counted is not None:
            self._counted.keep(before._counted)
        for name in self.accounts.keys() & before.accounts.keys():
            with suppress(ValueError):
                self.accounts[name].meter.load(before.accounts[name].meter.dump())

    def memory(self) -> Mapping[str, bytes]:
        """Give the intervals and what was learnt of the counter."""
        if self.node is None:
            return {}
        notes = {name: account.meter.dump() for name, account in self.accounts.items()}
        if self._counted is not None:
            notes["counter"] = self._counted.dump()
        return notes

    def recall(self, memory: Mapping[str, bytes], now: Moment) -> None:
        """Go on with the interval that was running; what passed meanwhile counts as not measured."""
        del now
        takers = {name: account.meter.load for name, account in self.accounts.items()}
        if self._counted is not None:
            takers["counter"] = self._counted.load
        for name, take in takers.items():
            if name in memory:
                with suppress(ValueError):  # notes of another contract, or of another version
                    take(memory[name])


_PARTS = {CAP: "cap", PROJECTED: "tariff"}


def load_of(draw: Interval) -> Load:
    """Give a draw as a load of a slot."""
    return Load(draw.lo, draw.best, draw.hi, is_measured=draw.coverage >= 1.0 and draw.quality in _MEASURED)


def supplied(node: NodeState, look: Look) -> Load:
    """Give what flows through a contract's node. Without its meter that is no less than what hangs on it draws.

    It may be more: what is measured below it is not all that it supplies.
    """
    load, plan = load_of(node.known_draw), node.plan
    if not plan.meters or is_metered_now(plan, look):
        return load
    aged = meter_draw(plan.meters[0], look, plan.ceiling_watts)
    best = None if aged.rank > ESTIMATED or aged.best is None else max(aged.best, load.lo)
    return Load(max(aged.lo, load.lo), best, max(aged.hi, load.hi), is_measured=False)


def _demand_span(account: Account) -> Span | None:
    """Give the demand that is certain or possible already: of the last whole interval, and of the running one."""
    limit, last, projection = account.limit.limit_watts, account.meter.last, account.projection
    found: list[Span] = []
    if last is not None:
        found.append(Span(last.lo / limit, last.hi / limit))
    if projection is not None:
        found.append(Span(projection.certain_watts / limit, projection.possible_watts / limit))
    return Span(max(span.lo for span in found), max(span.hi for span in found)) if found else None


def power_words(watts: float) -> str:
    """Write a power as people say it: `9.1 MW`, `350 kW`."""
    return f"{watts / 1e6:.3g} MW" if abs(watts) >= 1e6 else f"{kilo(watts):.3g} kW"  # noqa: PLR2004 - a million

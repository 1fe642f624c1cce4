"""What breaks next: every load that has a limit, watched for a climb that ends there (rule 29).

Each load is kept as an hour of minute means and asked every five minutes, a thirtieth of them in each slot. A forecast
is shown once it has stood for a quarter of an hour. A load that comes back is another load: the past of one is
forgotten while a feed of it is dead or an order to draw less concerns it, for five minutes after, and where the
configuration gives it another limit or other machines. The rule is switched off as it ships; switched on it shows one
target a day, the first to break.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

from keeld.alerts.alarm import Evidence, Target
from keeld.alerts.board import Board, Key
from keeld.alerts.machine import Span
from keeld.alerts.rules import PLANT
from keeld.budgets.forecast import EVALUATE_MINUTES
from keeld.budgets.source import MINUTE_NS, SECOND_NS
from keeld.budgets.window import SLOT_S
from keeld.metrics import BREACH, BREACH_LOWER, BREACH_UPPER
from keeld.model import AlertState, Moment, Reading
from keeld.views import Forecast
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.prospects import Prospect, prospects
from keeld.watch.racks import SLOT_CAP_S
from keeld.watch.subjects import Subject

RULE = "forecast_breach"
QUIET_NS = 5 * MINUTE_NS
_EVERY_SLOTS = round(EVALUATE_MINUTES * 60 / SLOT_S)
_DAY_NS = 86_400 * SECOND_NS
_EVALUATION_COST = 15
_SHOWN_NOTE = "shown"


class NextToBreak(Duty):
    """All loads of a site that have a limit."""

    name: ClassVar[str] = "forecast"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.prospects = list(prospects(ground))
        self._climbing: dict[tuple[str, str, str], Prospect] = {}
        """Those with a forecast, held or not."""
        self._quiet: dict[tuple[str, str], int] = {}
        """Targets whose loads are not followed, to the monotonic time until when."""
        self._ranking: tuple[Forecast, ...] = ()
        self._first: dict[tuple[str, str], Forecast] = {}
        """The soonest of each target."""
        self._judged = _judged(self.prospects, ground)
        self._chosen: Key | None = None
        """The one target that may begin to be shown."""
        self._shown_ns: int | None = None
        """Wall time at which the last one was shown."""

    def subjects(self) -> Iterator[Subject]:
        """List the rule at every target that has a limit."""
        rules = self.ground.rules
        for target in {prospect.target: None for prospect in self.prospects}:
            levels = rules.levels(RULE, PLANT, target)
            if levels:
                yield Subject(rules.rule(RULE), levels, target)

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Note every load, ask those whose turn it is, and run the rule."""
        self._quieten(slot)
        minute = (slot.look.mono_ns - 1) // MINUTE_NS
        turn = slot.look.mono_ns // (MINUTE_NS * EVALUATE_MINUTES // _EVERY_SLOTS) % _EVERY_SLOTS
        for index, prospect in enumerate(self.prospects):
            self._note(prospect, minute)
            if index % _EVERY_SLOTS == turn:
                self._ask(prospect, slot.look.mono_ns // MINUTE_NS)
                yield _EVALUATION_COST
        self._ranking = self._rank() if self._climbing else ()
        self._first = {(found.target_kind, found.target_id): found for found in reversed(self._ranking)}
        self._judge(board, slot.now)

    def _quieten(self, slot: Slot) -> None:
        """Follow no load whose supply is, or may be, dead, or that was ordered down; begin anew once it is back."""
        feeds, orders = self.ground.feeds, self.ground.orders
        for rack_id, letter in feeds.suspects:
            self._quieten_rack(rack_id, (letter,), slot)
        if orders.all:
            for rack_id, state in self.ground.racks.items():
                if orders.is_curtailed(rack_id, slot.now.wall_ns):
                    self._quieten_rack(rack_id, state.plan.feeds, slot)
        if self._quiet:
            self._quiet = {name: until for name, until in self._quiet.items() if until > slot.look.mono_ns}

    def _quieten_rack(self, rack_id: str, letters: Iterable[str], slot: Slot) -> None:
        """Leave out a rack, the cooling that takes its heat, and all that its feeds hang on."""
        until_ns = slot.look.mono_ns + QUIET_NS
        plan = self.ground.topology.racks[rack_id]
        self._quiet["rack", rack_id] = until_ns
        for cooler in (plan.rack.cooling_air, plan.rack.cooling_liquid):
            self._quiet["cooling_node", cooler or ""] = until_ns
        for letter in letters:
            node = plan.feeds[letter].node
            for name in self.ground.topology.ancestors(None if node is None else node.id):
                self._quiet["power_node", name] = until_ns

    def _note(self, prospect: Prospect, minute: int) -> None:
        if not self._quiet or (prospect.target.kind, prospect.target.id) not in self._quiet:
            prospect.note(minute)
            return
        prospect.restart()
        self._climbing.pop(prospect.identity, None)

    def _ask(self, prospect: Prospect, minute: int) -> None:
        if prospect.minutes.evaluate(minute) is None:
            self._climbing.pop(prospect.identity, None)
        else:
            self._climbing[prospect.identity] = prospect

    def _rank(self) -> tuple[Forecast, ...]:
        held = [prospect for prospect in self._climbing.values() if prospect.minutes.is_held]
        views = (prospect.view() for prospect in sorted(held, key=_soonest_first))
        return tuple(view for view in views if view is not None)

    @property
    def ranking(self) -> tuple[Forecast, ...]:
        """List what will break, soonest first, as it stood when the last slot closed."""
        return self._ranking

    def outlook(self, target: Target) -> str:
        """Say when the first load of a target reaches its limit, as a sentence; empty where none is on the way."""
        mine = [
            prospect
            for prospect in self._climbing.values()
            if (prospect.target.kind, prospect.target.id) == (target.kind, target.id) and prospect.minutes.is_held
        ]
        return min(mine, key=_soonest_first).words() if mine else ""

    def readings(self, kind: str, name: str) -> Iterable[Reading]:
        """Give the times until a target's first limit is reached; the site's are those of the first in the ranking."""
        if not self._ranking:
            return ()
        found = self._ranking[0] if kind == "site" else self._first.get((kind, name))
        if found is None:
            return ()
        times = ((BREACH_LOWER, found.lower_s), (BREACH, found.median_s), (BREACH_UPPER, found.upper_s))
        return [Reading(metric, time_s) for metric, time_s in times if time_s is not None]

    def _judge(self, board: Board, now: Moment) -> None:
        if self._chosen is not None and self._chosen not in board.alarms:
            self._chosen = None
        rule = self.ground.rules.rule(RULE)
        firsts = [min(group, key=_soonest_first) for group in self._judged]
        for prospect in sorted(firsts, key=_soonest_first):
            if board.find(rule, prospect.target) is not None or self._may_begin(prospect, now):
                self._judge_one(prospect, board, now)

    def _may_begin(self, prospect: Prospect, now: Moment) -> bool:
        """Whether this one may be the one of the day."""
        if prospect.minutes.forecast is None or self._chosen is not None:
            return False
        return self._shown_ns is None or now.wall_ns - self._shown_ns >= _DAY_NS

    def _judge_one(self, prospect: Prospect, board: Board, now: Moment) -> None:
        rule, target = self.ground.rules.rule(RULE), prospect.target
        levels = self.ground.rules.levels(RULE, PLANT, target)
        board.judge(rule, levels, target, _evidence(prospect, len(levels)), now=now, cap_s=SLOT_CAP_S)
        alarm = board.find(rule, target)
        key = (rule.name, target.kind, target.id)
        if alarm is not None and alarm.state is AlertState.PENDING:
            self._chosen = key
        elif self._chosen == key:
            self._chosen = None
            self._shown_ns = now.wall_ns if alarm is not None else self._shown_ns

    def keep(self, before: NextToBreak) -> None:
        """Take over the past of loads whose limit and machines are the same."""
        past = {prospect.identity: prospect for prospect in before.prospects}
        for prospect in self.prospects:
            other = past.get(prospect.identity)
            if other is not None and (other.configured, other.members) == (prospect.configured, prospect.members):
                prospect.minutes = other.minutes
                if prospect.minutes.forecast is not None:
                    self._climbing[prospect.identity] = prospect
        self._quiet, self._shown_ns = dict(before._quiet), before._shown_ns

    def memory(self) -> Mapping[str, bytes]:
        """Give the time of the last one shown: a restart begins no new day."""
        return {} if self._shown_ns is None else {_SHOWN_NOTE: json.dumps(self._shown_ns).encode()}

    def recall(self, memory: Mapping[str, bytes], now: Moment) -> None:
        """Take that time back; one in the future is that of a clock that was wrong."""
        try:
            shown_ns = json.loads(memory.get(_SHOWN_NOTE, b"null"))
        except ValueError:
            return
        if type(shown_ns) is int and 0 < shown_ns <= now.wall_ns:
            self._shown_ns = shown_ns


def _judged(found: Iterable[Prospect], ground: Ground) -> list[list[Prospect]]:
    """Gather the loads of each target where the rule is switched on."""
    groups: dict[Target, list[Prospect]] = {}
    for prospect in found:
        groups.setdefault(prospect.target, []).append(prospect)
    return [group for target, group in groups.items() if ground.rules.levels(RULE, PLANT, target)]


def _soonest_first(prospect: Prospect) -> tuple[float, float, str]:
    """Order what breaks next; of two at the same time the fuller one stands first."""
    fullness = 0.0 if prospect.load is None else prospect.load / prospect.limit
    return prospect.soonest_minutes, -fullness, prospect.target.id


def _evidence(prospect: Prospect, levels: int) -> Evidence:
    """Put a forecast into evidence: judged in minutes, shown as the load against its limit."""
    minutes, load = prospect.soonest_minutes, prospect.load
    return Evidence(
        spans=(None if load is None else Span(minutes, minutes),) * levels,
        lo=load,
        best=load,
        hi=load,
        limit=prospect.limit,
        unit=prospect.unit,
        base=prospect.base,
        what="now",
        detail=prospect.words(),
        is_known=load is not None,
    )

"""The watch: takes batches, closes slots, runs rules, gives transitions and derived batches.

Theory of operation. `feed` updates the sources of one device and runs the rules that must not wait. Every ten seconds,
on the wall's grid, `tick` closes a slot: it walks racks, feeds, nodes and sources once, in slices, so that no call
takes long; while slices remain, `next_wake` is in the past. All time that is measured is monotonic: a step of the
wall clock moves the grid and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from keeld.alerts.board import Board
from keeld.alerts.restored import RestoredAlarm
from keeld.budgets.source import SECOND_NS, Look
from keeld.budgets.topology import Topology, build
from keeld.budgets.window import SLOT_S
from keeld.model import OWN_DRIVER, Batch, Moment, Site, SiteView, Transition
from keeld.settings import RuleSettings
from keeld.watch.derived import Publisher
from keeld.watch.racks import RackState, judge_density
from keeld.watch.rulebook import Rulebook
from keeld.watch.views import site_view

SLOT_NS = int(SLOT_S * SECOND_NS)
LATE_NS = 600 * SECOND_NS
"""Batches older than two windows are history: they judge nothing."""
FIRST_NS = SECOND_NS
"""Derived values are first given this long after the first readings, not at the end of the first slot."""
SLICE = 400
"""Sources looked at in one call of `tick`: about a millisecond."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a tick gave: moves of alarms, and keeld's own derived batches."""

    transitions: tuple[Transition, ...]
    batches: tuple[Batch, ...]


class Watch:
    """Judges one site. Nothing here waits, reads a clock or fails on what a device said."""

    def __init__(
        self,
        site: Site,
        rules: Mapping[str, RuleSettings],
        *,
        now: Moment,
        restored: Sequence[RestoredAlarm] = (),
        unverifiable_s: float = 7200.0,
    ) -> None:
        self._board = Board(site.name, timezone=site.timezone, unverifiable_s=unverifiable_s)
        self._slot = 0
        self._slot_end_ns = _next_boundary(now)
        self._missed = 0
        self._closing: Iterator[int] | None = None
        self._first_ns: int | None = None
        self._has_published = False
        self._batches: list[Batch] = []
        self._build(build(site), rules, now)
        self._restore(restored, now)

    def _build(self, topology: Topology, rules: Mapping[str, RuleSettings], now: Moment) -> None:
        self._topology = topology
        self._rules = Rulebook(rules)
        look = Look(now.mono_ns)
        self._racks = {plan.rack.id: RackState(plan, self._rules, look) for plan in topology.racks.values()}
        self._publisher = Publisher(topology.site)

    def _restore(self, restored: Sequence[RestoredAlarm], now: Moment) -> None:
        return

    def feed(self, batch: Batch, now: Moment) -> tuple[Transition, ...]:
        """Take a batch; give what the rules that must not wait make of it."""
        if batch.device.driver == OWN_DRIVER:
            return ()
        intake = self._topology.intakes.get(batch.device.id)
        age_ns = now.wall_ns - batch.time_ns
        if intake is None or age_ns > LATE_NS:
            return ()
        if not intake.take(batch, now.mono_ns - max(0, age_ns), self._slot):
            return ()
        if batch.readings and self._first_ns is None:
            self._first_ns = now.mono_ns + FIRST_NS
        return self._board.take_moves()

    def next_wake(self) -> int:
        """Monotonic time at which `tick` has something to do; in the past while a slot is being closed."""
        if self._closing is not None:
            return 0
        if self._first_ns is not None and not self._has_published:
            return min(self._first_ns, self._slot_end_ns)
        return self._slot_end_ns

    def tick(self, now: Moment) -> Outcome:
        """Do what is due, a slice at a time."""
        if self._closing is None and now.mono_ns >= self._slot_end_ns:
            self._closing = self._close_slot(now)
        if self._closing is not None:
            self._run_slice()
        elif self._first_ns is not None and not self._has_published and now.mono_ns >= self._first_ns:
            self._publish_first(now)
        batches, self._batches = tuple(self._batches), []
        return Outcome(self._board.take_moves(), batches)

    def _run_slice(self) -> None:
        left = SLICE
        for cost in self._closing or ():
            left -= cost
            if left <= 0:
                return
        self._closing = None

    def _close_slot(self, now: Moment) -> Iterator[int]:
        look = Look(self._slot_end_ns, self._slot)
        missed = (now.mono_ns - self._slot_end_ns) // SLOT_NS
        self._slot += 1
        self._slot_end_ns = _next_boundary(now)
        for state in self._racks.values():
            state.close(look, missed=missed)
            judge_density(state, self._rules, self._board, now)
            self._batches.append(self._publisher.rack(state, now))
            yield 1 + len(state.plan.loads)
        self._board.review(now)
        self._has_published = True

    def _publish_first(self, now: Moment) -> None:
        look = Look(now.mono_ns)
        for state in self._racks.values():
            state.see(look)
            self._batches.append(self._publisher.rack(state, now))
        self._has_published = True

    def view(self, now: Moment) -> SiteView:
        """Give the site as it stands."""
        look = Look(now.mono_ns)
        for state in self._racks.values():
            state.see(look)
        return site_view(self._topology, self._racks, self._rules, self._board, now)

    def snapshot(self) -> tuple[RestoredAlarm, ...]:
        """Give every alarm that is not OK, as it must survive a restart."""
        return self._board.snapshot()


def _next_boundary(now: Moment) -> int:
    """Monotonic time of the next slot's end on the wall grid, at least half a slot away."""
    left_ns = SLOT_NS - now.wall_ns % SLOT_NS
    if left_ns < SLOT_NS // 2:
        left_ns += SLOT_NS
    return now.mono_ns + left_ns

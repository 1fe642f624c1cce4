"""The watch: takes batches, closes slots, runs rules, gives transitions and derived batches.

Theory of operation. `feed` updates the sources of one device and runs the rules that must not wait. Every ten seconds,
on the wall's grid, `tick` closes a slot: it walks racks, feeds, nodes and sources once, in slices, so that no call
takes long; while slices remain, `next_wake` is in the past. All time that is measured is monotonic: a step of the
wall clock moves the grid and nothing else.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from keeld.alerts.acts import Act, Done
from keeld.alerts.board import Board
from keeld.alerts.holds import Holds
from keeld.alerts.restored import RestoredAlarm
from keeld.budgets.aftermath import FailoverCase
from keeld.budgets.headroom import Headroom
from keeld.budgets.intake import METERING_KINDS
from keeld.budgets.source import SECOND_NS, Look
from keeld.budgets.topology import build
from keeld.budgets.window import SLOT_S
from keeld.contract import CurtailOrder
from keeld.health import OwnState
from keeld.model import OWN_DRIVER, Batch, Moment, RuleSettings, Site, Transition
from keeld.views import OrderView, SiteView
from keeld.watch.acting import Floor, perform
from keeld.watch.changes import note_order, note_reload, note_restart
from keeld.watch.curtail import Curtailment
from keeld.watch.desk import Desk
from keeld.watch.feeds import CHECK_NS
from keeld.watch.forecast import NextToBreak
from keeld.watch.memory import gather_notes, hand_back
from keeld.watch.outlook import failover_cases, failover_without, headroom_of
from keeld.watch.own import Own
from keeld.watch.reach import note_first_sight, rulebook, settle
from keeld.watch.state import SiteState, findings
from keeld.watch.subjects import Subject
from keeld.watch.views import site_view

SLOT_NS = int(SLOT_S * SECOND_NS)
LATE_NS = 600 * SECOND_NS
"""Batches older than two windows are history: they judge nothing."""
FIRST_NS = SECOND_NS
"""Derived values are first given this long after the first readings, not at the end of the first slot."""
MOST_MISSED = 1080
"""Slots of the longest window: more that were slept through change nothing."""
SLICE = 300
"""Work done in one call of `tick`, in units of about 5 us; steps cost up to three times what they say."""


class Acted(NamedTuple):
    """What an act came to: moves of alarms, and words for whoever acted."""

    transitions: tuple[Transition, ...]
    done: Done


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
        unrecorded: Container[str] = (),
        observe_s: float = 0.0,
        publishes: bool = True,
    ) -> None:
        """Begin to watch. Devices that are `unrecorded` are missed only once something was heard of them.

        What is new is only observed for `observe_s`: judged and shown, not sent. Derived batches cost a quarter of
        judging: where nobody takes them it need not make them.
        """
        holds = Holds(timezone=site.timezone, observe_s=observe_s)
        self._board = Board(site.name, timezone=site.timezone, unverifiable_s=unverifiable_s, holds=holds)
        self._started_ns = now.mono_ns
        self._slot = 0
        self._slot_end_ns = _next_boundary(now)
        self._check_ns: int | None = None
        self._first_ns: int | None = None
        self._publishes = publishes
        self._has_published = not publishes
        self._closing: Iterator[int] | None = None
        self._moved: set[tuple[str, str]] = set()
        self._batches: list[Batch] = []
        topology = build(site)
        for name, intake in topology.intakes.items():
            intake.is_awaited &= name not in unrecorded
        self._state = SiteState(topology, rulebook(rules, topology), now)
        self._settle_board()
        self._restore(restored, now)

    def feed(self, batch: Batch, now: Moment) -> tuple[Transition, ...]:
        """Take a batch; give what the rules that must not wait make of it."""
        device = batch.device
        if device.driver == OWN_DRIVER:
            return ()
        intake = self._state.topology.intakes.get(device.id)
        age_ns = max(0, now.wall_ns - batch.time_ns)
        if intake is None or age_ns > LATE_NS:
            return ()
        is_first = intake.answered_ns is None
        if not intake.take(batch, now.mono_ns - age_ns, self._slot):
            return ()
        if self._first_ns is None and batch.readings:
            self._first_ns = now.mono_ns + FIRST_NS
        listeners = self._state.listeners.get(device.id)
        if listeners is not None:
            for duty in listeners:
                duty.arrive(intake, batch, self._board, now)
        if intake.device.kind not in METERING_KINDS:
            return () if listeners is None else self._take_moves()
        self._state.arrive(intake, self._board, now, is_first=is_first)
        if self._state.feeds.observe(intake, batch.group) and self._check_ns is None:
            self._check_ns = now.mono_ns
        return self._take_moves()

    def next_wake(self) -> int:
        """Monotonic time at which `tick` has something to do; in the past while a slot is being closed."""
        if self._closing is not None or self._moved:
            return 0
        due_ns = self._slot_end_ns
        if self._first_ns is not None and not self._has_published:
            due_ns = min(due_ns, self._first_ns)
        if self._check_ns is not None:
            due_ns = min(due_ns, self._check_ns)
        return self._state.next_due_ns(due_ns)

    def tick(self, now: Moment) -> Outcome:
        """Do what is due, a slice at a time."""
        self._state.judge_waiting(self._board, now)
        self._state.judge_due(self._board, now)
        self._check_feeds(now)
        if self._closing is None:
            self._closing = self._begin(now)
        if self._closing is not None:
            self._run_slice()
        transitions = self._take_moves()
        self._publish_moved(now)
        batches = tuple(self._batches)
        self._batches.clear()  # in place: a slot that is being closed goes on filling it
        return Outcome(transitions, batches)

    def _take_moves(self) -> tuple[Transition, ...]:
        moves = self._board.take_moves()
        if moves:
            self._moved.update((move.target_kind, move.target_id) for move in moves)
        return moves

    def _check_feeds(self, now: Moment) -> None:
        if self._check_ns is None or now.mono_ns < self._check_ns:
            return
        state = self._state
        state.feeds.judge(state.rules, self._board, now)
        self._check_ns = now.mono_ns + CHECK_NS if state.feeds.suspects else None

    def _run_slice(self) -> None:
        left = SLICE
        for cost in self._closing or ():
            left -= cost
            if left <= 0:
                return
        self._closing = None

    def _close_slot(self, now: Moment) -> Iterator[int]:
        """Close the slot that has ended; later calls of `tick` go on with the same moment."""
        look = Look(self._slot_end_ns, self._slot)
        missed = min(MOST_MISSED, (now.mono_ns - self._slot_end_ns) // SLOT_NS)
        self._slot += 1
        self._slot_end_ns = _next_boundary(now)
        note_first_sight(self._board, self._state.rules, self._state.racks, now)
        yield from self._state.close(
            look, self._board, now, missed=missed, batches=self._batches if self._publishes else None
        )
        yield from self._board.review_slowly(now)
        self._has_published = True

    def _begin(self, now: Moment) -> Iterator[int] | None:
        """Give the walk over the site that is due, if one is."""
        if now.mono_ns >= self._slot_end_ns:
            return self._close_slot(now)
        if self._first_ns is not None and not self._has_published and now.mono_ns >= self._first_ns:
            return self._publish_first(now)
        return None

    def _publish_first(self, now: Moment) -> Iterator[int]:
        yield from self._state.walk(self._look(now))
        yield from self._state.publish_all(now, self._batches)
        self._has_published = True

    def _look(self, now: Moment) -> Look:
        """Look at this instant; before the first slot has closed at all of it, as one sample of a swing is no load."""
        return Look(now.mono_ns, None if self._slot else self._slot)

    def _publish_moved(self, now: Moment) -> None:
        """Give fresh values of what an alarm moved about, beside those of every slot."""
        if self._moved and self._closing is None:
            if self._publishes:
                self._batches += self._state.publish(self._moved, now)
            self._moved.clear()

    def view(self, now: Moment) -> SiteView:
        """Give the site as it stands."""
        self._state.see(self._look(now))
        return site_view(self._state, self._board, now)

    def failover(self, now: Moment, rack_id: str | None = None) -> Iterator[FailoverCase]:
        """Say what would happen if a feed or node died now: every case, or those that take a feed from one rack.

        Cases are worked out as they are asked for, so that a caller may let others run between two of them.
        """
        return failover_cases(self._state, now, rack_id)

    def headroom(self, now: Moment, rack_id: str | None = None) -> Iterator[Headroom | None]:
        """Say what may be added to each rack, or to one; None between two where a caller may let others run."""
        return headroom_of(self._state, now, rack_id)

    def failover_without(self, targets: Sequence[tuple[str, str]], now: Moment) -> FailoverCase | None:
        """Say what would happen if these died together, (`feed`, `rack/letter`) and (`power_node`, id); None for none.

        Work is announced on paths: this is what it does before it begins.
        """
        return failover_without(self._state, targets, now)

    @property
    def urgent(self) -> frozenset[str]:
        """Devices that measure a circuit loaded over 90 %: worth reading every 2 s."""
        return frozenset(self._state.urgent)

    def findings(self) -> tuple[str, ...]:
        """List what cannot be judged as configured, as sentences: facts about the site, never alarms."""
        return findings(self._state)

    def memory(self) -> Mapping[str, bytes]:
        """Give the notes that board and duties want to find again after a restart, by `duty/key`."""
        return gather_notes(self._board, self._state.duties)

    def recall(self, memory: Mapping[str, bytes], now: Moment) -> None:
        """Hand the notes of before the restart back to board and duties; call it before the first batch."""
        hand_back(memory, self._board, self._state.duties, now)
        if memory:
            note_restart(self._board.context, now)

    def note_self(self, own: OwnState, now: Moment) -> None:
        """Take how keeld itself does; it is judged at the end of the slot."""
        for duty in self._state.duties:
            if isinstance(duty, Own):
                duty.note(own, now)

    @property
    def site_name(self) -> str:
        """Give the site's id, as it stands in every key."""
        return self._board.site

    def subjects(self) -> Iterator[Subject]:
        """List every rule at each target that it is judged at."""
        return self._state.subjects()

    def snapshot(self) -> tuple[RestoredAlarm, ...]:
        """Give every alarm that is not OK, as it must survive a restart."""
        return self._board.snapshot()

    def act(self, act: Act, now: Moment) -> Acted:
        """Do what somebody asks for; raises RefusedError, and then nothing has changed."""
        done = perform(act, Floor(self._board, self._state.subjects, now))
        return Acted(self._take_moves(), done)

    @property
    def desk(self) -> Desk:
        """What people who look after alarms ask for: rules, shelves, works, figures."""
        return Desk(self._board, self._state, self.failover_without)

    def _settle_board(self) -> None:
        """Let the board know this configuration: what selectors mean in it, and what work takes out of service."""
        settle(self._board, self._state.topology, self._state.rules)
        self._board.context.outlook = next(duty.outlook for duty in self._state.duties if isinstance(duty, NextToBreak))

    def curtail(self, order: CurtailOrder, now: Moment) -> bool:
        """Take an order to draw less, in place of one with its id; False where it concerns nothing here, or is over."""
        is_taken = order.ends_ns > now.wall_ns and self._state.orders.add(order)
        if is_taken:
            note_order(self._board.context, order, self._state.orders, now)
        return is_taken

    def cancel_order(self, order_id: str, now: Moment) -> tuple[Transition, ...]:
        """Forget an order; its alarm is withdrawn."""
        if self._state.orders.drop(order_id) is not None:
            self._board.withdraw([subject.key for subject in self._state.subjects()], now)
        return self._take_moves()

    def orders(self, now: Moment) -> tuple[OrderView, ...]:
        """List the orders to draw less, ended ones for an hour, with how their loads stand to them."""
        return tuple(chain.from_iterable(
            duty.views(now.wall_ns) for duty in self._state.duties if isinstance(duty, Curtailment)
        ))  # fmt: skip

    def _restore(self, restored: Sequence[RestoredAlarm], now: Moment) -> None:
        known = {subject.key: subject for subject in self._state.subjects()}
        for saved in restored:
            subject = known.get((saved.rule, saved.target_kind, saved.target_id))
            if subject is None:
                self._board.withdraw_saved(saved, now)
            else:
                self._resume(saved, subject, now)
        self._check_ns = now.mono_ns if self._state.feeds.suspects else None

    def _resume(self, saved: RestoredAlarm, subject: Subject, now: Moment) -> None:
        self._board.restore(saved, subject.rule, subject.levels, subject.target, now)
        self._state.feeds.resume(saved)

    def reload(
        self, site: Site, rules: Mapping[str, RuleSettings], now: Moment, *, observe_s: float | None = None
    ) -> tuple[Transition, ...]:
        """Take a new configuration: what did not change keeps its past, what has gone is withdrawn."""
        if observe_s is not None:
            self._board.holds.observing.span_s = observe_s
        before = self._state
        saved = {(alarm.rule, alarm.target_kind, alarm.target_id): alarm for alarm in self._board.snapshot()}
        self._closing = None
        topology = build(site, before.topology.intakes)
        self._state = SiteState(topology, rulebook(rules, topology), now)
        self._settle_board()
        self._state.keep(before)
        known = {subject.key: subject for subject in self._state.subjects()}
        turned = {
            name for name, state in self._state.racks.items()
            if name in before.racks and before.racks[name].plan.rack.state != state.plan.rack.state
        }  # fmt: skip
        note_reload(self._board.context, turned, self._state.racks, now)
        kept = [key for key in known if not (key[1] == "rack" and key[2] in turned)]
        self._board.withdraw(kept, now)
        for key, alarm in saved.items():
            if key in self._board.alarms:
                self._resume(alarm, known[key], now)
        self._check_ns = now.mono_ns if self._state.feeds.suspects else None
        return self._take_moves()


def _next_boundary(now: Moment) -> int:
    """Monotonic time of the next slot's end on the wall grid, at least half a slot away."""
    left_ns = SLOT_NS - now.wall_ns % SLOT_NS
    if left_ns < SLOT_NS // 2:
        left_ns += SLOT_NS
    return now.mono_ns + left_ns

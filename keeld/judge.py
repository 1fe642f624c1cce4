"""Bring `watch` to life: feed it every batch, wake it when it asks, and keep and hand on what it finds.

`watch` is called in line, on the event loop and before anything is stored: an alarm waits for no disk and no network.
A transition is committed together with its messages and only then sent; transitions are committed in their order.
"""

from __future__ import annotations

import asyncio
import collections
import time
from collections.abc import Callable, Sequence
from dataclasses import fields

from keeld import host
from keeld.alerts.acts import Act, Done, RefusedError
from keeld.alerts.restored import RestoredAlarm
from keeld.fanout import Fanout
from keeld.health import Health
from keeld.live import Live
from keeld.model import Batch, Moment, Transition
from keeld.settings import ChannelSettings
from keeld.state import Audited, State
from keeld.text import clean
from keeld.watch import Watch

_NOTES_S = 60.0
_LONGEST_SLEEP_S = 0.25
"""A batch may bring the next wake nearer; looking this often costs nothing and needs no signal."""


def moment_now() -> Moment:
    """Read both clocks."""
    return Moment(time.time_ns(), time.monotonic_ns())


class Judge:
    """The one place where batches meet the rules."""

    def __init__(self, watch: Watch, state: State, fanout: Fanout, live: Live, health: Health) -> None:
        self.watch = watch
        self.channels: Sequence[ChannelSettings] = ()
        self.on_committed: Callable[[Sequence[Transition]], None] = lambda _: None
        self.drills: dict[str, RestoredAlarm] = {}
        """Drills that stand, by key: kept with the alarms, so that a restart ends them."""
        self._state = state
        self._fanout = fanout
        self._live = live
        self._health = health
        self._moves: collections.deque[Transition] = collections.deque()
        self._moved = asyncio.Event()

    def take(self, batch: Batch) -> None:
        """Take a batch from a poller: it becomes visible, is judged, and goes to every subscriber."""
        self._live.record(batch)
        self._fanout.publish(batch)
        now = moment_now()
        self._health.progress["poll"] = now.mono_ns
        self.note(self.watch.feed(batch, now))

    async def run(self) -> None:
        """Wake `watch` at its times, for ever."""
        while True:
            wait_s = (self.watch.next_wake() - time.monotonic_ns()) / 1e9
            await asyncio.sleep(min(_LONGEST_SLEEP_S, max(0.0, wait_s)))
            now = moment_now()
            self._health.progress["judge"] = now.mono_ns
            if self.watch.next_wake() > now.mono_ns:
                continue
            outcome = self.watch.tick(now)
            self.note(outcome.transitions)
            for batch in outcome.batches:
                self._fanout.publish(batch)
            host.collect_young()

    async def run_notes(self) -> None:
        """Keep what the watch wants to find again after a restart, once a minute, for ever."""
        while True:
            await asyncio.sleep(_NOTES_S)
            await self.keep_notes()
            await self.commit(also_still=True)

    async def keep_notes(self) -> None:
        """Keep the notes of the watch."""
        await self._state.keep_notes(self.watch.memory(), time.time_ns())

    async def act(self, act: Act, who: str) -> Done:
        """Do what somebody asks for, durably, and keep it in the audit; raises RefusedError for what cannot be done."""
        now = moment_now()
        try:
            acted = self.watch.act(act, now)
        except RefusedError as error:
            await self._state.record(_audited(act, who, now, str(error), was_done=False))
            raise
        self.note(acted.transitions)
        await self.commit()
        await self.keep_notes()
        await self._state.record(_audited(act, who, now, acted.done.words, was_done=True))
        return acted.done

    async def run_commits(self) -> None:
        """Commit what has moved, in order, for ever."""
        while True:
            await self._moved.wait()
            await self.commit()

    async def commit(self, *, also_still: bool = False) -> None:
        """Make what has moved durable and let the channels have their messages.

        `also_still` does so where nothing moved: a delay that runs for long must not begin anew after a restart.
        """
        self._moved.clear()
        moves = tuple(self._moves)
        self._moves.clear()
        if not (moves or also_still):
            return
        kept = (*self.watch.snapshot(), *self.drills.values())
        await self._state.commit(moves, kept, channels=self.channels)
        if moves:
            self.on_committed(moves)

    def note(self, moves: Sequence[Transition]) -> None:
        """Take transitions, in order; a reload that withdrew targets brings its own."""
        if not moves:
            return
        for move in moves:
            self._health.transitions[str(move.after)] += 1
        self._moves.extend(moves)
        self._moved.set()


def _audited(act: Act, who: str, now: Moment, result: str, *, was_done: bool) -> Audited:
    """Write down an act: every word of it that is not empty."""
    written = ((field.name, getattr(act, field.name)) for field in fields(act))
    about = ", ".join(f"{name}={value}" for name, value in written if value not in ("", None, 0))
    return Audited(
        time_ns=now.wall_ns,
        who=who,
        act=type(act).__name__.lower(),
        about=clean(about, 500),
        was_done=was_done,
        result=clean(result, 500),
    )

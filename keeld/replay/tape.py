"""Feed the lines of a recording to a watch, and let time pass between them.

Theory of operation. A line's time (`received`, where it says when keeld got it) moves both clocks of the simulation;
before it is fed, the watch is woken at every time it asked for on the way. Time never runs back: a line older than the
newest one judges nothing, as a reading that is filled in later judges nothing live. A time far ahead of all others is
believed when the next line agrees with it, so that one mangled line cannot carry a day of readings into the past.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from keeld.alerts.acts import Act, RefusedError
from keeld.alerts.restored import RestoredAlarm
from keeld.batch_json import BadBatchError, BatchReader, read_form, read_time
from keeld.contract import CurtailOrder
from keeld.model import Moment, RuleSettings, Site, Transition
from keeld.replay.events import CancelOrder, ClockStep, Event, RackMove, Restart, read_event
from keeld.watch import Watch

_SECOND_NS = 1_000_000_000
_FAR_NS = 7 * 86_400 * _SECOND_NS
_GAP_MOST_NS = 86_400 * _SECOND_NS
"""Of a longer silence between two lines so much is lived through; for the rest keeld did not run."""
_START_MONO_NS = 1_000 * _SECOND_NS
_NOTES_EVERY_NS = 60 * _SECOND_NS

Tell = Callable[[Sequence[Transition]], None]
Complain = Callable[[int, str], None]


@dataclass(slots=True)
class Tally:
    """What became of the lines."""

    lines: int = 0
    batches: int = 0
    events: int = 0
    late: int = 0
    """Older than the newest line: judged nothing."""
    bad: int = 0


class _Line(NamedTuple):
    number: int
    at_ns: int
    form: Mapping[str, Any]


class Replay:
    """One recording being judged. `tell` gets the moves of alarms, `complain` a line's number and what is wrong."""

    def __init__(
        self,
        site: Site,
        rules: Mapping[str, RuleSettings],
        *,
        tell: Tell,
        complain: Complain,
        observe_s: float = 0.0,
    ) -> None:
        self.tally = Tally()
        self._site = site
        self._rules = rules
        self._observe_s = observe_s
        self._tell = tell
        self._complain = complain
        self._reader = BatchReader(site.devices)
        self._unrecorded = set(site.devices)
        """Devices that no line has spoken of: whether they are silent or were not recorded, nobody knows."""
        self._watch: Watch | None = None
        self._saved: Sequence[RestoredAlarm] = ()
        """Alarms as they were on disk after the last commit."""
        self._notes: Mapping[str, bytes] = {}
        """Notes of the watch as they were on disk, and when they were kept."""
        self._notes_due_ns = 0
        self._mono_ns = _START_MONO_NS
        self._wall_less_mono_ns = 0
        self._newest_ns: int | None = None
        self._far: _Line | None = None

    def take(self, number: int, line: bytes) -> None:
        """Take one line; a bad one is complained of and changes nothing."""
        self.tally.lines += 1
        try:
            form = read_form(line)
            at_ns = read_time(form.get("received", form.get("time")))
            self._place(_Line(number, at_ns, form))
        except BadBatchError as error:
            self._refuse(number, str(error))

    def _refuse(self, number: int, words: str) -> None:
        self.tally.bad += 1
        self._complain(number, words)

    def finish(self, *, run_on_s: float = 0.0) -> None:
        """Say that there are no more lines; time goes on for so long."""
        far, self._far = self._far, None
        if far is not None and self._newest_ns is None:
            self._play(far)
        elif far is not None:
            self._disbelieve(far)
        if self._newest_ns is not None and run_on_s > 0.0:
            self._pass_time(self._newest_ns + round(run_on_s * _SECOND_NS))

    def _place(self, line: _Line) -> None:
        """Play a line now, or keep it until the next one has shown whether its time can be believed."""
        far, self._far = self._far, None
        if self._newest_ns is not None and line.at_ns <= self._newest_ns + _FAR_NS:
            if far is not None:
                self._disbelieve(far)
            self._play(line)
        elif far is not None and abs(line.at_ns - far.at_ns) <= _FAR_NS:
            self._play(far)
            self._play(line)
        else:
            if far is not None:
                self._disbelieve(far)
            self._far = line

    def _disbelieve(self, line: _Line) -> None:
        self._refuse(line.number, "its time is more than 7 days from the lines before and after it")

    def _play(self, line: _Line) -> None:
        try:
            event = read_event(line.form) if "event" in line.form else None
            time_ns = None if "received" in line.form else line.at_ns
            batch = None if event is not None else self._reader.read(line.form, time_ns=time_ns)
        except BadBatchError as error:
            self._refuse(line.number, str(error))
            return
        if self._newest_ns is not None and line.at_ns < self._newest_ns:
            self.tally.late += 1
            age_s = (self._newest_ns - line.at_ns) / _SECOND_NS
            self._complain(line.number, f"{age_s:g} s older than the newest line: history only, it judges nothing")
            return
        watch = self._pass_time(line.at_ns)
        if batch is not None:
            self.tally.batches += 1
            self._unrecorded.discard(batch.device.id)
            self._note(watch.feed(batch, self._now))
        elif event is not None:
            self.tally.events += 1
            self._happen(watch, event, line.number)

    @property
    def _now(self) -> Moment:
        return Moment(self._mono_ns + self._wall_less_mono_ns, self._mono_ns)

    def _pass_time(self, wall_ns: int) -> Watch:
        """Wake the watch at its times until `wall_ns`."""
        self._newest_ns = wall_ns
        if self._watch is None:
            self._wall_less_mono_ns = wall_ns - self._mono_ns
            return self._begin(())
        watch, until_ns = self._watch, wall_ns - self._wall_less_mono_ns
        self._wake_until(watch, min(until_ns, self._mono_ns + _GAP_MOST_NS))
        self._mono_ns = until_ns
        return watch

    def _wake_until(self, watch: Watch, until_ns: int) -> None:
        while (wake_ns := watch.next_wake()) <= until_ns:
            self._mono_ns = max(self._mono_ns, wake_ns)
            self._note(watch.tick(self._now).transitions)
            if self._mono_ns >= self._notes_due_ns:
                self._notes, self._saved = watch.memory(), watch.snapshot()
                self._notes_due_ns = self._mono_ns + _NOTES_EVERY_NS

    def _note(self, moves: Sequence[Transition]) -> None:
        """Hand moves on, and keep what a commit of them would have put on disk."""
        if not moves or self._watch is None:
            return
        self._saved = self._watch.snapshot()
        self._tell(moves)

    def _happen(self, watch: Watch, event: Event, number: int) -> None:
        if isinstance(event, Restart):
            self._restart(event.down_s)
        elif isinstance(event, ClockStep):
            self._wall_less_mono_ns += round(event.step_s * _SECOND_NS)
            self._newest_ns = self._now.wall_ns
        elif isinstance(event, RackMove | CurtailOrder | CancelOrder):
            self._order(watch, event, number)
        else:
            self._act(watch, event, number)

    def _order(self, watch: Watch, event: RackMove | CurtailOrder | CancelOrder, number: int) -> None:
        """Do what was ordered, and let the site remember it for the next restart."""
        site = self._site
        if isinstance(event, RackMove):
            rack = site.racks.get(event.rack)
            if rack is None:
                self._refuse(number, f"no rack '{event.rack}'")
                return
            self._site = replace(site, racks={**site.racks, rack.id: rack.in_state(event.state)})
            self._note(watch.reload(self._site, self._rules, self._now))
        elif isinstance(event, CurtailOrder):
            order = event if event.target_id else replace(event, target_id=site.name)
            if not watch.curtail(order, self._now):
                self._refuse(number, f"nothing here is {order.target_kind} '{order.target_id}', or the order is over")
                return
            others = (each for each in site.orders if each.id != order.id)
            self._site = replace(site, orders=(*others, order))
        else:
            self._site = replace(site, orders=tuple(each for each in site.orders if each.id != event.order))
            self._note(watch.cancel_order(event.order, self._now))

    def _act(self, watch: Watch, act: Act, number: int) -> None:
        """Do what somebody asked for; an act is on disk before it counts."""
        try:
            acted = watch.act(act, self._now)
        except RefusedError as error:
            self._refuse(number, str(error))
            return
        self._note(acted.transitions)
        self._saved, self._notes = watch.snapshot(), watch.memory()

    def _restart(self, down_s: float) -> None:
        """Go on with what a kill would have left on disk: alarms as last committed, notes as last kept."""
        self._mono_ns += round(down_s * _SECOND_NS)
        self._newest_ns = self._now.wall_ns
        watch = self._begin([RestoredAlarm.load(alarm.dump()) for alarm in self._saved])
        watch.recall(self._notes, self._now)
        self._note(watch.tick(self._now).transitions)

    def _begin(self, alarms: Sequence[RestoredAlarm]) -> Watch:
        self._watch = Watch(
            self._site,
            self._rules,
            now=self._now,
            restored=alarms,
            unrecorded=self._unrecorded,
            observe_s=self._observe_s,
            publishes=False,
        )
        return self._watch

"""Demand: mean power over the intervals of a contract, what the running one will come to, and how much to shed.

Theory of operation. An interval is a block on the clock of the site's zone or, where demand is rolling, the last few of
shorter steps; a block is an interval of one step. Energy is added up within a step as an interval of its own: what was
not measured counts from nothing to what the connection can carry, and marks the step as estimated. Readings of an
energy counter replace what was added up between them. Wall time says which step a moment belongs to, and the length of
a slot how long it was. (power-cooling-alarms.md section 6.)
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from keeld.budgets.counter import follows
from keeld.budgets.energy import Energy, Load, together

_DAY_S = 86_400
_LEAST_LEFT_S = 1.0


def step_start_s(time_s: int, step_s: int, zone: ZoneInfo) -> int:
    """Give when the clock-aligned step around `time_s` began; the first of a day begins at local midnight.

    A change of summer time moves the clock by whole steps, as no contract has steps longer than it.
    """
    offset = datetime.fromtimestamp(time_s, UTC).astimezone(zone).utcoffset()
    offset_s = 0 if offset is None else round(offset.total_seconds())
    return time_s - (time_s + offset_s) % _DAY_S % step_s


def month_of(time_s: int, zone: ZoneInfo) -> str:
    """Give the month of a time in a zone, as `2026-11`."""
    return f"{datetime.fromtimestamp(time_s, UTC).astimezone(zone):%Y-%m}"


class Demand(NamedTuple):
    """Mean power over a whole interval, in W."""

    start_s: int
    lo: float
    best: float | None
    hi: float
    is_estimated: bool


class Projection(NamedTuple):
    """What the running interval comes to if the load stays as it is, in W, and what keeps it within a limit."""

    certain_watts: float
    """What its demand is already, whatever is shed now."""
    possible_watts: float
    """As above, if all that was not measured was as high as it could be."""
    lo: float
    best: float | None
    hi: float
    allowed_watts: float
    """Mean power that the rest of it may have; negative where the limit is lost already."""
    shed_watts: float
    """How much less than now that is; 0 where nothing need be shed."""
    left_s: float
    end_s: int
    is_estimated: bool


def project(
    so_far: Energy, now: Load, *, interval_s: float, left_s: float, limit_watts: float, end_s: int
) -> Projection:
    """Project an interval from its energy so far, and say what must be shed to keep its limit.

    What may still be drawn follows from the highest energy that the measurements allow: then it holds for certain.
    """
    mean = so_far.best_watts
    is_known = mean is not None or not so_far.seen_s
    best = None
    if now.best is not None and is_known:
        best = ((mean or 0.0) * so_far.seen_s + now.best * left_s) / interval_s
    allowed = (limit_watts * interval_s - so_far.hi) / max(left_s, _LEAST_LEFT_S)
    drawn = now.hi if now.best is None else now.best
    return Projection(
        certain_watts=so_far.lo / interval_s,
        possible_watts=so_far.hi / interval_s,
        lo=(so_far.lo + now.lo * left_s) / interval_s,
        best=best,
        hi=(so_far.hi + now.hi * left_s) / interval_s,
        allowed_watts=allowed,
        shed_watts=max(0.0, drawn - allowed),
        left_s=left_s,
        end_s=end_s,
        is_estimated=bool(so_far.seen_s) and so_far.is_estimated,
    )


class Count(NamedTuple):
    """A reading of an energy counter, at a wall time."""

    time_s: float
    watt_hours: float


@dataclass(slots=True)
class _Mark:
    """The first of the counter's readings that belong together within a step, and the energy up to it."""

    first: Count
    newest: Count
    before: Energy


class DemandMeter:
    """The demand of one contract. Invariant: finished steps follow one another without a gap."""

    def __init__(self, *, interval_s: int, step_s: int, zone: ZoneInfo, ceiling_watts: float) -> None:
        self.interval_s = interval_s
        self.step_s = step_s
        self.ceiling_watts = ceiling_watts
        self.steps = interval_s // step_s
        self._zone = zone
        self._done: deque[Demand] = deque(maxlen=self.steps)
        self._start_s: int | None = None
        self._running = Energy()
        self._mark: _Mark | None = None
        self.last: Demand | None = None
        """The last whole interval."""
        self.peak: Demand | None = None
        """The highest whole interval of this month."""

    def add(self, load: Load, *, end_s: float, span_s: float) -> list[Demand]:
        """Take the load of a slot that ended at `end_s`; give the whole intervals that this completed, oldest first."""
        start_s = step_start_s(int(end_s - span_s / 2), self.step_s, self._zone)
        finished = [] if start_s == self._start_s else self._begin(start_s)
        self._running.add(load, span_s)
        return finished

    def count(self, count: Count, load: Load, *, end_s: float, step_watt_hours: float) -> None:
        """Let a counter's reading within the slot just added correct what was added up since the one before."""
        if self._start_s is None or not self._start_s <= count.time_s <= end_s:
            return
        after = Energy()
        after.add(load, end_s - count.time_s)
        mark = self._mark
        if mark is None or not self._leads_to(mark.newest, count, step_watt_hours):
            self._mark = _Mark(count, count, self._running.less(after))
            return
        mark.newest = count
        added = self._running.less(after).less(mark.before)
        moved = count.watt_hours - mark.first.watt_hours
        counted = added.counted(moved, step_watt_hours, count.time_s - mark.first.time_s)
        self._running = together((mark.before, counted, after))

    def _leads_to(self, before: Count, count: Count, step_watt_hours: float) -> bool:
        return follows(
            count.watt_hours - before.watt_hours,
            count.time_s - before.time_s,
            ceiling_watts=self.ceiling_watts,
            step_watt_hours=step_watt_hours,
        )

    def _begin(self, start_s: int) -> list[Demand]:
        """Finish the running step, and those that passed unseen until `start_s`."""
        finished: list[Demand] = []
        began_s, self._start_s = self._start_s, start_s
        running, self._running, self._mark = self._running, Energy(), None
        if began_s is None or start_s < began_s:  # the first step, or the clock was put back
            self._done.clear()
            return finished
        self._finish(began_s, running, finished)
        unseen = (start_s - began_s) // self.step_s - 1
        for back in range(min(unseen, self.steps), 0, -1):
            self._finish(start_s - back * self.step_s, Energy(), finished)
        return finished

    def _finish(self, start_s: int, running: Energy, finished: list[Demand]) -> None:
        whole = running.filled(self.step_s, self.ceiling_watts)
        span_s = max(whole.seen_s, float(self.step_s))
        self._done.append(Demand(start_s, whole.lo / span_s, whole.best_watts, whole.hi / span_s, whole.is_estimated))
        if len(self._done) < self.steps:
            return
        self.last = _mean(self._done)
        finished.append(self.last)
        self._note_peak(self.last)

    def _note_peak(self, demand: Demand) -> None:
        if self.peak is not None and month_of(self.peak.start_s, self._zone) != month_of(demand.start_s, self._zone):
            self.peak = None
        if demand.best is not None and (self.peak is None or demand.best > (self.peak.best or 0.0)):
            self.peak = demand

    def projection(self, now: Load, *, time_s: float, limit_watts: float) -> Projection | None:
        """Project the interval that ends with the running step; None before the first slot, or past the step's end."""
        if self._start_s is None or not self._start_s <= time_s <= self._start_s + self.step_s:
            return None
        so_far = self._running.filled(time_s - self._start_s, self.ceiling_watts)
        before = self.steps - 1
        earlier = list(self._done)[-before:] if before else []
        unseen = Energy().filled(float((before - len(earlier)) * self.step_s), self.ceiling_watts)
        return project(
            together((unseen, *(_energy_of(demand, self.step_s) for demand in earlier), so_far)),
            now,
            interval_s=self.interval_s,
            left_s=self._start_s + self.step_s - time_s,
            limit_watts=limit_watts,
            end_s=self._start_s + self.step_s,
        )

    def dump(self) -> bytes:
        """Give all that a restart needs, as JSON."""
        mark = self._mark
        return json.dumps(
            {
                "interval_s": self.interval_s,
                "step_s": self.step_s,
                "start_s": self._start_s,
                "running": astuple(self._running),
                "mark": mark and [mark.first, mark.newest, astuple(mark.before)],
                "done": list(self._done),
                "last": self.last,
                "peak": self.peak,
            }
        ).encode()

    def load(self, note: bytes) -> None:
        """Take up what `dump` gave; raises ValueError, and changes nothing, for what is not of this contract."""
        try:
            saved = json.loads(note)
            if (saved["interval_s"], saved["step_s"]) != (self.interval_s, self.step_s):
                raise ValueError("demand of another interval")
            done = [Demand(*fields) for fields in saved["done"]]
            running, mark = Energy(*saved["running"]), saved["mark"]
            last, peak = (saved[name] and Demand(*saved[name]) for name in ("last", "peak"))
            resumed = mark and _Mark(Count(*mark[0]), Count(*mark[1]), Energy(*mark[2]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"no stored demand: {error}") from None
        self._start_s, self._running, self._mark = saved["start_s"], running, resumed
        self.last, self.peak = last, peak
        self._done.extend(done)


def _energy_of(demand: Demand, span_s: float) -> Energy:
    load = Load(demand.lo, demand.best, demand.hi, is_measured=not demand.is_estimated)
    energy = Energy()
    energy.add(load, span_s)
    return energy


def _mean(demands: Iterable[Demand]) -> Demand:
    steps = list(demands)
    bests = [step.best for step in steps if step.best is not None]
    return Demand(
        steps[0].start_s,
        sum(step.lo for step in steps) / len(steps),
        sum(bests) / len(bests) if len(bests) == len(steps) else None,
        sum(step.hi for step in steps) / len(steps),
        any(step.is_estimated for step in steps),
    )

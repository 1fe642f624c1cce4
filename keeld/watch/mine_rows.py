"""One row of miners as its rules see it: how many of its machines work, what that usually is, and what it draws."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from keeld.budgets.intake import Intake
from keeld.budgets.meters import Meter
from keeld.budgets.source import GOOD, SECOND_NS
from keeld.budgets.topology import Topology, is_networked
from keeld.budgets.window import SLOT_S, Mean, Window, slots_of
from keeld.model import Moment
from keeld.watch.fleet import Census, Fleet
from keeld.watch.silence import RowState, Silence

_TWICE = 2
_ANSWERS_NS = 60 * SECOND_NS
"""Who has answered within this time is not asked whether it has gone."""
_WEEK_S = 7 * 86400.0
_LEARNT_S = 3600.0
"""A normal that is younger than an hour is none."""
_FADES_S = 600.0
_FADES_SLOWLY_S = 6 * 3600.0
_WORKS_SHARE = 0.1
"""While fewer than this are away, what the meters show is what the row usually draws."""
_STOPPED_SHARE = 0.5
_SETTLED_SLOTS = 6


class Row:
    """A row's machines, its meters, and its normal. Invariant: a normal only falls while most machines work."""

    def __init__(self, state: RowState, fleet: Fleet, topology: Topology) -> None:
        self.state = state
        self.places = [fleet.places[intake.device.id] for intake in state.intakes]
        self.meters = _meters(state, topology)
        self.racks = tuple(rack.plan.rack.id for rack in state.racks)
        self.census = Census(0, (), (), 0, 0.0)
        self.normal_count = 0.0
        self.normal_hashes = 0.0
        self.normal_watts: float | None = None
        self._fresh_watts: deque[float] = deque()
        self.normal_rate = 0.0
        """Seven-day mean of the hashes a second of one machine that works."""
        self.learnt_s = 0.0
        self.ratio = Window(slots_of(900.0))
        """Rate of one machine against that normal."""
        self.stopped_ns: int | None = None
        """Monotonic time since which most of its machines are away."""

    def count(self, fleet: Fleet, silence: Silence, now: Moment) -> None:
        """Count its machines by what they do."""
        self.census = fleet.census(self.places, lambda intake: silence.is_gone(intake, now), now.mono_ns - _ANSWERS_NS)

    @property
    def missing_share(self) -> float:
        """Share of the machines that usually work and are not merely told to rest."""
        usual = self.normal_count - self.census.asleep
        away = min(usual - self.census.working, float(len(self.census.idle) + len(self.census.silent)))
        return max(0.0, away / usual) if usual >= 1.0 else 0.0

    @property
    def missing_most(self) -> float:
        """The same, were all machines away that have not answered yet: more than that only just after a start."""
        usual = self.normal_count - self.census.asleep
        return max(0.0, (usual - self.census.working) / usual) if usual >= 1.0 else 0.0

    def learn(self, now: Moment, *, is_expected_low: bool) -> None:
        """Move the normals towards what is; a row that has stopped, or was told to rest, teaches nothing."""
        share = self.missing_share
        if share < _STOPPED_SHARE:
            self.stopped_ns = None
        elif self.stopped_ns is None:
            self.stopped_ns = now.mono_ns
        if is_expected_low or share >= _STOPPED_SHARE:
            return
        fade = SLOT_S / (_FADES_S if share < _WORKS_SHARE else _FADES_SLOWLY_S)
        self.normal_count = _follow(self.normal_count, float(self.census.working), fade)
        self.normal_hashes = _follow(self.normal_hashes, self.census.hashes, fade)
        self._learn_watts(now, works=share < _WORKS_SHARE)
        self._learn_rate()

    def _learn_watts(self, now: Moment, *, works: bool) -> None:
        """Believe a figure once the row has gone on working for a minute: a meter shows a loss before silence does."""
        watts = self.watts(now)
        if not works or watts is None:
            self._fresh_watts.clear()
            return
        self._fresh_watts.append(watts)
        if len(self._fresh_watts) > _SETTLED_SLOTS:
            settled, before = self._fresh_watts.popleft(), self.normal_watts
            self.normal_watts = settled if before is None else before + (settled - before) * SLOT_S / 60.0

    def _learn_rate(self) -> None:
        if not self.census.working:
            return
        rate = self.census.hashes / self.census.working
        self.learnt_s = min(_WEEK_S, self.learnt_s + SLOT_S)
        if self.learnt_s >= _LEARNT_S:
            ratio = rate / self.normal_rate if self.normal_rate > 0.0 else 1.0
            self.ratio.push(ratio, ratio, ratio)
        self.normal_rate += (rate - self.normal_rate) * SLOT_S / self.learnt_s

    @property
    def rate_mean(self) -> Mean | None:
        """Mean of the last quarter of an hour against the normal; None until there is a whole one."""
        mean = self.ratio.mean()
        return mean if mean is not None and mean.fill >= 1.0 else None

    def watts(self, now: Moment) -> float | None:
        """Sum its meters; None where there are none or one of them is not fresh."""
        powers = [power for meter in self.meters for power in meter.powers]
        if not powers or any(power.value is None or power.rank_at(now.mono_ns) != GOOD for power in powers):
            return None
        return sum(power.value or 0.0 for power in powers)

    def did_meters_fall_silent(self, intakes: Iterable[Intake]) -> bool:
        """Whether all of its meters are silent too, while a device elsewhere on the network has answered since."""
        mine = [meter.intake for meter in self.meters]
        if not mine or any(intake.outages < _TWICE for intake in mine):
            return False
        since_ns = max(intake.silent_since_ns or 0 for intake in mine)
        return any(
            is_networked(intake.device) and intake.answered_ns is not None and intake.answered_ns > since_ns
            for intake in intakes
        )

    def keep(self, before: Row) -> None:
        """Take over what a row of the same name had learnt."""
        self.recall(before.note())
        self.stopped_ns, self.ratio = before.stopped_ns, before.ratio

    def note(self) -> list[float | None]:
        """Give what must survive a restart."""
        return [self.normal_count, self.normal_hashes, self.normal_watts, self.normal_rate, self.learnt_s]

    def recall(self, note: list[float | None]) -> None:
        """Take what `note` gave; raises ValueError or TypeError for anything else."""
        count, hashes, watts, rate, learnt_s = note
        numbers = [float(value) for value in (count, hashes, rate, learnt_s) if value is not None and value >= 0.0]
        self.normal_count, self.normal_hashes, self.normal_rate, self.learnt_s = numbers
        self.normal_count = min(self.normal_count, float(len(self.places)))
        self.normal_watts = None if watts is None else float(watts)


def _follow(normal: float, value: float, fade: float) -> float:
    """Rise at once, fall slowly."""
    return value if value >= normal else normal + (value - normal) * fade


def _meters(state: RowState, topology: Topology) -> list[Meter]:
    """Find what measures a row: its racks' PDUs or meters, else the nearest meters above each feed."""
    found: dict[int, Meter] = {}
    for rack in state.racks:
        for feed in rack.plan.feeds.values():
            meters = feed.inlets or feed.meters[:1]
            if not meters:
                above = topology.ancestors(feed.node.id if feed.node is not None else None)
                meters = next((topology.nodes[name].meters[:1] for name in above if topology.nodes[name].meters), [])
            found |= {id(meter): meter for meter in meters}
    return list(found.values())

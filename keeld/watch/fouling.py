"""Heat exchangers that foul: a loop's approach to its facility water against its own first week (rule 25).

The approach grows with load, so the week is kept for each tenth of the capacity apart. What a week taught is not
learnt anew: fouling takes months, and would teach itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

from keeld.alerts.alarm import Evidence
from keeld.alerts.board import Board
from keeld.alerts.machine import Span
from keeld.alerts.rules import AI
from keeld.budgets.window import Window
from keeld.metrics import APPROACH
from keeld.model import Moment, Reading
from keeld.watch.cooling import CoolingState
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.racks import SLOT_CAP_S
from keeld.watch.subjects import Subject

RULE = "approach_rise"
_TENTHS = 10
_WEEK_SLOTS = 7 * 8640
_HOUR_SLOTS = 360
_MOST_KELVIN = 100.0


class LoopApproach:
    """One loop: its approach now, and what its first week was like."""

    __slots__ = ("approach_kelvin", "counts", "excess", "known_kelvin", "means", "zone")

    def __init__(self, zone: CoolingState) -> None:
        self.zone = zone
        self.counts = [0] * _TENTHS
        self.means = [0.0] * _TENTHS
        self.excess = Window(_HOUR_SLOTS)
        self.approach_kelvin: float | None = None
        self.known_kelvin: float | None = None
        """Approach of the first week at this load; None while too little of it is known."""

    def see(self) -> None:
        """Note this slot's approach: learn from it, or compare it."""
        self.approach_kelvin = self.known_kelvin = None
        tenth = self._load_tenth()
        supply, facility = self.zone.supply_celsius, self.zone.facility_celsius
        if tenth is None or supply is None or facility is None or abs(supply - facility) > _MOST_KELVIN:
            return
        self.approach_kelvin = supply - facility
        if sum(self.counts) < _WEEK_SLOTS:
            self.counts[tenth] += 1
            self.means[tenth] += (self.approach_kelvin - self.means[tenth]) / self.counts[tenth]
        elif self.counts[tenth] >= _HOUR_SLOTS:
            self.known_kelvin = self.means[tenth]
            more = self.approach_kelvin - self.known_kelvin
            self.excess.push(more, more, more)

    def _load_tenth(self) -> int | None:
        heat, planned = self.zone.heat(), self.zone.planned_watts
        if heat.best is None or not planned or heat.best <= 0.0:
            return None
        return min(_TENTHS - 1, int(_TENTHS * heat.best / planned))


class Fouling(Duty):
    """Rule 25 at every loop of ai racks."""

    name: ClassVar[str] = "fouling"
    speaks_of = frozenset({"cooling_node"})

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        loops = (zone for zone in ground.cooling.values() if zone.node.kind == "liquid" and zone.units)
        self.loops = {
            zone.node.id: LoopApproach(zone) for zone in loops if any(state.set_name == AI for state in zone.racks)
        }

    def subjects(self) -> Iterator[Subject]:
        """List the rule at every loop."""
        rules = self.ground.rules
        for loop in self.loops.values():
            target = loop.zone.target
            yield Subject(rules.rule(RULE), rules.levels(RULE, AI, target), target)

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Note and judge every loop's approach."""
        for loop in self.loops.values():
            loop.see()
            self._judge(loop, board, slot.now)
            yield 3

    def _judge(self, loop: LoopApproach, board: Board, now: Moment) -> None:
        rules, rule, target = self.ground.rules, self.ground.rules.rule(RULE), loop.zone.target
        levels, mean = rules.levels(RULE, AI, target), loop.excess.mean()
        alarm = board.find(rule, target)
        if not levels or (alarm is None and (loop.known_kelvin is None or mean is None)):
            return
        is_judged = mean is not None and loop.known_kelvin is not None and mean.fill >= 1.0
        span = Span(mean.hi, mean.hi) if mean is not None and is_judged else None
        approach, limit = loop.approach_kelvin, (loop.known_kelvin or 0.0) + levels[0].limit
        evidence = Evidence(
            spans=(span,) * len(levels), lo=approach, best=approach, hi=approach, limit=limit, unit="K",
            base="after its first week", what="approach of supply to facility water", is_known=span is not None,
        )  # fmt: skip
        board.judge(rule, levels, target, evidence, now=now, cap_s=SLOT_CAP_S)

    def readings(self, kind: str, name: str) -> Iterable[Reading]:
        """Give a loop's approach."""
        loop = self.loops.get(name) if kind == "cooling_node" else None
        if loop is None or loop.approach_kelvin is None:
            return ()
        return (Reading(APPROACH, loop.approach_kelvin),)

    def keep(self, before: Fouling) -> None:
        """Take over what loops have learnt that are still there."""
        for name in self.loops.keys() & before.loops.keys():
            mine, theirs = self.loops[name], before.loops[name]
            mine.counts, mine.means, mine.excess = theirs.counts, theirs.means, theirs.excess

    def memory(self) -> Mapping[str, bytes]:
        """Give what each loop has learnt."""
        return {
            name: json.dumps([loop.counts, [round(mean, 3) for mean in loop.means]]).encode()
            for name, loop in self.loops.items()
            if any(loop.counts)
        }

    def recall(self, memory: Mapping[str, bytes], now: Moment) -> None:
        """Take what each loop had learnt before the restart."""
        del now
        for name in self.loops.keys() & memory.keys():
            learnt = _learnt(memory[name])
            if learnt is not None:
                self.loops[name].counts, self.loops[name].means = learnt


def _learnt(note: bytes) -> tuple[list[int], list[float]] | None:
    """Read a note; None where it is none of ours."""
    try:
        counts, means = json.loads(note)
        whole = [int(count) for count in counts], [float(mean) for mean in means]
    except (ValueError, TypeError):
        return None
    is_sound = len(whole[0]) == len(whole[1]) == _TENTHS and min(whole[0]) >= 0
    return whole if is_sound and all(math.isfinite(mean) for mean in whole[1]) else None

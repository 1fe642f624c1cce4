"""Power supplies (rule 8): machines that are left with fewer than their design counts on.

A machine that could not lose a feed from the day it was plugged in is a finding of its design. It becomes an alarm when
it has lost one: when fewer supplies have a feed than it needs, or when the next loss, which it was built to survive,
would leave fewer. It is critical once the machine says that it is being slowed down.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from keeld.alerts.alarm import Evidence, Target
from keeld.alerts.board import Board
from keeld.alerts.machine import Span
from keeld.alerts.rules import AI, Level
from keeld.budgets.failover import cords_of, supplies_left
from keeld.budgets.intake import Intake
from keeld.metrics import THROTTLE_BRAKE
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.naming import names
from keeld.watch.racks import SLOT_CAP_S
from keeld.watch.rulebook import NOT_OVER
from keeld.watch.subjects import Subject

SURVIVABILITY = "psu_survivability"


@dataclass(slots=True, eq=False)
class Machine:
    """A machine that needs some of its power supplies."""

    intake: Intake
    rack_id: str
    cords: dict[str, int]
    needed: int
    target: Target
    levels: tuple[Level, ...]
    brake_s: float | None = None
    """How long it had been slowed down by its power brake, as of the last slot that was looked at."""

    def left(self, lost: frozenset[str]) -> int:
        """Count the supplies that have a feed."""
        return supplies_left(self.cords, lost)

    def left_after_next(self, lost: frozenset[str]) -> int:
        """Count those that would have one after the worst further loss of a feed."""
        alive = [letter for letter in self.cords if letter not in lost]
        return min((self.left(lost | {letter}) for letter in alive), default=0)

    def missing(self, gone: frozenset[str]) -> int:
        """Count the supplies that it is short of by what has died, beside what its design is short of anyway."""
        if gone.isdisjoint(self.cords):
            return 0
        short = self.needed - self.left(gone)
        if self.left_after_next(frozenset()) >= self.needed:
            short = max(short, self.needed - self.left_after_next(gone))
        return max(0, short)

    def is_slowed(self) -> bool:
        """Whether its power brake was on since the last look."""
        parts = self.intake.parts_of(THROTTLE_BRAKE).values()
        before, self.brake_s = self.brake_s, sum(source.value or 0.0 for source in parts)
        return before is not None and self.brake_s > before


class Supplies(Duty):
    """Watches the machines whose need of power supplies is configured."""

    name: ClassVar[str] = "supplies"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.machines = tuple(_machines(ground))
        self._by_rack: dict[str, list[Machine]] = {}
        for machine in self.machines:
            machine.intake.learn(THROTTLE_BRAKE)
            self._by_rack.setdefault(machine.rack_id, []).append(machine)
        self._open: set[str] = set(self._by_rack)
        """Racks with something to judge; at first all, as an alarm of before a restart may be about any."""

    def subjects(self) -> Iterator[Subject]:
        """List the rule at every such machine."""
        rule = self.ground.rules.rule(SURVIVABILITY)
        return (Subject(rule, machine.levels, machine.target) for machine in self.machines if machine.levels)

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Judge the machines of racks that have lost a feed, and those that have an alarm still."""
        live = self.ground.failover.live_racks
        self._open |= live & self._by_rack.keys()
        for rack_id in sorted(self._open):
            for machine in self._by_rack[rack_id]:
                self._judge(machine, self.ground.failover.gone_of(rack_id), slot, board)
                yield 4
        self._open = {name for name in self._open if name in live or self._has_alarm(name, board)}

    def _has_alarm(self, rack_id: str, board: Board) -> bool:
        rule = self.ground.rules.rule(SURVIVABILITY)
        return any(board.find(rule, machine.target) is not None for machine in self._by_rack[rack_id])

    def _judge(self, machine: Machine, gone: frozenset[str], slot: Slot, board: Board) -> None:
        rule, missing = self.ground.rules.rule(SURVIVABILITY), machine.missing(gone)
        slowed = machine.is_slowed()
        if not machine.levels or (not missing and board.find(rule, machine.target) is None):
            return
        span = Span(missing, missing)
        evidence = Evidence(
            spans=tuple(NOT_OVER if level.needs and not slowed else span for level in machine.levels),
            cause=f"feed {', '.join(sorted(letter.upper() for letter in gone))} is dead" if gone else "",
            detail=_detail(machine, gone, slowed=slowed),
        )
        board.judge(rule, machine.levels, machine.target, evidence, now=slot.now, cap_s=SLOT_CAP_S)

    def findings(self) -> Iterator[str]:
        """Name machines whose design cannot lose a feed, and those with one cord in a rack that has two feeds."""
        short = [machine for machine in self.machines if machine.left_after_next(frozenset()) < machine.needed]
        if short:
            yield f"too few power supplies left after the loss of a feed, by design: {_list(short)}"
        single = sorted(_single_corded(self.ground))
        if single:
            yield f"one cord in a rack with redundant feeds: {names(single)}"


def _list(machines: list[Machine]) -> str:
    return names(sorted(machine.intake.device.id for machine in machines))


def _detail(machine: Machine, gone: frozenset[str], *, slowed: bool) -> str:
    total = sum(machine.cords.values())
    words = [f"{machine.left(gone)} of its {total} power supplies have a feed, it needs {machine.needed}."]
    if slowed:
        words.append("Its power brake is on.")
    return " ".join(words)


def _machines(ground: Ground) -> Iterator[Machine]:
    for rack_id, state in ground.racks.items():
        for load in state.plan.loads if state.set_name == AI else ():
            device, cords = load.intake.device, cords_of(load, state.plan)
            if device.psus_needed is None or not cords:
                continue
            scopes = frozenset({f"device:{device.id}", f"rack:{rack_id}"})
            target = Target("device", device.id, device.label or device.id, scopes)
            levels = ground.rules.levels(SURVIVABILITY, AI, target)
            yield Machine(load.intake, rack_id, cords, device.psus_needed, target, levels)


def _single_corded(ground: Ground) -> Iterator[str]:
    """Name the machines of racks with redundancy that hang on one feed (rule 9)."""
    for state in ground.racks.values():
        plan = state.plan
        if plan.rack.redundancy == "N" or state.set_name != AI or len(plan.feeds) < 2:  # noqa: PLR2004 - a pair
            continue
        for load in plan.loads:
            cords = cords_of(load, plan)
            if cords is not None and len(cords) == 1:
                yield load.intake.device.id

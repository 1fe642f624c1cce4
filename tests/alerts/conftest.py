"""A board in simulated time, with rules made for the test."""

from __future__ import annotations

import pytest

from keeld.alerts.alarm import Evidence, Target
from keeld.alerts.board import Board
from keeld.alerts.holds import Holds
from keeld.alerts.machine import Span
from keeld.alerts.rules import PLANT, Level, Rule
from keeld.model import Moment, Severity, Transition

SECOND = 1_000_000_000
WALL_0 = 1_760_000_000 * SECOND


class Table:
    """One board: `see` judges a state, `told` lists what people heard."""

    def __init__(self, *, observe_s: float = 0.0) -> None:
        self.holds = Holds(timezone="America/Toronto", observe_s=observe_s)
        self.board = Board("s", timezone="America/Toronto", unverifiable_s=7200.0, holds=self.holds)
        self.now_s = 0.0
        self.moves: list[Transition] = []

    @property
    def now(self) -> Moment:
        return Moment(WALL_0 + round(self.now_s * SECOND), round(self.now_s * SECOND))

    def rule(self, name: str = "made_up", *, severity: Severity = Severity.WARNING, off_s: float = 0.0, **more) -> Rule:
        level = Level(severity=severity, limit=0.5, on_s=0.0)
        return Rule(number=0, name=name, title="is odd", levels={PLANT: (level,)}, off_s=off_s, **more)

    def target(self, name: str, *, covers: tuple[str, ...] = (), tags: tuple[str, ...] = ()) -> Target:
        return Target("thing", name, name, frozenset({f"thing:{name}"}), frozenset(covers), tags=frozenset(tags))

    def see(self, rule: Rule, target: Target, *, bad: bool | None) -> None:
        span = None if bad is None else Span(1.0, 1.0) if bad else Span(0.0, 0.0)
        evidence = Evidence(spans=(span,) * len(rule.levels[PLANT]))
        self.board.judge(rule, rule.levels[PLANT], target, evidence, now=self.now, cap_s=20.0)
        self.take()

    def review(self, after_s: float = 0.0) -> None:
        self.now_s += after_s
        self.board.review(self.now)
        self.take()

    def take(self) -> None:
        self.moves += self.board.take_moves()

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(move.notice.value, move.target_id) for move in self.moves if move.notice is not None]

    @property
    def last(self) -> Transition:
        return [move for move in self.moves if move.notice is not None][-1]


@pytest.fixture
def table() -> type[Table]:
    return Table

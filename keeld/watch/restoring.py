"""Redundancy that does not come back (rule 48): a feed has power again, and its part of the load stays where it went.

A feed that has been dead, or that work was announced on, is followed from then on with the share of its rack's load
that it had before. A quarter of an hour after its return it should have at least half of that again: else cords are
out, outlets are off or supplies did not restart, and the next failure of the other feed takes them down.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from keeld.alerts.alarm import Evidence
from keeld.alerts.board import Board
from keeld.alerts.holds import Holds
from keeld.alerts.machine import Span
from keeld.alerts.rules import AI, Level
from keeld.model import Moment
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.feeds import FeedState
from keeld.watch.racks import SLOT_CAP_S
from keeld.watch.subjects import Subject

NOT_RESTORED = "redundancy_not_restored"
_LEAST_SHARE = 0.05
"""A feed that carried less of its rack is not missed: a spare one, or the cold side of a transfer switch."""
_LEAST_WATTS = 50.0
FeedKey = tuple[str, str]


@dataclass(slots=True)
class Absence:
    """A feed that was away: the share of its rack's load that it had, and whether it is away still."""

    share: float
    is_away: bool = True


class Restoring(Duty):
    """Follows feeds that were dead or worked on until they carry their part again."""

    name: ClassVar[str] = "restoring"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.absences: dict[FeedKey, Absence] = {}
        self._levels = dict(_levels(ground))
        self._is_fresh = True
        """Whether an alarm of before a restart may stand that nothing here knows of yet."""

    def subjects(self) -> Iterator[Subject]:
        """List the rule at every feed of racks with redundancy."""
        rule = self.ground.rules.rule(NOT_RESTORED)
        for key, levels in self._levels.items():
            yield Subject(rule, levels, self._state(key).target)

    def _state(self, key: FeedKey) -> FeedState:
        return self.ground.feeds.states[key]

    def keep(self, before: Restoring) -> None:
        """Go on following the feeds that are still there."""
        self.absences = {key: absence for key, absence in before.absences.items() if key in self._levels}

    def memory(self) -> Mapping[str, bytes]:
        """Keep which feeds are followed."""
        forms = {"/".join(key): [absence.share, absence.is_away] for key, absence in self.absences.items()}
        return {"absences": json.dumps(forms).encode()} if forms else {}

    def recall(self, memory: Mapping[str, bytes], now: Moment) -> None:
        """Follow them again."""
        del now
        try:
            forms = json.loads(memory.get("absences", b"{}"))
            kept = {
                tuple(name.rsplit("/", 1)): Absence(float(share), bool(away)) for name, (share, away) in forms.items()
            }
        except (ValueError, TypeError, AttributeError):
            return
        self.absences = {key: absence for key, absence in kept.items() if key in self._levels}

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Take note of feeds that have gone, and judge those that are back."""
        self._find_forgotten(board)
        self._follow(board.holds)
        for key in list(self.absences):
            self._judge(key, self.absences[key], slot, board)
            yield 4

    def _find_forgotten(self, board: Board) -> None:
        """Follow feeds with an alarm of before a restart by an equal share: what they carried is not known any more."""
        if not self._is_fresh:
            return
        self._is_fresh = False
        rule = self.ground.rules.rule(NOT_RESTORED)
        for key in self._levels.keys() - self.absences.keys():
            if board.find(rule, self._state(key).target) is not None:
                self.absences[key] = Absence(1.0 / len(self.ground.racks[key[0]].plan.feeds))

    def _follow(self, holds: Holds) -> None:
        away = {key for key in self._levels if self._state(key).proof}
        if holds.running:
            away |= {key for key in self._levels if self._is_under_work(key, holds)}
        for key in away - self.absences.keys():
            share = self._share_before(key)
            if share >= _LEAST_SHARE:
                self.absences[key] = Absence(share)
        for key, absence in self.absences.items():
            absence.is_away = key in away

    def _is_under_work(self, key: FeedKey, holds: Holds) -> bool:
        if holds.is_under_work("feed", "/".join(key)):
            return True
        node = self._state(key).feed.node
        above = self.ground.topology.ancestors(node.id if node is not None else None)
        return any(holds.is_under_work("power_node", name) for name in above)

    def _share_before(self, key: FeedKey) -> float:
        """Give the share that a feed had: as of its last answers, else of the last five minutes."""
        state = self._state(key)
        if state.load_watts is not None and state.base_watts is not None and state.proof:
            return state.load_watts / ((state.load_watts + state.base_watts) or 1.0)
        means = {letter: windows.mean() for letter, windows in self.ground.racks[key[0]].feeds.items()}
        watts = {letter: mean.best for letter, mean in means.items() if mean is not None and mean.best is not None}
        return watts.get(key[1], 0.0) / (sum(watts.values()) or 1.0)

    def _judge(self, key: FeedKey, absence: Absence, slot: Slot, board: Board) -> None:
        rule, levels, target = self.ground.rules.rule(NOT_RESTORED), self._levels[key], self._state(key).target
        span = None if absence.is_away else self._missing(key, absence.share)
        alarm = board.find(rule, target)
        if alarm is None and (span is None or span.lo <= levels[0].limit):
            if span is not None and span.hi <= levels[0].limit:
                del self.absences[key]
            return
        evidence = Evidence(
            spans=(span,) * len(levels),
            detail=_words(absence.share, span),
            is_known=span is not None or absence.is_away,
        )
        board.judge(rule, levels, target, evidence, now=slot.now, cap_s=SLOT_CAP_S)

    def _missing(self, key: FeedKey, share: float) -> Span | None:
        """Give what is missing of a feed's share: 0 when it carries what it did, 1 when it carries nothing."""
        rack_id, letter = key
        draws = self.ground.racks[rack_id].draw.feeds
        others = [draw for name, draw in draws.items() if name != letter]
        own, rest_lo, rest_hi = draws[letter], sum(draw.lo for draw in others), sum(draw.hi for draw in others)
        if own.hi + rest_lo < _LEAST_WATTS:
            return None
        most, least = own.hi / (own.hi + rest_lo), own.lo / ((own.lo + rest_hi) or 1.0)
        return Span(max(0.0, 1.0 - most / share), max(0.0, 1.0 - least / share))


def _words(share: float, span: Span | None) -> str:
    before = f"It carried {share:.0%} of its rack's load before it went"
    if span is None:
        return f"{before}.".replace("%", " %")
    return f"{before}, and at most {share * (1.0 - span.lo):.0%} since it is back.".replace("%", " %")


def _levels(ground: Ground) -> Iterator[tuple[FeedKey, tuple[Level, ...]]]:
    for key, state in ground.feeds.states.items():
        rack = ground.racks[key[0]]
        if rack.set_name != AI or rack.plan.rack.redundancy == "N":
            continue
        levels = ground.rules.levels(NOT_RESTORED, AI, state.target)
        if levels:
            yield key, levels

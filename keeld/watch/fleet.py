"""What is kept of every miner: a dozen numbers in columns, because there are thousands of them.

Columns hold NaN for what a machine has not told; no method gives one away. A fast poll tells the hash rate, a slow one
the shares; why a machine is slow is looked for only while it is.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable
from typing import NamedTuple

from keeld.budgets.intake import Intake
from keeld.budgets.source import SECOND_NS
from keeld.metrics import (
    BOARDS_EXPECTED,
    BOARDS_FOUND,
    FAN_SPEED,
    HASHRATE,
    HASHRATE_NOMINAL,
    MINER_STATE,
    SHARES_ACCEPTED,
    TEMPERATURE,
)
from keeld.model import Batch

BOARD_MISSING, FAN_STOPPED, TOO_HOT = 1, 2, 4
_HOT_CELSIUS = 95.0
"""A chip above this is close to where its firmware slows it down."""
_SLOW_SHARE = 0.9
_IDLE_SHARE = 0.05
_FORGET = 0.999
"""A machine's best rate fades by this with every poll, so that a new power mode becomes its normal within hours."""
_SLEEPING = 4.0
_TWICE = 2
"""Polls that fail before a machine counts as silent."""
_STARTS_TIMES = 6.0
"""A machine without any share yet is still starting, and is given so many times as long."""
_SHARES_LEAST = 6.0
"""A machine that finds fewer shares than this within the time is given longer: silence must mean something."""


class Census(NamedTuple):
    """Machines by what they do at one moment."""

    working: int
    idle: tuple[int, ...]
    """Places of those that answer and do not hash."""
    silent: tuple[int, ...]
    asleep: int
    hashes: float
    """Hashes a second of those that work."""


class Fleet:
    """The miners of a site, by their place in `intakes`."""

    def __init__(self, intakes: Iterable[Intake]) -> None:
        self.intakes = list(intakes)
        self.places = {intake.device.id: place for place, intake in enumerate(self.intakes)}
        nothing = [math.nan] * len(self.intakes)
        self._rate = array("d", nothing)
        self._nominal = array("d", nothing)
        self._boards = array("d", nothing)
        self._state = array("d", nothing)
        self._shares = array("d", nothing)
        self._told = array("d", nothing)
        """Count of shares as it was told last, and as it was reckoned with."""
        self._shares_per_s = array("d", nothing)
        zeros = [0] * len(self.intakes)
        self._best = array("d", zeros)
        self._boards_most = array("d", zeros)
        self._share_ns = array("q", zeros)
        """Monotonic time at which the count of shares last grew, or was first read."""
        self.reasons = array("b", zeros)
        self._columns = {
            HASHRATE: self._rate,
            HASHRATE_NOMINAL: self._nominal,
            BOARDS_FOUND: self._boards,
            BOARDS_EXPECTED: self._boards_most,
            MINER_STATE: self._state,
            SHARES_ACCEPTED: self._told,
        }

    def take(self, place: int, batch: Batch, mono_ns: int) -> None:
        """Take what a poll says of one machine; on the hot path."""
        columns = self._columns
        rate = None
        for metric, value, part in batch.readings:
            if part:
                continue
            column = columns.get(metric)
            if column is not None:
                column[place] = value
                if metric is HASHRATE:
                    rate = value
        told = self._told[place]
        if told == told and told != self._shares[place]:  # noqa: PLR0124 - NaN: nothing was told yet
            self._count_shares(place, told, mono_ns)
        if rate is not None:
            self._note_rate(place, rate, batch)

    def _note_rate(self, place: int, rate: float, batch: Batch) -> None:
        best = self._best[place] * _FORGET
        self._best[place] = best = max(rate, best)
        boards = self._boards[place]
        self._boards_most[place] = max(self._boards_most[place], boards)
        if rate < _SLOW_SHARE * best:
            self.reasons[place] = self._reasons(place, batch)
        elif self.reasons[place]:
            self.reasons[place] = 0

    def _reasons(self, place: int, batch: Batch) -> int:
        found = BOARD_MISSING if self._boards[place] < self._boards_most[place] else 0
        for metric, value, part in batch.readings:
            if metric is FAN_SPEED and value <= 0.0:
                found |= FAN_STOPPED
            elif metric is TEMPERATURE and value > _HOT_CELSIUS and part.startswith(("chip/", "board/")):
                found |= TOO_HOT
        return found

    def _count_shares(self, place: int, value: float, mono_ns: int) -> None:
        """Take a count that has changed: more shares, the first count, or a new run of the machine."""
        before, since_ns = self._shares[place], self._share_ns[place]
        self._shares[place], self._share_ns[place] = value, mono_ns
        if value > before and mono_ns > since_ns:
            per_s, known = (value - before) * SECOND_NS / (mono_ns - since_ns), self._shares_per_s[place]
            self._shares_per_s[place] = per_s if math.isnan(known) else known + 0.2 * (per_s - known)

    def census(self, places: Iterable[int], gone: Callable[[Intake], bool], since_ns: int) -> Census:
        """Count machines by what they do; those that have not answered since `since_ns` are asked about by `gone`."""
        working, asleep, hashes = 0, 0, 0.0
        idle, silent = [], []
        intakes, rates, states = self.intakes, self._rate, self._state
        for place in places:
            intake, rate = intakes[place], rates[place]
            answered_ns = intake.answered_ns
            if intake.outages >= _TWICE or (answered_ns is not None and answered_ns < since_ns and gone(intake)):
                silent.append(place)
            elif states[place] == _SLEEPING:
                asleep += 1
            elif rate > _IDLE_SHARE * self.normal_rate(place):
                working += 1
                hashes += rate
            elif rate >= 0.0:  # NaN, which is not, has told nothing yet
                idle.append(place)
        return Census(working, tuple(idle), tuple(silent), asleep, hashes)

    def normal_rate(self, place: int) -> float:
        """Give what the machine should do: its best of late, else what its maker promises, else 0."""
        best, nominal = self._best[place], self._nominal[place]
        return nominal if best <= 0.0 < nominal else best

    def is_asleep(self, place: int) -> bool:
        """Whether somebody told the machine to rest."""
        return self._state[place] == _SLEEPING

    def is_without_share(self, place: int, mono_ns: int, patience_s: float) -> bool:
        """Whether no share was accepted for so long, or longer where shares are rare; False while nothing is known."""
        if math.isnan(self._shares[place]):
            return False
        per_s = self._shares_per_s[place]
        wait_s = patience_s if math.isnan(per_s) else max(patience_s, _SHARES_LEAST / per_s)
        if self._shares[place] == 0.0:
            wait_s *= _STARTS_TIMES
        return mono_ns - self._share_ns[place] > wait_s * SECOND_NS

    def is_unproven(self, place: int) -> bool:
        """Whether a machine has shown no growth of its shares yet, and may still do so: it was only just started."""
        if self.intakes[place].answered_ns is None:
            return True
        return not math.isnan(self._shares[place]) and math.isnan(self._shares_per_s[place])

    def keep(self, before: Fleet) -> None:
        """Take over what was known of machines that are still there."""
        for device, place in self.places.items():
            old = before.places.get(device)
            if old is None or before.intakes[old] is not self.intakes[place]:
                continue
            for name in _COLUMNS:
                getattr(self, name)[place] = getattr(before, name)[old]


_COLUMNS = (
    *("_rate", "_nominal", "_best", "_boards", "_boards_most", "_state", "_shares", "_told", "_shares_per_s"),
    *("_share_ns", "reasons"),
)

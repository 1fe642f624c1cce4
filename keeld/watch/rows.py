"""Rows of miners: one that has stopped, with a verdict (rule 40), and one that hashes less than usual (rule 41).

A row has stopped when half of the machines that usually work neither hash nor rest on somebody's orders. Its alarm
speaks for what follows: silence, a low rate, a pool that hears nothing. Rows that stop within two minutes of each other
for the same reason are one page, which names them all. A silent switch with the whole row behind it explains the row
where the meter says that it runs on, and is explained by it where the meter says that power is gone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import ClassVar

from keeld.alerts.alarm import Evidence, Target
from keeld.alerts.board import Board
from keeld.alerts.machine import Span
from keeld.alerts.rules import MINING
from keeld.alerts.shipped.miners import HASHRATE_LOW, ROW_STOPPED
from keeld.budgets.intake import Intake
from keeld.budgets.source import SECOND_NS
from keeld.model import Batch, Moment
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.fleet import BOARD_MISSING, FAN_STOPPED, TOO_HOT, Fleet
from keeld.watch.mine_rows import Row
from keeld.watch.naming import names
from keeld.watch.pools import judge_pool, pool_subject
from keeld.watch.racks import SLOT_CAP_S
from keeld.watch.subjects import Subject
from keeld.watch.verdicts import WORDS, Loss, Verdict, title, verdict

_TOGETHER_NS = 120 * SECOND_NS
_LEAST_MACHINES = 2
_PETA = 1e15
_NOTHING = Span(0.0, 0.0)
_REASONS = ((BOARD_MISSING, "a board missing"), (FAN_STOPPED, "a fan that stands"), (TOO_HOT, "chips over 95 °C"))


class Rows(Duty):
    """All rows of miners of a site."""

    name: ClassVar[str] = "rows"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        states = ground.silence.rows
        self.fleet = Fleet(intake for state in states.values() for intake in state.intakes)
        self.rows = {name: Row(state, self.fleet, ground.topology) for name, state in states.items()}
        self._paths = {name: _paths_inside(row, ground) for name, row in self.rows.items()}
        self._verdicts: dict[str, Verdict] = {}
        """What was found of rows that have stopped."""
        self._groups: dict[str, str] = {}
        """Row to the name of the incident that it is part of."""

    def devices(self) -> Iterable[str]:
        """Name every miner of a row."""
        return self.fleet.places

    def subjects(self) -> Iterator[Subject]:
        """List both rules at every row, and the pool."""
        rules = self.ground.rules
        for row in self.rows.values():
            for shipped in (ROW_STOPPED, HASHRATE_LOW):
                levels = rules.levels(shipped.name, MINING, row.state.target)
                yield Subject(rules.rule(shipped.name), levels, row.state.target)
        if self.rows:
            yield pool_subject(self.ground)

    def arrive(self, intake: Intake, batch: Batch, board: Board, now: Moment) -> None:
        """Take a machine's poll."""
        del board  # judged at the end of the slot
        if batch.readings:
            self.fleet.take(self.fleet.places[intake.device.id], batch, now.mono_ns)

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Count every row, then judge: what rows have in common is known only once all are counted."""
        now = slot.now
        for name, row in self.rows.items():
            row.count(self.fleet, self.ground.silence, now)
            self._weigh(name, row, now)
            yield 2 + len(row.places) // 4
        for name, row in self.rows.items():
            self._judge_stopped(name, row, board, now)
            self._judge_rate(row, board, now)
            yield 3
        if self.rows:
            yield from judge_pool(self.ground, self.fleet, self.rows.values(), board, now)

    def _weigh(self, name: str, row: Row, now: Moment) -> None:
        """Find out why a row stands, and with which others; a verdict once found is kept while the row stands."""
        row.learn(now, is_expected_low=self.is_curtailed(row, now))
        if row.stopped_ns is None:
            self._verdicts.pop(name, None)
            self._groups.pop(name, None)
            return
        found = verdict(self._loss(row, now))
        known = self._verdicts.get(name, Verdict.UNKNOWN)
        is_settled = now.mono_ns - row.stopped_ns > 2 * _TOGETHER_NS
        if known is Verdict.UNKNOWN or not is_settled:
            self._verdicts[name] = known if found is Verdict.UNKNOWN else found
            self._groups[name] = self._group(name, row)

    def _group(self, name: str, row: Row) -> str:
        """Name the incident: the first row that stopped for the same reason at about the same time."""
        mates = [
            (other.stopped_ns, other_name)
            for other_name, other in self.rows.items()
            if other.stopped_ns is not None
            and self._verdicts.get(other_name) is self._verdicts[name]
            and abs(other.stopped_ns - (row.stopped_ns or 0)) <= _TOGETHER_NS
        ]
        began_ns, first = min(mates, key=lambda mate: mate[0] or 0, default=(row.stopped_ns, name))
        return f"{self._verdicts[name]}:{first}:{began_ns}"

    def _loss(self, row: Row, now: Moment) -> Loss:
        census = row.census
        return Loss(
            share=row.missing_share,
            silent=len(census.silent),
            idle=len(census.idle),
            before_watts=row.normal_watts,
            now_watts=row.watts(now),
            meters_fell_silent=row.did_meters_fall_silent(self.ground.topology.intakes.values()),
        )

    def is_curtailed(self, row: Row, now: Moment) -> bool:
        """Whether somebody ordered its machines to draw less."""
        return any(self.ground.orders.is_curtailed(rack, now.wall_ns) for rack in row.racks)

    def _judge_stopped(self, name: str, row: Row, board: Board, now: Moment) -> None:
        rule, base = self.ground.rules.rule(ROW_STOPPED.name), row.state.target
        levels = self.ground.rules.levels(rule.name, MINING, base)
        found = board.find(rule, base)
        if not levels or (row.stopped_ns is None and found is None):
            return
        why = self._verdicts.get(name)
        if why is None:  # it works again: the alarm clears under the words that it had
            rule, target = (rule, base) if found is None else (found.rule, found.target)
            cause = "" if found is None else found.evidence.cause
        else:
            words = WORDS[why]
            rule = replace(rule, title=title(why, self._followers(name, why)), advice=words.advice)
            target, cause = self._target(name, row, why), words.cause
        evidence = Evidence(
            spans=(self._missing(row, now),) * len(levels),
            headline="" if why is None else self._loss_words(name, now),
            cause=cause,
            detail=self._lost(name, row, why, now),
        )
        board.judge(rule, levels, target, evidence, now=now, cap_s=SLOT_CAP_S)

    def _missing(self, row: Row, now: Moment) -> Span | None:
        """Give the share that is missing for certain and the most it may be: who has yet to answer may be away."""
        if self.is_curtailed(row, now):
            return _NOTHING
        if row.normal_count < _LEAST_MACHINES:
            has_begun = any(self.fleet.intakes[place].answered_ns is not None for place in row.places)
            return _NOTHING if has_begun else None
        return Span(row.missing_share, max(row.missing_share, row.missing_most))

    def _target(self, name: str, row: Row, why: Verdict) -> Target:
        """Say what the row belongs to and what its stop explains; both depend on the reason."""
        base, own = row.state.target, f"row:{name}"
        racks = frozenset(f"rack:{rack}" for rack in row.racks)
        covers = frozenset({own}) | ({"pool"} if why is Verdict.POOL else frozenset())
        scopes = frozenset({own})
        if why is Verdict.POWER:
            meters = frozenset(f"device:{meter.intake.device.id}" for meter in row.meters)
            covers, scopes = covers | racks | meters | self._paths[name], racks
        return Target(base.kind, base.id, base.label, scopes, covers, self._groups[name])

    def _lost(self, name: str, row: Row, why: Verdict | None, now: Moment) -> str:
        """Say how much is lost, in machines, MW and H/s, with the rows that stopped together."""
        census = row.census
        words = [f"{census.working} of {row.normal_count:.0f} machines that usually work do."]
        if census.silent:
            words.append(f"{len(census.silent)} do not answer.")
        if census.idle:
            words.append(f"{len(census.idle)} answer and do not hash.")
        if why is None:
            return " ".join(words)
        words.append(f"{'Out of sight' if why is Verdict.NETWORK else 'Lost'}: {self._loss_words(name, now)}.")
        words += _meter_words(row, now)
        mates = self._mates(name)
        if len(mates) > 1:
            words.append(
                f"Stopped together: {names([self.rows[other].state.target.label for other in sorted(mates)])}."
            )
        return " ".join(words)

    def _mates(self, name: str) -> list[str]:
        """Name the rows that stopped together with one, itself among them."""
        return [other for other, group in self._groups.items() if group == self._groups[name]]

    def _followers(self, name: str, why: Verdict) -> list[str]:
        """Name the other rows of an incident for the row that it is named after, whose page speaks for all of them."""
        if not self._groups[name].startswith(f"{why}:{name}:"):
            return []
        return [self.rows[other].state.target.label for other in self._mates(name) if other != name]

    def _loss_words(self, name: str, now: Moment) -> str:
        """Say what the rows that stopped together lost in H/s, and in W where meters tell it and they do not run on."""
        together = [self.rows[other] for other in self._mates(name)]
        hashes = sum(max(0.0, other.normal_hashes - other.census.hashes) for other in together)
        loss = f"{hashes / _PETA:.3g} PH/s"
        watts = [_watts_gone(other, now) for other in together]
        if self._verdicts[name] is not Verdict.NETWORK and all(gone is not None for gone in watts):
            loss = f"{_power(sum(gone or 0.0 for gone in watts))} and {loss}"
        return loss

    def _judge_rate(self, row: Row, board: Board, now: Moment) -> None:
        rule, target = self.ground.rules.rule(HASHRATE_LOW.name), row.state.target
        levels = self.ground.rules.levels(rule.name, MINING, target)
        mean = row.rate_mean
        if not levels or mean is None or self.is_curtailed(row, now) or row.stopped_ns is not None:
            return
        is_low = any(rule.is_exceeded(mean.lo, mean.hi, level.limit) for level in levels)
        if not is_low and board.find(rule, target) is None:
            return
        normal = row.normal_rate * row.census.working / _PETA
        evidence = Evidence(
            spans=(Span(mean.lo, mean.hi),) * len(levels),
            lo=mean.lo * normal,
            best=(mean.best or mean.lo) * normal,
            hi=mean.hi * normal,
            limit=levels[0].limit * normal,
            unit="PH/s",
            what=f"hash rate of the {row.census.working} machines that work, 15-min mean",
            detail=f"That is {mean.lo:.0%} of its normal. {self._reasons(row)}".replace("%", " %"),
            is_known=bool(row.census.working),
        )
        board.judge(rule, levels, target, evidence, now=now, cap_s=SLOT_CAP_S)

    def _reasons(self, row: Row) -> str:
        """Name the machines that are slow, by what they show."""
        words = []
        for flag, what in _REASONS:
            slow = [self.fleet.intakes[place].device.id for place in row.places if self.fleet.reasons[place] & flag]
            if slow:
                words.append(f"{len(slow)} with {what}: {names(slow)}.")
        return " ".join(words) or "None of the slow ones shows a missing board, a fan that stands or hot chips."

    def keep(self, before: Rows) -> None:
        """Take over what machines and rows had shown before a reload."""
        self.fleet.keep(before.fleet)
        for name in self.rows.keys() & before.rows.keys():
            self.rows[name].keep(before.rows[name])
        self._verdicts = {name: why for name, why in before._verdicts.items() if name in self.rows}
        self._groups = {name: group for name, group in before._groups.items() if name in self.rows}

    def memory(self) -> Mapping[str, bytes]:
        """Give what every row usually does."""
        notes = {name: row.note() for name, row in self.rows.items() if row.normal_count}
        down = {name: row.state.normal for name, row in self.rows.items()}
        kept = {"normal": notes, "down": down} if notes else {}
        return {name: json.dumps(note, separators=(",", ":")).encode() for name, note in kept.items()}

    def recall(self, memory: Mapping[str, bytes], now: Moment) -> None:
        """Take back what every row usually does."""
        del now
        try:
            notes, down = (json.loads(memory.get(key, b"{}")) for key in ("normal", "down"))
            known = {name: notes[name] for name in self.rows.keys() & notes.keys()}
            for name in self.rows.keys() & down.keys():
                self.rows[name].state.recall(float(down[name]))
        except (ValueError, TypeError, AttributeError):
            return
        for name, note in known.items():
            try:
                self.rows[name].recall(note)
            except (ValueError, TypeError):
                continue


def _paths_inside(row: Row, ground: Ground) -> frozenset[str]:
    """Name the switches that have nothing but this row's machines and meters behind them."""
    mine = {intake.device.id for intake in row.state.intakes} | {meter.intake.device.id for meter in row.meters}
    return frozenset(
        f"path:{path.id}" for path in ground.topology.paths if all(intake.device.id in mine for intake in path.intakes)
    )


def _watts_gone(row: Row, now: Moment) -> float | None:
    """W that a row's meters no longer show; all of it where they died with it; None where nothing measured it."""
    if row.normal_watts is None:
        return None
    return max(0.0, row.normal_watts - (row.watts(now) or 0.0))


def _meter_words(row: Row, now: Moment) -> list[str]:
    if row.normal_watts is None:
        return ["Nothing measures this row."]
    watts = row.watts(now)
    shown = "do not answer now" if watts is None else f"show {_power(watts)} now"
    return [f"Its meters {shown}, {_power(row.normal_watts)} before."]


def _power(watts: float) -> str:
    return f"{watts / 1e6:.3g} MW" if watts >= 1e6 else f"{watts / 1e3:.3g} kW"  # noqa: PLR2004 - a million is a million

"""What circuits carry beside their breakers' own rules: unevenly (10), in the neutral (11), in kVA (12)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from keeld.alerts.alarm import Evidence
from keeld.alerts.board import Board
from keeld.alerts.machine import Span
from keeld.alerts.rules import GIVES_UP_FAST, HEATS_SLOWLY, MEASURED, PLANT, UNBALANCE_COUNTS, Level
from keeld.budgets.electrical import line_amperes
from keeld.budgets.limits import neutral_rating_amperes
from keeld.budgets.lines import computed_neutral, measured_neutral
from keeld.budgets.source import HELD, UNKNOWN, Value
from keeld.budgets.unbalance import Unbalance, unbalance_of
from keeld.budgets.window import Mean
from keeld.metrics import APPARENT_POWER, APPARENT_POWER_HI, APPARENT_POWER_LO, CURRENT, CURRENT_UNBALANCE
from keeld.model import Moment, Quality, Reading
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.nodes import NodeState
from keeld.watch.racks import SLOT_CAP_S
from keeld.watch.rulebook import NOT_OVER, Windows
from keeld.watch.subjects import Subject

UNBALANCE, NEUTRAL, KVA = "phase_unbalance", "neutral_current", "kva_over"
FAST_KINDS = frozenset({"ups", "generator"})
"""Sources that give up within seconds; a transformer only gets hot."""
_DISTRIBUTING = frozenset({"panel", "switchboard", "busway", "transformer", "ups", "generator"})
"""Nodes whose phases somebody can balance, even where they feed a single rack."""
_LEAST_LOAD_RATIO = 0.2
"""Of the rating: below it an uneven load is no finding."""
_THREE = 3
_PERCENT = 100.0


class Circuit:
    """One node with what these rules remember of it."""

    __slots__ = ("kva", "neutral", "neutral_amperes", "neutral_rating", "phases", "state", "unbalance")

    def __init__(self, state: NodeState, ground: Ground) -> None:
        rules = ground.rules
        self.state = state
        self.kva = Windows(rules.all_levels(KVA, PLANT)) if state.plan.node.limit_volt_amperes is not None else None
        self.neutral_rating = neutral_rating_amperes(state.plan.node)
        has_rule = bool(rules.all_levels(NEUTRAL, state.set_name)) and self.neutral_rating is not None
        self.neutral = Windows(rules.all_levels(NEUTRAL, state.set_name)) if has_rule else None
        self.neutral_amperes: Value | None = None
        levels = rules.all_levels(UNBALANCE, PLANT)
        self.phases = {phase: Windows(levels) for phase in state.plan.lines} if _is_uneven_possible(state) else {}
        self.unbalance: Unbalance | None = None

    @property
    def is_judged(self) -> bool:
        """Whether any of these rules has anything to judge here."""
        return bool(self.kva is not None or self.neutral is not None or self.phases)


class Circuits(Duty):
    """Rules 10, 11 and 12."""

    name: ClassVar[str] = "circuits"
    speaks_of = frozenset({"power_node"})

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        found = {name: Circuit(node, ground) for name, node in ground.nodes.items()}
        self._circuits = {name: circuit for name, circuit in found.items() if circuit.is_judged}

    def subjects(self) -> Iterator[Subject]:
        """List each rule at each node that has what it judges."""
        rules = self.ground.rules
        for circuit in self._circuits.values():
            for name, set_name in _rules_at(circuit):
                levels = rules.levels(name, set_name, circuit.state.target)
                if levels:
                    yield Subject(rules.rule(name), levels, circuit.state.target)

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Run the rules on every node."""
        for circuit in self._circuits.values():
            if circuit.kva is not None:
                self._close_kva(circuit, circuit.kva, slot, board)
            if circuit.neutral is not None and circuit.neutral_rating is not None:
                self._close_neutral(circuit, circuit.neutral, circuit.neutral_rating, slot, board)
            if circuit.phases:
                self._close_phases(circuit, slot, board)
            yield 4

    def _judge(self, circuit: Circuit, name: str, set_name: str, evidence: Evidence, board: Board, now: Moment) -> None:
        rules, target = self.ground.rules, circuit.state.target
        levels = rules.levels(name, set_name, target)
        board.judge(rules.rule(name), levels, target, evidence, now=now, cap_s=SLOT_CAP_S)

    def _levels(self, circuit: Circuit, name: str, set_name: str, most: float, board: Board) -> tuple[Level, ...]:
        """Give a rule's levels; none where there is no alarm and nothing is over the lowest of them."""
        rules, target = self.ground.rules, circuit.state.target
        levels = rules.levels(name, set_name, target)
        if not levels or (
            most <= min(level.limit for level in levels) and board.find(rules.rule(name), target) is None
        ):
            return ()
        return levels

    def _close_kva(self, circuit: Circuit, windows: Windows, slot: Slot, board: Board) -> None:
        """Run rule 12: a window's mean of the apparent power against the rating in VA."""
        state, limit = circuit.state, circuit.state.plan.node.limit_volt_amperes
        value = state.apparent
        if value is None or limit is None:
            return
        windows.skip(slot.missed, state.plan.ceiling_watts)
        windows.push(value.lo, value.best, value.hi)
        mean, fact = windows.mean(), GIVES_UP_FAST if state.kind in FAST_KINDS else HEATS_SLOWLY
        known = self.ground.rules.levels(KVA, PLANT, state.target)
        spans = tuple(windows.span(level, limit) if level.needs == fact else NOT_OVER for level in known)
        most = max((span.hi for span in spans if span is not None), default=0.0)
        if mean is None or not self._levels(circuit, KVA, PLANT, most, board):
            return
        evidence = Evidence(
            spans=spans, lo=mean.lo, best=mean.best, hi=mean.hi, limit=limit, unit="VA", base=f"{state.kind} rating",
            what="apparent power", detail=_apparent_detail(state),
            is_known=state.known_draw.quality in (Quality.GOOD, Quality.HELD),
        )  # fmt: skip
        self._judge(circuit, KVA, PLANT, evidence, board, slot.now)

    def _close_neutral(self, circuit: Circuit, windows: Windows, rating: float, slot: Slot, board: Board) -> None:
        """Run rule 11: measured it warns; computed, harmonics are not in it, and it is only a finding."""
        state = circuit.state
        measured = measured_neutral(state.plan, slot.look)
        value = computed_neutral(state.lines.values()) if measured is None else measured
        circuit.neutral_amperes = value
        shown = Value(0.0, None, rating, UNKNOWN) if value is None else value
        windows.skip(slot.missed, rating)
        windows.push(shown.lo, shown.best, shown.hi)
        mean = windows.mean()
        levels = () if mean is None else self._levels(circuit, NEUTRAL, state.set_name, mean.lo / rating, board)
        if not levels or mean is None:
            return
        how = "measured" if measured is not None else "computed from its lines, without harmonics"
        facts = {MEASURED} if measured is not None else set()
        evidence = Evidence(
            spans=tuple(_if_so(windows.span(level, rating), level, facts) for level in levels),
            lo=mean.lo, best=mean.best, hi=mean.hi, limit=rating, unit="A", base="neutral rating",
            what=f"neutral, {how}", is_known=value is not None,
        )  # fmt: skip
        self._judge(circuit, NEUTRAL, state.set_name, evidence, board, slot.now)

    def _close_phases(self, circuit: Circuit, slot: Slot, board: Board) -> None:
        """Run rule 10 on the lines' 5-minute means."""
        state = circuit.state
        ceiling = _line_rating(state) or 0.0
        lines = [state.lines.get(phase) for phase in circuit.phases]
        is_live = all(line is not None and line.rank <= HELD for line in lines)
        for windows, line in zip(circuit.phases.values(), lines, strict=True):
            windows.skip(slot.missed, ceiling)
            shown = line if is_live and line is not None else Value(0.0, None, ceiling, UNKNOWN)
            windows.push(shown.lo, shown.best, shown.hi)
        means = [mean for windows in circuit.phases.values() if (mean := windows.mean()) is not None]
        circuit.unbalance = _unbalance(means, ceiling) if is_live and len(means) == _THREE else None
        self._judge_unbalance(circuit, board, slot.now, is_live=is_live)

    def _judge_unbalance(self, circuit: Circuit, board: Board, now: Moment, *, is_live: bool) -> None:
        state, found = circuit.state, circuit.unbalance
        levels = self._levels(circuit, UNBALANCE, PLANT, 0.0 if found is None else found.hi, board)
        if not levels:
            return
        facts = {UNBALANCE_COUNTS} if state.is_over_derate or state.kind in FAST_KINDS else set()
        span = None if not is_live else NOT_OVER if found is None else Span(found.lo, found.hi)
        limit = min(level.limit for level in levels) * _PERCENT
        shown = found or Unbalance(0.0, 0.0, 0.0, "")
        evidence = Evidence(
            spans=tuple(_if_so(span, level, facts) for level in levels),
            lo=shown.lo * _PERCENT, best=shown.best * _PERCENT, hi=shown.hi * _PERCENT, limit=limit, unit="%",
            base="off the mean", what="the line farthest from the mean of the three, 5-min mean",
            detail=f"Line {shown.phase} is the farthest from the mean." if shown.phase else "", is_known=is_live,
        )  # fmt: skip
        self._judge(circuit, UNBALANCE, PLANT, evidence, board, now)

    def readings(self, kind: str, name: str) -> Iterable[Reading]:
        """Give a node's apparent power, the current in its neutral and how uneven its lines are."""
        if kind != "power_node":
            return ()
        found = []
        value = self.ground.nodes[name].apparent
        if value is not None:
            found += [Reading(APPARENT_POWER_LO, value.lo), Reading(APPARENT_POWER_HI, value.hi)]
            if value.best is not None and value.rank <= HELD and not self.ground.nodes[name].reactive.is_assumed:
                found.append(Reading(APPARENT_POWER, value.best))
        circuit = self._circuits.get(name)
        if circuit is not None and circuit.neutral_amperes is not None and circuit.neutral_amperes.best is not None:
            found.append(Reading(CURRENT, circuit.neutral_amperes.best, "N"))
        if circuit is not None and circuit.unbalance is not None:
            found.append(Reading(CURRENT_UNBALANCE, circuit.unbalance.best))
        return found

    def keep(self, before: Circuits) -> None:
        """Take over the windows of nodes that are still there."""
        for name in self._circuits.keys() & before._circuits.keys():
            mine, theirs = self._circuits[name], before._circuits[name]
            for window, past in ((mine.kva, theirs.kva), (mine.neutral, theirs.neutral)):
                if window is not None and past is not None:
                    window.keep(past)
            for phase in mine.phases.keys() & theirs.phases.keys():
                mine.phases[phase].keep(theirs.phases[phase])


def _is_uneven_possible(state: NodeState) -> bool:
    """Whether rule 10 holds here: three lines that are known by rating, and not those of a rack's own PDU."""
    plan = state.plan
    is_rack_pdu = len(plan.feeds) == 1 and not plan.children and state.kind not in _DISTRIBUTING
    return len(plan.lines) == _THREE and not is_rack_pdu and not plan.is_spare and _line_rating(state) is not None


def _line_rating(state: NodeState) -> float | None:
    """Give the current that each line may carry: the breaker's, else what the rating in VA is when balanced."""
    node = state.plan.node
    if state.rating_amperes is not None:
        return state.rating_amperes
    if node.limit_volt_amperes is None or node.voltage_volts is None:
        return None
    return line_amperes(node.limit_volt_amperes, node.voltage_volts, node.phases)


def _rules_at(circuit: Circuit) -> Iterator[tuple[str, str]]:
    if circuit.phases:
        yield UNBALANCE, PLANT
    if circuit.neutral is not None:
        yield NEUTRAL, circuit.state.set_name
    if circuit.kva is not None:
        yield KVA, PLANT


def _unbalance(means: list[Mean], rating: float) -> Unbalance | None:
    """Bound how uneven three means are; None while they are too small to be a finding."""
    lines = [(mean.seen_lo, mean.best, mean.hi) for mean in means]
    if sum(lo for lo, _, _ in lines) / _THREE < _LEAST_LOAD_RATIO * rating:
        return None
    return unbalance_of(lines)


def _if_so(span: Span | None, level: Level, facts: set[str]) -> Span | None:
    return NOT_OVER if level.needs and level.needs not in facts else span


def _apparent_detail(state: NodeState) -> str:
    words = [f"{state.known_draw.provenance[:1].upper()}{state.known_draw.provenance[1:]}."]
    if state.reactive.is_assumed:
        words.append("Where no meter tells the power factor it is taken as between 0.9 and 1.")
    return " ".join(words)

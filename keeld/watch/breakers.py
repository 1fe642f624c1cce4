"""The breaker rules on what power nodes carry: 1 on arrival and at the end of a slot, 3 at the end of a slot."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from keeld.alerts.alarm import Evidence
from keeld.alerts.board import Board
from keeld.alerts.machine import Span
from keeld.alerts.rules import PLANT
from keeld.budgets.source import GOOD, GOOD_INTERVALS, HELD, SECOND_NS, Recent, Source, Value
from keeld.model import Moment
from keeld.watch.nodes import CONTINUOUS, OVERLOAD, NodeState
from keeld.watch.racks import SLOT_CAP_S
from keeld.watch.rulebook import Rulebook

_URGENT_RATIO = 0.9
_CLEAR_LISTED = 0.99
"""Clear level of an overload where the breaker is listed for its full rating; else its continuous limit."""


class LineMean(NamedTuple):
    """The hottest line of a node: its mean current, in A, and name."""

    phase: str
    value: Value


def is_urgent(state: NodeState) -> bool:
    """Whether a node is loaded so much that its meters should be read more often."""
    rating = state.rating_amperes
    if rating is None or state.direct is None:
        return False
    return any(_latest(sources) > _URGENT_RATIO * rating for sources in state.direct.values())


def _latest(sources: list[Source]) -> float:
    return sum(source.value or 0.0 for source in sources)


def judge_overload(state: NodeState, rules: Rulebook, board: Board, now: Moment) -> bool:
    """Run rule 1 on what has just arrived; True when the alarm moved."""
    rating, direct = state.rating_amperes, state.direct
    if rating is None or direct is None:
        return False
    rule = rules.rule(OVERLOAD)
    is_calm = board.find(rule, state.target) is None
    if is_calm and all(_latest(sources) <= rating for sources in direct.values()):
        return False
    means = {phase: _recent_mean(sources, now.mono_ns) for phase, sources in direct.items()}
    interval_ns = max(source.interval_ns for sources in direct.values() for source in sources)
    cap_s = 2 * interval_ns / SECOND_NS
    moved = _judge_overload(state, rules, board, now, means, cap_s)
    alarm = board.find(rule, state.target)
    state.waits_ns = None if alarm is None else alarm.due_ns()
    return moved


def _recent_mean(sources: list[Source], mono_ns: int) -> Value | None:
    """Average a line over 30 s or six samples, whichever is longer; None unless it is fresh and has six."""
    mean = 0.0
    for source in sources:
        if source.recent is None or source.rank_at(mono_ns) != GOOD:
            return None
        span_ns = max(Recent.WINDOW_NS, int((Recent.LEAST_SAMPLES - 0.5) * source.interval_ns))
        newest_ns = source.mono_ns
        part = source.recent.mean(newest_ns - span_ns, newest_ns, least=Recent.LEAST_SAMPLES)
        if part is None:
            return None
        mean += part
    return Value(mean, mean, mean, GOOD)


def judge_overload_slot(state: NodeState, rules: Rulebook, board: Board, now: Moment) -> bool:
    """Run rule 1 at the end of a slot: for nodes whose current is a sum, and for those whose meters fell silent."""
    if state.rating_amperes is None:
        return False
    if state.direct is not None and _is_fresh(state.direct.values(), now.mono_ns):
        return False
    means: dict[str, Value | None] = {}
    for phase, windows in state.short.items():
        mean, line = windows.mean(), state.lines.get(phase)
        live = line is not None and line.rank <= HELD and mean is not None
        means[phase] = Value(mean.lo, mean.best, mean.hi, GOOD) if live and mean is not None else None
    return _judge_overload(state, rules, board, now, means, SLOT_CAP_S)


def _is_fresh(lines: Iterable[list[Source]], mono_ns: int) -> bool:
    for sources in lines:
        for source in sources:
            if mono_ns - source.mono_ns > GOOD_INTERVALS * source.interval_ns:
                return False
    return True


def _judge_overload(
    state: NodeState, rules: Rulebook, board: Board, now: Moment, means: dict[str, Value | None], cap_s: float
) -> bool:
    levels = rules.levels(OVERLOAD, PLANT, state.target)
    rating = state.rating_amperes
    if not levels or rating is None:
        return False
    hot = hottest(means)
    span = None if hot is None else Span(hot.value.lo / rating, hot.value.hi / rating)
    if span is not None and None in means.values():
        span = Span(span.lo, float("inf"))  # a line without data may carry anything
    derate = state.plan.node.derate
    evidence = line_evidence(
        state,
        hot,
        limit=rating,
        spans=(span,) * len(levels),
        clear=derate if derate < 1.0 else _CLEAR_LISTED,
        detail=state.trip_words,
    )
    return board.judge(rules.rule(OVERLOAD), levels, state.target, evidence, now=now, cap_s=cap_s)


def hottest(means: dict[str, Value | None]) -> LineMean | None:
    """Give the line with the highest certain current; None where no line is known."""
    known = [LineMean(phase, value) for phase, value in means.items() if value is not None]
    return max(known, key=lambda line: line.value.lo, default=None)


def line_evidence(
    state: NodeState,
    hot: LineMean | None,
    *,
    limit: float,
    spans: tuple[Span | None, ...],
    clear: float | None = None,
    detail: str = "",
) -> Evidence:
    """Put a node's hottest line into evidence against a limit in A."""
    node = state.plan.node
    base = state.breaker_base
    if limit < (state.rating_amperes or 0.0):
        base += f" x {node.derate:g} continuous"
    words = [detail] if detail else []
    if hot is not None:
        share = hot.value.lo / (state.rating_amperes or limit)
        words.append(f"{share:.0%} of the breaker; its {node.derate:.0%} rule allows {_continuous(state):.3g} A.")
    return Evidence(
        spans=spans,
        lo=None if hot is None else hot.value.lo,
        best=None if hot is None else hot.value.best,
        hi=None if hot is None else hot.value.hi,
        limit=limit,
        unit="A",
        base=base,
        what=f"line {hot.phase}" if hot is not None and hot.phase else "current",
        detail=" ".join(words).replace("%", " %"),
        clear=clear,
        is_known=hot is not None,
    )


def _continuous(state: NodeState) -> float:
    return (state.rating_amperes or 0.0) * state.plan.node.derate


def judge_continuous(state: NodeState, rules: Rulebook, board: Board, now: Moment) -> bool:
    """Run rule 3 on a slot that has closed, and note whether a phase is over its derated rating."""
    limit, derate = _continuous(state), state.plan.node.derate
    if state.rating_amperes is None or limit <= 0.0:
        return False
    means = {phase: windows.mean() for phase, windows in state.continuous.items()}
    most = max([mean.lo for mean in means.values() if mean is not None], default=None)
    state.is_over_derate = most is not None and most > limit
    if most is None or derate >= 1.0:
        return False
    levels = rules.levels(CONTINUOUS, PLANT, state.target)
    rule = rules.rule(CONTINUOUS)
    if not levels:
        return False
    if most <= min([level.limit for level in levels]) * limit and board.find(rule, state.target) is None:
        return False
    spans = []
    for level in levels:
        known = [span for windows in state.continuous.values() if (span := windows.span(level, limit)) is not None]
        spans.append(Span(max(s.lo for s in known), max(s.hi for s in known)) if known else None)
    values: dict[str, Value | None] = {
        phase: None if mean is None else Value(mean.lo, mean.best, mean.hi, GOOD) for phase, mean in means.items()
    }
    evidence = line_evidence(state, hottest(values), limit=limit, spans=tuple(spans))
    return board.judge(rule, levels, state.target, evidence, now=now, cap_s=SLOT_CAP_S)

"""The site as people see it: every rack and node with its verdict, and every alarm."""

from __future__ import annotations

from collections.abc import Mapping

from keeld.alerts.alarm import Alarm as BoardAlarm
from keeld.alerts.board import Board
from keeld.budgets.interval import published, total, verdict
from keeld.budgets.source import Value
from keeld.budgets.topology import Topology
from keeld.model import Alarm, Interval, Judgement, Moment, Quality, RackView, SiteView, Verdict
from keeld.watch.racks import RackState
from keeld.watch.rulebook import Rulebook, Windows

_WORST = (Verdict.OVER, Verdict.CANT_TELL, Verdict.OK)


def site_view(
    topology: Topology, racks: Mapping[str, RackState], rules: Rulebook, board: Board, now: Moment
) -> SiteView:
    """Put the whole site together."""
    rack_views = tuple(_rack_view(state) for state in racks.values())
    draw = published(total(Value(v.draw.lo, v.draw.best, v.draw.hi, 0) for v in rack_views), coverage=1.0)
    return SiteView(
        time_ns=now.wall_ns,
        draw=draw,
        racks=rack_views,
        nodes=(),
        alarms=tuple(alarm_view(alarm) for alarm in board.alarms.values()),
    )


def _rack_view(state: RackState) -> RackView:
    budget = state.plan.rack.budget
    judgements = tuple(
        judgement("rack", state.plan.rack.id, constraint, "W", limit, "budget", windowed(windows, live), live)
        for constraint, limit, windows, live in (
            ("power", budget.power_watts, state.power, state.draw.total),
            ("air", budget.air_watts, state.air, state.heat.air),
        )
        if limit
    )
    return RackView(
        rack=state.plan.rack,
        draw=state.draw.total,
        air=state.heat.air,
        liquid=state.heat.liquid,
        verdict=worst(judgements),
        binding=binding(judgements),
        judgements=judgements,
        feeds=state.draw.feeds,
    )


def windowed(windows: Windows, live: Interval) -> Interval:
    """Give a window's mean with what is known of the live value beside it."""
    mean = windows.mean()
    if mean is None or mean.hi < mean.lo:
        return live
    return Interval(
        mean.lo, mean.best, mean.hi, live.coverage, live.quality, live.provenance, live.lost, live.structural
    )


def judgement(
    kind: str, name: str, constraint: str, unit: str, limit: float, base: str, value: Interval, live: Interval
) -> Judgement:  # fmt: skip
    """Judge a mean against its limit; a live value that has lost its sources makes an OK doubtful at once."""
    word = verdict(value.lo, value.hi, limit)
    if word is Verdict.OK and live.quality in (Quality.ESTIMATED, Quality.UNKNOWN):
        word = verdict(min(live.lo, limit), live.hi, limit)
    return Judgement(
        target_kind=kind,
        target_id=name,
        constraint=constraint,
        unit=unit,
        limit=limit,
        base=base,
        value=value,
        verdict=word,
        why=why(live) if word is Verdict.CANT_TELL else "",
        structural=word is Verdict.CANT_TELL and not live.lost and bool(live.structural),
    )


def why(live: Interval) -> str:
    """Say why a limit cannot be judged."""
    if live.lost:
        return f"no data from {', '.join(live.lost)}"
    if live.structural:
        return f"never measured: {', '.join(live.structural)}"
    return "only bounds are known"


def worst(judgements: tuple[Judgement, ...]) -> Verdict:
    """Give the worst word, findings left out unless there is nothing else."""
    words = [item.verdict for item in judgements if not item.structural] or [item.verdict for item in judgements]
    return next((word for word in _WORST if word in words), Verdict.OK)


def binding(judgements: tuple[Judgement, ...]) -> Judgement | None:
    """Give the judgement with the highest load ratio; None where nothing was measured."""
    measured = [item for item in judgements if item.load_ratio is not None]
    return max(measured, key=lambda item: item.load_ratio or 0.0, default=None)


def alarm_view(alarm: BoardAlarm) -> Alarm:
    """Give an alarm as page and commands list it."""
    evidence = alarm.evidence
    return Alarm(
        key=alarm.key,
        alert_id=alarm.alert_id,
        rule=alarm.rule.name,
        target_kind=alarm.target.kind,
        target_id=alarm.target.id,
        state=alarm.state,
        severity=alarm.severity,
        since_ns=alarm.since_ns,
        lo=evidence.lo,
        best=evidence.best,
        hi=evidence.hi,
        limit=evidence.limit,
        unit=evidence.unit,
        title=alarm.title,
        text=alarm.text,
        cause=alarm.held_by or evidence.cause,
    )

"""The site as people see it: every rack and node with its verdict, and every alarm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from keeld.alerts.alarm import Alarm as BoardAlarm
from keeld.alerts.board import Board
from keeld.alerts.causes import CHILDREN_LISTED
from keeld.alerts.holds import Quiet
from keeld.budgets.interval import published, verdict
from keeld.budgets.source import HELD
from keeld.model import AlertState, Interval, Moment, Quality
from keeld.views import Alarm, Judgement, NodeView, RackView, SiteView, Verdict
from keeld.watch.balance import Balance
from keeld.watch.contract_views import demand_views, site_figures
from keeld.watch.cooling import CoolingState
from keeld.watch.derived import site_draw
from keeld.watch.forecast import NextToBreak
from keeld.watch.headroom import HeadroomWatch
from keeld.watch.nodes import NodeState
from keeld.watch.racks import RackState
from keeld.watch.rulebook import Windows
from keeld.watch.state import SiteState
from keeld.watch.validity import Validity

_LEAST_SEEN_S = 30.0
_LEAST_LIMIT_WATTS = 1.0
"""Stands for no capacity at all, so that every ratio stays finite."""
_WORST = (Verdict.OVER, Verdict.CANT_TELL, Verdict.OK)


def site_view(state: SiteState, board: Board, now: Moment) -> SiteView:
    """Put the whole site together."""
    standing = (alarm.since_ns for alarm in board.alarms.values() if alarm.state is not AlertState.PENDING)
    first_ns = min(standing, default=0)
    headrooms = [duty for duty in state.duties if isinstance(duty, HeadroomWatch)]
    return SiteView(
        time_ns=now.wall_ns,
        draw=site_draw(list(state.racks.values())),
        racks=tuple(
            _with_usable(_rack_view(rack, state.failover.words_of(name)), headrooms)
            for name, rack in state.racks.items()
        ),
        nodes=(
            *(_node_view(node, _figures(state, name)) for name, node in state.nodes.items()),
            *(_cooling_view(zone) for zone in state.cooling.values()),
        ),
        alarms=tuple(alarm_view(alarm, board, first_ns, now.wall_ns) for alarm in board.alarms.values()),
        forecasts=next((duty.ranking for duty in state.duties if isinstance(duty, NextToBreak)), ()),
        suspects=next((duty.suspects for duty in state.duties if isinstance(duty, Validity)), ()),
        demands=tuple(demand_views(state.duties)),
        figures=site_figures(state.duties),
        observed_until_ns=board.holds.observing.site_until_ns(now.wall_ns),
    )


def _with_usable(view: RackView, headrooms: Sequence[HeadroomWatch]) -> RackView:
    """Add what may be added to the rack: as last worked out, and no more than its own budgets leave by now."""
    told = (duty.readings("rack", view.rack.id) for duty in headrooms)
    usable = next((reading.value for readings in told for reading in readings), None)
    if usable is None:
        return view
    return replace(view, usable_watts=min([usable, *(item.headroom for item in view.judgements)]))


def _figures(state: SiteState, name: str) -> dict[str, float]:
    """Give what the books and the headroom say of a power node, by metric."""
    told = (duty.readings("power_node", name) for duty in state.duties if isinstance(duty, Balance | HeadroomWatch))
    return {reading.metric.name: reading.value for readings in told for reading in readings}


def _node_view(state: NodeState, figures: dict[str, float]) -> NodeView:
    node, draw = state.plan.node, state.known_draw
    judgements = [
        _within_source(
            judgement("power_node", node.id, constraint, unit, limit, base, value, live, too_short=seen(windows)), state
        )
        for constraint, unit, limit, base, windows, value, live in _node_limits(state)
    ]
    return NodeView(
        kind="power_node",
        id=node.id,
        label=node.label,
        draw=draw,
        verdict=worst(tuple(judgements)),
        judgements=tuple(judgements),
        figures=figures,
    )


def _node_limits(state: NodeState) -> Iterator[tuple[str, str, float, str, Windows, Interval, Interval]]:
    """List a power node's limits with what each is judged on; lines that nothing measures are left out."""
    node, draw = state.plan.node, state.known_draw
    if state.rating_amperes is not None:
        for phase, value in state.lines.items():
            if value is not None:
                live = published(value, coverage=1.0 if value.rank <= HELD else 0.0, lost=draw.lost)
                name = f"current/{phase}" if phase else "current"
                windows = state.continuous[phase]
                yield name, "A", state.rating_amperes, state.breaker_base, windows, windowed(windows, live), live
    limit = state.watts_limit
    if limit is not None:
        yield "power", "W", limit.least_watts, limit.base, state.power, windowed(state.power, draw), draw
    if state.volt_amperes is not None and node.limit_volt_amperes is not None and state.apparent is not None:
        live = replace(draw, lo=state.apparent.lo, best=state.apparent.best, hi=state.apparent.hi)
        mean = windowed(state.volt_amperes, live)
        yield "apparent_power", "VA", node.limit_volt_amperes, "rating", state.volt_amperes, mean, live


def _within_source(item: Judgement, state: NodeState) -> Judgement:
    """Call what only the least of a node's sources cannot give a doubt, while nothing tells which is in use."""
    limit = state.watts_limit
    if item.constraint != "power" or item.verdict is not Verdict.OVER or limit is None:
        return item
    if item.value.lo > limit.most_watts:
        return item
    return replace(item, verdict=Verdict.CANT_TELL, why="which of its sources is in use is not known")


def _cooling_view(state: CoolingState) -> NodeView:
    heat, node = state.heat(), state.node
    judgements = tuple(_cooling_judgements(state, heat))
    return NodeView(
        kind="cooling_node", id=node.id, label=node.label, draw=heat, verdict=worst(judgements), judgements=judgements
    )


def _cooling_judgements(state: CoolingState, heat: Interval) -> Iterator[Judgement]:
    """Judge a zone or loop on what it can carry with its redundancy kept, and now where that is less."""
    node, capacity = state.node, state.capacity
    value, short = windowed(state.windows, heat), seen(state.windows)
    planned = state.planned_watts
    if planned:
        base = f"{node.redundancy} capacity"
        yield judgement("cooling_node", node.id, node.kind, "W", planned, base, value, heat, too_short=short)
    if planned is None or capacity is None or capacity.lo >= planned:
        return
    limit = max(_LEAST_LIMIT_WATTS, capacity.hi)
    base = f"capacity now, {capacity.binds or 'a unit is silent'}"
    now = judgement("cooling_node", node.id, f"{node.kind}/now", "W", limit, base, value, heat, too_short=short)
    if now.verdict is Verdict.OK and value.hi > capacity.lo:
        now = replace(now, verdict=Verdict.CANT_TELL, why="whether every unit runs is not known")
    yield now


def _rack_view(state: RackState, failover: str) -> RackView:
    budget = state.plan.rack.budget
    judgements = tuple(
        judgement(
            "rack",
            state.plan.rack.id,
            constraint,
            "W",
            limit,
            "budget",
            windowed(windows, live),
            live,
            too_short=seen(windows),
        )
        for constraint, limit, windows, live in (
            ("power", budget.power_watts, state.power, state.draw.total),
            ("air", budget.air_watts, state.air, state.heat.air),
            ("liquid", budget.liquid_watts, state.liquid, state.heat.liquid),
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
        failover=failover,
    )


def windowed(windows: Windows, live: Interval) -> Interval:
    """Give a window's mean with what is known of the live value beside it."""
    mean = windows.mean()
    if mean is None:
        return live
    return Interval(
        mean.seen_lo,
        mean.best,
        mean.hi,
        live.coverage,
        live.quality,
        mean.provenance or live.provenance,
        live.lost,
        live.structural,
    )


def seen(windows: Windows) -> str:
    """Say how little of a window there is while that is too little to call a limit exceeded; empty once it is enough.

    One sample of a load that swings is not a mean.
    """
    if windows.seen_s >= min(_LEAST_SEEN_S, windows.shortest_s):
        return ""
    return f"only {windows.seen_s:.0f} s of its {windows.span_words} mean seen yet"


def judgement(
    kind: str, name: str, constraint: str, unit: str, limit: float, base: str, value: Interval, live: Interval,
    *, too_short: str,
) -> Judgement:  # fmt: skip
    """Judge a mean against its limit; a live value that has lost its sources makes an OK doubtful at once."""
    word = verdict(value.lo, value.hi, limit)
    if word is Verdict.OVER and too_short:
        word = Verdict.CANT_TELL
    else:
        too_short = ""
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
        why=too_short or (why(live) if word is Verdict.CANT_TELL else ""),
        structural=word is Verdict.CANT_TELL and not too_short and not live.lost and bool(live.structural),
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


def alarm_view(alarm: BoardAlarm, board: Board, first_ns: int, now_ns: int) -> Alarm:
    """Give an alarm as page and commands list it; `first_ns` is when the first of those that stand began."""
    evidence, children = alarm.evidence, board.children(alarm)
    quiet = _quiet(alarm, board, now_ns)
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
        quiet=alarm.quiet,
        owner=alarm.owner,
        children=tuple(children.values())[:CHILDREN_LISTED],
        child_count=len(children),
        is_first_out=alarm.since_ns == first_ns and alarm.state is not AlertState.PENDING,
        chatters=alarm.chatters,
        is_latched=alarm.rule.is_latched,
        is_told=alarm.told is not None,
        held_by=alarm.held_by,
        quiet_id=quiet.id,
        quiet_until_ns=quiet.until_ns,
    )


def _quiet(alarm: BoardAlarm, board: Board, now_ns: int) -> Quiet:
    """Say what keeps an alarm quiet, which one and until when, as far as that still holds."""
    found = alarm.quiet and board.holds.quiet(
        alarm.key,
        alarm.rule.name,
        alarm.severity,
        scopes=alarm.target.scopes,
        tags=board.tags_of(alarm.target),
        wall_ns=now_ns,
    )
    return found if found and found.word == alarm.quiet else Quiet(alarm.quiet)

"""How keeld's values look as JSON. Null means unknown, times are RFC 3339 in UTC, units stand in the names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from keeld.live import Latest, Packed
from keeld.model import AlertState, Batch, Device, Interval, Quality, Transition
from keeld.text import rfc3339
from keeld.views import Alarm, Judgement, NodeView, RackView, Verdict
from keeld.web.source import Span

Form = dict[str, Any]
STANDINGS = ("open", "follows", "pending", "observed", "shelved", "maintenance", "flood")
"""How an alarm may stand to those who look after it: open is theirs; all others were not sent, each for a reason."""


def rack_form(view: RackView) -> Form:
    """Give a rack with its verdict and what binds."""
    rack, budget = view.rack, view.rack.budget
    return {
        "id": rack.id,
        "label": rack.label or rack.id,
        "kind": rack.kind,
        "row": rack.row,
        "state": rack.state,
        "tenant": rack.tenant,
        "redundancy": rack.redundancy,
        "feeds": dict(rack.feeds),
        "verdict": view.verdict,
        "why": _why(view.verdict, view.judgements),
        "is_structural": is_structural(view),
        "binding": judgement_form(view.binding) if view.binding else None,
        "draw_watts": interval_form(view.draw),
        "air_heat_watts": interval_form(view.air),
        "liquid_heat_watts": interval_form(view.liquid),
        "feeds_watts": {feed: interval_form(draw) for feed, draw in view.feeds.items()},
        "failover_text": view.failover,
        "usable_headroom_watts": view.usable_watts,
        "budget": {
            "power_watts": budget.power_watts,
            "air_watts": budget.air_watts,
            "liquid_watts": budget.liquid_watts,
        },
        "judgements": [judgement_form(judgement) for judgement in view.judgements],
    }


def is_structural(view: RackView) -> bool:
    """Whether the rack is unknown because nothing was ever configured to measure it: a finding, not an alarm."""
    if view.judgements:
        return view.verdict is Verdict.CANT_TELL and all(item.structural for item in view.judgements)
    return view.draw.quality is Quality.UNKNOWN and not view.draw.lost


def node_form(view: NodeView) -> Form:
    """Give a power or cooling node."""
    return {
        "kind": view.kind,
        "id": view.id,
        "label": view.label or view.id,
        "verdict": view.verdict,
        "why": _why(view.verdict, view.judgements),
        "draw_watts": interval_form(view.draw),
        "judgements": [judgement_form(judgement) for judgement in view.judgements],
        "figures": dict(view.figures),
    }


def judgement_form(judgement: Judgement) -> Form:
    """Give one budget: `value`, `limit` and `headroom` are in `unit`; `load_ratio` is of `base`."""
    return {
        "constraint": judgement.constraint,
        "verdict": judgement.verdict,
        "why": judgement.why,
        "is_structural": judgement.structural,
        "unit": judgement.unit,
        "limit": judgement.limit,
        "base": judgement.base,
        "value": interval_form(judgement.value),
        "load_ratio": judgement.load_ratio if judgement.limit > 0 else None,
        "headroom": judgement.headroom,
    }


def interval_form(interval: Interval | None) -> Form | None:
    """Give an interval; None where the quantity does not exist."""
    if interval is None:
        return None
    return {
        "lo": interval.lo,
        "best": interval.best,
        "hi": interval.hi,
        "coverage_ratio": interval.coverage,
        "quality": interval.quality,
        "provenance": interval.provenance,
        "lost": list(interval.lost),
        "structural": list(interval.structural),
    }


def standing(alarm: Alarm) -> str:
    """Say in one of STANDINGS whom an alarm waits for, or why nobody was told of it."""
    if alarm.quiet:
        return alarm.quiet
    if alarm.state is AlertState.PENDING:
        return "pending"
    return "follows" if alarm.held_by and not alarm.is_told else "open"


def alarm_form(alarm: Alarm) -> Form:
    """Give an alarm that is not OK."""
    return {
        "key": alarm.key,
        "alert_id": alarm.alert_id,
        "rule": alarm.rule,
        "target": {"kind": alarm.target_kind, "id": alarm.target_id},
        "state": alarm.state,
        "severity": alarm.severity,
        "since": _time(alarm.since_ns),
        "value": alarm.best,
        "lo": alarm.lo,
        "hi": alarm.hi,
        "limit": alarm.limit,
        "unit": alarm.unit,
        "title": alarm.title,
        "text": alarm.text,
        "cause": alarm.cause,
        "standing": standing(alarm),
        "is_told": alarm.is_told,
        "held_by": alarm.held_by,
        "quiet": alarm.quiet,
        "quiet_id": alarm.quiet_id,
        "quiet_until": _time(alarm.quiet_until_ns),
        "owner": alarm.owner,
        "children": list(alarm.children),
        "children_total": alarm.child_count,
        "is_first_out": alarm.is_first_out,
        "chatters": alarm.chatters,
        "is_latched": alarm.is_latched,
    }


def transition_form(move: Transition) -> Form:
    """Give one move of an alarm."""
    return {
        "time": rfc3339(move.time_ns),
        "key": move.key,
        "alert_id": move.alert_id,
        "rule": move.rule,
        "target": {"kind": move.target_kind, "id": move.target_id},
        "state": {"from": move.before, "to": move.after},
        "severity": move.severity,
        "notice": move.notice,
        "ended": move.ended,
        "since": _time(move.since_ns),
        "value": move.best,
        "lo": move.lo,
        "hi": move.hi,
        "limit": move.limit,
        "unit": move.unit,
        "title": move.title,
        "text": move.text,
        "cause": move.cause,
        "quiet": move.quiet,
        "owner": move.owner,
        "children": list(move.children),
        "children_total": move.child_count,
    }


def device_form(latest: Latest, now_mono_ns: int) -> Form:
    """Give a device's last word, good and bad, whole."""
    device = latest.device
    return device_summary(latest, now_mono_ns) | {
        "address": device.address,
        "unit": device.unit,
        "profile": device.profile,
        "nameplate_watts": device.nameplate_watts,
        "interval_s": device.interval_s,
        "info": latest.info,
        "batches": {str(group): batch_form(batch) for group, batch in latest.batches.items()},
        "outage": _outage_form(latest.outage) if latest.outage else None,
    }


def device_summary(latest: Latest, now_mono_ns: int) -> Form:
    """Give one line about a device. `is_out` is null before its first answer or outage."""
    device = latest.device
    return {
        "id": device.id,
        "label": device.label or device.id,
        "kind": device.kind,
        "driver": device.driver,
        "rack": device.rack,
        "feed": device.feed,
        "is_out": latest.is_out if latest.batches or latest.outage else None,
        "outage_reason": latest.outage.outage if latest.is_out and latest.outage else None,
        "outage_detail": latest.outage.detail if latest.is_out and latest.outage else None,
        "readings_age_s": _age_s((batch.mono_ns for batch in latest.batches.values()), now_mono_ns),
        "readings_time": _time(max((batch.time_ns for batch in latest.batches.values()), default=0)),
    }


def batch_form(batch: Batch | Packed) -> Form:
    """Give a batch in the form that every output of keeld shares."""
    form: Form = {"time": rfc3339(batch.time_ns), "device": batch.device.id}
    if batch.readings or batch.outage is None:
        form["readings"] = {_name(metric.name, part): value for metric, value, part in batch.readings}
    if batch.outage is not None:
        form["outage"] = batch.outage
    return form | {"group": batch.group, "interval_s": batch.interval_s}


def span_form(span: Span) -> Form:
    """Give one minute of a series."""
    return {"time": rfc3339(span.minute_ns), "min": span.min, "mean": span.mean, "max": span.max}


def devices_of_rack(devices: Iterable[Device], rack: str) -> list[str]:
    """List the ids of the devices in a rack."""
    return [device.id for device in devices if device.rack == rack]


def _outage_form(batch: Batch) -> Form:
    return {
        "time": rfc3339(batch.time_ns),
        "reason": batch.outage,
        "detail": batch.detail,
        "group": batch.group,
    }


def _why(verdict: Verdict, judgements: Iterable[Judgement]) -> str:
    if verdict is not Verdict.CANT_TELL:
        return ""
    reasons = dict.fromkeys(item.why for item in judgements if item.verdict is Verdict.CANT_TELL and item.why)
    return "; ".join(reasons)


def _name(metric: str, part: str) -> str:
    return f"{metric}/{part}" if part else metric


def _time(time_ns: int) -> str | None:
    return rfc3339(time_ns) if time_ns else None


def _age_s(times_mono_ns: Iterable[int], now_mono_ns: int) -> float | None:
    newest_ns = max(times_mono_ns, default=None)
    return None if newest_ns is None else round((now_mono_ns - newest_ns) / 1e9, 1)

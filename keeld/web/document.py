"""The whole site as one JSON document: what the page shows, and asks for every two seconds."""

from __future__ import annotations

import time
from collections import Counter

from keeld.text import rfc3339
from keeld.views import DemandView, Forecast, MeanPower, SiteView, Suspect
from keeld.web.acts import hold_form
from keeld.web.commands import commands_form, live_commands_form
from keeld.web.forms import STANDINGS, Form, alarm_form, interval_form, node_form, rack_form, standing
from keeld.web.orders import order_form
from keeld.web.source import Queue, Source

_FORECASTS_SHOWN = 20
_SUSPECTS_SHOWN = 50


def site_form(source: Source, view: SiteView) -> Form:
    """Give the whole site: what the page shows and refreshes."""
    settings = source.settings
    return {
        "time": rfc3339(view.time_ns),
        "age_s": round(max(0.0, (time.time_ns() - view.time_ns) / 1e9), 3),
        "site": settings.site.name,
        "timezone": settings.site.timezone,
        "timings_note": settings.timings_note,
        "draw_watts": interval_form(view.draw),
        "racks": [rack_form(rack) for rack in view.racks],
        "nodes": [node_form(node) for node in view.nodes],
        "balance": balance_form(source, source.queue()),
        "findings": list(source.findings()),
        "not_ready": source.ready(),
        **_alerts(source, view),
        **_outlook(view),
        **_supply(source, view),
    }


def _alerts(source: Source, view: SiteView) -> Form:
    """Give every alarm with what to type about it, how many stand how, and what keeps some of them quiet."""
    tally = Counter(standing(alarm) for alarm in view.alarms)
    holds = source.desk.holds()
    return {
        "alerts": [alarm_form(alarm) | {"commands": commands_form(alarm, source.settings)} for alarm in view.alarms],
        "alerts_total": {word: tally[word] for word in STANDINGS},
        "observed_until": rfc3339(view.observed_until_ns) if view.observed_until_ns else None,
        "commands": live_commands_form(source.settings) if view.observed_until_ns else [],
        "shelves": [hold_form(hold) for hold in holds if hold.kind == "shelf"],
        "maintenance": [hold_form(hold) for hold in holds if hold.kind == "maintenance"],
    }


def _outlook(view: SiteView) -> Form:
    """Give what breaks next, and what is not believed; a bad day of a large site must not swell the document."""
    return {
        "forecasts": [forecast_form(item) for item in view.forecasts[:_FORECASTS_SHOWN]],
        "forecasts_total": len(view.forecasts),
        "suspects": [suspect_form(item) for item in view.suspects[:_SUSPECTS_SHOWN]],
        "suspects_total": len(view.suspects),
    }


def _supply(source: Source, view: SiteView) -> Form:
    """Give how the site stands to its supplier: demand, orders, and what it spends beside its machines."""
    return {
        "demands": [demand_form(item) for item in view.demands],
        "orders": [order_form(order) for order in source.orders()],
        "figures": dict(view.figures),
    }


def forecast_form(item: Forecast) -> Form:
    """Give a load on the way to its limit; times count from now, null is never."""
    return {
        "target": {"kind": item.target_kind, "id": item.target_id},
        "label": item.label,
        "constraint": item.constraint,
        "load_ratio": item.load_ratio,
        "earliest_s": item.lower_s,
        "likely_s": item.median_s,
        "latest_s": item.upper_s,
    }


def suspect_form(item: Suspect) -> Form:
    """Give a reading that is not believed as it stands."""
    return {
        "device": item.device,
        "metric": item.metric,
        "part": item.part,
        "check": item.check,
        "reason": item.reason,
        "since": rfc3339(item.since_ns),
        "is_active": item.is_active,
    }


def demand_form(item: DemandView) -> Form:
    """Give one limit of the contract."""
    return {
        "name": item.name,
        "interval_s": item.interval_s,
        "is_rolling": item.is_rolling,
        "limit_watts": item.limit_watts,
        "last_watts": _mean_form(item.last),
        "projected_watts": _mean_form(item.projected),
        "allowed_watts": item.allowed_watts,
        "shed_watts": item.shed_watts,
        "left_s": item.left_s,
        "peak_watts": _mean_form(item.peak),
    }


def _mean_form(mean: MeanPower | None) -> Form | None:
    return None if mean is None else mean._asdict()


def balance_form(source: Source, queue: Queue) -> Form:
    """Give keeld's books: what came in, where it went and what waits."""
    health = source.health
    return {
        "uptime_s": round((time.monotonic_ns() - health.started_mono_ns) / 1e9, 1),
        "devices": len(source.settings.site.devices),
        "polls": health.polls,
        "outages": health.outages.total(),
        "readings": health.readings,
        "points_acknowledged": health.points_acknowledged,
        "points_stored": dict(health.points_stored),
        "points_in_history": health.points_in_history,
        "points_dead": health.points_dead.total(),
        "points_evicted": health.points_evicted.total(),
        "spool_points": queue.spool_points,
        "spool_files": queue.spool_files,
        "spool_bytes": queue.spool_bytes,
        "spool_oldest_s": queue.spool_oldest_s,
        "batches_dropped": sum(queue.dropped.values()),
        "messages_sent": health.notifications.total(),
        "messages_waiting": sum(queue.messages.values()),
        "messages_dead": health.notifications_dead.total(),
    }

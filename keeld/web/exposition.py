"""keeld's own health in the text format that Prometheus scrapes. Device readings are not here: they go to the sinks."""

from __future__ import annotations

import collections
import time
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry

from keeld import __version__
from keeld.health import Health
from keeld.views import AlarmQuality, SiteView, Verdict
from keeld.web.source import Queue, Source

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(source: Source) -> bytes:
    """Give all of keeld's own metrics as text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Health(source))
    ProcessCollector(namespace="keeld", registry=registry)
    return generate_latest(registry)


class _Health(Collector):
    """Reads the source at each scrape; keeps nothing."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("keeld_build", "version of keeld", value={"version": __version__})
        yield from _counters(self._source.health)
        yield from _levels(self._source.health)
        yield from _queue(self._source.queue())
        yield from _devices(self._source)
        yield from _site(self._source.site_view())
        yield from _quality(self._source.desk.quality(1))
        yield _messages(self._source.health)


def _counters(health: Health) -> Iterator[Metric]:
    for name, text, value in (
        ("polls", "polls that were begun", health.polls),
        ("poll_overruns", "polls left out because the one before was still under way", health.overruns),
        ("polls_late", "polls that began more than half a second late by keeld's own fault", health.late_polls),
        ("readings", "readings taken", health.readings),
        ("points_acknowledged", "points safely on keeld's own disk", health.points_acknowledged),
        ("points_in_history", "points committed to local history", health.points_in_history),
        ("points_dropped_from_history", "points history could not keep", health.points_dropped_from_history),
    ):
        yield CounterMetricFamily(f"keeld_{name}", text, value=value)
    for name, text, label, counts in (
        ("outages", "polls without readings, by reason", "reason", health.outages),
        ("points_stored", "points confirmed by a sink", "sink", health.points_stored),
        ("points_dead", "points that a sink refused for good", "sink", health.points_dead),
        ("points_evicted", "points dropped from the spool, by cause", "cause", health.points_evicted),
        ("send_failures", "failed attempts to write to a sink", "sink", health.send_failures),
        ("alert_transitions", "moves of alarms, by the state they led to", "state", health.transitions),
        ("notifications", "messages delivered", "channel", health.notifications),
        ("notification_failures", "failed attempts to deliver", "channel", health.notification_failures),
        ("notifications_dead", "messages given up", "channel", health.notifications_dead),
    ):
        family = CounterMetricFamily(f"keeld_{name}", text, labels=[label])
        _fill(family, counts)
        yield family


def _levels(health: Health) -> Iterator[Metric]:
    now_ns = time.monotonic_ns()
    yield _gauge("uptime_seconds", "time since keeld started", (now_ns - health.started_mono_ns) / 1e9)
    yield _gauge("poll_late_seconds_max", "largest delay of a poll by keeld's own fault", health.late_s_max)
    yield _gauge("event_loop_lag_seconds_max", "largest delay of keeld's event loop", health.loop_lag_s_max)
    ages = {part: (now_ns - then_ns) / 1e9 for part, then_ns in health.progress.items()}
    yield _gauges("progress_age_seconds", "time since a part of keeld last made progress", "part", ages)


def _queue(queue: Queue) -> Iterator[Metric]:
    yield _gauge("spool_files", "batches of points waiting for a sink", queue.spool_files)
    yield _gauge("spool_points", "points waiting for a sink", queue.spool_points)
    yield _gauge("spool_bytes", "size of what waits for a sink", queue.spool_bytes)
    if queue.spool_oldest_s is not None:
        yield _gauge("spool_oldest_seconds", "age of the oldest batch that waits", queue.spool_oldest_s)
    yield _gauges("messages_waiting", "messages to be delivered", "channel", queue.messages)
    yield _gauges("buffered_batches", "batches waiting for a subscriber", "subscriber", queue.buffered)
    dropped = CounterMetricFamily("keeld_batches_dropped", "batches a slow subscriber lost", labels=["subscriber"])
    _fill(dropped, queue.dropped)
    yield dropped


def _devices(source: Source) -> Iterator[Metric]:
    states: collections.Counter[str] = collections.Counter({"up": 0, "out": 0, "not_yet": 0})
    for name in source.settings.site.devices:
        latest = source.device(name)
        if latest is None or not (latest.batches or latest.outage):
            states["not_yet"] += 1
        else:
            states["out" if latest.is_out else "up"] += 1
    yield _gauges("devices", "configured devices, by their last word", "state", states)


def _site(view: SiteView) -> Iterator[Metric]:
    racks: collections.Counter[str] = collections.Counter({verdict.name.lower(): 0 for verdict in Verdict})
    racks.update(rack.verdict.name.lower() for rack in view.racks)
    yield _gauges("racks", "racks, by verdict", "verdict", racks)
    alerts = GaugeMetricFamily("keeld_alerts", "alarms that are not ok", labels=["severity", "state"])
    counts = collections.Counter((alarm.severity, alarm.state) for alarm in view.alarms)
    for (severity, state), count in sorted(counts.items()):
        alerts.add_metric([severity, state], count)
    yield alerts


def _quality(quality: AlarmQuality) -> Iterator[Metric]:
    """ISA-18.2's figures over the last day, and what each rule told in it."""
    yield _gauge("alarms_per_ten_minutes", "alarms people were told of, mean of the last day", quality.per_ten_minutes)
    yield _gauge("alarms_in_ten_minutes_max", "most in ten minutes of the last day", quality.most_in_ten_minutes)
    yield _gauge("alarm_flood_ratio", "share of the last day's ten minutes with more than ten", quality.flood_ratio)
    yield _gauge("alarms_chattering", "alarms that chattered in the last day", quality.chattering)
    yield _gauge("alarms_stale", "alarms that have fired for more than a day", quality.stale)
    yield _gauges(
        "alarms_told",
        "alarms of the last day, by severity",
        "severity",
        {str(word): count for word, count in quality.by_severity.items()},
    )
    yield _gauges("alarms_told_by_rule", "alarms of the last day, by rule", "rule", quality.by_rule)


def _messages(health: Health) -> Metric:
    family = CounterMetricFamily("keeld_messages", "messages made, by channel and rule", labels=["channel", "rule"])
    for (channel, rule), count in sorted(health.messages.items()):
        family.add_metric([channel, rule], count)
    return family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"keeld_{name}", text, value=value)


def _gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"keeld_{name}", text, labels=[label])
    _fill(family, values)
    return family


def _fill(family: CounterMetricFamily | GaugeMetricFamily, values: Mapping[Any, float]) -> None:
    for label, value in sorted((str(label), value) for label, value in values.items()):
        family.add_metric([label], value)

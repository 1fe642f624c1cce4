"""Build keeld from its settings, start it, change it on SIGHUP and stop it: the only module that knows every other.

What takes readings in is started last and stopped first, so that whatever was polled finds its way to the disk:

    sinks    spool and senders, history, alert state, channels        start first, stop last
    sources  page, judge, a poller for each link, watchdog            start last, stop first

A device fault is data. An exception that nobody expected is a bug: it ends every task and the process, and systemd
starts keeld again.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any

import structlog

from keeld import config, drivers, host, systemd, vitals
from keeld.alerts.restored import RestoredAlarm
from keeld.condition import Condition, Parts
from keeld.drills import Drills
from keeld.errors import ConfigError, Problem
from keeld.fanout import Fanout
from keeld.health import Health, OwnState
from keeld.history import History, wants
from keeld.judge import Judge, moment_now
from keeld.live import Live
from keeld.model import Device, Transition
from keeld.notify.heartbeat import Heartbeat
from keeld.notify.outbox import Notifier
from keeld.ordering import Ordering
from keeld.poller import Gates, LinkPoller, OutageLog, by_link
from keeld.sender import Store
from keeld.settings import Settings
from keeld.sinks.influx import InfluxSink
from keeld.source import LiveSource
from keeld.state import State
from keeld.state.orders import OrderDesk
from keeld.watch import Watch
from keeld.web.server import Server

log = structlog.get_logger()

_SPOOL_BUFFER = 50_000
"""Batches that may wait for the spool: minutes of a large site, should its disk hang."""
_HISTORY_BUFFER = 20_000
_JUDGE_STALL_S = 20.0
_SPOOL_STALL_S = 60.0
_DRAIN_S = 5.0
_FIRST_POLLS_PER_S = 500
"""A start connects, identifies and learns layouts: at most so many devices begin in a second."""


class App:
    """One running keeld. Raises ConfigError where its storage cannot be used."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.health = Health(started_mono_ns=time.monotonic_ns())
        self.stop = asyncio.Event()
        host.claim(settings.storage.directory)
        self.fanout = Fanout()
        self.live = Live(settings.site.devices.values())
        self.state = State(settings.storage.directory / "state.db", health=self.health)
        self._desk = OrderDesk(self.state, time.time_ns())
        watch = Watch(
            self._desk.book.applied(settings.site, time.time_ns()),
            settings.rules,
            now=moment_now(),
            restored=_restored(self.state.alarms),
            observe_s=settings.observe_s,
        )
        watch.recall(self.state.notes, moment_now())
        self.judge = Judge(watch, self.state, self.fanout, self.live, self.health)
        self.judge.on_committed = self._hand_on
        self.drills = Drills(self.judge)
        self.ordering = Ordering(self._desk, self.judge, lambda: self.settings)
        self.history = History(settings.storage.directory / "history.db", settings.storage, self.health)
        self._outages = OutageLog()
        self._gates = Gates(settings.poll.concurrency)
        self._pollers: dict[str, tuple[tuple[Device, ...], asyncio.Task[None]]] = {}
        self._source_tasks: set[asyncio.Task[None]] = set()
        self._reloading = asyncio.Lock()
        self._build_delivery(settings)
        self._build_channels(settings)
        self._heartbeat: Heartbeat | None = None
        self._heartbeat_task: asyncio.Task[None] | None = None
        self._condition = Condition(
            Parts(
                settings=lambda: self.settings,
                channels=lambda: self.notifier.troubles,
                heartbeat=lambda: self._heartbeat.trouble if self._heartbeat else "",
                backlog=lambda: (self.store.backlog_bytes, self.store.oldest_age_s),
                state_trouble=lambda: self.state.trouble,
            )
        )
        self._server = Server(LiveSource(self))

    async def run(self) -> None:
        """Watch the site until `stop` is set; SIGTERM and SIGINT set it, SIGHUP reloads."""
        host.raise_file_limit(len(self.settings.site.devices))
        await self.store.open()
        try:
            await self._server.start()
            async with asyncio.TaskGroup() as sinks:
                self._start_sinks(sinks)
                async with asyncio.TaskGroup() as sources:
                    self._start_sources(sources)
                    self._listen_to_signals()
                    self._announce()
                    self._start_source("settle", host.settle_memory())
                    await self.stop.wait()
                    systemd.stopping("stopping: polling has ended")
                    for task in self._source_tasks:
                        task.cancel()
                await self._drain()
        finally:
            await self._close()
        log.info("stopped", polls=self.health.polls)

    async def reload(self) -> None:
        """Read the configuration again and follow it as a whole; raise ConfigError, and then nothing has changed."""
        async with self._reloading:
            systemd.reloading()
            try:
                settings = await asyncio.to_thread(_read_again, self.settings)
                await self._follow(settings)
            finally:
                systemd.ready(self.status())
            log.info("configuration taken over", devices=len(settings.site.devices))

    def status(self) -> str:
        """Say in one line how keeld is doing."""
        out = sum(latest.is_out for latest in self.live.latest.values())
        return (
            f"{len(self.live.latest)} devices, {out} out; {self.health.polls} polls; {self.store.backlog_files} waiting"
        )

    # -- building --

    def _build_delivery(self, settings: Settings) -> None:
        self.sinks = tuple(InfluxSink(influx) for influx in settings.influx)
        self.store = Store(settings.storage, self.sinks, self.health)
        self._delivery: list[asyncio.Task[None]] = []

    def _build_channels(self, settings: Settings) -> None:
        self.notifier = Notifier(self.state, settings.channels, self.health, site=settings.site.name)
        self.judge.channels = self.notifier.channels
        self._channels: asyncio.Task[None] | None = None

    # -- starting --

    def _start_sinks(self, sinks: asyncio.TaskGroup) -> None:
        self._sinks_group = sinks
        history = self.fanout.subscribe("history", _HISTORY_BUFFER, wants)
        self._spooled = self.fanout.subscribe("spool", _SPOOL_BUFFER)
        self._history_task = sinks.create_task(self.history.run(history), name="history")
        self._state_task = sinks.create_task(self.state.run(), name="state")
        self._start_delivery()
        self._start_channels()

    def _start_delivery(self) -> None:
        start = self._sinks_group.create_task
        self._delivery = [start(self.store.run_batcher(self._spooled), name="spool")]
        self._delivery += [start(self.store.run_sender(sink), name=f"send:{sink.name}") for sink in self.sinks]

    def _start_channels(self) -> None:
        self._channels = self._sinks_group.create_task(self.notifier.run(), name="notify")

    def _start_sources(self, sources: asyncio.TaskGroup) -> None:
        self._sources_group = sources
        self._start_source("judge", self.judge.run())
        self._start_source("commit", self.judge.run_commits())
        self._start_source("notes", self.judge.run_notes())
        self._start_source("drills", self.drills.run())
        self._start_source("orders", self._desk.run())
        self._start_source("outages", self._outages.run())
        self._start_source("lag", vitals.measure_loop_lag(self.health))
        self._start_source("condition", self._condition.run(self._note_self))
        self._start_heartbeat()
        self._start_source("watchdog", vitals.feed_watchdog(self.health, self.allowed_s, self.status))
        self._start_pollers(self.settings.site.devices.values())

    def _start_source(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._sources_group.create_task(work, name=name)
        self._source_tasks.add(task)
        task.add_done_callback(self._source_tasks.discard)
        return task

    def _start_pollers(self, devices: Iterable[Device]) -> None:
        """Start a poller for each link that has none yet."""
        polled = [device for device in devices if device.driver in drivers.names()]
        used = {name: drivers.load(name) for name in {device.driver for device in polled}}
        for key, group in by_link(polled, used).items():
            if key in self._pollers:
                continue
            poller = LinkPoller(
                group,
                used[group[0].driver],
                publish=self.judge.take,
                gates=self._gates,
                health=self.health,
                outages=self._outages,
                spread_s=len(self.settings.site.devices) / _FIRST_POLLS_PER_S,
                is_urgent=lambda name: name in self.judge.watch.urgent,
            )
            self._pollers[key] = (tuple(group), self._start_source(f"poll:{key}", poller.run()))

    def _start_heartbeat(self) -> None:
        if self.settings.heartbeat is None:
            return
        self._heartbeat = Heartbeat(
            self.settings.heartbeat, self.health, stalled=lambda: self._stalled, status=self.status
        )
        self._heartbeat_task = self._start_source("heartbeat", self._heartbeat.run())

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._start_source("reload", self._reload()))

    async def _reload(self) -> None:
        try:
            await self.reload()
        except ConfigError as error:
            for problem in error.problems:
                log.error("configuration not taken over", problem=str(problem))  # noqa: TRY400 - nothing to trace

    def _announce(self) -> None:
        site = self.settings.site
        systemd.ready(self.status())
        log.info("watching", site=site.name, racks=len(site.racks), devices=len(site.devices), page=self._server.url)
        idle = self.judge.watch.desk.idle()
        if idle:
            log.info("rules idle", rules=idle, reason="nothing at this site has what they are about")

    # -- running --

    def _hand_on(self, moves: Sequence[Transition]) -> None:
        self.notifier.wake()
        for move in moves:
            self.store.offer_transition(move)

    def allowed_s(self) -> Mapping[str, float]:
        """Say how long each part may go without progress before keeld counts as stuck."""
        allowed = {"judge": _JUDGE_STALL_S}
        if self.sinks:
            allowed["spool"] = _SPOOL_STALL_S
        if self._pollers:
            slowest_s = min(device.interval_s for devices, _ in self._pollers.values() for device in devices)
            allowed["poll"] = 3 * slowest_s + 30.0
        return allowed

    def _note_self(self, own: OwnState) -> None:
        self.judge.watch.note_self(own, moment_now())

    @property
    def _stalled(self) -> list[str]:
        return vitals.stalled(self.health.progress, self.allowed_s(), time.monotonic_ns(), self.health.started_mono_ns)

    # -- changing --

    async def _follow(self, settings: Settings) -> None:
        before, self.settings = self.settings, settings
        self.ordering.follow(settings)
        self.live.replace(settings.site.devices.values())
        await self._follow_devices(settings)
        if settings.influx != before.influx:
            await _end(self._delivery)
            await self.store.close()
            self._build_delivery(settings)
            await self.store.open()
            self._start_delivery()
        if settings.channels != before.channels or settings.site.name != before.site.name:
            await _end([self._channels] if self._channels else [])
            await self.notifier.close()
            self._build_channels(settings)
            self._start_channels()
        if settings.heartbeat != before.heartbeat:
            await self._end_heartbeat()
            self._start_heartbeat()

    async def _end_heartbeat(self) -> None:
        if self._heartbeat is not None and self._heartbeat_task is not None:
            await _end([self._heartbeat_task])
            await self._heartbeat.close()
        self._heartbeat = self._heartbeat_task = None

    async def _follow_devices(self, settings: Settings) -> None:
        """End the pollers of links that changed or went, start those that are new; the others notice nothing."""
        polled = [device for device in settings.site.devices.values() if device.driver in drivers.names()]
        used = {name: drivers.load(name) for name in {device.driver for device in polled}}
        wanted = {key: tuple(group) for key, group in by_link(polled, used).items()}
        ended = [key for key, (devices, _) in self._pollers.items() if wanted.get(key) != devices]
        await _end([self._pollers.pop(key)[1] for key in ended])
        self._start_pollers(polled)

    # -- stopping --

    async def _drain(self) -> None:
        """Let what was polled reach the disk, within a bound; what is queued for others waits for the next start."""
        await self.judge.commit()
        await self.judge.keep_notes()
        self.fanout.close()
        await asyncio.wait([self._history_task, self._delivery[0]], timeout=_DRAIN_S)
        rest = [self._history_task, self._state_task, *self._delivery]
        await _end([*rest, self._channels] if self._channels else rest)

    async def _close(self) -> None:
        await self._server.stop()
        await self.store.close()
        for sink in self.sinks:
            await sink.close()
        await self.notifier.close()
        await self._end_heartbeat()
        await self.history.close()
        await self.state.close()


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _restored(alarms: Mapping[str, bytes]) -> list[RestoredAlarm]:
    restored = []
    for key, blob in alarms.items():
        try:
            restored.append(RestoredAlarm.load(blob))
        except ValueError as error:
            reason = str(error)
            log.error("stored alarm cannot be read", key=key, reason=reason)  # noqa: TRY400 - no traceback for operators
    return restored


def _read_again(before: Settings) -> Settings:
    """Read the file that `before` came from; raise ConfigError for what is wrong or holds for the process's life."""
    if before.source is None:
        raise ConfigError([Problem("reload", "this keeld was not started from a file")])
    after = config.load(before.source)
    changed = [name for name in ("storage", "http") if getattr(before, name) != getattr(after, name)]
    if before.poll.concurrency != after.poll.concurrency:
        changed.append("poll: concurrency")
    if changed:
        remedy = "restart keeld to change it"
        raise ConfigError([Problem(str(before.source), f"'{name}' has changed", remedy) for name in changed])
    return after

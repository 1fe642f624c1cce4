"""keeld's whole way of one poll, from link to spool, for one device; driven by the benchmark instead of a clock."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from keeld import drivers
from keeld.fanout import Fanout
from keeld.health import Health
from keeld.judge import Judge, moment_now
from keeld.live import Live
from keeld.model import Device, Group, Rack, RackBudget, Site
from keeld.poller import Gates, LinkPoller, OutageLog
from keeld.sender import Store
from keeld.settings import InfluxSettings, StorageSettings
from keeld.sinks.influx import InfluxSink
from keeld.state import State
from keeld.trees import PowerNode
from keeld.watch import Watch

_PROFILE = Path(__file__).parent / "pdu100.yaml"


class Pipeline:
    """A site of one rack with one device, its poller, the judge and the spool; nothing is sent anywhere."""

    def __init__(self, driver: str, port: int, directory: Path) -> None:
        is_pdu = driver == "modbus"
        self._device = Device(
            id="device",
            site="bench",
            kind="pdu" if is_pdu else "miner",
            driver=driver,
            address=f"tcp://127.0.0.1:{port}" if is_pdu else f"127.0.0.1:{port}",
            profile=str(_PROFILE) if is_pdu else None,
            rack="r01",
            row="a",
            feed="a",
            nameplate_watts=11_000.0 if is_pdu else 3500.0,
            interval_s=1.0 if is_pdu else 10.0,
        )
        feed = PowerNode(id="feed", breaker_amperes=60.0, voltage_volts=415.0, phases=3)
        rack = Rack(id="r01", row="a", state="mining", feeds={"a": "feed"}, budget=RackBudget(power_watts=20_000.0))
        self._site = Site(
            name="bench", power={"feed": feed}, racks={"r01": rack}, devices={self._device.id: self._device}
        )
        self._directory = directory

    async def __aenter__(self) -> Self:
        health = Health(started_mono_ns=time.monotonic_ns())
        fanout = Fanout()
        self._state = State(self._directory / "state.db", health=health)
        watch = Watch(self._site, {}, now=moment_now())
        self._judge = Judge(watch, self._state, fanout, Live([self._device]), health)
        # a sink that is never sent to: what is measured ends at the spool
        sink = InfluxSink(InfluxSettings(name="nowhere", url="http://127.0.0.1:1", api="v1", bucket="bench"))
        self._store = Store(StorageSettings(directory=self._directory), [sink], health)
        await self._store.open()
        self._spooled = fanout.subscribe("spool", 50_000)
        self._batcher = asyncio.create_task(self._store.run_batcher(self._spooled))
        self._judging = asyncio.create_task(self._judge.run())
        driver = drivers.load(self._device.driver)
        self._poller = LinkPoller(
            [self._device], driver, publish=self._judge.take, gates=Gates(256), health=health, outages=OutageLog()
        )
        self._link = driver.open_link(self._device)
        self._post = self._poller.post(self._device, time.monotonic_ns())
        if Group.ONCE in driver.groups(self._device):
            await self._poller.poll(self._link, self._post, Group.ONCE)
        self.health = health
        return self

    async def poll(self) -> None:
        """Poll once, as the poller does at a tick."""
        await self._poller.poll(self._link, self._post, Group.FAST)
        if self._post.failures:
            raise RuntimeError(f"the poll failed: {self._post.outage} {self._post.detail}")

    async def flush(self) -> None:
        """Wait until everything polled so far is in the spool: lines gather for less than a second."""
        await asyncio.sleep(1.2)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in (self._batcher, self._judging):
            task.cancel()
        await asyncio.gather(self._batcher, self._judging, return_exceptions=True)
        await self._link.close()
        await self._store.close()
        await self._state.close()

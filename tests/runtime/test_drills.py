"""Drills: they go the way of an alarm, say what they are, and are over whatever happens to keeld."""

from __future__ import annotations

import asyncio
import time

import pytest

from keeld.alerts.restored import RestoredAlarm
from keeld.drills import DrillError, Drills
from keeld.fanout import Fanout
from keeld.health import Health
from keeld.judge import Judge, moment_now
from keeld.live import Live
from keeld.model import Device, Notice, Rack, RackBudget, Severity, Site
from keeld.settings import ChannelSettings
from keeld.state import State
from keeld.trees import PowerNode
from keeld.watch import Watch

FEED = PowerNode(id="f", breaker_amperes=60.0, voltage_volts=415.0, phases=3)
SITE = Site(
    name="s",
    power={"f": FEED},
    racks={"r1": Rack(id="r1", label="R1", feeds={"a": "f"}, budget=RackBudget(power_watts=30_000.0))},
    devices={
        "pdu-1": Device(id="pdu-1", site="s", kind="pdu", driver="modbus", address="", rack="r1", feed="a",
                        nameplate_watts=30_000.0)
    },
)  # fmt: skip
PAGER = ChannelSettings(kind="webhook", name="pager", severities=frozenset({Severity.CRITICAL}))
CHAT = ChannelSettings(kind="webhook", name="chat")


class Desk:
    """What of the daemon a drill goes through."""

    def __init__(self, directory) -> None:
        health = Health(started_mono_ns=time.monotonic_ns())
        self.state = State(directory / "state.db", health=health)
        restored = [RestoredAlarm.load(blob) for blob in self.state.alarms.values()]
        watch = Watch(SITE, {}, now=moment_now(), restored=restored)
        self.judge = Judge(watch, self.state, Fanout(), Live(SITE.devices.values()), health)
        self.judge.channels = (PAGER, CHAT)
        self.drills = Drills(self.judge)
        self.tasks = [asyncio.create_task(work) for work in (self.state.run(), self.drills.run())]

    async def sent(self, count: int) -> None:
        """Commit as the daemon does until so many messages wait for the chat."""
        async with asyncio.timeout(5):
            while len(self.state.waiting("chat")) < count:
                await self.judge.commit()
                await asyncio.sleep(0.01)

    async def kill(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.state.close()


@pytest.fixture
async def desk(tmp_path):
    it = Desk(tmp_path)
    yield it
    await it.kill()


def words(desk, channel):
    return [(out.notice, out.transition.severity) for out in desk.state.waiting(channel)]


async def test_a_drill_fires_and_resolves_on_every_channel_that_the_alarm_would_reach(desk):
    begun = desk.drills.begin("rack_density_power", "rack:r1", "ada", escalates=False, hold_s=0.05)
    await desk.sent(2)
    expected = [(Notice.TRIGGER, Severity.CRITICAL), (Notice.RESOLVE, Severity.CRITICAL)]
    assert words(desk, "pager") == words(desk, "chat") == expected == list(begun.says)
    first, last = (out.transition for out in desk.state.waiting("chat"))
    assert first.title == "DRILL: R1 over its power budget"
    assert "test of the alerting, asked for by ada. Nothing is wrong." in first.text
    assert last.ended == "resolved"
    assert first.key == last.key == "s:drill.rack_density_power:rack:r1"
    assert desk.judge.drills == {}


async def test_an_escalating_drill_reaches_the_pager_only_when_it_is_critical(desk):
    desk.drills.begin("rack_density_power", "r1", "ada", escalates=True, hold_s=0.02)
    await desk.sent(3)
    assert [notice for notice, _ in words(desk, "chat")] == [Notice.TRIGGER, Notice.ESCALATE, Notice.RESOLVE]
    assert [notice for notice, _ in words(desk, "pager")] == [Notice.TRIGGER, Notice.RESOLVE]


async def test_a_drill_moves_no_alarm(desk):
    desk.drills.begin("rack_density_power", "r1", "ada", escalates=False, hold_s=0.02)
    await desk.sent(2)
    assert desk.judge.watch.view(moment_now()).alarms == ()


@pytest.mark.parametrize(
    ("rule", "target", "says"),
    [
        ("rack_density_powr", "r1", "did you mean rack_density_power?"),
        ("earthquake", "r1", "`keeld rules` lists"),
        ("rack_density_power", "rack:r9", "it is at rack:r1"),
    ],
)
async def test_what_cannot_be_drilled_is_refused_with_what_can(desk, rule, target, says):
    with pytest.raises(DrillError) as refused:
        desk.drills.begin(rule, target, "ada", escalates=False, hold_s=0.0)
    assert says in refused.value.remedy


async def test_the_same_drill_is_not_held_twice_at_once(desk):
    desk.drills.begin("rack_density_power", "r1", "ada", escalates=False, hold_s=60.0)
    await desk.sent(1)
    with pytest.raises(DrillError, match="stands already"):
        desk.drills.begin("rack_density_power", "r1", "ada", escalates=False, hold_s=60.0)


async def test_a_keeld_that_is_killed_during_a_drill_withdraws_it(tmp_path):
    before = Desk(tmp_path)
    before.drills.begin("rack_density_power", "r1", "ada", escalates=False, hold_s=60.0)
    await before.sent(1)
    await before.kill()
    after = Desk(tmp_path)
    after.judge.note(after.judge.watch.tick(moment_now()).transitions)
    await after.sent(2)
    assert [out.notice for out in after.state.waiting("pager")] == [Notice.TRIGGER, Notice.RESOLVE]
    assert after.state.waiting("pager")[1].transition.ended == "withdrawn"
    await after.judge.commit()
    assert dict(after.state.alarms) == {}
    await after.kill()

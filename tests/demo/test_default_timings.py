"""The demo site's incidents at the timings that ship: an hour in simulated time, over the devices' real protocols.

The plant is stepped by hand and every device that is up is polled over its socket through its own driver; the watch is
told the simulated time. Only the timeouts of what is down are not waited for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from keeld import config, drivers
from keeld.errors import Outage
from keeld.links import Link
from keeld.model import Batch, Device, Group, Moment, Notice, Severity, Site, Transition
from keeld.poller import by_link
from keeld.simulate.derive import derive
from keeld.simulate.network import claim_subnet
from keeld.simulate.script import Incident, IncidentKind, Script, load
from keeld.simulate.site import SimulatedSite
from keeld.watch import Watch

FOLDER = Path(__file__).parents[2] / "config" / "demo"
START_NS = 1_795_400_000_000_000_000
TICK_S = 10
MINERS_S = 120
UNEVEN_S = (9.4, 10.3, 9.9, 10.8, 9.6)
"""A load that swings every 2 s and a poll at every 10 s exactly would see one phase of it for ever."""
INCIDENTS = (
    Incident(kind=IncidentKind.FEED_LOSS, target="conv1-a", start_s=300.0, duration_s=600.0),
    Incident(kind=IncidentKind.GPU_RAMP, target="ai-1", start_s=600.0, duration_s=1200.0),
    Incident(kind=IncidentKind.GPU_RAMP, target="ai-2", start_s=660.0, duration_s=1200.0),
)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    prefix, held = claim_subnet()
    path = tmp_path / "keeld.yaml"
    path.write_text(derive((FOLDER / "keeld.yaml").read_text(), prefix=prefix, directory=tmp_path))
    found = config.load(path).site
    devices = {
        name: dataclasses.replace(device, interval_s=MINERS_S if device.kind == "miner" else TICK_S, timeout_s=5.0)
        for name, device in found.devices.items()
    }
    yield dataclasses.replace(found, devices=devices)
    held.close()


class Drive:
    """Polls what is up, tells the watch what is down, and collects what people would have been told."""

    def __init__(self, served: SimulatedSite) -> None:
        self.told: list[Transition] = []
        self._served = served
        self._site = served.site
        self._watch = Watch(served.site, {}, now=self._moment(0.0))
        used = {name: drivers.load(name) for name in {device.driver for device in self._site.devices.values()}}
        self._links: dict[str, Link] = {}
        for devices in by_link(self._site.devices.values(), used).values():
            link = used[devices[0].driver].open_link(devices[0])
            self._links |= {device.id: link for device in devices}

    def _moment(self, at_s: float) -> Moment:
        return Moment(START_NS + int(at_s * 1e9), int(at_s * 1e9) + 1)

    async def run(self, ticks: int) -> None:
        at_s = 0.0
        for tick in range(ticks):
            for number, device in enumerate(self._site.devices.values()):
                if device.kind != "miner" or (tick + number) % (MINERS_S // TICK_S) == 0:
                    self.told += self._watch.feed(await self._poll(device, at_s), self._moment(at_s))
            step_s = UNEVEN_S[tick % len(UNEVEN_S)]
            await self._served.advance(step_s)
            for part in range(1, 11):
                self._wake(at_s + step_s * part / 10)
            at_s += step_s
        self.told = [move for move in self.told if move.notice is not None]

    def _wake(self, at_s: float) -> None:
        now = self._moment(at_s)
        while self._watch.next_wake() <= now.mono_ns:
            self.told += self._watch.tick(now).transitions

    async def _poll(self, device: Device, at_s: float) -> Batch:
        now = self._moment(at_s)
        interval_s = device.interval_s
        if not self._served.plant.answers(device):
            return Batch(device, now.wall_ns, now.mono_ns, outage=Outage.TIMEOUT, interval_s=interval_s)
        answer = await drivers.load(device.driver).poll(self._links[device.id], device, Group.FAST)
        return Batch(device, now.wall_ns, now.mono_ns, answer.readings, answer.outage, interval_s=interval_s)

    async def close(self) -> None:
        for link in {id(link): link for link in self._links.values()}.values():
            await link.close()


@pytest.mark.slow
async def test_each_incident_fires_once_and_resolves_at_the_timings_that_ship(site: Site) -> None:
    script: Script = dataclasses.replace(load(FOLDER / "plant.yaml", site), incidents=INCIDENTS, faults=())
    async with SimulatedSite(site, script) as served:
        if served._physics is not None:
            served._physics.cancel()  # time passes by hand
        drive = Drive(served)
        try:
            await drive.run(360)
        finally:
            await drive.close()

    def story(rule: str, target: str) -> list[tuple[Notice | None, Severity]]:
        found = [move for move in drive.told if (move.rule, move.target_id) == (rule, target)]
        return [(move.notice, move.severity) for move in found]

    assert story("unexpected_load", "conv-1") == [(Notice.TRIGGER, Severity.INFO)], "it is being put to work"
    stories = {(move.rule, move.target_id) for move in drive.told} - {("unexpected_load", "conv-1")}
    assert stories == {("feed_dead", "conv-1/a"), ("rack_density_power", "ai-1"), ("rack_density_air", "ai-2")}
    assert story("feed_dead", "conv-1/a")[0] == (Notice.TRIGGER, Severity.CRITICAL)
    assert (Notice.ESCALATE, Severity.CRITICAL) in story("rack_density_power", "ai-1")[:2] or story(
        "rack_density_power", "ai-1"
    )[0] == (Notice.TRIGGER, Severity.CRITICAL)
    assert story("rack_density_air", "ai-2")[0] == (Notice.TRIGGER, Severity.WARNING)
    for rule, target in stories:
        notices = [notice for notice, _ in story(rule, target)]
        assert notices.count(Notice.TRIGGER) == 1
        assert notices.count(Notice.RESOLVE) == 1
        assert notices[-1] is Notice.RESOLVE

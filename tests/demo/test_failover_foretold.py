"""What is said of a feed's loss before it comes is what the simulated plant then measures, line by line.

The demo site's devices are polled over their real protocols, the plant is stepped by hand and the watch is told the
simulated time. Every load is steady, so that a mean of five minutes before may be compared with what is there after.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from keeld import config, drivers
from keeld.budgets.aftermath import FailoverCase
from keeld.errors import Outage
from keeld.links import Link
from keeld.model import Batch, Device, Group, Moment, Site
from keeld.poller import by_link
from keeld.simulate.derive import derive
from keeld.simulate.network import claim_subnet
from keeld.simulate.script import Incident, IncidentKind, load
from keeld.simulate.site import SimulatedSite
from keeld.watch import Watch

FOLDER = Path(__file__).parents[2] / "config" / "demo"
START_NS = 1_795_400_000_000_000_000
TICK_S = 10.0
LOSS_S = 420.0
METER_CLASS = 0.01
PHASES = ("L1", "L2", "L3")
POLLED = frozenset({"pdu", "meter"})


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    prefix, held = claim_subnet()
    path = tmp_path / "keeld.yaml"
    path.write_text(derive((FOLDER / "keeld.yaml").read_text(), prefix=prefix, directory=tmp_path))
    found = config.load(path).site
    yield dataclasses.replace(
        found, devices={name: dataclasses.replace(device, interval_s=TICK_S) for name, device in found.devices.items()}
    )
    held.close()


class Drive:
    """Polls the PDUs and meters that are up, tells the watch who is down, and keeps the last batch of each device."""

    def __init__(self, served: SimulatedSite) -> None:
        self.latest: dict[str, dict[tuple[str, str], float]] = {}
        self.watch = Watch(served.site, {}, now=self.moment(0.0))
        self.at_s = 0.0
        self._served = served
        self._polled = [device for device in served.site.devices.values() if device.kind in POLLED]
        used = {device.driver: drivers.load(device.driver) for device in self._polled}
        self._links: dict[str, Link] = {}
        for devices in by_link(self._polled, used).values():
            link = used[devices[0].driver].open_link(devices[0])
            self._links |= {device.id: link for device in devices}

    @staticmethod
    def moment(at_s: float) -> Moment:
        return Moment(START_NS + int(at_s * 1e9), int(at_s * 1e9) + 1)

    async def run(self, until_s: float) -> None:
        while self.at_s < until_s:
            for device in self._polled:
                batch = await self._poll(device)
                self._keep(batch)
                self.watch.feed(batch, self.moment(self.at_s))
            await self._served.advance(TICK_S)
            self.at_s += TICK_S
            while self.watch.next_wake() <= self.moment(self.at_s).mono_ns:
                for batch in self.watch.tick(self.moment(self.at_s)).batches:
                    self._keep(batch)

    def _keep(self, batch: Batch) -> None:
        self.latest[batch.device.id] = {
            (reading.metric.name, reading.part): reading.value for reading in batch.readings
        }

    async def _poll(self, device: Device) -> Batch:
        now = self.moment(self.at_s)
        if not self._served.plant.answers(device):
            return Batch(device, now.wall_ns, now.mono_ns, outage=Outage.TIMEOUT, interval_s=TICK_S)
        answer = await drivers.load(device.driver).poll(self._links[device.id], device, Group.FAST)
        return Batch(device, now.wall_ns, now.mono_ns, answer.readings, answer.outage, interval_s=TICK_S)

    def case(self, target: str) -> FailoverCase:
        cases = self.watch.failover(self.moment(self.at_s))
        return next(case for case in cases if case.target_id == target)

    async def close(self) -> None:
        for link in {id(link): link for link in self._links.values()}.values():
            await link.close()


def metered(site: Site, side: str) -> Site:
    """Clamp the branch meters, which alone tell line currents, on the feeds of one rack."""
    meters = {
        name: dataclasses.replace(site.devices[name], measures=(("branch/1", f"{side}-{name[-1]}"),))
        for name in ("rpp-a", "rpp-b")
    }
    return dataclasses.replace(site, devices=site.devices | meters)


def foretold(case: FailoverCase, node: str, unit: str) -> dict[str, float | None]:
    """Give what a case says of a node's limits in one unit, by the line or the name of the constraint."""
    return {
        survivor.constraint.rpartition("/")[2]: survivor.value.best
        for survivor in case.survivors
        if (survivor.node, survivor.unit) == (node, unit)
    }


@pytest.mark.slow
@pytest.mark.parametrize(("rack", "side"), [("ai-1", "ai1"), ("conv-1", "conv1")])
async def test_the_loss_of_feed_a_is_foretold_as_the_plant_then_has_it(site: Site, rack: str, side: str) -> None:
    site = metered(site, side)
    steady = tuple(
        Incident(kind=IncidentKind.GPU_RAMP, target=name, start_s=0.0, duration_s=3600.0)
        for name in ("ai-1", "ai-2", "conv-1")
    )
    loss = Incident(kind=IncidentKind.FEED_LOSS, target=f"{side}-a", start_s=LOSS_S, duration_s=3600.0)
    script = dataclasses.replace(load(FOLDER / "plant.yaml", site), incidents=(*steady, loss), faults=())
    async with SimulatedSite(site, script) as served:
        served._physics.cancel()  # time passes by hand
        drive = Drive(served)
        try:
            await drive.run(LOSS_S)
            case, before = drive.case(f"{rack}/a"), drive.latest
            drive.latest = {}
            await drive.run(LOSS_S + 60.0)
        finally:
            await drive.close()
        after = drive.latest
        ups_watts = served.plant.nodes["ups-b"].watts / site.power["ups-b"].efficiency
        moved_watts = before[f"pdu-{side}-a"]["power_watts", ""]
        measured_watts = after[f"pdu-{side}-b"]["power_watts", ""]
        assert measured_watts - before[f"pdu-{side}-b"]["power_watts", ""] > 0.9 * moved_watts > 3000.0
        assert foretold(case, "ups-b", "VA")["apparent_power"] == pytest.approx(ups_watts, rel=METER_CLASS)
        assert case.dead.hi == 0.0
        lines = [after["rpp-b"]["current_amperes", f"branch/1/{phase}"] for phase in PHASES]
        assert (max(lines) > 1.1 * min(lines)) is (side == "conv1")  # ten miners on three phases
        for phase, amperes in zip(PHASES, lines, strict=True):
            assert foretold(case, f"{side}-b", "A")[phase] == pytest.approx(amperes, rel=METER_CLASS)
            assert before[f"{side}-b"]["failover_current_amperes", phase] == pytest.approx(amperes, rel=METER_CLASS)

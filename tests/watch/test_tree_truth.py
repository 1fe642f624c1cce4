"""Whatever is measured and whatever is silent, the truth of every rack, feed and node lies within its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from keeld.errors import Outage
from keeld.metrics import CURRENT, POWER
from keeld.model import Batch, Cord, Device, Moment, Rack, RackBudget, Reading, Site
from keeld.trees import PowerNode
from keeld.watch import Watch

SECOND = 1_000_000_000
VOLTS = 415.0
NAMEPLATE = 4_000.0
EFFICIENCY = 0.94


def at(at_s: float) -> Moment:
    return Moment(1_760_000_000 * SECOND + round(at_s * SECOND), 5_000 * SECOND + round(at_s * SECOND))


@dataclass
class Hall:
    """Two UPSs, a panel under each, racks on both: loads that move between two levels, both seen in time."""

    loads: list[list[float]]
    """Watts of each machine of each rack; the first of a rack hangs on feed a alone, the others on both."""
    inlets: list[bool]
    reports: list[bool]
    node_meters: list[str]
    site: Site = field(init=False)

    def __post_init__(self) -> None:
        power = {"utility": PowerNode(id="utility", limit_watts=2e6)}
        devices: dict[str, Device] = {}
        racks: dict[str, Rack] = {}
        for side in "ab":
            power[f"ups-{side}"] = PowerNode(
                id=f"ups-{side}", parent="utility", limit_volt_amperes=1e6, efficiency=EFFICIENCY
            )
            power[f"panel-{side}"] = PowerNode(
                id=f"panel-{side}", parent=f"ups-{side}", breaker_amperes=800.0, voltage_volts=VOLTS, phases=3
            )
        for number in range(len(self.loads)):
            name = f"r{number}"
            for side in "ab":
                power[f"{side}-{name}"] = PowerNode(
                    id=f"{side}-{name}", parent=f"panel-{side}", breaker_amperes=200.0, voltage_volts=VOLTS, phases=3
                )
                if self.inlets[number]:
                    devices[f"pdu-{name}-{side}"] = self._device(f"pdu-{name}-{side}", "pdu", rack=name, feed=side)
            for index in range(len(self.loads[number])):
                cords = (Cord("a", 1),) if index == 0 else (Cord("a", 1), Cord("b", 1))
                driver = "whatsminer" if self.reports[number] else "agent"
                made = self._device(f"m-{name}-{index}", "server", rack=name, cords=cords, nameplate_watts=NAMEPLATE)
                devices[made.id] = Device(**{f: getattr(made, f) for f in made.__slots__} | {"driver": driver})
            feeds = {side: f"{side}-{name}" for side in "ab"}
            racks[name] = Rack(id=name, feeds=feeds, redundancy="2N", budget=RackBudget(power_watts=20_000.0))
        for node in self.node_meters:
            devices[f"meter-{node}"] = self._device(f"meter-{node}", "meter", node=node)
        self.site = Site(name="s", power=power, racks=racks, devices=devices)

    @staticmethod
    def _device(name: str, kind: str, **more: object) -> Device:
        return Device(id=name, site="s", kind=kind, driver="modbus", address=name, **more)  # type: ignore[arg-type]  # a test's shorthand

    def feed(self, number: int, side: str) -> float:
        own = self.loads[number][0] if side == "a" else 0.0
        return own + sum(self.loads[number][1:]) / 2

    def node(self, name: str) -> float:
        kind, _, side = name.partition("-")
        if kind == "utility":
            return self.node("ups-a") + self.node("ups-b")
        if kind in ("a", "b"):
            return self.feed(int(side[1:]), kind)
        panel = sum(self.feed(number, side) for number in range(len(self.loads)))
        return panel / EFFICIENCY if kind == "ups" else panel

    def answer(self, device: Device) -> tuple[Reading, ...]:
        if device.kind == "server":
            _, rack, index = device.id.split("-")
            return (Reading(POWER, self.loads[int(rack[1:])][int(index)]),)
        if device.kind == "pdu":
            watts = self.feed(int((device.rack or "")[1:]), device.feed or "")
        else:
            watts = self.node(device.node or "")
        lines = (Reading(CURRENT, watts / (VOLTS * math.sqrt(3)), f"L{n}") for n in (1, 2, 3))
        return (Reading(POWER, watts), *lines)


halls = st.integers(1, 3).flatmap(
    lambda racks: st.builds(
        Hall,
        loads=st.lists(
            st.lists(st.integers(0, int(NAMEPLATE)).map(float), min_size=1, max_size=4), min_size=racks, max_size=racks
        ),
        inlets=st.lists(st.booleans(), min_size=racks, max_size=racks),
        reports=st.lists(st.booleans(), min_size=racks, max_size=racks),
        node_meters=st.lists(
            st.sampled_from(["utility", "ups-a", "ups-b", "panel-a", "panel-b", "a-r0", "b-r0"]), unique=True
        ),
    )
)
schedules = st.lists(
    st.tuples(
        st.sampled_from([1.0, 9.0, 10.0, 30.0, 70.0, 400.0, 1_200.0]),
        st.integers(0, 2**16),
        st.sampled_from([Outage.TIMEOUT, Outage.GARBLED, Outage.IDENTITY, Outage.DENIED, None]),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=40, deadline=None)
@given(hall=halls, schedule=schedules)
def test_the_truth_lies_within_every_interval_of_the_tree(hall: Hall, schedule: list[tuple[float, int, Outage | None]]):
    """Loads are steady: what ages covers ignorance alone, and a jump nobody saw is no business of a held value."""
    watch = Watch(hall.site, {}, now=at(0.0))
    now_s = 0.0
    published = []
    for wait_s, who, outage in schedule:
        for index, device in enumerate(hall.site.devices.values()):
            answers = bool(who >> (index % 16) & 1)
            if not answers and outage is None:
                continue
            taken = at(now_s)
            readings = hall.answer(device) if answers else ()
            watch.feed(Batch(device, taken.wall_ns, taken.mono_ns, readings, None if answers else outage), taken)
        end_s = now_s + wait_s
        while (wake_s := max(now_s, watch.next_wake() / SECOND - 5_000)) <= end_s:
            now_s = wake_s
            published += watch.tick(at(now_s)).batches
        now_s = end_s
        check(hall, watch, now_s)
    for batch in published:
        assert all(math.isfinite(reading.value) for reading in batch.readings), batch


def check(hall: Hall, watch: Watch, now_s: float) -> None:
    view = watch.view(at(now_s))
    for number, rack in enumerate(view.racks):
        within(rack.draw, sum(hall.loads[number]), rack.rack.id)
        for letter, feed in rack.feeds.items():
            within(feed, hall.feed(number, letter), f"{rack.rack.id}/{letter}")
    for node in view.nodes:
        within(node.draw, hall.node(node.id), node.id)
        for item in node.judgements:
            if item.constraint.startswith("current"):
                within(item.value, hall.node(node.id) / (VOLTS * math.sqrt(3)), f"{node.id} {item.constraint}")


def within(interval, truth: float, name: str) -> None:
    assert interval.lo <= truth * (1 + 1e-9) + 1e-6, (name, interval, truth)
    assert interval.hi >= truth * (1 - 1e-9) - 1e-6, (name, interval, truth)
    if interval.best is not None:
        assert interval.lo <= interval.best <= interval.hi, (name, interval)
    assert 0.0 <= interval.coverage <= 1.0

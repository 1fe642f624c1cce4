"""However a site is wired, metered and heard, what every rack, feed, node and line carries lies within its interval.

The truth is worked out with phasors, at a power factor of 1: three phases, lines to neutral, lines to lines,
rectifiers, transformers, losses, a transfer switch. Machines move between two levels; what answers has seen both.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from keeld.budgets.source import Value
from keeld.errors import Outage
from keeld.metrics import APPARENT_POWER, CURRENT, POWER, POWER_ESTIMATE, POWER_SOURCE, Metric
from keeld.model import Batch, Cord, Device, Interval, Moment, Rack, RackBudget, Reading, Site
from keeld.trees import PowerNode, PowerSource
from keeld.watch import Watch

SQRT3 = math.sqrt(3.0)
LINES = ("L1", "L2", "L3")
ANGLES = {"L1": 0.0, "L2": -2 * math.pi / 3, "L3": 2 * math.pi / 3}
PAIRS = (("L1", "L2"), ("L2", "L3"), ("L3", "L1"))
NAMEPLATE = 8_000.0
SECOND = 1_000_000_000
Shown = frozenset[Metric]


def phasor(line: str) -> complex:
    """Give a unit along a line's voltage to neutral."""
    return cmath.rect(1.0, ANGLES[line])


@dataclass
class Machine:
    """A load: its two levels, its parts on feeds and on lines of a three-phase feed."""

    id: str
    levels: tuple[float, float]
    shares: dict[str, float]
    by_line: tuple[float, float, float]
    is_estimate: bool = False


@dataclass
class Wiring:
    """The tree as it is built, beside what the configuration says of it."""

    nodes: dict[str, PowerNode] = field(default_factory=dict)
    hangs_on: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The lines of its parent that a single-phase node really hangs on; none where it hangs on all."""
    racks: dict[str, Rack] = field(default_factory=dict)
    machines: dict[str, list[Machine]] = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)
    shows: dict[str, Shown] = field(default_factory=dict)
    """What each meter shows."""
    branches: dict[str, str] = field(default_factory=dict)
    """Part of the branch meter to the circuit that it measures."""
    active: str = "utility"
    """The source that the transfer switch is on."""
    level: int = 0

    def add_device(self, name: str, kind: str, **more: object) -> None:
        self.devices[name] = Device(id=name, site="s", kind=kind, driver="modbus", address=name, **more)  # type: ignore[arg-type]  # a test's shorthand

    def add_rack(self, name: str, feeds: dict[str, str], machines: list[Machine], redundancy: str) -> None:
        self.racks[name] = Rack(id=name, feeds=feeds, redundancy=redundancy, budget=RackBudget(power_watts=20_000.0))
        self.machines[name] = machines
        for machine in machines:
            cords = tuple(Cord(letter, 1) for letter in machine.shares)
            self.add_device(machine.id, "server", rack=name, cords=cords, nameplate_watts=NAMEPLATE)

    def site(self) -> Site:
        return Site(name="s", power=self.nodes, racks=self.racks, devices=self.devices)

    def parent(self, name: str) -> str | None:
        node = self.nodes[name]
        return node.sources[self.active].parent if node.sources else node.parent

    def rack_watts(self, rack: str) -> float:
        return sum(machine.levels[self.level] for machine in self.machines[rack])

    def feed_watts(self, rack: str, letter: str) -> float:
        return sum(machine.levels[self.level] * machine.shares.get(letter, 0.0) for machine in self.machines[rack])

    def feeds_of(self, name: str) -> Iterator[tuple[str, str]]:
        return (
            (rack.id, letter) for rack in self.racks.values() for letter, node in rack.feeds.items() if node == name
        )

    def children(self, name: str) -> Iterator[str]:
        return (child for child in self.nodes if self.parent(child) == name)

    def node_watts(self, name: str) -> float:
        below = sum(self.node_watts(child) for child in self.children(name))
        return (below + sum(self.feed_watts(*feed) for feed in self.feeds_of(name))) / self.nodes[name].efficiency

    def node_amperes(self, name: str) -> dict[str, float]:
        if self.nodes[name].phases == 1:
            return {"": self.node_watts(name) / self.volts(name)}
        return {line: abs(amperes) for line, amperes in self._phasors(name).items()}

    def volts(self, name: str) -> float:
        return self.nodes[name].voltage_volts or 0.0

    def _phasors(self, name: str) -> dict[str, complex]:
        volts, summed = self.volts(name), dict.fromkeys(LINES, 0j)
        for rack, letter in self.feeds_of(name):
            for machine in self.machines[rack]:
                watts = machine.levels[self.level] * machine.shares.get(letter, 0.0)
                for line, share in zip(LINES, machine.by_line, strict=True):
                    summed[line] += phasor(line) * watts * share * SQRT3 / volts
        for child in self.children(name):
            for line, amperes in self._put_by(child, volts):
                summed[line] += amperes
        return {line: amperes / self.nodes[name].efficiency for line, amperes in summed.items()}

    def _put_by(self, child: str, volts: float) -> Iterator[tuple[str, complex]]:
        """Give what a child puts on the lines of its parent."""
        node, lines = self.nodes[child], self.hangs_on.get(child, ())
        watts = self.node_watts(child)
        if len(lines) == 1:
            yield lines[0], phasor(lines[0]) * watts * SQRT3 / volts
        elif len(lines) > 1:
            across = phasor(lines[0]) - phasor(lines[1])
            yield lines[0], watts / volts * across / abs(across)
            yield lines[1], -watts / volts * across / abs(across)
        elif node.phases == 1:  # a rectifier
            yield from ((line, phasor(line) * watts / (SQRT3 * volts)) for line in LINES)
        else:
            ratio = self.volts(child) / volts
            yield from ((line, amperes * ratio) for line, amperes in self._phasors(child).items())

    def answer(self, device: Device) -> tuple[Reading, ...]:
        if device.id == "switch":
            return (Reading(POWER_SOURCE, {"utility": 1.0, "generator": 4.0}[self.active]),)
        if device.kind == "server":
            machine = next(found for found in self.machines[device.rack or ""] if found.id == device.id)
            metric, error = (POWER_ESTIMATE, 1.15) if machine.is_estimate else (POWER, 1.0)
            return (Reading(metric, machine.levels[self.level] * error),)
        if device.kind == "pdu":
            rack = self.racks[device.rack or ""]
            node = rack.feeds[device.feed or ""]
            alone = self.nodes[node].efficiency
            amperes = {line: value * alone for line, value in self.node_amperes(node).items()}
            return tuple(self._shown(device, self.feed_watts(rack.id, device.feed or ""), amperes))
        if device.measures:
            found = ((part, node, self.node_watts(node)) for part, node in self.branches.items())
            return tuple(
                r for part, node, watts in found for r in self._shown(device, watts, self.node_amperes(node), part)
            )
        node = device.node or ""
        return tuple(self._shown(device, self.node_watts(node), self.node_amperes(node)))

    def _shown(self, device: Device, watts: float, amperes: dict[str, float], part: str = "") -> Iterator[Reading]:
        shows = self.shows[device.id]
        if POWER in shows:
            yield Reading(POWER, watts, part)
        if APPARENT_POWER in shows:
            yield Reading(APPARENT_POWER, watts, part)
        if CURRENT in shows:
            for line, value in amperes.items():
                yield Reading(CURRENT, value, "/".join(filter(None, (part, line))))


@st.composite
def wirings(draw: st.DrawFn) -> Wiring:
    """Draw a tree, its racks and what is measured."""
    made = Wiring()
    volts = draw(st.sampled_from([415.0, 480.0]))
    three = {"voltage_volts": volts, "phases": 3, "breaker_amperes": 4_000.0}
    made.nodes["utility"] = PowerNode(
        id="utility", limit_watts=5e6, efficiency=draw(st.sampled_from([1.0, 0.97])), **three
    )
    if draw(st.booleans()):
        _add_switch(made, three)
        if draw(st.booleans()):
            made.add_device("switch", "ups", node="ats")
    for number in range(draw(st.integers(0, 3))):
        parent = draw(st.sampled_from(sorted(made.nodes)))
        own = draw(st.sampled_from([made.volts(parent), 208.0]))
        three = {"voltage_volts": own, "phases": 3, "breaker_amperes": 4_000.0}
        name, efficiency = f"panel-{number}", draw(st.sampled_from([1.0, 0.94]))
        made.nodes[name] = PowerNode(id=name, parent=parent, efficiency=efficiency, **three)
    panels = sorted(made.nodes)
    for number in range(draw(st.integers(1, 3))):
        _add_rack(draw, made, f"r{number}", panels)
    _add_meters(draw, made)
    return made


def _add_switch(made: Wiring, three: dict[str, float]) -> None:
    made.nodes["generator"] = PowerNode(id="generator", limit_watts=5e6, **three)
    sources = {"utility": PowerSource(4e6, "utility"), "generator": PowerSource(3e6, "generator")}
    made.nodes["ats"] = PowerNode(id="ats", sources=sources, **three)


def _add_rack(draw: st.DrawFn, made: Wiring, name: str, panels: list[str]) -> None:
    letters = draw(st.sampled_from(["a", "ab", "abc"]))
    feeds = {letter: _add_circuit(draw, made, f"{letter}-{name}", draw(st.sampled_from(panels))) for letter in letters}
    machines = []
    for number in range(draw(st.integers(1, 3))):
        on = draw(st.lists(st.sampled_from(letters), min_size=1, unique=True))
        lines = draw(st.tuples(*[st.integers(0, 4)] * 3).filter(any))
        levels = draw(st.tuples(*[st.integers(0, int(NAMEPLATE) // 2)] * 2))
        machines.append(
            Machine(
                f"m-{name}-{number}",
                (float(levels[0]), float(levels[1])),
                dict.fromkeys(on, 1 / len(on)),
                (lines[0] / sum(lines), lines[1] / sum(lines), lines[2] / sum(lines)),
                is_estimate=draw(st.booleans()),
            )
        )
    made.add_rack(name, feeds, machines, "2N" if len(feeds) > 1 else "N")
    for letter in letters:
        if draw(st.booleans()):
            made.add_device(f"pdu-{letter}-{name}", "pdu", rack=name, feed=letter)


def _add_circuit(draw: st.DrawFn, made: Wiring, name: str, panel: str) -> str:
    volts = made.volts(panel)
    kind = draw(st.sampled_from(["three", "line", "pair", "rectifier"]))
    if kind == "three":
        node = PowerNode(id=name, parent=panel, breaker_amperes=300.0, voltage_volts=volts, phases=3)
    elif kind == "rectifier":
        node = PowerNode(
            id=name, parent=panel, breaker_amperes=5_000.0, voltage_volts=54.0, is_direct_current=True, efficiency=0.95
        )
    else:
        lines = draw(st.sampled_from([*PAIRS] if kind == "pair" else [(line,) for line in LINES]))
        made.hangs_on[name] = lines
        node = PowerNode(
            id=name,
            parent=panel,
            breaker_amperes=600.0,
            voltage_volts=volts if kind == "pair" else volts / SQRT3,
            lines=lines if draw(st.booleans()) else (),
        )
    made.nodes[name] = node
    return name


def _add_meters(draw: st.DrawFn, made: Wiring) -> None:
    for name in draw(st.lists(st.sampled_from(sorted(made.nodes)), unique=True, max_size=4)):
        made.add_device(f"meter-{name}", "meter", node=name)
    circuits = draw(st.lists(st.sampled_from([name for name in made.nodes if "-r" in name]), unique=True))
    made.branches = {f"branch/{number}": name for number, name in enumerate(circuits, start=1)}
    if circuits:
        made.add_device("branches", "meter", measures=tuple(made.branches.items()))
    shown = st.sampled_from([{POWER, CURRENT}, {POWER, CURRENT, APPARENT_POWER}, {POWER}, {CURRENT}, set()])
    made.shows = {device.id: frozenset(draw(shown)) for device in made.devices.values()}


class Course:
    """A watch that is driven along a course of answers and silences."""

    def __init__(self, wiring: Wiring) -> None:
        self.wiring = wiring
        self.site = wiring.site()
        self.now_s = 0.0
        self.watch = Watch(self.site, {}, now=self.now)
        self.values: list[float] = []

    @property
    def now(self) -> Moment:
        return Moment(1_760_000_000 * SECOND + round(self.now_s * SECOND), 5_000 * SECOND + round(self.now_s * SECOND))

    def wait(self, span_s: float) -> None:
        end_s = self.now_s + span_s
        while (wake_s := max(self.now_s, self.watch.next_wake() / SECOND - 5_000)) <= end_s:
            self.now_s = wake_s
            for batch in self.watch.tick(self.now).batches:
                self.values += [reading.value for reading in batch.readings]
        self.now_s = end_s

    def poll(self, silent: int, outage: Outage | None) -> None:
        """Let every device answer at both levels, the present one last, except those whose bit is set in `silent`."""
        for _ in range(2):
            self.wiring.level ^= 1
            for number, device in enumerate(self.site.devices.values()):
                is_silent = bool(silent >> (number % 16) & 1)
                if is_silent and outage is None:
                    continue
                readings = () if is_silent else self.wiring.answer(device)
                now = self.now
                self.watch.feed(Batch(device, now.wall_ns, now.mono_ns, readings, outage if is_silent else None), now)
            self.wait(0.5)

    def check(self) -> None:
        view = self.watch.view(self.now)
        for rack in view.racks:
            within(rack.draw, self.wiring.rack_watts(rack.rack.id), rack.rack.id)
            for letter, feed in rack.feeds.items():
                within(feed, self.wiring.feed_watts(rack.rack.id, letter), f"{rack.rack.id}/{letter}")
        for node in view.nodes:
            within(node.draw, self.wiring.node_watts(node.id), node.id)
            truth = self.wiring.node_amperes(node.id)
            for phase, line in self.watch._state.nodes[node.id].lines.items():
                if line is not None:
                    within(line, truth[phase], f"{node.id} {phase}")
        for case in self.watch.failover(self.now):
            assert all(math.isfinite(survivor.value.hi) for survivor in case.survivors), case
        rooms = [room for room in self.watch.headroom(self.now) if room is not None and room.watts is not None]
        assert all(math.isfinite(room.watts or 0.0) for room in rooms), rooms


def within(interval: Interval | Value, truth: float, name: str) -> None:
    assert interval.lo <= truth * (1 + 1e-9) + 1e-6, (name, interval, truth)
    assert interval.hi >= truth * (1 - 1e-9) - 1e-6, (name, interval, truth)
    if interval.best is not None:
        assert interval.lo - 1e-6 <= interval.best <= interval.hi + 1e-6, (name, interval)


steps = st.tuples(
    st.sampled_from([30.0, 70.0, 400.0, 1_000.0]),
    st.integers(0, 2**16 - 1),
    st.sampled_from([Outage.TIMEOUT, Outage.GARBLED, None]),
    st.booleans(),
    st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(wiring=wirings(), course=st.lists(steps, min_size=1, max_size=5), start=st.integers(0, 2**16 - 1))
def test_what_flows_lies_within_its_interval_however_a_site_is_wired(
    wiring: Wiring, course: list[tuple[float, int, Outage | None, bool, bool]], start: int
):
    """A load moves a while after the last poll: what is two seconds old is taken for the truth, and may not be it."""
    driven = Course(wiring)
    driven.poll(start & start >> 3, None)  # an eighth has never answered
    for wait_s, silent, outage, moves, switches in course:
        driven.wait(wait_s)
        wiring.level ^= moves
        is_switched = switches and "switch" in wiring.devices
        if is_switched:  # nobody has seen what moves with a switch: all must answer
            wiring.active = "generator" if wiring.active == "utility" else "utility"
        driven.poll(0 if is_switched else silent, outage)
        driven.check()
    assert all(math.isfinite(value) for value in driven.values)


def ends(driven: Course) -> dict[str, float]:
    """Give the most that anything may draw, by name."""
    view = driven.watch.view(driven.now)
    found = {node.id: node.draw.hi for node in view.nodes} | {rack.rack.id: rack.draw.hi for rack in view.racks}
    return found | {f"{rack.rack.id}/{letter}": feed.hi for rack in view.racks for letter, feed in rack.feeds.items()}


@settings(max_examples=25, deadline=None)
@given(wiring=wirings(), silent=st.integers(0, 2**16 - 1), wait_s=st.sampled_from([1.0, 40.0, 100.0]), data=st.data())
def test_adding_load_never_lowers_what_anything_may_draw(
    wiring: Wiring, silent: int, wait_s: float, data: st.DataObject
):
    found = []
    name = data.draw(st.sampled_from(sorted(wiring.racks)))
    machine = data.draw(st.sampled_from(wiring.machines[name]))
    more = data.draw(st.floats(0.0, NAMEPLATE / 2))
    for added in (0.0, more):
        machine.levels = (machine.levels[0] + added, machine.levels[1] + added)
        wiring.level = 0
        driven = Course(wiring)
        driven.poll(silent, None)
        driven.wait(wait_s)
        found.append(ends(driven))
    less, greater = found
    assert all(greater[place] >= less[place] - 1e-6 for place in less), (less, greater)

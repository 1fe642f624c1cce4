"""CPU of judging: synthetic sites of 100, 1,000 and 10,000 devices, in simulated time, watch alone.

A rack has two metered feeds (PDUs with lines and outlets) and eight machines; above it stand four levels: the breaker
of the feed, a panel for every ten racks, a UPS for every fifty on each side, and the utility. Every load moves at every
poll, so that nothing is spared because nothing has changed. Batches are made before the clock runs: what is timed is
`feed`, and `tick` as often as it asks to be called.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from keeld.budgets.source import Look
from keeld.host import COLLECT_EVERY, collect_young
from keeld.metrics import CURRENT, ENERGY, FREQUENCY, POWER, POWER_FACTOR, TEMPERATURE, UTILISATION, VOLTAGE
from keeld.model import Batch, Cord, Device, Moment, Rack, RackBudget, Reading, Site
from keeld.trees import PowerNode
from keeld.watch import Watch

DEVICES = (100, 1_000, 10_000)
MOST_US_A_BATCH = 60.0
MOST_FULL_MS = 150.0
MOST_SLICE_MS = 10.0
_PER_RACK = 10
_RACKS_A_PANEL = 10
_RACKS_A_UPS = 50
_OUTLETS = 24
_AT_ONCE = 100
_INTERVAL_S = 10
_SECOND_NS = 1_000_000_000
_WALL_0 = 1_795_400_000 * _SECOND_NS
_MONO_0 = 5_000 * _SECOND_NS
_ROUNDS = {100: 60, 1_000: 36, 10_000: 8}
"""Polls of every device that are timed; the windows fill before."""
_WARM_UP = {100: 31, 1_000: 31, 10_000: 6}


def site_of(devices: int) -> Site:
    """Lay out a site of ten devices a rack and four levels of power above."""
    power = {"utility": PowerNode(id="utility", limit_watts=1e9)}
    racks: dict[str, Rack] = {}
    found: dict[str, Device] = {}
    for number in range(devices // _PER_RACK):
        name = f"r{number:04d}"
        for side in "ab":
            _hang(power, name, number, side)
        racks[name] = Rack(
            id=name,
            feeds={"a": f"a-{name}", "b": f"b-{name}"},
            redundancy="2N",
            budget=RackBudget(power_watts=33_000.0),
        )
        found |= {device.id: device for device in _machines(name)}
    return Site(name="bench", power=power, racks=racks, devices=found)


def _hang(power: dict[str, PowerNode], rack: str, number: int, side: str) -> None:
    """Put a feed's breaker under its panel, and those above it where they are not there yet."""
    ups, panel = f"ups-{side}{number // _RACKS_A_UPS}", f"panel-{side}{number // _RACKS_A_PANEL}"
    power[ups] = PowerNode(id=ups, parent="utility", limit_volt_amperes=2e6)
    power[panel] = PowerNode(id=panel, parent=ups, breaker_amperes=800.0, voltage_volts=415.0, phases=3)
    feed = f"{side}-{rack}"
    power[feed] = PowerNode(id=feed, parent=panel, breaker_amperes=60.0, voltage_volts=415.0, phases=3)


def _machines(rack: str) -> Iterator[Device]:
    for side in "ab":
        yield Device(
            id=f"pdu-{rack}-{side}", site="bench", kind="pdu", driver="modbus", address=f"tcp://pdu-{rack}-{side}",
            rack=rack, feed=side,
        )  # fmt: skip
    for number in range(_PER_RACK - 2):
        yield Device(
            id=f"n-{rack}-{number}", site="bench", kind="server", driver="agent", address="", rack=rack,
            nameplate_watts=4_000.0, cords=(Cord("a", 2), Cord("b", 2)), psus_needed=3,
        )  # fmt: skip


def readings_of(device: Device, watts: float) -> tuple[Reading, ...]:
    """Give what one poll of a device answers."""
    if device.kind != "pdu":
        return Reading(POWER, watts / 4), Reading(TEMPERATURE, 24.0, "intake"), Reading(UTILISATION, 0.9)
    line = watts / (415.0 * 3**0.5)
    head = [Reading(POWER, watts), Reading(POWER_FACTOR, 0.98), Reading(FREQUENCY, 60.0), Reading(ENERGY, 1e6 + watts)]
    for phase, share in (("L1", 0.98), ("L2", 1.05), ("L3", 0.97)):
        head += [Reading(CURRENT, line * share, phase), Reading(VOLTAGE, 239.6, phase)]
    outlets = (f"outlet/{number}" for number in range(1, _OUTLETS + 1))
    return (*head, *(Reading(metric, watts / _OUTLETS, part) for part in outlets for metric in (POWER, CURRENT)))


@dataclass(slots=True)
class Spent:
    """CPU in ns: per round of polls, of `feed`, and of each closed slot and its slices of `tick`."""

    batches: int = 0
    feed_ns: int = 0
    slots: list[int] = field(default_factory=list)
    full_ns: int = 0
    """Of one look at every rack and node: draws, lines, active and reactive power, all anew."""
    longest_ns: int = 0

    @property
    def us_a_batch(self) -> float:
        """All of it, shared among the batches."""
        return (self.feed_ns + sum(self.slots)) / max(1, self.batches) / 1000


class Bench:
    """One site driven round by round; every device is polled once in a round, which is one slot."""

    def __init__(self, devices: int) -> None:
        self.site = site_of(devices)
        self._devices = list(self.site.devices.values())
        self._random = random.Random(devices)
        self._loads = dict.fromkeys(self.site.racks, 10_000.0)
        self.watch = Watch(self.site, {}, now=Moment(_WALL_0, _MONO_0))
        self._at_ns = 0

    def run(self, rounds: int) -> Spent:
        """Poll every device so many times."""
        spent = Spent()
        for _ in range(rounds):
            self._loads = {name: watts + self._random.uniform(-200.0, 200.0) for name, watts in self._loads.items()}
            for first in range(0, len(self._devices), _AT_ONCE):
                self._feed(spent, self._batches(first))
            self._at_ns += _INTERVAL_S * _SECOND_NS
            self._close(spent)
        return spent

    def _batches(self, first: int) -> list[Batch]:
        """Make the next batches: a few at a time, as the daemon has them, or the collector would walk all of them."""
        made = []
        step_ns = _INTERVAL_S * _SECOND_NS // len(self._devices)
        for number, device in enumerate(self._devices[first : first + _AT_ONCE], start=first):
            at_ns = self._at_ns + number * step_ns
            readings = readings_of(device, self._loads[device.rack or ""])
            made.append(Batch(device, _WALL_0 + at_ns, _MONO_0 + at_ns, readings))
        return made

    def _feed(self, spent: Spent, batches: list[Batch]) -> None:
        feed = self.watch.feed
        start_ns = time.process_time_ns()
        for batch in batches:
            feed(batch, Moment(batch.time_ns, batch.mono_ns))
        spent.feed_ns += time.process_time_ns() - start_ns
        spent.batches += len(batches)

    def _close(self, spent: Spent) -> None:
        """Tick until nothing is due, as the daemon does."""
        now = Moment(_WALL_0 + self._at_ns, _MONO_0 + self._at_ns)
        slot_ns = 0
        while self.watch.next_wake() <= now.mono_ns:
            start_ns = time.process_time_ns()
            self.watch.tick(now)
            collect_young()
            slice_ns = time.process_time_ns() - start_ns
            slot_ns += slice_ns
            spent.longest_ns = max(spent.longest_ns, slice_ns)
        spent.slots.append(slot_ns)

    def look(self) -> int:
        """Work out every rack and node at once; give the CPU that took, in ns."""
        start_ns = time.process_time_ns()
        self.watch._state.see(Look(_MONO_0 + self._at_ns))  # noqa: SLF001 - the one step of a slot that is timed alone
        return time.process_time_ns() - start_ns


def measure(devices: int) -> Spent:
    """Give what judging a site of that many devices costs, once its windows are full enough to be typical."""
    bench = Bench(devices)
    bench.run(_WARM_UP[devices])
    gc.set_threshold(*COLLECT_EVERY)
    gc.collect()
    gc.freeze()  # as the daemon does once it has started
    spent = bench.run(_ROUNDS[devices])
    spent.full_ns = min(bench.look() for _ in range(5))
    return spent


def run() -> bool:
    """Print the table; tell whether the largest site keeps its bounds."""
    print(f"{'devices':>8}{'µs a batch':>12}{'feed':>8}{'slot':>8}{'slot, ms':>10}{'slice, ms':>11}{'all, ms':>9}")
    rows = []
    for devices in DEVICES:
        spent = measure(devices)
        slot_ms = sum(spent.slots) / len(spent.slots) / 1e6
        feed_us = spent.feed_ns / spent.batches / 1000
        full_ms = spent.full_ns / 1e6
        rows.append((spent.us_a_batch, full_ms, spent.longest_ns / 1e6))
        print(
            f"{devices:>8}{spent.us_a_batch:>12.1f}{feed_us:>8.1f}{spent.us_a_batch - feed_us:>8.1f}"
            f"{slot_ms:>10.1f}{spent.longest_ns / 1e6:>11.1f}{full_ms:>9.1f}"
        )
    us, full_ms, slice_ms = rows[-1]
    print(f"growth of a batch's cost from {DEVICES[0]} to {DEVICES[-1]} devices: x {us / rows[0][0]:.2f}")
    bounds = f"{MOST_US_A_BATCH:.0f} µs a batch, slices of {MOST_SLICE_MS:.0f} ms"
    print(f"at most {bounds}, all racks and nodes in {MOST_FULL_MS:.0f} ms")
    return us <= MOST_US_A_BATCH and slice_ms <= MOST_SLICE_MS and full_ms <= MOST_FULL_MS

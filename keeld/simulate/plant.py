"""The physical model of a site: what draws power where, and where the heat goes.

Theory of operation. A *tap* is one feed of one rack, the place where machines hang. Each step first decides which taps
have voltage, runs every machine on the supplies that are left to it, lays its power on the lines of its taps, and adds
the taps up through the power tree. All power that went into a rack comes out as heat, into the air zone or the liquid
loop of that rack. Nothing here knows of sockets or of the wall clock: a step is given its length.
"""

from __future__ import annotations

import math
import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from keeld.model import Device, Site
from keeld.simulate.cooling import AirZone, LiquidLoop
from keeld.simulate.effects import NOTHING
from keeld.simulate.electrical import THREE_PHASE, Wiring, power_of, wiring_of
from keeld.simulate.lines import Lines, Tap
from keeld.simulate.machines import AMBIENT_CELSIUS, DEFAULT_PACE, GpuNode, Miner, Pace, Surroundings
from keeld.trees import PowerNode

DEFAULT_VOLTS = 415.0
DEFAULT_MINER_WATTS = 3400.0
DEFAULT_NODE_WATTS = 10200.0
_LIQUID_SHARE = 0.8
"""Of a liquid-cooled GPU node's heat, where the configuration gives no ratio."""


@dataclass(slots=True)
class Load:
    """A machine with the taps it hangs on."""

    device: Device
    machine: Miner | GpuNode
    cords: list[tuple[Tap, int, Wiring]]
    zone: AirZone | None
    loop: LiquidLoop | None
    liquid_share: float


class Plant:
    """The site's machines, power and cooling. `step` is the only thing that changes it."""

    def __init__(
        self, site: Site, *, seed: int = 1, pace: Pace = DEFAULT_PACE, link_powered: frozenset[str] = frozenset()
    ) -> None:
        self.site = site
        self.pace = pace
        self.link_powered = link_powered
        self.rng = random.Random(seed)
        self.effects = NOTHING
        self.time_s = 0.0
        self.version = 0
        self.grid_factor = 1.0
        self.frequency_hertz = 60.0
        self.nodes = {node.id: Lines(node.phases, _volts_of(site, node)) for node in site.power.values()}
        self.taps: dict[tuple[str, str], Tap] = {}
        self.zones = {node.id: AirZone(sum(node.units_watts)) for node in site.cooling.values() if node.kind == "air"}
        self.loops = {
            node.id: LiquidLoop(sum(node.units_watts)) for node in site.cooling.values() if node.kind == "liquid"
        }
        self._order = _parents_first(site)
        self._widen()
        for rack in site.racks.values():
            for feed in rack.feeds:
                self._tap(rack.id, feed)
        self.loads = {device.id: self._load(device) for device in site.devices.values() if _is_machine(device)}
        self._settle(seed)

    def step(self, dt_s: float) -> None:
        """Let `dt_s` pass."""
        self.time_s += dt_s
        self.grid_factor += (self.rng.random() - 0.5) * 0.001 - (self.grid_factor - 1) * 0.05
        self.frequency_hertz = 60 + (self.rng.random() - 0.5) * 0.04
        self._energise(dt_s)
        heat = self._run_loads(dt_s)
        self._add_up(dt_s)
        self._cool(heat, dt_s)
        self.version += 1

    def answers(self, device: Device) -> bool:
        """Whether the device's controller runs and the network reaches it."""
        if device.id in self.effects.silent:
            return False
        load = self.loads.get(device.id)
        if load is not None:
            return load.machine.answers
        if device.kind not in {"pdu", "meter", "ups"} or device.id in self.link_powered:
            return True
        watched = list(self.watched(device))
        return not watched or any(each.live_s >= self.pace.controller_boot_s for each in watched)

    def watched(self, device: Device) -> Iterator[Lines]:
        """Give the lines a meter is clamped on: branches, a node, one feed of a rack, or all of a rack's feeds."""
        if device.measures:
            yield from (self.nodes[node] for _, node in device.measures)
        elif device.node in self.nodes:
            yield self.nodes[device.node]
        elif device.rack is not None:
            yield from (
                tap.power
                for (rack, feed), tap in self.taps.items()
                if rack == device.rack and device.feed in {None, feed}
            )

    def intake_celsius(self, rack: str | None) -> float:
        """Air at the front of a rack; ambient where no zone cools it."""
        zone = self._zone(rack)
        return AMBIENT_CELSIUS if zone is None else zone.intake_celsius

    def _settle(self, seed: int) -> None:
        """Begin in a steady state: counters with a past, temperatures where hours of this load put them."""
        for name, power in self._all_lines():
            power.energy_watt_hours = random.Random(zlib.crc32(f"{seed} {name}".encode())).uniform(1e4, 4e6)
        heat = self._run_loads(0.0)
        for node, zone in self.zones.items():
            zone.settle(heat.get(node, 0.0))
        for node, loop in self.loops.items():
            loop.settle(heat.get(node, 0.0))
        self._add_up(math.inf)

    def _widen(self) -> None:
        """Give a node three phases where one below it has them, whatever its limit says of phases."""
        for node in reversed(self._order):
            parent = self.nodes.get(node.parent or "")
            if parent is not None:
                parent.phases = max(parent.phases, self.nodes[node.id].phases)

    def _all_lines(self) -> Iterator[tuple[str, Lines]]:
        yield from self.nodes.items()
        yield from ((f"{rack} {feed}", tap.power) for (rack, feed), tap in self.taps.items())

    def _energise(self, dt_s: float) -> None:
        dead = self.effects.dead_nodes
        for node in self._order:
            parent = self.nodes.get(node.parent or "")
            self.nodes[node.id].count(dt_s, live=node.id not in dead and (parent is None or parent.live))
        for tap in self.taps.values():
            upstream = self.nodes.get(tap.node)
            tap.power.count(dt_s, live=upstream is None or upstream.live)

    def _run_loads(self, dt_s: float) -> dict[str, float]:
        """Run every machine and lay its power on its taps; give the heat by cooling node."""
        for tap in self.taps.values():
            tap.power.clear()
        heat: dict[str, float] = dict.fromkeys((*self.zones, *self.loops), 0.0)
        effects = self.effects
        for name, load in self.loads.items():
            live = [cord for cord in load.cords if cord[0].power.live] if name not in effects.unpowered else []
            live_psus = sum(psus for _, psus, _ in live)
            self._run(load, live_psus, dt_s)
            if live_psus:
                power = power_of(load.machine.wall_watts / live_psus, load.machine.power_factor)
                for tap, psus, wiring in live:
                    tap.power.add(power * psus, wiring)
                self._emit(load, heat)
        return heat

    def _run(self, load: Load, live_psus: int, dt_s: float) -> None:
        machine, effects, name = load.machine, self.effects, load.device.id
        if isinstance(machine, Miner):
            machine.pool_up = name not in effects.poolless
        else:
            machine.load_low = effects.training_load.get(name, 0.5)
        intake = AMBIENT_CELSIUS if load.zone is None else load.zone.intake_celsius
        if load.loop is None:
            around = Surroundings(live_psus, intake)
        else:
            around = Surroundings(live_psus, intake, load.loop.return_celsius, load.loop.grip)
        machine.step(around, dt_s)

    def _emit(self, load: Load, heat: dict[str, float]) -> None:
        rack = self.site.racks.get(load.device.rack or "")
        if rack is None:
            return
        liquid = 0.0
        if load.loop is not None and rack.cooling_liquid is not None:
            liquid = load.machine.wall_watts * load.liquid_share * load.loop.grip
            heat[rack.cooling_liquid] += liquid
        if rack.cooling_air in self.zones:
            heat[rack.cooling_air] += load.machine.wall_watts - liquid

    def _add_up(self, dt_s: float) -> None:
        for lines in self.nodes.values():
            lines.clear()
        for tap in self.taps.values():
            if tap.node in self.nodes:
                _pour(tap.power, self.nodes[tap.node], 1.0)
        for node in reversed(self._order):
            parent = self.nodes.get(node.parent or "")
            if parent is not None:
                _pour(self.nodes[node.id], parent, node.efficiency)
        for _, power in self._all_lines():
            power.show(dt_s)

    def _cool(self, heat: dict[str, float], dt_s: float) -> None:
        for node, zone in self.zones.items():
            zone.failed_share = self.effects.failed_cooling.get(node, 0.0)
            zone.step(heat[node], dt_s)
        for node, loop in self.loops.items():
            loop.lost_flow_share = self.effects.lost_flow.get(node, 0.0)
            loop.step(heat[node], dt_s)

    def _tap(self, rack: str, feed: str) -> Tap:
        tap = self.taps.get((rack, feed))
        if tap is None:
            site_rack = self.site.racks.get(rack)
            node = site_rack.feeds.get(feed, "") if site_rack else ""
            upstream = self.nodes.get(node)
            power = Lines(upstream.phases, upstream.volts) if upstream else Lines(3, DEFAULT_VOLTS)
            tap = self.taps[rack, feed] = Tap(rack, node, power)
        return tap

    def _load(self, device: Device) -> Load:
        rack = self.site.racks.get(device.rack or "")
        is_node = device.kind == "accelerator"
        loop = self.loops.get(rack.cooling_liquid or "") if rack and is_node else None
        low, high = (rack.liquid_ratio if rack else None) or (_LIQUID_SHARE, _LIQUID_SHARE)
        cords = [(self._tap(device.rack or "", feed), psus) for feed, psus in self._feeds(device)]
        return Load(
            device,
            self._node(device, sum(psus for _, psus in cords)) if is_node else self._miner(device),
            [(tap, psus, _fit(tap, three_phase=is_node)) for tap, psus in cords],
            self._zone(device.rack),
            loop,
            (low + high) / 2 if loop else 0.0,
        )

    def _feeds(self, device: Device) -> list[tuple[str, int]]:
        if device.cords:
            return [(cord.feed, cord.psus) for cord in device.cords]
        rack = self.site.racks.get(device.rack or "")
        if device.feed is not None or rack is None or not rack.feeds:
            return [(device.feed or "", 1)]
        if device.kind == "accelerator":
            return [(feed, 3) for feed in rack.feeds]
        return [(next(iter(rack.feeds)), 1)]  # a miner has one cord

    def _miner(self, device: Device) -> Miner:
        return Miner(
            nameplate_watts=device.nameplate_watts or DEFAULT_MINER_WATTS,
            joules_per_terahash=29.5 if device.driver == "antminer" else 31.0,
            rng=self.rng,
            pace=self.pace,
        )

    def _node(self, device: Device, psus: int) -> GpuNode:
        return GpuNode(
            nameplate_watts=device.nameplate_watts or DEFAULT_NODE_WATTS,
            psus=psus,
            psus_needed=device.psus_needed or max(1, psus // 2),
            rng=self.rng,
            pace=self.pace,
        )

    def _zone(self, rack: str | None) -> AirZone | None:
        site_rack = self.site.racks.get(rack or "")
        return self.zones.get(site_rack.cooling_air or "") if site_rack else None


def _is_machine(device: Device) -> bool:
    return device.kind in {"miner", "accelerator"}


def _fit(tap: Tap, *, three_phase: bool) -> Wiring:
    """Wire one more machine: a GPU node's supplies are spread over the phases, a miner takes the next phase."""
    if three_phase and tap.power.phases == 3:  # noqa: PLR2004  three phases
        return THREE_PHASE
    wiring = wiring_of(tap.fitted, tap.power.phases, tap.power.phase_volts)
    tap.fitted += 1
    return wiring


def _pour(source: Lines, into: Lines, efficiency: float) -> None:
    for index in range(3):
        into.lines[index] += source.lines[index] / efficiency


def _volts_of(site: Site, node: PowerNode) -> float:
    """Find the voltage of a node: its own or that of the nearest node above it that has one."""
    at: PowerNode | None = node
    while at is not None:
        if at.voltage_volts is not None:
            return at.voltage_volts
        at = site.power.get(at.parent or "")
    return DEFAULT_VOLTS


def _parents_first(site: Site) -> list[PowerNode]:
    def depth(node: PowerNode) -> int:
        steps, at = 0, site.power.get(node.parent or "")
        while at is not None and steps <= len(site.power):
            steps, at = steps + 1, site.power.get(at.parent or "")
        return steps

    return sorted(site.power.values(), key=depth)

"""The simulated site: every device of a configuration, served over its real protocol and driven by one plant."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import math
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Self

from keeld import profiles
from keeld.model import Device, Site
from keeld.profiles.model import Profile
from keeld.simulate.accelerators import state_path, write_state
from keeld.simulate.devices import MinerDevice, ModbusDevice
from keeld.simulate.endpoints import Endpoint
from keeld.simulate.faults import Fault, FaultKind
from keeld.simulate.machines import GpuNode, Miner
from keeld.simulate.miners import MinerConnection
from keeld.simulate.modbus import ModbusConnection
from keeld.simulate.network import SimulatorError
from keeld.simulate.plant import Plant
from keeld.simulate.recorder import Recorder
from keeld.simulate.script import QUIET_DAY, Incident, PlannedFault, Script
from keeld.simulate.timeline import Timeline, effects_of

_MODBUS_PORT = 502
_MINER_PORT = 4028
_LONGEST_STEP_S = 1.0
_LONGEST_GAP_S = 30.0
"""A simulator that slept longer than this does not make up for it."""
_DIRECT_UNITS = (0, 255)
"""Units that a device answers as beside its own where it is alone at its address."""
_MINERS = ("antminer", "whatsminer")


class SimulatedSite:
    """Serves a site while it is entered: `async with SimulatedSite(site, script) as served`."""

    def __init__(self, site: Site, script: Script = QUIET_DAY, *, recorder: Recorder | None = None) -> None:
        self.site = site
        self.recorder = recorder or Recorder()
        self.timeline = Timeline(script.incidents, script.faults)
        self._script = script
        self._profiles = _profiles_of(site)
        link_powered = frozenset(name for name, profile in self._profiles.items() if profile.link_powered)
        self.plant = Plant(site, seed=script.seed, pace=script.pace, link_powered=link_powered)
        self._incidents: tuple[Incident, ...] = ()
        self._faults: Mapping[str, Fault] = {}
        self._state_files = {
            device.id: path
            for device in site.devices.values()
            if device.driver == "nvidia" and (path := state_path(device)) is not None
        }
        self.endpoints = self._endpoints()
        self._physics: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Serve every device and let time pass."""
        try:
            for endpoint in self.endpoints.values():
                await endpoint.open()
        except BaseException:
            await self._close()
            raise
        for path in self._state_files.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        await self.apply()
        self._physics = asyncio.create_task(self._pass_time(), name="simulated plant")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving."""
        del kind, error, trace
        if self._physics is not None:
            self._physics.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._physics
        await self._close()

    async def ended(self) -> None:
        """Wait for the plant's task, which ends only by an error; raise that."""
        if self._physics is not None:
            await asyncio.shield(self._physics)

    async def advance(self, dt_s: float) -> None:
        """Let `dt_s` of the plant's time pass at once, in steps that keep it stable."""
        steps = max(1, math.ceil(dt_s / _LONGEST_STEP_S))
        for _ in range(steps):
            self._look_at_timeline()
            self.plant.step(dt_s / steps)
        await self.apply()

    async def add(self, entry: Incident | PlannedFault) -> None:
        """Put an incident or a fault on the timeline; one that is due takes effect before this returns."""
        self.timeline.add(entry)
        await self.apply()

    async def fail(self, device: str, fault: Fault, *, duration_s: float = math.inf) -> None:
        """Make a device misbehave from now on."""
        await self.add(PlannedFault(fault=fault, target=device, start_s=self.plant.time_s, duration_s=duration_s))

    async def clear(self, target: str = "") -> None:
        """End the incidents and faults about `target`, or all of them."""
        self.timeline.clear(target)
        await self.apply()

    async def apply(self) -> None:
        """Bring servers and state files to what the timeline says now."""
        self._look_at_timeline()
        stopped = {name for name, fault in self._faults.items() if fault.kind is FaultKind.STOP}
        for address, endpoint in self.endpoints.items():
            should_listen = not stopped or stopped.isdisjoint(self._at[address])
            if should_listen and not endpoint.is_open:
                await endpoint.open()
            elif not should_listen and endpoint.is_open:
                await endpoint.close()
        for name, path in self._state_files.items():
            machine = self.plant.loads[name].machine
            if isinstance(machine, GpuNode):
                write_state(
                    path, machine, is_there=self.plant.answers(self.site.devices[name]), fault=self.fault_of(name)
                )

    def fault_of(self, device: str) -> Fault | None:
        """Give a device's fault now."""
        return self._faults.get(device)

    async def _pass_time(self) -> None:
        loop = asyncio.get_running_loop()
        last_s = loop.time()
        while True:
            await asyncio.sleep(self._script.step_s)
            now_s = loop.time()
            await self.advance(min(now_s - last_s, _LONGEST_GAP_S))
            last_s = now_s

    def _look_at_timeline(self) -> None:
        time_s = self.plant.time_s
        incidents = self.timeline.incidents_at(time_s)
        if incidents != self._incidents:
            self._incidents = incidents
            self.plant.effects = effects_of(incidents, self.site)
        self._faults = self.timeline.faults_at(time_s)

    def _endpoints(self) -> dict[tuple[str, int], Endpoint]:
        """Make one endpoint for each address, with all units behind it."""
        self._at: dict[tuple[str, int], list[str]] = {}
        endpoints: dict[tuple[str, int], Endpoint] = {}
        modbus: dict[tuple[str, int], list[Device]] = {}
        for device in self.site.devices.values():
            if device.driver == "modbus":
                address = _host_port(device, _MODBUS_PORT)
                modbus.setdefault(address, []).append(device)
                self._at.setdefault(address, []).append(device.id)
            elif device.driver in _MINERS:
                address = _host_port(device, _MINER_PORT)
                self._at[address] = [device.id]
                endpoints[address] = self._miner_endpoint(address, device)
        for address, devices in modbus.items():
            endpoints[address] = self._modbus_endpoint(address, devices)
        return endpoints

    def _miner_endpoint(self, address: tuple[str, int], device: Device) -> Endpoint:
        machine = self.plant.loads[device.id].machine
        if not isinstance(machine, Miner):
            raise TypeError(device.id)
        is_old = device.id in self._script.old_firmware
        served = MinerDevice(device, machine, self.plant, is_old=is_old, faults=self.fault_of)
        return Endpoint(*address, lambda: MinerConnection(served, self.recorder))

    def _modbus_endpoint(self, address: tuple[str, int], devices: list[Device]) -> Endpoint:
        units = dict(self._units(devices))
        is_gateway, name = len(devices) > 1, devices[0].id if len(devices) == 1 else f"{address[0]}:{address[1]}"
        return Endpoint(*address, lambda: ModbusConnection(units, self.recorder, is_gateway=is_gateway, address=name))

    def _units(self, devices: list[Device]) -> Iterator[tuple[int, tuple[ModbusDevice, int]]]:
        for device in devices:
            served = ModbusDevice(device, self._profiles[device.id], self.plant, faults=self.fault_of)
            if len(devices) == 1:
                yield from ((unit, (served, 0)) for unit in _DIRECT_UNITS)
            yield from ((unit, (served, unit - device.unit)) for unit in served.units)

    async def _close(self) -> None:
        for endpoint in self.endpoints.values():
            await endpoint.close()


def _profiles_of(site: Site) -> dict[str, Profile]:
    return {
        device.id: profiles.load(device.profile)
        for device in site.devices.values()
        if device.driver == "modbus" and device.profile is not None
    }


def _host_port(device: Device, default_port: int) -> tuple[str, int]:
    """Give where to serve a device. Raises SimulatorError for anything but loopback: what is simulated stays here."""
    host, _, port = device.address.rpartition("//")[2].partition(":")
    try:
        is_loopback = ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise SimulatorError(f"{device.id} is at {device.address}: only 127.0.0.0/8 is served; write 127.77.X.Y")
    return host, int(port or default_port)

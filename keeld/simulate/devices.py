"""Simulated devices as their servers see them: what each answers at this moment of the plant."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from keeld.model import Device
from keeld.profiles.model import Profile
from keeld.simulate import antminer, whatsminer
from keeld.simulate.faults import Fault
from keeld.simulate.machines import Miner
from keeld.simulate.plant import Plant
from keeld.simulate.quantities import Quantities, measure, of_metrics
from keeld.simulate.registers import Registers


class Served:
    """What all devices have in common: a place in the plant and perhaps a fault."""

    def __init__(self, device: Device, plant: Plant, faults: Callable[[str], Fault | None]) -> None:
        self.id = device.id
        self.device = device
        self._plant = plant
        self._faults = faults

    def answers(self) -> bool:
        """Whether its controller runs and the network reaches it."""
        return self._plant.answers(self.device)

    def is_reachable(self) -> bool:
        """Whether the network reaches it, dead or alive."""
        return self.id not in self._plant.effects.silent

    def fault(self) -> Fault | None:
        """How it misbehaves now."""
        return self._faults(self.id)


class ModbusDevice(Served):
    """A device with registers; they are written anew only when the plant has moved and somebody asks."""

    def __init__(
        self, device: Device, profile: Profile, plant: Plant, *, faults: Callable[[str], Fault | None]
    ) -> None:
        super().__init__(device, plant, faults)
        self._profile = profile
        self._last = measure(plant, device)
        self._registers = Registers(device, profile, self._last)
        self._version = plant.version

    @property
    def units(self) -> frozenset[int]:
        """Units that it answers as."""
        return frozenset(self.device.unit + offset for offset in self._registers.unit_offsets)

    def read(self, unit_offset: int, function: int, address: int, count: int) -> bytes:
        """Give the data of an answer; raise Refused."""
        if self._version != self._plant.version:
            self._version = self._plant.version
            self._last = self._measured()
            self._registers.update(self._last)
        return self._registers.read(unit_offset, function, address, count)

    def identification(self) -> Mapping[int, str]:
        """Give vendor, product and revision as function 43/14 tells them."""
        return {0: "keeld simulator", 1: self._profile.title[:60], 2: "1.0"}

    def _measured(self) -> Quantities:
        stuck = self._plant.effects.stuck.get(self.id)
        now = measure(self._plant, self.device)
        return now if stuck is None else now | of_metrics(self._last, stuck)


class MinerDevice(Served):
    """A miner; an answer is made once for each step of the plant, however many ask."""

    def __init__(
        self,
        device: Device,
        miner: Miner,
        plant: Plant,
        *,
        is_old: bool,
        faults: Callable[[str], Fault | None],
    ) -> None:
        super().__init__(device, plant, faults)
        self._miner = miner
        self._say = _firmware(device, is_old=is_old)
        self._made: dict[str, tuple[int, bytes]] = {}

    def answer(self, command: str) -> bytes:
        """Give the answer to a read command, without the NUL."""
        stuck = self.id in self._plant.effects.stuck
        version, made = self._made.get(command, (-1, b""))
        if version != self._plant.version and not (stuck and made):
            made = self._say(command, self._miner, name=self.id)
            self._made[command] = (self._plant.version, made)
        return made


def _firmware(device: Device, *, is_old: bool) -> Callable[..., bytes]:
    if device.driver == "whatsminer":
        return whatsminer.answer
    return antminer.old_answer if is_old else antminer.answer

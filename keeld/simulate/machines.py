"""The loads: a miner and a GPU node, from the watts at their cords to what they would say of themselves."""

from __future__ import annotations

import enum
import math
import random
from dataclasses import dataclass, field

from keeld.simulate.electrical import supply_input_watts, supply_output_watts

AMBIENT_CELSIUS = 27.0

_SLOWDOWN_INTAKE_CELSIUS = 40.0
_SHUTDOWN_INTAKE_CELSIUS = 47.0
"""An S21 slows down above 40 °C of intake air and stops above 47 °C."""
_IDLE_SHARE = 0.04
"""What a miner takes while no board hashes: controller, fans, its supply's own loss."""
_RUNNING_SHARE = 0.96
"""What a miner takes at its rated hashrate, of its nameplate."""

GPUS = 8
_GPU_IDLE_WATTS = 70.0
_GPU_SLOWDOWN_CELSIUS = 87.0
_GPU_RESPONSE_SECONDS = 6.0
_NODE_BASE_SHARE = 0.23
_GPU_SHARE = 0.55
"""Of a node's nameplate: processors, memory, network and fans; and the limits of its GPUs together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast machines come back after power does."""

    controller_boot_s: float = 8.0
    """A PDU's or meter's controller."""
    miner_boot_s: float = 30.0
    miner_ramp_s: float = 120.0
    training_period_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What one machine feels for one step."""

    live_psus: int
    intake_celsius: float
    coolant_celsius: float | None = None
    coolant_grip: float = 1.0
    """Share of a cold plate's heat that the flow takes."""


DEFAULT_PACE = Pace()


class MinerMode(enum.StrEnum):
    """What a miner is doing."""

    OFF = "off"
    BOOTING = "booting"
    RAMPING = "ramping"
    MINING = "mining"
    IDLE = "idle"


@dataclass(slots=True, kw_only=True)
class Miner:
    """A hashing machine on one cord; its heat all goes into the air unless its rack says otherwise."""

    nameplate_watts: float
    joules_per_terahash: float
    rng: random.Random
    pace: Pace
    pool_up: bool = True
    effort: float = 1.0
    """Hashing speed of its rated one, 0 to 1."""
    mode: MinerMode = MinerMode.MINING
    boot_left_s: float = 0.0
    wander: float = 0.0
    wall_watts: float = 0.0
    uptime_s: float = 0.0
    shares_accepted: float = 0.0
    board_celsius: float = 60.0
    intake_celsius: float = AMBIENT_CELSIUS
    power_factor: float = 0.99
    psus: int = 1

    def __post_init__(self) -> None:
        """Start in the middle of a long run, each miner with its own past."""
        self.uptime_s = self.rng.uniform(36e3, 2e6)
        self.shares_accepted = float(int(self.uptime_s / 12))

    @property
    def rated_hashrate(self) -> float:
        """Hashes a second on the label."""
        return self.nameplate_watts * _RUNNING_SHARE / self.joules_per_terahash * 1e12

    @property
    def hashrate(self) -> float:
        """Hashes a second now."""
        return self.rated_hashrate * self.effort * (1 + self.wander)

    @property
    def answers(self) -> bool:
        """Whether its controller runs."""
        return self.mode not in {MinerMode.OFF, MinerMode.BOOTING}

    def step(self, around: Surroundings, dt_s: float) -> None:
        """Run for `dt_s`."""
        self.intake_celsius = around.intake_celsius
        if around.live_psus == 0:
            self._lose_power()
            return
        if self.mode is MinerMode.OFF:
            self.mode = MinerMode.BOOTING
            self.boot_left_s = self.pace.miner_boot_s * self.rng.uniform(0.8, 1.2)
        self.wander += (self.rng.random() - 0.5) * 0.004 - self.wander * min(1.0, 0.2 * dt_s)
        self._work(around, dt_s)
        self.uptime_s += dt_s
        self.shares_accepted += self.effort * dt_s / 12
        self.wall_watts = self._wall_watts()
        target = around.intake_celsius + 33 * self.wall_watts / self.nameplate_watts
        self.board_celsius += (target - self.board_celsius) * min(1.0, dt_s / 40)

    def _lose_power(self) -> None:
        self.mode = MinerMode.OFF
        self.effort = self.wall_watts = self.uptime_s = self.shares_accepted = 0.0
        self.board_celsius += (AMBIENT_CELSIUS - self.board_celsius) * 0.01

    def _work(self, around: Surroundings, dt_s: float) -> None:
        if self.mode is MinerMode.BOOTING:
            self.boot_left_s -= dt_s
            if self.boot_left_s > 0:
                return
            self.mode = MinerMode.RAMPING
        ceiling = _effort_ceiling(around.intake_celsius) if self.pool_up else 0.0
        self.effort = min(ceiling, self.effort + dt_s / self.pace.miner_ramp_s)
        if ceiling == 0:
            self.mode = MinerMode.IDLE
        else:
            self.mode = MinerMode.MINING if self.effort >= ceiling else MinerMode.RAMPING

    def _wall_watts(self) -> float:
        running = self.nameplate_watts * (_RUNNING_SHARE - _IDLE_SHARE) * self.effort * (1 + self.wander)
        return self.nameplate_watts * _IDLE_SHARE + max(0.0, running)


def _effort_ceiling(intake_celsius: float) -> float:
    if intake_celsius >= _SHUTDOWN_INTAKE_CELSIUS:
        return 0.0
    over = max(0.0, intake_celsius - _SLOWDOWN_INTAKE_CELSIUS)
    return 1 - 0.5 * over / (_SHUTDOWN_INTAKE_CELSIUS - _SLOWDOWN_INTAKE_CELSIUS)


def _gpu_target_celsius(around: Surroundings, load: float) -> float:
    """Where a GPU's temperature goes at this load: above its air, or above its coolant by what the flow leaves."""
    if around.coolant_celsius is None:
        return around.intake_celsius + 42 * load
    return around.coolant_celsius + 25 * load / max(0.25, around.coolant_grip)


@dataclass(slots=True)
class Gpu:
    """One accelerator."""

    limit_watts: float
    power_watts: float = _GPU_IDLE_WATTS
    celsius: float = 40.0
    utilisation: float = 0.0
    throttle_power_s: float = 0.0
    throttle_thermal_s: float = 0.0
    throttle_brake_s: float = 0.0
    energy_joules: float = 0.0
    lost: bool = False


@dataclass(slots=True, kw_only=True)
class GpuNode:
    """Eight GPUs that train in step: the whole node swings between two loads."""

    nameplate_watts: float
    psus: int
    psus_needed: int
    rng: random.Random
    pace: Pace
    load_low: float = 0.5
    load_high: float = 1.0
    clock_s: float = 0.0
    wall_watts: float = 0.0
    power_factor: float = 0.98
    gpus: list[Gpu] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Fit the GPUs; their limits follow from the nameplate (700 W for a node of 10.2 kW)."""
        limit_watts = round(self.nameplate_watts * _GPU_SHARE / GPUS / 50) * 50.0
        self.gpus = [Gpu(limit_watts, celsius=self.rng.uniform(50, 56)) for _ in range(GPUS)]

    @property
    def answers(self) -> bool:
        """Whether any supply has power."""
        return self.wall_watts > 0

    @property
    def load(self) -> float:
        """What the training step asks of every GPU now: high for half a period, low for the other half."""
        second_half = self.clock_s % self.pace.training_period_s >= self.pace.training_period_s / 2
        return self.load_low if second_half else self.load_high

    def step(self, around: Surroundings, dt_s: float) -> None:
        """Run for `dt_s`."""
        self.clock_s += dt_s
        if around.live_psus == 0:
            self._lose_power()
            return
        base_watts = self.nameplate_watts * _NODE_BASE_SHARE
        rating_watts = self.nameplate_watts / self.psus_needed
        room_watts = self._room_watts(around.live_psus, rating_watts) - base_watts
        for gpu in self.gpus:
            self._run(gpu, around, room_watts / GPUS, dt_s)
        output_watts = base_watts + sum(gpu.power_watts for gpu in self.gpus)
        each_watts = output_watts / around.live_psus
        self.wall_watts = around.live_psus * supply_input_watts(each_watts, rating_watts)

    def _room_watts(self, live_psus: int, rating_watts: float) -> float:
        """Power that the live supplies can give: with too few of them the node brakes its GPUs."""
        if live_psus >= self.psus_needed:
            return math.inf
        return live_psus * supply_output_watts(rating_watts, rating_watts)

    def _run(self, gpu: Gpu, around: Surroundings, room_watts: float, dt_s: float) -> None:
        if gpu.lost:
            gpu.power_watts = gpu.utilisation = 0.0
            return
        wanted = _GPU_IDLE_WATTS + (gpu.limit_watts - _GPU_IDLE_WATTS) * self.load * self.rng.uniform(0.985, 1.0)
        power = min(wanted, max(_GPU_IDLE_WATTS, room_watts))
        if power < wanted:
            gpu.throttle_brake_s += dt_s
        if gpu.celsius >= _GPU_SLOWDOWN_CELSIUS:
            power *= 0.6
            gpu.throttle_thermal_s += dt_s
        if self.load >= 1:
            gpu.throttle_power_s += dt_s * 0.1
        gpu.power_watts = power
        gpu.utilisation = min(1.0, self.load)
        gpu.energy_joules += power * dt_s
        target = _gpu_target_celsius(around, power / gpu.limit_watts)
        gpu.celsius += (target - gpu.celsius) * min(1.0, dt_s / _GPU_RESPONSE_SECONDS)

    def _lose_power(self) -> None:
        self.wall_watts = 0.0
        for gpu in self.gpus:
            gpu.power_watts = gpu.utilisation = gpu.energy_joules = 0.0
            gpu.throttle_power_s = gpu.throttle_thermal_s = gpu.throttle_brake_s = 0.0

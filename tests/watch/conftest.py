"""A site in simulated time: devices answer what a test says, the watch is driven as the daemon drives it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from keeld.alerts.shipped import SHIPPED
from keeld.errors import Outage
from keeld.metrics import CURRENT, POWER
from keeld.model import Batch, Device, Moment, Notice, Rack, RackBudget, Reading, Site, Transition
from keeld.ticker import phase_ns
from keeld.trees import CoolingNode, PowerNode
from keeld.watch import RestoredAlarm, Watch, rulebook

SECOND = 1_000_000_000
WALL_0 = 1_760_000_000 * SECOND
MONO_0 = 5_000 * SECOND

Answer = tuple[Reading, ...] | Outage | None
Poll = Callable[[Device, float], Answer]


def moment(at_s: float) -> Moment:
    return Moment(WALL_0 + round(at_s * SECOND), MONO_0 + round(at_s * SECOND))


@dataclass
class Drive:
    """Feeds a watch from `poll` and keeps what came out."""

    site: Site
    rules: dict = field(default_factory=dict)
    restored: Sequence[RestoredAlarm] = ()
    start_s: float = 0.0

    def __post_init__(self) -> None:
        self.now_s = self.start_s
        self.watch = Watch(self.site, self.rules, now=moment(self.now_s), restored=self.restored)
        self.moves: list[tuple[float, Transition]] = []
        self.batches: list[tuple[float, Batch]] = []
        self._due = {
            device.id: self.now_s + phase_ns(device.id, int(device.interval_s * SECOND)) / SECOND
            for device in self.site.devices.values()
        }

    def run(self, span_s: float, poll: Poll) -> Drive:
        """Let time pass: polls at their phases, ticks when the watch asks for them."""
        end_s = self.now_s + span_s
        while True:
            device_id = min(self._due, key=self._due.__getitem__, default=None)
            poll_s = self._due[device_id] if device_id is not None else end_s + 1
            wake_s = max(self.now_s, (self.watch.next_wake() - MONO_0) / SECOND)
            at_s = min(poll_s, wake_s)
            if at_s > end_s:
                self.now_s = end_s
                return self
            self.now_s = at_s
            if wake_s <= poll_s:
                outcome = self.watch.tick(moment(at_s))
                self._note(outcome.transitions)
                self.batches += [(at_s, batch) for batch in outcome.batches]
                continue
            device = self.site.devices[device_id]
            self._due[device_id] += device.interval_s
            self.give(device, poll(device, at_s))

    def give(self, device: Device, answer: Answer, *, age_s: float = 0.0) -> None:
        """Feed one answer, `age_s` old."""
        if answer is None:
            return
        now, taken = moment(self.now_s), moment(self.now_s - age_s)
        if isinstance(answer, Outage):
            batch = Batch(device, taken.wall_ns, taken.mono_ns, outage=answer, interval_s=device.interval_s)
        else:
            batch = Batch(device, taken.wall_ns, taken.mono_ns, answer, interval_s=device.interval_s)
        self._note(self.watch.feed(batch, now))

    def _note(self, moves: Sequence[Transition]) -> None:
        self.moves += [(self.now_s, move) for move in moves]

    @property
    def notices(self) -> list[tuple[str, str, str]]:
        """What people were told: (notice, rule, target)."""
        return [(move.notice.value, move.rule, move.target_id) for _, move in self.moves if move.notice is not None]

    @property
    def pages(self) -> list[Transition]:
        """First notices only."""
        return [move for _, move in self.moves if move.notice is Notice.TRIGGER]

    def ends(self) -> list[str]:
        return [move.ended for _, move in self.moves if move.notice is Notice.RESOLVE]


def amps(watts: float, volts: float = 415.0) -> float:
    return watts / (volts * 3**0.5)


def pdu_answer(watts: float, *, volts: float = 415.0, share: Sequence[float] = (1.0, 1.0, 1.0)) -> tuple[Reading, ...]:
    line = amps(watts, volts)
    lines = (Reading(CURRENT, line * part, f"L{n}") for n, part in enumerate(share, start=1))
    return (Reading(POWER, watts), *lines)


def build_site(
    *,
    racks: int = 3,
    miners: int = 8,
    pdu_interval_s: float = 10.0,
    budget: RackBudget | None = None,
    nameplate_watts: float | None = 33_000.0,
    rack: Callable[[Rack], Rack] = lambda rack: rack,
) -> Site:
    power = {
        "utility": PowerNode(id="utility", limit_watts=12e6),
        "ups-a": PowerNode(id="ups-a", parent="utility", limit_volt_amperes=2e6),
        "ups-b": PowerNode(id="ups-b", parent="utility", limit_volt_amperes=2e6),
    }
    three_phase = {"voltage_volts": 415.0, "phases": 3}
    for side in "ab":
        power[f"panel-{side}"] = PowerNode(
            id=f"panel-{side}", parent=f"ups-{side}", breaker_amperes=800.0, **three_phase
        )
    power["c-row"] = PowerNode(id="c-row", parent="panel-a", breaker_amperes=800.0, **three_phase)
    found: dict[str, Rack] = {}
    devices: dict[str, Device] = {}
    for number in range(1, racks + 1):
        name = f"r{number:02d}"
        for side in "ab":
            node = f"{side}-{name}"
            power[node] = PowerNode(id=node, parent=f"panel-{side}", breaker_amperes=60.0, **three_phase)
            devices[f"pdu-{name}-{side}"] = Device(
                id=f"pdu-{name}-{side}",
                site="s",
                kind="pdu",
                driver="modbus",
                address=f"tcp://10.0.{number}.{ord(side)}:502",
                rack=name,
                feed=side,
                interval_s=pdu_interval_s,
            )
        devices[f"gpu-{name}"] = Device(
            id=f"gpu-{name}",
            site="s",
            kind="server",
            driver="agent",
            address="",
            rack=name,
            nameplate_watts=nameplate_watts,
        )
        found[name] = rack(
            Rack(
                id=name,
                label=f"{name.upper()} (hall 1)",
                row="a",
                state="ai",
                feeds={"a": f"a-{name}", "b": f"b-{name}"},
                redundancy="2N",
                budget=budget or RackBudget(power_watts=33_000.0),
                cooling_air="crah",
            )
        )
    if miners:
        found["r21"] = Rack(
            id="r21", row="c", state="mining", feeds={"a": "c-row"}, budget=RackBudget(power_watts=3_550.0 * miners)
        )
        for number in range(1, miners + 1):
            name = f"m-{number:02d}"
            devices[name] = Device(
                id=name,
                site="s",
                kind="miner",
                driver="whatsminer",
                address=f"10.1.3.{number}",
                rack="r21",
                feed="a",
                nameplate_watts=3500.0,
                via="sw-c1",
            )
    cooling = {"crah": CoolingNode(id="crah", kind="air", units_watts=(60e3,) * 4, redundancy="N+1")}
    return Site(name="s", power=power, racks=found, devices=devices, cooling=cooling, network={"sw-c1": "10.1.3.254"})


def steady(watts: float = 10_000.0, miner_watts: float = 3_300.0) -> Poll:
    """Every PDU carries `watts`, every miner draws its own."""

    def poll(device: Device, at_s: float) -> Answer:
        if device.kind == "pdu":
            return pdu_answer(watts)
        if device.kind == "miner":
            return (Reading(POWER, miner_watts),)
        return None

    return poll


@pytest.fixture
def kit() -> type:
    """Everything above, for test files that cannot import one another."""

    class Kit:
        drive = Drive
        site = staticmethod(build_site)
        steady = staticmethod(steady)
        pdu = staticmethod(pdu_answer)
        at = staticmethod(moment)

    return Kit


@pytest.fixture
def first_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the rules about draw, breakers, dead feeds and silence: what else a load means is tested by itself."""
    names = {
        "breaker_overload", "continuous_over", "feed_dead", "rack_density_power", "rack_density_air", "blind",
        "source_stale",
    }  # fmt: skip
    muted = {
        name: rule if name in names else dataclasses.replace(rule, enabled=False) for name, rule in SHIPPED.items()
    }
    monkeypatch.setattr(rulebook, "SHIPPED", muted)

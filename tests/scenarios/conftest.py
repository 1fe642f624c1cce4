"""A small world whose devices are polled into a recording: incidents are steps in it, the replay judges the lines.

The world knows what draws power on which feed and who can be reached; it knows nothing of rules. Its numbers wander by
half a percent, because a load that stands still is itself suspicious.
"""

from __future__ import annotations

import fnmatch
import functools
import math
import re
import shlex
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from keeld import config
from keeld.model import Device
from keeld.replay import Replay
from keeld.replay.forms import notice_kind, notification_form
from keeld.settings import Settings
from keeld.ticker import phase_ns

HERE = Path(__file__).parent
T0_S = 1_795_348_800.0  # 2026-11-22T12:00:00Z, a slot's beginning
SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def at_s(text: str) -> float:
    """Read `90s`, `10m`, `1h`, `1h30m`."""
    total, number = 0.0, ""
    for character in text:
        if character in SECONDS:
            total, number = total + float(number) * SECONDS[character], ""
        else:
            number += character
    return total


@functools.cache
def settings_of(site: str) -> Settings:
    return config.rehearse(HERE / "sites" / f"{site}.yaml")


def wander(name: str, at: float) -> float:
    """A factor around 1 that differs from poll to poll, the same in every run."""
    return 1.0 + ((zlib.crc32(f"{name} {at:.0f}".encode()) % 2001) / 1000.0 - 1.0) * 0.005


class World:
    """What is true at the site. Steps change it; `answer` says what a poll of a device then gives."""

    def __init__(self, settings: Settings) -> None:
        self.site = settings.site
        self.now_s = 0.0
        self.dead: set[str] = set()  # power nodes without voltage
        self.silent: dict[str, str] = {}  # device or `via` to the outage its polls end in
        self.link_powered: set[str] = set()
        self.unpowered_feeds: set[tuple[str, str]] = set()
        self.rack_watts = {rack.id: 20_000.0 for rack in self.site.racks.values() if rack.state != "mining"}
        self.swing: dict[str, tuple[float, float]] = {}  # rack: (lowest share, period)
        self.unbalance: dict[str, tuple[float, float, float]] = {}
        self.split: dict[str, dict[str, float]] = {}
        self.miner_watts: dict[str, float] = defaultdict(lambda: 3300.0)
        self.hashing: dict[str, float] = defaultdict(lambda: 1.0)
        self.idle: set[str] = set()  # miners without a pool: they draw little and hash nothing
        self.stuck: dict[str, Any] = {}
        self.extra: dict[str, Callable[[float], dict[str, float]]] = {}
        self.absent: set[str] = set()  # devices of which no line is written at all
        self.events: list[dict[str, Any]] = []
        self.intake_celsius: dict[str, float] = defaultdict(lambda: 24.0)
        self.flow = 150.0  # of the coolant, L/min
        self.clock_s = 0.0  # error of the wall clock
        self.down_until_s = 0.0
        self.shares: dict[str, float] = defaultdict(lambda: 1e5)

    # -- what steps may do --

    def do(self, words: Sequence[str]) -> None:
        """Do a step: a method's name and its arguments, numbers as numbers, `key=value` by name."""
        action, *rest = words
        named = dict(word.split("=", 1) for word in rest if _is_named(word))
        values = [_value(word) for word in rest if not _is_named(word)]
        getattr(self, action)(*values, **{name: _value(value) for name, value in named.items()})

    def lose(self, node: str) -> None:
        self.dead.add(node)

    def restore(self, node: str) -> None:
        self.dead.discard(node)

    def silence(self, *names: str, outage: str = "timeout") -> None:
        self.silent |= dict.fromkeys(self._matching(names), outage)

    def heal(self, *names: str) -> None:
        for name in self._matching(names):
            self.silent.pop(name, None)

    def load(self, pattern: str, watts: float) -> None:
        """Let a rack, or many, draw so much."""
        self.rack_watts |= {rack: watts for rack in self.rack_watts if _is_like(rack, pattern)}

    def miners(self, pattern: str, watts: float, hashing: float = 1.0) -> None:
        for name in self._matching([pattern]):
            self.miner_watts[name], self.hashing[name] = watts, hashing

    def lose_pool(self, pattern: str) -> None:
        self.idle.update(self._matching([pattern]))

    def find_pool(self, pattern: str) -> None:
        self.idle.difference_update(self._matching([pattern]))

    def say(self, event: str, **fields: Any) -> None:
        """Write an event line."""
        self.events.append({"time": T0_S + self.now_s + self.clock_s, "event": event, **fields})

    def kill(self, down_s: float = 0.0) -> None:
        """Kill keeld; nothing is polled while it is down."""
        self.say("restart", down=down_s)
        self.down_until_s = self.now_s + down_s

    def step_clock(self, seconds: float) -> None:
        self.say("clock_step", step_s=seconds)
        self.clock_s += seconds

    def show(self, device: str, **readings: float | Callable[[float], float]) -> None:
        """Let a device show these readings beside, or in place of, its own."""
        before = self.extra.get(device, lambda _: {})
        self.extra[device] = lambda at: (
            before(at) | {name: value(at) if callable(value) else value for name, value in readings.items()}
        )

    def link_power(self, *names: str) -> None:
        """PDUs that live off their network port."""
        self.link_powered.update(self._matching(names))

    def coolant(self, flow: float) -> None:
        self.flow = flow

    def intake(self, rack: str, celsius: float) -> None:
        self.intake_celsius[rack] = celsius

    def intakes(self, pattern: str, celsius: float) -> None:
        """Let the intakes of many racks be that warm."""
        for rack in self.site.racks:
            if _is_like(rack, pattern):
                self.intake_celsius[rack] = celsius

    def plain(self, device: str) -> None:
        """Let a device show its own readings alone again."""
        self.extra.pop(device, None)

    def is_there(self, device: Device) -> bool:
        """Whether lines of a device are written; a node that sends by itself does so once it is told what."""
        return device.id not in self.absent and (device.kind != "accelerator" or device.id in self.extra)

    def gpus(self, node: str, count: float = 8) -> None:
        """Let a node show so many healthy accelerators."""
        for number in range(int(count)):
            self.show(node, **{
                f"power_watts/gpu/{number}": lambda at, name=f"{node}{number}": 600.0 * wander(name, at),
                f"throttle_brake_seconds/gpu/{number}": 0.0,
                f"temperature_celsius/gpu/{number}": 61.0,
                f"up/gpu/{number}": 1.0,
            })  # fmt: skip
        self.show(node, accelerators_found=count)

    def brake(self, node: str) -> None:
        """Let the power brake hold all of a node's accelerators from now on."""
        began = self.now_s
        for number in range(8):
            self.show(node, **{f"throttle_brake_seconds/gpu/{number}": lambda at: at - began})

    def gone(self, node: str, left: float) -> None:
        """Let a node show fewer accelerators than before."""
        self.extra.pop(node, None)
        self.gpus(node, left)

    def release(self, node: str) -> None:
        for number in range(8):
            self.show(node, **{f"throttle_brake_seconds/gpu/{number}": 600.0})

    def swing_rack(self, rack: str, least: float, period_s: float) -> None:
        self.swing[rack] = least, period_s

    def tilt(self, device: str, *shares: float) -> None:
        """Load the lines of a meter unevenly."""
        self.unbalance[device] = tuple(shares)

    def lean(self, rack: str, **shares: float) -> None:
        """Split a rack's load over its feeds."""
        self.split[rack] = shares

    def stick(self, *names: str) -> None:
        """Let devices repeat their answer for ever."""
        self.stuck |= dict.fromkeys(self._matching(names))

    def free(self, *names: str) -> None:
        for name in self._matching(names):
            self.stuck.pop(name, None)

    def forget(self, *names: str) -> None:
        """Write no lines of devices."""
        self.absent.update(self._matching(names))

    def remember(self, *names: str) -> None:
        self.absent.difference_update(self._matching(names))

    def backfill(self, device: str, age_s: float, watts: float) -> None:
        """Write an old reading."""
        readings = self._circuit(watts, device)
        self.events.append({"time": T0_S + self.now_s - age_s, "device": device, "readings": readings})

    def _matching(self, names: Any) -> list[str]:
        known = [*self.site.devices, *self.site.network]
        return [name for pattern in names for name in known if name == pattern or _is_like(name, pattern)]

    # -- what polls give --

    def answer(self, device: Device) -> dict[str, Any]:
        outage = self.silent.get(device.id) or self.silent.get(device.via or "")
        if outage is None and not self._has_power(device):
            outage = "timeout" if device.kind == "pdu" else "unreachable"
        if outage is not None:
            return {"outage": outage}
        readings = self._readings(device)
        extra = self.extra.get(device.id)
        if extra is not None:
            readings |= extra(self.now_s)
        return {"readings": readings}

    def _has_power(self, device: Device) -> bool:
        if device.kind not in ("pdu", "miner") or device.id in self.link_powered:
            return True
        return self._feed_lives(device.rack, device.feed)

    def _feed_lives(self, rack: str | None, feed: str | None) -> bool:
        node = self.site.racks[rack].feeds[feed] if rack else None
        if (rack, feed) in self.unpowered_feeds:
            return False
        while node is not None:
            if node in self.dead:
                return False
            node = self.site.power[node].parent
        return True

    def _readings(self, device: Device) -> dict[str, float]:
        if device.kind == "pdu":
            return self._pdu(device)
        if device.kind == "miner":
            return self._miner(device)
        if device.kind in ("meter", "ups"):
            return self._circuit(self._node_watts(device.node), device.id)
        return self._plant(device)

    def _feed_watts(self, rack: str, feed: str) -> float:
        live = [letter for letter in self.site.racks[rack].feeds if self._feed_lives(rack, letter)]
        if feed not in live:
            return 0.0
        share = 1.0 / len(live)
        if len(live) > 1 and rack in self.split:
            share = self.split[rack][feed]
        return self._rack_watts(rack) * share

    def _rack_watts(self, rack: str) -> float:
        watts = self.rack_watts[rack]
        if rack in self.swing:
            least, period_s = self.swing[rack]
            watts *= 1.0 if (self.now_s % period_s) < period_s / 2 else least
        return watts

    def _pdu(self, device: Device) -> dict[str, float]:
        volts = 240.0 if self._feed_lives(device.rack, device.feed) else 0.0
        watts = self._feed_watts(device.rack, device.feed)
        return self._circuit(watts, device.id) | {f"voltage_volts/L{n}": volts for n in (1, 2, 3)}

    def _circuit(self, watts: float, name: str) -> dict[str, float]:
        watts *= wander(name, self.now_s)
        shares = self.unbalance.get(name, (1.0, 1.0, 1.0))
        line = watts / (415.0 * math.sqrt(3.0) * 0.99)
        readings = {f"current_amperes/L{n}": line * share for n, share in enumerate(shares, start=1)}
        return readings | {"power_watts": watts}

    def _node_watts(self, node: str | None) -> float:
        if node is None or node in self.dead:
            return 0.0
        watts = 0.0
        for rack in self.site.racks.values():
            for feed, at in rack.feeds.items():
                if at != node or not self._feed_lives(rack.id, feed):
                    continue
                if rack.state == "mining":
                    fed = (d for d in self.site.devices.values() if d.rack == rack.id and d.kind == "miner")
                    watts += sum(self._miner_watts(miner.id) for miner in fed)
                else:
                    watts += self._feed_watts(rack.id, feed)
        return watts + sum(self._node_watts(child.id) for child in self.site.power.values() if child.parent == node)

    def _miner_watts(self, name: str) -> float:
        return 60.0 if name in self.idle else self.miner_watts[name]

    def _miner(self, device: Device) -> dict[str, float]:
        name = device.id
        rate = 0.0 if name in self.idle else self.hashing[name] * 110e12
        self.shares[name] += 0.0 if rate == 0.0 else 3.0
        return {
            "power_watts": self._miner_watts(name) * wander(name, self.now_s),
            "hashrate_hashes_per_second": rate * wander(name + "h", self.now_s),
            "hashrate_nominal_hashes_per_second": 112e12,
            "boards_found": 3.0,
            "boards_expected": 3.0,
            "shares_accepted": self.shares[name],
            "pools_alive": 0.0 if name in self.idle else 2.0,
            "temperature_celsius/board/0": 62.0 * wander(name + "t", self.now_s),
        }

    def _plant(self, device: Device) -> dict[str, float]:
        """What a cooling unit or a probe shows while all is well."""
        drift = wander(device.id, self.now_s)
        if device.kind == "sensor":
            return {"temperature_celsius/intake": self.intake_celsius[device.rack or ""] * drift}
        if device.kind != "cooling":
            return {}
        if self.site.cooling[device.node or ""].kind == "air":
            return {
                "temperature_celsius/supply": 18.0 * drift,
                "temperature_celsius/return": 30.0 * drift,
                "unit_state": 1.0,
            }
        heat_watts = 0.75 * sum(self._rack_watts(rack) for rack in self.rack_watts)
        flow = self.flow * drift
        rise_kelvin = heat_watts / (max(flow, 1.0) / 60.0 * 1.02 * 3900.0)
        return {
            "flow_litres_per_minute": flow,
            "temperature_celsius/supply": 30.0 * drift,
            "temperature_celsius/return": 30.0 * drift + rise_kelvin,
            "pressure_pascals": 250_000.0 * drift,
            "pump_state/pump/1": 1.0,
            "pump_state/pump/2": 0.0,
            "leak_state": 0.0,
            "unit_state": 1.0,
        }

    def line(self, device: Device) -> bytes:
        if device.id in self.stuck:
            form = self.stuck[device.id] = self.stuck[device.id] or self.answer(device)
        else:
            form = self.answer(device)
        time_s = round(T0_S + self.now_s + self.clock_s, 3)
        return orjson.dumps({"time": time_s, "device": device.id, **form})


def _is_named(word: str) -> bool:
    return re.match(r"[a-z][\w/]*=", word) is not None


def _value(word: str) -> str | float:
    try:
        return float(word)
    except ValueError:
        return word


def _is_like(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern)


@dataclass(frozen=True)
class Incident:
    """Steps at times, how long to watch, and all that people must hear of it, in order: `kind severity rule target`.

    `says` are words that the notifications of a rule must hold, in title, text or cause.
    """

    name: str
    site: str
    lasts: str
    steps: Mapping[str, Any] = field(default_factory=dict)
    hears: Sequence[str] = ()
    says: Mapping[str, str] = field(default_factory=dict)
    complains: Sequence[str] = ()

    @property
    def acts(self) -> list[tuple[float, list[str]]]:
        """The steps in their order, as words."""
        told = [(at_s(time), line) for time, lines in self.steps.items() for line in _listed(lines)]
        return [(due_s, shlex.split(line)) for due_s, line in sorted(told, key=lambda step: step[0])]


def _listed(lines: Any) -> list[str]:
    return lines if isinstance(lines, list) else [lines]


def incidents() -> list[Incident]:
    """Every incident of every file beside this one."""
    documents = [yaml.safe_load(path.read_text()) for path in sorted(HERE.glob("*.yaml"))]
    return [Incident(**{"site": document["site"]} | entry) for document in documents for entry in document["incidents"]]


def polls(world: World, lasts_s: float) -> Iterator[tuple[float, Device]]:
    """Every poll of every device in the order of time, at the phases that the daemon polls at."""
    devices = list(world.site.devices.values())
    plan = []
    for device in devices:
        due_s = phase_ns(device.id, int(device.interval_s * 1e9)) / 1e9
        while due_s < lasts_s:
            plan.append((round(due_s, 3), device))
            due_s += device.interval_s
    return iter(sorted(plan, key=lambda poll: (poll[0], poll[1].id)))


class Played:
    """What came of an incident."""

    def __init__(self) -> None:
        self.moves: list[Any] = []
        self.complaints: list[tuple[int, str]] = []

    def heard(self) -> list[str]:
        forms = [notification_form(move) for move in self.moves if notice_kind(move)]
        return [f"{form['kind']} {form['severity']} {form['rule']} {form['target']}" for form in forms]

    def words(self, rule: str) -> str:
        told = [move for move in self.moves if move.notice is not None and move.rule == rule]
        return "\n".join(f"{move.title}\n{move.text}\n{move.cause}" for move in told)


def play(incident: Incident) -> Played:
    """Run an incident through the replay, line by line as bytes."""
    settings = settings_of(incident.site)
    world, played = World(settings), Played()
    replay = Replay(
        settings.site,
        settings.rules,
        tell=played.moves.extend,
        complain=lambda number, words: played.complaints.append((number, words)),
    )
    steps, number = incident.acts, 0
    for due_s, device in polls(world, at_s(incident.lasts)):
        while steps and steps[0][0] <= due_s:
            world.now_s, words = steps.pop(0)
            world.do(words)
            for event in world.events:
                number += 1
                replay.take(number, orjson.dumps(event))
            world.events.clear()
        world.now_s = due_s
        if world.is_there(device) and due_s >= world.down_until_s:
            number += 1
            replay.take(number, world.line(device))
    replay.finish()
    return played


@pytest.fixture
def stage() -> type:
    """The kit, for test files that cannot import one another."""

    class Kit:
        incidents = staticmethod(incidents)
        play = staticmethod(play)

    return Kit

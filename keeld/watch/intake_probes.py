"""The probes at racks' intakes and in rooms: which there are, what they read, and how fast it rises.

A miner's own idea of the air is no probe: it stands in its machine's heat.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from keeld.budgets.intake import Intake
from keeld.budgets.source import HELD, MINUTE_NS, Look, Source, Value
from keeld.budgets.warming import Warming
from keeld.metrics import TEMPERATURE

COLDEST_CELSIUS, HOTTEST_CELSIUS = -60.0, 150.0
"""Between these a probe that says nothing may read anything."""
_REJOIN_NS = 5 * MINUTE_NS
_NO_INTAKE = frozenset({"exhaust", "return", "supply", "outlet", "coolant", "water", "condenser", "chip", "board"})


class Probe:
    """One probe with its last minutes."""

    __slots__ = ("_is_lost", "muted_ns", "source", "warming")

    def __init__(self, source: Source) -> None:
        self.source = source
        self.warming = Warming()
        self.muted_ns = 0
        """Monotonic time until when its rate says nothing: it was away, and may have come back elsewhere."""
        self._is_lost = False

    def see(self, look: Look) -> float | None:
        """Note its last sample; give what it reads in this slot, None while it is silent."""
        source = self.source
        if source.rank_at(look.mono_ns) > HELD or source.value is None:
            self._is_lost = True
            self.warming.clear()
            return None
        if self._is_lost:
            self._is_lost = False
            self.muted_ns = look.mono_ns + _REJOIN_NS
        self.warming.add(source.value, source.mono_ns, source.interval_ns)
        return source.look(look, HOTTEST_CELSIUS).best

    def rate(self, look: Look) -> float | None:
        """Give how fast it warms, in K/min; None while too little is known."""
        return None if look.mono_ns < self.muted_ns else self.warming.kelvin_per_minute()


class Seen(NamedTuple):
    """What a set of probes read in a slot: those that are heard, and how many are not."""

    known: tuple[float, ...]
    missing: int
    fastest: tuple[float, ...]
    """Rates in K/min, fastest first; only those that could matter are worked out."""

    def hottest(self, place: int) -> Value | None:
        """Give the hottest reading (place 0), the next (1) and so on; None where there cannot be one."""
        if place >= len(self.known) + self.missing:
            return None
        ordered = sorted(self.known, reverse=True)
        lo = ordered[place] if place < len(ordered) else COLDEST_CELSIUS
        hi = ordered[place - self.missing] if place >= self.missing else HOTTEST_CELSIUS
        return Value(lo, lo if place < len(ordered) else None, hi, 0)


class ProbeSet:
    """Every probe of one place, found as the devices show them."""

    __slots__ = ("_intakes", "_is_wanted", "_probes", "_shown")

    def __init__(self, intakes: list[Intake], is_wanted: Callable[[str, str], bool]) -> None:
        self._intakes = intakes
        self._is_wanted = is_wanted
        self._probes: dict[tuple[str, str], Probe] = {}
        self._shown = -1
        for intake in intakes:
            if intake.device.kind == "accelerator":
                intake.source(TEMPERATURE, "intake")
            else:
                intake.learn(TEMPERATURE)

    @property
    def is_empty(self) -> bool:
        """Whether no device here could ever tell."""
        return not self._intakes

    def see(self, look: Look, *, slope_over: float) -> Seen:
        """Read every probe; rates are worked out where a probe has risen by `slope_over` K in its last minutes."""
        self._find()
        known, missing, rates = [], 0, []
        for probe in self._probes.values():
            value = probe.see(look)
            if value is None:
                missing += 1
                continue
            known.append(value)
            if probe.warming.change_kelvin > slope_over:
                rate = probe.rate(look)
                rates += [] if rate is None else [rate]
        return Seen(tuple(known), missing, tuple(sorted(rates, reverse=True)))

    @property
    def unheard(self) -> int:
        """How many devices have not told anything since keeld started."""
        return sum(intake.answered_ns is None for intake in self._intakes if intake.device.kind == "sensor")

    def _find(self) -> None:
        shown = sum(len(intake.sources) for intake in self._intakes)
        if shown == self._shown and self._probes:
            return
        for intake in self._intakes:
            for part, source in intake.parts_of(TEMPERATURE).items():
                key = (intake.device.id, part)
                if key not in self._probes and self._is_wanted(intake.device.kind, part):
                    self._probes[key] = Probe(source)
        self._shown = shown

    def keep(self, before: ProbeSet) -> None:
        """Take over probes whose sources are still the same."""
        self._find()
        for key in self._probes.keys() & before._probes.keys():
            if self._probes[key].source is before._probes[key].source:
                self._probes[key] = before._probes[key]


def is_intake(kind: str, part: str) -> bool:
    """Whether a part of a device in a rack tells what the rack breathes; a plain sensor stands at its front."""
    return part == "intake" or part.startswith("intake/") or (kind == "sensor" and not part)


def is_room(kind: str, part: str) -> bool:
    """Whether a part of a sensor tells of the room."""
    return kind == "sensor" and part.partition("/")[0] not in _NO_INTAKE

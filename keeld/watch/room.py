"""What feeds and nodes carry, what a loss would move onto them, and what their limits leave, all in W."""

from __future__ import annotations

from collections.abc import Iterator

from keeld.budgets.draw import load_draw
from keeld.budgets.headroom import (
    Capacity,
    apparent_capacity,
    current_capacity,
    measured_power_factor,
    watts_capacity,
)
from keeld.budgets.meters import Meter
from keeld.budgets.source import HELD, Look
from keeld.budgets.topology import Feed
from keeld.model import Interval, Quality
from keeld.watch.duty import Ground
from keeld.watch.nodes import NodeState
from keeld.watch.racks import RackState
from keeld.watch.rulebook import Windows

_TOLD = (Quality.GOOD, Quality.HELD)


class MeanLoads:
    """Loads as 5-minute means where they are measured, else the most that they may be."""

    def __init__(self, look: Look) -> None:
        self.look = look

    def rack(self, state: RackState) -> float:
        """Give the most that a rack draws."""
        hi = _most(state.power, state.draw.total)
        return hi if state.bound_watts is None else min(hi, max(state.draw.total.lo, state.bound_watts))

    def feed(self, state: RackState, letter: str) -> float:
        """Give the most that a feed carries."""
        return _most(state.feeds[letter], state.draw.feeds[letter])

    def node(self, state: NodeState) -> float:
        """Give the most that a node carries."""
        return _most(state.power, state.known_draw)

    def stretch(self, state: NodeState) -> float:
        """Give what this load is of the node's mean: line currents are taken in the same proportion."""
        del state
        return 1.0


class PeakLoads(MeanLoads):
    """Loads as the p99 of their last 24 hours; peaks of different loads are added as if they fell together."""

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._nodes: dict[str, float] = {}

    def rack(self, state: RackState) -> float:
        """Give the sum of the peaks of a rack's feeds."""
        return max(super().rack(state), sum(self.feed(state, letter) for letter in state.plan.feeds))

    def feed(self, state: RackState, letter: str) -> float:
        """Give a feed's peak, at least what it carries now."""
        mean = super().feed(state, letter)
        peak = self._feed_peak(state.plan.feeds[letter])
        return mean if peak is None else max(mean, min(peak, state.plan.feeds[letter].ceiling_watts))

    def _feed_peak(self, feed: Feed) -> float | None:
        peaks = [self._meter_peak(meter) for meter in feed.inlets]
        if peaks and all(peak is not None for peak in peaks):
            return sum(peak for peak in peaks if peak is not None)
        return next((peak for meter in feed.meters if (peak := self._meter_peak(meter)) is not None), None)

    def _meter_peak(self, meter: Meter) -> float | None:
        known = [source for source in meter.powers if source.value is not None and source.peaks is not None]
        if not known or len(known) != len(meter.powers):
            return None
        return sum(source.peaks.p99(self.look.mono_ns) for source in known if source.peaks is not None)

    def node(self, state: NodeState) -> float:
        """Give a node's peak: its meter's, else its mean."""
        name = state.plan.node.id
        if name not in self._nodes:
            mean = super().node(state)
            peaks = (self._meter_peak(meter) for meter in state.plan.meters)
            peak = next((found for found in peaks if found is not None), None)
            self._nodes[name] = mean if peak is None else max(mean, peak)
        return self._nodes[name]

    def stretch(self, state: NodeState) -> float:
        """Give the peak over the mean."""
        mean = super().node(state)
        return self.node(state) / mean if mean > 0.0 else 1.0


def _most(windows: Windows, live: Interval) -> float:
    mean = windows.mean() if live.quality in _TOLD else None
    return live.hi if mean is None else mean.hi


class Moves:
    """What the loss of a node or feed would move onto other nodes: the most, by cause and by who takes it over."""

    def __init__(self, ground: Ground, loads: MeanLoads) -> None:
        self._ground = ground
        self._loads = loads
        self._gains: dict[str, dict[str, float]] = {}
        """Who takes over, to what each cause moves there."""
        self._worst: dict[str, tuple[str, float]] = {}
        self.above: dict[str, dict[str, tuple[str, ...]]] = {}
        """Rack to the nodes above each of its feeds."""
        for name, rack in ground.racks.items():
            self.above[name] = {
                letter: tuple(ground.topology.ancestors(feed.node.id))
                for letter, feed in rack.plan.feeds.items()
                if feed.node is not None
            }

    def add(self, name: str) -> None:
        """Add what one rack's feeds would push onto its others. A rack without redundancy moves nothing for certain."""
        rack, feeds = self._ground.racks[name], self.above[name]
        if rack.plan.rack.redundancy == "N":
            return
        for cause in dict.fromkeys(node for nodes in feeds.values() for node in nodes):
            dead = frozenset(letter for letter, nodes in feeds.items() if cause in nodes)
            alive = [letter for letter in feeds if letter not in dead]
            if not alive:
                continue
            moved = sum(self._moving(rack, letter) for letter in dead) / len(alive)
            for letter in alive:
                for node in feeds[letter]:
                    gains = self._gains.setdefault(node, {})
                    gains[cause] = gains.get(cause, 0.0) + moved

    def _moving(self, rack: RackState, letter: str) -> float:
        """Give the most that moves when a feed dies: machines on it alone die with it."""
        carried = self._loads.feed(rack, letter)
        dying = sum(load_draw(load, self._loads.look)[0].lo for load in rack.plan.feeds[letter].loads)
        return max(0.0, carried - dying)

    def gain(self, cause: str, node: str) -> float:
        """Give what a loss moves onto a node."""
        return self._gains.get(node, {}).get(cause, 0.0)

    def worst(self, node: str) -> tuple[str, float]:
        """Give the loss that moves the most onto a node, and how much; no cause where nothing moves."""
        found = self._worst.get(node)
        if found is None:
            gains = self._gains.get(node, {})
            cause = max(gains, key=gains.__getitem__, default="")
            found = self._worst[node] = cause, gains.get(cause, 0.0)
        return found


class NodeRooms:
    """The limits of power nodes with what is used of them, each worked out once."""

    def __init__(self, ground: Ground, loads: MeanLoads) -> None:
        self._ground = ground
        self._loads = loads
        self._known: dict[str, tuple[Capacity, ...]] = {}

    def of(self, name: str) -> tuple[Capacity, ...]:
        """List a node's limits."""
        found = self._known.get(name)
        if found is None:
            found = self._known[name] = tuple(self._capacities(self._ground.nodes[name]))
        return found

    def _capacities(self, state: NodeState) -> Iterator[Capacity]:
        node, load = state.plan.node, self._loads.node(state)
        factor = _power_factor(state)
        limit = state.watts_limit
        if limit is not None:
            yield watts_capacity(node, limit.least_watts, load, limit.base)
        apparent = None if state.apparent is None else state.apparent.hi * self._loads.stretch(state)
        capacity = None if apparent is None else apparent_capacity(node, apparent, factor)
        if capacity is not None:
            yield capacity
        if state.rating_amperes is not None:
            current = self._current(state, state.rating_amperes, load, factor)
            if current is not None:
                yield current

    def _current(self, state: NodeState, rating: float, load: float, factor: float | None) -> Capacity | None:
        """Give the breaker's limit by its lines; where they are not known, as if they were balanced."""
        if state.lines and all(line is not None and line.rank <= HELD for line in state.lines.values()):
            means = [_line_most(state, phase) * self._loads.stretch(state) for phase in state.lines]
            return current_capacity(
                state.plan.node, rating_amperes=rating, hottest_amperes=max(means),
                mean_amperes=sum(means) / len(means), power_factor=factor, base=state.breaker_base,
            )  # fmt: skip
        volts = state.plan.node.voltage_volts
        if volts is None:
            return None
        capacity = current_capacity(
            state.plan.node, rating_amperes=rating, hottest_amperes=0.0, mean_amperes=0.0, power_factor=factor,
            base=f"{state.breaker_base}, if its lines are balanced",
        )  # fmt: skip
        return None if capacity is None else Capacity(
            capacity.constraint, capacity.limit_watts, capacity.share, load, 1.0, capacity.base
        )  # fmt: skip


def _line_most(state: NodeState, phase: str) -> float:
    line = state.lines[phase]
    if line is None:
        return 0.0
    windows = state.continuous.get(phase)
    mean = None if windows is None or line.rank > HELD else windows.mean()
    return line.hi if mean is None else mean.hi


def _power_factor(state: NodeState) -> float | None:
    """Give the power factor that is measured: from line currents, else from apparent power."""
    best = state.known_draw.best
    lines = [line.best for line in state.lines.values() if line is not None and line.best is not None]
    if lines and len(lines) == len(state.lines) and all(line is not None for line in state.lines.values()):
        found = measured_power_factor(state.plan.node, best, lines)
        if found is not None:
            return found
    apparent = state.apparent
    if apparent is None or not apparent.best or best is None or state.reactive.is_assumed:
        return None
    return min(1.0, best / apparent.best)

"""What feeds carried, kept over a restart: a feed that died while keeld was being started again is still told as dead.

A dead feed is proved by its load showing up on the rack's other feeds. Whoever has just started has not seen the load
before it moved; the notes have, a minute old at most while keeld ran.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

from keeld.alerts.board import Board
from keeld.budgets.meters import Meter
from keeld.budgets.source import HELD
from keeld.model import Moment
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.feeds import FeedState

_KEY = "carried"
_FRESH_NS = 600 * 1_000_000_000
"""What was carried longer ago than ten minutes proves nothing of what is carried now."""


class FeedNotes(Duty):
    """The load of every feed and of its siblings, as they were when both were last heard."""

    name: ClassVar[str] = "feeds"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self._now: Moment | None = None

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Remember when it is."""
        del board
        self._now = slot.now
        return iter(())

    def memory(self) -> Mapping[str, bytes]:
        """Give what each feed and its siblings carry, or carried before it fell silent."""
        if self._now is None:
            return {}
        carried = {
            f"{rack}/{letter}": pair
            for (rack, letter), state in self.ground.feeds.states.items()
            if (pair := _carried(state, self._now.mono_ns)) is not None
        }
        return {_KEY: json.dumps({"wall_ns": self._now.wall_ns, "carried": carried}).encode()}

    def recall(self, memory: Mapping[str, bytes], now: Moment) -> None:
        """Hand each feed what it carried, unless that is too long ago."""
        note = _read(memory.get(_KEY, b""))
        age_ns = now.wall_ns - note[0]
        if not 0 <= age_ns <= _FRESH_NS:
            return
        for (rack, letter), state in self.ground.feeds.states.items():
            state.noted = note[1].get(f"{rack}/{letter}")


def _carried(state: FeedState, mono_ns: int) -> tuple[float, float] | None:
    if state.since_ns is not None:
        known = state.load_watts, state.base_watts
    else:
        known = _watts(state.feed.inlets, mono_ns), _watts(state.siblings, mono_ns)
    load, base = known
    return None if load is None or base is None else (round(load, 1), round(base, 1))


def _watts(meters: Iterable[Meter], mono_ns: int) -> float | None:
    """Sum what meters tell; None unless all of them live."""
    powers = [power for meter in meters for power in meter.powers]
    known = [power.value for power in powers if power.value is not None and power.rank_at(mono_ns) <= HELD]
    return sum(known) if known and len(known) == len(powers) else None


def _read(note: bytes) -> tuple[int, dict[str, tuple[float, float]]]:
    """Read a note; one that cannot be read is from before all time."""
    try:
        form = json.loads(note)
        pairs = {name: (float(load), float(base)) for name, (load, base) in form["carried"].items()}
        when_ns = int(form["wall_ns"])
    except (ValueError, TypeError, KeyError, AttributeError):
        return -_FRESH_NS, {}
    return when_ns, {name: pair for name, pair in pairs.items() if all(map(math.isfinite, pair))}

"""What the watch looks after beside draws and breakers: one duty for each field, one file for each duty.

A duty is built anew with every configuration and takes over its past from the one before. It sees the batches of the
devices that it names as they arrive, and the whole site at the end of every slot; it raises alarms on the board, adds
readings to keeld's own batches, and may keep small notes over a restart. Nothing here waits or reads a clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from keeld.alerts.board import Board
from keeld.budgets.intake import Intake
from keeld.budgets.source import Look
from keeld.budgets.topology import Topology
from keeld.model import Batch, Moment, Reading
from keeld.watch.cooling import CoolingState
from keeld.watch.failover import Failover
from keeld.watch.feeds import FeedWatch
from keeld.watch.nodes import NodeState
from keeld.watch.orders import Orders
from keeld.watch.racks import RackState
from keeld.watch.rulebook import Rulebook
from keeld.watch.silence import Silence

if TYPE_CHECKING:
    from typing import Self

    from keeld.watch.subjects import Subject


class Slot(NamedTuple):
    """The slot that has just ended. `missed` counts those before it that keeld slept through."""

    look: Look
    now: Moment
    missed: int


@dataclass(frozen=True, slots=True)
class Ground:
    """What a duty stands on: the configuration being watched, and the state of everything in it."""

    topology: Topology
    rules: Rulebook
    racks: Mapping[str, RackState]
    nodes: Mapping[str, NodeState]
    cooling: Mapping[str, CoolingState]
    feeds: FeedWatch
    silence: Silence
    failover: Failover
    orders: Orders


class Duty:
    """One field of the watch. What a duty does not override does nothing."""

    name: ClassVar[str]
    """Stable: its notes are kept under it."""
    speaks_of: ClassVar[frozenset[str]] = frozenset({"rack", "power_node", "cooling_node", "site"})
    """Kinds of targets to whose batches `readings` may add."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground

    def subjects(self) -> Iterable[Subject]:
        """List every rule that it runs, with each target: what is not listed is withdrawn at a restart or reload."""
        return ()

    def devices(self) -> Iterable[str]:
        """Name the devices whose batches `arrive` must see."""
        return ()

    def arrive(self, intake: Intake, batch: Batch, board: Board, now: Moment) -> None:
        """Judge what must not wait for the end of the slot; on the hot path."""

    def due_ns(self) -> int | None:
        """Monotonic time at which `judge_due` has something to do; None while nothing runs."""
        return None

    def judge_due(self, board: Board, now: Moment) -> None:
        """Judge what has become due between two batches."""

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Judge the slot that has ended, a small step at a time; yields what each step cost, in about 5 us."""
        del slot, board
        return iter(())

    def readings(self, kind: str, name: str) -> Iterable[Reading]:
        """Give what it adds to the batch of a rack, power_node, cooling_node or site."""
        del kind, name
        return ()

    def findings(self) -> Iterable[str]:
        """Say what cannot be judged as configured, as sentences: facts, never alarms."""
        return ()

    def keep(self, before: Self) -> None:
        """Take over the past of what is still there after a reload."""

    def memory(self) -> Mapping[str, bytes]:
        """Give what must survive a restart: small notes, each under a key of its own."""
        return {}

    def recall(self, memory: Mapping[str, bytes], now: Moment) -> None:
        """Take the notes of before the restart; what cannot be read or no longer fits is left out."""

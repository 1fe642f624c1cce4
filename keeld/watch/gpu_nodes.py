"""One device with accelerators: which of them are usable, what errors they had, and which are held back."""

from __future__ import annotations

from collections.abc import Mapping

from keeld.alerts.alarm import Target
from keeld.budgets.intake import Intake
from keeld.budgets.source import GOOD_INTERVALS, SECOND_NS
from keeld.metrics import ACCELERATORS_FOUND, RECOVERY_ACTION, THROTTLE_BRAKE, THROTTLE_THERMAL, UP, XID, Metric
from keeld.model import Batch, Moment
from keeld.watch import xids

_WANTED: frozenset[Metric] = frozenset({UP, ACCELERATORS_FOUND, XID, RECOVERY_ACTION, THROTTLE_BRAKE, THROTTLE_THERMAL})
_HOT_SHARE = 0.1
"""Share of the time slowed by heat from which it counts; less is how a busy GPU keeps its temperature."""
_STILL_NS = 60 * SECOND_NS
"""A counter that has not moved for this long stands still."""
MOST_GPUS = 64


class Node:
    """One device with accelerators."""

    __slots__ = (
        "asked",
        "brake_ns",
        "brake_s",
        "cause",
        "expected",
        "heat_ns",
        "heat_s",
        "intake",
        "known_ns",
        "learnt",
        "missing",
        "places",
        "seen",
        "seen_ns",
        "set_name",
        "states",
        "target",
    )

    def __init__(self, intake: Intake, set_name: str, places: frozenset[str]) -> None:
        device = intake.device
        self.intake = intake
        self.set_name = set_name
        self.places = places
        """What it stands in and hangs on, as scopes of alarms that may explain its state."""
        rack = frozenset({f"rack:{device.rack}"}) if device.rack else frozenset()
        self.target = Target("device", device.id, device.label or device.id, frozenset({f"device:{device.id}"}) | rack)
        self.expected = device.gpus
        self.learnt = 0
        self.states: dict[str, bool] = {}
        """GPU to whether it is usable, as last told of each."""
        self.missing: tuple[str, ...] | None = None
        """Parts that are not usable now, and how many are not listed at all; None before the first answer."""
        self.seen: dict[int, tuple[int, str]] = dict.fromkeys((*xids.NAMED, 0), (0, "a GPU"))
        """Error number to the monotonic time of the last one, and the GPU that it was on; at first every number, as an
        alarm of before a restart may be about any."""
        self.asked: dict[str, int] = {}
        """GPU to what the driver asks for."""
        self.seen_ns: int | None = None
        self.known_ns: int | None = None
        """Monotonic time of the last poll that could be compared with the one before."""
        self.brake_s: dict[str, float] = {}
        self.heat_s: dict[str, float] = {}
        self.brake_ns: dict[str, int] = {}
        self.heat_ns: dict[str, int] = {}
        self.cause = ""

    @property
    def normal(self) -> int:
        """How many GPUs it should have; 0 while nobody knows."""
        return self.expected or self.learnt

    def take(self, batch: Batch, mono_ns: int) -> list[tuple[str, int]]:
        """Take what a poll says; give the errors in it."""
        found: list[tuple[str, int]] = []
        states: dict[str, bool] = {}
        listed: int | None = None
        for reading in batch.readings:
            metric, value, part = reading
            if metric not in _WANTED:
                continue
            if metric is UP:
                states[part] = value > 0.0
            elif metric is ACCELERATORS_FOUND:
                listed = int(value) if not part and 0.0 <= value <= MOST_GPUS else None
            elif metric is XID:
                found += [(part, int(value))] if value > 0.0 else []  # 0 is how exporters write that there was none
            elif metric is RECOVERY_ACTION:
                self._note_asked(part, int(value))
            else:
                self._note_held_back(metric, part, value, mono_ns)
        if states or listed is not None:
            self._count_gpus(states, listed)
        if self.brake_s or self.heat_s:
            self.known_ns = self.seen_ns
        self.seen_ns = mono_ns
        return found

    def _note_asked(self, part: str, action: int) -> None:
        if part in self.asked or len(self.asked) < MOST_GPUS:
            self.asked[part] = action

    def _note_held_back(self, metric: Metric, part: str, seconds: float, mono_ns: int) -> None:
        """Take how long a GPU has been held back so far, by the power brake or by heat."""
        if metric is THROTTLE_BRAKE:
            self._count(self.brake_s, self.brake_ns, part, seconds, mono_ns, share=0.0)
        else:
            self._count(self.heat_s, self.heat_ns, part, seconds, mono_ns, share=_HOT_SHARE)

    def _count(
        self, before: dict[str, float], moved: dict[str, int], part: str, value: float, mono_ns: int, *, share: float
    ) -> None:
        last = before.get(part)
        if last is None and len(before) >= MOST_GPUS:
            return
        before[part] = value
        elapsed_s = (mono_ns - (self.seen_ns or mono_ns)) / SECOND_NS
        if last is not None and value - last > share * elapsed_s:
            moved[part] = mono_ns

    def _count_gpus(self, states: Mapping[str, bool], listed: int | None) -> None:
        """Count what is usable by the state of each, and by how many the driver lists; the lower count holds."""
        if states:
            self.states = dict(states)
        counts = [sum(self.states.values())] if self.states else []
        usable = min(counts if listed is None else [*counts, listed])
        self.learnt = max(self.learnt, usable)
        gone = tuple(sorted(part for part, is_up in self.states.items() if not is_up))
        unlisted = max(0, self.normal - usable - len(gone))
        self.missing = gone + ("not listed by the driver",) * unlisted if usable < self.normal else ()

    def lose_all(self) -> None:
        """Note that the driver lists no usable GPU any more."""
        if self.normal:
            self.missing = tuple(f"gpu/{rank}" for rank in range(self.normal))

    def moving(self, moved: Mapping[str, int], mono_ns: int) -> list[str]:
        """List the GPUs whose counter has moved lately."""
        span_ns = max(_STILL_NS, int(GOOD_INTERVALS * self.intake.device.interval_s * SECOND_NS))
        return sorted(part for part, at_ns in moved.items() if mono_ns - at_ns <= span_ns)

    def is_fresh(self, now: Moment) -> bool:
        """Whether two polls could be compared, and the last is not old."""
        if self.seen_ns is None or self.known_ns is None:
            return False
        return now.mono_ns - self.seen_ns <= max(_STILL_NS, int(6 * self.intake.device.interval_s * SECOND_NS))

    def keep(self, before: Node) -> None:
        """Take over the past of the same node."""
        for name in ("learnt", "states", "missing", "seen", "asked", "seen_ns", "known_ns", "cause"):
            setattr(self, name, getattr(before, name))
        for name in ("brake_s", "heat_s", "brake_ns", "heat_ns"):
            setattr(self, name, getattr(before, name))

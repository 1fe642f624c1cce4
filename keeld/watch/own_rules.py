"""The operator's own rules: a quantity of devices against one limit, for each device at its worst part."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from keeld.alerts.alarm import Evidence, Target
from keeld.alerts.board import Board
from keeld.alerts.machine import Span
from keeld.alerts.rules import PLANT, Rule
from keeld.alerts.selector import Selector, is_like
from keeld.budgets.intake import Intake
from keeld.budgets.source import HELD
from keeld.budgets.window import SLOT_S
from keeld.model import OwnRule
from keeld.text import clean
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.naming import device_target
from keeld.watch.racks import SLOT_CAP_S
from keeld.watch.subjects import Subject

_FULL_RATIO = 0.8
"""Share of a window's slots that must have a value."""
_UNITS = {
    "celsius": "°C", "watts": "W", "amperes": "A", "volts": "V", "hertz": "Hz", "pascals": "Pa", "rpm": "rpm",
    "minute": "L/min", "second": "H/s", "seconds": "s",
}  # fmt: skip


@dataclass(slots=True)
class _Series:
    """One rule at one device: the last slots of each part, where the rule has a window."""

    intake: Intake
    target: Target
    slots: dict[str, deque[float | None]] = field(default_factory=dict)


class OwnRules(Duty):
    """Judges the rules of the configuration that have a metric."""

    name = "own_rules"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self._series: dict[str, list[_Series]] = {}
        for name, rule in ground.rules.own.items():
            if rule.enabled:
                self._series[name] = list(self._select(name))

    def _own(self, name: str) -> OwnRule:
        own = self.ground.rules.settings[name].own
        if own is None:
            raise KeyError(name)
        return own

    def _select(self, name: str) -> Iterator[_Series]:
        """Find the devices that a rule means, and have its quantity kept."""
        rules = self.ground.rules
        selector = Selector(rules.settings[name].select)
        for intake in self.ground.topology.intakes.values():
            target = device_target(intake)
            if selector.matches(name, rules.tags_of(target)):
                intake.learn(self._own(name).metric)
                yield _Series(intake, target)

    def subjects(self) -> Iterable[Subject]:
        """List every rule with each device that it means."""
        for name, found in self._series.items():
            rule = self.ground.rules.rule(name)
            for series in found:
                yield Subject(rule, rule.levels[PLANT], series.target)

    def findings(self) -> Iterable[str]:
        """Name rules whose quantity no device shows."""
        for name, found in self._series.items():
            metric = self._own(name).metric
            if not found:
                yield f"rule {name} is idle: no device is meant by its selector"
            elif any(series.intake.answered_ns is not None for series in found) and not any(
                series.intake.parts_of(metric) for series in found
            ):
                yield f"rule {name} is idle: none of its {len(found)} devices shows {metric.name}"

    def keep(self, before: OwnRules) -> None:
        """Take over the windows of rules that did not change."""
        for name in self._series.keys() & before._series.keys():
            if self.ground.rules.settings[name] != before.ground.rules.settings[name]:
                continue
            past = {series.target.id: series.slots for series in before._series[name]}
            for series in self._series[name]:
                series.slots = past.get(series.target.id, {})

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Judge every rule at every device that it means."""
        for name, found in self._series.items():
            rule, own = self.ground.rules.rule(name), self._own(name)
            for series in found:
                self._judge(rule, own, series, slot, board)
                yield 2

    def _judge(self, rule: Rule, own: OwnRule, series: _Series, slot: Slot, board: Board) -> None:
        levels = rule.levels[PLANT]
        values = {part: self._value(part, value, rule, series) for part, value in _read(own, series, slot).items()}
        worst = _worst(values, own)
        is_over = worst is not None and rule.is_exceeded(worst[1], worst[1], own.limit)
        if not is_over and board.find(rule, series.target) is None:
            return
        unit = _UNITS.get(own.metric.name.rpartition("_")[2], "")
        evidence = Evidence(spans=(None,) * len(levels), limit=own.limit, unit=unit, is_known=False)
        if worst is not None:
            part, value = worst
            evidence = Evidence(
                spans=(Span(value, value),) * len(levels),
                lo=value,
                best=value,
                hi=value,
                limit=own.limit,
                unit=unit,
                what=clean(f"{own.metric.name} {part}".strip()),
                detail=f"A rule of this site: {rule.name}.",
            )
        board.judge(rule, levels, series.target, evidence, now=slot.now, cap_s=SLOT_CAP_S)

    def _value(self, part: str, value: float | None, rule: Rule, series: _Series) -> float | None:
        """Give a part's value, or its mean where the rule has a window; None where too little is known."""
        window_s = rule.levels[PLANT][0].window_s
        if not window_s:
            return value
        length = max(1, round(window_s / SLOT_S))
        slots = series.slots.setdefault(part, deque(maxlen=length))
        slots.append(value)
        known = [each for each in slots if each is not None]
        return sum(known) / len(known) if len(known) >= _FULL_RATIO * length else None


def _read(own: OwnRule, series: _Series, slot: Slot) -> dict[str, float | None]:
    """Give the live value of every part that the rule means; None for one that fell silent."""
    parts = series.intake.parts_of(own.metric)
    return {
        part: source.value if source.rank_at(slot.look.mono_ns) <= HELD else None
        for part, source in parts.items()
        if is_like(part, own.part)
    }


def _worst(values: dict[str, float | None], own: OwnRule) -> tuple[str, float] | None:
    """Give the part with the worst value; none where a silent part could be worse than all that are known."""
    known = {part: value for part, value in values.items() if value is not None}
    if not known:
        return None
    worst = min(known, key=known.__getitem__) if own.is_floor else max(known, key=known.__getitem__)
    is_over = known[worst] < own.limit if own.is_floor else known[worst] > own.limit
    return (worst, known[worst]) if is_over or len(known) == len(values) else None

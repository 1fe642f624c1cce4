"""The rules as this site runs them: shipped, tuned by the configuration, chosen per rack by its state."""

from __future__ import annotations

from collections.abc import Mapping

from keeld.alerts.alarm import Target
from keeld.alerts.machine import Span
from keeld.alerts.rules import SET_OF_STATE, Level, Rule, tuned
from keeld.alerts.shipped import SHIPPED
from keeld.alerts.shipped.cooling import LEAK_SENSOR
from keeld.alerts.shipped.silence import PATH_DOWN, SITE_BLIND
from keeld.budgets.window import Mean, Window, slots_of
from keeld.model import Rack, RuleSettings

NOT_OVER = Span(0.0, 0.0)
"""For a level whose other condition does not hold: certainly not exceeded."""


class Rulebook:
    """Shipped rules with the operator's changes."""

    def __init__(self, settings: Mapping[str, RuleSettings]) -> None:
        self._rules = {name: tuned(rule, settings.get(name)) for name, rule in SHIPPED.items()}
        self.site_blind = tuned(SITE_BLIND, settings.get(SITE_BLIND.name))
        self.path_down = tuned(PATH_DOWN, settings.get(PATH_DOWN.name))
        self.leak_sensor = tuned(LEAK_SENSOR, settings.get(LEAK_SENSOR.name))

    def rule(self, name: str) -> Rule:
        """Give a rule by name."""
        return self._rules[name]

    def levels(self, name: str, set_name: str, target: Target | None = None) -> tuple[Level, ...]:
        """Give a rule's levels in a set, at a target; none where it is switched off or does not belong to the set."""
        del target
        return self.levels_of(self._rules[name], set_name)

    def levels_of(self, rule: Rule, set_name: str) -> tuple[Level, ...]:
        """Give the levels of a variant of a rule in a set."""
        return rule.levels.get(set_name, ()) if rule.enabled else ()

    def all_levels(self, name: str, set_name: str) -> tuple[Level, ...]:
        """Give a rule's levels whether it is switched on or not: what its window is, for showing."""
        return self._rules[name].levels.get(set_name, ())


def set_of(rack: Rack) -> str:
    """Give the rule set that a rack lives under."""
    return SET_OF_STATE[rack.state]


class Windows:
    """One quantity averaged over every span that its rule's levels ask for."""

    __slots__ = ("_windows", "shortest_s")

    def __init__(self, levels: tuple[Level, ...], *, default_s: float = 300.0) -> None:
        spans = {level.window_s for level in levels if level.window_s} or {default_s}
        self._windows = {window_s: Window(slots_of(window_s)) for window_s in spans}
        self.shortest_s = min(spans)

    def push(self, lo: float, best: float | None, hi: float) -> None:
        """Close a slot in each of them."""
        for window in self._windows.values():
            window.push(lo, best, hi)

    def mean(self, window_s: float = 0.0) -> Mean | None:
        """Give the mean over a span; the shortest one by default."""
        return self._windows[window_s or self.shortest_s].mean()

    @property
    def span_words(self) -> str:
        """Name the shortest span: `5-min`."""
        span_s = self.shortest_s
        return f"{span_s / 60:g}-min" if span_s >= 60 else f"{span_s:g}-s"  # noqa: PLR2004 - a minute

    @property
    def seen_s(self) -> float:
        """How much of the shortest span keeld has lived through."""
        mean = self.mean()
        return 0.0 if mean is None else mean.fill * self.shortest_s

    def span(self, level: Level, limit: float) -> Span | None:
        """Give a level's value as a ratio of its limit; None before the first slot."""
        mean = self.mean(level.window_s)
        return None if mean is None else Span(mean.lo / limit, mean.hi / limit)

    def keep(self, before: Windows) -> None:
        """Take over the past of windows of the same length."""
        for window_s in self._windows.keys() & before._windows.keys():
            self._windows[window_s] = before._windows[window_s]

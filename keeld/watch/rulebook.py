"""The rules as this site runs them: shipped, tuned by the configuration, chosen per rack by its state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from types import MappingProxyType

from keeld.alerts.alarm import Target
from keeld.alerts.machine import Span
from keeld.alerts.rules import PLANT, SET_OF_STATE, Level, Rule, tuned
from keeld.alerts.selector import Selector
from keeld.alerts.shipped import SHIPPED
from keeld.alerts.shipped.cooling import LEAK_SENSOR
from keeld.alerts.shipped.quality import ALARM_FLOOD, WORK_OVERRUN
from keeld.alerts.shipped.silence import PATH_DOWN, SITE_BLIND
from keeld.budgets.window import Mean, Window, slots_of
from keeld.model import OwnRule, Rack, RuleSettings, Severity

_NOTHING_COUNTED: Mapping[float, Mean] = MappingProxyType({})
NOT_OVER = Span(0.0, 0.0)
"""For a level whose other condition does not hold: certainly not exceeded."""


class Rulebook:
    """Shipped rules with the operator's changes, everywhere or at the targets that he selected, and rules of his own.

    `tags_of` gives the words by which a selector knows a target: whoever knows the site sets it before judging begins.
    """

    def __init__(self, settings: Mapping[str, RuleSettings]) -> None:
        self.tags_of: Callable[[Target], frozenset[str]] = lambda target: target.tags
        everywhere = {name: each for name, each in settings.items() if each.own is None and not each.select}
        self._shipped: dict[int, Rule] = {}
        self._rules = {name: self._tuned(rule, everywhere) for name, rule in SHIPPED.items()}
        self.site_blind = self._tuned(SITE_BLIND, everywhere)
        self.path_down = self._tuned(PATH_DOWN, everywhere)
        self.leak_sensor = self._tuned(LEAK_SENSOR, everywhere)
        self.alarm_flood = self._tuned(ALARM_FLOOD, everywhere)
        self.work_overrun = self._tuned(WORK_OVERRUN, everywhere)
        self.own = {name: _own_rule(name, each, each.own) for name, each in settings.items() if each.own is not None}
        """Rules of the operator's, by name."""
        self.settings = settings
        self._everywhere = everywhere
        self._somewhere: dict[str, list[tuple[Selector, RuleSettings]]] = {}
        for name, each in settings.items():
            if each.own is None and each.select:
                self._somewhere.setdefault(each.of or name, []).append((Selector(each.select), each))
        self._variants: dict[tuple[int, str, str], Rule] = {}

    def _tuned(self, rule: Rule, settings: Mapping[str, RuleSettings]) -> Rule:
        made = replace(tuned(rule, settings.get(rule.name)))
        self._shipped[id(made)] = rule
        return made

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the rules that ship."""
        return tuple(self._rules)

    def rule(self, name: str) -> Rule:
        """Give a rule by name."""
        return self._rules[name] if name in self._rules else self.own[name]

    def at(self, rule: Rule, target: Target | None) -> Rule:
        """Give a rule as it holds at a target, by what was changed there."""
        if target is None or rule.name not in self._somewhere or id(rule) not in self._shipped:
            return rule
        key = (id(rule), target.kind, target.id)
        found = self._variants.get(key)
        if found is None:
            found = self._variants[key] = self._vary(rule, self.tags_of(target))
        return found

    def _vary(self, rule: Rule, tags: frozenset[str]) -> Rule:
        """Apply every change that selects a target, the last one written winning."""
        chosen = [each for selector, each in self._somewhere[rule.name] if selector.matches(rule.name, tags)]
        if not chosen:
            return rule
        changes: dict[str, object] = {}
        for each in filter(None, (self._everywhere.get(rule.name), *chosen)):
            written = {field.name: getattr(each, field.name) for field in fields(each)}
            changes |= {name: value for name, value in written.items() if value not in (None, "")}
        return tuned(self._shipped[id(rule)], RuleSettings(**changes))  # type: ignore[arg-type]  # its own fields

    def levels(self, name: str, set_name: str, target: Target | None = None) -> tuple[Level, ...]:
        """Give a rule's levels in a set, at a target; none where it is switched off or does not belong to the set."""
        return self.levels_of(self.rule(name), set_name, target)

    def levels_of(self, rule: Rule, set_name: str, target: Target | None = None) -> tuple[Level, ...]:
        """Give the levels of a variant of a rule in a set."""
        here = self.at(rule, target)
        return here.levels.get(set_name, ()) if here.enabled else ()

    def all_levels(self, name: str, set_name: str, target: Target | None = None) -> tuple[Level, ...]:
        """Give a rule's levels whether it is switched on or not: what its window is, for showing."""
        return self.at(self.rule(name), target).levels.get(set_name, ())


def _own_rule(name: str, settings: RuleSettings, own: OwnRule) -> Rule:
    """Make a rule of what the operator wrote."""
    made = Level(
        severity=settings.severity or Severity.WARNING,
        limit=own.limit,
        on_s=settings.on_s or 0.0,
        window_s=settings.window_s or 0.0,
    )
    return Rule(
        number=0,
        name=name,
        title=own.title,
        levels={PLANT: (made,)},
        off_s=settings.off_s or 0.0,
        hysteresis=own.hysteresis,
        is_floor=own.is_floor,
        base=own.limit,
        enabled=settings.enabled is not False,
        runbook=settings.runbook,
        route=settings.route,
    )


def set_of(rack: Rack) -> str:
    """Give the rule set that a rack lives under."""
    return SET_OF_STATE[rack.state]


class Windows:
    """One quantity averaged over every span that its rule's levels ask for."""

    __slots__ = ("_windows", "counted", "shortest_s")

    def __init__(self, levels: tuple[Level, ...], *, default_s: float = 300.0) -> None:
        spans = {level.window_s for level in levels if level.window_s} or {default_s}
        self._windows = {window_s: Window(slots_of(window_s)) for window_s in spans}
        self.shortest_s = min(spans)
        self.counted = _NOTHING_COUNTED
        """Means that energy counters tell better than spot readings do now, by span."""

    def push(self, lo: float, best: float | None, hi: float) -> None:
        """Close a slot in each of them."""
        for window in self._windows.values():
            window.push(lo, best, hi)

    def skip(self, slots: int, hi: float) -> None:
        """Close slots that keeld slept through: anything from nothing to `hi`."""
        for window in self._windows.values() if slots else ():
            window.skip(slots, hi)

    def mean(self, window_s: float = 0.0) -> Mean | None:
        """Give the mean over a span; the shortest one by default."""
        span_s = window_s or self.shortest_s
        return self.counted.get(span_s) or self._windows[span_s].mean()

    @property
    def spans_s(self) -> Iterable[float]:
        """Every span that it averages over."""
        return self._windows.keys()

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
